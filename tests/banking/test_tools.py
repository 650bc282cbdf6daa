import re
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import teller
from teller.banking.apr import Flow, apr
from teller.banking.loans import Loan
from teller.banking.products import load_catalogue, load_rates
from teller.banking.slots import TOOLS
from teller.banking.tools import ASKS, Toolbox
from teller.call import Memory
from teller.errors import InputError, KnowledgeError
from teller.turn import DataClass, Question, Source
from teller.values import find_values

BANK = Path(teller.__file__).parent / "data" / "bank"
CATALOGUE = load_catalogue((BANK / "catalogue.toml").read_text(encoding="utf-8"), "catalogue.toml")

# The bank of these tests: its figures stay when the shipped bank's change.
ROWS = """
personal_loan_apr 6.5 percent | Personal loan
personal_loan_apr_small 12.9 percent | Personal loan, small
personal_loan_apr_large 7.4 percent | Personal loan, large
personal_loan_standard_from 5000 gbp | Standard from
personal_loan_standard_to 15000 gbp | Standard to
personal_loan_min 1000 gbp | Least loan
personal_loan_max 25000 gbp | Greatest loan
personal_loan_min_term 12 months | Shortest term
personal_loan_max_term 84 months | Longest term
loan_overpayment_allowance 8000 gbp | Free overpayment
loan_early_repayment_days 58 days | Interest on ending early
easy_saver_aer 2.75 percent | Easy Saver, AER
regular_saver_aer 5.5 percent | Regular Saver, AER
regular_saver_min 10 gbp | Regular Saver, least
regular_saver_max 300 gbp | Regular Saver, greatest
regular_saver_term 12 months | Regular Saver, term
fixed_saver_short_aer 4.1 percent | Fixed Saver, shorter term, AER
fixed_saver_short_term 12 months | Fixed Saver, shorter term
fixed_saver_long_aer 3.95 percent | Fixed Saver, longer term, AER
fixed_saver_long_term 24 months | Fixed Saver, longer term
fixed_saver_min 500 gbp | Fixed Saver, least
fixed_saver_max 250000 gbp | Fixed Saver, greatest
cash_isa_aer 3.4 percent | Cash ISA, AER
adult_age 18 years | Age
"""


def table(rows=ROWS):
    text = ""
    for row in rows.strip().splitlines():
        fields, _, label = row.partition(" | ")
        key, value, unit = fields.split()
        text += f'[{key}]\nvalue = "{value}"\nunit = "{unit}"\nlabel = "{label}"\nversion = 3\nsince = 2026-04-01\n'
    return load_rates(text, "rates.toml")


TOOLBOX = Toolbox(table())


def asked(text):
    return Question(text, find_values(text, CATALOGUE))


def talk(*turns, toolbox=TOOLBOX):
    """The replies to a caller's turns; None where knowledge would answer."""
    memory, replies = Memory(), []
    for text in turns:
        reply = toolbox.handle(asked(text), memory)
        memory = reply.memory if reply else replace(toolbox.lapse(memory), topic="loans.something")
        replies.append(reply)
    return replies


def said(*turns):
    reply = talk(*turns)[-1]
    return reply.answer.text if reply else None


def test_a_loan_is_answered_with_all_that_a_representative_example_needs():
    answer = talk("how much would a loan of ten thousand over five years cost me a month")[0].answer

    assert answer.text == (
        "£10,000 over 5 years at our representative 6.5% APR, fixed, would cost £194.79 a month and £11,687.56 in "
        "total, of which £1,687.56 is interest. This is an illustration, not an offer."
    )
    assert answer.source is Source.TOOL
    assert answer.data_class is DataClass.PRODUCT
    assert answer.answer_id == "loan_payment(amount=10000.00, term=P60M)"
    assert answer.stamps[0] == "rate:personal_loan_apr@3"
    assert [citation.id for citation in answer.citations] == [stamp.partition("@")[0] for stamp in answer.stamps]


def test_a_rate_that_the_caller_names_is_used_and_its_apr_is_said():
    answer = talk("10k over 5 years at 5 percent")[0].answer

    assert "at a fixed 5% a year, which is 5.1% APR, would cost £188.71 a month and £11,322.74" in answer.text
    assert answer.stamps == ()


