"""The judge that Teller ships: guards, consensus and the pair verifier, and a region in which it may serve.

`opine` says which neighbour's answer is likeliest and how likely it is right; `judge` serves it if the class's region
allows. The two are apart so that calibration, "what if" and live learning see what would have been said, served or not.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

import numpy as np

from teller.cache.consensus import Ballot, margin, tally
from teller.cache.guards import Difference, Guards, Reading, indifferent_kinds
from teller.cache.verdict import Accept, Neighbour, Probe, Reject, Verdict
from teller.cache.verifier import Floats, Verifier, pair_facts
from teller.ports import Vectors
from teller.turn import MissReason, Question, ValueKind


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

    @property
    def is_doubtful(self) -> bool:
        """Whether a guard forbids it, or it is not sure."""
        return self.difference is not None or self.probability < _SURE


class CertifiedJudge:
    """Serves an answer if no guard forbids it and it is probable enough for its risk class.

    Args:
        regions: where each class may be served.
        opposites: the bank's own pairs of opposite actions, for the guards.
        verifier: of pairs, made for the embedder in use. Without one, rules and consensus decide alone: the same words
            are served, and answers that at least five neighbours agree on.
    """

    neighbours = 48

    def __init__(
        self, regions: Regions, *, opposites: Iterable[tuple[str, str]] = (), verifier: Verifier | None = None
    ) -> None:
        self._regions = regions
        self._guards = Guards(opposites)
        self._reading = lru_cache(maxsize=_KNOWN_QUESTIONS)(self._guards.read)  # what is asked often is near often
        self._verifier = verifier
        self.name = f"{_VERSION}-{verifier.name if verifier else 'rules'}"
        self.wants_tokens = verifier is not None

    def sketch(self, question: Question, vector: Vectors, tokens: Vectors | None) -> bytes:  # noqa: ARG002
        """The words of a question as the verifier will compare them; empty without token vectors."""
        return b"" if tokens is None or self._verifier is None else self._verifier.sketch(tokens)

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
        """The likeliest answer, and how likely it is right.

        When it is in doubt and stands alone, so do others: then one that was given to the same words may be surer, once
        those are gone that the guards tell apart, and those of the nearest that the verifier does.
        """
        asked = self._guards.read(probe.question)
        words = None if probe.tokens is None or self._verifier is None else self._verifier.project(probe.tokens)
        near = list(probe.neighbours)
        ballots = _ballots(probe, near)
        opinion = self._opinion(asked, words, near, ballots)
        if len(ballots[0].members) > 1 or not opinion.is_doubtful:
            return opinion
        near = self._without_told_apart(asked, near, ballots)
        other = self._opinion(asked, words, near, _ballots(probe, near)) if near else opinion
        if other.alike < _SAME or other.votes > 1:
            return opinion
        if not other.is_doubtful:
            return other
        near = self._without_other_words(asked, words, near, other.best)
        surer = self._opinion(asked, words, near, _ballots(probe, near))
        return surer if surer.best is other.best else other

    def _opinion(
        self, asked: Reading, words: Floats | None, near: Sequence[Neighbour], ballots: Sequence[Ballot]
    ) -> Opinion:
        ahead, members = margin(ballots), [near[place] for place in ballots[0].members]
        checks = {"consensus": f"{len(members)} of {len(near)} neighbours, margin {ahead:.2f}"}
        guarded = members[:_GUARDED]
        best, difference = self._passing(asked, guarded)
        passed = "no difference found"
        if difference is not None and (across := indifferent_kinds([self._read(member) for member in guarded])):
            best, difference = self._passing(asked, guarded, across)
            passed = f"no difference found that matters: the answer was given whatever the {', '.join(sorted(across))}"
        if difference is not None:
            checks[difference.rule] = difference.found
            return Opinion(best, 0.0, len(members), ahead, -_MOST_ALIKE, difference, checks)
        alike = self._alike(asked, words, self._read(best), best)
        pair = f"log-odds {alike:.1f}" if self._verifier else "not compared: no verifier for this embedder"
        pair += ": a word differs that no table knows for the same" if alike == _OPEN else ""
        checks |= {"guards": passed, "pair": pair}
        return Opinion(best, _probability(ahead, alike, len(members)), len(members), ahead, alike, checks=checks)

    def _passing(
        self, asked: Reading, members: Sequence[Neighbour], indifferent: frozenset[ValueKind] = frozenset()
    ) -> tuple[Neighbour, Difference | None]:
        """The nearest member that no guard tells apart from the question; else the nearest, and what tells it apart."""
        first: Difference | None = None
        for member in members:
            difference = self._guards.difference(asked, self._read(member), indifferent=indifferent)
            if difference is None:
                return member, None
            first = first or difference
        return members[0], first

    def _without_told_apart(
        self, asked: Reading, near: Sequence[Neighbour], ballots: Sequence[Ballot]
    ) -> list[Neighbour]:
        """Neighbours without those that stand alone with their answer and that a guard tells apart from the question.

        Where each answer belongs to one question, as answers about people do, these are no rivals of the right one.
        """
        lone = {ballot.answer_id for ballot in ballots if len(ballot.members) == 1}
        rivals = (n for n in near[:_GUARDED] if n.answer_id in lone)
        gone = {n.entry_id for n in rivals if self._guards.difference(asked, self._read(n)) is not None}
        return [neighbour for neighbour in near if neighbour.entry_id not in gone]

    def _without_other_words(
        self, asked: Reading, words: Floats | None, near: Sequence[Neighbour], best: Neighbour
    ) -> list[Neighbour]:
        """Neighbours without those of the nearest few that stand alone and, word by word, ask something else."""
        answers = Counter(neighbour.answer_id for neighbour in near)
        rivals = [n for n in near if n is not best and answers[n.answer_id] == 1][:_COMPARED]
        apart = [rival for rival in rivals if self._alike(asked, words, self._read(rival), rival) < _OTHER]
        gone = {rival.entry_id for rival in apart}
        return [neighbour for neighbour in near if neighbour.entry_id not in gone]

    def _read(self, neighbour: Neighbour) -> Reading:
        return self._reading(Question(neighbour.question, neighbour.values))

    def _alike(self, asked: Reading, words: Floats | None, stored: Reading, best: Neighbour) -> float:
        """The verifier's log-odds, within limits; unlike where it cannot see both, very alike where rules prove it."""
        if self._guards.proves_same(asked, stored):
            return _MOST_ALIKE
        if self._verifier is None or words is None or not best.sketch or not len(words):
            return -_MOST_ALIKE
        facts = pair_facts(asked, stored, best.similarity)
        alike = self._verifier.log_odds(words, self._verifier.unsketch(best.sketch), facts)
        if alike > _OPEN and self._guards.leaves_open(asked, stored):
            return _OPEN
        return max(-_MOST_ALIKE, min(_MOST_ALIKE, alike))


