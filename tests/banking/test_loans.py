from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from teller.banking.apr import Flow, apr
from teller.banking.loans import (
    PENNY,
    Loan,
    SettlementCharge,
    amount_for_payment,
    monthly_rate_from_apr,
    monthly_rate_from_nominal,
    months_for_payment,
    overpay,
    settle,
)
from teller.errors import InputError

D = Decimal

amounts = st.decimals("0.01", 50_000, places=2)
terms = st.integers(1, 360)
percents = st.decimals(0, 60, places=2)
loans = st.builds(Loan.at_apr, amounts, terms, percents) | st.builds(Loan.at_nominal, amounts, terms, percents)


# The four worked examples of the APR equation (98/7/EC, taken over by 2008/48/EC Annex I); day counts as printed there.
@pytest.mark.parametrize(
    ("advance", "repayments", "percent"),
    [
        ("1000", [(Fraction(546, 365), "1200")], "12.96"),
        ("950", [(Fraction(546, 365), "1200")], "16.90"),
        ("1000", [(Fraction(1), "600"), (Fraction(2), "600")], "13.07"),
        ("1000", [(Fraction(1, 4), "272"), (Fraction(1, 2), "272"), (Fraction(1), "544")], "13.19"),
    ],
)
def test_the_statutory_examples_of_the_apr_come_out(advance, repayments, percent):
    found = apr([Flow(Fraction(0), D(advance))], [Flow(years, D(amount)) for years, amount in repayments])

    assert found.quantize(D("0.01")) == D(percent)


# Checked against independent annuity tables: payments known to every loan calculator.
@pytest.mark.parametrize(
    ("amount", "months", "nominal", "payment"),
    [
        ("10000", 60, "5", "188.71"),
        ("200000", 360, "6", "1199.10"),
        ("1000", 12, "12", "88.85"),
        ("5000", 48, "0", "104.17"),
        ("1200", 12, "0", "100.00"),
        ("1000", 1, "12", "1010.00"),
    ],
)
def test_payments_at_a_nominal_rate(amount, months, nominal, payment):
    assert Loan.at_nominal(D(amount), months, D(nominal)).payment == D(payment)


def test_an_apr_is_an_effective_rate_and_so_costs_less_than_the_same_nominal_rate():
    at_apr, at_nominal = Loan.at_apr(D(10000), 60, D(5)), Loan.at_nominal(D(10000), 60, D(5))

    assert (at_apr.payment, at_nominal.payment) == (D("188.20"), D("188.71"))


def test_twelve_months_at_the_monthly_rate_of_an_apr_make_the_apr():
    assert (1 + monthly_rate_from_apr(D("6.5"))) ** 12 == pytest.approx(D("1.065"), abs=D("1e-25"))
    assert monthly_rate_from_nominal(D("6")) == D("0.005")


def test_the_payments_of_a_plan_have_the_apr_that_was_quoted():
    plan = Loan.at_apr(D(10000), 60, D("6.5")).plan()

    found = apr([Flow(Fraction(0), D(10000))], [Flow(Fraction(row.month, 12), row.payment) for row in plan.instalments])

    assert found.quantize(D("0.1")) == D("6.5")


def test_a_schedule_in_pence_sums_exactly():
    frame = Loan.at_nominal(D(10000), 60, D(5)).plan().frame()

    assert list(frame.columns) == ["month", "payment_p", "interest_p", "principal_p", "balance_p"]
    assert set(map(str, frame.dtypes)) == {"int64"}
    assert frame.loc[0].tolist() == [1, 18871, 4167, 14704, 985296]
    assert frame["principal_p"].sum() == 1_000_000
    assert frame["balance_p"].iloc[-1] == 0
    assert frame["payment_p"].sum() == 1_132_274


@given(loans)
def test_principal_sums_to_the_loan_and_the_balance_ends_at_nought(loan):
    plan = loan.plan()

    assert sum(row.principal for row in plan.instalments) == loan.amount
    assert plan.instalments[-1].balance == 0
    assert plan.total == loan.amount + plan.interest
    assert plan.months <= loan.months


@given(loans)
def test_every_instalment_is_interest_and_principal_and_no_balance_grows(loan):
    balance = loan.amount
    for row in loan.plan().instalments:
        assert row.payment == row.interest + row.principal
        assert row.interest >= 0
        assert row.principal >= 0
        assert row.balance == balance - row.principal
        balance = row.balance


@given(loans)
def test_only_the_last_instalment_differs_and_by_less_than_a_penny_a_month_at_no_interest(loan):
    plan = loan.plan()

    assert {row.payment for row in plan.instalments[:-1]} <= {loan.payment}
    if loan.monthly_rate == 0:
        assert abs(plan.instalments[-1].payment - loan.payment) <= PENNY * loan.months


@given(amounts, terms, percents, st.decimals("0.01", 10, places=2))
def test_a_higher_rate_never_costs_less_a_month(amount, months, percent, more):
    assert Loan.at_apr(amount, months, percent).payment <= Loan.at_apr(amount, months, percent + more).payment


@given(amounts, st.integers(1, 359), percents)
def test_a_longer_term_never_costs_more_a_month(amount, months, percent):
    assert Loan.at_apr(amount, months + 1, percent).payment <= Loan.at_apr(amount, months, percent).payment


@given(st.decimals("1", 5_000, places=2), terms, percents)
def test_the_largest_loan_for_a_payment_is_paid_by_it_and_a_penny_more_is_not(payment, months, percent):
    rate = monthly_rate_from_apr(percent)

    amount = amount_for_payment(payment, months, rate)

    assert Loan(amount, months, rate).payment <= payment
    assert Loan(amount + PENNY, months, rate).payment > payment