def test_an_apr_that_the_caller_names_is_taken_as_one():
    assert "at a fixed 5% APR would cost £188.20 a month" in said("10k over 5 years at 5% APR")


@pytest.mark.parametrize(
    ("amount", "rate"),
    [("1,000", "12.9%"), ("4,999.99", "12.9%"), ("5,000", "6.5%"), ("15,000", "6.5%"), ("15,000.01", "7.4%")],
)
def test_the_banks_rate_depends_on_the_amount(amount, rate):
    assert f"at our representative {rate} APR" in said(f"monthly payments on a loan of £{amount} over 3 years")


# Each line of a dialogue is what the caller says, and what is answered: an answer's id, or part of its text.
DIALOGUES = {
    "what is missing is asked for, one thing a turn": """
        can you work out a loan for me -> loan_payment?amount: How much would you like to borrow?
        ten thousand pounds -> loan_payment?term: £10,000. For how long would you like to borrow it?
        five years please -> loan_payment(amount=10000.00, term=P60M)
        """,
    "bare numbers answer what was asked": """
        how much a month would a loan cost -> loan_payment?amount
        10000 -> loan_payment?term
        5 -> loan_payment(amount=10000.00, term=P60M)
        60 -> loan_payment(amount=10000.00, term=P60M)
        make it 18 -> loan_payment(amount=10000.00, term=P18M)
        at 7 -> loan_payment(amount=10000.00, term=P18M, rate=7)
        how much could I borrow for £300 a month for 18 months -> borrow_for_payment(payment=300.00, term=P18M)
        """,
    "small bare numbers too, and two at once": """
        how much interest would £5,000 earn in a year at 4% -> savings_interest(amount=5000.00, term=P12M, rate=4)
        no thanks -> savings_interest.cancelled
        loan calculator -> loan_payment?amount
        50 -> loan_payment!amount: £50 is outside what we lend
        5000 5 -> loan_payment(amount=5000.00, term=P60M)
        """,
    "a caller may change one thing at a time": """
        what would I pay monthly on 10k over 5 years at 6.5% -> loan_payment(amount=10000.00, term=P60M, rate=6.5)
        actually make it seven years -> loan_payment(amount=10000.00, term=P84M, rate=6.5)
        what about 12,000 instead -> loan_payment(amount=12000.00, term=P84M, rate=6.5)
        and at 5 percent? -> loan_payment(amount=12000.00, term=P84M, rate=5)
        how much would that be over 3 years -> loan_payment(amount=12000.00, term=P36M, rate=5)
        I've changed my mind, eight thousand over 4 years -> loan_payment(amount=8000.00, term=P48M, rate=5)
        """,
    "a new question with all its values takes nothing over": """
        10k over 5 years at 3% -> loan_payment(amount=10000.00, term=P60M, rate=3)
        what would a loan of £7,000 over 2 years cost a month -> loan_payment(amount=7000.00, term=P24M)
        """,
    "another calculation takes the values over": """
        if I borrowed 9000 over 3 years what's the monthly -> loan_payment(amount=9000.00, term=P36M)
        and in total? -> loan_total_cost(amount=9000.00, term=P36M)
        and if I pay it off after a year -> loan_early_repayment(amount=9000.00, term=P36M, after=P12M)
        after 18 months -> loan_early_repayment(amount=9000.00, term=P36M, after=P18M)
        or 6 months early -> loan_early_repayment(amount=9000.00, term=P36M, early=P6M)
        show me the schedule -> amortisation_schedule(amount=9000.00, term=P36M)
        what if I put in another 50 a month -> loan_overpayment(amount=9000.00, term=P36M, extra=50.00)
        what if I put in another 700 a month -> loan_overpayment!extra: £8,000 more a year
        what if I can only afford 150 a month -> borrow_for_payment(payment=150.00, term=P36M)
        """,
    "a correction within a turn counts, an either-or is asked about": """
        loan of ten thousand, no, eight thousand over five years -> loan_payment(amount=8000.00, term=P60M)
        four or five years -> loan_payment!term: I heard 4 years and 5 years. Which one shall I take?
        five -> loan_payment(amount=8000.00, term=P60M)
        """,
    "a correction may deny what it corrects": """
        loan of 8000 over 4 years -> loan_payment(amount=8000.00, term=P48M)
        not four, five years -> loan_payment(amount=8000.00, term=P60M)
        no I said nine thousand -> loan_payment(amount=9000.00, term=P60M)
        """,
    "a change may be said as a difference": """
        10k over 5 years at 6% -> loan_payment(amount=10000.00, term=P60M, rate=6)
        and one year longer? -> loan_payment(amount=10000.00, term=P72M, rate=6)
        2,000 pounds more -> loan_payment(amount=12000.00, term=P72M, rate=6)
        reduce it by £4,500 -> loan_payment(amount=7500.00, term=P72M, rate=6)
        one percent higher -> loan_payment(amount=7500.00, term=P72M, rate=7)
        shorten it to 30 months -> loan_payment(amount=7500.00, term=P30M, rate=7)
        3 years shorter -> loan_payment!term: whole months or years
        """,
    "a difference from what is not known is no value": """
        10k over 5 years -> loan_payment(amount=10000.00, term=P60M)
        one percent higher -> None
        """,
    "a bare number is what the word before it says": """
        10k over 5 years at 6% -> loan_payment(amount=10000.00, term=P60M, rate=6)
        change the rate to 6.5 -> loan_payment(amount=10000.00, term=P60M, rate=6.5)
        change the term to 6 -> loan_payment(amount=10000.00, term=P72M, rate=6.5)
        what would the monthly payment be on 10.000 over 5 years -> loan_payment!amount: £10 is outside what we lend
        """,
    "a negative time is none": """
        what would a loan of 8000 over minus two years cost -> loan_payment!term: whole months or years
        two years -> loan_payment(amount=8000.00, term=P24M)
        """,
    "what is still owed is asked in many ways": """
        what is owed on 8k over 5 years after 2 years -> loan_early_repayment(amount=8000.00, term=P60M, after=P24M)
        settling 8k over 4 years after 12 months -> loan_early_repayment(amount=8000.00, term=P48M, after=P12M)
        what would a loan of 9000 over 3 years cost a month -> loan_payment(amount=9000.00, term=P36M)
        I've paid 12 months -> loan_early_repayment(amount=9000.00, term=P36M, after=P12M)
        and what would I owe after 2 years -> loan_early_repayment(amount=9000.00, term=P36M, after=P24M)
        and the monthly payment? -> loan_payment(amount=9000.00, term=P36M)
        """,
    "what it is for changes nothing, and what of it is interest is asked": """
        can you calculate loan repayments -> loan_payment?amount
        for a new car costing eleven thousand -> loan_payment?term
        3 years -> loan_payment(amount=11000.00, term=P36M)
        how much of that is interest -> loan_total_cost(amount=11000.00, term=P36M)
        price of a 5k loan over 36 months -> loan_payment(amount=5000.00, term=P36M)
        what would 9k over 45 months come to monthly -> loan_payment(amount=9000.00, term=P45M)
        savings of £6,000 at 3.5% for 30 months, the interest? -> savings_interest(amount=6000.00, term=P30M, rate=3.5)
        """,
    "a sum after an answer about loans is a loan": """
        how do I apply for a loan -> None
        8,000 pounds -> loan_payment?term
        """,
    "a family that is named is changed to": """
        10k over 5 years -> loan_payment(amount=10000.00, term=P60M)
        and 10k in savings over 5 years -> savings_interest(amount=10000.00, term=P60M)
        back to the loan, 8000 over 3 years -> loan_payment(amount=8000.00, term=P36M)
        """,
    "limits are said and the form stays open": """
        loan of £500,000 over 5 years -> loan_payment!amount: from £1,000 to £25,000
        £500 -> loan_payment!amount: from £1,000 to £25,000
        -£8,000 -> loan_payment!amount: above nought
        zero -> loan_payment!amount: above nought
        100 million -> loan_payment!amount: up to £10,000,000
        8,000 euros -> loan_payment!amount: in pounds
        8,000 pounds -> loan_payment(amount=8000.00, term=P60M)
        over 20 years -> loan_payment!term: we lend over 1 to 7 years
        for 90 days -> loan_payment!term: whole months
        6 months -> loan_payment!term: we lend over 1 to 7 years
        7 years -> loan_payment(amount=8000.00, term=P84M)
        at 400% -> loan_payment!rate: from 0% to 100%
        at 4% -> loan_payment(amount=8000.00, term=P84M, rate=4)
        at 0% -> loan_payment(amount=8000.00, term=P84M, rate=0)
        """,
    "a caller may give up": """
        work out a loan -> loan_payment?amount
        actually never mind -> loan_payment.cancelled
        10000 -> None
        """,
    "one question in between leaves the form open": """
        10k over 5 years -> loan_payment(amount=10000.00, term=P60M)
        can I repay my loan early -> None
        and over 7 years -> loan_payment(amount=10000.00, term=P84M)
        is there a fee -> None
        over 6 then -> loan_payment(amount=10000.00, term=P72M)
        """,
    "two questions in between close it": """
        10k over 5 years -> loan_payment(amount=10000.00, term=P60M)
        how do I apply -> None
        what documents do I need -> None
        and over 7 years -> None
        """,
    "words that do not answer are left to knowledge": """
        how much would a loan cost me per month -> loan_payment?amount
        I don't know, what's the most I can have -> None
        5000 -> loan_payment?term
        """,
    "how much can I borrow": """
        how much can I borrow for 200 a month -> borrow_for_payment?term: £200. For how long
        over 5 years -> borrow_for_payment(payment=200.00, term=P60M): a loan of £10,267 over 5 years
        and for £250 -> borrow_for_payment(payment=250.00, term=P60M)
        900 a month -> borrow_for_payment(payment=900.00, term=P60M): The most that we lend is £25,000
        20 a month -> borrow_for_payment!payment: £1,000 at our representative 12.9% APR, fixed, is £22.34 a month
        """,
    "how long to repay": """
        how long to pay off a loan of 5000 at 200 a month -> loan_term(amount=5000.00, payment=200.00): 2 years and 3
        250 -> loan_term(amount=5000.00, payment=250.00)
        6000 -> loan_term(amount=6000.00, payment=250.00)
        50 a month -> loan_term!payment: costs £88.56 to £517.27 a month
        """,
    "settling early": """
        what if I pay it off after two years -> loan_early_repayment?amount: 2 years. How much
        10000 -> loan_early_repayment?term
        five -> loan_early_repayment(amount=10000.00, term=P60M, after=P24M): £6,437.29 at most, £6,373.20 still owed
        after six years -> loan_early_repayment!after: The loan runs for 5 years
        three -> loan_early_repayment(amount=10000.00, term=P60M, after=P36M)
        """,
    "interest on savings": """
        how much interest would I earn on £5,000 in a year -> savings_interest(amount=5000.00, term=P12M): earn £137.50
        in the cash isa -> savings_interest(amount=5000.00, term=P12M, account=cash_isa): earn £170 of interest
        and in the fixed saver -> savings_interest(amount=5000.00, term=P12M, account=fixed_saver): 4.1% AER, fixed,
        for 2 years -> savings_interest(amount=5000.00, term=P24M, account=fixed_saver): 3.95% AER
        for 3 years -> savings_interest!term: Our Fixed Saver runs for 1 year or 2 years
        1 year -> savings_interest(amount=5000.00, term=P12M, account=fixed_saver)
        £100 -> savings_interest!amount: takes £500 to £250,000
        £600 -> savings_interest(amount=600.00, term=P12M, account=fixed_saver)
        in the regular saver -> savings_interest(amount=600.00, term=P12M, account=regular_saver): does not fit that
        at 4% -> savings_interest(amount=600.00, term=P12M, rate=4, account=regular_saver): would earn £24
        for 90 days -> savings_interest(amount=600.00, term=P90D, rate=4, account=regular_saver): earn £5.83
        """,
    "saving each month": """
        if I put 200 a month away for two years how much would I have -> savings_interest(term=P24M, deposit=200.00)
        and £1,000 to begin with and £200 a month -> None
        300 -> savings_interest(term=P24M, deposit=300.00): £7,200 paid in
        in the regular saver for 1 year -> savings_interest(term=P12M, deposit=300.00, account=regular_saver): £106.37
        400 a month -> savings_interest!deposit: takes £10 to £300 a month
        """,
    "a savings goal": """
        how long would it take to save £5,000 if I put away 200 a month -> savings_goal(goal=5000.00, deposit=200.00)
        300 -> savings_goal(goal=5000.00, deposit=300.00): in 17 months
        £1 a month -> savings_goal!deposit: more than 50 years
        how much must I save a month to have 5000 in 2 years -> savings_deposit(goal=5000.00, term=P24M): 202.51
        """,
    "from loans to savings and back": """
        10k over 5 years -> loan_payment(amount=10000.00, term=P60M)
        and if I saved 150 a month for 5 years how much would I have -> savings_interest(term=P60M, deposit=150.00)
        what would a loan of 5000 cost a month -> loan_payment?term
        """,
}


