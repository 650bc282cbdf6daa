"""What the bank allows its cache, and what can become of an answer that is offered to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from teller.errors import InputError
from teller.turn import Answer, DataClass, MissReason, Question, Scope, Source

_DAY_S = 86_400.0


class Outcome(StrEnum):
    """What became of an offer; also the metric's label."""

    KEPT = "kept"
    HELD = "held"  # in quarantine until verified: nothing shows that it is right
    SAME = "same"  # is there already
    TEMPLATE = "template"  # computed from the question's own values: computed anew each time
    NOT_AN_ANSWER = "not_an_answer"  # refused, handed over, or itself from the cache
    NOT_ELIGIBLE = "not_eligible"
    NO_IDENTITY = "no_identity"
    STALE = "stale"  # what it rests on has changed meanwhile
    TOO_LONG = "too_long"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class Offered:
    """What became of an offer; `entry_id` is set if it was kept, held or there already."""

    outcome: Outcome
    entry_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheRules:
    """What the bank allows the cache.

    Attributes:
        eligible: why a question of this scope may not be looked up or kept; None if it may. There is no default: what
            may be cached is the bank's decision.
        risk_class: the operator's name for what a wrong hit costs, by question and class of data.
        ttl_s: life of an entry in seconds by class of data; absolute, hits do not prolong it.
        min_accuracy: entries below are not served; a new one has 2/3, one wrong check makes it 1/2.
        max_entries: more are evicted, least valuable first.
        max_bytes: of texts and vectors, likewise.
        max_question_chars: longer ones are neither looked up nor kept.
        max_answer_chars: longer ones are not kept.
    """

    eligible: Callable[[Question, Scope], MissReason | None]
    risk_class: Callable[[Question, DataClass], str] = lambda _, data_class: data_class.value
    ttl_s: Mapping[DataClass, float] = field(
        default_factory=lambda: {DataClass.PUBLIC: 30 * _DAY_S, DataClass.PRODUCT: _DAY_S, DataClass.CUSTOMER: 300.0}
    )
    enabled: bool = True
    min_accuracy: float = 0.6
    max_entries: int = 100_000
    max_bytes: int = 1_000_000_000
    max_question_chars: int = 1_000
    max_answer_chars: int = 8_000

    def __post_init__(self) -> None:
        if not 0 <= self.min_accuracy < 1:
            raise InputError(f"min_accuracy is from 0 to below 1, got {self.min_accuracy}")
        if self.max_entries < 1 or self.max_bytes < 1:
            raise InputError("max_entries and max_bytes are at least 1")
        wrong = [data_class for data_class in DataClass if not self.ttl_s.get(data_class, 0) > 0]
        if wrong:
            raise InputError(f"every class of data needs a life above 0 s, {', '.join(wrong)} has none")

    def why_not(self, question: Question, scope: Scope) -> MissReason | None:
        """Why this question may be neither looked up nor kept; None if it may.

        Raises:
            InputError: if it is empty.
        """
        if not question.text.strip():
            raise InputError("there is nothing to look up: the question is empty")
        if not self.enabled:
            return MissReason.DISABLED
        if len(question.text) > self.max_question_chars:
            return MissReason.NOT_ELIGIBLE
        return self.eligible(question, scope)

    def why_not_keep(self, question: Question, answer: Answer, scope: Scope) -> Outcome | None:
        """Why this answer may not be kept for this question; None if it may.

        Raises:
            InputError: if one of them is empty.
        """
        if not answer.text.strip() or not answer.answer_id:
            raise InputError("there is nothing to keep: the answer has no text or no id")
        reason = self.why_not(question, scope)
        if reason is not None:
            return Outcome.DISABLED if reason is MissReason.DISABLED else Outcome.NOT_ELIGIBLE
        if answer.source is Source.TOOL:
            return Outcome.TEMPLATE
        if answer.source not in (Source.APPROVED, Source.MODEL):
            return Outcome.NOT_AN_ANSWER
        if len(answer.text) > self.max_answer_chars:
            return Outcome.TOO_LONG
        if answer.data_class is DataClass.CUSTOMER and scope.customer is None:
            return Outcome.NO_IDENTITY
        return None


def is_trusted(answer: Answer) -> bool:
    """Whether an answer may be served at once: approved word for word, or generated and grounded in what it cites."""
    return answer.source is Source.APPROVED or (answer.source is Source.MODEL and bool(answer.citations))
