"""One way of writing a value, however it was said: "fifteen hundred euros" and "€1,500" are both "1500 euros".

A sentence embedder holds numbers in words and in digits for different things; what a speech recogniser writes and what
people type would rarely meet. Whether values are equal is not decided here but by what they are (`Value.canonical`).
"""

from __future__ import annotations

import datetime
import re

from teller.turn import Question, Value, ValueKind

_CURRENCIES = {"GBP": "pounds", "USD": "dollars", "EUR": "euros"}
_DURATION = re.compile(r"P(T?)(\d+)([DM])")
_UNITS = {  # of a kind of duration, the greatest first: how many make one, and its name
    ("", "M"): ((12, "year"), (1, "month")),
    ("", "D"): ((7, "week"), (1, "day")),
    ("T", "M"): ((60, "hour"), (1, "minute")),
}
_ON_A_DAY = re.compile(
    r"\d[/.-]|january|february|march|april|may|june|july|august|september|october|november|december", re.I
)
_CLOCK = re.compile(r"\d\d:\d\d")


def in_figures(question: Question) -> str:
    """The text of a question, its amounts, rates, counts, durations, dates and times of day each written in one way.

    Ordinals and what is said by today ("tomorrow") stay as they are.
    """
    pieces, end, text = [], 0, question.text
    for value in question.values:
        written = _written(value, text) if value.start >= end else None
        if written is not None:
            pieces += [text[end : value.start], written]
            end = value.end
    return "".join([*pieces, text[end:]]) if pieces else text


def _written(value: Value, text: str) -> str | None:
    """A value in figures; None if it stays as it is."""
    said = value.canonical
    if value.kind is ValueKind.MONEY:
        amount, _, currency = said.partition(" ")
        return f"{amount.removesuffix('.00')} {_CURRENCIES.get(currency, currency)}"
    if value.kind is ValueKind.PERCENT:
        return f"{said}%"
    if value.kind is ValueKind.COUNT:
        return said if said.isdecimal() else None
    if value.kind is ValueKind.TIME:
        return said if _CLOCK.fullmatch(said) else None
    if value.kind is ValueKind.DURATION:
        return _lasting(said)
    if value.kind is ValueKind.DATE and _ON_A_DAY.search(text[value.start : value.end]):
        return _day(said)
    return None


def _lasting(said: str) -> str | None:
    found = _DURATION.fullmatch(said)
    units = _UNITS.get((found[1], found[3])) if found else None
    if found is None or units is None:
        return None
    count = int(found[2])
    each, unit = next(one for one in units if count % one[0] == 0)
    return f"{count // each} {unit}{'' if count == each else 's'}"


def _day(said: str) -> str | None:
    try:
        day = datetime.date.fromisoformat(said)
    except ValueError:
        return None
    return f"{day.day} {day:%B} {day.year}"
