"""Who does what to whom: questions of the same words that trade who acts and is acted on, or from where to where."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from teller.cache.english import English
from teller.cache.moves import only_moved
from teller.cache.reading import Difference, Reading
from teller.turn import MissReason

_BE = frozenset({"am", "is", "are", "was", "were", "be", "been", "being", "get", "gets", "got"})
_PARTICIPLE = re.compile(
    r".+(?:ed|en|wn|rn|ght|elt|ept|ost|aid|ung|unk|ent|eld|ead|old|ound|ut|it)$"
    r"|(?:left|made|done|met|won|run|set|shot|understood|begun|hurt|beat|let|sat|dug|stuck|struck)$"
)
_OBJECTS = {"me": "i", "us": "we", "him": "he", "them": "they"}
_CASED = frozenset(_OBJECTS.values())
_CASED_TOO = _CASED | _OBJECTS.keys()
_PRONOUNS = frozenset({"i", "we", "he", "she", "they", "you"})
_SHE = frozenset({"she", "her", "hers", "herself"})
_HE_OR_SHE = _SHE | {"he", "him", "his", "himself"}
_OWNERS = {"my": "i", "mine": "i", "our": "we", "his": "he", "her": "she", "hers": "she", "their": "they"}
_SUPPORT = frozenset({"do", "does", "did", "a", "an", "the"})
_ASKING = frozenset({"how", "what", "when", "where", "which", "who", "why"})
_AUXILIARIES = _BE | {
    "do",
    "does",
    "did",
    "has",
    "have",
    "had",
    "can",
    "could",
    "will",
    "would",
    "should",
    "may",
    "must",
}
_OTHER_WORDS = 2  # that two questions may differ in and still be told to trade roles by the order of three words
_FRONTED = frozenset(
    {"if", "when", "after", "before", "once", "as", "while", "because", "since", "to", "for", "in", "on", "at", "with"}
)
_Ends = tuple[set[str], set[str], set[str]]


@dataclass(frozen=True, slots=True)
class _Passive:
    done_to: frozenset[str]
    doer: frozenset[str]


def role_difference(asked: Reading, stored: Reading, english: English) -> Difference | None:
    """What shows that two questions trade ends of a movement, he and she, or doer and done-to; None if nothing does."""
    here, there = _ends(asked, english), _ends(stored, english)
    back, forth = here[0] & there[1] - there[0], here[1] & there[0] - there[1]
    if (back and forth) or (back | forth) & (here[2] | there[2]):
        return Difference(
            "direction", MissReason.ROLES_DIFFER, f"from {_said_ends(here)} against from {_said_ends(there)}"
        )
    same_voice = ("by" in asked.bag) == ("by" in stored.bag)
    if same_voice and not (_HE_OR_SHE.isdisjoint(asked.bag) or _HE_OR_SHE.isdisjoint(stored.bag)):
        people = [[word in _SHE for word in reading.words if word in _HE_OR_SHE] for reading in (asked, stored)]
        if people[0] != people[1]:
            return Difference("pronouns", MissReason.ROLES_DIFFER, "he against she")
    if _is_done_to(asked, stored) or _is_done_to(stored, asked):
        return Difference("roles", MissReason.ROLES_DIFFER, "what somebody does against what is done to them")
    if _swapped(asked, stored, english, same_ends=here[2] == there[2] != set()):
        return Difference("roles", MissReason.ROLES_DIFFER, "who does it against whom it is done to")
    return None


def _is_done_to(one: Reading, other: Reading) -> bool:
    """Whether a question has a "was" more than the other, between a person and what was done: "that I was sent"."""
    if len(one.words) != len(other.words) + 1 or _BE.isdisjoint(one.bag):
        return False
    at = next((at for at, (here, there) in enumerate(zip(one.words, other.words, strict=False)) if here != there), None)
    if at is None or not at or one.words[at] not in _BE or one.words[at + 1 :] != other.words[at:]:
        return False
    return one.words[at - 1] in _PRONOUNS and bool(_PARTICIPLE.match(one.words[at + 1]))


def compared_the_other_way(asked: Reading, stored: Reading, english: English) -> bool:
    """Whether "A is ... than B" became "B is ... than A"."""
    here, there = _compared(asked, english), _compared(stored, english)
    return bool(here[0] & there[1] and here[1] & there[0])


def sides_traded(asked: Reading, stored: Reading, turned: set[str], english: English) -> bool:
    """Whether the two sides of a comparison traded places whole, but for the words that turned with them."""
    if not ("than" in asked.bag and "than" in stored.bag):
        return False
    sides = []
    for words in (asked.words, stored.words):
        at = words.index("than")
        sides += [
            {word for word in side if word not in english.small | turned} for side in (words[:at], words[at + 1 :])
        ]
    left, right, other_left, other_right = sides
    return (
        bool(right and other_right)
        and left - other_right == other_left - right
        and other_right <= left
        and right <= other_left
    )


def _compared(reading: Reading, english: English) -> tuple[set[str], set[str]]:
    at = reading.words.index("than")
    left, right = (
        {_OBJECTS.get(word) or english.stem(word) for word in side if word not in english.small or word in _CASED_TOO}
        for side in (reading.words[:at], reading.words[at + 1 :])
    )
    return left - right, right - left


def _swapped(asked: Reading, stored: Reading, english: English, *, same_ends: bool) -> bool:
    passive, other = _passive(asked, english), _passive(stored, english)
    if passive and other:
        return bool(passive.doer & other.done_to or passive.done_to & other.doer)
    if passive:
        return not _does(stored.words, passive)
    if other:
        return not _does(asked.words, other)
    if "than" in asked.bag or "than" in stored.bag or asked.core != stored.core:
        return False
    if only_moved(asked, stored, english):
        return False
    here, there = _unlisted(asked, english), _unlisted(stored, english)
    if sorted(here) != sorted(there) or (same_ends and "from" in asked.bag and "from" in stored.bag):
        return False
    frames = [Counter(_frame(reading.words, english)) for reading in (asked, stored)]
    apart = (frames[0] - frames[1]).total() + (frames[1] - frames[0]).total()
    fronted = _is_fronted(asked, stored)
    if here == there:
        return not apart and _pronouns(asked) != _pronouns(stored) and not fronted
    if apart == 0:
        at = there.index(here[0])
        rotated = [*there[at:], *there[:at]] == here
        comma = "," in asked.question.text or "," in stored.question.text
        return not (rotated and (fronted or comma)) and not _is_compound(asked, stored, here, there)
    turned = apart <= _OTHER_WORDS and not fronted and _turned_round(here, there)
    return turned and _BE.isdisjoint(asked.bag) == _BE.isdisjoint(stored.bag)  # else one may be passive: "included in"


def _is_compound(asked: Reading, stored: Reading, here: Sequence[str], there: Sequence[str]) -> bool:
    """Whether a verb and its object became one noun: "exchanging money", "money exchanges"."""
    apart = [at for at, (one, other) in enumerate(zip(here, there, strict=True)) if one != other]
    if len(apart) != 2 or apart[1] != apart[0] + 1 or set(asked.content) == set(stored.content):
        return False
    return all((r.content[apart[0]], r.content[apart[1]]) in list(pairwise(r.words)) for r in (asked, stored))


def _frame(words: Sequence[str], english: English) -> Iterator[str]:
    """The words of a question with those for the same person alike: if two have the same, only places were traded."""
    for word in words:
        if word not in _SUPPORT:
            yield _OBJECTS.get(word) or _OWNERS.get(word) or english.stem(word)


def _pronouns(reading: Reading) -> list[str]:
    people = [_OBJECTS.get(word) or _OWNERS.get(word, word) for word in reading.words]
    return [word for word in people if word in _PRONOUNS]


def _is_fronted(asked: Reading, stored: Reading) -> bool:
    """Whether one of the two may have put first what the other says last, which trades places and no roles."""
    firsts = (asked.words[0], stored.words[0])
    return any((firsts[0] in words) != (firsts[1] in words) for words in (_FRONTED, _ASKING))


def _turned_round(here: Sequence[str], there: Sequence[str]) -> bool:
    """Whether three words stand in the reverse order: "a calls b", "b calls a"."""
    places = {word: at for at, word in enumerate(here)}
    latest = between = -1
    for word in there:
        place = places[word]
        if place < between:
            return True
        if place < latest:
            between = max(between, place)
        latest = max(latest, place)
    return False


def _ends(reading: Reading, english: English) -> _Ends:
    """The content words that follow "from" and those that follow "to", as far as the phrase goes; the first of each."""
    ends: _Ends = (set(), set(), set())
    at: int | None = None
    begins = False
    for word in reading.words if "from" in reading.bag else ():
        if word in {"from", "to", "into"}:
            at, begins = 0 if word == "from" else 1, True
        elif word in english.breaks:
            at = None
        elif at is not None and word not in english.small:
            ends[at].add(word)
            if begins:
                ends[2].add(word)
            begins = False
    return ends


def _passive(reading: Reading, english: English) -> _Passive | None:
    """Reads "was the land bought by Tyler", "I was charged twice by them"; None if there is no such phrase."""
    words = reading.words
    for at, word in enumerate(words if "by" in reading.bag else ()):
        if word != "by" or words[at + 1 : at + 2] == () or words[at + 1].endswith("ing"):
            continue
        for verb in range(at - 1, max(0, at - 3), -1):
            if _PARTICIPLE.match(words[verb]) and not _BE.isdisjoint(words[:verb]):
                done_to, doer = _who(words[:verb], english), _who(words[at + 1 : at + 6], english)
                if done_to and doer:
                    return _Passive(done_to, doer)
    return None


def _who(words: Iterable[str], english: English) -> frozenset[str]:
    """The words of content, the pronouns if there is none."""
    found = frozenset(words)
    return found - english.small or frozenset(_OBJECTS.get(word, word) for word in found) & _PRONOUNS


def _does(words: Sequence[str], passive: _Passive) -> bool:
    """Whether an active sentence does not say the reverse of a passive one: the doer comes before the done-to.

    The case of a pronoun tells, and so does an auxiliary before the doer, as in "which card did Ann block".
    """
    doer = [at for at, word in enumerate(words) if _OBJECTS.get(word, word) in passive.doer]
    done_to = [at for at, word in enumerate(words) if _OBJECTS.get(word, word) in passive.done_to]
    if not (doer and done_to) or words[doer[0] - 1] in _AUXILIARIES:
        return True
    if passive.doer <= _CASED:
        return any(words[at] in _CASED for at in doer)
    if passive.done_to <= _CASED:
        return any(words[at] in _OBJECTS for at in done_to) or not _BE.isdisjoint(words)
    return doer[0] < done_to[0]


def _said_ends(ends: _Ends) -> str:
    return f"{' '.join(sorted(ends[0])) or '?'} to {' '.join(sorted(ends[1])) or '?'}"


def _unlisted(reading: Reading, english: English) -> list[str]:
    """Stems of the content in order, but the items of a list ("a, b and c") in the order of the alphabet."""
    groups: list[list[str]] = []
    joined = False
    for word in reading.words:
        if word in {"and", "or"}:
            joined = True
        elif word in english.negators:
            joined = False
        elif word in reading.content and word not in _OWNERS and word not in english.adverbs:
            if joined and groups:
                groups[-1].append(english.stem(word))
            else:
                groups.append([english.stem(word)])
            joined = False
    return [word for group in groups for word in sorted(group)]
