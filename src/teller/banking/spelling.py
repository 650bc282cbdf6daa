"""Mends slips of the keyboard towards the words that the bank's own texts use.

Only a word that is no word is touched, and only if a word of the bank is a slip away: one letter lost, added, traded
or swapped with its neighbour, two in words of eight letters or more, never the first. Found by shared deletions
(Garbe's symmetric delete), so the time does not depend on the size of the vocabulary. A word that is not known but made
of words that are ("prepaid", "grandkids", "insure" beside "insured") is none that somebody mistyped: mended, it would
turn what the bank does not offer into what it does.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator

_WORD = re.compile(r"[a-z]+")
_TOKEN = re.compile(r"[A-Za-z']+")
_SHORTEST = 4  # shorter words are too near to others
_TWO_SLIPS = 8  # letters from which two slips still leave a word recognisable
_LONGEST = 24
_SHORTEST_PART = 4  # of a word that is made of others
_PREFIXES = ("de", "dis", "mis", "non", "over", "pre", "re", "un", "under")
_ENDINGS = ("able", "ed", "er", "ers", "es", "ing", "ings", "ly", "s", "y")
# Written without their apostrophe these are no words, and yet no slips.
_RUN_TOGETHER = re.compile(
    r"(?:are|ca|could|did|does|do|had|has|have|is|should|was|were|wo|would)nt|(?:i|they|we|you)ve|(?:they|you)re"
    r"|(?:that|what|where|who)s"
)


class Spelling:
    """A vocabulary and what is one or two slips away from it.

    Args:
        texts: whose words are mended towards.
        known: words of the language, lower case, that are left alone.
    """

    def __init__(self, texts: Iterable[str], known: Collection[str]) -> None:
        counts = Counter(word for text in texts for word in _WORD.findall(text.lower()) if len(word) >= _SHORTEST)
        self._counts = counts
        self._known = known
        self._near: dict[str, list[str]] = {}
        for word in counts:
            for shorter in _deletions(word):
                self._near.setdefault(shorter, []).append(word)

    def mended(self, text: str) -> str:
        """The text with its slips mended; a text without slips comes back as it is."""
        return _TOKEN.sub(lambda match: self._mended(match[0]), text)

    def reads(self, text: str) -> bool:
        """Whether a word of it, of two letters or more, is one of the language or of the bank's texts."""
        return any(len(word) > 1 and self._is_word(word) for word in _TOKEN.findall(text.lower()))

    def _mended(self, word: str) -> str:
        lower = word.lower()
        if not _SHORTEST <= len(lower) <= _LONGEST or "'" in lower:
            return word
        if self._is_word(lower) or _RUN_TOGETHER.fullmatch(lower) or self._is_made_of_words(lower):
            return word
        slips = 2 if len(lower) >= _TWO_SLIPS else 1
        near = {candidate for shorter in _deletions(lower) for candidate in self._near.get(shorter, ())}
        # Letters are lost more often than added: "freze" is "freeze" and not "free".
        near = {other for other in near if other[0] == lower[0]}
        found = [(_distance(lower, other), not _within(lower, other), -self._counts[other], other) for other in near]
        best = min(found, default=None)
        return best[-1] if best and best[0] <= slips else word

    def _is_word(self, word: str) -> bool:
        return word in self._counts or word in self._known

    def _is_made_of_words(self, word: str) -> bool:
        """Whether it is two words run together, or a word with a prefix or another ending."""
        if self._is_word(f"{word}s") or (word[-1] == "e" and self._is_word(f"{word}d")):
            return True
        if any(self._is_word(word[at:]) and self._is_word(word[:at]) for at in _middles(word)):
            return True
        rests = [word.removeprefix(prefix) for prefix in _PREFIXES if word.startswith(prefix)]
        stems = [word.removesuffix(ending) for ending in _ENDINGS if word.endswith(ending)]
        made_of = [*rests, *stems, *(f"{stem}e" for stem in stems)]
        return any(len(part) >= _SHORTEST_PART and self._is_word(part) for part in made_of)


def _middles(word: str) -> range:
    return range(_SHORTEST_PART, len(word) - _SHORTEST_PART + 1)


def _deletions(word: str) -> Iterator[str]:
    """The word, and what is left of it after one letter is taken away, or two of a long word."""
    once = {word[:at] + word[at + 1 :] for at in range(len(word))}
    yield from {word, *once}
    if len(word) >= _TWO_SLIPS:
        yield from {left[:at] + left[at + 1 :] for left in once for at in range(len(left))} - once


def _within(short: str, long: str) -> bool:
    """Whether the letters of one word are in the other, in order."""
    rest = iter(long)
    return all(letter in rest for letter in short)


def _distance(a: str, b: str) -> int:
    """Optimal string alignment distance: insertions, deletions, substitutions and swaps of neighbours."""
    before: list[int] = []
    last = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        row = [i]
        for j, right in enumerate(b, 1):
            cost = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (left != right))
            if i > 1 and j > 1 and left == b[j - 2] and a[i - 2] == right:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        before, last = last, row
    return last[-1]
