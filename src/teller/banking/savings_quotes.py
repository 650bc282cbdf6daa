"""What a savings calculation says: from filled slots to two spoken sentences, or to what is wrong with a value.

The rate is the one that the caller names, taken as an AER; else that of the account that the caller names; else that of
the Easy Saver.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from teller.banking.products import Rate, RateTable, spoken_money, spoken_number
from teller.banking.quotes import (
    Filled,
    Problem,
    Quote,
    amount_problem,
    months_of,
    rate_problem,
    spoken_months,
    spoken_time,
)
from teller.banking.savings import LONGEST_YEARS, Growth, deposit_to_reach, lump_sum, months_to_reach, regular
from teller.errors import InputError

_DEFAULT = "easy_saver_aer"
_TAX = "This is an illustration, before any tax."


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the money is: its AER in percent, in words, and the row that it comes from; `note` is said first."""

    aer: Decimal
    words: str
    rates: tuple[Rate, ...] = ()
    note: str = ""


class SavingsQuotes:
    """Savings in the bank's accounts.

    An account is a row "<stem>_aer" whose label begins with the account's name and a comma; its id in the catalogue is
    that name, in lower case and with underscores. A row "<stem>_term" makes it a fixed term; "<id>_min" and "<id>_max"
    limit what is paid in. With "regular" in its key an account takes monthly amounts only; any other that has a term
    takes one sum only.

    Raises:
        KnowledgeError: if the rate table has no "easy_saver_aer", or has it in another unit.
    """

    def __init__(self, rates: RateTable) -> None:
        self._rates = rates
        self.accounts: dict[str, list[Rate]] = {}
        for rate in rates:
            if rate.key.endswith("_aer") and rate.unit == "percent":
                self.accounts.setdefault(re.sub(r"\W+", "_", _name(rate).lower().replace("'", "")), []).append(rate)
        rates.number(_DEFAULT, "percent")
        self._default = _at(rates[_DEFAULT], is_fixed=False)
        self.answers: Mapping[str, Callable[[Filled], Quote | Problem]] = {
            "savings_interest": self._interest,
            "savings_goal": self._goal,
            "savings_deposit": self._deposit,
        }

    def problem(self, slot: str, value: str) -> Problem | None:
        """What is wrong with a value of a slot; None if it can be used."""
        if slot == "account":
            return None
        if slot == "rate":
            return rate_problem(value)
        if slot != "term":
            return amount_problem(slot, value)
        longest = LONGEST_YEARS * (12 if value.endswith("M") else 365)
        if value[1:-1].isdecimal() and 1 <= int(value[1:-1]) <= longest:
            return None
        return Problem("term", f"I can work that out for up to {LONGEST_YEARS} years. How long shall I take?")

    def _interest(self, filled: Filled) -> Quote | Problem:
        place = self._place(filled, monthly="deposit" in filled)
        if isinstance(place, Problem):
            return place
        if "deposit" in filled:
            return self._interest_monthly(filled, place)
        amount, time = Decimal(filled["amount"]), spoken_time(filled["term"])
        growth = lump_sum(amount, _years(filled["term"]), place.aer)
        text = f"{spoken_money(amount)} {place.words} would earn {spoken_money(growth.interest)} of interest in {time}"
        return _quote(place, f"{text} and come to {spoken_money(growth.balance)}.")

    def _interest_monthly(self, filled: Filled, place: _Place) -> Quote | Problem:
        if problem := _no_whole_months(filled["term"]):
            return problem
        start, deposit = Decimal(filled.get("amount", "0")), Decimal(filled["deposit"])
        growth = regular(deposit, months_of(filled["term"]), place.aer, start)
        sums = f"{spoken_money(start)} and then {spoken_money(deposit)}" if start else spoken_money(deposit)
        time = spoken_time(filled["term"])
        return _quote(place, f"{sums} a month {place.words} would come after {time} to {_parts(growth)}.")

    def _goal(self, filled: Filled) -> Quote | Problem:
        place = self._place(filled, monthly=True, open_ended=True)
        if isinstance(place, Problem):
            return place
        goal, deposit = Decimal(filled["goal"]), Decimal(filled["deposit"])
        try:
            months = months_to_reach(goal, deposit, place.aer)
        except InputError:
            text = f"{spoken_money(deposit)} a month would take more than {LONGEST_YEARS} years. How much shall I take?"
            return Problem("deposit", text)
        growth = regular(deposit, months, place.aer)
        reached = f"{spoken_money(goal)} in {spoken_months(months)}"
        text = f"{spoken_money(deposit)} a month {place.words} would reach {reached}, and come to {_parts(growth)}."
        return _quote(place, text)

    def _deposit(self, filled: Filled) -> Quote | Problem:
        if problem := _no_whole_months(filled["term"]):
            return problem
        place = self._place(filled, monthly=True, open_ended=True)
        if isinstance(place, Problem):
            return place
        goal, months = Decimal(filled["goal"]), months_of(filled["term"])
        deposit = deposit_to_reach(goal, months, place.aer)
        interest = spoken_money(regular(deposit, months, place.aer).interest)
        text = f"To have {spoken_money(goal)} after {spoken_months(months)} you would put away {spoken_money(deposit)}"
        return _quote(place, f"{text} a month {place.words} with {interest} of it coming from interest.")

    def _place(self, filled: Filled, *, monthly: bool, open_ended: bool = False) -> _Place | Problem:
        """The rate that the caller names, the account that the caller names, or the Easy Saver."""
        if "rate" in filled:
            aer = Decimal(filled["rate"].removesuffix(" APR"))
            return _Place(aer, f"at {spoken_number(aer)}% AER")
        account = filled.get("account", "")
        rows = self.accounts.get(account, [])
        if not rows:
            return self._default
        name = _name(rows[0])
        by_term = {f"P{self._rates.number(key, 'months')}M": row for row in rows if (key := _term(row)) in self._rates}
        takes_monthly = "regular" in rows[0].key
        if (by_term and open_ended) or (takes_monthly != monthly and (takes_monthly or by_term)):
            easy = self._default
            return replace(easy, note=f"Our {name} does not fit that, so this is for our {_name(easy.rates[0])}. ")
        row = by_term.get(filled["term"]) if by_term else rows[0]
        if row is None:
            times = " or ".join(spoken_time(term) for term in by_term)
            return Problem("term", f"Our {name} runs for {times}. How long shall I take?", tuple(rows))
        return self._limited(filled, account, name) or _at(row, is_fixed=bool(by_term))

    def _limited(self, filled: Filled, account: str, name: str) -> Problem | None:
        """What the limits of an account say against what is paid in."""
        slot = "deposit" if "deposit" in filled else "amount"
        keys = [f"{account}_{end}" for end in ("min", "max")]
        if slot not in filled or not all(key in self._rates for key in keys):
            return None
        least, most = (self._rates.number(key, "gbp") for key in keys)
        if least <= Decimal(filled[slot]) <= most:
            return None
        month = " a month" if slot == "deposit" else ""
        text = f"Our {name} takes {spoken_money(least)} to {spoken_money(most)}{month}. How much shall I take?"
        return Problem(slot, text, tuple(self._rates[key] for key in keys))


def _name(row: Rate) -> str:
    return row.label.partition(",")[0]


def _term(row: Rate) -> str:
    return f"{row.key.removesuffix('_aer')}_term"


def _at(row: Rate, *, is_fixed: bool) -> _Place:
    words = f"in our {_name(row)} at {row.spoken} AER, {'fixed' if is_fixed else 'variable'},"
    return _Place(Decimal(row.value), words, (row,))


def _years(term: str) -> Fraction:
    return Fraction(int(term[1:-1]), 365 if term.endswith("D") else 12)


def _no_whole_months(term: str) -> Problem | None:
    if term.endswith("M"):
        return None
    return Problem("term", "For monthly amounts I need a time in months or years. How long shall I take?")


def _parts(growth: Growth) -> str:
    interest = spoken_money(growth.interest)
    return f"{spoken_money(growth.balance)}: {spoken_money(growth.paid_in)} paid in and {interest} of interest"


def _quote(place: _Place, text: str) -> Quote:
    return Quote(f"{place.note}{text} {_TAX}", place.rates)
