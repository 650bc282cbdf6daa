"""What goes over the wire: pydantic at the edge, the words of `turn.py` inside.

Client messages are a discriminated union on `type`; `parse` and `parse_question` are the only ways in. Sound travels as
binary WebSocket messages: raw little-endian 16-bit mono samples, from the client always at 16 kHz, from the server at
the rate of the `sound` message before them. `turn` counts the turns of one connection from 1; whoever stops a turn may
drop everything that carries its number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from teller.audio import SPEECH_RATE_HZ
from teller.call import State
from teller.errors import InputError
from teller.turn import Answer, Citation, DataClass, Evidence, MissReason, Question, Source, TurnRecord

MAX_TEXT_CHARS = 1_000


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Ask(_Message):
    """A typed question; over a running answer it is a barge-in."""

    type: Literal["ask"] = "ask"
    text: str = Field(min_length=1, max_length=MAX_TEXT_CHARS, pattern=r"\S")


class ListenStart(_Message):
    """Sound follows. "hold": until `listen_end`, one utterance; "hands_free": a stream, cut where the caller pauses."""

    type: Literal["listen_start"] = "listen_start"
    mode: Literal["hold", "hands_free"] = "hold"


class ListenEnd(_Message):
    """The end of the sound; in "hold" what was heard is the question."""

    type: Literal["listen_end"] = "listen_end"


class Stop(_Message):
    """Be silent: ends the running turn and drops an utterance that is half heard."""

    type: Literal["stop"] = "stop"


class Ready(_Message):
    """The first message of a connection; the greeting tells that this is a machine and that calls may be recorded."""

    type: Literal["ready"] = "ready"
    greeting: str
    rate_hz: int = SPEECH_RATE_HZ
    max_audio_s: float
    max_text_chars: int = MAX_TEXT_CHARS


class StateChanged(_Message):
    """Where the call is now."""

    type: Literal["state"] = "state"
    state: State


class SpeechStarted(_Message):
    """Hands-free: the caller has begun to speak; whatever still plays should fall silent."""

    type: Literal["speech_started"] = "speech_started"


class QuestionHeard(_Message):
    """The question of a turn, redacted."""

    type: Literal["heard"] = "heard"
    turn: int
    text: str
    redacted: tuple[str, ...]
    confidence: float

    @staticmethod
    def of(turn: int, question: Question) -> QuestionHeard:
        """The message for a question."""
        return QuestionHeard(
            turn=turn, text=question.text, redacted=question.redacted, confidence=round(question.confidence, 3)
        )


class AnswerSaid(_Message):
    """The answer of a turn, whole and final."""

    type: Literal["said"] = "said"
    turn: int
    text: str
    source: Source
    data_class: DataClass
    reason: str
    citations: tuple[Citation, ...]
    evidence: Evidence | None

    @staticmethod
    def of(turn: int, answer: Answer) -> AnswerSaid:
        """The message for an answer."""
        return AnswerSaid(
            turn=turn,
            text=answer.text,
            source=answer.source,
            data_class=answer.data_class,
            reason=answer.reason,
            citations=answer.citations,
            evidence=answer.evidence,
        )


class SoundFollows(_Message):
    """The binary messages from here on are the spoken answer of this turn; of turn 0, the greeting.

    The greeting comes when the caller first speaks, or may: before all other sound, which goes on after it.
    """

    type: Literal["sound"] = "sound"
    turn: int
    rate_hz: int


class TurnDone(_Message):
    """A turn has ended as it should."""

    type: Literal["done"] = "done"
    turn: int
    turn_id: str
    timings_ms: Mapping[str, float]
    miss_reason: MissReason | None
    similarity: float | None
    grounded: bool | None
    adapter: str | None

    @staticmethod
    def of(turn: int, record: TurnRecord) -> TurnDone:
        """The message for a turn's record."""
        return TurnDone(
            turn=turn,
            turn_id=record.turn_id,
            timings_ms=_rounded(record.timings_ms),
            miss_reason=record.miss_reason,
            similarity=record.similarity,
            grounded=record.grounded,
            adapter=record.adapter,
        )


class TurnStopped(_Message):
    """A turn was broken off: by the caller, or by the error that comes before this message."""

    type: Literal["stopped"] = "stopped"
    turn: int


class ErrorShown(_Message):
    """Something went wrong; the connection lives on unless it is closed right after.

    Attributes:
        turn: the turn that it ended, None if it ended none.
    """

    type: Literal["error"] = "error"
    code: str
    message: str
    retryable: bool = False
    turn: int | None = None


