"""The annual percentage rate: which yearly rate makes given repayments worth given advances.

It checks a quoted APR against the payments that are really made. Everything is `decimal.Decimal`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction

from teller.errors import InputError


@dataclass(frozen=True, slots=True)
class Flow:
    """Money that changes hands `years` after the first advance: a month is 1/12, and 546 days are 546/365."""

    years: Fraction
    amount: Decimal


def apr(advances: Sequence[Flow], repayments: Sequence[Flow]) -> Decimal:
    """The APR in percent, to ten places: the yearly rate at which repayments are worth the advances.

    Solves the equation of Directive 2008/48/EC Annex I (the same as FCA CONC App 1.2) by bisection, so it finds the one
    root wherever every repayment comes after the advances. An APR is quoted to one decimal place.

    Raises:
        InputError: if there is no advance or repayment, or no rate between -99 % and 1,000,000 % solves it.
    """
    if not advances or not repayments:
        raise InputError("an APR needs at least one advance and one repayment")
    low, high = Decimal("-0.99"), Decimal(10_000)
    with localcontext(prec=28):
        if _excess(low, advances, repayments) > 0 or _excess(high, advances, repayments) < 0:
            raise InputError("no rate between -99% and 1,000,000% makes these repayments worth these advances")
        while high - low > Decimal("1e-13"):
            middle = (low + high) / 2
            if _excess(middle, advances, repayments) < 0:
                low = middle
            else:
                high = middle
        return (100 * high).quantize(Decimal("1e-10"))


def _excess(rate: Decimal, advances: Sequence[Flow], repayments: Sequence[Flow]) -> Decimal:
    """Advances less repayments, both discounted to the start: rises with the rate."""
    # exp(-years * ln(1 + rate)): one logarithm for all flows.
    force = (1 + rate).ln()

    def worth(flows: Sequence[Flow]) -> Decimal:
        return sum(
            (flow.amount * (-force * flow.years.numerator / flow.years.denominator).exp() for flow in flows),
            Decimal(0),
        )

    return worth(advances) - worth(repayments)
