"""How sure a judge must be before it may serve, estimated while a cache fills."""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teller.cache.calibration import check_share
from teller.cache.judge import Region, from_log_odds, log_odds


class LiveRegions:
    """Estimates regions while a cache fills, with no labels but those that misses bring.

    Every miss is answered anew, which tells whether what the cache would have given was right. So the error rate just
    below the region is always known, from fresh questions; above it, it is extrapolated by a logistic curve in the
    judge's own log-odds, begun at the judge's word for it. The region is the widest in which the expected share of
    wrong hits over the latest questions, and one standard error of as many hits as are remembered, stays under the
    limit: a young cache, whose few hits weigh little in the share, is held no tighter than an old one. It is an
    estimate, not a certificate: `Region.bound` is None, and docs/benchmarks.md has streams on which it ran over.

    Args:
        max_false_hits: limit on the share of wrong hits, 0 to 1.
        floor: share of errors that no confidence removes: slips in the answers themselves. On seven labelled streams
            0 to 0.25 % of the opinions with log-odds over 6.5 were wrong.
    """

    def __init__(self, *, max_false_hits: float = 0.01, floor: float = 0.002) -> None:
        check_share("max_false_hits", max_false_hits)
        self._limit = max_false_hits
        self._floor = floor
        self._classes: dict[str, _Live] = {}

    def region(self, risk_class: str) -> Region:
        """The present region; the judge's own word decides until there is evidence."""
        live = self._classes.get(risk_class)
        if live is None:
            return Region(1.0 - self._limit)
        if live.is_stale:
            live.min_probability, live.is_stale = self._widest(live), False
        return Region(live.min_probability)

    def answered(self, risk_class: str, probability: float, right: bool | None) -> None:
        """A question was answered; `right`: would the opinion have been, None if it was served and is not known."""
        live = self._classes.setdefault(risk_class, _Live(1.0 - self._limit))
        live.fresh.append((round(log_odds(probability), _DIGITS), right))
        if len(live.fresh) >= _REFIT:
            live.take_in()

    def dump(self) -> dict[str, Any]:
        """JSON of everything that was learned; 11 kilobytes for a class at most."""
        return {name: live.dump() for name, live in self._classes.items()}

    def load(self, body: Mapping[str, Any]) -> None:
        """Begin with what `dump` gave, instead of what was learned so far; {} is the beginning."""
        self._classes = {name: _Live.load(one, 1.0 - self._limit) for name, one in body.items()}

    def _widest(self, live: _Live) -> float:
        start, slope = _fit(live.right, live.wrong)
        claimed = np.sort(np.array(live.recent))[::-1]
        error = self._floor + (1.0 - self._floor) / (1.0 + np.exp(start + slope * claimed))
        share = np.cumsum(error) / np.arange(1, len(error) + 1)
        share += np.sqrt(share / _RECENT)
        inside = np.flatnonzero((share <= self._limit) & (claimed > _LEAST))
        return from_log_odds(float(claimed[inside[-1]])) if len(inside) else 1.0


_REFIT = 64  # answers between two fits: the region rests on whole blocks of them, so that equal logs give equal regions
_DIGITS = 3  # of a log-odds, after the point
_RECENT = 4096  # answers that stand for the questions that come
_LEAST, _MOST, _WIDTH = -1.0, 9.0, 0.25  # range and bins of log-odds from which the curve is learned
_BINS = round((_MOST - _LEAST) / _WIDTH)
_PRIOR = np.array([0.0, 1.0])  # the judge's word taken as it is
_PRIOR_WEIGHT = np.array([4.0, 40.0])


@dataclass(slots=True)
class _Live:
    """What is known of one class; `fresh` answers wait until they are a block."""

    min_probability: float
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))
    right: NDArray[np.float64] = field(default_factory=lambda: np.zeros(_BINS))
    wrong: NDArray[np.float64] = field(default_factory=lambda: np.zeros(_BINS))
    fresh: list[tuple[float, bool | None]] = field(default_factory=list)
    is_stale: bool = False

    def take_in(self) -> None:
        for odds, right in self.fresh:
            self.recent.append(odds)
            if right is not None and odds > _LEAST:
                (self.right if right else self.wrong)[_bin(odds)] += 1
        self.fresh.clear()
        self.is_stale = True

    def dump(self) -> dict[str, Any]:
        milli = np.round(np.array(self.recent) * 10**_DIGITS).astype("<i2")
        return {
            "recent": base64.b64encode(milli.tobytes()).decode(),
            "right": self.right.tolist(),
            "wrong": self.wrong.tolist(),
            "fresh": [list(one) for one in self.fresh],
        }

    @staticmethod
    def load(body: Mapping[str, Any], min_probability: float) -> _Live:
        live = _Live(min_probability, is_stale=bool(body["recent"]))
        milli = np.frombuffer(base64.b64decode(body["recent"]), dtype="<i2")
        live.recent.extend((milli / 10**_DIGITS).tolist())
        live.right[:], live.wrong[:] = body["right"], body["wrong"]
        live.fresh += [(float(odds), None if right is None else bool(right)) for odds, right in body["fresh"]]
        return live


def _bin(value: float) -> int:
    return min(_BINS - 1, int((value - _LEAST) / _WIDTH))


def _fit(right: NDArray[np.float64], wrong: NDArray[np.float64]) -> tuple[float, float]:
    """Logistic curve of rightness in log-odds, from counts by bin: Newton's method on the penalised likelihood."""
    centres = _LEAST + _WIDTH * (np.arange(_BINS) + 0.5)
    design = np.column_stack([np.ones(_BINS), centres])
    weights = _PRIOR.copy()
    for _ in range(12):
        chance = 1.0 / (1.0 + np.exp(-design @ weights))
        slope = design.T @ (right - (right + wrong) * chance) - _PRIOR_WEIGHT * (weights - _PRIOR)
        curve = (design * ((right + wrong) * chance * (1 - chance))[:, None]).T @ design + np.diag(_PRIOR_WEIGHT)
        weights = weights + np.linalg.solve(curve, slope)
    return float(weights[0]), float(max(weights[1], 0.05))
