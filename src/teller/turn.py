"""The words of one turn, in the order in which they come to be.

Speech -> Transcript -> Redaction(Question) -> Hit | Miss -> Answer -> TurnRecord. All are frozen; a wrong order does
not type-check. Only `redaction.redact` makes a `Question`, so text that reaches the cache, the log, the model and the
telemetry has been redacted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from teller.audio import Pcm


@dataclass(frozen=True, slots=True)
class Speech:
    """One utterance, cut out of the call by endpointing."""

    pcm: Pcm


@dataclass(frozen=True, slots=True)
class Transcript:
    """What a transcriber heard, or what was typed.

    Attributes:
        text: not yet redacted; never logged, kept or sent anywhere.
        confidence: 0 to 1; 1 for typed text.
        alternatives: other readings, best first.
    """

    text: str = field(repr=False)
    confidence: float = 1.0
    alternatives: tuple[str, ...] = field(default=(), repr=False)


class ValueKind(StrEnum):
    """The kinds of value that make two questions different though their words are alike."""

    MONEY = "money"
    PERCENT = "percent"
    DATE = "date"
    TIME = "time"
    DURATION = "duration"
    COUNT = "count"
    ID_TAIL = "id_tail"
    PRODUCT = "product"
    TIER = "tier"
    PLACE = "place"
    PERSON = "person"


@dataclass(frozen=True, slots=True)
class Value:
    """A typed value in a text.

    Attributes:
        canonical: equal for equal values however they are written ("10000.00 GBP", "6.5", "P60M", "2026-12-24").
        start: first character of it in the text.
        end: one past its last character.
    """

    kind: ValueKind
    canonical: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Question:
    """A redacted question: the only text that the rest of Teller sees.

    Attributes:
        text: what was asked, personal data replaced by [card], [iban], [account], [email], ...
        values: the typed values in `text`, in order of `start`.
        redacted: kinds of personal data that were taken out, sorted, without duplicates.
        confidence: of the transcript that it came from, 0 to 1.
    """

    text: str
    values: tuple[Value, ...] = ()
    redacted: tuple[str, ...] = ()
    confidence: float = 1.0


@dataclass(frozen=True, slots=True)
class Redaction:
    """A question, and apart from it what was taken out: kept for one turn, never shown, logged or stored."""

    question: Question
    slots: Mapping[str, str] = field(repr=False)


class DataClass(StrEnum):
    """Who may be given an answer again."""

    PUBLIC = "public"  # the same for everyone
    PRODUCT = "product"  # the same for everyone, and depends on rates, fees or terms
    CUSTOMER = "customer"  # one customer's own


@dataclass(frozen=True, slots=True)
class Scope:
    """On whose behalf a question is asked, as the channel verified it; never taken from what was said.

    Attributes:
        tenant: which bank or brand.
        locale: language and country, as in "en-GB".
        customer: verified customer key, None for an unidentified caller.
    """

    tenant: str
    locale: str
    customer: str | None = None


class Source(StrEnum):
    """Where an answer came from."""

    TOOL = "tool"  # computed by banking logic
    CACHE = "cache"  # an earlier answer, with evidence
    MODEL = "model"  # generated, and found to agree with an approved answer
    APPROVED = "approved"  # an approved text, word for word
    REFUSED = "refused"  # nothing covers it, or policy forbids it
    HANDOFF = "handoff"  # a person takes over
    BROKEN_OFF = "broken_off"  # there is none: the turn ended before one was decided


@dataclass(frozen=True, slots=True)
class Citation:
    """What an answer rests on: an approved answer, a document, a rule."""

    id: str
    title: str
    version: str


class Tier(StrEnum):
    """How a cache hit was found."""

    EXACT = "exact"
    SEMANTIC = "semantic"


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a cache hit was allowed.

    Attributes:
        entry_id: of the entry that was served; below 0 for one of the customer's own.
        matched: the redacted question that it was first given for.
        similarity: cosine of the two questions, -1 to 1; 1 on the exact tier.
        votes: neighbours that carry the same answer, of `neighbours` looked at.
        probability: calibrated probability that the answer is right, 0 to 1.
        bound: certified upper limit on the share of wrong hits in this class, None if none was certified.
        checks: what each guard found, by name.
    """

    tier: Tier
    entry_id: int
    matched: str
    similarity: float = 1.0
    votes: int = 1
    neighbours: int = 1
    probability: float = 1.0
    bound: float | None = None
    checks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said to the caller.

    Attributes:
        text: a few spoken sentences.
        answer_id: identity for consensus: the approved answer's id, the tool's name with values, else a text's hash.
        stamps: what it depends on, as in "rate:personal_loan_apr@3"; a change of one makes it stale.
        evidence: set if and only if `source` is CACHE.
        reason: why it was refused or handed over; empty otherwise.
    """

    text: str
    source: Source
    answer_id: str
    data_class: DataClass = DataClass.PUBLIC
    citations: tuple[Citation, ...] = ()
    stamps: tuple[str, ...] = ()
    evidence: Evidence | None = None
    reason: str = ""


class MissReason(StrEnum):
    """Why the cache gave nothing; also the metric's label."""

    EMPTY = "empty"  # nothing stored in this partition
    NOT_ELIGIBLE = "not_eligible"  # an action, a live value, personal data: never looked up
    NO_IDENTITY = "no_identity"  # needs a verified customer
    LOW_CONFIDENCE = "low_confidence"  # the transcript is too unsure
    TOO_FAR = "too_far"  # no neighbour is near enough
    VALUES_DIFFER = "values_differ"
    POLARITY_DIFFERS = "polarity_differs"
    ROLES_DIFFER = "roles_differ"
    NO_CONSENSUS = "no_consensus"  # the neighbours carry different answers
    UNCERTAIN = "uncertain"  # outside the certified region
    CLASS_CLOSED = "class_closed"  # the evidence does not support semantic hits in this class
    EXPIRED = "expired"
    STALE = "stale"  # something that it depends on has changed
    TEMPLATE = "template"  # its values come from the question: computed anew, never replayed
    DISABLED = "disabled"
    FAILED = "failed"  # the cache itself failed; the turn went on without it


