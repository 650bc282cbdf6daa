"""One turn, from what was said to what is answered. Read this first.

`Orchestrator.turn` yields Heard, Said, Sound... and Done. Each step narrows what may happen next: redaction before
anything else sees the text, the bank's own rules before the cache, the cache before knowledge, grounding before speech.
A part that fails costs its own contribution, never the turn: without the cache the answer is looked up, without the
generator the approved text is spoken, without the synthesizer the answer is written.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from secrets import token_hex

from teller.banking import grounding, policy
from teller.banking.tools import Toolbox
from teller.cache.partition import Basis
from teller.cache.semantic import SemanticCache
from teller.call import Call, CallEvent, Pin, State
from teller.errors import EngineError, EngineTimeout, StoreError
from teller.ports import (
    Asked,
    Clock,
    Embedder,
    Generator,
    KnowledgeIndex,
    Observer,
    Passage,
    Prompt,
    Synthesizer,
    Transcriber,
)
from teller.prompts import answer_prompt, spoken_part
from teller.redaction import nothing_heard, redact
from teller.streams import within
from teller.turn import (
    Answer,
    Citation,
    Done,
    Heard,
    Hit,
    LookupRecord,
    Miss,
    MissReason,
    Question,
    Said,
    Scope,
    Sound,
    Source,
    Speech,
    Transcript,
    TurnEvent,
    TurnRecord,
)
from teller.values import Catalogue, find_values

_NO_ANSWER = Answer("", Source.BROKEN_OFF, answer_id="")  # stands for the answer of a turn that ended before it had one


@dataclass(slots=True)
class _Facts:
    """What is learned on the way, for the record; and the adapter version that the turn holds to its end.

    The turn has its own hold: its answer may be made for others who wait for it, after its own caller has hung up.
    """

    pin: Pin
    started_at: float = 0.0
    question: Question | None = None
    answer: Answer | None = None
    timings_ms: dict[str, float] = field(default_factory=dict)
    miss: Miss | None = None
    grounded: bool | None = None
    basis: Basis | None = None
    pieces: int = 0
    answered_ms: float = 0.0
    spoken_s: float = 0.0

    def stage(self, name: str) -> _Stage:
        """Add the wall time of a block to a stage."""
        return _Stage(self.timings_ms, name)


class _Stage:
    __slots__ = ("_name", "_started", "_timings_ms")

    def __init__(self, timings_ms: dict[str, float], name: str) -> None:
        self._timings_ms = timings_ms
        self._name = name

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        spent = (time.perf_counter() - self._started) * 1000
        self._timings_ms[self._name] = self._timings_ms.get(self._name, 0.0) + spent


@dataclass(frozen=True, slots=True, kw_only=True)
class Orchestrator:
    """The parts of a running bot, and the one thing it does.

    Attributes:
        transcriber, synthesizer: None where the channel is text only.
        private_synthesizer: speaks what is one caller's own, and keeps no sound; unset: `synthesizer` does.
        hear_within_s: longest wait for the transcriber.
        generate_within_s: longest wait for the generator before the approved text is spoken instead.
        cache_within_s: longest wait for a lookup in the cache, which is a miss then, and for an answer to be kept.
        knowledge_within_s: longest wait for the knowledge, which then cannot be asked, and for the grounding check.
        speak_within_s: longest wait for the next piece of sound; the written answer stands without it.
        pin: gives a call, at its first turn, the LoRA adapter version that it keeps to its end.
    """

    transcriber: Transcriber | None
    toolbox: Toolbox
    cache: SemanticCache
    knowledge: KnowledgeIndex
    generator: Generator
    embedder: Embedder
    synthesizer: Synthesizer | None
    observer: Observer
    clock: Clock
    catalogue: Catalogue
    private_synthesizer: Synthesizer | None = None
    hear_within_s: float = 20.0
    generate_within_s: float = 8.0
    cache_within_s: float = 2.0
    knowledge_within_s: float = 5.0
    speak_within_s: float = 10.0
    pin: Callable[[Call], Pin] = lambda _: Pin()

    async def turn(self, heard: Transcript | Speech, call: Call, *, speak: bool = True) -> AsyncIterator[TurnEvent]:
        """Answer one utterance or one typed question.

        Closing the iterator before its end is a barge-in: the call listens again, and the observer is told of a turn
        that was interrupted, if its question was known by then.

        Raises:
            InputError: if typed text is empty, too long or unreadable.
            CallError: if the call has ended or has a turn running.
            EngineError: if speech cannot be heard at all; EngineTimeout if not in time.
        """
        call.advance(CallEvent.ASKED)
        call.pin = call.pin or self.pin(call)
        facts, started = _Facts(call.pin, self.clock.now()), time.perf_counter()
        record = None
        try:
            transcript = heard if isinstance(heard, Transcript) else await self._hear(heard, facts)
            with facts.stage("redact"):
                facts.question = question = self._redact(transcript, typed=isinstance(heard, Transcript))
            yield Heard(question)

            facts.answer = answer = await self._decide(question, call, facts)
            call.remember(
                asked=policy.leans_on(question, answer, call.memory),
                topic=answer.answer_id,
                unanswered=call.memory.unanswered + 1 if answer.source is Source.REFUSED else 0,
            )
            call.turns += 1
            call.advance(CallEvent.ANSWERED)
            facts.answered_ms = (time.perf_counter() - started) * 1000
            yield Said(answer)

            if speak:
                async for sound in self._speak(answer.text, self._voice(answer), facts.timings_ms):
                    yield sound
                    facts.spoken_s += sound.pcm.duration_s
            record = self._tell(question, answer, call, facts)
            call.advance(CallEvent.FINISHED)
        finally:
            if call.state in (State.THINKING, State.SPEAKING):
                call.advance(CallEvent.BARGED_IN)
            if record is None and facts.question is not None:
                self._tell(facts.question, facts.answer or _NO_ANSWER, call, facts, interrupted=True)
        yield Done(record)  # whoever stops reading here may have the next turn running when this one is closed

    def say(self, text: str) -> AsyncIterator[Sound]:
        """Speak a line of the bank's own outside a turn; no sound at all without a voice, or if it fails."""
        return self._speak(text, self.synthesizer, {})

    async def answer_anew(self, question: Question, scope: Scope) -> Answer:
        """What would be answered had the cache nothing; it is not kept."""
        call = Call(id="anew", scope=scope)
        return await self._compose(question, call, _Facts(self.pin(call)), keep=False)

    async def _hear(self, heard: Speech, facts: _Facts) -> Transcript:
        if self.transcriber is None:
            raise EngineError("speech came in, but engines.transcriber is 'none'")
        try:
            with facts.stage("hear"):
                return await within(self.hear_within_s, self.transcriber.transcribe(heard))
        except TimeoutError:
            raise EngineTimeout(
                f"nothing was heard within {self.hear_within_s:g} s; say it again, or type it"
            ) from None

    def _redact(self, transcript: Transcript, *, typed: bool) -> Question:
        if not typed and not transcript.text.strip():
            return nothing_heard(transcript.confidence)
        today = datetime.fromtimestamp(self.clock.now(), UTC).date()
        return redact(transcript, self.catalogue, today=today).question

    async def _decide(self, question: Question, call: Call, facts: _Facts) -> Answer:
        """The bank's rules, then its tools, then the cache, then its knowledge."""
        if not question.text or question.confidence < policy.MIN_CONFIDENCE:
            return policy.not_heard(call.memory)
        if answer := policy.first_word(question) or policy.accepts_offer(question, call.memory):
            return answer
        with facts.stage("tools"):
            reply = self.toolbox.handle(question, call.memory)
        if reply is not None:
            call.memory = reply.memory
            return reply.answer
        call.memory = self.toolbox.lapse(call.memory)
        found = await self._look_up(question, call, facts)
        if isinstance(found, Hit):
            return found.answer
        facts.miss = found
        if found.reason in (MissReason.NOT_ELIGIBLE, MissReason.NO_IDENTITY):
            before = policy.points_back(question, call.memory)
            answer = await self._compose(question, call, facts, keep=False, after=before)
        else:
            answer = await self.cache.flight(
                question, call.scope, lambda: self._compose(question, call, facts, keep=True), basis=self._basis(facts)
            )
        if answer.reason not in policy.NOT_COVERED:
            return answer
        if before := policy.may_lean(question, call.memory):  # not inside the flight: others have another memory
            return await self._compose(question, call, facts, keep=False, after=before)
        return policy.not_covered(call.memory)

    async def _look_up(self, question: Question, call: Call, facts: _Facts) -> Hit | Miss:
        with facts.stage("cache"):
            found = await self._found(question, call, facts)
        hit, miss = (found.answer, None) if isinstance(found, Hit) else (None, found)
        evidence = hit.evidence if hit else None
        self.observer.lookup_finished(
            LookupRecord(
                at=self.clock.now(),
                tenant=call.scope.tenant,
                outcome=evidence.tier if evidence else miss.reason if miss else MissReason.FAILED,
                data_class=hit.data_class if hit else None,
                similarity=evidence.similarity if evidence else miss.nearest if miss else None,
                spent_ms=facts.timings_ms["cache"],
            )
        )
        return found

    async def _found(self, question: Question, call: Call, facts: _Facts) -> Hit | Miss:
        if reason := policy.cannot_be_cached(question, call.memory):
            return Miss(reason)
        try:
            return await within(self.cache_within_s, self.cache.lookup(question, call.scope, basis=self._basis(facts)))
        except (StoreError, EngineError, TimeoutError):
            return Miss(MissReason.FAILED)

    async def _compose(
        self, question: Question, call: Call, facts: _Facts, *, keep: bool, after: Asked | None = None
    ) -> Answer:
        """Look the answer up, word it, check the wording, and offer it to the cache."""
        try:
            with facts.stage("retrieve"):
                passages = await within(self.knowledge_within_s, self.knowledge.search(question, after=after))
        except (EngineError, TimeoutError):
            return policy.cannot_look_up(call.memory)
        if not passages:
            return policy.not_covered(call.memory)
        best = passages[0]
        if best.tool and (reply := self.toolbox.begin(best.tool, question, call.memory)):
            call.memory = reply.memory
            return reply.answer
        if best.handoff:
            return _approved(best, Source.HANDOFF, reason="a_person_takes_over")
        with facts.stage("generate"):
            generated = await self._generate(question, passages, facts)
        with facts.stage("ground"):
            facts.grounded = await self._is_grounded(generated, best)
        answer = _approved(best, Source.APPROVED)
        if facts.grounded and generated != best.text:
            answer = _approved(best, Source.MODEL, text=generated)
        if keep and not best.sensitive:
            with facts.stage("keep"):
                await self._offer(question, answer, call.scope, facts)
        return answer

    def _basis(self, facts: _Facts) -> Basis:
        """What a turn's answers are made from: the same from its beginning to its end."""
        facts.basis = facts.basis or self.cache.basis_with(facts.pin.adapters)
        return facts.basis

    async def _generate(self, question: Question, passages: tuple[Passage, ...], facts: _Facts) -> str:
        """The generator's words, without an action code; empty if it fails or is too slow."""
        try:
            pieces = await within(self.generate_within_s, self._pieces(answer_prompt(question, passages), facts))
        except (EngineError, TimeoutError):
            return ""
        facts.pieces = len(pieces)
        return spoken_part("".join(pieces).strip())[0]

    async def _pieces(self, prompt: Prompt, facts: _Facts) -> list[str]:
        return [piece async for piece in self.generator.generate(prompt, adapter=facts.pin.served)]

    async def _is_grounded(self, generated: str, best: Passage) -> bool:
        if generated == best.text:
            return True
        if not generated:
            return False
        try:
            vectors = await within(self.knowledge_within_s, self.embedder.embed([generated, best.text]))
        except (EngineError, TimeoutError):
            return False  # what cannot be checked is not said
        values = [find_values(text, self.catalogue) for text in (generated, best.text)]
        return grounding.compare(generated, best.text, values[0], values[1], vectors).grounded

    async def _offer(self, question: Question, answer: Answer, scope: Scope, facts: _Facts) -> None:
        try:
            await within(self.cache_within_s, self.cache.offer(question, answer, scope, basis=self._basis(facts)))
        except (StoreError, EngineError, TimeoutError):
            return  # the log is full, slow or gone: the caller is answered all the same

    def _voice(self, answer: Answer) -> Synthesizer | None:
        return self.synthesizer if policy.is_for_everyone(answer) else self.private_synthesizer or self.synthesizer

    async def _speak(
        self, text: str, synthesizer: Synthesizer | None, timings_ms: dict[str, float]
    ) -> AsyncIterator[Sound]:
        """The spoken text; the stage "speak" ends with its first piece. A synthesizer that fails leaves the text."""
        if synthesizer is None:
            return
        started, stream = time.perf_counter(), synthesizer.speak(text)
        try:
            while True:
                async with asyncio.timeout(self.speak_within_s):
                    pcm = await anext(stream)
                timings_ms.setdefault("speak", (time.perf_counter() - started) * 1000)
                yield Sound(pcm)
        except (StopAsyncIteration, EngineError, TimeoutError):
            return
        finally:
            if isinstance(stream, AsyncGenerator):
                await stream.aclose()

    def _tell(
        self, question: Question, answer: Answer, call: Call, facts: _Facts, *, interrupted: bool = False
    ) -> TurnRecord:
        """Tell the observer of a turn; gives the record."""
        nearest = answer.evidence.similarity if answer.evidence else facts.miss.nearest if facts.miss else None
        record = TurnRecord(
            turn_id=token_hex(16),
            call_id=call.id,
            started_at=facts.started_at,
            scope=call.scope,
            question=question,
            answer=answer,
            timings_ms=dict(facts.timings_ms) if interrupted else facts.timings_ms,  # others may wait for its answer
            miss_reason=facts.miss.reason if facts.miss else None,
            similarity=nearest,
            grounded=facts.grounded,
            adapter=facts.pin.served,
            pieces=facts.pieces,
            answered_ms=facts.answered_ms,
            spoken_s=facts.spoken_s,
            interrupted=interrupted,
        )
        self.observer.turn_finished(record)
        return record


def _approved(passage: Passage, source: Source, *, text: str = "", reason: str = "") -> Answer:
    return Answer(
        text=text or passage.text,
        source=source,
        answer_id=passage.answer_id,
        data_class=passage.data_class,
        citations=(Citation(passage.answer_id, passage.title, passage.version),),
        stamps=passage.stamps,
        reason=reason,
    )
