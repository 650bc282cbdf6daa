"""The judge that Teller ships: guards, consensus and the pair verifier, and a region in which it may serve.

`opine` says which neighbour's answer is likeliest and how likely it is right; `judge` serves it if the class's region
allows. The two are apart so that calibration, "what if" and live learning see what would have been said, served or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from teller.cache.consensus import Ballot, margin, tally
from teller.cache.guards import Difference, Guards, Reading
from teller.cache.verdict import Accept, Neighbour, Probe, Reject, Verdict
from teller.ports import Vectors
from teller.turn import MissReason, Question


@dataclass(frozen=True, slots=True)
class Region:
    """Where a risk class may be served.

    Attributes:
        min_probability: smallest probability that is served, 0 to 1.
        bound: certified upper limit on the share of wrong hits, None if it was estimated and not certified.
    """

    min_probability: float
    bound: float | None = None


class Regions(Protocol):
    """Knows each risk class's region."""

    def region(self, risk_class: str) -> Region | None:
        """The region of a class; None if it is closed."""
        ...


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the judge thinks, before it is asked whether that is enough.

    Attributes:
        best: the neighbour whose answer it would give.
        probability: that this answer is right, 0 to 1; 0 if a guard forbids every neighbour that carries it.
        votes: neighbours that carry the answer.
        difference: what a guard found against the answer's nearest neighbour when none of them passed.
    """

    best: Neighbour
    probability: float
    votes: int
    margin: float
    difference: Difference | None = None
    checks: Mapping[str, str] = field(default_factory=dict)


class CertifiedJudge:
    """Serves an answer if no guard forbids it and it is probable enough for its risk class.

    Args:
        regions: where each class may be served.
        opposites: the bank's own pairs of opposite actions, for the guards.
    """

    name = "consensus-1"
    neighbours = 24
    wants_tokens = True

    def __init__(self, regions: Regions, *, opposites: Iterable[tuple[str, str]] = ()) -> None:
        self._regions = regions
        self._guards = Guards(opposites)

    def sketch(self, question: Question, vector: Vectors, tokens: Vectors | None) -> bytes:  # noqa: ARG002
        """Nothing yet."""
        return b""

    def judge(self, probe: Probe) -> Verdict:
        """Serve the likeliest answer, or say why not."""
        region = self._regions.region(probe.risk_class)
        if region is None:
            return Reject(MissReason.CLASS_CLOSED)
        opinion = self.opine(probe)
        if opinion.difference:
            return Reject(opinion.difference.reason, opinion.checks)
        if opinion.probability < region.min_probability:
            reason = MissReason.TOO_FAR if opinion.best.similarity < _FAR else _doubt(opinion)
            return Reject(reason, opinion.checks)
        return Accept(opinion.best.entry_id, opinion.votes, opinion.probability, region.bound, opinion.checks)

    def opine(self, probe: Probe) -> Opinion:
        """The likeliest answer among those that some neighbour may give, and how likely it is right."""
        asked = self._guards.read(probe.question)
        left = list(probe.neighbours)
        first: Opinion | None = None
        for _ in range(_ROUNDS):
            ballots = _ballots(left)
            opinion = self._opinion(asked, left, ballots)
            if opinion.difference is None:
                return opinion
            first = first or opinion
            left = [neighbour for neighbour in left if neighbour.answer_id != ballots[0].answer_id]
            if not left:
                break
        assert first is not None
        return first

    def _opinion(self, asked: Reading, near: Sequence[Neighbour], ballots: Sequence[Ballot]) -> Opinion:
        found: list[Difference] = []
        ahead, members = margin(ballots), ballots[0].members
        checks = {"consensus": f"{len(members)} of {len(near)} neighbours, margin {ahead:.2f}"}
        for place in members:
            difference = self._guards.difference(
                asked, self._guards.read(Question(near[place].question, near[place].values))
            )
            if difference is None:
                checks["guards"] = "no difference found"
                probability = _probability(ahead, near[place].similarity, len(members))
                return Opinion(near[place], probability, len(members), ahead, checks=checks)
            found.append(difference)
        checks[found[0].rule] = found[0].found
        return Opinion(near[members[0]], 0.0, len(members), ahead, found[0], checks)


_ROUNDS = 3  # answers tried before the first difference is given as the reason
_FAR = 0.5  # cosine below which a neighbour is not about the same thing


def _ballots(near: Sequence[Neighbour]) -> tuple[Ballot, ...]:
    similarities = np.array([neighbour.similarity for neighbour in near], np.float32)
    return tally(similarities, np.stack([neighbour.vector for neighbour in near]), [n.answer_id for n in near])


def _probability(ahead: float, similarity: float, votes: int) -> float:
    if votes == 1:
        return float(1.0 / (1.0 + np.exp(-40.0 * (similarity - 0.88))))
    return float(1.0 / (1.0 + np.exp(0.6 - 9.0 * ahead)))


def _doubt(opinion: Opinion) -> MissReason:
    return MissReason.NO_CONSENSUS if opinion.margin < _SPLIT else MissReason.UNCERTAIN


_SPLIT = 0.2  # margin below which the neighbours speak for different answers
