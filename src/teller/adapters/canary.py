"""Whether a canary does worse than what is live at the same time: a test that may be looked at after every turn.

Three shares are compared between the calls on the canary and the calls on the live version: generations that passed
the grounding check, that did not fail, that were not slow. Each comparison is an e-process for two Bernoulli streams
(Turner, Ly, Grünwald, "Generic E-variables for exact sequential k-sample tests", 2021): a product that is expected to
stay at 1 or below while the canary is no worse, so by Ville's inequality the chance that it ever reaches 1 / a is at
most a, however often and however long it is looked at. A weighted mean of such processes is one again: of a bet on the
drop that is to be found and one on the drop that is learned, and of the three comparisons.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import exp, log, log1p
from statistics import median

from teller.errors import InputError
from teller.turn import TurnRecord

_LEARNED_FROM = 20.0  # turns that the expected share weighs as much as: few, so that what is seen soon counts
_LEAST_DROP = 0.03  # the alternative stays this far below the live share, however well the canary does
_LEAST_SHARE = 0.01  # so that no logarithm is of 0
_ON_THE_DROP = 0.75  # of the stake; the rest is on what is learned, for smaller and larger drops
_WEIGHTS = {"grounded": 0.7, "answered": 0.15, "in time": 0.15}
_EXPECTED = {"grounded": 0.95, "answered": 0.99, "in time": 0.95}
_KEPT_TIMES = 201  # of the live version, whose median says what slow is
_MIN_TIMES = 10
_SLOW = 2.0  # times the live version's median
_SLOW_MS = 50.0  # and this much longer, so that a wobble of a few milliseconds is never slow


@dataclass(slots=True)
class Arm:
    """Outcomes of one side."""

    good: int = 0
    bad: int = 0

    def add(self, *, good: bool) -> None:
        """One more."""
        self.good += good
        self.bad += not good

    @property
    def total(self) -> int:
        """Outcomes."""
        return self.good + self.bad

    @property
    def share(self) -> float:
        """Good ones of all, 1 for none."""
        return self.good / self.total if self.total else 1.0


@dataclass(slots=True)
class Comparison:
    """Evidence that the canary's share of good outcomes is below the live version's.

    Attributes:
        drop: of the share, that is to be found soon.
        expected: the live share, before anything is seen.
    """

    drop: float
    expected: float
    live: Arm = field(default_factory=Arm)
    canary: Arm = field(default_factory=Arm)
    _live_new: Arm = field(default_factory=Arm)
    _canary_new: Arm = field(default_factory=Arm)
    _on_drop: float = 0.0  # natural logarithms of the two bets
    _on_learned: float = 0.0

    @property
    def evidence(self) -> float:
        """Natural logarithm of the e-process; above 0 speaks against the canary."""
        bets = log(_ON_THE_DROP) + self._on_drop, log(1 - _ON_THE_DROP) + self._on_learned
        return max(bets) + log1p(exp(min(bets) - max(bets)))

    def add(self, *, is_canary: bool, good: bool) -> None:
        """One more outcome; a block ends with the first of the canary's after one of the live version's."""
        (self._canary_new if is_canary else self._live_new).add(good=good)
        if is_canary and self._live_new.total:
            self._weigh(self._live_new, self._canary_new)
            for arm, new in ((self.live, self._live_new), (self.canary, self._canary_new)):
                arm.good, arm.bad = arm.good + new.good, arm.bad + new.bad
            self._live_new, self._canary_new = Arm(), Arm()

    def _weigh(self, live: Arm, canary: Arm) -> None:
        """Add what a block says, by shares that earlier blocks give."""
        best = _learned(self.live, self.expected, highest=0.995)
        worse = max(best - self.drop, best / 2)  # half, where the live version is nearly always wrong
        learned = _learned(self.canary, worse, highest=max(best - _LEAST_DROP, best / 2))
        self._on_drop += _gain(live, canary, best, worse)
        self._on_learned += _gain(live, canary, best, learned)


def _gain(live: Arm, canary: Arm, best: float, worse: float) -> float:
    """Logarithm of a block's likelihood under two shares over that under the one share that is nearest to them."""
    null = (live.total * best + canary.total * worse) / (live.total + canary.total)
    return sum(
        arm.good * log(share / null) + arm.bad * log((1 - share) / (1 - null))
        for arm, share in ((live, best), (canary, worse))
    )