@pytest.mark.parametrize("name", DIALOGUES)
def test_a_dialogue(name):
    turns, wanted = zip(*(line.split(" -> ") for line in DIALOGUES[name].strip().splitlines()), strict=True)

    replies = talk(*(turn.strip() for turn in turns))

    for turn, want, reply in zip(turns, wanted, replies, strict=True):
        answer_id, _, words = want.strip().partition(": ")
        assert (reply.answer.answer_id if reply else "None") == answer_id, turn
        assert words in (reply.answer.text if reply else ""), turn


def test_an_open_form_is_remembered_redacted_and_small():
    memory = talk("how much would a loan of £10,000 cost a month")[0].memory

    assert (memory.form, dict(memory.filled)) == ("loan_payment", {"amount": "10000.00"})


def test_a_sum_after_an_answer_about_savings_is_saved():
    memory = Memory(topic="savings.compare")

    assert TOOLBOX.handle(asked("five thousand pounds, two years"), memory).memory.form == "savings_interest"
    assert TOOLBOX.handle(asked("what about five thousand pounds"), memory) is None


def test_a_tool_that_knowledge_opens_goes_on_with_the_values_of_its_family():
    memory = Memory(form="loan_total_cost", filled={"amount": "6000.00", "term": "P24M"})

    reply = TOOLBOX.begin("loan_payment", asked("and monthly"), memory)

    assert reply.answer.answer_id == "loan_payment(amount=6000.00, term=P24M)"


