"""Typed values in a question: what makes two questions different though their words are alike.

"£10,000", "10k" and "ten thousand pounds" are one value, "10000.00 GBP"; so a cached answer is never given for other
values, and the tools take their arguments from the same reading. It is a fixed set of rules over the items of the text,
tried in one order at each item, the first that reads something wins; none looks further than a few items, so reading is
linear in the length of the text.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation

from teller.errors import InputError
from teller.turn import Value, ValueKind
from teller.values import dates, measures
from teller.values.clock import time_of_day
from teller.values.counts import count, id_tail
from teller.values.dates import date
from teller.values.measures import duration, money, percentage
from teller.values.names import GIVEN_NAMES, NOT_NAMES, TITLES, Catalogue, is_given_name, person
from teller.values.numbers import items, spoken_numbers
from teller.values.reading import Found, Item, Number, Reading, word_set

__all__ = [
    "Catalogue",
    "Number",
    "find_values",
    "money_amount",
    "months",
    "number",
    "percent",
    "spoken_numbers",
    "values_of",
]

Rule = Callable[[Reading, int], Found | None]
_OF_NUMBERS: tuple[Rule, ...] = (id_tail, percentage, time_of_day, date, duration, money, count)
_OF_WORDS: tuple[Rule, ...] = (date, duration, money)
_STARTS = dates.STARTS | measures.STARTS
_NAMED_TIMES = frozenset({"noon", "midday", "midnight"})
_NEVER_PEOPLE = NOT_NAMES - TITLES
_BEGINNINGS = _STARTS | {f"{word}'s" for word in _STARTS} | _NAMED_TIMES | GIVEN_NAMES
_TERMS = word_set(
    "apr borrow borrowing earn finance instalment instalments interest invest lend loan loans mortgage mortgages "
    "pay repay repaying repayment repayments save saving savings"
)


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
    return values_of(items(text), catalogue, today=today, currency=currency)


def values_of(
    read: Sequence[Item], catalogue: Catalogue, *, today: datetime.date | None = None, currency: str = "GBP"
) -> tuple[Value, ...]:
    """`find_values` of a text that has been parted into items."""
    beginnings = _beginnings(read, catalogue)
    if not beginnings:
        return ()
    has_terms = not _TERMS.isdisjoint([item.text for item in read])
    reading = Reading(read, currency, today, has_terms)
    values = []
    after = 0
    for i in beginnings:
        if i >= after and (found := _value_at(reading, catalogue, i)):
            values.append(Value(found.kind, found.canonical, read[found.first].start, read[found.after - 1].end))
            after = found.after
    return tuple(values)


def _beginnings(read: Sequence[Item], catalogue: Catalogue) -> list[int]:
    """The items that a value could begin with; most words begin none."""
    return [
        i
        for i, item in enumerate(read)
        if (
            item.number is not None
            or item.text in _BEGINNINGS
            or (item.raw[0].isupper() and item.text not in _NEVER_PEOPLE)
            or catalogue.may_begin(item)
        )
        and not item.is_placeholder
    ]


def _value_at(reading: Reading, catalogue: Catalogue, i: int) -> Found | None:
    """What the first rule that reads something at i reads."""
    found = catalogue.find(reading, i)
    item = reading.items[i]
    if found is not None:
        return found
    if item.number is not None:
        return _first(_OF_NUMBERS, reading, i)
    if item.text.removesuffix("'s") in _STARTS and (found := _first(_OF_WORDS, reading, i)):
        return found
    if item.text in _NAMED_TIMES:
        return time_of_day(reading, i)
    return person(reading, i) if item.raw[0].isupper() or is_given_name(item) else None


def _first(rules: Sequence[Rule], reading: Reading, i: int) -> Found | None:
    for rule in rules:
        found = rule(reading, i)
        if found is not None:
            return found
    return None


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
