"""How fast logged turns were: waiting times by stage and source, load, and what each adapter version did.

One pass over a range in chunks; memory does not grow with the number of turns. Percentiles come from buckets 2 % wide:
each is within 1 % of the exact one. Counts, means and the highest concurrency are exact.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from teller.stores.turn_figures import share
from teller.stores.turn_reader import Columns, Span, TurnReader
from teller.stores.turn_rows import Kind
from teller.stores.turn_schema import STAGES
from teller.turn import Source, ToggleRecord

_LEAST_MS = 0.001
_WIDTH = 1.02
_BUCKETS = 1 + math.ceil(math.log(3_600_000 / _LEAST_MS) / math.log(_WIDTH))  # up to an hour
ANSWER, WHOLE = "answer", "whole turn"  # beside the stages: question to answer; everything up to the first sound
MEASURES = (*STAGES, ANSWER, WHOLE)
_GENERATE = STAGES.index("generate")
_AROUND = [STAGES.index("hear"), STAGES.index("speak")]  # what question to answer leaves out


@dataclass(slots=True)
class Times:
    """Waiting times by stage, for any number of turns in 1,200 numbers each.

    Stages are those of `turn_schema.STAGES`, then ANSWER and WHOLE.
    """

    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros((len(MEASURES), _BUCKETS), np.int64))

    def add(self, measured: NDArray[np.float64]) -> None:
        """Add turns, (n, 11) milliseconds in the order of the stages; NaN for a stage that did not run."""
        with np.errstate(invalid="ignore"):
            places = np.log(np.maximum(measured, _LEAST_MS) / _LEAST_MS) / math.log(_WIDTH)
        for stage in range(len(MEASURES)):
            ran = places[:, stage][~np.isnan(measured[:, stage])]
            self.counts[stage] += np.bincount(np.minimum(ran.astype(np.int64), _BUCKETS - 1), minlength=_BUCKETS)

    def turns(self, stage: str) -> int:
        """In how many it ran."""
        return int(self.counts[MEASURES.index(stage)].sum())

    def percentile(self, stage: str, level: float) -> float | None:
        """Milliseconds that `level` percent of the turns stay under; None if the stage never ran."""
        counts = self.counts[MEASURES.index(stage)]
        total = int(counts.sum())
        if not total:
            return None
        place = int(np.searchsorted(np.cumsum(counts), max(1.0, math.ceil(total * level / 100))))
        return float(_LEAST_MS * _WIDTH ** (place + 0.5))

    def __iadd__(self, other: Times) -> Times:
        self.counts += other.counts
        return self


@dataclass(slots=True)
class AdapterTurns:
    """What one adapter version did; the base model has the name ''.

    Attributes:
        generated: turns in which the generator ran.
        grounded: of them those whose wording agreed with the approved answer.
        first_at, last_at: start of the first and the last turn, Unix seconds.
        by_slot: turns over the range in equal slots.
    """

    name: str
    by_slot: NDArray[np.int64]
    turns: int = 0
    generated: int = 0
    grounded: int = 0
    pieces: int = 0
    generate_s: float = 0.0
    first_at: float = math.inf
    last_at: float = -math.inf
    times: Times = field(default_factory=Times)

    @property
    def tokens_per_s(self) -> float | None:
        """Pieces / seconds of generating; None if nothing was generated."""
        return share(self.pieces, self.generate_s)


@dataclass(slots=True)
class Speed:
    """The load of a range and how it was borne.

    Attributes:
        busy_s: seconds spent in turns, sum over all: the mean concurrency is this / the range's length.
        most_at_once: turns that ran at the same moment at most, by their start and their stages' time.
        busiest_minute: turns that began in it.
        by_source: waiting times by where the answer came from; turns that were broken off before it have none.
        by_slot: turns over the range in equal slots.
    """

    span: Span
    by_slot: NDArray[np.int64]
    turns: int = 0
    busy_s: float = 0.0
    most_at_once: int = 0
    busiest_minute: int = 0
    first_at: float = math.inf
    last_at: float = -math.inf
    by_source: dict[str, Times] = field(default_factory=dict)
    adapters: dict[str, AdapterTurns] = field(default_factory=dict)
    toggles: Sequence[ToggleRecord] = ()

    @property
    def turns_per_s(self) -> float | None:
        """Over the time from the first turn to the last; None with fewer than two."""
        return share(self.turns - 1, self.last_at - self.first_at) if self.turns > 1 else None


def measure_speed(reader: TurnReader, span: Span, slots: int = 40) -> Speed:
    """Go over the turns of a range once."""
    found = Speed(span, np.zeros(slots, np.int64), toggles=reader.toggles(span))
    under_way, minutes = _UnderWay(), Counter[int]()
    for columns in reader.columns(span):
        kinds = reader.kinds()  # after the turns: servers go on writing, and new kinds come with them
        measured = _measured(columns)
        whole_s = measured[:, -1] / 1_000
        found.turns += len(columns.id)
        found.busy_s += float(whole_s.sum())
        found.first_at = min(found.first_at, float(columns.started_at[0]))
        found.last_at = max(found.last_at, float(columns.started_at[-1]))
        found.most_at_once = max(found.most_at_once, under_way.most(columns.started_at, whole_s))
        found.busiest_minute = max(found.busiest_minute, _busiest(columns.started_at, minutes))
        place = _slots(columns.started_at, span, slots)
        found.by_slot += np.bincount(place, minlength=slots)
        for number in np.unique(columns.kind):
            chosen = columns.kind == number
            _account(found, kinds[int(number)], columns, measured, chosen, place[chosen])
    return found


def _account(
    found: Speed,
    kind: Kind,
    columns: Columns,
    measured: NDArray[np.float64],
    chosen: NDArray[np.bool_],
    place: NDArray[np.int64],
) -> None:
    """Add the turns of one kind to its source and its adapter."""
    times = Times()
    if kind.source != Source.BROKEN_OFF:  # it waited for an answer that never came, and its last stage was cut short
        times.add(measured[chosen])
        if kind.source not in found.by_source:
            found.by_source[kind.source] = Times()
        found.by_source[kind.source] += times
    slots = len(found.by_slot)
    one = found.adapters.setdefault(kind.adapter, AdapterTurns(kind.adapter, np.zeros(slots, np.int64)))
    one.times += times
    one.turns += len(place)
    one.by_slot += np.bincount(place, minlength=slots)
    one.generated += len(place) if kind.grounded >= 0 else 0
    one.grounded += len(place) if kind.grounded == 1 else 0
    streamed = columns.pieces[chosen]
    one.pieces += int(streamed.sum())
    one.generate_s += float(np.nansum(measured[chosen, _GENERATE][streamed > 0])) / 1_000
    one.first_at = min(one.first_at, float(columns.started_at[chosen][0]))
    one.last_at = max(one.last_at, float(columns.started_at[chosen][-1]))


def _measured(columns: Columns) -> NDArray[np.float64]:
    """(n, 11): the stages, question to answer, and everything up to the first sound."""
    stages = columns.timings.astype(np.float64)
    around = np.nansum(stages[:, _AROUND], axis=1)
    return np.column_stack([stages, columns.answer_ms, columns.answer_ms + around])


def _slots(started_at: NDArray[np.float64], span: Span, slots: int) -> NDArray[np.int64]:
    place = (started_at - span.since) / span.length_s * slots
    return np.clip(place.astype(np.int64), 0, slots - 1)


def _busiest(started_at: NDArray[np.float64], minutes: Counter[int]) -> int:
    """Turns of the busiest minute; the last one of a chunk goes on in the next."""
    found, counts = np.unique((started_at // 60).astype(np.int64), return_counts=True)
    before = minutes.pop(int(found[0]), 0)
    counts[0] += before
    minutes.clear()
    minutes[int(found[-1])] = int(counts[-1])
    return int(counts.max())


class _UnderWay:
    """Counts turns that run at the same time, given in the order of their start."""

    def __init__(self) -> None:
        self._ends = np.zeros(0)

    def most(self, starts: NDArray[np.float64], lengths: NDArray[np.float64]) -> int:
        """Most at once among these and the ones before."""
        ends = np.sort(np.concatenate([self._ends, starts + lengths]))
        # At a turn's start: all that have begun, less those that have ended. An end is never before its own start,
        # so ends of turns that begin later do not count.
        begun = len(self._ends) + np.arange(1, len(starts) + 1)
        over = np.searchsorted(ends, starts, side="right")
        self._ends = ends[ends > starts[-1]]
        return int((begun - over).max())
