"""A trigram language model from a few thousand sentences, with general English behind it.

The bank's own sentences decide what is likely; a general model fills in what they lack, so that a caller may use words
and turns of phrase that no sentence has. Smoothing is Witten-Bell (Witten and Bell 1991, method C): it needs no
held-out data and takes weighted counts. Not here: the decoder, pronunciations.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from teller.errors import InputError

START, END = "<s>", "</s>"
_DOMAIN_SHARE = 0.7  # of the unigrams and of a pair that no sentence has; by measurement, see benchmarks/asr.py
_MIN_RATIO = 4.0  # a general pair is listed if it is so much likelier than its second word alone; by measurement
_FLOOR = 1e-10  # zero has no logarithm
_NEVER = -99.0  # ARPA's log10 for what is never predicted

Row = dict[str, float]


class Prior(Protocol):
    """A general language model."""

    def __call__(self, word: str, after: str | None = None) -> float:
        """Probability of a word, or of a word after another one; END is a word, START something to come after."""
        ...


class NgramModel:
    """P(word | the two before it), each distribution summing to 1 over the vocabulary and END.

    Args:
        sentences: the words and the weight of each; words that are not in the vocabulary are left out of them.
        vocabulary: every word that can be heard.
        common: words whose pairs are looked up in the general model: their number squared is the work.
        prior: the general model.

    Raises:
        InputError: if no sentence has a word of the vocabulary.
    """

    def __init__(
        self,
        sentences: Iterable[tuple[Sequence[str], float]],
        vocabulary: Collection[str],
        common: Collection[str],
        prior: Prior,
    ) -> None:
        words = sorted(vocabulary)
        ones, twos, threes = _counts(sentences, frozenset(words))
        if not ones:
            raise InputError("a language model needs at least one sentence with a known word")
        self._ones = _unigrams(ones, [*words, END], prior)
        listed = [word for word in words if word in frozenset(common)]
        general = {before: self._general_row(before, [*listed, END], prior) for before in (START, *listed)}
        self._twos = {
            before: _smoothed(twos.get(before, {}), general.get(before, {}), self._ones.__getitem__)
            for before in (START, *words)
            if before in twos or before in general
        }
        self._two_backoffs = {before: _backoff(row, self._ones.__getitem__) for before, row in self._twos.items()}
        self._threes = {pair: _smoothed(seen, {}, self._after(pair[1])) for pair, seen in sorted(threes.items())}
        self._three_backoffs = {pair: _backoff(row, self._after(pair[1])) for pair, row in self._threes.items()}

    def probability(self, word: str, *before: str) -> float:
        """Of a word of the vocabulary, or END, after none, one or two words; START may be the first of them."""
        if not before:
            return self._ones[word]
        if len(before) == 1:
            row = self._twos.get(before[0], {})
            return row[word] if word in row else self._two_backoffs.get(before[0], 1.0) * self._ones[word]
        pair = (before[0], before[1])
        row = self._threes.get(pair, {})
        return row[word] if word in row else self._three_backoffs.get(pair, 1.0) * self.probability(word, before[1])

    def arpa(self) -> Iterator[str]:
        """The model as the lines of an ARPA file."""
        yield "\\data\\"
        yield f"ngram 1={len(self._ones) + 1}"
        yield f"ngram 2={sum(map(len, self._twos.values()))}"
        yield f"ngram 3={sum(map(len, self._threes.values()))}"
        yield "\n\\1-grams:"
        yield f"{_NEVER} {START} {_log10(self._two_backoffs[START])}"
        for word, share in self._ones.items():
            yield f"{_log10(share)} {word} {_log10(self._two_backoffs.get(word, 1.0))}"
        yield "\n\\2-grams:"
        for before, row in self._twos.items():
            for word, share in sorted(row.items()):
                yield f"{_log10(share)} {before} {word} {_log10(self._three_backoffs.get((before, word), 1.0))}"
        yield "\n\\3-grams:"
        for (first, second), row in self._threes.items():
            for word, share in sorted(row.items()):
                yield f"{_log10(share)} {first} {second} {word}"
        yield "\n\\end\\"

    def _after(self, before: str) -> Callable[[str], float]:
        return lambda word: self.probability(word, before)

    def _general_row(self, before: str, words: Sequence[str], prior: Prior) -> Row:
        """What the general model expects after a word, where that is more than the next word's own share."""
        found = {}
        for word in words:
            share = prior(word, before)
            if share > _MIN_RATIO * self._ones[word]:
                found[word] = _DOMAIN_SHARE * self._ones[word] + (1 - _DOMAIN_SHARE) * share
        return found


def _counts(
    sentences: Iterable[tuple[Sequence[str], float]], words: Collection[str]
) -> tuple[Row, dict[str, Row], dict[tuple[str, str], Row]]:
    """Weighted counts of words, of words after a word, and of words after two."""
    ones: Row = defaultdict(float)
    twos: dict[str, Row] = defaultdict(lambda: defaultdict(float))
    threes: dict[tuple[str, str], Row] = defaultdict(lambda: defaultdict(float))
    for sentence, weight in sentences:
        known = [word for word in sentence if word in words]
        if not known:
            continue
        path = [START, *known, END]
        for i in range(1, len(path)):
            ones[path[i]] += weight
            twos[path[i - 1]][path[i]] += weight
            if i > 1:
                threes[path[i - 2], path[i - 1]][path[i]] += weight
    return ones, twos, threes


def _unigrams(counts: Mapping[str, float], words: Sequence[str], prior: Prior) -> Row:
    general = {word: prior(word) for word in words}
    of_domain, of_general = _DOMAIN_SHARE / sum(counts.values()), (1 - _DOMAIN_SHARE) / sum(general.values())
    return {word: of_domain * counts.get(word, 0.0) + of_general * general[word] for word in words}


def _smoothed(seen: Mapping[str, float], general: Mapping[str, float], lower: Callable[[str], float]) -> Row:
    """Witten-Bell: what was seen, mixed with what is expected in general by the number of different words seen."""
    left = _backoff(general, lower)  # a word that the general row does not name shares what that row leaves
    expected = {word: general.get(word, left * lower(word)) for word in dict.fromkeys((*seen, *general))}
    kinds = sum(min(1.0, count) for count in seen.values())
    total = sum(seen.values()) + kinds
    if not total:
        return expected
    return {word: (seen.get(word, 0.0) + kinds * share) / total for word, share in expected.items()}


def _backoff(row: Mapping[str, float], lower: Callable[[str], float]) -> float:
    """What multiplies the lower distribution for the words that are not in the row, so that all sums to 1."""
    rest = 1.0 - sum(map(lower, row))
    return max(0.0, 1.0 - sum(row.values())) / rest if rest > _FLOOR else 1.0


def _log10(share: float) -> str:
    return f"{math.log10(max(share, _FLOOR)):.4f}"
