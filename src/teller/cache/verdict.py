"""The seam between finding neighbours and deciding about them.

`semantic.SemanticCache` finds: it keeps the partition, the log, the index and the clock, and never decides about
meaning. A `Judge` decides: guards, consensus, calibration, the pair verifier. It sees one `Probe`, does no I/O, keeps
no clock and gives the same verdict for the same probe.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from teller.cache.metric import Metric
from teller.ports import Vectors
from teller.turn import DataClass, MissReason, Question, Value


class Asked(Protocol):
    """What an entry was first given for."""

    @property
    def question(self) -> str:
        """Redacted text."""
        ...

    @property
    def values(self) -> tuple[Value, ...]:
        """Typed values in the text."""
        ...

    @property
    def sketch(self) -> bytes:
        """The judge's; empty for none."""
        ...


class Neighbour(NamedTuple):
    """One stored entry near the question, known to be live: of the partition, not expired, stale or quarantined.

    A tuple, because four dozen are made in every lookup, and a frozen dataclass takes five times as long to make.

    Attributes:
        asked: what the entry was first given for; read only where it is looked at.
        answer_id: what votes are counted by.
        similarity: cosine with the probe, -1 to 1 (stored vectors are 8-bit: good to about 0.002).
        accuracy: posterior mean of its verified hits, 0 to 1.
        at: Unix time in seconds when it was put.
        vector: (dim,) float32 unit sentence vector.
    """

    entry_id: int
    asked: Asked
    answer_id: str
    similarity: float
    accuracy: float
    at: float
    data_class: DataClass
    vector: Vectors

    @property
    def question(self) -> str:
        """Redacted text that the entry was first given for."""
        return self.asked.question

    @property
    def values(self) -> tuple[Value, ...]:
        """Typed values in `question`."""
        return self.asked.values

    @property
    def sketch(self) -> bytes:
        """What `Judge.sketch` gave when the entry was put; empty if it was put under another judge."""
        return self.asked.sketch


@dataclass(frozen=True, slots=True)
class Probe:
    """A question and what was found near it.

    Attributes:
        vector: (dim,) float32 unit sentence vector of the question.
        tokens: (tokens, dim) unit token vectors of the same pass, None if the embedder was not asked for them.
        neighbours: at most `Judge.neighbours`, best first, never empty.
        risk_class: the operator's name for how much a wrong hit costs here ("public", "product", "fees", ...).
        metric: what the partition's entries have taught about likeness, None if they have not yet.
    """

    question: Question
    vector: Vectors = field(repr=False)
    tokens: Vectors | None = field(repr=False)
    neighbours: tuple[Neighbour, ...]
    risk_class: str
    metric: Metric | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Accept:
    """Serve this neighbour's answer.

    Attributes:
        votes: neighbours that carry the same answer.
        probability: calibrated probability that the answer is right, 0 to 1.
        bound: certified upper limit on the share of wrong hits in the risk class, None if none was certified.
        checks: what each guard found, by name.
    """

    entry_id: int
    votes: int
    probability: float
    bound: float | None = None
    checks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reject:
    """Serve nothing, and why."""

    reason: MissReason
    checks: Mapping[str, str] = field(default_factory=dict)


Verdict = Accept | Reject


class Judge(Protocol):
    """Decides about neighbours: pure, deterministic, microseconds."""

    @property
    def name(self) -> str:
        """Identity of rules and weights: stored sketches of another name are ignored."""
        ...

    @property
    def neighbours(self) -> int:
        """How many neighbours it wants to see; 0: none, and nothing is embedded."""
        ...

    @property
    def wants_tokens(self) -> bool:
        """Whether the embedder is asked for token vectors."""
        ...

    def sketch(self, question: Question, vector: Vectors, tokens: Vectors | None) -> bytes:
        """What to keep beside an entry to judge it later, at most 255 bytes (kept in memory); may be empty."""
        ...

    def judge(self, probe: Probe) -> Verdict:
        """Serve one of the neighbours, or say why not."""
        ...


class ClassMonitor(Protocol):
    """Is told calibrations and how shadow-checked hits turned out; tightens or closes a risk class by itself.

    The cache replays the log to it: every process tells its monitor the same facts in the same order. The judge that
    asks the monitor lives beside it.
    """

    def calibrate(self, body: Mapping[str, Any]) -> None:
        """A calibration is in force: what `SemanticCache.upkeep.calibrate` was given, JSON; newest of each "name"."""
        ...

    def observe(self, risk_class: str, right: bool, probability: float) -> None:
        """One hit of the class was checked; `probability` is what the judge had claimed for it."""
        ...

    def untold(self) -> dict[str, Any]:
        """JSON of what this process has learned and the log has not been told, once; {} if there is nothing."""
        ...

    def learn(self, body: Mapping[str, Any]) -> None:
        """What some process, this one too, has learned: what `untold` gave there."""
        ...

    def dump(self) -> dict[str, Any]:
        """JSON of what was observed and learned, so that the log can drop its events; not the calibrations."""
        ...

    def load(self, body: Mapping[str, Any]) -> None:
        """Begin with what `dump` gave, instead of what was observed so far; {} is the beginning."""
        ...


@dataclass(frozen=True, slots=True)
class ExactOnly:
    """The judge without evidence: semantic hits are closed in every class."""

    name: str = "exact-only"
    neighbours: int = 0
    wants_tokens: bool = False

    def sketch(self, question: Question, vector: Vectors, tokens: Vectors | None) -> bytes:  # noqa: ARG002
        """Nothing."""
        return b""

    def judge(self, probe: Probe) -> Verdict:  # noqa: ARG002
        """Always a miss."""
        return Reject(MissReason.CLASS_CLOSED)


@dataclass(frozen=True, slots=True)
class MinSimilarity:
    """The nearest neighbour's answer if it is near enough and its values are the same: what most caches do."""

    min_similarity: float
    name: str = "min-similarity"
    neighbours: int = 1
    wants_tokens: bool = False

    def sketch(self, question: Question, vector: Vectors, tokens: Vectors | None) -> bytes:  # noqa: ARG002
        """Nothing."""
        return b""

    def judge(self, probe: Probe) -> Verdict:
        """Accept the nearest, its similarity standing in for a probability."""
        best = probe.neighbours[0]
        if best.similarity < self.min_similarity:
            return Reject(MissReason.TOO_FAR)
        if value_key(best.values) != value_key(probe.question.values):
            return Reject(MissReason.VALUES_DIFFER)
        return Accept(best.entry_id, votes=1, probability=max(0.0, min(1.0, best.similarity)))


def value_key(values: tuple[Value, ...]) -> tuple[tuple[str, str], ...]:
    """What two questions must share to be about the same things, in the order said."""
    return tuple((value.kind.value, value.canonical) for value in values)
