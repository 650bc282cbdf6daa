"""What a loan calculation says: from filled slots to two spoken sentences, or to what is wrong with a value.

Each sentence names amount, term, rate, instalment and total, as a representative example must (FCA CONC 3.5.5R). A
rate that the caller calls an APR is taken as one; any other is a nominal yearly rate, and its APR is said beside it.
Where the caller names none, the bank's own rate for that amount is used, and stamped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal

from teller.banking.loans import (
    Loan,
    Plan,
    SettlementCharge,
    amount_for_payment,
    monthly_rate_from_apr,
    monthly_rate_from_nominal,
    months_for_payment,
    overpay,
    settle,
)
from teller.banking.products import Rate, RateTable, spoken_money, spoken_number
from teller.banking.quotes import (
    Filled,
    Problem,
    Quote,
    amount_problem,
    months_of,
    rate_problem,
    spoken_months,
    spoken_terms,
    spoken_time,
)

_ILLUSTRATION = "This is an illustration, not an offer."
# Rows that a bank's table may have: the charge for ending a loan early, and what may be paid off in a year without one.
_SETTLEMENT_DAYS = "loan_early_repayment_days"
_SETTLEMENT_PERCENTS = ("loan_settlement_percent", "loan_settlement_percent_last_year")
_FREE_OVERPAYMENT = "loan_overpayment_allowance"
_SETTLEMENT = (_SETTLEMENT_DAYS, *_SETTLEMENT_PERCENTS)


@dataclass(frozen=True, slots=True)
class Price:
    """A rate to lend at: per month, in words, and the rows that it comes from."""

    monthly_rate: Decimal
    words: str
    rates: tuple[Rate, ...] = ()


class LoanQuotes:
    """Loans at the bank's rates and within its limits.

    Raises:
        KnowledgeError: if the rate table lacks one of the rows that it needs, or has it in another unit.
    """

    def __init__(self, rates: RateTable) -> None:
        self._rates = rates
        self._least, self._most = (rates.number(f"personal_loan_{end}", "gbp") for end in ("min", "max"))
        self._shortest, self._longest = (
            int(rates.number(f"personal_loan_{end}_term", "months")) for end in ("min", "max")
        )
        starts, ends = (rates.number(f"personal_loan_standard_{end}", "gbp") for end in ("from", "to"))
        penny = Decimal("0.01")
        # Dearest amounts first: (least, most, rate), the whole range of what is lent.
        self._tiers = (
            (ends + penny, self._most, rates["personal_loan_apr_large"]),
            (starts, ends, rates["personal_loan_apr"]),
            (self._least, starts - penny, rates["personal_loan_apr_small"]),
        )
        for _, _, rate in self._tiers:
            rates.number(rate.key, "percent")
        self._settlement_days = int(rates.number(_SETTLEMENT_DAYS, "days")) if _SETTLEMENT_DAYS in rates else 0
        self._free_overpayment = rates.number(_FREE_OVERPAYMENT, "gbp") if _FREE_OVERPAYMENT in rates else None
        self._settlement_charge: SettlementCharge | None = None
        if all(key in rates for key in _SETTLEMENT_PERCENTS):
            self._settlement_charge = SettlementCharge(*(rates.number(key, "percent") for key in _SETTLEMENT_PERCENTS))
        self.answers: Mapping[str, Callable[[Filled], Quote | Problem]] = {
            "loan_payment": self._payment,
            "loan_total_cost": self._total_cost,
            "amortisation_schedule": self._schedule,
            "loan_early_repayment": self._early_repayment,
            "loan_overpayment": self._overpayment,
            "loan_term": self._term,
            "borrow_for_payment": self._borrow,
        }

    def problem(self, slot: str, value: str) -> Problem | None:
        """What the bank's limits say against a value of a slot; None if it can be used."""
        if slot == "rate":
            return rate_problem(value)
        if slot in ("amount", "payment", "extra"):
            return self._money_problem(slot, value)
        if not value.endswith("M") or not value[1:-1].isdecimal():
            return Problem(slot, "I can work that out in whole months or years. How long shall I take?")
        if slot == "term" and not self._shortest <= int(value[1:-1]) <= self._longest:
            return Problem(
                "term",
                f"{spoken_time(value)} is outside what we offer: we lend over "
                f"{spoken_terms(self._shortest, self._longest)}. Which term would you like?",
                (self._rates["personal_loan_min_term"], self._rates["personal_loan_max_term"]),
            )
        return None

    def _money_problem(self, slot: str, value: str) -> Problem | None:
        if money_problem := amount_problem(slot, value):
            return money_problem
        if slot == "amount" and not self._least <= Decimal(value) <= self._most:
            least, most = spoken_money(self._least), spoken_money(self._most)
            return Problem(
                "amount",
                f"{spoken_money(Decimal(value))} is outside what we lend: from {least} to {most}. "
                "How much would you like to borrow?",
                (self._rates["personal_loan_min"], self._rates["personal_loan_max"]),
            )
        return None

    def price(self, amount: Decimal, rate: str = "") -> Price:
        """The caller's rate ("5" nominal, "5 APR"), or the bank's own for that amount."""
        if not rate:
            return self._own(next((tier for low, _, tier in self._tiers if amount >= low), self._tiers[-1][2]))
        number = Decimal(rate.removesuffix(" APR"))
        if rate.endswith("APR"):
            return Price(monthly_rate_from_apr(number), f"at a fixed {spoken_number(number)}% APR", ())
        monthly = monthly_rate_from_nominal(number)
        apr = (100 * ((1 + monthly) ** 12 - 1)).quantize(Decimal("0.1"))
        words = f"at a fixed {spoken_number(number)}% a year, which is {spoken_number(apr)}% APR,"
        return Price(monthly, words, ())

    def _own(self, tier: Rate) -> Price:
        words = f"at our representative {tier.spoken} APR, fixed,"
        assert isinstance(tier.value, Decimal)  # checked on construction
        bounds = (self._rates["personal_loan_standard_from"], self._rates["personal_loan_standard_to"])
        return Price(monthly_rate_from_apr(tier.value), words, (tier, *bounds))

    def plan(self, amount: Decimal, months: int, rate: str = "") -> Plan:
        """The schedule of a loan; `rate` as in `price`."""
        return Loan(amount, months, self.price(amount, rate).monthly_rate).plan()

    def _loan(self, filled: Filled) -> tuple[Loan, Price, str]:
        """The loan, its price, and "£10,000 over 5 years at ..."."""
        amount, months = Decimal(filled["amount"]), months_of(filled["term"])
        price = self.price(amount, filled.get("rate", ""))
        said = f"{spoken_money(amount)} over {spoken_months(months)} {price.words}"
        return Loan(amount, months, price.monthly_rate), price, said

    def _payment(self, filled: Filled) -> Quote:
        loan, price, said = self._loan(filled)
        plan = loan.plan()
        return Quote(
            f"{said} would cost {spoken_money(plan.payment)} a month and {spoken_money(plan.total)} in total, "
            f"of which {spoken_money(plan.interest)} is interest. {_ILLUSTRATION}",
            price.rates,
        )

    def _total_cost(self, filled: Filled) -> Quote:
        loan, price, said = self._loan(filled)
        plan = loan.plan()
        return Quote(
            f"Borrowing {said} would cost {spoken_money(plan.interest)} in interest: you would repay "
            f"{spoken_money(plan.total)} in total, at {spoken_money(plan.payment)} a month. {_ILLUSTRATION}",
            price.rates,
        )

    def _schedule(self, filled: Filled) -> Quote:
        loan, price, said = self._loan(filled)
        plan = loan.plan()
        half = plan.months // 2
        return Quote(
            f"{said} would be paid back at {spoken_money(plan.payment)} a month, {spoken_money(plan.total)} in total. "
            f"In the first year {spoken_money(plan.interest_in(1, 12))} of that is interest, and halfway, after "
            f"{spoken_months(half)}, {spoken_money(plan.balance_after(half))} is still owed. {_ILLUSTRATION}",
            price.rates,
        )

    def _early_repayment(self, filled: Filled) -> Quote | Problem:
        loan, price, said = self._loan(filled)
        slot = "after" if "after" in filled else "early"
        after = months_of(filled[slot]) if slot == "after" else loan.months - months_of(filled["early"])
        if not 1 <= after < loan.months:
            return Problem(
                slot, f"The loan runs for {spoken_months(loan.months)}. After how long would you pay it off?"
            )
        end = settle(loan, after, interest_days=self._settlement_days, charge=self._settlement_charge)
        charged = f" at most, {spoken_money(end.balance)} still owed and {spoken_money(end.charge)} for ending early"
        return Quote(
            f"{said} costs {spoken_money(loan.payment)} a month, {spoken_money(loan.plan().total)} in total. Paying it "
            f"off after {spoken_months(after)} would take {spoken_money(end.total)}{charged if end.charge else ''}, "
            f"and save {spoken_money(end.saved)}{' or more' if end.charge else ''}. {_ILLUSTRATION}",
            (*price.rates, *(self._rates[key] for key in _SETTLEMENT if key in self._rates)),
        )

    def _overpayment(self, filled: Filled) -> Quote | Problem:
        loan, price, said = self._loan(filled)
        extra, usual = Decimal(filled["extra"]), loan.plan()
        if self._free_overpayment and 12 * extra > self._free_overpayment:
            return Problem(
                "extra",
                f"You can pay {spoken_money(self._free_overpayment)} more a year without a charge, and "
                f"{spoken_money(extra)} a month is above that. How much more would you pay each month?",
                (self._rates[_FREE_OVERPAYMENT],),
            )
        faster = overpay(loan, extra)
        return Quote(
            f"On {said} you would pay {spoken_money(usual.payment)} a month, {spoken_money(usual.total)} in total. "
            f"{spoken_money(extra)} more each month would clear it in {spoken_months(faster.months)} and save "
            f"{spoken_money(usual.interest - faster.interest)} of interest. {_ILLUSTRATION}",
            price.rates,
        )

    def _term(self, filled: Filled) -> Quote | Problem:
        amount, payment = Decimal(filled["amount"]), Decimal(filled["payment"])
        price = self.price(amount, filled.get("rate", ""))
        most, least = (Loan(amount, n, price.monthly_rate).payment for n in (self._shortest, self._longest))
        if not least <= payment <= most:
            return Problem(
                "payment",
                f"We lend over {spoken_terms(self._shortest, self._longest)}, so "
                f"{spoken_money(amount)} {price.words} costs {spoken_money(least)} to {spoken_money(most)} a month. "
                "How much would you like to pay each month?",
                (*price.rates, self._rates["personal_loan_min_term"], self._rates["personal_loan_max_term"]),
            )
        plan = Loan(amount, months_for_payment(amount, payment, price.monthly_rate), price.monthly_rate).plan()
        return Quote(
            f"{spoken_money(amount)} {price.words} would take {spoken_months(plan.months)} to repay, at "
            f"{spoken_money(plan.payment)} a month and {spoken_money(plan.total)} in total. {_ILLUSTRATION}",
            price.rates,
        )

    def _borrow(self, filled: Filled) -> Quote | Problem:
        payment, months = Decimal(filled["payment"]), months_of(filled["term"])
        rate = filled.get("rate", "")
        for low, high, _ in self._tiers:
            price = self.price(high, rate)
            affordable = amount_for_payment(payment, months, price.monthly_rate).quantize(Decimal(1), ROUND_FLOOR)
            amount = min(affordable, high)
            if amount >= low:
                return self._borrowed(amount, payment, months, price, capped=affordable > self._most)
        price = self.price(self._least, rate)
        least = Loan(self._least, months, price.monthly_rate).payment
        return Problem(
            "payment",
            f"{spoken_money(payment)} a month over {spoken_months(months)} is less than our smallest loan costs: "
            f"{spoken_money(self._least)} {price.words} is {spoken_money(least)} a month. How much could you pay?",
            (*price.rates, self._rates["personal_loan_min"]),
        )

    def _borrowed(self, amount: Decimal, payment: Decimal, months: int, price: Price, *, capped: bool) -> Quote:
        plan = Loan(amount, months, price.monthly_rate).plan()
        loan = f"{spoken_money(amount)} over {spoken_months(months)} {price.words}"
        cost = f"{spoken_money(plan.payment)} a month and {spoken_money(plan.total)} in total"
        if capped:
            text = f"The most that we lend is {loan} which would cost {cost}."
        else:
            text = f"{spoken_money(payment)} a month would pay for a loan of {loan} at {cost}."
        return Quote(f"{text} {_ILLUSTRATION}", (*price.rates, self._rates["personal_loan_max"]))
