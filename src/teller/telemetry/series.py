"""The numbers behind the metrics: cells that are looked up once and then only added to. No lock, no library.

One thread at a time may use it; `recorder.py` sees to that.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from teller.telemetry.table import BUCKETS_S, LABELS, METRICS, OTHER, Kind, Metric


@dataclass(slots=True)
class Number:
    """A counter or a gauge."""

    value: float = 0.0

    def add(self, amount: float = 1.0) -> None:
        """Add; what is not a number above zero is left out: a counter never goes back."""
        if amount > 0 and math.isfinite(amount):
            self.value += amount


Exemplar = tuple[str, float, float]  # trace id, observation in seconds, Unix time in seconds


@dataclass(slots=True)
class Histogram:
    """Observations in seconds; `counts` has one more place than there are bounds, for what is beyond them."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    total: float = 0.0
    exemplars: list[Exemplar | None] = field(default_factory=lambda: [None] * (len(BUCKETS_S) + 1))

    def observe(self, seconds: float, trace_id: str = "", at: float = 0.0) -> None:
        """Count an observation; a time below zero is taken for zero, one that is no number is left out."""
        if not 0.0 <= seconds < math.inf:
            if not -math.inf < seconds < 0.0:
                return
            seconds = 0.0
        place = bisect_left(BUCKETS_S, seconds)
        self.counts[place] += 1
        self.total += seconds
        if trace_id:
            self.exemplars[place] = (trace_id, seconds, at)


Cell = Number | Histogram


class Series:
    """Every series that there is: a cell for each metric and label values."""

    def __init__(self) -> None:
        self._cells: dict[str, dict[tuple[str, ...], Cell]] = {name: {} for name in METRICS}
        self._seen: dict[tuple[str, str], set[str]] = {}
        for metric in METRICS.values():
            if metric.kind is Kind.COUNTER and len(metric.labels) <= 1:
                self._begin_at_zero(metric)

    def number(self, name: str, *values: str) -> Number:
        """The cell of a counter, a gauge or an info."""
        cell = self._cell(name, values)
        assert isinstance(cell, Number)
        return cell

    def histogram(self, name: str, *values: str) -> Histogram:
        """The cell of a histogram."""
        cell = self._cell(name, values)
        assert isinstance(cell, Histogram)
        return cell

    def forget(self, name: str) -> None:
        """Drop a metric's series, to write it anew."""
        self._cells[name].clear()
        for label in METRICS[name].labels:
            self._seen.pop((name, label), None)

    def items(self) -> Iterator[tuple[Metric, Mapping[tuple[str, ...], Cell]]]:
        """Each metric that has series, in the order of the table."""
        for name, cells in self._cells.items():
            if cells:
                yield METRICS[name], cells

    def _begin_at_zero(self, metric: Metric) -> None:
        """Show a counter before its first increase, which would not be seen otherwise, where its labels are known."""
        if not metric.labels:
            self.number(metric.name)
        for label in metric.labels:
            for value in sorted(LABELS[label].allowed):
                self.number(metric.name, value)

    def _cell(self, name: str, values: tuple[str, ...]) -> Cell:
        cells = self._cells[name]
        if (found := cells.get(values)) is not None:
            return found
        metric = METRICS[name]
        if len(values) != len(metric.labels):
            raise ValueError(f"{name} has the labels {metric.labels}, got {len(values)} values")
        bounded = tuple(self._bounded(name, label, value) for label, value in zip(metric.labels, values, strict=True))
        if bounded not in cells:
            cells[bounded] = Histogram() if metric.kind is Kind.HISTOGRAM else Number()
        return cells[bounded]

    def _bounded(self, name: str, label: str, value: str) -> str:
        """The value, or "other" if it is beyond the label's bound."""
        bound = LABELS[label]
        if bound.allowed:
            return value if value in bound.allowed else OTHER
        seen = self._seen.setdefault((name, label), set())
        if value not in seen:
            if len(seen) >= bound.at_most or not value.isprintable() or len(value) > _LONGEST:
                return OTHER
            seen.add(value)
        return value


_LONGEST = 100  # characters of a label's value