@dataclass(slots=True, kw_only=True)
class TurnView:  # not checked by pydantic, only written: its fields come from a record, which mypy checks
    """One whole turn, as `POST /api/ask` and `teller ask --json` show it."""

    turn_id: str
    heard: str
    redacted: tuple[str, ...]
    answer: str
    source: Source
    reason: str
    citations: tuple[Citation, ...]
    evidence: Evidence | None
    miss_reason: MissReason | None
    similarity: float | None
    grounded: bool | None
    adapter: str | None
    timings_ms: Mapping[str, float]


@dataclass(slots=True, kw_only=True)
class AskAnswer(TurnView):
    """The body of an answer of `POST /api/ask`.

    Attributes:
        call: send it back in the header `Teller-Call` to go on with this call.
        audio_url: where the spoken answer can be fetched for a while; None if it was not asked for.
    """

    call: str
    audio_url: str | None

    @staticmethod
    def of(record: TurnRecord, call: str, audio_url: str | None) -> AskAnswer:
        """The body for a turn's record."""
        return AskAnswer(**_fields(record), call=call, audio_url=audio_url)

    def to_json(self) -> bytes:
        """The body as it is sent."""
        return _ANSWER.dump_json(self)


def turn_view(record: TurnRecord) -> dict[str, Any]:
    """A turn's record as JSON values, in the order of `TurnView`."""
    view: dict[str, Any] = _VIEW.dump_python(TurnView(**_fields(record)), mode="json")
    return view


def _fields(record: TurnRecord) -> dict[str, Any]:
    question, answer = record.question, record.answer
    return {
        "turn_id": record.turn_id,
        "heard": question.text,
        "redacted": question.redacted,
        "answer": answer.text,
        "source": answer.source,
        "reason": answer.reason,
        "citations": answer.citations,
        "evidence": answer.evidence,
        "miss_reason": record.miss_reason,
        "similarity": record.similarity,
        "grounded": record.grounded,
        "adapter": record.adapter,
        "timings_ms": _rounded(record.timings_ms),
    }


ClientMessage = Ask | ListenStart | ListenEnd | Stop
ServerMessage = (
    Ready
    | StateChanged
    | SpeechStarted
    | QuestionHeard
    | AnswerSaid
    | SoundFollows
    | TurnDone
    | TurnStopped
    | ErrorShown
)

_CLIENT: TypeAdapter[ClientMessage] = TypeAdapter(Annotated[ClientMessage, Field(discriminator="type")])
_QUESTION = TypeAdapter(Ask)
_VIEW, _ANSWER = TypeAdapter(TurnView), TypeAdapter(AskAnswer)
_T = TypeVar("_T")
# pydantic's own words repeat what the client sent or speak of Python; these do not.
_WORDS: Mapping[str, str] = {
    "json_invalid": "this is not JSON",
    "dict_type": "a message is a JSON object",
    "model_type": "a message is a JSON object",
    "model_attributes_type": "a message is a JSON object",
    "union_tag_not_found": "a message has a 'type'",
    "union_tag_invalid": "'type' is none of ask, listen_start, listen_end, stop",
    "extra_forbidden": "it holds a field that this message does not have",
    "missing": "'text' is missing",
    "string_type": "'text' must be a string",
    "string_unicode": "the text is not valid Unicode",
    "string_too_short": "the text is empty",
    "string_pattern_mismatch": "the text is empty",
    "string_too_long": f"the text is longer than {MAX_TEXT_CHARS} characters",
    "literal_error": "'mode' is neither hold nor hands_free",
}


def parse(text: str) -> ClientMessage:
    """Read one text message of a client.

    Raises:
        InputError: saying what is wrong first, without repeating what the client sent.
    """
    return _validated(_CLIENT, text)


def parse_question(body: bytes) -> str:
    """Read the JSON body of `POST /api/ask`, {"text": ...}.

    Raises:
        InputError: as `parse`.
    """
    return _validated(_QUESTION, body).text


def _rounded(timings_ms: Mapping[str, float]) -> dict[str, float]:
    return {stage: round(ms, 3) for stage, ms in timings_ms.items()}


def _validated(adapter: TypeAdapter[_T], data: str | bytes) -> _T:
    try:
        return adapter.validate_json(data)
    except ValidationError as exc:
        problem = exc.errors(include_input=False, include_url=False, include_context=False)[0]
        raise InputError(_WORDS.get(problem["type"], "the message does not fit the protocol")) from None
