"""Watches what the cache serves: an anytime-valid test of each risk class's claim, which tightens or closes it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from teller.cache.calibration import check_share
from teller.cache.judge import Region, from_log_odds, log_odds
from teller.errors import InputError


class HitMonitor:
    """Holds the certified regions, watches checked hits, and tightens or closes a class whose hits are wrong too often.

    For every probability level it keeps a test martingale against "at most max_false_hits of the hits are wrong": a
    mixture of bets on higher shares, which may be looked at after every hit and alarms falsely with a probability of at
    most 1 - confidence, ever (Ville 1939; Robbins 1970; Waudby-Smith & Ramdas 2024, "Estimating means of bounded random
    variables by betting"). When a class's lowest level raises the alarm, the class goes on at the lowest stricter level
    that is not suspect itself, or closes if there is none. A class without a calibration is closed.
    """

    def __init__(self) -> None:
        self._limits = _Limits()
        self._regions: dict[str, Region] = {}
        self._levels: dict[str, list[_Level]] = {}

    def calibrate(self, body: Mapping[str, Any]) -> None:
        """Put what `calibration_body` gave in force; classes that it does not name are closed.

        Raises:
            InputError: if the body is not of that form.
        """
        try:
            limits = _Limits(float(body["max_false_hits"]), float(body["confidence"]))
            regions = {
                str(name): Region(float(row["min_probability"]), None if row["bound"] is None else float(row["bound"]))
                for name, row in body["regions"].items()
            }
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            raise InputError(f"not a calibration of this version: {exc!r}; calibrate again") from exc
        kept = self._levels if regions == self._regions and limits == self._limits else {}
        self._limits, self._regions, self._levels = limits, regions, kept

    def observe(self, risk_class: str, right: bool, probability: float) -> None:
        """One hit of the class was checked; `probability` is what the judge had claimed for it."""
        for level in self._of(risk_class):
            if probability >= level.min_probability:
                level.hits += 1
                level.wrong += not right
                level.alarmed = level.alarmed or self._evidence(level) >= self._limits.alarm

    def region(self, risk_class: str) -> Region | None:
        """The certified region, tightened by what was seen; None if the class is closed."""
        levels = self._of(risk_class)
        if not levels:
            return None
        if not levels[0].alarmed:
            return self._regions[risk_class]
        for level in levels[1:]:
            if level.hits and not level.alarmed and self._evidence(level) <= 0.0:
                return Region(level.min_probability, self._bound(level))
        return None

    def bound(self, risk_class: str) -> float:
        """Upper limit on the share of wrong hits seen so far, valid at all times at once; 1 before any was checked."""
        levels = self._of(risk_class)
        return self._bound(levels[0]) if levels else 1.0

    def dump(self) -> dict[str, Any]:
        """JSON of what was observed; not the calibrations."""
        return {
            name: [[level.min_probability, level.hits, level.wrong, level.alarmed] for level in levels]
            for name, levels in self._levels.items()
        }

    def load(self, body: Mapping[str, Any]) -> None:
        """Begin with what `dump` gave, instead of what was observed so far; {} is the beginning."""
        self._levels = {
            name: [_Level(float(least), int(hits), int(wrong), bool(alarmed)) for least, hits, wrong, alarmed in rows]
            for name, rows in body.items()
        }

    def _of(self, risk_class: str) -> list[_Level]:
        region = self._regions.get(risk_class)
        if region is None:
            return []
        levels = self._levels.get(risk_class)
        if levels is None or levels[0].min_probability != region.min_probability:
            base = log_odds(region.min_probability)
            levels = [_Level(region.min_probability), *(_Level(from_log_odds(base + rise)) for rise in _STRICTER)]
            self._levels[risk_class] = levels
        return levels

    def _evidence(self, level: _Level) -> float:
        """Logarithm of the martingale: what a fair bettor against the class has won."""
        limit = self._limits.max_false_hits
        shares = np.array([limit * factor for factor in _BETS if limit * factor < _LARGEST] or [(1.0 + limit) / 2.0])
        gains = (level.hits - level.wrong) * np.log((1.0 - shares) / (1.0 - limit)) + level.wrong * np.log(
            shares / limit
        )
        return float(np.logaddexp.reduce(gains) - math.log(len(shares)))

    def _bound(self, level: _Level) -> float:
        """From the mixture of all shares with a Beta(1/2, 1/2) prior (Robbins 1970, method of mixtures)."""
        if not level.hits:
            return 1.0
        low, high = level.wrong / level.hits, 1.0
        for _ in range(50):
            middle = (low + high) / 2
            inside = _mixture(level.wrong, level.hits, middle) < self._limits.alarm
            low, high = (middle, high) if inside else (low, middle)
        return high


_BETS = (1.5, 2.0, 3.0, 5.0, 8.0, 13.0, 30.0)  # shares that are betted on, in multiples of the limit
_LARGEST = 0.95
_STRICTER = (0.7, 1.4, 2.1)  # stricter levels, in log-odds above the certified one


@dataclass(frozen=True, slots=True)
class _Limits:
    max_false_hits: float = 0.01
    confidence: float = 0.95

    def __post_init__(self) -> None:
        check_share("max_false_hits", self.max_false_hits)
        check_share("confidence", self.confidence)

    @property
    def alarm(self) -> float:
        """Logarithm of the winnings at which the class's claim is given up."""
        return math.log(1.0 / (1.0 - self.confidence))


@dataclass(slots=True)
class _Level:
    min_probability: float
    hits: int = 0
    wrong: int = 0
    alarmed: bool = False


def _mixture(wrong: int, hits: int, share: float) -> float:
    """Logarithm of the likelihood of the Beta(1/2, 1/2) mixture over that of one share."""
    right = hits - wrong
    mixed = math.lgamma(wrong + 0.5) + math.lgamma(right + 0.5) - math.lgamma(hits + 1.0) - math.log(math.pi)
    if share >= 1.0:
        return math.inf if right else mixed
    return mixed - wrong * math.log(share) - right * math.log1p(-share)