def test_the_memory_of_another_form_is_left_alone():
    memory = Memory(form="card_replacement", filled={"tail": "1234"}, topic="card_replacement?address")

    assert TOOLBOX.handle(asked("five years"), memory) is None
    assert TOOLBOX.handle(asked("10k over five years"), memory).memory.form == "loan_payment"


@given(st.integers(1000, 25_000), st.integers(12, 84))
def test_what_is_said_is_what_the_arithmetic_gives(amount, months):
    apr_percent = Decimal("12.9") if amount < 5000 else Decimal("6.5") if amount <= 15_000 else Decimal("7.4")
    plan = Loan.at_apr(Decimal(amount), months, apr_percent).plan()

    text = said(f"what would I pay a month for a loan of £{amount} over {months} months")

    assert f"£{plan.payment:,.2f}".removesuffix(".00") + " a month" in text
    assert f"£{plan.total:,.2f}".removesuffix(".00") + " in total" in text


@given(st.integers(23, 700), st.integers(12, 84))
def test_what_a_payment_pays_for_is_never_dearer_than_the_payment(payment, months):
    reply = talk(f"how much can I borrow for £{payment} a month over {months} months")[0]

    if reply.answer.answer_id.endswith("!payment"):
        assert "is less than our smallest loan costs" in reply.answer.text
    else:
        costs = re.search(r"(?:at|cost) £([\d,.]+) a month and", reply.answer.text)
        assert Decimal(costs[1].replace(",", "")) <= payment


