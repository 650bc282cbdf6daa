"""The numbers of a report, as plain data: what is drawn, tabulated and printed as JSON is this and nothing else.

Read from the turn log in a few passes; memory does not grow with the number of turns. Counts are exact; percentiles are
within 1 % of the exact ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import pandas as pd

from teller.stores.turn_figures import CacheHits, cache_hits, share, share_limits
from teller.stores.turn_reader import Span, TurnReader
from teller.stores.turn_rows import Kind
from teller.stores.turn_speed import ANSWER, AdapterTurns, Speed, measure_speed
from teller.turn import MissReason, Tier, ToggleRecord

View = dict[str, Any]
SLOTS = 48
BINS = 40
LEVELS = (1, 2, 5, *range(10, 100, 5), 98, 99)  # percentiles that a curve of waiting times is drawn through
GROUPS = ("semantic hit", "guarded", "not certain", "too far")

_COLUMNS: Final[Mapping[str, str]] = MappingProxyType(
    {"slot": "int64", "turns": "int64", "answer_ms": "float64", "is_hit": "bool"}
    | {"data_class": "object", "adapter": "object", "grounded": "int64"}
)
_GUARDS = {MissReason.VALUES_DIFFER, MissReason.POLARITY_DIFFERS, MissReason.ROLES_DIFFER, MissReason.TEMPLATE}
_NOT_CERTAIN = {MissReason.UNCERTAIN, MissReason.NO_CONSENSUS, MissReason.CLASS_CLOSED}


def read_figures(reader: TurnReader, span: Span, *, token_price: float = 0.0, currency: str = "") -> View:
    """Everything of a report that the turn log tells.

    Args:
        reader: of the log.
        span: what the report is about.
        token_price: of 1,000 generated tokens; 0 leaves money out.
        currency: of the price.
    """
    found, before = cache_hits(reader, span, SLOTS), cache_hits(reader, span.before, slots=1)
    speed = measure_speed(reader, span, SLOTS)
    tallies = _tallies(reader, span)
    return {
        "since": span.since,
        "until": span.until,
        "turns": found.turns,
        "turns_per_s": _rounded(speed.turns_per_s, 4),
        "most_at_once": speed.most_at_once,
        "cache": _totals(found, token_price),
        "before": _totals(before, token_price),
        "currency": currency if token_price else None,
        "by_class": _classes(found, token_price),
        "by_reason": dict(found.by_reason),
        "by_source": dict(found.by_source),
        "over_time": _over_time(found, span, _saved_by_slot(found, tallies)),
        "similarity": _similarity(reader, span),
        "latency": _latency(speed),
        "adapters": _adapters(speed),
        "adapters_over_time": _adapters_over_time(tallies, span),
        "toggles": [_toggle(one, speed.adapters) for one in speed.toggles],
        "shed": sum(records for _, records in reader.shed(span)),
    }


def _tallies(reader: TurnReader, span: Span) -> pd.DataFrame:
    """A row for each kind and slot."""
    rows = [
        (one.slot, one.turns, one.answer_ms, one.kind.is_hit, one.kind.data_class, one.kind.adapter, one.kind.grounded)
        for one in reader.tallies(span, SLOTS)
    ]
    table = pd.DataFrame(rows, columns=list(_COLUMNS))
    return table.astype(_COLUMNS)  # without rows pandas knows no types


def _totals(found: CacheHits, token_price: float) -> View:
    return {
        "turns": found.turns,
        "hits": found.hits,
        "misses": found.misses,
        "hit_rate": _rounded(found.hit_rate, 4),
        "hit_rate_eligible": _rounded(found.hit_rate_eligible, 4),
        "saved_s": _rounded(found.saved_s, 1),
        "saved_tokens": round(found.saved_tokens),
        "saved_money": round(found.saved_tokens / 1_000 * token_price, 2) if token_price else None,
    }


def _classes(found: CacheHits, token_price: float) -> list[View]:
    return [
        {
            "class": name,
            "hits": one.hits,
            "misses": one.misses,
            "hit_rate": _rounded(one.hit_rate, 4),
            "exact": one.by_tier[Tier.EXACT],
            "semantic": one.by_tier[Tier.SEMANTIC],
            "hit_ms": _rounded(one.hit_ms, 3),
            "composed_ms": _rounded(one.composed_ms, 3),
            "saved_s": _rounded(one.saved_s, 1),
            "saved_tokens": round(one.saved_tokens),
            "saved_money": round(one.saved_tokens / 1_000 * token_price, 2) if token_price else None,
        }
        for name, one in found.by_class.items()
    ]


def _saved_by_slot(found: CacheHits, tallies: pd.DataFrame) -> Sequence[float]:
    """Seconds saved in each slot: its hits by class times what one hit of the class saves."""
    each = {name: share(one.saved_s, one.hits) or 0.0 for name, one in found.by_class.items() if one.saved_s}
    hits = tallies[tallies["is_hit"]]
    saved = (hits["turns"] * hits["data_class"].map(each).fillna(0.0)).groupby(hits["slot"]).sum()
    return [float(value) for value in saved.reindex(range(SLOTS), fill_value=0.0)]


def _over_time(found: CacheHits, span: Span, saved_s: Sequence[float]) -> list[View]:
    return [
        {
            "at": at,
            "hits": hits,
            "misses": asked - hits,
            "hit_rate": _rounded(share(hits, asked), 4),
            "hit_rate_95": _limits(hits, asked),
            "saved_s": round(saved, 3),
        }
        for at, hits, asked, saved in zip(
            slot_starts(span), found.hits_by_slot, found.lookups_by_slot, saved_s, strict=True
        )
    ]


def _similarity(reader: TurnReader, span: Span) -> list[View]:
    """Bins from 0 to 1 in which a turn fell; exact hits, which no neighbour was looked at for, are left out."""
    counts = np.zeros((BINS, len(GROUPS)), np.int64)
    for kind, place, turns in reader.similarities(span, BINS):
        if (group := _group(kind)) is not None:
            counts[place, GROUPS.index(group)] += turns
    return [
        {
            "from": round(place / BINS, 4),
            "to": round((place + 1) / BINS, 4),
            **{group: int(count) for group, count in zip(GROUPS, row, strict=True)},
            "served": _rounded(share(int(row[0]), int(row.sum())), 4),
        }
        for place, row in enumerate(counts)
        if row.any()
    ]


def _group(kind: Kind) -> str | None:
    if kind.outcome == Tier.SEMANTIC:
        return "semantic hit"
    if not kind.is_miss:
        return None
    return "guarded" if kind.outcome in _GUARDS else "not certain" if kind.outcome in _NOT_CERTAIN else "too far"


def _latency(speed: Speed) -> list[View]:
    return [
        {
            "source": source,
            "turns": times.turns(ANSWER),
            **{f"p{level}": _rounded(times.percentile(ANSWER, level), 3) for level in (50, 95, 99)},
            "curve": [[_rounded(times.percentile(ANSWER, level), 3), level] for level in LEVELS],
        }
        for source, times in sorted(speed.by_source.items())
    ]


def _adapters(speed: Speed) -> list[View]:
    return [
        {
            "adapter": one.name or None,
            "turns": one.turns,
            **_grounding(one),
            "generate_p50": _rounded(one.times.percentile("generate", 50), 3),
            "generate_p95": _rounded(one.times.percentile("generate", 95), 3),
            "tokens_per_s": _rounded(one.tokens_per_s, 1),
            "first_at": one.first_at,
            "last_at": one.last_at,
        }
        for one in sorted(speed.adapters.values(), key=lambda one: one.first_at)
    ]


def _grounding(one: AdapterTurns | None) -> View:
    generated, grounded = (one.generated, one.grounded) if one else (0, 0)
    return {
        "generated": generated,
        "grounded": grounded,
        "grounded_share": _rounded(share(grounded, generated), 4),
        "grounded_share_95": _limits(grounded, generated),
    }


def _adapters_over_time(tallies: pd.DataFrame, span: Span) -> list[View]:
    """Answers that a generator gave, by slot and version."""
    generated = tallies[tallies["grounded"] >= 0]
    starts = slot_starts(span)
    found = []
    for _, rows in generated.groupby(["slot", "adapter"], sort=True):
        slot, adapter = int(rows["slot"].iloc[0]), str(rows["adapter"].iloc[0])
        turns = int(rows["turns"].sum())
        right = int(rows.loc[rows["grounded"] == 1, "turns"].sum())
        found.append(
            {
                "at": starts[slot],
                "adapter": adapter or None,
                "generated": turns,
                "grounded": right,
                "grounded_share": round(right / turns, 4),
                "answer_ms": round(float(rows["answer_ms"].sum()) / turns, 3),
            }
        )
    return found


def _toggle(one: ToggleRecord, adapters: dict[str, AdapterTurns]) -> View:
    """A toggle, with what the versions before and after it did in the whole range."""
    before, after = adapters.get(one.before or ""), adapters.get(one.canary or one.after or "")
    return {
        "at": one.at,
        "toggle": str(one.toggle),
        "before": one.before,
        "after": one.after,
        "canary": one.canary,
        "share": one.share,
        "who": one.who,
        "why": one.why,
        "grounded_before": _grounding(before)["grounded_share"],
        "grounded_after": _grounding(after)["grounded_share"],
        "change_95": _change(before, after),
    }


def _change(before: AdapterTurns | None, after: AdapterTurns | None) -> list[float] | None:
    """Limits of after - before in shares of grounded answers, 95 %: the hybrid score interval (Newcombe 1998)."""
    if before is None or after is None or before is after or not (before.generated and after.generated):
        return None
    old, new = before.grounded / before.generated, after.grounded / after.generated
    old_limits = share_limits(before.grounded, before.generated)
    new_limits = share_limits(after.grounded, after.generated)
    assert old_limits is not None
    assert new_limits is not None
    down = np.hypot(new - new_limits[0], old_limits[1] - old)
    up = np.hypot(new_limits[1] - new, old - old_limits[0])
    return [round(float(new - old - down), 4), round(float(new - old + up), 4)]


def slot_starts(span: Span) -> list[float]:
    """When each slot of a range begins, Unix seconds."""
    return [round(span.since + span.length_s * slot / SLOTS, 3) for slot in range(SLOTS)]


def _limits(part: int, whole: int) -> list[float] | None:
    limits = share_limits(part, whole)
    return [round(limit, 4) for limit in limits] if limits else None


def _rounded(value: float | None, places: int) -> float | None:
    return None if value is None else round(value, places)
