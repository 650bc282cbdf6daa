"""The server around the real core, with scripted engines."""

import asyncio

from tests.bots import FREEZE, QUESTION, ScriptedBot
from tests.server.server_stage import StageBot, eventually, stage, tone

from teller.engines.scripted import Fault, ScriptedGenerator, ScriptedSynthesizer, ScriptedTranscriber
from teller.errors import EngineError


class CoreBot(StageBot):
    """The stage's bot, answering with a real orchestrator."""

    def __init__(self, core: ScriptedBot) -> None:
        super().__init__()
        self.core = core
        self.orchestrator = core.orchestrator


async def test_the_second_asking_comes_from_the_cache_with_its_evidence() -> None:
    async with stage(CoreBot(ScriptedBot())) as st, st.call() as caller:
        for _ in range(2):
            await caller.say(type="ask", text=QUESTION)
            await caller.until("done")
        first, second = (message for message in caller.seen if message["type"] == "said")
        assert (first["source"], second["source"]) == ("approved", "cache")
        assert first["text"] == second["text"] == FREEZE.text
        assert second["evidence"]["tier"] == "exact"
        assert second["evidence"]["matched"] == QUESTION
        assert [one["miss_reason"] for one in caller.seen if one["type"] == "done"] == ["empty", None]
        assert caller.sound


async def test_a_spoken_question_is_heard_redacted_and_answered() -> None:
    core = ScriptedBot(transcriber=ScriptedTranscriber(["my card is 4111 1111 1111 1111, how do I freeze it"]))
    async with stage(CoreBot(core)) as st, st.call() as caller:
        await caller.say(type="listen_start", mode="hold")
        await caller.socket.send(tone(1.0, 16_000).samples.astype("<i2").tobytes())
        await caller.say(type="listen_end")
        await caller.until("done")
        heard = next(message for message in caller.seen if message["type"] == "heard")
        assert heard["redacted"] == ["card"]
        assert "4111" not in str(caller.seen)


async def test_a_question_over_a_stalled_generator_is_answered_at_once() -> None:
    core = ScriptedBot(generator=ScriptedGenerator(fault=Fault()), generate_within_s=60)
    async with stage(CoreBot(core)) as st, st.call() as caller:
        await caller.say(type="ask", text=QUESTION)
        await eventually(lambda: bool(core.generator.asked))
        core.generator.fault = None
        await caller.say(type="ask", text=QUESTION)
        await caller.until("stopped")
        done = await caller.until("done")
        assert done["turn"] == 2
        broken_off, answered = core.observer.turns
        assert (broken_off.interrupted, broken_off.answer.source, broken_off.question.text) == (
            True,
            "broken_off",
            QUESTION,
        )
        assert (answered.interrupted, answered.answer.text) == (False, FREEZE.text)


async def test_a_caller_who_hangs_up_while_it_is_thought_or_spoken_leaves_a_record() -> None:
    voice = ScriptedSynthesizer(fault=Fault(2))
    core = ScriptedBot(generator=ScriptedGenerator(fault=Fault()), generate_within_s=60, synthesizer=voice)
    async with stage(CoreBot(core)) as st:
        async with st.call() as caller:
            await caller.say(type="ask", text=QUESTION)
            await eventually(lambda: bool(core.generator.asked))
        await eventually(lambda: len(core.observer.turns) == 1)
        core.generator.fault = None
        async with st.call() as caller:
            await caller.say(type="ask", text=QUESTION)
            await caller.until("sound")
            for _ in range(2):
                await caller.socket.recv()
        await eventually(lambda: len(core.observer.turns) == 2)
    thinking, speaking = core.observer.turns
    assert (thinking.interrupted, thinking.answer.source, thinking.spoken_s) == (True, "broken_off", 0)
    assert (speaking.interrupted, speaking.answer.source) == (True, "approved")
    assert 0.1 <= speaking.spoken_s <= 0.2


async def test_a_transcriber_that_fails_ends_the_turn_and_not_the_call() -> None:
    core = ScriptedBot(transcriber=ScriptedTranscriber([EngineError("the transcriber failed on 1.0 s of speech")]))
    async with stage(CoreBot(core)) as st, st.call() as caller:
        await caller.say(type="listen_start", mode="hold")
        await caller.socket.send(tone(1.0, 16_000).samples.astype("<i2").tobytes())
        await caller.say(type="listen_end")
        assert (await caller.until("error"))["code"] == "engine_failed"
        await caller.say(type="ask", text=QUESTION)
        await caller.until("done")


async def test_a_synthesizer_that_fails_leaves_the_words() -> None:
    core = ScriptedBot(synthesizer=ScriptedSynthesizer(fault=Fault(1, EngineError("no voice"))))
    async with stage(CoreBot(core)) as st, st.call() as caller:
        await caller.say(type="ask", text=QUESTION)
        await caller.until("done")
        assert FREEZE.text in str(caller.seen)
        assert "error" not in caller.kinds()


async def test_callers_who_ask_the_same_at_once_cost_one_generation() -> None:
    core = ScriptedBot(generator=ScriptedGenerator(delay_s=0.2))
    async with stage(CoreBot(core)) as st:

        async def one_call() -> None:
            async with st.call() as caller:
                await caller.say(type="ask", text=QUESTION)
                await caller.until("done")

        await asyncio.gather(*(one_call() for _ in range(20)))
        assert len(core.generator.asked) == 1
        assert len(core.observer.turns) == 20
