"""Where each risk class may be served: certified once somebody has calibrated, estimated from its misses until then.

A certificate is about one judge on one embedder. One that was made with another closes every class until somebody
calibrates again: an upgrade never serves on evidence that is not about it.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from teller.cache.judge import CertifiedJudge, Region
from teller.cache.live_regions import LiveRegions
from teller.cache.monitor import HitMonitor
from teller.cache.verdict import Accept, Probe, Reject, Verdict
from teller.cache.verifier import Verifier
from teller.errors import InputError
from teller.turn import MissReason

_UNTOLD = 4_096  # answers that wait to be written to the log; beyond, the oldest are forgotten
_REMEMBERED = 1_024  # opinions that wait for the answer that was given instead


class RiskRegions:
    """As `Regions` for a judge and as `ClassMonitor` for a cache: what the log has certified, else what live ones say.

    What one process learns from its misses counts once the log has it, in every process alike: a second server, or one
    that was started again, has the same regions.

    Args:
        live: estimates while nothing is certified; fed from the log alone.
        made_with: identity of judge and embedder, asked for when a calibration is read.

    Attributes:
        calibration: the one in the log, None if there is none.
    """

    def __init__(self, live: LiveRegions, made_with: Callable[[], str]) -> None:
        self.live = live
        self.calibration: Mapping[str, Any] | None = None
        self._made_with = made_with
        self._certified = HitMonitor()
        self._untold: deque[tuple[str, float, bool | None]] = deque(maxlen=_UNTOLD)

    @property
    def made_with(self) -> str:
        """Identity of the judge and the embedder in use."""
        return self._made_with()

    @property
    def is_foreign(self) -> bool:
        """Whether the calibration is about another judge or embedder, and so closes every class."""
        return self.calibration is not None and self.calibration.get("made_with") != self.made_with

    def region(self, risk_class: str) -> Region | None:
        """The region in force; None if the class is closed."""
        if self.calibration is None:
            return self.live.region(risk_class)
        return None if self.is_foreign else self._certified.region(risk_class)

    def bound(self, risk_class: str) -> float | None:
        """Upper limit on the share of wrong hits among those checked; None before any was."""
        found = self._certified.bound(risk_class)
        return found if found < 1.0 else None

    def calibrate(self, body: Mapping[str, Any]) -> None:
        """As `ClassMonitor.calibrate`; a body that is "withdrawn" leaves none in force, a broken one closes all."""
        if body.get("name") != "regions":
            return
        self.calibration = None if body.get("withdrawn") else body
        if self.calibration is None or self.is_foreign:
            return
        try:
            self._certified.calibrate(body)
        except InputError:
            self.calibration = {**body, "made_with": "another version of Teller"}
            raise

    def observe(self, risk_class: str, right: bool, probability: float) -> None:
        """As `ClassMonitor.observe`."""
        self._certified.observe(risk_class, right, probability)

    def answered(self, risk_class: str, probability: float, right: bool | None) -> None:
        """As `LiveRegions.answered`, once the log has been told."""
        self._untold.append((risk_class, probability, right))

    def untold(self) -> dict[str, Any]:
        """As `ClassMonitor.untold`."""
        found = [list(one) for one in self._untold]
        self._untold.clear()
        return {"made_with": self.made_with, "answered": found} if found else {}

    def learn(self, body: Mapping[str, Any]) -> None:
        """As `ClassMonitor.learn`; what another judge or embedder was told says nothing about this one."""
        if body["made_with"] == self.made_with:
            for risk_class, probability, right in body["answered"]:
                self.live.answered(risk_class, probability, right)

    def dump(self) -> dict[str, Any]:
        """As `ClassMonitor.dump`."""
        return {"checked": self._certified.dump(), "live": self.live.dump(), "made_with": self.made_with}

    def load(self, body: Mapping[str, Any]) -> None:
        """As `ClassMonitor.load`."""
        self._certified.load(body.get("checked", {}))
        self.live.load(body.get("live", {}) if body.get("made_with") == self.made_with else {})


class LearningJudge(CertifiedJudge):
    """The judge of a running bot: it is told what was answered where it served nothing, and its live regions learn."""

    def __init__(
        self, regions: RiskRegions, *, opposites: Iterable[tuple[str, str]] = (), verifier: Verifier | None = None
    ) -> None:
        super().__init__(regions, opposites=opposites, verifier=verifier)
        self._in_force = regions
        self._waiting: OrderedDict[str, tuple[str, str, float]] = OrderedDict()

    def judge(self, probe: Probe) -> Verdict:
        """As `CertifiedJudge.judge`; what was refused is remembered until the answer is known."""
        region = self._in_force.region(probe.risk_class)
        if region is None:
            return Reject(MissReason.CLASS_CLOSED)
        opinion = self.opine(probe)
        verdict = self.decide(opinion, region)
        if isinstance(verdict, Accept):
            self._in_force.answered(probe.risk_class, opinion.probability, None)
        else:
            self._waiting[probe.question.text] = (probe.risk_class, opinion.best.answer_id, opinion.probability)
            while len(self._waiting) > _REMEMBERED:
                self._waiting.popitem(last=False)
        return verdict

    def answered(self, question: str, answer_id: str) -> None:
        """A question that was not served from the cache has got this answer."""
        waiting = self._waiting.pop(question, None)
        if waiting is not None:
            risk_class, would_give, probability = waiting
            self._in_force.answered(risk_class, probability, would_give == answer_id)
