from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teller.banking.savings import deposit_to_reach, lump_sum, months_to_reach, regular, simple_interest
from teller.errors import InputError

D = Decimal

amounts = st.decimals("0.01", 50_000, places=2)
deposits = st.decimals("1", 2_000, places=2)
percents = st.decimals(0, 20, places=2)
terms = st.integers(1, 240)


@pytest.mark.parametrize(
    ("amount", "years", "aer", "balance"),
    [
        ("5000", Fraction(1), "4.1", "5205.00"),  # an AER is what a year earns
        ("5000", Fraction(2), "4.1", "5418.41"),
        ("5000", Fraction(1, 2), "4.1", "5101.47"),
        ("10000", Fraction(90, 365), "3.6", "10087.59"),
        ("10000", Fraction(1), "0", "10000.00"),
    ],
)
def test_a_sum_grows_by_its_aer(amount, years, aer, balance):
    assert lump_sum(D(amount), years, D(aer)).balance == D(balance)


def test_simple_interest_is_not_added():
    growth = simple_interest(D(5000), Fraction(2), D("4.1"))

    assert (growth.balance, growth.interest) == (D("5410.00"), D("410.00"))


def test_a_year_of_a_regular_saver():
    growth = regular(D(300), 12, D("5.5"))

    # 300 * sum((1.055) ** (k / 12) for k in 1..12)
    assert (growth.paid_in, growth.interest) == (D("3600.00"), D("106.37"))


@given(deposits, terms, percents, amounts)
def test_a_balance_is_all_that_was_paid_in_and_what_it_earned(deposit, months, aer, start):
    growth = regular(deposit, months, aer, start)

    assert growth.paid_in == start + deposit * months
    assert growth.interest >= 0
    assert growth.balance >= lump_sum(start, Fraction(months, 12), aer).balance


@given(amounts, st.fractions("1/365", 30), percents, st.decimals("0.01", 5, places=2))
def test_a_higher_rate_never_earns_less(amount, years, aer, more):
    assert lump_sum(amount, years, aer + more).balance >= lump_sum(amount, years, aer).balance


@given(deposits, st.integers(1, 120), percents)
def test_a_goal_is_reached_in_the_months_said_and_not_before(deposit, months, aer):
    goal = regular(deposit, months, aer).balance

    found = months_to_reach(goal, deposit, aer)

    assert found == months


@given(st.decimals("1", 50_000, places=2), terms, percents, st.decimals("0", 20_000, places=2))
def test_the_smallest_deposit_reaches_the_goal_and_a_penny_less_does_not(goal, months, aer, start):
    deposit = deposit_to_reach(goal, months, aer, start)

    if deposit > 0:
        assert regular(deposit, months, aer, start).balance >= goal
    if deposit > D("0.01"):
        assert regular(deposit - D("0.01"), months, aer, start).balance < goal


def test_a_goal_that_is_reached_already_takes_no_month():
    assert months_to_reach(D(1000), D(50), D("2.75"), start=D(1000)) == 0


def test_a_goal_out_of_reach_is_refused():
    with pytest.raises(InputError, match="more than 600 months"):
        months_to_reach(D(1_000_000), D(1), D("0"))


@pytest.mark.parametrize(
    ("amount", "years", "aer"),
    [
        (5000.0, Fraction(1), D(4)),
        (D(5000), Fraction(0), D(4)),
        (D(5000), Fraction(51), D(4)),
        (D(-5), Fraction(1), D(4)),
        (D(5000), Fraction(1), D(-4)),
        (D(5000), Fraction(1), 4.0),
    ],
)
def test_a_float_and_anything_absurd_is_refused(amount, years, aer):
    with pytest.raises(InputError):
        lump_sum(amount, years, aer)
