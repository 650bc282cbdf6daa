"""Which questions the cache missed most, in clusters of the same meaning, and what to do about each.

Deterministic and bounded: the most asked wordings are taken in their order, each joins the first cluster whose leader
is near enough, or leads a new one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from teller.ports import Embedder, Vectors
from teller.stores.turn_reader import Span, TurnReader
from teller.stores.turn_rows import Kind
from teller.turn import MissReason, Source

_WORDINGS = 2_000  # different wordings that are looked at, the most asked ones
_NEAR = 0.7  # cosine from which two wordings are one cluster: of the bank's own asks 92 % share their cluster's answer
_EXAMPLES = 4
_PRIVATE = {MissReason.NOT_ELIGIBLE, MissReason.NO_IDENTITY, MissReason.DISABLED, MissReason.TEMPLATE}
_UNCOVERED = {"not_covered", "not_covered_twice"}

ADD: Final = "add an approved answer: nothing covers it"
_ADVICE: Final[Mapping[MissReason, str]] = MappingProxyType(
    {
        MissReason.EMPTY: "nothing to do: it is answered and kept from now on",
        MissReason.TOO_FAR: "add these wordings to the approved answer's asks",
        MissReason.UNCERTAIN: "calibrate with more labelled questions like these",
        MissReason.NO_CONSENSUS: "two approved answers lie close here: tell their asks apart",
        MissReason.CLASS_CLOSED: "the class is closed: calibrate it",
        MissReason.LOW_CONFIDENCE: "add the words to the transcriber's vocabulary: they are heard badly",
        MissReason.EXPIRED: "nothing to do: it had become too old",
        MissReason.STALE: "nothing to do: a rate or text had changed",
        MissReason.FAILED: "look at the server's log: the cache failed",
    }
)
_RIGHT = "nothing to do: the cache was right not to answer"


@dataclass(slots=True)
class Cluster:
    """Wordings of one meaning.

    Attributes:
        wordings: of them how often each was asked, most first.
    """

    wordings: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    uncovered: int = 0

    @property
    def asked(self) -> int:
        """How often, over all wordings."""
        return self.wordings.total()

    def add(self, text: str, kind: Kind, asked: int) -> None:
        """Count a wording."""
        self.wordings[text] += asked
        self.reasons[kind.outcome] += asked
        self.sources[kind.source] += asked
        self.uncovered += asked if kind.reason in _UNCOVERED else 0

    def view(self) -> dict[str, Any]:
        """As plain data."""
        reason, source = _most(self.reasons), _most(self.sources)
        return {
            "asked": self.asked,
            "wordings": len(self.wordings),
            "questions": [text for text, _ in _in_order(self.wordings)[:_EXAMPLES]],
            "reason": reason,
            "answered_by": source,
            "advice": ADD if 2 * self.uncovered >= self.asked else _ADVICE.get(MissReason(reason), _RIGHT),
        }


async def missed_clusters(reader: TurnReader, span: Span, embedder: Embedder | None, *, most: int) -> list[Cluster]:
    """The clusters most asked, at most so many; without an embedder each wording is one.

    Left out: what is never looked up, and what policy refuses for another reason than that nothing covers it.

    Raises:
        EngineError: if the embedder fails.
    """
    rows = reader.questions(span, _is_of_use, _WORDINGS)
    totals: Counter[str] = Counter()
    for text, _, asked in rows:
        totals[text] += asked
    texts = [text for text, _ in _in_order(totals)]
    vectors = await embedder.embed(texts) if embedder is not None and texts else None
    leader = dict(zip(texts, _leaders(vectors) if vectors is not None else range(len(texts)), strict=True))
    clusters: dict[int, Cluster] = {}
    for text, kind, asked in rows:
        clusters.setdefault(leader[text], Cluster()).add(text, kind, asked)
    return sorted(clusters.values(), key=lambda one: (-one.asked, min(one.wordings)))[:most]


def has_missed(reader: TurnReader, span: Span) -> bool:
    """Whether there is anything to cluster: an embedder need not be opened for nothing."""
    return bool(reader.questions(span, _is_of_use, 1))


def _is_of_use(kind: Kind) -> bool:
    if not kind.is_miss or kind.outcome in _PRIVATE:
        return False
    return kind.source in (Source.MODEL, Source.APPROVED) or kind.reason in _UNCOVERED


def _leaders(vectors: Vectors) -> list[int]:
    """For each of (n, dim) unit rows the number of the row that leads its cluster."""
    leaders: list[int] = []
    led = np.empty_like(vectors)  # the leaders' rows, in front
    found = []
    for number, row in enumerate(vectors):
        near = led[: len(leaders)] @ row
        best = int(np.argmax(near)) if leaders else -1
        if best < 0 or near[best] < _NEAR:
            best = len(leaders)
            led[best] = row
            leaders.append(number)
        found.append(leaders[best])
    return found


def _most(counts: Counter[str]) -> str:
    return _in_order(counts)[0][0]


def _in_order(counts: Counter[str]) -> list[tuple[str, int]]:
    items: Iterable[tuple[str, int]] = counts.items()
    return sorted(items, key=lambda one: (-one[1], one[0]))
