"""What a calculation gives: a quote to say, or a problem with a value; and how times and limits are said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from teller.banking.products import Rate, spoken_count, spoken_money
from teller.errors import InputError

Filled = Mapping[str, str]

LARGEST_AMOUNT = Decimal(10_000_000)
HIGHEST_PERCENT = Decimal(100)


@dataclass(frozen=True, slots=True)
class Quote:
    """What is said, and the rates that it rests on."""

    text: str
    rates: tuple[Rate, ...] = ()


@dataclass(frozen=True, slots=True)
class Problem:
    """A value that cannot be used: its slot, what is said, and the rates that forbid it."""

    slot: str
    text: str
    rates: tuple[Rate, ...] = ()


def months_of(term: str) -> int:
    """The months of a time such as "P60M".

    Raises:
        InputError: for days, and for parts of a month.
    """
    if not term.endswith("M") or not term[1:-1].isdecimal():
        raise InputError(f"'{term}' is not a whole number of months")
    return int(term[1:-1])


def spoken_time(term: str) -> str:
    """A time as it is said: "5 years", "18 months", "2 years and 6 months", "90 days"."""
    number = Decimal(term[1:-1])
    if term.endswith("D"):
        return spoken_count(number, "day")
    if number % 12 == 0 and number > 0:
        return spoken_count(number / 12, "year")
    if number < 24 or number % 1:
        return spoken_count(number, "month")
    return f"{spoken_count(number // 12, 'year')} and {spoken_count(number % 12, 'month')}"


def spoken_months(months: int) -> str:
    """A number of months as `spoken_time` says it."""
    return spoken_time(f"P{months}M")


def spoken_terms(shortest: int, longest: int) -> str:
    """A range of months: "1 to 7 years", "6 months to 5 years"."""
    if shortest % 12 == 0 and longest % 12 == 0:
        return f"{shortest // 12} to {longest // 12} years"
    return f"{spoken_months(shortest)} to {spoken_months(longest)}"


def amount_problem(slot: str, value: str) -> Problem | None:
    """What is wrong with an amount of money, whatever it is for; None if nothing is."""
    if value.endswith(" foreign"):
        return Problem(slot, "I can only work that out in pounds. What is the amount in pounds?")
    amount = Decimal(value)
    if amount <= 0:
        return Problem(slot, "I need an amount above nought pounds. How much shall I take?")
    if amount > LARGEST_AMOUNT:
        return Problem(slot, f"I can work with amounts up to {spoken_money(LARGEST_AMOUNT)}. How much shall I take?")
    return None


def rate_problem(value: str) -> Problem | None:
    """What is wrong with a rate that the caller names; None if nothing is."""
    if 0 <= Decimal(value.removesuffix(" APR")) <= HIGHEST_PERCENT:
        return None
    return Problem("rate", f"I can work with yearly rates from 0% to {HIGHEST_PERCENT}%. Which rate shall I take?")
