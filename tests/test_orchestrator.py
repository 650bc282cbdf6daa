"""One turn, from what was said to what is answered."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest
from tests.bots import FREEZE, QUESTION, ScriptedBot

from teller.audio import Pcm
from teller.call import Call, CallEvent, Pin, State
from teller.engines.scripted import Fault, ScriptedGenerator, ScriptedLog, ScriptedSynthesizer, ScriptedTranscriber
from teller.errors import CallError, EngineError, EngineTimeout, InputError, StoreError
from teller.ports import Event
from teller.turn import DataClass, Done, Heard, MissReason, Question, Said, Sound, Source, Speech, Transcript


class SlowLog(ScriptedLog):
    """A log that is behind and does not come back."""

    def head(self) -> int:
        return 1

    async def read(self, *_, **__) -> list[Event]:
        await asyncio.Event().wait()
        raise AssertionError


SPEECH = Speech(Pcm((np.sin(np.arange(16_000)) * 9_000).astype(np.int16), 16_000))


async def events_of(bot, heard, call=None, *, speak=True):
    return [event async for event in bot.orchestrator.turn(heard, call or bot.call(), speak=speak)]


async def test_a_spoken_question_is_heard_answered_spoken_and_recorded():
    bot = ScriptedBot(transcriber=ScriptedTranscriber([QUESTION]))

    events = await events_of(bot, SPEECH)

    assert [type(event) for event in events[:2]] == [Heard, Said]
    assert {type(event) for event in events[2:-1]} == {Sound}
    assert isinstance(events[-1], Done)
    assert bot.synthesizer.spoken == [FREEZE.text]
    assert bot.observer.turns == [events[-1].record]
    assert {"hear", "redact", "tools", "cache", "retrieve", "generate", "ground", "keep", "speak"} == set(
        events[-1].record.timings_ms
    )


async def test_the_second_asking_is_answered_from_the_cache_with_evidence():
    bot = ScriptedBot()

    first, second = await bot.record(QUESTION), await bot.record("How do I freeze my card?!")

    assert (first.answer.source, first.miss_reason) == (Source.APPROVED, MissReason.EMPTY)
    assert (second.answer.source, second.miss_reason) == (Source.CACHE, None)
    assert second.answer.evidence.matched == QUESTION
    assert second.answer.text == first.answer.text
    assert len(bot.generator.asked) == 1


async def test_a_tool_answers_before_the_cache_is_asked():
    bot = ScriptedBot()

    record = await bot.record("how much is ten thousand pounds over five years at five percent a month for a loan")

    assert record.answer.source is Source.TOOL
    assert "cache" not in record.timings_ms
    assert bot.embedder.asked == []


async def test_missing_values_are_asked_for_and_remembered_within_the_call():
    bot = ScriptedBot()
    call = bot.call()

    first = await bot.ask("what would a loan cost me per month", call)
    second = await bot.ask("ten thousand pounds", call)
    third = await bot.ask("five years", call)

    assert "borrow" in first.text
    assert "how long" in second.text.lower()
    assert "£10,000" in third.text
    assert bot.call().memory.form == ""


async def test_generated_words_are_spoken_only_if_they_say_what_was_approved():
    said = {"good": "Tap Freeze: open the app and tap Freeze.", "wrong": "Do not open the app, pay £50."}
    answers = {}
    for name, text in said.items():
        bot = ScriptedBot(generator=ScriptedGenerator(lambda *_, text=text: text))
        answers[name] = await bot.record(QUESTION)

    assert (answers["good"].answer.source, answers["good"].answer.text, answers["good"].grounded) == (
        Source.MODEL,
        said["good"],
        True,
    )
    assert (answers["wrong"].answer.source, answers["wrong"].answer.text, answers["wrong"].grounded) == (
        Source.APPROVED,
        FREEZE.text,
        False,
    )


@pytest.mark.parametrize(
    "fault", [Fault(0, EngineError("down")), Fault(2, EngineError("cut")), Fault(1)], ids=["dead", "cut", "stalled"]
)
async def test_a_generator_that_fails_or_stalls_costs_nothing_but_its_wording(fault):
    bot = ScriptedBot(generator=ScriptedGenerator(fault=fault), generate_within_s=0.05)

    record = await bot.record(QUESTION)

    assert (record.answer.source, record.answer.text) == (Source.APPROVED, FREEZE.text)


async def test_a_cache_that_fails_costs_nothing_but_the_hit():
    bot = ScriptedBot(log=ScriptedLog(fault=StoreError("the disk is full")))

    record = await bot.record(QUESTION)

    assert record.answer.source is Source.APPROVED


async def test_an_embedder_that_fails_in_the_cache_is_a_miss():
    bot = ScriptedBot()
    bot.embedder.fault = EngineError("broken")

    record = await bot.record(QUESTION)

    assert record.answer.text == FREEZE.text


async def test_a_synthesizer_that_fails_leaves_the_written_answer():
    bot = ScriptedBot(synthesizer=ScriptedSynthesizer(fault=Fault(0, EngineError("no voice"))))

    events = await events_of(bot, Transcript(QUESTION))

    assert isinstance(events[-1], Done)
    assert not any(isinstance(event, Sound) for event in events)


async def test_a_transcriber_that_stalls_is_told_in_time_and_the_call_listens_again():
    bot = ScriptedBot(transcriber=ScriptedTranscriber([QUESTION] * 2, delay_s=60.0), budgets={"hear_within_s": 0.05})
    call = bot.call()

    with pytest.raises(EngineTimeout, match=r"within 0.05 s; say it again"):
        await events_of(bot, SPEECH, call)

    assert call.state is State.LISTENING


async def test_a_synthesizer_that_stalls_leaves_the_written_answer_and_what_was_said_so_far():
    for said_before in (0, 1):
        bot = ScriptedBot(synthesizer=ScriptedSynthesizer(fault=Fault(said_before)), budgets={"speak_within_s": 0.05})

        events = await events_of(bot, Transcript(QUESTION))

        assert events[-1].record.answer.text == FREEZE.text
        assert sum(isinstance(event, Sound) for event in events) == said_before


async def test_a_cache_that_is_too_slow_is_a_miss_and_costs_nothing_but_its_budget():
    bot = ScriptedBot(log=SlowLog(), budgets={"cache_within_s": 0.05})

    record = await bot.record(QUESTION)

    assert (record.answer.source, record.miss_reason) == (Source.APPROVED, MissReason.FAILED)


@pytest.mark.parametrize("fault", [EngineError("away"), None], ids=["dead", "stalled"])
async def test_knowledge_that_fails_or_stalls_is_owned_up_to_and_then_a_person_takes_over(fault):
    bot = ScriptedBot(budgets={"knowledge_within_s": 0.05})
    bot.knowledge.fault = fault
    if fault is None:
        bot.knowledge.delay_s = 60.0
    call = bot.call()

    first, second = [await bot.ask(QUESTION, call) for _ in range(2)]

    assert (first.source, first.reason) == (Source.REFUSED, "cannot_look_up")
    assert (second.source, second.reason) == (Source.HANDOFF, "cannot_look_up_twice")
    assert bot.log.head() == 0


async def test_a_wording_that_cannot_be_checked_is_not_spoken():
    bot = ScriptedBot(generator=ScriptedGenerator(lambda *_: "Tap Freeze in the app that you open."))
    bot.embedder.fault = EngineError("away")

    record = await bot.record(QUESTION)

    assert (record.answer.source, record.grounded) == (Source.APPROVED, False)


async def test_the_time_to_the_answer_holds_what_was_waited_for_another_caller():
    bot = ScriptedBot(generator=ScriptedGenerator(delay_s=0.02))

    records = await asyncio.gather(*(bot.record(QUESTION) for _ in range(3)))

    assert sorted("generate" in record.timings_ms for record in records) == [False, False, True]
    assert all(record.answered_ms >= 20 for record in records)


async def test_what_nothing_covers_is_refused_and_the_second_time_a_person_takes_over():
    bot = ScriptedBot()
    call = bot.call()

    answers = [
        await bot.ask(text, call) for text in ("what is the airspeed of a swallow", "and what about an african one")
    ]

    assert [answer.source for answer in answers] == [Source.REFUSED, Source.HANDOFF]
    assert call.memory.unanswered == 0


async def test_silence_is_answered_with_a_request_to_repeat():
    bot = ScriptedBot()

    events = await events_of(bot, Speech(Pcm.silence(1.0)), speak=False)

    assert events[-1].record.answer.reason == "not_heard"


async def test_empty_typed_text_is_an_error_and_the_call_listens_again():
    bot = ScriptedBot()
    call = bot.call()

    with pytest.raises(InputError):
        await events_of(bot, Transcript("  "), call)

    assert call.state is State.LISTENING
    assert (await bot.ask(QUESTION, call)).source is Source.APPROVED


async def test_a_passage_that_needs_a_person_hands_over_and_is_not_kept():
    report = replace(FREEZE, answer_id="bereavement.report", handoff=True)
    bot = ScriptedBot(filed={"how do I report a death": (report,)})

    answers = [await bot.ask("how do I report a death") for _ in range(2)]

    assert [answer.source for answer in answers] == [Source.HANDOFF, Source.HANDOFF]
    assert bot.log.head() == 0


async def test_closing_a_turn_that_is_done_does_not_disturb_the_next():
    bot = ScriptedBot()
    call = bot.call()
    first = bot.orchestrator.turn(Transcript(QUESTION), call, speak=False)
    while not isinstance(await anext(first), Done):
        pass
    second = bot.orchestrator.turn(Transcript(QUESTION), call, speak=False)
    assert isinstance(await anext(second), Heard)

    await first.aclose()

    assert call.state is State.THINKING
    assert isinstance([event async for event in second][-1], Done)


async def test_closing_a_turn_half_way_is_a_barge_in():
    bot = ScriptedBot()
    call = bot.call()
    turn = bot.orchestrator.turn(Transcript(QUESTION), call)
    async for event in turn:
        if isinstance(event, Sound):
            break
    assert call.state is State.SPEAKING

    await turn.aclose()

    assert call.state is State.LISTENING
    assert (await bot.ask(QUESTION, call)).source is Source.CACHE


async def test_a_turn_that_is_spoken_over_leaves_a_record_of_what_was_said():
    bot = ScriptedBot()
    turn, sounds = bot.orchestrator.turn(Transcript(QUESTION), bot.call()), 0
    async for event in turn:
        sounds += isinstance(event, Sound)
        if sounds == 3:
            break

    await turn.aclose()

    (record,) = bot.observer.turns
    assert (record.interrupted, record.question.text, record.answer.text) == (True, QUESTION, FREEZE.text)
    assert record.spoken_s == pytest.approx(0.2)  # the third piece may not have been given on
    assert record.answered_ms > 0


async def test_a_turn_that_is_broken_off_in_thought_leaves_a_record_without_an_answer():
    generating = asyncio.Event()
    generator = ScriptedGenerator(lambda *_: generating.set() or FREEZE.text, fault=Fault())
    bot = ScriptedBot(generator=generator, generate_within_s=60)
    asking = asyncio.create_task(bot.ask(QUESTION))
    waiting = asyncio.create_task(bot.ask(QUESTION))
    await generating.wait()

    asking.cancel()
    await asyncio.wait([asking])

    (record,) = bot.observer.turns
    assert (record.interrupted, record.answer.source, record.answer.text) == (True, Source.BROKEN_OFF, "")
    assert (record.question.text, record.miss_reason, record.answered_ms) == (QUESTION, MissReason.EMPTY, 0)
    stages = set(record.timings_ms)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert set(record.timings_ms) == stages  # others went on waiting for its answer
    assert "generate" not in stages


async def test_a_call_that_is_hung_up_in_thought_leaves_a_record():
    bot = ScriptedBot()
    call = bot.call()
    turn = bot.orchestrator.turn(Transcript(QUESTION), call)
    await anext(turn)
    call.advance(CallEvent.HUNG_UP)

    await turn.aclose()

    assert [(record.interrupted, record.answer.source) for record in bot.observer.turns] == [(True, Source.BROKEN_OFF)]
    assert call.state is State.ENDED


async def test_what_was_not_heard_leaves_no_record():
    bot = ScriptedBot(transcriber=ScriptedTranscriber([EngineError("the transcriber failed")]))

    with pytest.raises(EngineError):
        await events_of(bot, SPEECH)

    assert bot.observer.turns == []


async def test_one_call_runs_one_turn_at_a_time():
    bot = ScriptedBot()
    call = bot.call()
    turn = bot.orchestrator.turn(Transcript(QUESTION), call)
    await anext(turn)

    with pytest.raises(CallError):
        await bot.ask(QUESTION, call)
    await turn.aclose()


async def test_many_callers_with_one_question_make_one_generation():
    bot = ScriptedBot(generator=ScriptedGenerator(delay_s=0.02))

    answers = await asyncio.gather(*(bot.ask(QUESTION) for _ in range(50)))

    assert {answer.text for answer in answers} == {FREEZE.text}
    assert len(bot.generator.asked) == 1


async def test_an_answer_that_is_made_anew_comes_from_knowledge_and_is_not_kept():
    bot = ScriptedBot()
    await bot.ask(QUESTION)

    anew = await bot.orchestrator.answer_anew(Question(QUESTION), bot.call().scope)

    assert (anew.answer_id, anew.source) == ("cards.freeze", Source.APPROVED)
    assert (await bot.cache.upkeep.totals()).entries == 1


async def test_an_action_code_is_not_spoken_and_does_not_count_against_the_wording():
    bot = ScriptedBot(generator=ScriptedGenerator(lambda *_: f"{FREEZE.text} [action: freeze_card]"))

    record = await bot.record(QUESTION)

    assert (record.answer.source, record.answer.text, record.grounded) == (Source.APPROVED, FREEZE.text, True)


async def test_a_call_keeps_the_adapter_version_of_its_first_turn():
    bot = ScriptedBot(otherwise=(FREEZE,))
    live = [Pin("bank@1", ("1" * 64,))]
    bot.orchestrator = replace(bot.orchestrator, pin=lambda _: live[0])
    old, records = bot.call(), []

    records.append(await bot.record("one", old))
    live[0] = Pin("bank@2", ("2" * 64,))
    records += [await bot.record("two", old), await bot.record("two", bot.call())]

    assert [record.adapter for record in records] == ["bank@1", "bank@1", "bank@2"]
    assert [adapter for _, adapter in bot.generator.asked] == ["bank@1", "bank@1", "bank@2"]


async def test_a_call_that_ends_lets_go_of_its_adapter_version():
    bot = ScriptedBot()
    call = bot.call()
    await bot.ask(QUESTION, call)
    assert call.pin is not None

    call.advance(CallEvent.HUNG_UP)

    assert call.pin is None


async def test_an_answer_is_shared_and_kept_only_among_calls_on_one_adapter_version():
    words = {None: "Open the app, then tap Freeze.", "bank@1": "Tap Freeze: open the app and tap Freeze."}
    bot = ScriptedBot(generator=ScriptedGenerator(lambda _, adapter: words[adapter], delay_s=0.02))
    pins = {"call-base": Pin(), "call-on": Pin("bank@1", ("1" * 64,))}
    bot.orchestrator = replace(bot.orchestrator, pin=lambda call: pins[call.id])
    calls = [Call(id=name, scope=bot.call().scope) for name in pins for _ in range(3)]

    first = await asyncio.gather(*(bot.record(QUESTION, call) for call in calls))
    again = [await bot.record(QUESTION, call) for call in calls]

    assert len(bot.generator.asked) == 2
    assert {(record.adapter, record.answer.text) for record in first} == {
        (None, words[None]),
        ("bank@1", words["bank@1"]),
    }
    assert [record.answer.text for record in again] == [record.answer.text for record in first]
    assert {record.answer.source for record in again} == {Source.CACHE}


async def test_a_caller_who_hangs_up_while_others_wait_does_not_change_the_version_of_their_answer():
    bot = ScriptedBot(generator=ScriptedGenerator(delay_s=0.02))
    bot.orchestrator = replace(bot.orchestrator, pin=lambda _: Pin("bank@1", ("1" * 64,)))
    leaving, staying = bot.call(), bot.call()
    running = [asyncio.create_task(bot.record(QUESTION, call)) for call in (leaving, staying)]
    while not bot.generator.asked:  # noqa: ASYNC110
        await asyncio.sleep(0)

    leaving.advance(CallEvent.HUNG_UP)
    running[0].cancel()
    record = await running[1]
    again = await bot.record(QUESTION)

    assert [adapter for _, adapter in bot.generator.asked] == ["bank@1"]
    assert record.adapter == again.adapter == "bank@1"
    assert again.answer.source is Source.CACHE


UNDO = replace(FREEZE, answer_id="cards.unfreeze", title="Unfreezing a card", text="Open the app and tap Unfreeze.")
PRICE = replace(FREEZE, answer_id="fees.freeze", title="Price of a freeze", text="Freezing a card is free.")


async def test_a_short_question_that_nothing_covers_leans_on_the_one_before_and_is_not_kept():
    bot = ScriptedBot(filed={QUESTION: (FREEZE,), f"{QUESTION} > no the opposite please": (UNDO,)})
    call = bot.call()

    await bot.ask(QUESTION, call)
    leaning = await bot.ask("no the opposite please", call)
    alone = await bot.ask("no the opposite please")

    assert leaning.answer_id == UNDO.answer_id
    assert alone.source is Source.REFUSED


async def test_a_question_leans_on_the_one_before_with_what_that_one_leaned_on():
    filed = {
        QUESTION: (FREEZE,),
        f"{QUESTION} > and how do I undo that": (UNDO,),
        f"{QUESTION} / and how do I undo that > and the price of it": (PRICE,),
    }
    bot = ScriptedBot(filed=filed)
    call = bot.call()

    said = [await bot.ask(text, call) for text in (QUESTION, "and how do I undo that", "and the price of it")]

    assert [answer.answer_id for answer in said] == [FREEZE.answer_id, UNDO.answer_id, PRICE.answer_id]


async def test_a_question_after_a_calculation_leans_on_its_subject():
    bot = ScriptedBot(filed={"a personal loan > can I pay it off early": (PRICE,)})
    call = bot.call()

    await bot.ask("what would a loan cost me per month", call)
    answer = await bot.ask("can I pay it off early", call)

    assert answer.answer_id == PRICE.answer_id


async def test_who_shares_a_refusal_is_refused_by_the_count_of_the_own_call():
    bot = ScriptedBot(filed={})
    patient, hasty = bot.call(), bot.call()
    await bot.ask("what is the meaning of life", patient)

    second, first = await asyncio.gather(
        bot.ask("how do I fly to the moon", patient), bot.ask("how do I fly to the moon", hasty)
    )

    assert (second.source, first.source) == (Source.HANDOFF, Source.REFUSED)


async def test_the_sound_of_a_callers_own_answers_never_comes_near_the_audio_cache():
    private = ScriptedSynthesizer()
    own = replace(FREEZE, answer_id="own", text="You are overdrawn.", data_class=DataClass.CUSTOMER)
    bot = ScriptedBot(filed={QUESTION: (FREEZE,), "what is my overdraft": (own,)})
    core = replace(bot.orchestrator, private_synthesizer=private)
    said = {}
    for text in (QUESTION, "what is my overdraft", "a loan of 10,000 over five years at 6.5%"):
        events = [event async for event in core.turn(Transcript(text), bot.call())]
        said[text] = next(event.answer.text for event in events if isinstance(event, Said))

    first, *others = said.values()
    assert bot.synthesizer.spoken == [first]
    assert private.spoken == others


async def test_a_line_of_the_banks_own_is_spoken_outside_a_turn_and_a_voice_that_fails_costs_only_itself():
    bot = ScriptedBot()
    assert [event async for event in bot.orchestrator.say("Hello.")]
    assert bot.synthesizer.spoken == ["Hello."]
    broken = ScriptedBot(synthesizer=ScriptedSynthesizer(fault=Fault(0, EngineError("no voice"))))
    mute = ScriptedBot(synthesizer=None)
    for bot in (broken, mute):
        assert [event async for event in bot.orchestrator.say("Hello.")] == []


@pytest.mark.parametrize(("confidence", "source"), [(0.45, Source.REFUSED), (0.55, Source.APPROVED)])
async def test_what_was_more_likely_misheard_than_not_is_asked_for_again(confidence, source):
    bot = ScriptedBot(transcriber=ScriptedTranscriber([Transcript(QUESTION, confidence)]))
    *_, done = await events_of(bot, SPEECH)
    assert done.record.answer.source is source


async def test_who_is_not_understood_twice_is_offered_a_person():
    bot = ScriptedBot(transcriber=ScriptedTranscriber([Transcript(QUESTION, 0.2)] * 2))
    call, said = bot.call(), []
    for heard in (SPEECH, SPEECH, Transcript("yes please")):
        *_, done = await events_of(bot, heard, call)
        said.append(done.record.answer.reason)
    assert said == ["not_heard", "not_heard_again", "offer_taken"]
