"""What may change its place in a question and not its meaning: a phrase, a clause, the sides of a mutual tie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from teller.cache.canonical import canonical_text
from teller.cache.english import English
from teller.cache.reading import Reading
from teller.values.reading import word_set

_CLAUSES = word_set("if when after before once while because since until till as although unless")
_REFERRING = word_set("it they them he him she her this that")
_ARTICLES = word_set("a an the")
_JOINS = word_set("with to from and a an the")
_LISTS = word_set("and or")
_PARTICLES = word_set("up off out down back away")  # "look it up", "look up it"
_LEAST_MOVED = 2  # words of a phrase: "in Lisbon"


def only_moved(asked: Reading, stored: Reading, english: English) -> bool:
    """Whether two questions differ in the place of a phrase or clause alone, or in the sides of a mutual tie."""
    here, there = asked.words, stored.words
    start = next((at for at, (one, other) in enumerate(zip(here, there, strict=False)) if one != other), None)
    if start is None or sorted(here) != sorted(there):
        return False
    end = next(at for at in range(len(here)) if here[-1 - at] != there[-1 - at])
    here, there = here[start : len(here) - end], there[start : len(there) - end]
    # Brought to the front, that is: in the middle a phrase belongs to the noun before it ("the son of the cook").
    in_front = english.small.issuperset(asked.words[:start])
    begins = english.prepositions - {"of"} | _CLAUSES
    for cut in range(_LEAST_MOVED, len(here) - _LEAST_MOVED + 1) if in_front else ():
        if here[cut:] + here[:cut] == there and not begins.isdisjoint((here[0], here[cut])):
            return True
    if any(one[0] in _PARTICLES and one[1:] + one[:1] == other for one, other in ((here, there), (there, here))):
        return True
    before = next((word for word in reversed(asked.words[:start]) if word not in _ARTICLES), "")
    return _is_mutual(here, there, before, english) or _told_by_clauses(asked, stored)


def _is_mutual(here: Sequence[str], there: Sequence[str], before: str, english: English) -> bool:
    """Whether the two ends of what differs traded places, and they are a list or a mutual tie binds them.

    The tie stands between the two with nothing else that carries a subject, or right before both.
    """
    for left in range(1, len(here)):
        if here[:left] != there[len(there) - left :]:
            continue
        for right in range(1, len(here) - left):
            between = set(here[left : len(here) - right])
            if (
                here[len(here) - right :] != there[:right]
                or here[left : len(here) - right] != there[right : len(there) - left]
            ):
                continue
            if between <= _LISTS | _ARTICLES:
                return left == right and not _LISTS.isdisjoint(between)
            ties = between & english.mutual
            alone = between - ties <= english.small | english.adverbs
            return alone and bool(ties or (before in english.mutual and between <= _JOINS))
    return False


def _told_by_clauses(asked: Reading, stored: Reading) -> bool:
    """Whether a clause changed its place and what it is about is named in the other part: "once it has risen"."""
    here, there = _clause(asked), _clause(stored)
    if here is None or there is None:
        return False
    named, others = (here[0] - there[0], there[0] - here[0]), (here[1] - there[1], there[1] - here[1])
    for one, other in ((0, 1), (1, 0)):
        thing, pronoun = named[one], named[other]
        if pronoun.total() == 1 and pronoun.keys() <= _REFERRING and others[other] == thing and others[one] == pronoun:
            return True
    return False


def _clause(reading: Reading) -> tuple[Counter[str], Counter[str]] | None:
    """The words of a question's clause and those of the rest; None if there is none, or no comma after one in front."""
    words = reading.words
    if words[0] in _CLAUSES:
        front, comma, _ = reading.question.text.partition(",")
        length = len(canonical_text(front).split()) if comma else 0
        return (Counter(words[:length]), Counter(words[length:])) if 0 < length < len(words) else None
    starts = [at for at, word in enumerate(words) if word in _CLAUSES]
    return (Counter(words[starts[-1] :]), Counter(words[: starts[-1]])) if starts else None
