"""Series in the formats that Prometheus scrapes; the only file that knows prometheus_client.

With its own registry, never the library's global one: two bots in one process do not mix. The library's own counters
take a lock and format their labels for every increment; here it only writes out what `series.py` has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import prometheus_client as client
from prometheus_client import exposition, metrics_core

from teller.telemetry.series import Cell, Histogram, Number, Series
from teller.telemetry.table import BUCKETS_S, Kind, Metric

_BOUNDS = (*map(str, BUCKETS_S), "+Inf")


class Exposition:
    """What a scrape is answered with: the series, and what the process itself uses (process_*)."""

    def __init__(self, series: Series) -> None:
        self._series = series
        self._process = client.ProcessCollector(registry=None)

    async def render(self, accept: str = "") -> tuple[bytes, str]:
        """Body and content type: OpenMetrics with exemplars if the scraper accepts it, else the text format.

        The numbers are taken at once; they are written out in a thread.
        """
        encode, content_type = exposition.choose_encoder(accept)
        taken = _Taken([_family(metric, cells) for metric, cells in self._series.items()])
        taken.families += self._process.collect()
        return await asyncio.to_thread(encode, taken), content_type


class _Taken(client.CollectorRegistry):
    """A registry of what was already collected."""

    def __init__(self, families: list[metrics_core.Metric]) -> None:
        super().__init__()
        self.families = families

    def collect(self) -> Iterable[metrics_core.Metric]:
        """As it is."""
        return self.families


def _family(metric: Metric, cells: Mapping[tuple[str, ...], Cell]) -> metrics_core.Metric:
    if metric.kind is Kind.HISTOGRAM:
        histograms = metrics_core.HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        for values, cell in cells.items():
            assert isinstance(cell, Histogram)
            histograms.add_metric(values, _buckets(cell), cell.total)
        return histograms
    if metric.kind is Kind.INFO:
        info = metrics_core.InfoMetricFamily(metric.name.removesuffix("_info"), metric.help)
        for values in cells:
            info.add_metric((), dict(zip(metric.labels, values, strict=True)))
        return info
    of_kind = metrics_core.CounterMetricFamily if metric.kind is Kind.COUNTER else metrics_core.GaugeMetricFamily
    numbers = of_kind(metric.name, metric.help, labels=metric.labels)
    for values, cell in cells.items():
        assert isinstance(cell, Number)
        numbers.add_metric(values, cell.value)
    return numbers


def _buckets(cell: Histogram) -> list[Any]:
    rows: list[Any] = []
    below = 0
    for bound, count, seen in zip(_BOUNDS, cell.counts, cell.exemplars, strict=True):
        below += count
        exemplar = client.samples.Exemplar({"trace_id": seen[0]}, seen[1], seen[2]) if seen else None
        rows.append((bound, below, exemplar))
    return rows