def _learned(arm: Arm, expected: float, *, highest: float) -> float:
    share = (arm.good + _LEARNED_FROM * expected) / (arm.total + _LEARNED_FROM)
    return min(max(share, _LEAST_SHARE), highest)


@dataclass(frozen=True, slots=True)
class Finding:
    """Why a canary is to be withdrawn.

    Attributes:
        what: "grounded", "answered" or "in time": the share that speaks most against it.
        turns: of the canary, that a generator ran in.
    """

    what: str
    live: float
    canary: float
    turns: int

    @property
    def why(self) -> str:
        """In words."""
        return (
            f"after {self.turns} turns {self.canary:.0%} of the canary's generations are {self.what}, "
            f"{self.live:.0%} of the live version's"
        )


class CanaryTrial:
    """One canary against one live version, in one process.

    Args:
        canary, live: served names; `live` None for the base model.
        drop: of a share, that is to be found soon, 0.03 to 0.5.
        false_withdrawals: largest chance to withdraw a canary that is no worse, 0 to 0.5.

    Raises:
        InputError: if a number is outside its range.
    """

    def __init__(self, canary: str, live: str | None, *, drop: float = 0.1, false_withdrawals: float = 0.01) -> None:
        if not _LEAST_DROP <= drop <= 0.5 or not 0 < false_withdrawals <= 0.5:
            raise InputError(f"a canary's drop is 0.03 to 0.5 and its error 0 to 0.5, got {drop}, {false_withdrawals}")
        self.canary, self.live = canary, live
        self.comparisons: Mapping[str, Comparison] = {what: Comparison(drop, _EXPECTED[what]) for what in _WEIGHTS}
        self._limit = 1 / false_withdrawals
        self._times: deque[float] = deque(maxlen=_KEPT_TIMES)

    def turn(self, record: TurnRecord) -> Finding | None:
        """Weigh a turn; gives why the canary is to be withdrawn, once that is so."""
        if record.grounded is None or record.adapter not in (self.canary, self.live):
            return None  # no generator ran, or the call holds an older version
        is_canary = record.adapter == self.canary
        answered = record.pieces > 0
        self.comparisons["answered"].add(is_canary=is_canary, good=answered)
        if answered:
            self.comparisons["grounded"].add(is_canary=is_canary, good=record.grounded)
            self._clock(record.timings_ms.get("generate", 0.0), is_canary=is_canary)
        return self._finding() if is_canary else None

    @property
    def evidence(self) -> float:
        """The e-process: at most 1 is expected of a canary that is no worse."""
        return sum(weight * exp(min(50.0, self.comparisons[what].evidence)) for what, weight in _WEIGHTS.items())

    def _clock(self, spent_ms: float, *, is_canary: bool) -> None:
        if len(self._times) >= _MIN_TIMES:
            typical_ms = median(self._times)
            in_time = spent_ms <= max(_SLOW * typical_ms, typical_ms + _SLOW_MS)
            self.comparisons["in time"].add(is_canary=is_canary, good=in_time)
        if not is_canary:
            self._times.append(spent_ms)

    def _finding(self) -> Finding | None:
        if self.evidence < self._limit:
            return None
        what = max(_WEIGHTS, key=lambda one: _WEIGHTS[one] * exp(min(50.0, self.comparisons[one].evidence)))
        found = self.comparisons[what]
        return Finding(what, found.live.share, found.canary.share, self.comparisons["answered"].canary.total)