@given(st.decimals("100", 50_000, places=2), terms, percents)
def test_the_loan_for_the_payment_of_a_loan_is_that_loan_to_what_a_penny_a_month_buys(amount, months, percent):
    loan = Loan.at_apr(amount, months, percent)

    found = amount_for_payment(loan.payment, months, loan.monthly_rate)

    assert amount <= found <= amount + PENNY * months


@given(st.decimals("100", 50_000, places=2), terms, percents)
def test_the_months_for_the_payment_of_a_loan_are_its_term_or_fewer(amount, months, percent):
    loan = Loan.at_apr(amount, months, percent)
    assume(loan.payment > amount * loan.monthly_rate)

    found = months_for_payment(amount, loan.payment, loan.monthly_rate)

    assert found <= months
    assert Loan(amount, found, loan.monthly_rate).payment <= loan.payment
    assert found == 1 or Loan(amount, found - 1, loan.monthly_rate).payment > loan.payment


def test_a_payment_that_does_not_cover_the_interest_is_refused():
    with pytest.raises(InputError, match=r"never pays back 10000: a month's interest is 41\.67"):
        months_for_payment(D(10000), D("41.66"), monthly_rate_from_nominal(D(5)))


def test_settling_after_two_of_five_years():
    loan = Loan.at_apr(D(10000), 60, D("6.5"))

    free = settle(loan, 24)
    two_months = settle(loan, 24, interest_days=58)

    assert free.balance == loan.plan().balance_after(24) == D("6373.20")  # 6373.14 in closed form; the rest is rounding
    assert free.charge == 0
    assert free.saved == loan.plan().interest_in(25, 60)
    assert two_months.charge == D("64.09")  # 6373.20 * (1.065 ** (58 / 365) - 1)
    assert two_months.total == D("6437.29")
    assert two_months.saved == free.saved - D("64.09")


@pytest.mark.parametrize(
    ("repaid", "months_left", "interest_left", "charge"),
    [
        ("8000", 24, "900", "0"),  # not above 8,000
        ("8000.01", 24, "900", "80.00"),
        ("10000", 13, "900", "100.00"),
        ("10000", 12, "900", "50.00"),  # a year or less left
        ("10000", 24, "70", "70"),  # never above the interest that falls away
    ],
)
def test_the_statutory_charge_for_settling_early(repaid, months_left, interest_left, charge):
    assert SettlementCharge().on(D(repaid), months_left, D(interest_left)) == D(charge)


@pytest.mark.parametrize("fields", [(D("1.01"), D("0.5"), D(8000)), (D(1), D("0.6"), D(8000)), (D(1), D(0), D(7999))])
def test_a_charge_above_the_law_is_refused(fields):
    with pytest.raises(InputError):
        SettlementCharge(*fields)


@given(st.builds(Loan.at_apr, amounts, st.integers(2, 360), percents), st.data())
def test_ending_a_loan_never_costs_more_than_going_on(loan, data):
    plan = loan.plan()
    assume(plan.months == loan.months)
    after = data.draw(st.integers(1, loan.months - 1))

    end = settle(loan, after, interest_days=58, charge=SettlementCharge())

    assert end.saved >= 0
    assert sum(row.payment for row in plan.instalments[:after]) + end.total == plan.total - end.saved


@given(loans, st.decimals("0.01", 500, places=2), st.data())
def test_paying_more_ends_sooner_and_never_costs_more(loan, extra, data):
    plan = overpay(loan, extra, from_month=data.draw(st.integers(1, loan.months)))

    assert plan.months <= loan.plan().months
    # Interest is rounded to pence each month, so a smaller balance may cost a penny more in a month, never over all.
    assert plan.interest <= loan.plan().interest
    assert sum(row.principal for row in plan.instalments) == loan.amount


def test_fifty_pounds_more_a_month_shorten_five_years():
    plan = overpay(Loan.at_apr(D(10000), 60, D("6.5")), D(50))

    assert (plan.months, plan.payment) == (47, D("244.79"))


@pytest.mark.parametrize(
    ("amount", "months", "apr_percent"),
    [
        (10000.0, 60, D(5)),
        (D(10000), 60, 5.0),
        (D(10000), 60.0, D(5)),
        (D(10000), True, D(5)),
        (D(0), 60, D(5)),
        (D(-1), 60, D(5)),
        (D("NaN"), 60, D(5)),
        (D("Infinity"), 60, D(5)),
        (D("0.001"), 60, D(5)),
        (D(10**10), 60, D(5)),
        (D(10000), 0, D(5)),
        (D(10000), 601, D(5)),
        (D(10000), 60, D(-1)),
        (D(10000), 60, D(100_001)),
    ],
)
def test_a_float_and_anything_absurd_is_refused(amount, months, apr_percent):
    with pytest.raises(InputError):
        Loan.at_apr(amount, months, apr_percent)


@pytest.mark.parametrize("after", [0, 60, 61, -1])
def test_a_loan_cannot_be_settled_outside_its_term(after):
    with pytest.raises(InputError, match="1 to 59"):
        settle(Loan.at_apr(D(10000), 60, D(5)), after)


@settings(max_examples=20)
@given(amounts.filter(lambda amount: amount >= 1000), st.integers(1, 120), percents)
def test_the_apr_of_a_plan_is_its_rate(amount, months, percent):
    plan = Loan.at_apr(amount, months, percent).plan()

    found = apr([Flow(Fraction(0), amount)], [Flow(Fraction(row.month, 12), row.payment) for row in plan.instalments])

    assert abs(found - percent) < D("0.05")


def test_repayments_that_no_rate_explains_are_refused():
    with pytest.raises(InputError):
        apr([Flow(Fraction(0), D(1000))], [])
    with pytest.raises(InputError):
        apr([Flow(Fraction(0), D(1000))], [Flow(Fraction(1), D("0.01"))])
