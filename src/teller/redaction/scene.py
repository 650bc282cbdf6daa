"""What the redaction rules look at, and what they find."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from teller.turn import Value
from teller.values import Catalogue, values_of
from teller.values.numbers import join_numbers
from teller.values.reading import Item, tokens


@dataclass(frozen=True, slots=True)
class Secret:
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
    """

    text: str
    words: Sequence[Item]
    items: Sequence[Item]
    values: Sequence[tuple[Value, int, int]]

    def word(self, i: int) -> str:
        """The item at i in lower case; empty for numbers, placeholders and outside the text."""
        if not 0 <= i < len(self.items) or self.items[i].number is not None or self.items[i].is_placeholder:
            return ""
        return self.items[i].text

    def without(self, secrets: Sequence[Secret], catalogue: Catalogue) -> Scene:
        """The scene with secrets, in order, taken out."""
        return look(self.text, list(_replaced(self.words, secrets)), catalogue)


def look(text: str, words: Sequence[Item] | None, catalogue: Catalogue) -> Scene:
    """A scene of a text, or of words that stand for parts of it."""
    words = tokens(text) if words is None else words
    items = join_numbers(words, text)
    return Scene(text, words, items, list(_placed(items, values_of(items, catalogue))))


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
            yield replace(word, text=f"[{secret.kind}]", raw=f"[{secret.kind}]", start=secret.start, end=secret.end)
