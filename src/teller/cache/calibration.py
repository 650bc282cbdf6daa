"""How sure a judge must be before it may serve: certified from labels, estimated live, and watched while it serves.

All limits are on hits (wrong hits / hits), never on requests: being asked hopeless questions earns no allowance.

`calibrate` certifies regions from labelled opinions (Learn-then-Test). `LiveRegions` estimates them while a cache
fills, from the labels that every miss gives for nothing. `monitor.HitMonitor` watches what is served.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teller.cache.judge import Region, from_log_odds
from teller.errors import InputError

_STARTS = 5  # places from which the fixed sequence of tests begins; each has an equal part of the error allowance
_STEP = 1.1  # each region in the family holds this many times the hits of the one before


@dataclass(frozen=True, slots=True)
class Record:
    """One opinion of a judge whose rightness is known.

    Attributes:
        probability: what the judge claimed, 0 to 1; 0 where a guard forbade serving.
        answer_class: the right answer's identity: evidence is split by it, so no answer is on both sides.
    """

    risk_class: str
    probability: float
    right: bool
    answer_class: str


@dataclass(frozen=True, slots=True)
class Point:
    """One region of the family that was tested: its hits in the calibration part, and the limit that they support."""

    min_probability: float
    hits: int
    wrong: int
    bound: float
    hit_rate: float


@dataclass(frozen=True, slots=True)
class Certificate:
    """What calibration found for one risk class.

    Attributes:
        region: the widest region that the evidence supports, None if the class is closed.
        records: how many opinions it rests on, in the calibration part.
        test_hits: hits of the region in the part that calibration did not see.
        test_wrong: wrong ones among them.
        test_bound: upper limit on the share of wrong hits from the test part alone, at the same confidence.
        curve: the family, strictest first.
        reason: why the class is closed; empty otherwise.
    """

    risk_class: str
    region: Region | None
    records: int
    test_hits: int
    test_wrong: int
    test_bound: float
    curve: tuple[Point, ...] = field(repr=False)
    reason: str = ""


def calibrate(
    records: Iterable[Record], *, max_false_hits: float = 0.01, confidence: float = 0.95
) -> dict[str, Certificate]:
    """Certify a region for each risk class; deterministic.

    The family is nested (all opinions from some probability up). Its members are tested by the exact binomial tail of
    "more than max_false_hits of the hits are wrong", each of a few fixed starts going wider until a test fails, the
    allowance shared among the starts (Angelopoulos et al. 2021, "Learn then Test", section 3.2 and appendix). Members
    are placed by their number of hits, never by labels, so given the claimed probabilities each test is exact.

    Raises:
        InputError: if there are no records, or a limit, confidence or probability is not between 0 and 1.
    """
    check_share("max_false_hits", max_false_hits)
    check_share("confidence", confidence)
    by_class: dict[str, list[Record]] = {}
    for record in records:
        if not 0.0 <= record.probability <= 1.0:  # NaN fails too
            raise InputError(f"a record claims the probability {record.probability}; wanted 0 to 1")
        by_class.setdefault(record.risk_class, []).append(record)
    if not by_class:
        raise InputError(
            "no labelled opinions to calibrate on: give a file of labelled questions, or let hits be checked"
        )
    return {name: _certify(name, by_class[name], max_false_hits, confidence) for name in sorted(by_class)}


def upper_bound(wrong: int, hits: int, confidence: float) -> float:
    """Exact (Clopper-Pearson 1934) upper limit on a share of which `wrong` of `hits` were seen; 1 without hits."""
    if wrong >= hits:
        return 1.0
    low, high = wrong / hits, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _binomial_tail(wrong, hits, middle) > 1 - confidence else (low, middle)
    return high


def check_share(name: str, value: float) -> None:
    """Refuse a limit or a confidence that is not strictly between 0 and 1.

    Raises:
        InputError: if it is not.
    """
    if not 0.0 < value < 1.0:
        raise InputError(f"{name} is {value}; wanted more than 0 and less than 1, as in 0.01")


def _binomial_tail(wrong: int, hits: int, share: float) -> float:
    """Probability of at most `wrong` of `hits` when each is wrong with probability `share`."""
    if share <= 0.0 or wrong >= hits:
        return 1.0
    if share >= 1.0:
        return 0.0
    term = hits * math.log1p(-share)
    total, odds = math.exp(term), math.log(share) - math.log1p(-share)
    for k in range(1, wrong + 1):
        term += math.log((hits - k + 1) / k) + odds
        total += math.exp(term)
    return min(1.0, total)


def _in_test(answer_class: str) -> bool:
    return hashlib.blake2b(answer_class.encode("utf-8", "surrogatepass"), digest_size=1).digest()[0] % 2 == 1


def _certify(name: str, records: Sequence[Record], limit: float, confidence: float) -> Certificate:
    learn = [record for record in records if not _in_test(record.answer_class)]
    test = [record for record in records if _in_test(record.answer_class)]
    curve = _family(learn, limit, confidence)
    region = _widest(curve, limit, confidence)
    served = [record for record in test if region and record.probability >= region.min_probability]
    wrong = sum(not record.right for record in served)
    needed = math.ceil(math.log((1 - confidence) / _STARTS) / math.log1p(-limit))
    reason = "" if region else f"{limit:.2%} of hits wrong could not be ruled out; it takes {needed} right hits or more"
    bound = upper_bound(wrong, len(served), confidence)
    return Certificate(name, region, len(learn), len(served), wrong, bound, curve, reason)


def _family(records: Sequence[Record], limit: float, confidence: float) -> tuple[Point, ...]:
    ranked = sorted((record for record in records if record.probability > 0.0), key=lambda record: -record.probability)
    claimed = [-record.probability for record in ranked]
    wrong = np.cumsum([not record.right for record in ranked], dtype=np.int64) if ranked else np.zeros(0, np.int64)
    smallest = math.log(1 - confidence) / math.log1p(-limit)
    points: list[Point] = []
    for step in range(1 + max(0, math.ceil(math.log(max(1.0, len(ranked) / smallest)) / math.log(_STEP)))):
        place = min(len(ranked), math.ceil(smallest * _STEP**step))
        if not ranked:
            break
        hits = bisect_right(claimed, claimed[place - 1])  # all that claim as much, so that ties are served alike
        if points and hits == points[-1].hits:
            continue
        bound = upper_bound(int(wrong[hits - 1]), hits, 1 - (1 - confidence) / _STARTS)
        points.append(Point(ranked[hits - 1].probability, hits, int(wrong[hits - 1]), bound, hits / len(records)))
    return tuple(points)


def _widest(curve: Sequence[Point], limit: float, confidence: float) -> Region | None:
    """The widest member that a chain of passed tests reaches from one of the starts."""
    best: Point | None = None
    for start in range(_STARTS):
        for point in curve[len(curve) * start // _STARTS :]:
            if _binomial_tail(point.wrong, point.hits, limit) > (1 - confidence) / _STARTS:
                break
            if best is None or point.hits > best.hits:
                best = point
    return Region(best.min_probability, best.bound) if best else None


class LiveRegions:
    """Estimates regions while a cache fills, with no labels but those that misses bring.

    Every miss is answered anew, which tells whether what the cache would have given was right. So the error rate just
    below the region is always known, from fresh questions; above it, it is extrapolated by a logistic curve in the
    judge's own log-odds, begun at the judge's word for it. The region is the widest in which the expected share of
    wrong hits over the latest questions, and one standard error more, stays under the limit. It is an estimate, not
    a certificate: `Region.bound` is None, and docs/benchmarks.md has streams on which it ran slightly over.

    Args:
        max_false_hits: limit on the share of wrong hits, 0 to 1.
        floor: share of errors that no confidence removes (slips in the answers themselves).
    """

    def __init__(self, *, max_false_hits: float = 0.01, floor: float = 0.001) -> None:
        check_share("max_false_hits", max_false_hits)
        self._limit = max_false_hits
        self._floor = floor
        self._classes: dict[str, _Live] = {}

    def region(self, risk_class: str) -> Region:
        """The present region; the judge's own word decides until there is evidence."""
        live = self._classes.get(risk_class)
        return Region(live.min_probability if live else 1.0 - self._limit)

    def answered(self, risk_class: str, probability: float, right: bool | None) -> None:
        """A question was answered; `right`: would the opinion have been, None if it was served and is not known."""
        live = self._classes.setdefault(risk_class, _Live(1.0 - self._limit))
        live.recent.append(log_odds(probability))
        if right is not None and live.recent[-1] > _LEAST:
            row = live.right if right else live.wrong
            row[_bin(live.recent[-1])] += 1
        live.seen += 1
        if live.seen % _REFIT == 0:
            live.min_probability = self._widest(live)

    def _widest(self, live: _Live) -> float:
        start, slope = _fit(live.right, live.wrong)
        claimed = np.sort(np.array(live.recent))[::-1]
        error = self._floor + (1.0 - self._floor) / (1.0 + np.exp(start + slope * claimed))
        share = np.cumsum(error) / np.arange(1, len(error) + 1)
        share += np.sqrt(share / np.arange(1, len(error) + 1))  # one standard error of as many hits
        inside = np.flatnonzero((share <= self._limit) & (claimed > _LEAST))
        return from_log_odds(float(claimed[inside[-1]])) if len(inside) else 1.0


