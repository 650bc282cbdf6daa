"""The judge that Teller ships: guards, consensus and the pair verifier, and a region in which it may serve.

`opine` says which neighbour's answer is likeliest and how likely it is right; `judge` serves it if the class's region
allows. The two are apart so that calibration, "what if" and live learning see what would have been said, served or not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from teller.cache.consensus import Ballot, margin, tally
from teller.cache.guards import Difference, Guards, Reading
from teller.cache.verdict import Accept, Neighbour, Probe, Reject, Verdict
from teller.cache.verifier import Floats, Verifier, pair_facts
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
        margin: how far the answer is ahead of the next among the neighbours.
        alike: the verifier's log-odds for the question and `best`, within limits.
        difference: what a guard found against the answer's nearest neighbour when none of them passed.
    """

    best: Neighbour
    probability: float
    votes: int
    margin: float
    alike: float
    difference: Difference | None = None
    checks: Mapping[str, str] = field(default_factory=dict)


class CertifiedJudge:
    """Serves an answer if no guard forbids it and it is probable enough for its risk class.

    Args:
        regions: where each class may be served.
        opposites: the bank's own pairs of opposite actions, for the guards.
        verifier: of pairs; the shipped one if none is given.
    """

    neighbours = 24
    wants_tokens = True

    def __init__(
        self, regions: Regions, *, opposites: Iterable[tuple[str, str]] = (), verifier: Verifier | None = None
    ) -> None:
        self._regions = regions
        self._guards = Guards(opposites)
        self._verifier = verifier or Verifier()
        self.name = f"{_VERSION}-{self._verifier.name}"

    def sketch(self, question: Question, vector: Vectors, tokens: Vectors | None) -> bytes:  # noqa: ARG002
        """The words of a question as the verifier will compare them; empty without token vectors."""
        return b"" if tokens is None else self._verifier.sketch(tokens)

    def judge(self, probe: Probe) -> Verdict:
        """Serve the likeliest answer, or say why not."""
        region = self._regions.region(probe.risk_class)
        if region is None:
            return Reject(MissReason.CLASS_CLOSED)
        return self.decide(self.opine(probe), region)

    def decide(self, opinion: Opinion, region: Region) -> Verdict:
        """Whether an opinion is enough for a region."""
        if opinion.difference:
            return Reject(opinion.difference.reason, opinion.checks)
        if opinion.probability >= region.min_probability:
            return Accept(opinion.best.entry_id, opinion.votes, opinion.probability, region.bound, opinion.checks)
        if opinion.best.similarity < _FAR:
            return Reject(MissReason.TOO_FAR, opinion.checks)
        split = opinion.margin < _SPLIT
        return Reject(MissReason.NO_CONSENSUS if split else MissReason.UNCERTAIN, opinion.checks)

    def opine(self, probe: Probe) -> Opinion:
        """The likeliest answer among those that some neighbour may give, and how likely it is right."""
        asked = self._guards.read(probe.question)
        words = None if probe.tokens is None else self._verifier.project(probe.tokens)
        left = list(probe.neighbours)
        first: Opinion | None = None
        for _ in range(_ROUNDS):
            ballots = _ballots(left)
            opinion = self._opinion(asked, words, left, ballots)
            if opinion.difference is None:
                return self._among_passed(opinion, asked, left) if opinion.alike >= _SAME else opinion
            first = first or opinion
            left = [neighbour for neighbour in left if neighbour.answer_id != ballots[0].answer_id]
            if not left:
                break
        assert first is not None
        return first

    def _opinion(
        self, asked: Reading, words: Floats | None, near: Sequence[Neighbour], ballots: Sequence[Ballot]
    ) -> Opinion:
        found: list[Difference] = []
        ahead, members = margin(ballots), ballots[0].members
        checks = {"consensus": f"{len(members)} of {len(near)} neighbours, margin {ahead:.2f}"}
        for place in members:
            best = near[place]
            stored = self._read(best)
            difference = self._guards.difference(asked, stored)
            if difference is None:
                alike = self._alike(asked, words, stored, best)
                checks |= {"guards": "no difference found", "pair": f"log-odds {alike:.1f}"}
                probability = _probability(ahead, alike, len(members))
                return Opinion(best, probability, len(members), ahead, alike, checks=checks)
            found.append(difference)
        checks[found[0].rule] = found[0].found
        return Opinion(near[members[0]], 0.0, len(members), ahead, -_MOST_ALIKE, found[0], checks)

    def _among_passed(self, opinion: Opinion, asked: Reading, near: Sequence[Neighbour]) -> Opinion:
        """An opinion on what was asked in the same words before.

        Neighbours that a guard tells apart from it, as those that name other people, are no rivals then.
        """
        answer_id = opinion.best.answer_id
        passed = [
            neighbour
            for neighbour in near
            if neighbour.answer_id == answer_id or self._guards.difference(asked, self._read(neighbour)) is None
        ]
        ballots = _ballots(passed)
        ahead = margin(ballots)
        if ballots[0].answer_id != answer_id or ahead <= opinion.margin:
            return opinion
        checks = {
            **opinion.checks,
            "same words": f"{len(near) - len(passed)} neighbours told apart, margin {ahead:.2f}",
        }
        probability = _probability(ahead, opinion.alike, opinion.votes)
        return replace(opinion, probability=probability, margin=ahead, checks=checks)

    def _read(self, neighbour: Neighbour) -> Reading:
        return self._guards.read(Question(neighbour.question, neighbour.values))

    def _alike(self, asked: Reading, words: Floats | None, stored: Reading, best: Neighbour) -> float:
        """The verifier's log-odds, within limits; unlike where it cannot see both, very alike for equal words."""
        if asked.words == stored.words:
            return _MOST_ALIKE
        if words is None or not best.sketch or not len(words):
            return -_MOST_ALIKE
        facts = pair_facts(asked, stored, best.similarity)
        alike = self._verifier.log_odds(words, self._verifier.unsketch(best.sketch), facts)
        return max(-_MOST_ALIKE, min(_MOST_ALIKE, alike))


_VERSION = "consensus-1"
_ROUNDS = 6  # answers tried before the first difference is given as the reason
_FAR = 0.5  # cosine below which a neighbour is not about the same thing
_SPLIT = 0.2  # margin below which the neighbours speak for different answers
_MOST_ALIKE = 5.0
_SAME = 2.0  # log-odds of the verifier from which two questions say the same
# Log-odds that an answer is right, by its margin: logistic fit on streams of the bank's own ways of asking and of
# generated questions (4,704 opinions). Streams of other banks' questions give -0.6 and 9, -0.1 and 10.3.
_START, _SLOPE = -1.7, 11.2
_ALIKE_ALONE, _ALIKE_LESS_A_VOTE, _DOUBT = 0.5, 1.5, 3.0


def _ballots(near: Sequence[Neighbour]) -> tuple[Ballot, ...]:
    similarities = np.array([neighbour.similarity for neighbour in near], np.float32)
    return tally(similarities, np.stack([neighbour.vector for neighbour in near]), [n.answer_id for n in near])


def _probability(ahead: float, alike: float, votes: int) -> float:
    """That an answer is right: from its margin, less what a doubtful wording takes from an answer with few votes.

    Where many neighbours agree their agreement decides; a lone one must also say the same, word by word.
    """
    needed = _ALIKE_ALONE - _ALIKE_LESS_A_VOTE * (votes - 1)
    return from_log_odds(_START + _SLOPE * ahead - _DOUBT * max(0.0, needed - alike))


def from_log_odds(value: float) -> float:
    """The probability of some log-odds."""
    return 1.0 / (1.0 + math.exp(-value))
