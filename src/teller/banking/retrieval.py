"""Finds what the bank has approved on a question: sentence vectors and shared words, fused.

Every way of asking that is near votes for its answer, the nearer the more, and the less the more there are like it;
questions that this bank does not answer vote against them all. The answer's own words count too, for a caller's words
are often nearer to them. Shared words settle what vectors blur (product names, "PIN" against "password"). The certainty
is a logistic function of five numbers that a reader can check; below `min_score` nothing covers the question and
Teller says so. Passages of documents are found in `document_search.py` and said where they are surer.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from teller.banking.document_search import DocumentSearch, looked_at
from teller.banking.knowledge import Approved, knowledge_version
from teller.banking.lexical import LexicalIndex
from teller.banking.repairs import corrected, without_repairs
from teller.banking.spelling import Spelling
from teller.banking.topic import TopicGate, nearest
from teller.ports import Asked, Embedder, Passage, VectorIndex, Vectors
from teller.turn import Question
from teller.votes import vote_weights

_ASKS = 96  # nearest ways of asking looked at
_OTHERS = 32  # nearest questions that the bank does not answer that vote beside them
_TEXTS = 16  # nearest answers looked at besides
_LEXICAL = 16  # best by words looked at besides
_OWN = 0.85  # cosine with a way of asking from which an off-topic question is on topic
_LEAN = 0.6  # weight of the question before in one that points back to it
_SAME_TOPIC = 0.3  # of rank, that it gives to answers of the topic of what the one before was told
_ALONE = 0.1  # surer by more than this, a question is taken by itself after all
_CHUNK = 64  # texts embedded at once while building: about a second of one core
_CHUNKS = 2  # at once: an embedder works on one core for each
_WRITTEN = 0.1  # of certainty, by which a passage must lead an approved answer, which is written to be said
SHARPNESS = 20.0  # of `near`: a cosine of 0.9 counts e^2 times one of 0.8; 15 and 30 are half a point worse
TEXT_WEIGHT = 0.5  # of the answer's own words beside what is near, when the encoder is trained
_NEAR_WEIGHT = 1.5
_VOTES_WEIGHT = 2.0
_TEXT_WEIGHT = 1.2
_COVERAGE_WEIGHT = 0.8


@dataclass(frozen=True, slots=True)
class Weights:
    """Logistic weights of the certainty; `python -m benchmarks.fit_retrieval` fits them on the bank's own questions.

    The bias is 0.2 over the fitted one, which makes up for the votes of close misses: as many of the questions that
    have nothing to do with the bank are let through as without them.
    """

    bias: float = -2.58
    votes: float = 6.18
    text: float = 2.33
    coverage: float = 1.63
    topic: float = 1.18
    elsewhere: float = -4.17


@dataclass(frozen=True, slots=True)
class Candidate:
    """One answer and how it fits.

    Attributes:
        near: cosine of the question with its nearest way of asking, and more where several are near: 1 plus the
            logarithm of the sum of exp(SHARPNESS (cosine - 1)) over its ways of asking, divided by SHARPNESS.
        votes: what its ways of asking have to say among all questions that are near (`teller.votes`), about 0 to 1.
        text: cosine with the title and the words of the answer.
        coverage: share of the question's word weight that it contains, 0 to 1.
        topic: how much the question is about the bank's business, about -1 to 1; the same for all candidates.
        elsewhere: what questions that the bank does not answer have to say there; likewise.
    """

    entry: Approved
    near: float
    votes: float
    text: float
    coverage: float
    topic: float
    elsewhere: float

    @property
    def rank(self) -> float:
        """What candidates are ordered by; the weights were best on the bank's own questions, a sixth left out."""
        return (
            _NEAR_WEIGHT * self.near
            + _VOTES_WEIGHT * self.votes
            + _TEXT_WEIGHT * self.text
            + _COVERAGE_WEIGHT * self.coverage
        )


@dataclass(frozen=True, slots=True)
class Tuning:
    """What sharpens the search; without any of it vectors and words alone decide.

    Attributes:
        off_topic: questions that are not the bank's business, or near it and yet not answered; for the topic gate and
            the votes; none: no gate.
        on_topic: questions that are any bank's business, for the gate beside what this knowledge has: one that learns
            from a few answers alone takes "how can I close my account" for off topic.
        words: of the language, lower case; others are mended towards the bank's own. None: nothing is mended.
        min_score: least certainty at which a question counts as covered, 0 to 1.
    """

    off_topic: tuple[str, ...] = ()
    on_topic: tuple[str, ...] = ()
    words: Collection[str] = frozenset()
    min_score: float = 0.5
    weights: Weights = field(default_factory=Weights)