@dataclass(frozen=True, slots=True)
class Hit:
    """An earlier answer that may be given again; `answer.source` is CACHE and `answer.evidence` says why."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class Miss:
    """No answer from the cache, and why.

    Attributes:
        nearest: similarity of the nearest neighbour, None if none was looked at.
    """

    reason: MissReason
    nearest: float | None = None


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """The facts of one turn, redacted, for the observer.

    Attributes:
        started_at: Unix time in seconds.
        timings_ms: wall time by stage ("hear", "redact", "tools", "cache", "retrieve", "generate", "ground", "keep",
            "speak"), in the order in which they began; stages that did not run are absent, and one that was broken
            off has the time until then.
        miss_reason: why the cache gave nothing; None on a hit or if it was not asked.
        similarity: of the neighbour that was served or was nearest; None if none was looked at.
        grounded: whether what the generator said agreed with the approved answer; None if no generator ran.
        adapter: served name of the LoRA adapter version that the call is pinned to, as in "banking-lora@3f2a91c0b7de";
            None for the base model.
        pieces: how many pieces the generator streamed: tokens, on an engine that streams token by token.
        answered_ms: wall time from the start until the answer was decided, with what it waited for others who asked
            the same; 0 if nobody took the time, or there was no answer.
        spoken_s: sound of the answer that was given on, in seconds; the caller has heard no more of it.
        interrupted: the turn did not come to its end: the caller spoke over it or hung up, it took too long or failed.
    """

    turn_id: str
    call_id: str
    started_at: float
    scope: Scope
    question: Question
    answer: Answer
    timings_ms: Mapping[str, float]
    miss_reason: MissReason | None = None
    similarity: float | None = None
    grounded: bool | None = None
    adapter: str | None = None
    pieces: int = 0
    answered_ms: float = 0.0
    spoken_s: float = 0.0
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class LookupRecord:
    """The facts of one lookup in the cache, for the observer.

    Attributes:
        at: Unix time in seconds.
        outcome: the tier of a hit, or why it was a miss.
        data_class: of the answer that was served; None on a miss.
        similarity: of the neighbour that was served or was nearest; None if none was looked at.
        spent_ms: wall time of the lookup.
    """

    at: float
    tenant: str
    outcome: Tier | MissReason
    data_class: DataClass | None
    similarity: float | None
    spent_ms: float


class Toggle(StrEnum):
    """What can be done to the adapter that is live."""

    ENABLE = "enable"
    DISABLE = "disable"
    ROLLBACK = "rollback"
    CANARY = "canary"  # a share of new calls gets another version
    PROMOTE = "promote"  # the canary becomes the live version
    WITHDRAW = "withdraw"  # the canary is ended, by an operator or by what was measured
    REFUSE = "refuse"  # something was asked for and not done; nothing changed


@dataclass(frozen=True, slots=True)
class ToggleRecord:
    """The facts of one change of the live adapter, for the observer.

    Attributes:
        at: Unix time in seconds.
        before: served name that new calls got before, None for the base model.
        after: served name that they get from now on.
        who: the operator, or "teller" where a rule acted.
        why: in words.
        canary: the version that a share of new calls gets, None if there is no canary.
        share: of new calls that get the canary, 0 to 1.
    """

    at: float
    toggle: Toggle
    before: str | None
    after: str | None
    who: str
    why: str
    canary: str | None = None
    share: float = 0.0


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """The facts of a training step, for the observer.

    Attributes:
        at: Unix time in seconds.
        name: of the adapter.
        step: from 1, of `steps`.
        loss: mean over the step's trained tokens, natural logarithm.
        tokens_per_s: tokens that went through the model, padding left out.
        held_out_loss: on data that is not trained on, where it was measured after this step.
    """

    at: float
    name: str
    step: int
    steps: int
    loss: float
    tokens_per_s: float
    held_out_loss: float | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """Event: the question is known."""

    question: Question


@dataclass(frozen=True, slots=True)
class Said:
    """Event: the answer is decided, whole, and passed every check."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class Sound:
    """Event: the next piece of the spoken answer."""

    pcm: Pcm


@dataclass(frozen=True, slots=True)
class Done:
    """Event: the turn is over; always the last."""

    record: TurnRecord


TurnEvent = Heard | Said | Sound | Done
