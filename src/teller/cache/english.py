"""What the guards know of English words: the tables of `data/english.toml`, ready to be looked up."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from types import MappingProxyType

from teller.values.names import GIVEN_NAMES

_NO_ROWS: frozenset[int] = frozenset()
_SHORT = 3  # letters of a word that may double its last one
_DOUBLED = frozenset("bdglmnprt")  # "cancelled", "stopping"; then "call" is "cal" too


class Turn(StrEnum):
    """What trading a word for its opposite does."""

    STATE = "state"  # turns the meaning round, as a negation does
    DEGREE = "degree"  # turns round what it stands before
    ACTION = "action"  # asks for something else, whatever else is turned round


@dataclass(frozen=True, slots=True)
class English:
    """The tables.

    Attributes:
        small: words that carry no subject.
        negators: words that say no.
        denials: words of content that say no as well.
        adverbs: words that may stand anywhere.
        prepositions: those that a question may turn on.
        auxiliaries: likewise.
        shares: words for how many of some.
        mutual: words for relations that hold both ways.
        alike: pairs of small words that say the same in each other's place.
        same: of a word's stem, or those of a phrase, the rows of words for one thing that it is in.
        breaks: words that end a phrase that began with "from" or "to".
        times: the words that say when one thing is by another: before it, during it or after it.
        timed: all of those.
        opposites: of a word, its opposites and what trading them does.
        phrasal: of a phrase ("log in"), its opposites.
        twins: of a beginning of words, the one that says the opposite ("over", "under").
        contrasts: of a word, the row of words that exclude one another that it is in, and its place there.
        quantities: of a word, how much or how many it says.
        how: of a word after "how", what is asked for.
        irregular: stems of forms that no ending tells.
    """

    small: frozenset[str]
    negators: frozenset[str]
    denials: frozenset[str]
    adverbs: frozenset[str]
    prepositions: frozenset[str]
    auxiliaries: frozenset[str]
    shares: frozenset[str]
    mutual: frozenset[str]
    alike: frozenset[frozenset[str]]
    same: Mapping[str, frozenset[int]]
    breaks: frozenset[str]
    times: Mapping[str, frozenset[str]]
    timed: frozenset[str]
    opposites: Mapping[str, Mapping[str, Turn]]
    phrasal: Mapping[str, frozenset[str]]
    twins: Mapping[str, str]
    contrasts: Mapping[str, tuple[str, int]]
    quantities: Mapping[str, str]
    how: Mapping[str, str]
    irregular: Mapping[str, str]

    def interchangeable(self, one: str, other: str) -> bool:
        """Whether two small words say the same in each other's place."""
        return frozenset((one, other)) in self.alike

    def stem(self, word: str) -> str:
        """A word without the endings of number, tense and owner, nearly: "cancelled" and "cancels" are "cancel"."""
        return _stem(word, self.irregular)

    def one_thing(self, one: str, other: str) -> bool:
        """Whether two stems, or phrases of stems, are of words for one thing."""
        return not self.same.get(one, _NO_ROWS).isdisjoint(self.same.get(other, _NO_ROWS))


def _stem(word: str, irregular: Mapping[str, str]) -> str:
    word = word.removesuffix("'s").removesuffix("'")
    if (base := irregular.get(word)) is not None:
        word = base
    elif len(word) > 3 and word.endswith("ies"):
        word = word[:-3] + "y"
    elif len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    elif len(word) > 4 and word.endswith(("ed", "ing")):
        word = word[:-2] if word.endswith("ed") else word[:-3]
    if len(word) > 3 and word[-1] == word[-2] and word[-1] in _DOUBLED:
        return word[:-1]
    return word[:-1] if len(word) > 3 and word.endswith("e") else word