def test_the_whole_schedule_is_a_table_in_pence():
    frame = TOOLBOX.schedule(Decimal(10_000), 60)

    assert len(frame) == 60
    assert frame["payment_p"].sum() == 1_168_756
    assert TOOLBOX.schedule(Decimal(10_000), 60, apr_percent=Decimal(5))["payment_p"][0] == 18_820


@settings(max_examples=15)
@given(st.decimals(0, 50, places=1))
def test_the_apr_that_is_said_beside_a_nominal_rate_is_that_of_the_payments(nominal):
    plan = Loan.at_nominal(Decimal(10_000), 60, nominal).plan()
    flows = [Flow(Fraction(row.month, 12), row.payment) for row in plan.instalments]

    text = said(f"10k over 5 years at {nominal}%")

    told = Decimal(re.search(r"which is ([\d.]+)% APR", text)[1])
    assert abs(apr([Flow(Fraction(0), Decimal(10_000))], flows) - told) <= Decimal("0.06")


def test_a_bank_without_loans_or_savings_has_no_tools_for_them():
    savings_only = Toolbox(table("easy_saver_aer 2.75 percent | Easy Saver, AER"))
    neither = Toolbox(table("adult_age 18 years | Age"))

    assert talk("10k over 5 years", toolbox=savings_only) == [None]
    assert talk("how much interest would £5,000 earn in a year", toolbox=savings_only)[0] is not None
    assert talk("10k over 5 years", "how much interest would £5,000 earn in a year", toolbox=neither) == [None, None]
    with pytest.raises(InputError, match="no personal_loan_ rows"):
        savings_only.schedule(Decimal(10_000), 60)


