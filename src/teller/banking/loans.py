"""Loan arithmetic, exact to the penny: payment, schedule, settlement, overpayment and the inverse questions.

Everything is `decimal.Decimal`; a float is refused. Rates come in percent and in two meanings, never mixed: an *APR* is
an effective yearly rate (a month costs (1 + apr) ** (1/12) - 1), a *nominal* rate is twelve times the monthly one.
Amounts are rounded to pence half up. The regular instalment is rounded once; the last one takes what the rounding
left, so the principal parts sum to the loan and the balance ends at nought.

Not here: the APR of given payments (apr.py), the bank's own rates and limits (products.py), any sentence (tools.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal, localcontext

import pandas as pd

from teller.errors import InputError

PENNY = Decimal("0.01")
LONGEST_MONTHS = 600
LARGEST_AMOUNT = Decimal(1_000_000_000)
HIGHEST_PERCENT = Decimal(100_000)

# Digits carried between roundings to pence: enough for 600 months of the largest amount.
_DIGITS = 40


def pence(amount: Decimal, rounding: str = ROUND_HALF_UP) -> Decimal:
    """Round an amount to pence, half up unless told otherwise."""
    return amount.quantize(PENNY, rounding=rounding)


def checked_money(amount: Decimal, name: str) -> Decimal:
    """An amount of money above nought, in whole pence.

    Raises:
        InputError: if it is no Decimal, not above nought, above a thousand million, or not in whole pence.
    """
    # A float would look right and be a penny out: refused at run time too, for callers that no type checker sees.
    if not isinstance(amount, Decimal) or not amount.is_finite():
        raise InputError(f"{name} must be a finite Decimal, not {amount!r}")
    if not 0 < amount <= LARGEST_AMOUNT:
        raise InputError(f"{name} must be above 0 and at most {LARGEST_AMOUNT:,}, not {amount:,}")
    if amount != pence(amount):
        raise InputError(f"{name} must be in whole pence, not {amount}")
    return pence(amount)


def checked_months(months: int, name: str = "the term", least: int = 1) -> int:
    """A number of months from `least` to 600.

    Raises:
        InputError: if it is not.
    """
    if isinstance(months, bool) or not isinstance(months, int) or not least <= months <= LONGEST_MONTHS:
        raise InputError(f"{name} must be a whole number of months from {least} to {LONGEST_MONTHS}, not {months!r}")
    return months


def checked_percent(percent: Decimal, name: str = "the rate") -> Decimal:
    """A yearly rate in percent, nought or above.

    Raises:
        InputError: if it is no Decimal, or outside 0 to 100,000.
    """
    if not isinstance(percent, Decimal) or not percent.is_finite():
        raise InputError(f"{name} must be a finite Decimal, not {percent!r}")
    if not 0 <= percent <= HIGHEST_PERCENT:
        raise InputError(f"{name} must be from 0 to {HIGHEST_PERCENT:,} percent, not {percent}")
    return percent


def monthly_rate_from_apr(apr_percent: Decimal) -> Decimal:
    """The effective rate of one month as a fraction: (1 + apr) ** (1/12) - 1 (CONC App 1.2: a month is 1/12 year)."""
    with localcontext(prec=_DIGITS):
        return (1 + checked_percent(apr_percent, "the APR") / 100) ** (Decimal(1) / 12) - 1


def monthly_rate_from_nominal(nominal_percent: Decimal) -> Decimal:
    """The rate of one month as a fraction: a twelfth of the nominal yearly rate."""
    with localcontext(prec=_DIGITS):
        return checked_percent(nominal_percent, "the nominal rate") / 1200


def _annuity(months: int, monthly_rate: Decimal) -> Decimal:
    """What one pound a month for so many months is worth today, first payment after one month."""
    if monthly_rate == 0:
        return Decimal(months)
    return (1 - (1 + monthly_rate) ** -months) / monthly_rate


@dataclass(frozen=True, slots=True)
class Instalment:
    """One month of a loan, in pounds; `payment` = `interest` + `principal`, `balance` is what is owed after it."""

    month: int
    payment: Decimal
    interest: Decimal
    principal: Decimal
    balance: Decimal


@dataclass(frozen=True, slots=True)
class Plan:
    """How a loan is paid back, month by month until nothing is owed."""

    amount: Decimal
    instalments: tuple[Instalment, ...]

    @property
    def months(self) -> int:
        """Months until the balance is nought."""
        return len(self.instalments)

    @property
    def payment(self) -> Decimal:
        """The regular instalment (the last one differs by the rounding)."""
        return self.instalments[0].payment

    @property
    def total(self) -> Decimal:
        """All that is paid: the loan and its interest."""
        return sum((row.payment for row in self.instalments), Decimal(0))

    @property
    def interest(self) -> Decimal:
        """The cost of credit."""
        return self.total - self.amount

    def interest_in(self, first: int, last: int) -> Decimal:
        """Interest of months `first` to `last`, both included, counted from 1."""
        return sum((row.interest for row in self.instalments[first - 1 : last]), Decimal(0))

    def balance_after(self, months: int) -> Decimal:
        """What is owed after so many instalments.

        Raises:
            InputError: if `months` is below 0 or beyond the last instalment.
        """
        if not 0 <= months <= self.months:
            raise InputError(f"the balance is known after 0 to {self.months} months, not after {months}")
        return self.instalments[months - 1].balance if months else self.amount

    def frame(self) -> pd.DataFrame:
        """The schedule, one row a month: month, payment_p, interest_p, principal_p, balance_p; whole pence as int64."""
        columns = ("payment", "interest", "principal", "balance")
        rows = [(row.month, *(int(getattr(row, name) * 100) for name in columns)) for row in self.instalments]
        return pd.DataFrame(rows, columns=["month", *(f"{name}_p" for name in columns)], dtype="int64")


@dataclass(frozen=True, slots=True)
class Loan:
    """A loan paid back in equal monthly instalments, the first one month after it is drawn.

    Attributes:
        amount: in pounds and whole pence.
        months: 1 to 600.
        monthly_rate: fraction per month; `at_apr` and `at_nominal` make it from a yearly rate.

    Raises:
        InputError: for an amount, term or rate that is not such.
    """

    amount: Decimal
    months: int
    monthly_rate: Decimal

    def __post_init__(self) -> None:
        checked_money(self.amount, "the loan")
        checked_months(self.months)
        checked_percent(self.monthly_rate, "the monthly rate")

    @classmethod
    def at_apr(cls, amount: Decimal, months: int, apr_percent: Decimal) -> Loan:
        """A loan at an effective yearly rate, as UK lenders must quote it."""
        return cls(amount, months, monthly_rate_from_apr(apr_percent))

    @classmethod
    def at_nominal(cls, amount: Decimal, months: int, nominal_percent: Decimal) -> Loan:
        """A loan at a nominal yearly rate, a twelfth of it each month."""
        return cls(amount, months, monthly_rate_from_nominal(nominal_percent))

    @property
    def payment(self) -> Decimal:
        """The regular monthly instalment, rounded to pence half up."""
        with localcontext(prec=_DIGITS):
            return pence(self.amount / _annuity(self.months, self.monthly_rate))

    def plan(self) -> Plan:
        """All instalments."""
        payments = [self.payment] * self.months
        return Plan(pence(self.amount), tuple(_instalments(self.amount, self.monthly_rate, payments)))


def _instalments(amount: Decimal, monthly_rate: Decimal, payments: Sequence[Decimal]) -> Iterator[Instalment]:
    """Pay month by month; the last month of `payments`, or the one that would overpay, pays exactly what is owed."""
    balance = pence(amount)
    for month, planned in enumerate(payments, start=1):
        with localcontext(prec=_DIGITS):
            interest = pence(balance * monthly_rate)
        owed = balance + interest
        payment = owed if month == len(payments) else min(planned, owed)
        balance = owed - payment
        yield Instalment(month, payment, interest, payment - interest, balance)
        if balance == 0:
            return


@dataclass(frozen=True, slots=True)
class SettlementCharge:
    """What a lender may claim when a fixed-rate loan is repaid early (Consumer Credit Act 1974 s. 95A).

    Attributes:
        over_one_year_percent: of the sum repaid when more than a year is left; by law at most 1.
        within_one_year_percent: when a year or less is left; by law at most 0.5.
        exempt_up_to: no charge unless the sum repaid is above this; by law at least 8,000 pounds.

    Raises:
        InputError: if it claims more than the law allows.
    """

    over_one_year_percent: Decimal = Decimal(1)
    within_one_year_percent: Decimal = Decimal("0.5")
    exempt_up_to: Decimal = Decimal(8000)

    def __post_init__(self) -> None:
        legal = {"over_one_year_percent": Decimal(1), "within_one_year_percent": Decimal("0.5")}
        for name, most in legal.items():
            if checked_percent(getattr(self, name), name) > most:
                raise InputError(f"{name} may be at most {most}, not {getattr(self, name)}")
        if self.exempt_up_to < Decimal(8000):
            raise InputError(f"exempt_up_to may not be under 8000, not {self.exempt_up_to}")

    def on(self, repaid: Decimal, months_left: int, interest_left: Decimal) -> Decimal:
        """The charge on a sum repaid early, rounded down to pence, at most the interest that falls away (s. 95A(3))."""
        if repaid <= self.exempt_up_to:
            return Decimal("0.00")
        percent = self.over_one_year_percent if months_left > 12 else self.within_one_year_percent
        return min(pence(repaid * percent / 100, ROUND_FLOOR), interest_left)


@dataclass(frozen=True, slots=True)
class Settlement:
    """What it takes to end a loan early, in pounds.

    Attributes:
        balance: owed after the last instalment paid.
        charge: for settling early, of every kind together.
        saved: interest that falls away, less the charge.
    """

    balance: Decimal
    charge: Decimal
    saved: Decimal

    @property
    def total(self) -> Decimal:
        """What is to be paid: balance and charge."""
        return self.balance + self.charge


def settle(
    loan: Loan, after_months: int, *, interest_days: int = 0, charge: SettlementCharge | None = None
) -> Settlement:
    """End a loan on the day of its `after_months`-th instalment, that instalment paid.

    Args:
        loan: what was lent.
        after_months: instalments paid before.
        interest_days: days of interest that the lender adds: a settlement may be dated 28 days after the notice, and a
            month later still in an agreement of more than a year (SI 2004/1483 reg. 5 and 6), 58 days together.
        charge: what the lender claims besides.

    Raises:
        InputError: if `after_months` is not between 1 and one less than the term, or `interest_days` is below 0.
    """
    if not 1 <= after_months < loan.months:
        raise InputError(f"a loan of {loan.months} months ends early after 1 to {loan.months - 1}, not {after_months}")
    if interest_days < 0:
        raise InputError(f"the days of interest cannot be below 0, and are {interest_days}")
    plan = loan.plan()
    balance = plan.balance_after(after_months)
    interest_left = plan.interest_in(after_months + 1, plan.months)
    with localcontext(prec=_DIGITS):
        cost = pence(balance * ((1 + loan.monthly_rate) ** (Decimal(12 * interest_days) / 365) - 1), ROUND_FLOOR)
    if charge:
        cost += charge.on(balance, loan.months - after_months, interest_left)
    # Nobody pays more for ending a loan than for going on with it.
    cost = min(cost, interest_left)
    return Settlement(balance, cost, interest_left - cost)


def overpay(loan: Loan, extra: Decimal, from_month: int = 1) -> Plan:
    """The plan when `extra` pounds more are paid each month from `from_month` on; it ends sooner and costs less.

    Raises:
        InputError: if `extra` is no sum of money or `from_month` lies outside the term.
    """
    checked_money(extra, "the overpayment")
    if not 1 <= from_month <= loan.months:
        raise InputError(f"an overpayment starts in month 1 to {loan.months}, not {from_month}")
    usual = loan.payment
    payments = [usual] * (from_month - 1) + [usual + extra] * (loan.months - from_month + 1)
    return Plan(pence(loan.amount), tuple(_instalments(loan.amount, loan.monthly_rate, payments)))


def amount_for_payment(payment: Decimal, months: int, monthly_rate: Decimal) -> Decimal:
    """The largest loan, to the penny, whose instalment is at most `payment`.

    Raises:
        InputError: for a payment, term or rate that is not such.
    """
    checked_money(payment, "the payment")
    checked_months(months)
    checked_percent(monthly_rate, "the monthly rate")
    with localcontext(prec=_DIGITS):
        # Half up: every loan whose exact instalment lies below payment + half a penny is paid by `payment`.
        exact = (payment + PENNY / 2) * _annuity(months, monthly_rate)
        return pence(exact, ROUND_CEILING) - PENNY


def months_for_payment(amount: Decimal, payment: Decimal, monthly_rate: Decimal) -> int:
    """The fewest months in which instalments of at most `payment` pay a loan back.

    Raises:
        InputError: if `payment` does not even cover the interest, or 600 months are not enough.
    """
    checked_money(amount, "the loan")
    checked_money(payment, "the payment")
    with localcontext(prec=_DIGITS):
        first_interest = amount * monthly_rate
    if payment <= first_interest:
        raise InputError(f"a payment of {payment} never pays back {amount}: a month's interest is {first_interest:.2f}")
    fewest, most = 1, LONGEST_MONTHS
    if Loan(amount, most, monthly_rate).payment > payment:
        raise InputError(f"a payment of {payment} takes more than {LONGEST_MONTHS} months to pay back {amount}")
    while fewest < most:
        middle = (fewest + most) // 2
        if Loan(amount, middle, monthly_rate).payment <= payment:
            most = middle
        else:
            fewest = middle + 1
    return fewest
