"""What the redaction rules look at, and what they find."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from teller.turn import Value
from teller.values import Catalogue, values_of
from teller.values.numbers import join_numbers
from teller.values.reading import Item, tokens


class Secret(NamedTuple):
    """Personal data of a kind, from character `start` up to `end`."""

    kind: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Scene:
    """A clean text, and what has been taken out of it so far.

    Attributes:
        words: its words, digit strings and signs; a secret that was taken out is one placeholder.
        items: the same with numbers joined.
        values: typed values, relative dates left as they are, each with the index of its first item and the one after.
        plain: the items in lower case; empty for numbers and placeholders.
        said: the same without order, so that a rule whose words are not among them is passed at once.
        has_numbers: whether anything in it counts or is digits; most secrets have some.
    """

    text: str
    words: Sequence[Item]
    items: Sequence[Item]
    values: Sequence[tuple[Value, int, int]]
    plain: tuple[str, ...]
    said: frozenset[str]
    has_numbers: bool

    def word(self, i: int) -> str:
        """The item at i in lower case; empty for numbers, placeholders and outside the text."""
        return self.plain[i] if 0 <= i < len(self.plain) else ""

    def ends(self, i: int, phrase: tuple[str, ...]) -> bool:
        """Whether a phrase ends with item i; numbers count as they were said ("first")."""
        first = i + 1 - len(phrase)
        return first >= 0 and [item.text for item in self.items[first : i + 1]] == list(phrase)

    def without(self, secrets: Sequence[Secret], catalogue: Catalogue) -> Scene:
        """The scene with secrets, in order, taken out."""
        return look(self.text, list(_replaced(self.words, secrets)), catalogue)


def look(text: str, words: Sequence[Item] | None, catalogue: Catalogue) -> Scene:
    """A scene of a text, or of words that stand for parts of it."""
    words = tokens(text) if words is None else words
    items = join_numbers(words, text)
    plain = tuple(["" if item.number is not None or item.is_placeholder else item.text for item in items])
    has_numbers = "" in plain or any(word.isdecimal() for word in plain)
    return Scene(
        text, words, items, list(_placed(items, values_of(items, catalogue))), plain, frozenset(plain), has_numbers
    )


def _placed(items: Sequence[Item], values: Sequence[Value]) -> Iterator[tuple[Value, int, int]]:
    i = 0
    for value in values:
        while items[i].start < value.start:
            i += 1
        first = i
        while i < len(items) and items[i].end <= value.end:
            i += 1
        yield value, first, i


def _replaced(words: Sequence[Item], secrets: Sequence[Secret]) -> Iterator[Item]:
    waiting = iter(secrets)
    secret = next(waiting, None)
    inside = False
    for word in words:
        while secret is not None and word.start >= secret.end:
            secret, inside = next(waiting, None), False
        if secret is None or word.end <= secret.start:
            yield word
        elif not inside:
            inside = True
            yield Item(f"[{secret.kind}]", f"[{secret.kind}]", secret.start, secret.end, word.glued)
