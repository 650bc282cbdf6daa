import asyncio

import numpy as np
import pytest

from teller.audio import Pcm
from teller.engines.scripted import (
    Fault,
    ScriptedEmbedder,
    ScriptedGenerator,
    ScriptedKnowledge,
    ScriptedLog,
    ScriptedSynthesizer,
    ScriptedTranscriber,
)
from teller.engines.scripted_surroundings import ScriptedClock
from teller.errors import EngineError, EngineTimeout, InputError, StoreError
from teller.ports import Event, Message, Passage, Prompt
from teller.turn import DataClass, Question, Speech

PASSAGE = Passage("fees", "Fees", "The account is free.\nAlways.", "1", DataClass.PUBLIC, (), 0.9)
PROMPT = Prompt((Message("user", "What does it cost?"),), (PASSAGE,))
LOUD = Speech(Pcm(np.full(1600, 9000, dtype=np.int16), 16_000))


async def test_the_transcriber_says_its_lines_in_order_and_then_refuses():
    engine = ScriptedTranscriber(["one", EngineTimeout("slow"), "two"])
    assert (await engine.transcribe(LOUD)).text == "one"
    with pytest.raises(EngineTimeout):
        await engine.transcribe(LOUD)
    assert (await engine.transcribe(LOUD)).text == "two"
    with pytest.raises(EngineError, match="used up"):
        await engine.transcribe(LOUD)
    assert len(engine.heard) == 4


async def test_silence_uses_no_line_of_the_script():
    engine = ScriptedTranscriber(["one"])
    assert (await engine.transcribe(Speech(Pcm.silence(0.5)))).text == ""
    assert (await engine.transcribe(LOUD)).text == "one"


async def test_related_texts_are_nearer_than_unrelated_ones():
    embedder = ScriptedEmbedder()
    asked, alike, other = await embedder.embed(
        ["How do I block my card?", "how can I block the card", "What are your opening hours?"]
    )
    assert asked @ alike > 0.5 > asked @ other


async def test_a_fault_with_an_error_cuts_the_answer_short():
    engine = ScriptedGenerator(fault=Fault(2, EngineError("gone")))
    answer = engine.generate(PROMPT)
    assert [await anext(answer), await anext(answer)] == ["The ", "account "]
    with pytest.raises(EngineError, match="gone"):
        await anext(answer)


async def test_a_fault_without_an_error_stalls():
    async def speak() -> None:
        async for _ in ScriptedSynthesizer(fault=Fault(1)).speak("two words"):
            pass

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(speak(), 0.05)


async def test_a_rule_sees_the_prompt_and_the_adapter():
    engine = ScriptedGenerator(lambda prompt, adapter: f"{adapter}: {prompt.messages[-1].content}")
    assert (
        "".join([piece async for piece in engine.generate(PROMPT, adapter="loans@1")]) == "loans@1: What does it cost?"
    )
    assert engine.asked == [(PROMPT, "loans@1")]


async def test_knowledge_gives_what_is_filed_under_the_question_best_first():
    worse = Passage("terms", "Terms", "See the terms.", "1", DataClass.PUBLIC, (), 0.2)
    knowledge = ScriptedKnowledge({"What does it cost?": [worse, PASSAGE]})
    assert await knowledge.search(Question("what does it cost?")) == (PASSAGE, worse)
    assert await knowledge.search(Question("what does it cost?"), limit=1) == (PASSAGE,)
    assert await knowledge.search(Question("anything else")) == ()


async def test_a_log_with_a_fault_keeps_nothing():
    log = ScriptedLog(fault=StoreError("disk full"))
    with pytest.raises(StoreError):
        await log.append([Event("put", b"{}", 0.0)])
    assert log.head() == 0


def test_the_clock_moves_only_when_turned():
    clock = ScriptedClock(now=100.0)
    clock.advance(5)
    clock.jump(-60)
    assert (clock.now(), clock.monotonic()) == (45.0, 5.0)
    with pytest.raises(InputError):
        clock.advance(-1)
