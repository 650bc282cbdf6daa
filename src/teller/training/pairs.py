"""Pairs of questions that mean the same, and of questions that are alike and do not: made, not collected.

A *frame* is a meaning with slots and several ways of saying it (`frames.toml`). Same pair: one meaning said in two
ways, dressed with what people put around a question. Different pair: a slot filled otherwise or with a modifier more, a
word of the frame traded for one that changes the request, a part left out, or a neighbouring frame. General and banking
frames stand side by side, so that the verifier learns what changes a meaning and not a bank's vocabulary.
"""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Slot = tuple[str, str]  # its name, and "" or "2" for another of the same name
Filled = dict[Slot, Sequence[str]]

_SLOT = re.compile(r"\{([a-z]+)(\d?)(?::(\d))?\}")
_PART = re.compile(
    r",? ?(?:in|to|between|from|on|with|by|for)? ?(?:the )?\{(?:place|when|channel|period|city)\}(?: branch)?"
)
_TABLES = frozenset({"trades", "modified", "modifiers"})  # what is not written between bars alone
_FORMS = frozenset({"pverb", "tverb", "trade"})
_SPOKEN = (
    ("do not", "don't"),
    ("is not", "isn't"),
    ("what is", "what's"),
    ("I am", "I'm"),
    ("I would", "I'd"),
    ("want to", "wanna"),
    ("going to", "gonna"),
    ("have to", "need to"),
    ("how do I", "how can I"),
    ("is it possible to", "can I"),
    ("what's", "whats"),
    ("where is", "wheres"),
    ("how is", "hows"),
    ("don't", "dont"),
    ("isn't", "isnt"),
)
_SAME_MODIFIED = 0.15  # of pairs that mean the same, so that a modifier alone tells nothing
_ADDED = 0.6  # of pairs with another modifier, those where one side has none


@dataclass(frozen=True, slots=True)
class Pair:
    """Two questions, whether one answer fits both, and how the second was made from the first."""

    first: str
    second: str
    same: bool
    kind: str


def make_pairs(count: int, *, seed: int, held_out: bool = False) -> Iterator[Pair]:
    """Draw about `count` pairs, half of them the same; equal arguments, equal pairs.

    Args:
        count: how many draws; those that come out as two equal texts are left out.
        seed: of the draws.
        held_out: draw from every sixth frame instead of from the others.
    """
    grammar = _Grammar(seed, held_out=held_out)
    others = (
        grammar.other_filler,
        grammar.other_filler,
        grammar.other_words,
        grammar.other_frame,
        grammar.other_modifier,
    )
    makers = (*[grammar.same] * len(others), *others)
    for number in range(count):
        pair = makers[number % len(makers)]()
        if pair and pair.first.lower() != pair.second.lower():
            yield pair if grammar.rng.random() < 0.5 else Pair(pair.second, pair.first, pair.same, pair.kind)