class Knowledge:
    """Approved answers and document passages, ready to be searched.

    Args:
        embedder: for what the bank has written.
        new_index: gives an empty index of that many dimensions.
        questions: the same embedder for what callers ask, if that is remembered in another way.
    """

    def __init__(
        self,
        entries: Sequence[Approved],
        embedder: Embedder,
        new_index: Callable[[int], VectorIndex],
        tuning: Tuning,
        *,
        questions: Embedder | None = None,
    ) -> None:
        self.entries = tuple(entry for entry in entries if entry.spoken_whole)
        self.version = knowledge_version(entries)
        self._embedder = embedder
        self._questions = questions or embedder
        self._asks, self._texts = new_index(embedder.dim), new_index(embedder.dim)
        self._tuning = tuning
        self._gate: TopicGate | None = None
        self._off_topic = self._on_topic = np.zeros((0, embedder.dim), dtype=np.float32)
        self._ask_entries: list[tuple[int, ...]] = []  # behind each vector; none behind a document's title
        passages = [entry for entry in entries if not entry.spoken_whole]
        self._documents = DocumentSearch(passages, embedder) if passages else None
        texts = [_written(entry) for entry in self.entries]
        self._lexical = LexicalIndex(texts)
        written = [*texts, *(f"{passage.title} {passage.text}" for passage in passages)]
        self._spelling = Spelling(written, tuning.words) if tuning.words else None

    async def fill(self) -> None:
        """Index every way of asking and every approved answer; of documents the titles, which is enough to begin with.

        Raises:
            EngineError: if the embedder fails.
        """
        if self._documents:
            await self._documents.fill()
        if not self.entries:
            return
        asks: dict[str, list[int]] = {}
        for number, entry in enumerate(self.entries):
            for ask in dict.fromkeys((*entry.asks, entry.title)):
                asks.setdefault(ask, []).append(number)
        titles = self._documents.titles if self._documents else ()
        for title in titles:
            asks.setdefault(title, [])
        self._ask_entries = [tuple(numbers) for numbers in asks.values()]
        texts = [(number, f"{entry.title}. {entry.text}") for number, entry in enumerate(self.entries)]
        own = [*await self._index(self._asks, list(enumerate(asks))), *await self._index(self._texts, texts)]
        if self._tuning.off_topic:
            self._on_topic = await self._embedder.embed(self._tuning.on_topic)
            self._open_gate(np.vstack([*own, self._on_topic]), await self._embedder.embed(self._tuning.off_topic))

    def _open_gate(self, on_topic: Vectors, off_topic: Vectors) -> None:
        """Without the questions that this knowledge asks too: they are its business after all."""
        self._off_topic = off_topic[(off_topic @ on_topic.T).max(axis=1) < _OWN]
        self._gate = TopicGate(on_topic, self._off_topic) if len(self._off_topic) else None

    async def deepen(self) -> None:
        """Embed the passages of documents: a minute for thousands of them, so in the background.

        Raises:
            EngineError: if the embedder fails.
        """
        if self._documents:
            await self._documents.deepen()

    async def _index(self, index: VectorIndex, rows: Sequence[tuple[int, str]]) -> list[Vectors]:
        """Embed a few chunks at a time, so that others get their turn; add all at once, which is much faster."""
        chunks = [[text for _, text in rows[start : start + _CHUNK]] for start in range(0, len(rows), _CHUNK)]
        added: list[Vectors] = []
        for start in range(0, len(chunks), _CHUNKS):
            added += await asyncio.gather(*map(self._embedder.embed, chunks[start : start + _CHUNKS]))
        if added:
            index.add(np.array([number for number, _ in rows], dtype=np.int64), np.vstack(added))
        return added

    async def search(self, question: Question, *, limit: int = 5, after: Asked | None = None) -> tuple[Passage, ...]:
        """As `KnowledgeIndex.search`."""
        said = self._spelling.mended(question.text) if self._spelling else question.text
        whole = corrected(said, after.text.rpartition(" / ")[2]) if after else ""
        found = await self._found(whole, None, limit) if whole else ()
        return found or await self._found(without_repairs(said), after, limit)

    async def _found(self, text: str, after: Asked | None, limit: int) -> tuple[Passage, ...]:
        if self._spelling and not self._spelling.reads(text) and not self._knows(text):
            return ()  # no word of it means anything here, whatever its vector is near to
        found = await self._answers(text, after, limit)
        passages = await self._passages(text, after, limit)
        if passages and (not found or passages[0][1] > found[0][1] + _WRITTEN):
            found = passages
        if not found or found[0][1] < self._tuning.min_score:
            return ()
        return tuple(_passage(entry, score) for entry, score in found)

    def _knows(self, text: str) -> bool:
        return bool(self._lexical.scores(text)[0].any()) or (
            self._documents is not None and self._documents.knows(text)
        )

    async def _answers(self, text: str, after: Asked | None, limit: int) -> list[tuple[Approved, float]]:
        """Approved answers, best first, and how surely they answer."""
        if not self.entries:
            return []
        vector = (await self._questions.embed([text]))[0]
        candidates = await self._following(text, vector, after) if after else self.candidates(text, vector)
        if self._documents:  # they know of products that one answer's wording must not be taken for another's
            asked = f"{text} {after.text}" if after else text
            candidates = [one for one in candidates if not self._documents.is_of_another(_written(one.entry), asked)]
        return [(candidate.entry, self.certainty(candidate)) for candidate in candidates[:limit]]

    async def _passages(self, text: str, after: Asked | None, limit: int) -> list[tuple[Approved, float]]:
        """Passages of documents, best first, and how surely they answer."""
        if self._documents is None:
            return []
        text, before, told = self._documents.leaning(text, after) if after else (text, "", "")
        return await self._documents.search(await looked_at(text, self._questions, before), limit, without=told)

    async def _following(self, text: str, vector: Vectors, after: Asked) -> list[Candidate]:
        """Candidates of a question that leans on the one before; what that one was told is left out.

        What only seems to lean ("is it in the app where I see my PIN") is much surer alone, and stays alone.
        """
        before = (await self._questions.embed([after.text]))[0]
        sum_of_both = vector + _LEAN * before
        drawn = self.candidates(
            f"{text} {after.text}", np.asarray(sum_of_both / np.linalg.norm(sum_of_both), np.float32)
        )
        drawn = [candidate for candidate in drawn if candidate.entry.id != after.answer_id]
        topic = f"{after.answer_id.partition('.')[0]}."
        drawn.sort(key=lambda one: -(one.rank + _SAME_TOPIC * one.entry.id.startswith(topic)))
        alone = self.candidates(text, vector)
        surest = max(map(self.certainty, drawn[:1]), default=0.0)
        if alone and alone[0].entry.id != after.answer_id and self.certainty(alone[0]) > surest + _ALONE:
            return alone
        return drawn

    def candidates(self, text: str, vector: Vectors) -> list[Candidate]:
        """Every answer that is near by vector or by words, best first."""
        asked, farthest, elsewhere = self._asked(vector)
        by_text, farthest_text = self._nearest(self._texts, vector, _TEXTS)
        scores, coverage = self._lexical.scores(text)
        worded = [number for number in np.argsort(-scores, kind="stable")[:_LEXICAL].tolist() if scores[number] > 0]
        topic = self._gate.score(vector) if self._gate else 0.0
        found = []
        for number in dict.fromkeys((*asked, *by_text, *worded)):
            # What is not among the nearest is at most as near as the last of them.
            near, votes = asked.get(number, (farthest, 0.0))
            alike = by_text.get(number, farthest_text)
            entry, covered = self.entries[number], float(coverage[number])
            found.append(Candidate(entry, near, votes, alike, covered, topic, elsewhere))
        return sorted(found, key=lambda candidate: (-candidate.rank, candidate.entry.id))

    def _asked(self, vector: Vectors) -> tuple[dict[int, tuple[float, float]], float, float]:
        """`Candidate.near` and `votes` of answers that are asked for like this; the least cosine seen; `elsewhere`."""
        similarities, rows = self._asks.search(vector, _ASKS)
        if not len(rows):
            return {}, 0.0, 0.0
        farthest = float(similarities.min())
        off_topic = nearest(self._off_topic, vector, least=farthest, most=_OTHERS)
        on_topic = nearest(self._on_topic, vector, least=farthest, most=_OTHERS)
        voters = np.vstack([self._asks.vectors(rows), off_topic, on_topic])
        weights = vote_weights(voters @ vector, voters @ voters.T).tolist()
        # What is any bank's business may well be this one's: it takes votes from answers, and is no vote against them.
        elsewhere = sum(weights[len(rows) : len(rows) + len(off_topic)])
        summed: dict[int, float] = {}
        votes: dict[int, float] = {}
        for row, similarity, weight in zip(rows.tolist(), similarities.tolist(), weights, strict=False):
            for number in self._ask_entries[row]:
                summed[number] = summed.get(number, 0.0) + math.exp(SHARPNESS * (similarity - 1))
                votes[number] = votes.get(number, 0.0) + weight
        found = {number: (1 + math.log(summed[number]) / SHARPNESS, votes[number]) for number in summed}
        return found, farthest, elsewhere

    @staticmethod
    def _nearest(index: VectorIndex, vector: Vectors, k: int) -> tuple[dict[int, float], float]:
        """Similarity by id, best first, and the least of them."""
        similarities, ids = index.search(vector, k)
        found = dict(zip(ids.tolist(), similarities.tolist(), strict=True))
        return found, min(found.values(), default=0.0)

    def certainty(self, candidate: Candidate) -> float:
        """How surely a candidate answers the question; 0 to 1."""
        weights = self._tuning.weights
        logit = (
            weights.bias
            + weights.votes * candidate.votes
            + weights.text * candidate.text
            + weights.coverage * candidate.coverage
            + weights.topic * candidate.topic
            + weights.elsewhere * candidate.elsewhere
        )
        return 1 / (1 + math.exp(-logit))


def _written(entry: Approved) -> str:
    return " ".join((entry.title, *entry.asks, entry.text))


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
        tool=entry.tool,
    )
