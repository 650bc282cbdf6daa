"""Finds what the bank has approved on a question: sentence vectors and shared words, fused into one certainty.

Every way of asking has a vector; an answer is as near as its nearest one. Words bring back what vectors blur (product
names, "PIN" against "password"). The certainty is a logistic function of four numbers that a reader can check; below
`min_score` nothing covers the question and Teller says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from teller.banking.knowledge import Approved, knowledge_version
from teller.banking.lexical import LexicalIndex
from teller.ports import Embedder, Passage, VectorIndex, Vectors
from teller.turn import Question

_ROWS = 48  # nearest ways of asking looked at
_LEXICAL = 16  # best by words looked at besides
_CHUNK = 64  # texts embedded at once while building: about a second of one core


@dataclass(frozen=True, slots=True)
class Weights:
    """Logistic weights of the certainty; `python -m benchmarks.fit_retrieval` fits them on the bank's own questions."""

    bias: float = -9.0
    similarity: float = 11.0
    coverage: float = 3.0
    margin: float = 6.0
    lexical: float = 1.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """One answer and how it fits.

    Attributes:
        similarity: cosine with its nearest way of asking.
        coverage: share of the question's word weight that it contains, 0 to 1.
        lexical: its BM25 as a share of the best one's, 0 to 1.
    """

    entry: Approved
    similarity: float
    coverage: float
    lexical: float

    @property
    def rank(self) -> float:
        """What candidates are ordered by; words weigh a third of meaning, by trial on the bank's own questions."""
        return self.similarity + 0.25 * self.coverage + 0.1 * self.lexical


class Knowledge:
    """Approved answers and document passages, ready to be searched; read only once built."""

    def __init__(
        self, entries: Sequence[Approved], embedder: Embedder, index: VectorIndex, weights: Weights, min_score: float
    ) -> None:
        self.entries = tuple(entries)
        self.version = knowledge_version(entries)
        self._embedder = embedder
        self._index = index
        self._weights = weights
        self._min_score = min_score
        self._row_entries: list[
            tuple[int, ...]
        ] = []  # entries behind each vector: passages of one section share its title
        self._lexical = LexicalIndex([" ".join((entry.title, *entry.asks, entry.text)) for entry in self.entries])

    @classmethod
    async def build(
        cls,
        entries: Sequence[Approved],
        embedder: Embedder,
        new_index: Callable[[int], VectorIndex],
        *,
        min_score: float = 0.5,
        weights: Weights | None = None,
    ) -> Knowledge:
        """Embed every way of asking and index it.

        Raises:
            EngineError: if the embedder fails.
        """
        knowledge = cls(entries, embedder, new_index(embedder.dim), weights or Weights(), min_score)
        await knowledge._fill()
        return knowledge

    async def _fill(self) -> None:
        """Index the ways of asking; for a document its title, which is enough to begin with."""
        rows: dict[str, list[int]] = {}
        for number, entry in enumerate(self.entries):
            asks = (*entry.asks, entry.title) if entry.spoken_whole else (entry.asks[0],)
            for ask in dict.fromkeys(asks):
                rows.setdefault(ask, []).append(number)
        await self._index_rows(rows)

    async def deepen(self) -> None:
        """Index the words of document passages too, a chunk at a time: minutes for thousands of them, so in the background.

        Raises:
            EngineError: if the embedder fails.
        """
        passages = [number for number, entry in enumerate(self.entries) if not entry.spoken_whole]
        for start in range(0, len(passages), _CHUNK):
            chunk = passages[start : start + _CHUNK]
            await self._index_rows({f"{self.entries[at].title}. {self.entries[at].text}": [at] for at in chunk})

    async def _index_rows(self, rows: dict[str, list[int]]) -> None:
        texts = list(rows)
        for start in range(0, len(texts), _CHUNK):
            chunk = texts[start : start + _CHUNK]
            vectors = await self._embedder.embed(chunk)
            first = len(self._row_entries)
            self._row_entries += [tuple(rows[text]) for text in chunk]
            self._index.add(np.arange(first, first + len(chunk), dtype=np.int64), vectors)

    async def search(self, question: Question, *, limit: int = 5) -> tuple[Passage, ...]:
        """Passages, best first; none if nothing covers the question."""
        vector = (await self._embedder.embed([question.text]))[0]
        candidates = self.candidates(question.text, vector)[:limit]
        if not candidates or self.certainty(candidates) < self._min_score:
            return ()
        scores = [self.certainty(candidates[place:]) for place in range(len(candidates))]
        return tuple(_passage(candidate.entry, score) for candidate, score in zip(candidates, scores, strict=True))

    def candidates(self, text: str, vector: Vectors) -> list[Candidate]:
        """Every answer that is near by vector or by words, best first."""
        similarities, rows = self._index.search(vector, _ROWS)
        if not len(rows):
            return []
        nearest: dict[int, float] = {}
        for similarity, row in zip(similarities.tolist(), rows.tolist(), strict=True):
            for number in self._row_entries[row]:
                nearest.setdefault(number, similarity)
        scores, coverage = self._lexical.scores(text)
        best = float(scores.max())
        farthest = float(similarities[-1])  # what was not among the nearest is at most this near
        for number in np.argsort(-scores, kind="stable")[:_LEXICAL].tolist():
            if scores[number] > 0:
                nearest.setdefault(number, farthest)
        found = [
            Candidate(
                self.entries[number], similarity, float(coverage[number]), float(scores[number]) / best if best else 0.0
            )
            for number, similarity in nearest.items()
        ]
        return sorted(found, key=lambda candidate: (-candidate.rank, candidate.entry.id))

    def certainty(self, candidates: Sequence[Candidate]) -> float:
        """How surely the first of the candidates, best first, answers the question; 0 to 1."""
        first, weights = candidates[0], self._weights
        second = next((other for other in candidates[1:] if other.entry.text != first.entry.text), None)
        margin = min(first.rank - second.rank, 0.3) if second else 0.3
        logit = (
            weights.bias
            + weights.similarity * first.similarity
            + weights.coverage * first.coverage
            + weights.margin * margin
            + weights.lexical * first.lexical
        )
        return 1 / (1 + math.exp(-logit))


def _passage(entry: Approved, score: float) -> Passage:
    return Passage(
        answer_id=entry.id,
        title=entry.title,
        text=entry.text,
        version=entry.version,
        data_class=entry.data_class,
        stamps=entry.stamps,
        score=score,
        handoff=entry.handoff,
        sensitive=entry.sensitive,
    )
