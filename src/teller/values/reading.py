"""The items of a text, words and numbers, and what the rules are given to read them."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from teller.turn import ValueKind

_TOKEN = re.compile(r"\[[a-z]+(?:-[a-z]+)?(?: \d{1,3})?\]|\d+|[^\W\d_]+(?:['’][^\W\d_]+)*|\S")
_MARGIN = 32  # no rule looks so many items beyond the one that it reads
_NO_WORDS, _NO_NUMBERS = [""] * _MARGIN, [None] * _MARGIN
_ENDS = frozenset(".?!;,:)")


def word_list(text: str) -> tuple[str, ...]:
    """The words of a text: tables of words are written as prose."""
    return tuple(text.split())


def word_set(text: str) -> frozenset[str]:
    """The words of a text as a set."""
    return frozenset(word_list(text))


class Number(NamedTuple):
    """A number in a text.

    Attributes:
        value: what it counts; for digits said one by one, the number that they write.
        start: first character of it in the text.
        end: one past its last character.
        digits: as written or said, leading zeros kept; empty if it was not said as digits ("ten thousand", "1.5").
        parts: the pieces of a number said in pieces ("20", "26"), else one piece or none.
        ordinal: "second", "24th".
        scaled: with a scale ("two hundred", "10k", "1.5 million").
        scale: the last scale if nothing follows it (1000 for "10k"), else 1.
    """

    value: Decimal
    start: int
    end: int
    digits: str = ""
    parts: tuple[str, ...] = ()
    ordinal: bool = False
    scaled: bool = False
    scale: int = 1


class Item(NamedTuple):
    """A word, a sign, a placeholder such as "[card]", or a number.

    Attributes:
        text: lower case; apostrophes straight.
        raw: as written.
        glued: nothing stands between it and the item before.
    """

    text: str
    raw: str
    start: int
    end: int
    glued: bool
    number: Number | None = None

    @property
    def is_placeholder(self) -> bool:
        """Whether it stands for something that was taken out."""
        return len(self.text) > 1 and self.text[0] == "["


def tokens(text: str) -> list[Item]:
    """Words, digit strings, single signs and placeholders, in order; numbers are not read yet."""
    found = []
    end = 0
    for match in _TOKEN.finditer(text):
        raw = match.group()
        start, after = match.span()
        lower = raw
        if raw[0].isalpha():
            lower = raw.lower().replace("’", "'")
        elif not raw.isascii() and raw.isdecimal():
            lower = "".join(str(int(digit)) for digit in raw)
        found.append(Item(lower, raw, start, after, start == end and end > 0))
        end = after
    return found


@dataclass(frozen=True, slots=True)
class Reading:
    """A text that is being read: its items, and what the reader knows.

    Attributes:
        items: as `items` gives them.
        currency: of amounts that name none.
        today: the day of the question, None if it is not known.
        has_terms: the question is about money over time, so "in five years" is a term and not a day.
    """

    items: Sequence[Item]
    currency: str = "GBP"
    today: datetime.date | None = None
    has_terms: bool = False
    _words: Sequence[str] = field(init=False, repr=False)
    _numbers: Sequence[Number | None] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        words = [item.text if item.number is None else "" for item in self.items]
        object.__setattr__(self, "_words", _NO_WORDS + words + _NO_WORDS)
        numbers = [item.number for item in self.items]
        object.__setattr__(self, "_numbers", _NO_NUMBERS + numbers + _NO_NUMBERS)

    def word(self, i: int) -> str:
        """The item at i in lower case; empty for a number, and up to _MARGIN items outside the text."""
        return self._words[i + _MARGIN]

    def number(self, i: int) -> Number | None:
        """The number at i, None for a word, and up to _MARGIN items outside the text."""
        return self._numbers[i + _MARGIN]

    def glued(self, i: int) -> bool:
        """Whether nothing stands between the item at i and the one before."""
        return i < len(self.items) and self.items[i].glued

    def ends(self, i: int) -> bool:
        """Whether a sentence, a clause or the text ends before i."""
        return not 0 <= i < len(self.items) or self.word(i) in _ENDS


class Found(NamedTuple):
    """A value that a rule found: the items from `first` up to `after`."""

    kind: ValueKind
    canonical: str
    first: int
    after: int


def is_whole(value: Decimal) -> bool:
    """Whether a value is an integer; `%` fails on long ones."""
    return value == value.to_integral_value()


def plain(value: Decimal) -> str:
    """A decimal without exponent or trailing zeros: equal for equal values."""
    text = format(value, "f")
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text