_VERSION = "consensus-6"
_KNOWN_QUESTIONS = 16_384  # of a kilobyte and a half each
_FAR = 0.5  # cosine below which a neighbour is not about the same thing
_SPLIT = 0.2  # margin below which the neighbours speak for different answers
_MOST_ALIKE = 5.0
_SURE = 0.98  # probability beyond which a second look would change nothing
_GUARDED = 24  # nearest ones, of an answer and of its rivals, that the guards look at
_COMPARED = 6  # rivals that a near-copy in doubt is compared with word by word, at a tenth of a millisecond each
_OPEN = -4.5  # log-odds, at most, where a word of content was traded or added: one asking alone is not enough then
_OTHER = 0.0  # log-odds of the verifier below which two questions do not say the same
_SAME = 3.0  # log-odds of the verifier from which two questions say the same, though others stand between
# Log-odds that an answer is right, by its margin. `python -m benchmarks.fit_judge` gives -1.0 and 10.8 for 24
# neighbours without a metric (begun two standard errors lower), -1.05 and 9.3 for what is weighed today. The steeper
# slope stays: where it says 99 %, at most 1.0 % of hits were wrong on seven labelled streams, and a flatter one would
# refuse lone answers that are right. What misses teach corrects it either way.
_START, _SLOPE = -1.2, 10.8
_ALIKE_ALONE, _ALIKE_LESS_A_VOTE, _DOUBT = 0.0, 1.5, 3.0


def _ballots(probe: Probe, near: Sequence[Neighbour]) -> tuple[Ballot, ...]:
    """Votes by likeness in the embedder's space and, to equal parts, along what the entries have taught."""
    similarities = np.array([neighbour.similarity for neighbour in near], np.float32)
    vectors = np.stack([neighbour.vector for neighbour in near])
    likeness = vectors @ vectors.T
    if probe.metric is not None:
        taught = probe.metric.cosines(np.vstack([vectors, probe.vector]))
        similarities = (similarities + taught[-1, :-1]) / np.float32(2)
        likeness = (likeness + taught[:-1, :-1]) / np.float32(2)
    return tally(similarities, likeness, [neighbour.answer_id for neighbour in near])


def _probability(ahead: float, alike: float, votes: int) -> float:
    """That an answer is right: from its margin, less what a doubtful wording takes from an answer with few votes.

    Where many neighbours agree their agreement decides; a lone one must also say the same, word by word.
    """
    return from_log_odds(_START + _SLOPE * ahead - doubt(alike, votes))


def doubt(alike: float, votes: int) -> float:
    """Log-odds that a wording takes from an answer with so many votes."""
    needed = _ALIKE_ALONE - _ALIKE_LESS_A_VOTE * (votes - 1)
    return _DOUBT * max(0.0, needed - alike)


def from_log_odds(value: float) -> float:
    """The probability of some log-odds."""
    return 1.0 / (1.0 + math.exp(-value))


def log_odds(probability: float) -> float:
    """Logarithm of the odds of a probability, which is kept a millionth away from 0 and 1."""
    probability = min(max(probability, 1e-6), 1 - 1e-6)
    return math.log(probability / (1 - probability))
