"""What one small word decides where all others are equal and in their places: "the case for it", "the case against it".

The content is the same to the letter, so what is left to tell the two apart is that word alone, and it is taken to do
so unless the tables of `data/english.toml` have the two for one another: the rule fails closed. Elsewhere such words
say little; there the verifier decides.
"""

from __future__ import annotations

from teller.cache.english import English
from teller.cache.reading import Difference, Reading
from teller.turn import MissReason
from teller.values.reading import word_set

_PAST = word_set("was were did had")
_NOW = word_set("is are am do does has have")
_NEEDED = word_set("should must might")
_WAYS = word_set("how where what when which")
_OWN = word_set("i my we our me us")
_STATES = ("ed", "en", "ing", "wn", "nt", "id")  # of what was done, which "is" and "was" tell alike


def traded_word_difference(asked: Reading, stored: Reading, english: English) -> Difference | None:
    """The one word that two questions differ in, if it is a small word that makes another question."""
    if len(asked.words) != len(stored.words):
        return None
    apart = [at for at, (one, other) in enumerate(zip(asked.words, stored.words, strict=True)) if one != other]
    if len(apart) != 1:
        return None
    at = apart[0]
    one, other = asked.words[at], stored.words[at]
    for words, decides in (
        (english.prepositions, _anywhere),
        (english.auxiliaries, _auxiliary),
        (english.shares, _anywhere),
    ):
        if (
            one in words
            and other in words
            and not english.interchangeable(one, other)
            and decides(asked, at, {one, other})
        ):
            return Difference("small word", MissReason.POLARITY_DIFFERS, f"{one} against {other}")
    return None


def _anywhere(reading: Reading, at: int, pair: set[str]) -> bool:  # noqa: ARG001
    return True


def _auxiliary(reading: Reading, at: int, pair: set[str]) -> bool:
    """Whether tense or duty is what is asked: not in what happened to one's own, nor in "how can I", "how should I"."""
    if not pair.isdisjoint(_PAST) and not pair.isdisjoint(_NOW):
        done = any(word.endswith(_STATES) for word in reading.words[at + 1 :])
        return reading.bag.isdisjoint(_OWN) and not (done and pair <= word_set("is are am was were"))
    if pair.isdisjoint(_NEEDED):
        return False
    return "must" in pair or "might" in pair or reading.words[0] not in _WAYS