_REFIT = 64  # answers between two fits
_RECENT = 4096  # answers that stand for the questions that come
_LEAST, _MOST, _WIDTH = -1.0, 9.0, 0.25  # range and bins of log-odds from which the curve is learned
_BINS = round((_MOST - _LEAST) / _WIDTH)
_PRIOR = np.array([0.0, 1.0])  # the judge's word taken as it is
_PRIOR_WEIGHT = np.array([4.0, 40.0])


@dataclass(slots=True)
class _Live:
    min_probability: float
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))
    right: NDArray[np.float64] = field(default_factory=lambda: np.zeros(_BINS))
    wrong: NDArray[np.float64] = field(default_factory=lambda: np.zeros(_BINS))
    seen: int = 0


def _bin(value: float) -> int:
    return min(_BINS - 1, int((value - _LEAST) / _WIDTH))


def log_odds(probability: float) -> float:
    """Logarithm of the odds of a probability, which is kept a millionth away from 0 and 1."""
    probability = min(max(probability, 1e-6), 1 - 1e-6)
    return math.log(probability / (1 - probability))


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


def calibration_body(
    certificates: Mapping[str, Certificate], *, max_false_hits: float, confidence: float
) -> dict[str, Any]:
    """JSON of the regions that were certified, for the log and `HitMonitor.calibrate`."""
    regions = {name: found.region for name, found in certificates.items()}
    return {
        "name": "regions",
        "max_false_hits": max_false_hits,
        "confidence": confidence,
        "regions": {name: asdict(region) for name, region in regions.items() if region},
    }
