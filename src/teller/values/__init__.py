"""Typed values in a question: what makes two questions different though their words are alike.

"£10,000", "10k" and "ten thousand pounds" are one value, "10000.00 GBP"; so a cached answer is never given for other
values, and the tools take their arguments from the same reading. It is a fixed set of rules over the items of the text,
tried in one order at each item, the first that reads something wins; none looks further than a few items, so reading is
linear in the length of the text.
"""

from __future__ import annotations

import datetime
from decimal import Decimal, InvalidOperation

from teller.errors import InputError
from teller.turn import Value, ValueKind
from teller.values.calendar import date, time_of_day
from teller.values.measures import duration, money, percentage
from teller.values.names import Catalogue, person
from teller.values.numbers import Found, Number, Reading, items, plain, spoken_numbers, word_set

__all__ = [
    "Catalogue",
    "Number",
    "find_values",
    "money_amount",
    "months",
    "number",
    "percent",
    "spoken_numbers",
]

_LENDING = word_set(
    "borrow borrowing loan loans lend mortgage mortgages repay repayment repayments repaying finance instalment "
    "instalments apr"
)
_TAIL_CUES = word_set("ending ends ended end finishing finishes terminating last final")
_TAIL_JOINS = word_set(
    "in with on is are : of the my card account it its digits digit numbers number four three that as"
)
_PRONOUN_BEFORE = word_set(
    "this that which the another each new any only no every old a an other wrong right same first last"
)
_NOT_COUNTED = word_set("of is that and to for thing more or another who which was has can")


def find_values(
    text: str, catalogue: Catalogue, *, today: datetime.date | None = None, currency: str = "GBP"
) -> tuple[Value, ...]:
    """The typed values in a text, in order, not overlapping.

    Args:
        text: written or spoken English, of any length.
        catalogue: the bank's own names.
        today: resolves relative dates; without it they stay symbolic ("rel:next-monday").
        currency: ISO 4217 code of amounts that name none.
    """
    read = items(text)
    lending = any(item.text in _LENDING for item in read)
    reading = Reading(read, currency, today, lending)
    values = []
    i = 0
    while i < len(read):
        found = None if read[i].is_placeholder else _value_at(reading, catalogue, i)
        if found is None:
            i += 1
            continue
        values.append(Value(found.kind, found.canonical, read[found.first].start, read[found.after - 1].end))
        i = found.after
    return tuple(values)


def _value_at(reading: Reading, catalogue: Catalogue, i: int) -> Found | None:
    named = catalogue.find(reading, i)
    if named is not None:
        return named
    for rule in (id_tail, percentage, time_of_day, date, duration, money, person, count):
        found = rule(reading, i)
        if found is not None:
            return found
    return None


def id_tail(reading: Reading, i: int) -> Found | None:
    """The last digits of a card or account: "ending 1234", "last four digits 4 4 2 1", "****1234"."""
    said = reading.number(i)
    if said is None or not said.digits or len(said.digits) > 8:
        return None
    digits, after = said.digits, i + 1
    if reading.glued(i) and reading.word(i - 1) in {"*", "•", "x", "xx", "xxx", "xxxx"}:
        return Found(ValueKind.ID_TAIL, digits, i, after)
    if not _tail_cued(reading, i):
        return None
    while (more := reading.number(after)) is not None and more.digits and len(digits + more.digits) <= 6:
        digits, after = digits + more.digits, after + 1
    if len(digits) == 5 and reading.word(i - 1) in {"last", "final"} and said.parts[:1] == ("4",):
        digits = digits[1:]  # "last four four four two one"
    alone = reading.ends(after) or (reading.word(after) != "" and not duration(reading, after - 1))
    tail = 3 <= len(digits) <= 6 and not date(reading, i) and alone
    return Found(ValueKind.ID_TAIL, digits, i, after) if tail else None


def _tail_cued(reading: Reading, i: int) -> bool:
    for k in range(i - 1, max(-1, i - 7), -1):
        word = reading.word(k)
        if word in _TAIL_CUES:
            return True
        four = reading.number(k)
        if word not in _TAIL_JOINS and not (four is not None and four.value in (3, 4)):
            return False
    return False


def count(reading: Reading, i: int) -> Found | None:
    """A number that is nothing else: "two cards" is "2", "the second card" is "#2"."""
    said = reading.number(i)
    if said is None:
        return None
    text = reading.items[i].text
    after = reading.word(i + 1)
    if text == "one" and (reading.word(i - 1) in _PRONOUN_BEFORE or not after.isalpha() or after in _NOT_COUNTED):
        return None
    if said.ordinal:
        idiom = after in {"of", "name", "names", "party", "hand"} or (text == "first" and reading.word(i - 1) == "at")
        return None if idiom and not text[0].isdecimal() else Found(ValueKind.COUNT, f"#{plain(said.value)}", i, i + 1)
    leading = said.digits if len(said.digits) > 1 and said.digits[0] == "0" else plain(said.value)
    return Found(ValueKind.COUNT, leading, i, i + 1)


def _decimal(value: Value, text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as exc:
        raise InputError(f"'{value.canonical}' of kind {value.kind} is not a number") from exc


def money_amount(value: Value) -> Decimal:
    """The amount of a MONEY value in its own currency.

    Raises:
        InputError: if the value is not money.
    """
    if value.kind is not ValueKind.MONEY:
        raise InputError(f"wanted money, got {value.kind}")
    return _decimal(value, value.canonical.split(" ")[0])


def percent(value: Value) -> Decimal:
    """The percentage of a PERCENT value: 6.5 for "6.5%".

    Raises:
        InputError: if the value is not a percentage.
    """
    if value.kind is not ValueKind.PERCENT:
        raise InputError(f"wanted a percentage, got {value.kind}")
    return _decimal(value, value.canonical)


def months(value: Value) -> Decimal | None:
    """The months of a DURATION value, None if it is not one of months or years ("two weeks")."""
    if value.kind is not ValueKind.DURATION or not value.canonical.endswith("M") or value.canonical.startswith("PT"):
        return None
    return _decimal(value, value.canonical[1:-1])


def number(value: Value) -> Decimal:
    """The number in a COUNT, MONEY, PERCENT or ID_TAIL value.

    Raises:
        InputError: if the value is of another kind.
    """
    if value.kind not in {ValueKind.COUNT, ValueKind.MONEY, ValueKind.PERCENT, ValueKind.ID_TAIL}:
        raise InputError(f"wanted a number, got {value.kind}")
    return _decimal(value, value.canonical.split(" ")[0].removeprefix("#"))
