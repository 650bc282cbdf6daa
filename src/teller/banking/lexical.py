"""Words that two texts share: BM25 over an inverted index.

Score and constants: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), with
idf = ln(1 + (n - df + 0.5) / (df + 0.5)), which is never negative.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

K1 = 1.2  # saturation of repeated words
B = 0.6  # how far long texts are held back; below the usual 0.75 because ways of asking are short

_WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")
_HOW_MUCH = re.compile(r"\bhow (?:fast|long|many|much|often|old|quickly|soon)\b", re.IGNORECASE)
_EMPTY = frozenset(
    re.split(
        r"\s+",
        """a about all am an and any are as at be been but by can could did do does doing for from get got had has have
        he hello her hey hi him his how i i'd i'll i'm i've if in into is it it's its just like may me might my no not
        of off ok on or our out please she should so some such than thank thanks that that's the their them then there
        these they this those to uh um us very was we were what what's when where which who why will with would yes
        you you're your""",
    )
)
_SUFFIXES = (
    "ations",
    "ation",
    "ments",
    "ment",
    "ings",
    "ing",
    "ies",
    "ied",
    "ers",
    "er",
    "ed",
    "es",
    "s",
    "ly",
    "y",
    "e",
)
_SHORTEST_STEM = 3


def words(text: str) -> list[str]:
    """Content words of a text, lower case, stemmed, in order; words that carry no topic are left out."""
    return [stem(word) for word in _WORD.findall(text.lower().replace("’", "'")) if word not in _EMPTY]


def is_empty(word: str) -> bool:
    """Whether a word, in small letters, carries no topic."""
    return word in _EMPTY


def content(text: str) -> str:
    """A text without the words that carry no topic: "close account" of "how do I close my account"; else as it is."""
    said = _HOW_MUCH.sub(" ", text).split()
    return " ".join(word for word in said if _bare(word) and _bare(word) not in _EMPTY) or text


def _bare(word: str) -> str:
    return word.lower().replace("’", "'").strip(".,;:!?\"'()")


def stem(word: str) -> str:
    """Cut one common English ending, so that "payments", "payment" and "pay" meet; numbers stay."""
    word = word.removesuffix("'s")
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= _SHORTEST_STEM:
            cut = word[: -len(suffix)]
            return cut.removesuffix("e") if len(cut) > _SHORTEST_STEM else cut
    return word


class LexicalIndex:
    """BM25 over n texts; built once, then read only."""

    def __init__(self, texts: Sequence[str]) -> None:
        counts = [Counter(words(text)) for text in texts]
        lengths = np.array([sum(count.values()) for count in counts], dtype=np.float32)
        self._n = len(texts)
        held_back = K1 * (1 - B + B * lengths / max(float(lengths.mean()), 1.0)) if self._n else lengths
        rows: dict[str, list[tuple[int, int]]] = {}
        for row, count in enumerate(counts):
            for word, times in count.items():
                rows.setdefault(word, []).append((row, times))
        self._postings: dict[str, tuple[NDArray[np.int32], NDArray[np.float32]]] = {}
        for word, pairs in rows.items():
            ids = np.array([row for row, _ in pairs], dtype=np.int32)
            counted = np.array([times for _, times in pairs], dtype=np.float32)
            self._postings[word] = ids, counted * (K1 + 1) / (counted + held_back[ids])

    def idf(self, word: str) -> float:
        """Weight of a stemmed word; a word that no text has weighs as much as one that a single text has."""
        found = self._postings.get(word)
        frequency = len(found[0]) if found else 1
        return math.log(1 + (self._n - frequency + 0.5) / (frequency + 0.5))

    def knows(self, word: str) -> bool:
        """Whether a text has a word, or it is one that carries no topic."""
        return word in _EMPTY or stem(word) in self._postings

    def scores(self, text: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """BM25 of each text, (n,), and the share, 0 to 1, of the question's word weight that each covers, (n,)."""
        score, covered = np.zeros(self._n, dtype=np.float32), np.zeros(self._n, dtype=np.float32)
        total = 0.0
        for word in dict.fromkeys(words(text)):
            weight = self.idf(word)
            total += weight
            if word in self._postings:
                ids, saturated = self._postings[word]
                score[ids] += weight * saturated
                covered[ids] += weight
        return score, covered / total if total else covered