class _Grammar:
    def __init__(self, seed: int, *, held_out: bool) -> None:
        tables = tomllib.loads(Path(__file__).with_name("frames.toml").read_text("utf-8"))
        self.rng = random.Random(seed)
        self._slots = {
            name: [names.strip().split("/") for names in row.replace("\n", " ").split(",")]
            for name, row in tables["slots"].items()
        }
        self._dress = {name: row.split("|") for name, row in tables["dress"].items() if name not in _TABLES}
        self._modified = frozenset(tables["dress"]["modified"].split())
        self._modifiers = [word.strip() for word in tables["dress"]["modifiers"].replace("\n", " ").split(",")]
        trades = [trade.strip().split("|") for trade in tables["dress"]["trades"].replace("\n", " ").split(";")]
        self._trades = [(here, there) for pair in trades for here, there in (pair, pair[::-1])]
        lines = tables["frames"]["lines"].strip().splitlines()
        self._frames = [line.split("|") for at, line in enumerate(lines) if (at % 6 == 5) == held_out]

    def same(self) -> Pair:
        """One meaning, said twice."""
        ways, filled = self.meaning()
        first, second = self.rng.choice(ways), self.rng.choice(ways)
        kind = "said otherwise" if first != second else "dressed"
        if slot := self._noun(first) if self.rng.random() < _SAME_MODIFIED else None:
            filled = self._with_modifier(filled, slot, self.rng.choice(self._modifiers))
        return Pair(self.asked(first, filled), self.asked(second, filled), same=True, kind=kind)

    def other_filler(self) -> Pair | None:
        """One slot filled otherwise."""
        ways, filled = self.meaning()
        first = self.rng.choice(ways)
        here = self._slots_of(first)
        if not here:
            return None
        slot = self.rng.choice(here)
        changed = {**filled, slot: self._filler(slot[0], filled)}
        second = first if self.rng.random() < 0.7 else self.rng.choice(ways)
        return Pair(self.asked(first, filled), self.asked(second, changed), same=False, kind=f"other {slot[0]}")

    def other_words(self) -> Pair | None:
        """A word of the frame traded, or a part left out."""
        ways, filled = self.meaning()
        way = self.rng.choice(ways)
        if self.rng.random() < 0.3 and _PART.search(way):
            shorter = _PART.sub("", way, count=1).strip()
            return Pair(self.asked(way, filled), self.asked(shorter, filled), same=False, kind="part left out")
        possible = [(here, there) for here, there in self._trades if re.search(rf"(?<!\{{)\b{here}\b(?!\}})", way)]
        if not possible:
            return None
        here, there = self.rng.choice(possible)
        other = re.sub(rf"(?<!\{{)\b{here}\b(?!\}})", there, way, count=1)
        return Pair(self.asked(way, filled), self.asked(other, filled), same=False, kind="other words")

    def other_modifier(self) -> Pair | None:
        """A thing, and that thing of a certain kind; or of two kinds."""
        ways, filled = self.meaning()
        first = self.rng.choice(ways)
        slot = self._noun(first)
        if slot is None:
            return None
        one, other = self.rng.sample(self._modifiers, 2)
        here = filled if self.rng.random() < _ADDED else self._with_modifier(filled, slot, other)
        there = self._with_modifier(filled, slot, one)
        second = (
            first if self.rng.random() < 0.7 else self.rng.choice([way for way in ways if slot in self._slots_of(way)])
        )
        return Pair(self.asked(first, here), self.asked(second, there), same=False, kind="other modifier")

    def _noun(self, way: str) -> Slot | None:
        slots = [slot for slot in self._slots_of(way) if slot[0] in self._modified]
        return self.rng.choice(slots) if slots else None

    def _slots_of(self, way: str) -> list[Slot]:
        return sorted({(name, copy) for name, copy, _ in _SLOT.findall(way)})

    def _with_modifier(self, filled: Filled, slot: Slot, modifier: str) -> Filled:
        return {**filled, slot: [f"{modifier} {name}" for name in filled[slot]]}

    def other_frame(self) -> Pair | None:
        """Another request about the same things."""
        ways, filled = self.meaning()
        names = {name for name, _ in filled}
        near = [
            other for other in self._frames if other is not ways and names & {row[0] for row in _SLOT.findall(other[0])}
        ]
        if not near:
            return None
        other = self.rng.choice(near)
        changed = {**self._fill(other), **filled}
        first, second = self.asked(self.rng.choice(ways), filled), self.asked(self.rng.choice(other), changed)
        return Pair(first, second, same=False, kind="other request")

    def meaning(self) -> tuple[Sequence[str], Filled]:
        """A frame's ways and what fills its slots."""
        ways = self.rng.choice(self._frames)
        return ways, self._fill(ways)

    def _fill(self, ways: Sequence[str]) -> Filled:
        filled: Filled = {}
        for name, copy, _ in _SLOT.findall("".join(ways)):
            if (name, copy) not in filled:
                filled[name, copy] = self._filler(name, filled)
        return filled

    def _filler(self, name: str, filled: Mapping[Slot, Sequence[str]]) -> Sequence[str]:
        taken = [names for (other, _), names in filled.items() if other == name]
        return self.rng.choice([names for names in self._slots[name] if names not in taken])

    def asked(self, way: str, filled: Filled) -> str:
        """One way said with its fillers, dressed."""

        def put(match: re.Match[str]) -> str:
            name, copy, form = match.groups()
            names = filled[name, copy]
            return names[int(form) - 1 if form else 0] if name in _FORMS else self.rng.choice(names)

        return self._dressed(re.sub(r"\ba (?=[aeiou])", "an ", _SLOT.sub(put, way)))

    def _dressed(self, text: str) -> str:
        chance, choice = self.rng.random, self.rng.choice
        if chance() < 0.35:
            text = choice(self._dress["before"]) + text
        if chance() < 0.2:
            text += choice(self._dress["after"])
        if chance() < 0.12:
            words = text.split()
            words.insert(self.rng.randrange(1, len(words)), choice(self._dress["inside"]))
            text = " ".join(words)
        for written, spoken in _SPOKEN:
            if written in text and chance() < 0.3:
                text = text.replace(written, spoken)
        for most in (0.2, 0.07):
            if chance() < most:
                text = self._slipped(text)
        return text + "?" if chance() < 0.5 else text

    def _slipped(self, text: str) -> str:
        """One slip of the keyboard or the ear: a small word lost, or a letter lost or doubled."""
        words = text.split()
        small = [at for at, word in enumerate(words) if word in {"a", "the", "my", "to", "is", "do", "of", "it"}]
        if small and self.rng.random() < 0.5:
            del words[self.rng.choice(small)]
            return " ".join(words)
        at = self.rng.randrange(len(words))
        if len(words[at]) > 4:
            letter = self.rng.randrange(1, len(words[at]) - 1)
            doubled = self.rng.choice(["", words[at][letter] * 2])
            words[at] = words[at][:letter] + doubled + words[at][letter + 1 :]
        return " ".join(words)
