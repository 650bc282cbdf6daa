"""The calculations and their slots: which slot each value of a question fills, and whether a question is only values.

The same words mean different things to different tools: "after two years" is when a loan is paid off, "£200 a month" is
what it may cost or what is put away, and a bare "5" is whatever was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from teller.banking.marks import Mark, Marked


@dataclass(frozen=True, slots=True)
class Tool:
    """A calculation.

    Attributes:
        family: "loan" or "savings"; the tools of a family hand their values on to one another.
        needs: slots that must be filled, in the order in which they are asked for.
        money: the slot of an amount.
        monthly: the slot of an amount a month, empty if it takes none.
        instead: slots that may stand in for a needed one.
    """

    name: str
    family: str
    needs: tuple[str, ...]
    money: str
    monthly: str = ""
    instead: Mapping[str, str] = field(default_factory=dict)

    @property
    def slots(self) -> tuple[str, ...]:
        """All that it takes, in order."""
        return (*self.needs, *self.instead.values(), "rate", "account")

    def missing(self, filled: Mapping[str, str]) -> str:
        """The first slot that is needed and not filled; empty if the calculation can be done."""
        return next((slot for slot in self.needs if slot not in filled and self.instead.get(slot) not in filled), "")


TOOLS: Mapping[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool("loan_payment", "loan", ("amount", "term"), "amount"),
        Tool("loan_total_cost", "loan", ("amount", "term"), "amount"),
        Tool("amortisation_schedule", "loan", ("amount", "term"), "amount"),
        Tool("loan_early_repayment", "loan", ("amount", "term", "after"), "amount", instead={"after": "early"}),
        Tool("loan_overpayment", "loan", ("amount", "term", "extra"), "amount", "extra"),
        Tool("loan_term", "loan", ("amount", "payment"), "amount", "payment"),
        Tool("borrow_for_payment", "loan", ("payment", "term"), "payment", "payment"),
        Tool("savings_interest", "savings", ("amount", "term"), "amount", "deposit", {"amount": "deposit"}),
        Tool("savings_goal", "savings", ("goal", "deposit"), "goal", "deposit"),
        Tool("savings_deposit", "savings", ("goal", "term"), "goal"),
    )
}


@dataclass(slots=True)
class Filling:
    """What the values of a question fill.

    Attributes:
        slots: canonical values by slot: money "10000.00", times "P60M", rates "6.5" or "6.5 APR".
        clashes: both values where a question names two for one slot.
        unused: values that fit no slot of the tool.
    """

    slots: dict[str, str] = field(default_factory=dict)
    clashes: dict[str, tuple[str, str]] = field(default_factory=dict)
    unused: int = 0


_MONEY_SLOTS = frozenset({"amount", "payment", "extra", "goal", "deposit"})
_DENIED = ("not", "not for", "not at")
_MORE = r"(?:pounds |quid )?(?:more|extra|longer|higher)\b"
_LESS = r"(?:pounds |quid )?(?:less|fewer|shorter|lower)\b"
_BY_MORE = r"\b(?:another|extra|(?:add|increase|raise|extend|lengthen|stretch)(?: (?:it|that|this|the \w+))?(?: by)?)$"
_BY_LESS = r"\b(?:reduce|lower|cut|shorten|drop)(?: (?:it|that|this|the \w+))? by$"
_CORRECTS = re.compile(r"\b(?:no|nope|actually|sorry|i mean|i meant|make (?:it|that)|rather|instead|correction|wait)\b")
_OF_RATE = re.compile(r"\b(?:at|rate|apr|aer|interest)(?: (?:of|is|was|to|at|be|about))*$")
_LONGEST_BARE_YEARS = 10  # "over 5" is years, "over 60" is months


def fill(asked: Marked, tool: Tool, filled: Mapping[str, str] | None = None) -> Filling:
    """Give each value of a question its slot; `filled` is what an open form of the tool holds, None without one."""
    filling = Filling()
    for mark in asked.marks():
        if mark.before.endswith(_DENIED):  # "not four, five years"
            continue
        wanted = tool.missing({**filled, **filling.slots}) if filled is not None else ""
        slot = _slot(mark, tool, wanted or _nearest(mark, tool, filled or {}))
        if not slot:
            filling.unused += 1
            continue
        value = _canonical(mark, slot, is_apr=asked.has(r"\b(?:apr|annual percentage)\b"))
        if filled is not None and (sign := _direction(mark)):
            if slot not in filled:
                filling.unused += 1
                continue
            value = _moved(filled[slot], value, sign)
        before = filling.slots.get(slot, value)
        if before != value and not _CORRECTS.search(mark.before.rpartition(">")[2]):
            filling.clashes[slot] = (before, value)
        filling.slots[slot] = value
    for slot in filling.clashes:
        del filling.slots[slot]
    return filling


def _slot(mark: Mark, tool: Tool, wanted: str) -> str:
    """The slot that a value fills, empty for none."""
    match mark.letter:
        case "p":
            return "rate"
        case "s" if tool.family == "savings":
            return "account"
        case "r":
            return tool.monthly
        case "m" | "n" | "f" | "c" if wanted in _MONEY_SLOTS and not re.search(r"\b(?:at|over|after)$", mark.before):
            return wanted
        case "m" | "n" | "f":
            extra = "extra" in tool.needs and re.search(r"\b(?:extra|more|another)\b", mark.before.rpartition(">")[2])
            return "extra" if extra else tool.money
        case "c" if _OF_RATE.search(mark.before):
            return "rate"
        case "c" if re.search(r"\b(?:on|loan of|borrow|borrowing)$", mark.before):
            return tool.money
        case "d" | "w" | "c":
            return _time_slot(mark, tool, wanted)
    return ""


def _nearest(mark: Mark, tool: Tool, filled: Mapping[str, str]) -> str:
    """Which amount of a full form a bare amount changes: of two, the one that is less far from it."""
    slots = [slot for slot in tool.slots if slot in _MONEY_SLOTS and slot in filled]
    if mark.letter not in "mn" or not slots or Decimal(mark.value) <= 0:
        return ""
    ratios = {slot: Decimal(mark.value) / Decimal(filled[slot]) for slot in slots}
    return min(slots, key=lambda slot: max(ratios[slot], 1 / ratios[slot]))


def _time_slot(mark: Mark, tool: Tool, wanted: str) -> str:
    if "after" in tool.needs:
        if re.match(r"(?:\w+ )?early\b", mark.after) and not mark.before.endswith("over"):
            return "early"
        if wanted == "after" or re.match(r"(?:in|into)\b", mark.after):
            return "after"
        if re.search(r"\b(?:after|in|at|within|once)(?: (?:the|about|only|just|first))*$", mark.before):
            return "after"
        if re.search(
            r"\b(?:made|paid|paying|done|had it|been at it)(?: (?:it|them|back|for|about|only|just))*$", mark.before
        ):
            return "after"
    return "term" if "term" in tool.needs else ""


def _direction(mark: Mark) -> int:
    """1 for a value that is said to come on top of the one before, -1 for one that goes off it, else 0."""
    near = mark.before.rpartition(">")[2]
    if re.match(_LESS, mark.after) or re.search(_BY_LESS, near):
        return -1
    return 1 if re.match(_MORE, mark.after) or re.search(_BY_MORE, near) else 0


def _moved(before: str, step: str, sign: int) -> str:
    """A value moved by another: "P60M" by "P12M", "10000.00" by "2000.00"; the other where they do not add up."""
    old, move = (re.fullmatch(r"(P?)(-?[\d.]+)(M?)( APR)?", text) for text in (before, step))
    if not old or not move or (old[1], old[3]) != (move[1], move[3]):
        return step
    return f"{old[1]}{Decimal(old[2]) + sign * Decimal(move[2]):f}{old[3]}{old[4] or ''}"


def _canonical(mark: Mark, slot: str, *, is_apr: bool) -> str:
    if slot == "rate":
        return f"{mark.value.removesuffix(' APR')}{' APR' if is_apr or mark.value.endswith('APR') else ''}"
    if slot in _MONEY_SLOTS:
        currency = " foreign" if mark.letter == "f" else ""
        return f"{Decimal(mark.value):.2f}{currency}"
    sign = "-" if re.search(r"\b(?:minus|negative)$", mark.before) else ""  # which no limit lets pass
    if mark.letter != "c":
        return mark.value.replace("P", f"P{sign}") if sign else mark.value
    number = Decimal(mark.value)
    months = number * 12 if number <= _LONGEST_BARE_YEARS else number
    return f"P{sign}{months.normalize():f}M"


# What may stand around the values of an answer or a change: with anything else, it is another question.
_CARRYING = """
    and but or then now actually no nope yes yeah yep sorry wait i i'd i'll i've have it it's its that that's
    this let's let us say make made change changed my mind try do go going put use set switch instead rather
    than mean meant would will be is was were what how about if to too of in on at for over by with after around
    roughly maybe perhaps probably just only more less much like want need think prefer borrow borrowed
    borrowing lend loan save saved saving savings pay paying paid repay payment payments repayments cost away
    back off aside each every per a an the month monthly months year years pounds quid percent apr rate interest
    term amount total altogether same again one early minus negative extra me up down what's whats get give
    quote personal said not shorten lengthen extend increase reduce lower raise cut bring stretch drop higher longer
    shorter fewer extra another add
