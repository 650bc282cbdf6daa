"""What a caller takes back is not searched for."""

import pytest

from teller.banking.repairs import corrected, without_repairs


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("not the credit card the debit card has gone", "the debit card has gone"),
        ("no sorry, not my joint account, my savings account", "no sorry, my savings account"),
        ("I want the debit card, not the credit card, cancelled", "I want the debit card, cancelled"),
        ("how do I cancel a direct debit no sorry a standing order", "how do I cancel a standing order"),
        ("what is the fee for the gold, I mean the silver account", "what is the fee for the silver account"),
    ],
)
def test_what_is_taken_back_in_the_same_breath_is_left_out(said, meant):
    assert without_repairs(said) == meant


@pytest.mark.parametrize(
    "said",
    [
        "why did I not get the rate that you advertise",
        "I have not had the card or the PIN",
        "is there a fee no matter the amount",
        "it is not the first time the app has failed",
        "can I pay in a cheque that is not the bank's",
        "no, I have not got a card",
        "I'm sorry, the app logged me out",
    ],
)
def test_what_is_not_taken_back_stays(said):
    assert without_repairs(said) == said


@pytest.mark.parametrize(
    ("said", "before", "meant"),
    [
        ("no i meant a standing order", "how do I cancel a direct debit", "how do I cancel a standing order"),
        ("sorry, my debit card", "can I use my credit card abroad?", "can I use my debit card abroad?"),
        ("No, the mortgage please.", "can I pay the loan off early", "can I pay the mortgage off early"),
        ("no I meant the mortgage", "can I pay it off early?", "can I pay the mortgage off early?"),
        ("I meant the cash ISA", "what is the rate on the easy saver?", "what is the rate on the cash ISA?"),
        (
            "no, not the debit card, the credit card",
            "where is the PIN of my card",
            "where is the PIN of the credit card",
        ),
        (
            "actually the student account",
            "can you open the account for him",
            "can you open the student account for him",
        ),
    ],
)
def test_a_correction_is_put_into_the_question_before(said, before, meant):
    assert corrected(said, before) == meant


@pytest.mark.parametrize(
    ("said", "before"),
    [
        ("how do I set up a standing order", "how do I cancel a direct debit"),
        ("no", "how do I cancel a direct debit"),
        ("no thank you, that was all for today then", "how do I cancel a direct debit"),
        ("no i meant a standing order", "opening hours"),
    ],
)
def test_what_is_no_correction_is_not_put_into_it(said, before):
    assert corrected(said, before) == ""
