"""Runs of numbers: those that follow one another with nothing but signs and hesitations between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from teller.redaction.scene import Scene
from teller.turn import Value, ValueKind
from teller.values.reading import Item, word_set

_STRONG = word_set("- . / · • _ * ( ) + | dash hyphen space dot um uh er erm ah mm hmm")
_WEAK = word_set(
    ", ; : and then next so like yeah yes okay ok well the is are followed by finally lastly after that comes "
    "slash comma point period sorry again"
)
_MOST_BETWEEN = 5
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


@dataclass(frozen=True, slots=True)
class Atom:
    """One number of a run.

    Attributes:
        first: index of its item.
        start: its first character; `end` is one past its last.
        one_by_one: said digit by digit or in pairs, as nobody says an amount.
        amount: written or said as an amount ("1,000", "9.50", "two hundred").
        weak: words such as "and" part it from the one before.
        value: the typed value that it belongs to, if that may stay.
    """

    digits: str
    first: int
    start: int
    end: int
    one_by_one: bool = False
    amount: bool = False
    weak: bool = False
    value: ValueKind | None = None

    @property
    def is_round(self) -> bool:
        """Whether it looks like an amount all the same: 250000, 1500."""
        step = 50 if len(self.digits) < 6 else 500 if len(self.digits) < 8 else 100_000
        return 3 <= len(self.digits) < 10 and self.digits[0] != "0" and int(self.digits) % step == 0


def runs(scene: Scene) -> Iterator[list[Atom]]:
    """The runs of a scene, in order."""
    for run in _joined(scene):
        yield [replace(atom, amount=False) if _is_spelled(run, n) else atom for n, atom in enumerate(run)]


def _is_spelled(run: Sequence[Atom], n: int) -> bool:
    """Whether an amount stands among digits said one by one: "oh seven seven double oh nine hundred one two three"."""
    beside = [run[k] for k in (n - 1, n + 1) if 0 <= k < len(run)]
    return run[n].amount and any(atom.one_by_one and len(atom.digits) > 1 and not atom.weak for atom in beside)


def _joined(scene: Scene) -> Iterator[list[Atom]]:
    values = _kept_values(scene)
    run: list[Atom] = []
    between, weak = 0, False
    for i, item in enumerate(scene.items):
        atom = _atom(item, i) or (_mistaken(scene, i, run[-1]) if run and not between else None)
        if atom is not None:
            run.append(replace(atom, weak=weak and bool(run), value=values.get(i)))
            between, weak = 0, False
        elif run and between < _MOST_BETWEEN and (item.text in _STRONG or item.text in _WEAK):
            between += 1
            weak = weak or item.text in _WEAK
        elif run:
            yield run
            run, between, weak = [], 0, False
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
        digits = "".join(char for char in item.text if char.isdecimal())
        return Atom(digits, i, item.start, item.end, amount=True)
    whole = number.value == number.value.to_integral_value()
    return Atom(str(int(number.value)), i, item.start, item.end, amount=True) if whole else None


def _mistaken(scene: Scene, i: int, before: Atom) -> Atom | None:
    """A word that was heard or read for a digit among digits: "four to one one", "411O"."""
    item = scene.items[i]
    if item.glued and item.text in _LOOKS_LIKE:
        return Atom(_LOOKS_LIKE[item.text], i, item.start, item.end, one_by_one=True)
    if item.text not in _SOUNDS_LIKE or not before.one_by_one or i + 1 >= len(scene.items):
        return None
    after = _atom(scene.items[i + 1], i + 1)
    if after is None or not after.one_by_one:
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
    return digits < 6 or all(
        atom.amount or atom.is_round for atom in atoms
    )  # only the words around say that it is money
