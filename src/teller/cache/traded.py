"""What one word decides where all others are equal and in their places.

A small word that is traded for another makes another question: "the case for it", "the case against it". The content
is the same to the letter, so what is left to tell the two apart is that word, and it is taken to do so unless the
tables of `data/english.toml` have the two for one another: the rule fails closed. Elsewhere small words say little.

A word of content that is traded or added leaves it open whether the two are one question, unless the tables know both
words for one thing: where an answer was given once, the verifier does not know enough to tell.
"""

from __future__ import annotations

from teller.cache.canonical import canonical_text
from teller.cache.english import English
from teller.cache.reading import Difference, Reading
from teller.turn import MissReason
from teller.values.reading import word_set

_FILLERS = word_set(
    """truly really actually exactly basically literally simply honestly certainly definitely maybe perhaps possibly
    kindly please thanks thank cheers hello hi hey sorry help pls ok okay well uh er like anyway though urgently ever
    myself yourself himself herself themselves itself"""
)
_MOST_TRADED = 2  # words in one place; where more differ, a question was said otherwise
_LONG = 5  # letters of a word that may be misspelled
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
    kinds = (english.prepositions, english.shares, english.auxiliaries)
    kind = next((words for words in kinds if one in words and other in words), None)
    if kind is None or english.interchangeable(one, other):
        return None
    if kind is english.auxiliaries and not _auxiliary_decides(asked, at, {one, other}):
        return None
    return Difference("small word", MissReason.POLARITY_DIFFERS, f"{one} against {other}")


def _auxiliary_decides(reading: Reading, at: int, pair: set[str]) -> bool:
    """Whether tense or duty is what is asked: not in what happened to one's own, nor in "how can I", "how should I"."""
    if not pair.isdisjoint(_PAST) and not pair.isdisjoint(_NOW):
        done = any(word.endswith(_STATES) for word in reading.words[at + 1 :])
        return reading.bag.isdisjoint(_OWN) and not (done and pair <= word_set("is are am was were"))
    if pair.isdisjoint(_NEEDED):
        return False
    return "must" in pair or "might" in pair or reading.words[0] not in _WAYS


def leaves_open(asked: Reading, stored: Reading, english: English) -> bool:
    """Whether a word of content or two are all that two questions differ in, and no table has them for one thing."""
    here, there = (_in_place(reading, english) for reading in (asked, stored))
    start = next((at for at, (one, other) in enumerate(zip(here, there, strict=False)) if one != other), None)
    start = min(len(here), len(there)) if start is None else start
    most = min(len(here), len(there)) - start
    end = next((at for at in range(most) if here[-1 - at] != there[-1 - at]), most)
    one, other = here[start : len(here) - end], there[start : len(there) - end]
    if max(len(one), len(other)) > _MOST_TRADED or not english.negators.isdisjoint((*one, *other)):
        return False
    telling = [_telling(words, reading, english) for words, reading in ((one, asked), (other, stored))]
    if (
        (not telling[0] and not telling[1])
        or "".join(one) == "".join(other)
        or _is_one(" ".join(one), " ".join(other), english)
    ):
        return False
    return len(telling[0]) != len(telling[1]) or not all(
        any(_is_one(word, thing, english) for thing in telling[1]) for word in telling[0]
    )


def _in_place(reading: Reading, english: English) -> list[str]:
    """The stems of a question's words, without those that may stand anywhere."""
    passed_over = english.adverbs | _FILLERS
    return [word if word in english.small else english.stem(word) for word in reading.words if word not in passed_over]


def _telling(words: list[str], reading: Reading, english: English) -> list[str]:
    """Those that carry a subject, but for values, which are equal where this is asked."""
    spans = " ".join(reading.question.text[value.start : value.end] for value in reading.question.values)
    of_values = {english.stem(word) for word in canonical_text(spans).split()}
    return [word for word in words if word not in english.small and word not in of_values]


def _is_one(word: str, other: str, english: English) -> bool:
    return word == other or english.one_thing(word, other) or _is_spelled_alike(word, other)


def _is_spelled_alike(word: str, other: str) -> bool:
    """Whether two long words are a letter apart, as "color" and "colour" are, or a slip of the keyboard."""
    if min(len(word), len(other)) < _LONG or word[0] != other[0] or abs(len(word) - len(other)) > 1:
        return False
    at = next((at for at, (one, two) in enumerate(zip(word, other, strict=False)) if one != two), len(word))
    rest, others = word[at:], other[at:]
    swapped = rest[:2] == others[:2][::-1] and rest[2:] == others[2:]
    return rest[1:] == others[1:] or rest[1:] == others or rest == others[1:] or swapped
