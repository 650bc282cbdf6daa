"""Finds the passage of a bank's own documents that answers a question.

Which passages may be spoken comes first: a question that names a product is answered from documents about it, or from
general ones that do not speak of others alone. Of these, titles and words choose a few; the vectors of those few
decide, with their words, and with a figure where one is asked for. Vectors come in the background; what is not there
yet is made when a question needs it, so the first minute is as good as the rest. Where passages of several products
answer a question alike, it is asked back which one is meant.

The certainty asks three things: how near the best passage is, whether every part of the question is met in it, word
piece by word piece, and whether it has a figure where one is asked for. What a bank's documents say nothing of is often
near ("the cash advance fee" is near a fee) and leaves a part unmet.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from teller.banking.document_names import Products
from teller.banking.document_subjects import Subject
from teller.banking.knowledge import Approved
from teller.banking.lexical import LexicalIndex, content, words
from teller.ports import Asked, Embedder, Vectors
from teller.turn import DataClass

WHICH = "documents.which_product"  # the answer id of asking back
_RIVALS = 0.15  # of rank, by which the best product's passage must lead those of others
_CHOSEN = 16  # passages whose vectors are made for a question; 32 find what 16 do (docs/benchmarks.md)
_CHUNK = 32  # passages embedded at once in the background: half a second of one core
_TITLE_WORDS = 0.5  # of shared words beside the title, while the passages' own vectors are not there
_WORDS = 0.3  # of shared words beside a passage's vector
_FIGURE = 0.06  # of a passage with a figure where one is asked for
_UNMET = 3  # one of so many word pieces of a question, the least met, says how well it is met
_ONE = re.compile(r"\bones?\b", re.IGNORECASE)  # of a question that leans on another: that which it asked for
_TELEPHONE = re.compile(r"\+?\d[\d\s().-]{7,}\d")
_FIGURES = re.compile(
    r"\d|\b(?:two|three|four|five|six|seven|eight|nine|ten|twelve|twenty|thirty|forty|fifty|sixty|ninety|hundred|thousand"
    r"|half|free|no (?:charge|cost|fee|limit)|unlimited|twice|immediate(?:ly)?|instant(?:ly)?|daily|weekly|monthly"
    r"|yearly)\b",
    re.IGNORECASE,
)
_ASKS_FOR_FIGURE = re.compile(
    r"\b(?:how (?:much|many|long|old|fast|quickly)"
    r"|(?:fee|price|cost|charge|limit|rate|percent\w*|cap|max\w*|bonus|score|apy|apr)s?)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Sureness:
    """Logistic weights of the certainty; `python -m benchmarks.fit_documents` fits them."""

    bias: float = -6.53
    alike: float = 4.11
    met: float = 12.31
    lacking: float = -3.77


@dataclass(frozen=True, slots=True)
class Found:
    """A passage and how it fits.

    Attributes:
        rank: what passages are ordered by.
        alike: cosine of the question with the passage under its headings.
        met: how near the least met third of the question's word pieces come to those of the first passage, -1 to 1: the
            mean of all its words and of its content alone, of one that leans on another the lesser; the same for all.
        lacking: 1 if a figure is asked for and the passage has none, else 0.
    """

    passage: Approved
    rank: float
    alike: float
    met: float
    lacking: float

    def certainty(self, weights: Sureness) -> float:
        """How surely the passage answers the question, 0 to 1."""
        logit = weights.bias + weights.alike * self.alike + weights.met * self.met + weights.lacking * self.lacking
        return 1 / (1 + math.exp(-logit))


@dataclass(frozen=True, slots=True)
class Looked:
    """A question as it is searched for.

    Attributes:
        text: its words, after those of the question that it leans on.
        names: where a product may be named, the first that names one counts: what was said last, then what before.
        vector: (dim,) unit vector.
        tokens: (tokens, dim) unit vectors of its word pieces.
        content: likewise, of what is left of what was said last without the words that carry no topic.
    """

    text: str
    names: tuple[str, ...]
    vector: Vectors
    tokens: Vectors
    content: Vectors


async def looked_at(text: str, embedder: Embedder, before: str = "") -> Looked:
    """A question; `before` is what was asked before one that leans on it.

    Raises:
        EngineError: if the embedder fails.
    """
    joined = f"{before} {text}".strip()
    vector, tokens = await embedder.embed_tokens(joined)
    _, pieces = await embedder.embed_tokens(content(_ONE.sub("", text) if before else text))
    return Looked(joined, tuple(filter(None, (text, before))), vector, tokens, pieces)


class DocumentSearch:
    """Passages of documents, ready to be searched.

    Args:
        passages: at least one.
        embedder: of passages and titles; best one that keeps what it has embedded.
    """

    def __init__(self, passages: Sequence[Approved], embedder: Embedder) -> None:
        self.passages = tuple(passages)
        self._sureness = Sureness()
        self._embedder = embedder
        subjects = list(dict.fromkeys(passage.about or Subject() for passage in passages))
        places = {subject: place for place, subject in enumerate(subjects)}
        self._subjects = subjects
        self._subject = np.array([places[passage.about or Subject()] for passage in passages])
        self._products = Products(subjects)
        self._spoken_of: dict[int, frozenset[Subject]] = {}  # products that general passages name, once it was asked
        self._lexical = LexicalIndex([f"{passage.title} {passage.text}" for passage in passages])
        self._figures = np.array([bool(_FIGURES.search(_TELEPHONE.sub("", passage.text))) for passage in passages])
        titles = list(dict.fromkeys(passage.asks[0] for passage in passages))
        rows = {title: row for row, title in enumerate(titles)}
        self.titles = tuple(titles)
        self._title = np.array([rows[passage.asks[0]] for passage in passages])
        self._titles = np.zeros((len(titles), embedder.dim), dtype=np.float32)
        self._vectors = np.zeros((len(passages), embedder.dim), dtype=np.float32)
        self._there = np.zeros(len(passages), dtype=np.bool_)

    async def fill(self) -> None:
        """Embed the titles, which is enough to begin with.

        Raises:
            EngineError: if the embedder fails.
        """
        self._titles = await self._embedder.embed(self.titles)

    async def deepen(self) -> None:
        """Embed every passage: a minute for thousands of them, a moment where they are kept from before.

        Raises:
            EngineError: if the embedder fails.
        """
        for start in range(0, len(self.passages), _CHUNK):
            await self._embed(np.arange(start, min(start + _CHUNK, len(self.passages))))

    async def _embed(self, numbers: NDArray[np.int64]) -> None:
        missing = numbers[~self._there[numbers]]
        if len(missing):
            chosen = [self.passages[number] for number in missing]
            self._vectors[missing] = await self._embedder.embed([_embedded(passage) for passage in chosen])
            self._there[missing] = True

    def knows(self, text: str) -> bool:
        """Whether any word of a text is in a passage."""
        return bool(self._lexical.scores(text)[0].any())

    def is_of_another(self, said: str, asked: str) -> bool:
        """Whether a text names products, and a question too, but none of these."""
        names, wanted = self._products.within(said), self._products.within(asked)
        return bool(names and wanted) and names.isdisjoint(wanted)

    def leaning(self, text: str, after: Asked) -> tuple[str, str, str]:
        """What is asked by a question that leans on another: its words, what of the other they follow, what not to say.

        A bare name asks the same of another product. What was said just now is said again only if it has a word of the
        question that was not asked for before: the next column of the same table.
        """
        before, told = after.text, after.answer_id
        new = set(words(text)).difference(words(before))
        said = next((f"{one.title} {one.text}" for one in self.passages if one.id == told), "")
        told = "" if new.intersection(words(said)) else told
        if self._products.is_bare(text):
            whole = [part for part in before.split(" / ") if not self._products.is_bare(part)]
            return self._products.instead(whole[-1] if whole else before, text), "", told
        return text, self._products.nameless(before) if self._products.asked(text) else before, told

    async def search(self, looked: Looked, limit: int, *, without: str = "") -> list[tuple[Approved, float]]:
        """Passages that may answer, best first, and how surely; all but the one whose id is `without`.

        One line that asks back (`WHICH`, never kept in the cache) where it depends on the product.

        Raises:
            EngineError: if the embedder fails.
        """
        found = await self.found(looked, without=without)
        sure = accumulate((one.certainty(self._sureness) for one in found), min)  # none surer than what is before it
        best = [(one.passage, certainty) for one, certainty in zip(found, sure, strict=True)][:limit]
        rivals = [] if self._products.are_several(looked.text) else self._rivals(found)
        return [(_which(rivals), best[0][1])] if len(rivals) > 1 else best

    async def found(self, looked: Looked, *, without: str = "") -> list[Found]:
        """Every passage that was looked at, best first."""
        shared = self._lexical.scores(looked.text)[0]
        shared /= max(float(shared.max()), 1e-9)
        if self._products.is_bare(looked.text):
            return []  # nothing is asked of it; what was asked before may be
        chosen = self._chosen(looked, shared, without)
        if not len(chosen):
            return []
        await self._embed(chosen)
        alike = self._vectors[chosen] @ looked.vector
        figures = self._figures[chosen]
        asks_for_figure = _ASKS_FOR_FIGURE.search(looked.text) is not None
        rank = alike + _WORDS * shared[chosen] + (_FIGURE * figures if asks_for_figure else 0.0)
        order = np.argsort(-rank, kind="stable")
        met = await self._met(looked, self.passages[chosen[order[0]]])
        return [
            Found(
                self.passages[chosen[place]],
                float(rank[place]),
                float(alike[place]),
                met,
                float(asks_for_figure and not figures[place]),
            )
            for place in order.tolist()
        ]

    def _chosen(self, looked: Looked, shared: NDArray[np.float32], without: str) -> NDArray[np.int64]:
        """Numbers of the passages to look at: those that come first with what is known of them so far."""
        asked = self._asked(looked)
        if asked is None:
            return np.zeros(0, dtype=np.int64)
        near = (self._titles @ looked.vector)[self._title] + _TITLE_WORDS * shared
        deep = np.where(self._there, self._vectors @ looked.vector + _WORDS * shared, -np.inf)
        fitting = np.ones(len(self._subjects), dtype=np.bool_)
        if asked:
            fitting = np.array([subject in asked or not subject.names for subject in self._subjects])
        may = fitting[self._subject]
        found: dict[int, None] = {}
        for score in (near, deep):
            added = 0
            for number in np.argsort(-np.where(may, score, -np.inf), kind="stable").tolist():
                if added == _CHOSEN or not may[number] or score[number] == -np.inf:
                    break
                if self.passages[number].id != without and (not asked or self._may_speak_of(number, asked)):
                    found[number] = None
                    added += 1
        return np.array(list(found), dtype=np.int64)

    def _asked(self, looked: Looked) -> frozenset[Subject] | None:
        """The products that are asked about; None for one that no document knows."""
        for text in looked.names:
            if asked := self._products.asked(text):
                return asked
            if any(not self._lexical.knows(word) for word in self._products.named_like(text)):
                return None
        return frozenset()

    def _may_speak_of(self, number: int, asked: frozenset[Subject]) -> bool:
        """Whether a passage may be spoken about these products: a general one that names others alone may not."""
        passage = self.passages[number]
        if passage.about and passage.about.names:
            return True
        if number not in self._spoken_of:
            self._spoken_of[number] = self._products.asked(f"{passage.title}. {passage.text}")
        spoken_of = self._spoken_of[number]
        return not spoken_of or not spoken_of.isdisjoint(asked)

    def _rivals(self, found: Sequence[Found]) -> list[Approved]:
        """Of the best passage and those of other products that are about as good, one for each product."""
        rivals: list[Approved] = []
        for one in found:
            about = one.passage.about
            if about is None or not about.spoken:
                if not rivals:
                    break
                continue
            differs = all(self._products.are_rivals(about, rival.about) for rival in rivals if rival.about)
            if differs and one.rank >= found[0].rank - _RIVALS:
                rivals.append(one.passage)
        return rivals

    async def _met(self, looked: Looked, passage: Approved) -> float:
        """How near the least met word pieces of the question come to the passage's, -1 to 1."""
        _, tokens = await self._embedder.embed_tokens(_embedded(passage))
        whole, last = _least_met(looked.tokens, tokens), _least_met(looked.content, tokens)
        return min(whole, last) if len(looked.names) > 1 else (whole + last) / 2


def _least_met(asked: Vectors, said: Vectors) -> float:
    nearest = np.sort((asked @ said.T).max(axis=1))
    return float(nearest[: max(1, len(nearest) // _UNMET)].mean())


def _which(rivals: Sequence[Approved]) -> Approved:
    """What is said instead of one product's answer to a question that may be about several."""
    names = [rival.about.spoken for rival in rivals if rival.about]
    named = f"{names[0]} and {names[1]}" if len(names) == 2 else f"products, such as {names[0]} and {names[1]}"
    return Approved(
        id=WHICH,
        version="1",
        title="Which product",
        text=f"That differs between {named}. Which one do you mean?",
        asks=(),
        data_class=DataClass.PRODUCT,
        stamps=tuple(dict.fromkeys(stamp for rival in rivals for stamp in rival.stamps)),
        sensitive=True,
    )


def _embedded(passage: Approved) -> str:
    return f"{passage.title}. {passage.text}"