@pytest.mark.parametrize("key", [row.split()[0] for row in ROWS.strip().splitlines()[:9]])
def test_a_table_with_some_loan_rows_must_have_them_all(key):
    rows = "\n".join(row for row in ROWS.strip().splitlines() if row.split()[0] != key)

    with pytest.raises(KnowledgeError, match=f"no rate '{key}'"):
        Toolbox(table(rows))


def test_a_charge_for_settling_early_in_per_cent_is_taken_from_the_table():
    rows = ROWS.replace("loan_early_repayment_days 58 days | Interest on ending early\n", "")
    charges = "loan_settlement_percent 1 percent | Charge\nloan_settlement_percent_last_year 0.5 percent | Charge\n"
    question = "what if I borrow £15,000 over 5 years and pay it off after 1 year"

    free = talk(question, toolbox=Toolbox(table(rows)))[0].answer
    charged = talk(question, toolbox=Toolbox(table(rows + charges)))[0].answer

    assert "Paying it off after 1 year would take £12,365.45, and save" in free.text
    assert "£12,489.10 at most, £12,365.45 still owed and £123.65 for ending early" in charged.text
    assert "rate:loan_settlement_percent@3" in charged.stamps


def test_a_speech_is_no_calculation():
    assert talk("how much would a loan of £10,000 over 5 years cost a month " + "well " * 200) == [None]


def test_every_tool_has_its_answer_and_its_questions():
    quotes = (TOOLBOX._loans, TOOLBOX._savings)

    assert set(TOOLS) == {name for quote in quotes for name in quote.answers}
    assert {(tool.family, slot) for tool in TOOLS.values() for slot in tool.needs} == set(ASKS)


_NUMBERS = [
    "0",
    "5",
    "7",
    "60",
    "100",
    "10000",
    "25000",
    "1e9",
    "-5",
    "2.5",
    "£0",
    "£-5",
    "£0.01",
    "£10.005",
    "10k",
    "999999999999999999",
    "zero",
    "half",
]
_UNITS = [
    "",
    "pounds",
    "euros",
    "years",
    "months",
    "days",
    "weeks",
    "percent",
    "% apr",
    "a month",
    "a week",
    "years early",
]
_WORDS = [
    "", "and", "no", "over", "at", "after", "loan of", "how much a month for", "if I pay it off", "interest on", "save",
    "how long to save", "how much can I borrow for", "in the fixed saver", "in the regular saver", "in total",
    "schedule", "extra", "what about",
]  # fmt: skip
_TURN = st.lists(st.tuples(*(map(st.sampled_from, (_WORDS, _NUMBERS, _UNITS)))), min_size=1, max_size=3)


@settings(max_examples=150)
@given(st.lists(_TURN, min_size=1, max_size=6))
def test_whatever_is_said_gets_a_whole_sentence_or_is_left_to_knowledge(turns):
    for reply in talk(*(" ".join(filter(None, sum(turn, ()))) for turn in turns)):
        if reply:
            assert re.fullmatch(r"[A-Z0-9£].*[.?]", reply.answer.text)
            assert not re.search(r"None|Decimal|  | [.,]|,\.", reply.answer.text)
