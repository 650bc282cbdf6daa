"""Facts as rows of the turn log: what is kept of each, and what is not.

Not kept: the customer's key (only whether there was one), the text of answers about a customer's own affairs.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

from teller.stores.turn_schema import STAGES
from teller.turn import Answer, DataClass, LookupRecord, Source, ToggleRecord, TrainingRecord, TurnRecord

_LATEST = 1e11  # Unix time that calendars can show: the year 5138
_TIMINGS = struct.Struct(f"<{len(STAGES)}f")


class Kind(NamedTuple):
    """The facts of a turn that have few values; '' and -1 stand for "none".

    Attributes:
        source: a `turn.Source`; '' for a lookup whose turn never ended.
        outcome: 'exact', 'semantic' or a `turn.MissReason`; '' if the cache was not asked.
        data_class: of the answer, also where it was composed anew; '' if there was none.
        grounded: 1, 0; -1 if no generator ran.
        identified: whether the channel had verified who calls.
        reason: why it was refused or handed over.
    """

    tenant: str
    locale: str
    source: str
    outcome: str
    data_class: str
    adapter: str
    grounded: int
    identified: int
    reason: str

    @property
    def is_hit(self) -> bool:
        """Whether the cache answered."""
        return self.outcome in ("exact", "semantic")

    @property
    def is_miss(self) -> bool:
        """Whether the cache was asked and gave nothing."""
        return self.outcome != "" and not self.is_hit


LookupRow = tuple[Kind, tuple[object, ...]]  # and (at, similarity, spent_ms)


class TurnRow(NamedTuple):
    """A turn for the tables `turn` and `said`, without its number."""

    kind: Kind
    turn: tuple[object, ...]  # turn_id, call_id, started_at
    numbers: tuple[object, ...]  # answer_ms, pieces, similarity, timings
    said: tuple[object, ...]  # question, answer, details


def turn_row(record: TurnRecord, *, keep_text: bool) -> TurnRow:
    """A turn as it is kept.

    Raises:
        TypeError, ValueError, OverflowError: if it holds what no turn has, as a time that is no number.
    """
    answer, timings = record.answer, record.timings_ms
    hit = answer.evidence
    outcome = hit.tier if hit is not None else record.miss_reason or ""
    kind = Kind(
        record.scope.tenant,
        record.scope.locale,
        str(answer.source),
        str(outcome),
        str(answer.data_class) if answer.source is not Source.BROKEN_OFF else "",
        record.adapter or "",
        -1 if record.grounded is None else int(record.grounded),
        int(record.scope.customer is not None),
        answer.reason,
    )
    blob = _TIMINGS.pack(*(timings.get(stage, math.nan) for stage in STAGES))
    private = answer.data_class is DataClass.CUSTOMER
    return TurnRow(
        Kind(*map(_clean, kind)),
        (_clean(record.turn_id), _clean(record.call_id), _unix_s(record.started_at)),
        (_answer_ms(record), int(record.pieces), _number(record.similarity), blob),
        (
            _clean(record.question.text) if keep_text else None,
            _clean(answer.text) if keep_text and not private else None,
            json.dumps(_details(record, keep_text=keep_text and not private), separators=(",", ":"), default=str),
        ),
    )


def _answer_ms(record: TurnRecord) -> float:
    """From the question, heard, to its answer, decided; the sum of the stages where nobody took the time."""
    timings = record.timings_ms
    heard = timings.get("hear", 0.0)
    if record.answered_ms:
        return max(0.0, _finite(record.answered_ms - heard))
    return _finite(sum(timings.values()) - heard - timings.get("speak", 0.0))


def lookup_row(record: LookupRecord) -> LookupRow:
    """A lookup without a turn, as it is kept."""
    data_class = str(record.data_class) if record.data_class is not None else ""
    kind = Kind(_clean(record.tenant), "", "", str(record.outcome), data_class, "", -1, 0, "")
    return kind, (_unix_s(record.at), _number(record.similarity), _finite(record.spent_ms))


def toggle_row(record: ToggleRecord) -> tuple[object, ...]:
    """The columns of `toggle` but its number."""
    row = (str(record.toggle), record.before, record.after, record.who, record.why, record.canary)
    return (_unix_s(record.at), *map(_clean, row), _finite(record.share))


def training_row(record: TrainingRecord) -> tuple[object, ...]:
    """The columns of `training` but its number."""
    losses = map(_number, (record.loss, record.tokens_per_s, record.held_out_loss))
    return (_unix_s(record.at), _clean(record.name), record.step, record.steps, *losses)


def timings_of(blob: bytes) -> dict[str, float]:
    """Milliseconds by stage of the stages that ran."""
    found = zip(STAGES, _TIMINGS.unpack(blob), strict=True)
    return {stage: round(spent, 4) for stage, spent in found if not math.isnan(spent)}


def _details(record: TurnRecord, *, keep_text: bool) -> dict[str, Any]:
    """What is shown of one turn only."""
    answer, question = record.answer, record.question
    found: dict[str, Any] = {
        "answer_id": answer.answer_id if keep_text or answer.source is not Source.TOOL else "",
        "confidence": round(question.confidence, 4),
        "redacted": list(question.redacted),
        "citations": [[one.id, one.title, one.version] for one in answer.citations],
        "stamps": list(answer.stamps),
    }
    if keep_text:
        found["values"] = [[str(value.kind), value.canonical] for value in question.values]
    if record.spoken_s:
        found["spoken_s"] = round(record.spoken_s, 3)
    if record.interrupted:
        found["interrupted"] = True
    if answer.evidence is not None:
        found["evidence"] = _evidence(answer, keep_text=keep_text)
    return found


def _evidence(answer: Answer, *, keep_text: bool) -> Mapping[str, Any]:
    found = asdict(answer.evidence) if answer.evidence is not None else {}
    return found if keep_text else {name: value for name, value in found.items() if name not in ("matched", "checks")}


def _clean(value: Any) -> Any:
    """Text that SQLite takes: a lone half of a surrogate pair becomes a question mark."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{value} where a number is wanted")
    return float(value)


def _unix_s(value: float) -> float:
    if not 0 <= value < _LATEST:  # also not a number
        raise ValueError(f"{value} where a Unix time is wanted")
    return float(value)
