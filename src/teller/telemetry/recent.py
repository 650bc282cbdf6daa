"""What the series say of the last minutes: rates, shares and percentiles, as a dashboard computes them from a scrape.

Percentiles are read off the histograms' buckets, linear within one, as Prometheus' `histogram_quantile` does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from teller.telemetry.series import Cell, Histogram, Series
from teller.telemetry.table import BUCKETS_S, METRICS, NONE, Kind
from teller.turn import Tier, ToggleRecord

View = dict[str, Any]
WINDOW_S = 300.0
_STEP_S = 5.0  # between two looks that are kept
_RATE_S = 10.0  # over which turns a second are counted
_TIERS = frozenset(Tier)
_ADDED_UP = frozenset(
    {
        "teller_turns_total",
        "teller_cache_lookups_total",
        "teller_grounding_checks_total",
        "teller_failures_total",
        "teller_answer_seconds",
        "teller_first_sound_seconds",
    }
)

Values = tuple[str, ...]
_Look = dict[str, dict[Values, tuple[float, ...]]]  # a number has one part, a histogram one for each bucket


class Recent:
    """Looks back over `WINDOW_S`, or to the first look if that was later."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, _Look]] = deque()
        self._turns: deque[tuple[float, float]] = deque()

    def look(self, series: Series, now: float) -> View:
        """Take the numbers as they are, and give what became of them; `now` is in seconds that never go back.

        The series are those of `Telemetry.up_to_date`.
        """
        look = _look(series)
        self._keep(look, now)
        since, before = self._looks[0]
        grown = {name: _grown(look[name], before.get(name, {})) for name in look}
        cells = {metric.name: cells for metric, cells in series.items()}
        return {
            "window_s": round(now - since, 1),
            "turns": self._turns_view(look, grown),
            "cache": _cache_view(look, grown, cells),
            "times": _times_view(grown),
            "calls": {"active": _gauge(cells, "teller_calls_active"), "free": _gauge(cells, "teller_calls_free")},
            "grounding": _grounding_view(grown["teller_grounding_checks_total"]),
            "failures": _counts(grown["teller_failures_total"], 0),
            "adapters": _adapters_view(cells),
            "log": {
                "waiting": _gauge(cells, "teller_turn_log_waiting"),
                "shed": _gauge(cells, "teller_turn_log_shed_total"),
                "dropped": _gauge(cells, "teller_telemetry_dropped_total"),
            },
        }

    def _keep(self, look: _Look, now: float) -> None:
        if not self._looks or now - self._looks[-1][0] >= _STEP_S:
            self._looks.append((now, look))
        while len(self._looks) > 1 and self._looks[1][0] <= now - WINDOW_S:
            self._looks.popleft()
        self._turns.append((now, _total(look["teller_turns_total"].values())))
        while len(self._turns) > 2 and self._turns[1][0] <= now - _RATE_S:
            self._turns.popleft()

    def _turns_view(self, look: _Look, grown: _Look) -> View:
        (began, first), (ended, last) = self._turns[0], self._turns[-1]
        return {
            "total": round(_total(look["teller_turns_total"].values())),
            "per_s": round((last - first) / (ended - began), 3) if ended > began else None,
            "by_source": _counts(grown["teller_turns_total"], 1),
        }


def toggle_view(one: ToggleRecord) -> View:
    """A toggle as plain data."""
    names = ("at", "toggle", "before", "after", "who", "why", "canary", "share")
    return {name: getattr(one, name) for name in names}


def quantile_ms(counts: Sequence[float], level: float) -> float | None:
    """Milliseconds that a share `level` of the observations stay under; None without any.

    What lies beyond the last bound counts as that bound.
    """
    total = sum(counts)
    if not total:
        return None
    below, wanted = 0.0, level * total
    for place, bound in enumerate(BUCKETS_S):
        if below + counts[place] >= wanted:
            low = BUCKETS_S[place - 1] if place else 0.0
            return round(1_000 * (low + (bound - low) * (wanted - below) / counts[place]), 3)
        below += counts[place]
    return 1_000 * BUCKETS_S[-1]


def _look(series: Series) -> _Look:
    found: _Look = {name: {} for name in _ADDED_UP}
    for metric, cells in series.items():
        if metric.name in _ADDED_UP:
            found[metric.name] = {
                values: tuple(cell.counts) if isinstance(cell, Histogram) else (cell.value,)
                for values, cell in cells.items()
            }
    return found


