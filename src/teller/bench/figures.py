"""What a replay showed: figures of an arm, and what an arm gains over another, with an interval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teller.bench.replay import Reply

_RESAMPLES = 2000
_PERCENTILES = (50, 95, 99)


@dataclass(frozen=True, slots=True)
class ArmFigures:
    """One arm.

    Attributes:
        seconds: wall time of the whole stream.
        latency_ms, hit_ms, miss_ms: p50, p95 and p99 of all turns, of those that the cache answered, of the others.
        hit_rate: hits of all turns, 0 to 1.
        tokens: pieces that the generator streamed; None where nobody counted.
        cost: tokens at the price given, in its currency.
        wrong_hits: hits that are not what their label says, of `labelled_hits`.
    """

    turns: int
    seconds: float
    turns_per_s: float
    latency_ms: Mapping[str, float]
    hit_ms: Mapping[str, float]
    miss_ms: Mapping[str, float]
    hits: int
    hit_rate: float
    model_calls: int
    tokens: int | None
    cost: float | None
    labelled_hits: int
    wrong_hits: int
    by_source: Mapping[str, int]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Gain:
    """What an arm gains over the first one.

    Attributes:
        throughput: ratio of turns per second, wall time against wall time.
        work: ratio of the time spent on turns, question by question; `low` and `high` are its 95 % interval.
        hit: p50 of the first arm's same questions over the p50 of this arm's hits; None without hits.
        model_calls_saved, tokens_saved, cost_saved: against the first arm.
    """

    throughput: float
    work: float
    low: float
    high: float
    hit: float | None
    model_calls_saved: int
    tokens_saved: int | None
    cost_saved: float | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def figures_of(replies: Sequence[Reply], seconds: float, *, price_per_1k: float = 0.0) -> ArmFigures:
    """The figures of one arm.

    Args:
        replies: of every question, at least one.
        seconds: wall time that they took together.
        price_per_1k: of 1,000 generated tokens.
    """
    hits = [reply for reply in replies if reply.is_hit]
    pieces = [reply.pieces for reply in replies]
    tokens = None if any(count is None for count in pieces) else sum(count or 0 for count in pieces)
    labelled = [hit for hit in hits if hit.wrong is not None]
    return ArmFigures(
        turns=len(replies),
        seconds=seconds,
        turns_per_s=len(replies) / seconds,
        latency_ms=_percentiles([reply.ms for reply in replies]),
        hit_ms=_percentiles([hit.ms for hit in hits]),
        miss_ms=_percentiles([reply.ms for reply in replies if not reply.is_hit]),
        hits=len(hits),
        hit_rate=len(hits) / len(replies),
        model_calls=sum(reply.model_called for reply in replies),
        tokens=tokens,
        cost=None if tokens is None else tokens * price_per_1k / 1000,
        labelled_hits=len(labelled),
        wrong_hits=sum(bool(hit.wrong) for hit in labelled),
        by_source=dict(sorted(Counter(reply.source for reply in replies).items())),
    )


def gain_of(
    first: Sequence[Reply], other: Sequence[Reply], first_figures: ArmFigures, figures: ArmFigures, *, seed: int = 0
) -> Gain:
    """What `other` gains over `first` on the same questions.

    The interval is a paired bootstrap over questions (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993).
    """
    before, after = np.array([one.ms for one in first]), np.array([one.ms for one in other])
    low, high = _interval(before, after, np.random.default_rng(seed))
    is_hit = np.array([one.is_hit for one in other])
    hit = float(np.median(before[is_hit]) / np.median(after[is_hit])) if is_hit.any() else None
    both = first_figures.tokens is not None and figures.tokens is not None
    return Gain(
        throughput=figures.turns_per_s / first_figures.turns_per_s,
        work=float(before.sum() / after.sum()),
        low=low,
        high=high,
        hit=hit,
        model_calls_saved=first_figures.model_calls - figures.model_calls,
        tokens_saved=(first_figures.tokens or 0) - (figures.tokens or 0) if both else None,
        cost_saved=(first_figures.cost or 0.0) - (figures.cost or 0.0) if both else None,
    )


def _interval(
    before: NDArray[np.float64], after: NDArray[np.float64], random: np.random.Generator
) -> tuple[float, float]:
    ratios = np.empty(_RESAMPLES)
    for at in range(_RESAMPLES):  # one at a time: a million questions would not fit together
        drawn = random.integers(len(before), size=len(before))
        ratios[at] = before[drawn].sum() / after[drawn].sum()
    low, high = np.percentile(ratios, (2.5, 97.5))
    return float(low), float(high)


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {}
    found = np.percentile(np.asarray(values), _PERCENTILES)
    return {f"p{name}": round(float(value), 3) for name, value in zip(_PERCENTILES, found, strict=True)}