"""
_PURPOSES = "car van bike motorbike kitchen bathroom roof boiler wedding holiday extension caravan furniture studies"
_FOR = rf"\bfor (?:an? |my |the |our |some )?(?:new |used )?(?:{'|'.join(_PURPOSES.split())})s?(?: costing| worth)?\b"
_AROUND = re.compile(
    rf"<[a-z]\d+>|{_FOR}|\b(?:(?:can|could|would|shall) (?:we|you)|{'|'.join(_CARRYING.split())})\b(?!')"
)
_CANCELS = re.compile(
    r"(?:no |actually |just |i )*(?:never ?mind(?: that| it)?|cancel(?: that| it| this)?|leave it(?: there)?"
    r"|forget (?:it|that|about (?:it|that))|stop(?: it| that)?|don't bother|(?:have |'ve )?changed my mind"
    r"|not (?:now|any ?more|interested)|that's (?:all|enough|it|fine)|no thanks?(?: you)?|no|nothing"
    r"|let's (?:stop|leave it)|start (?:over|again))(?: then| now)?"
)


def only_values(asked: Marked) -> bool:
    """Whether a question is nothing but values and the words that carry them: "actually make it <d0>"."""
    return bool(asked.values) and not re.sub(r"[\s']+", "", _AROUND.sub(" ", asked.words))


def cancels(asked: Marked) -> bool:
    """Whether the caller gives up what is being worked out."""
    return _CANCELS.fullmatch(asked.words) is not None