def load_english(bank: Iterable[tuple[str, str]] = ()) -> English:
    """The tables that ship, with a bank's own pairs of opposite actions ("block", "unblock") beside them."""
    tables = tomllib.loads(resources.files("teller").joinpath("data/english.toml").read_text("utf-8"))
    opposites: dict[str, dict[str, Turn]] = {}
    phrasal: dict[str, set[str]] = {}
    for turn, rows in ((Turn.STATE, "states"), (Turn.DEGREE, "degrees"), (Turn.ACTION, "actions")):
        for left, right in tables[rows]:
            _oppose(opposites, left.split(), right.split(), turn)
    for left, right in [*tables["phrasal"], *bank]:
        here, there = ([side.strip() for side in sides.split(",")] for sides in (left, right))
        _oppose(opposites, [w for w in here if " " not in w], [w for w in there if " " not in w], Turn.ACTION)
        for one, other in [(a, b) for a in here for b in there if " " in a + b]:
            phrasal.setdefault(one, set()).add(other)
            phrasal.setdefault(other, set()).add(one)
    twins = [pair for left, right in tables["twins"] for pair in ((left, right), (right, left))]
    words = {name: frozenset(tables[name].split()) for name in _WORDS}
    irregular = _by_word(tables["irregular"])
    return English(
        **{name: words[name] for name in _LISTS},
        alike=frozenset(
            frozenset(pair) for row in tables["interchangeable"] for pair in itertools.combinations(row.split(), 2)
        ),
        same=MappingProxyType(_rows_of_stems(tables["same"], irregular)),
        times=MappingProxyType({name: words[name] for name in ("before", "during", "after")}),
        timed=words["before"] | words["during"] | words["after"] | {"once"},
        opposites=MappingProxyType(opposites),
        phrasal=MappingProxyType({phrase: frozenset(others) for phrase, others in phrasal.items()}),
        twins=MappingProxyType(dict(twins)),
        contrasts=MappingProxyType(_contrasts({**tables["contrasts"], "given name": "|".join(sorted(GIVEN_NAMES))})),
        quantities=MappingProxyType(_by_word(tables["quantities"])),
        how=MappingProxyType(_by_word(tables["how"])),
        irregular=MappingProxyType(irregular),
    )


_LISTS = ("small", "negators", "denials", "adverbs", "prepositions", "auxiliaries", "shares", "mutual", "breaks")
_WORDS = (*_LISTS, "before", "during", "after")


def _oppose(opposites: dict[str, dict[str, Turn]], left: list[str], right: list[str], turn: Turn) -> None:
    for here, there in ((left, right), (right, left)):
        for word in here:
            known = opposites.setdefault(word, {})
            for other in there:
                known.setdefault(other, turn)


def _rows_of_stems(rows: Iterable[str], irregular: Mapping[str, str]) -> dict[str, frozenset[int]]:
    """Of every stem its rows: one for the words as they are, one for "quicker", "faster", one for "quickest"."""
    found: dict[str, set[int]] = {}
    for at, row in enumerate(rows):
        for word in row.split():
            for degree, form in enumerate((word, *_degrees(word))):
                phrase = " ".join(_stem(part, irregular) for part in form.split("_"))
                found.setdefault(phrase, set()).add(3 * at + degree)
    return {stem: frozenset(at) for stem, at in found.items()}


def _degrees(word: str) -> tuple[str, str]:
    if word.endswith("y"):
        word = word[:-1] + "i"
    elif len(word) == _SHORT and word[-1] in _DOUBLED and word[-2] in "aeiou":
        word += word[-1]  # "big", "bigger"
    return word.removesuffix("e") + "er", word.removesuffix("e") + "est"


def _by_word(table: Mapping[str, str]) -> dict[str, str]:
    return {word: name for name, words in table.items() for word in words.split()}


def _contrasts(table: Mapping[str, str]) -> dict[str, tuple[str, int]]:
    found: dict[str, tuple[str, int]] = {}
    for row, line in table.items():
        for place, words in enumerate(line.split("|")):
            for word in words.split():
                found[word] = found[f"{word}'s"] = (row, place)
    return found
