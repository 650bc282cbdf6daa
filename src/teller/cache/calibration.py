"""How sure a judge must be before it may serve, certified from labels.

All limits are on hits (wrong hits / hits), never on requests: being asked hopeless questions earns no allowance.

`calibrate` certifies regions from labelled opinions (Learn-then-Test). `live_regions.LiveRegions` estimates them while
a cache fills, and `monitor.HitMonitor` watches what is served.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from teller.cache.judge import Region
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