def _grown(now: Mapping[Values, tuple[float, ...]], before: Mapping[Values, tuple[float, ...]]) -> Any:
    return {
        values: tuple(new - old for new, old in zip(parts, before[values], strict=True)) if values in before else parts
        for values, parts in now.items()
    }


def _total(parts: Iterable[tuple[float, ...]]) -> float:
    return sum(map(sum, parts))


def _counts(cells: Mapping[Values, tuple[float, ...]], place: int) -> dict[str, int]:
    """By one label, most first; those that did not grow are left out."""
    found: dict[str, int] = {}
    for values, parts in cells.items():
        found[values[place]] = found.get(values[place], 0) + round(sum(parts))
    return {name: count for name, count in sorted(found.items(), key=lambda one: (-one[1], one[0])) if count}


def _cache_view(look: _Look, grown: _Look, cells: Mapping[str, Mapping[Values, Cell]]) -> View:
    recent = _counts(grown["teller_cache_lookups_total"], 1)
    whole = _counts(look["teller_cache_lookups_total"], 1)
    opened = _by_class(cells, "teller_cache_class_open")
    columns = {
        "certified": _by_class(cells, "teller_cache_class_certified"),
        "bound": _by_class(cells, "teller_cache_certified_bound_ratio"),
        "observed": _by_class(cells, "teller_cache_observed_bound_ratio"),
    }
    return {
        **_hits(recent),
        "since_start": _hits(whole),
        "by_tier": {tier.value: recent.get(tier, 0) for tier in Tier},
        "by_reason": {name: count for name, count in recent.items() if name not in _TIERS},
        "entries": _gauge(cells, "teller_cache_entries"),
        "held": _gauge(cells, "teller_cache_held_entries"),
        "memory_bytes": _gauge(cells, "teller_cache_memory_bytes"),
        "checked": {name: _gauge(cells, "teller_cache_checked_hits", name) or 0 for name in ("right", "wrong")},
        "limit": _gauge(cells, "teller_cache_false_hit_limit_ratio"),
        "classes": [
            {"class": name, "open": bool(is_open), **{column: by.get(name) for column, by in columns.items()}}
            for name, is_open in opened.items()
        ],
    }


def _hits(counts: Mapping[str, int]) -> View:
    hits, asked = sum(counts.get(tier, 0) for tier in Tier), sum(counts.values())
    return {"hits": hits, "misses": asked - hits, "hit_rate": round(hits / asked, 4) if asked else None}


def _times_view(grown: _Look) -> View:
    sound = grown["teller_first_sound_seconds"]
    together = [sum(bucket) for bucket in zip(*sound.values(), strict=True)] if sound else []
    return {
        "first_sound": _levels(together),
        "answer": [
            {"source": values[0], **_levels(counts)}
            for values, counts in sorted(grown["teller_answer_seconds"].items())
            if sum(counts)
        ],
    }


def _levels(counts: Sequence[float]) -> View:
    return {"turns": round(sum(counts)), "p50_ms": quantile_ms(counts, 0.5), "p95_ms": quantile_ms(counts, 0.95)}


def _grounding_view(cells: Mapping[Values, tuple[float, ...]]) -> View:
    counts = _counts(cells, METRICS["teller_grounding_checks_total"].labels.index("grounded"))
    return {"checked": sum(counts.values()), "failed": counts.get("no", 0)}


def _adapters_view(cells: Mapping[str, Mapping[Values, Cell]]) -> View:
    states = {state: name for name, state in cells.get("teller_adapter_info", {})}
    live = states.get("live", NONE)
    return {
        "live": None if live == NONE else live,
        "canary": states.get("canary"),
        "share": _gauge(cells, "teller_adapter_canary_share_ratio"),
        "served": _gauge(cells, "teller_adapter_served") != 0,
    }


def _gauge(cells: Mapping[str, Mapping[Values, Cell]], name: str, *values: str) -> float | None:
    cell = cells.get(name, {}).get(values)
    return None if cell is None or isinstance(cell, Histogram) else cell.value


def _by_class(cells: Mapping[str, Mapping[Values, Cell]], name: str) -> dict[str, float]:
    assert METRICS[name].kind is Kind.GAUGE
    found = cells.get(name, {})
    return {values[0]: cell.value for values, cell in found.items() if not isinstance(cell, Histogram)}
