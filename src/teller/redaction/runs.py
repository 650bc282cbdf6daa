"""Runs of numbers: those that follow one another with nothing but signs and hesitations between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import NamedTuple

from teller.redaction.scene import Scene
from teller.turn import Value, ValueKind
from teller.values.reading import Item, is_whole, word_set


class Parted(IntEnum):
    """What parts two numbers of a run, the most of it."""

    NOT = 0  # nothing, hyphens, hesitations
    BY_SIGN = 1  # a comma, a colon
    BY_WORD = 2  # "and", "then"


_STRONG = word_set("- . / · • _ * ( ) + | dash hyphen space dot um uh er erm ah mm hmm")
_SIGNS = word_set(", ; :")
_WORDS = word_set(
    "and then next so like yeah yes okay ok well the is are followed by finally lastly after that comes slash "
    "comma point period sorry again"
)
_BETWEEN = (
    dict.fromkeys(_STRONG, Parted.NOT) | dict.fromkeys(_SIGNS, Parted.BY_SIGN) | dict.fromkeys(_WORDS, Parted.BY_WORD)
)
_MOST_BETWEEN = 5
_MOST_MISHEARD = 4
_SOUNDS_LIKE = {"oh": "0", "o": "0", "to": "2", "too": "2", "for": "4", "ate": "8", "won": "1"}
_LOOKS_LIKE = {"o": "0", "i": "1", "l": "1"}
_LONGEST_KEPT = {  # digits of a typed value that may stay
    ValueKind.MONEY: 12,
    ValueKind.PERCENT: 6,
    ValueKind.DATE: 8,
    ValueKind.TIME: 4,
    ValueKind.DURATION: 5,
    ValueKind.ID_TAIL: 4,
}


class Atom(NamedTuple):
    """One number of a run.

    Attributes:
        first: index of its item.
        start: its first character; `end` is one past its last.
        one_by_one: said digit by digit or in pairs, as nobody says an amount.
        amount: written or said as an amount ("1,000", "9.50", "two hundred").
        parted: what stands between it and the one before.
        value: the typed value that it belongs to, if that may stay.
    """

    digits: str
    first: int
    start: int
    end: int
    one_by_one: bool = False
    amount: bool = False
    parted: Parted = Parted.NOT
    value: ValueKind | None = None

    @property
    def is_round(self) -> bool:
        """Whether it looks like an amount all the same: 250000, 1500."""
        step = 50 if len(self.digits) < 6 else 500 if len(self.digits) < 8 else 100_000
        return 3 <= len(self.digits) < 10 and self.digits[0] != "0" and int(self.digits) % step == 0

    @property
    def is_spelled(self) -> bool:
        """Whether it looks like a part of something longer, though a comma parts it: neither an amount nor a year."""
        year = len(self.digits) == 4 and self.digits[:2] in {"19", "20"}
        return self.one_by_one or self.digits[0] == "0" or (len(self.digits) > 3 and not self.is_round and not year)


def runs(scene: Scene) -> Iterator[list[Atom]]:
    """The runs of a scene, in order."""
    if not scene.has_numbers:
        return
    for run in _joined(scene):
        yield [_beside(run, n) for n in range(len(run))]


def _beside(run: Sequence[Atom], n: int) -> Atom:
    """The atom n, seen with those next to it: what looks like an amount or a year is none among digits.

    "oh seven seven double oh nine hundred one two three" is a telephone, "(pay into) 9450 0730" an account.
    """
    atom = run[n]
    beside = [run[k] for k in (n - 1, n + 1) if 0 <= k < len(run) and run[max(k, n)].parted is not Parted.BY_WORD]
    if atom.amount and any(_is_code(other) for other in beside):
        atom = atom._replace(amount=False)
    unsure = atom.value is ValueKind.MONEY or (atom.value is ValueKind.DATE and atom.one_by_one)
    if unsure and any(other.value is None and len(other.digits) > 2 for other in beside):
        return atom._replace(value=None)
    return atom


def _is_code(atom: Atom) -> bool:
    """Whether a number is no quantity: said digit by digit, or with a nought before it."""
    return len(atom.digits) > 1 and (atom.one_by_one or (atom.digits[0] == "0" and atom.value is None))


def _joined(scene: Scene) -> Iterator[list[Atom]]:
    values = _kept_values(scene)
    run: list[Atom] = []
    between, parted = 0, Parted.NOT
    for i, item in enumerate(scene.items):
        if not run and scene.plain[i] and not item.text.isdecimal():
            continue  # a word, and no number before it
        atom = _atom(item, i) or (_mistaken(scene, i, run[-1]) if run and not between else None)
        if atom is not None:
            run.append(atom._replace(parted=parted, value=values.get(i)))
            between, parted = 0, Parted.NOT
        elif run and between < _MOST_BETWEEN and item.text in _BETWEEN:
            between += 1
            parted = max(parted, _BETWEEN[item.text])
        elif run:
            yield run
            run, between, parted = [], 0, Parted.NOT
    if run:
        yield run


def _atom(item: Item, i: int) -> Atom | None:
    """The number at item i as digits; None for a word, an ordinal and what has no whole value."""
    number = item.number
    if number is None:
        return Atom(item.text, i, item.start, item.end) if item.text.isdecimal() else None
    if number.ordinal:
        return None
    spoken = any(char.isalpha() for char in item.text)
    if number.digits:
        return Atom(number.digits, i, item.start, item.end, one_by_one=len(number.parts) > 1 or len(number.digits) == 1)
    if not spoken:
        whole, _, decimals = item.text.partition(".")
        digits = "".join(char for char in whole + decimals if char.isdecimal())
        amount = " " not in whole and (len(decimals) < 3 or len(whole) < 3)
        amount = amount and len(digits) <= _LONGEST_KEPT[ValueKind.MONEY]
        return Atom(digits, i, item.start, item.end, amount=amount)
    if not is_whole(number.value):
        return None
    return Atom(str(int(number.value)), i, item.start, item.end, amount=True)


def _mistaken(scene: Scene, i: int, before: Atom) -> Atom | None:
    """A word that was heard or read for a digit among digits: "four to one one", "411O"."""
    item = scene.items[i]
    if item.glued and all(char in _LOOKS_LIKE for char in item.text):
        return Atom("".join(_LOOKS_LIKE[char] for char in item.text), i, item.start, item.end, one_by_one=True)
    after = i
    while after < len(scene.items) and after < i + _MOST_MISHEARD and scene.items[after].text in _SOUNDS_LIKE:
        after += 1
    if after == i or after == len(scene.items) or not before.one_by_one:
        return None
    follows = _atom(scene.items[after], after)
    if follows is None or not follows.one_by_one:
        return None
    return Atom(_SOUNDS_LIKE[item.text], i, item.start, item.end, one_by_one=True)


def _kept_values(scene: Scene) -> dict[int, ValueKind]:
    """Kinds of the typed values that may stay, by the items that they are made of."""
    kept: dict[int, ValueKind] = {}
    for value, first, after in scene.values:
        if _may_stay(scene, value, range(first, after)):
            kept.update(dict.fromkeys(range(first, after), value.kind))
    return kept


def _may_stay(scene: Scene, value: Value, members: Sequence[int]) -> bool:
    atoms = [atom for i in members if (atom := _atom(scene.items[i], i))]
    digits = sum(len(atom.digits) for atom in atoms)
    if digits > _LONGEST_KEPT.get(value.kind, 0):
        return False
    if value.kind is not ValueKind.MONEY or len(members) > 1:
        return True
    return all(atom.amount or atom.is_round for atom in atoms)  # only the words around say that it is money
