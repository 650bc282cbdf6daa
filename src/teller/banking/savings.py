"""Savings arithmetic, exact to the penny: a sum left to grow, money put away each month, and how long a goal takes.

Everything is `decimal.Decimal`; a float is refused. A rate is an AER in percent: what a pound earns in a year with its
interest added, so a month earns (1 + aer) ** (1/12) - 1. Interest is not rounded on the way but once,
at the end, to pence half up. Tax is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal, localcontext
from fractions import Fraction

from teller.banking.loans import (
    LONGEST_MONTHS,
    PENNY,
    checked_money,
    checked_months,
    checked_percent,
    monthly_rate_from_apr,
    pence,
)
from teller.errors import InputError

LONGEST_YEARS = LONGEST_MONTHS // 12
_DIGITS = 40
_NOTHING = Decimal("0.00")


@dataclass(frozen=True, slots=True)
class Growth:
    """What savings come to, in pounds: what was paid in, and the balance with its interest."""

    paid_in: Decimal
    balance: Decimal

    @property
    def interest(self) -> Decimal:
        """What was earned."""
        return self.balance - self.paid_in


def lump_sum(amount: Decimal, years: Fraction, aer_percent: Decimal) -> Growth:
    """A sum left alone for `years` (a month is 1/12, a day 1/365), its interest added: amount (1 + aer) ** years.

    Raises:
        InputError: for an amount or rate that is not such, or a time outside 0 to 50 years.
    """
    with localcontext(prec=_DIGITS):
        grown = (1 + checked_percent(aer_percent, "the AER") / 100) ** _checked_years(years)
        return Growth(pence(checked_money(amount, "the savings")), pence(amount * grown))


def simple_interest(amount: Decimal, years: Fraction, percent: Decimal) -> Growth:
    """A sum whose interest is paid out and not added, as in many fixed terms: amount (1 + rate years).

    Raises:
        InputError: as `lump_sum`.
    """
    with localcontext(prec=_DIGITS):
        grown = 1 + checked_percent(percent) / 100 * _checked_years(years)
        return Growth(pence(checked_money(amount, "the savings")), pence(amount * grown))


def regular(deposit: Decimal, months: int, aer_percent: Decimal, start: Decimal = _NOTHING) -> Growth:
    """The same sum put away at the start of each month, on top of `start`; the balance at the end of the last month.

    Raises:
        InputError: for a deposit, start, term or rate that is not such.
    """
    checked_money(deposit, "the monthly deposit")
    checked_months(months)
    if start != 0:
        checked_money(start, "the starting balance")
    rate = monthly_rate_from_apr(aer_percent)
    with localcontext(prec=_DIGITS):
        balance = start * (1 + rate) ** months + deposit * _worth_of_a_pound_a_month(months, rate)
        return Growth(pence(start + deposit * months), pence(balance))


def months_to_reach(goal: Decimal, deposit: Decimal, aer_percent: Decimal, start: Decimal = _NOTHING) -> int:
    """The fewest months after which `regular` savings come to `goal`; 0 if `start` is enough.

    Raises:
        InputError: as `regular`; or if 600 months are not enough.
    """
    checked_money(goal, "the goal")
    if start >= goal:
        return 0
    fewest, most = 1, LONGEST_MONTHS
    if regular(deposit, most, aer_percent, start).balance < goal:
        raise InputError(f"{deposit} a month takes more than {LONGEST_MONTHS} months to come to {goal}")
    while fewest < most:
        middle = (fewest + most) // 2
        if regular(deposit, middle, aer_percent, start).balance >= goal:
            most = middle
        else:
            fewest = middle + 1
    return fewest


def deposit_to_reach(goal: Decimal, months: int, aer_percent: Decimal, start: Decimal = _NOTHING) -> Decimal:
    """The smallest sum a month, to the penny, that comes to `goal` in `months`; nought if `start` grows to it alone.

    Raises:
        InputError: for a goal, start, term or rate that is not such.
    """
    checked_money(goal, "the goal")
    checked_months(months)
    if start != 0:
        checked_money(start, "the starting balance")
    rate = monthly_rate_from_apr(aer_percent)
    with localcontext(prec=_DIGITS):
        # Half up: a balance of half a penny below the goal is rounded to it.
        missing = goal - PENNY / 2 - start * (1 + rate) ** months
        return max(_NOTHING, pence(missing / _worth_of_a_pound_a_month(months, rate), ROUND_CEILING))


def _worth_of_a_pound_a_month(months: int, rate: Decimal) -> Decimal:
    """A pound at the start of each month, with interest to the end of the last."""
    if rate == 0:
        return Decimal(months)
    return ((1 + rate) ** months - 1) / rate * (1 + rate)


def _checked_years(years: Fraction) -> Decimal:
    if not 0 < years <= LONGEST_YEARS:
        raise InputError(f"a time to save is above 0 and at most {LONGEST_YEARS} years, not {float(years):g}")
    return Decimal(years.numerator) / years.denominator
