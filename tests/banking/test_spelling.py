"""Slips of the keyboard."""

import pytest

from teller.banking.spelling import Spelling

SPELLING = Spelling(
    [
        "How do I freeze my card? Forgotten password for online banking.",
        "Free debit card, interest and savings account",
    ],
    known={"sofa", "grand", "dose"},
)


@pytest.mark.parametrize(
    ("typed", "mended"),
    [
        ("i lost my crad", "i lost my card"),
        ("freze my card", "freeze my card"),
        ("forgoten pasword", "forgotten password"),
        ("what is the intrest on my acount", "what is the interest on my account"),
        ("my sofa cost a grand", "my sofa cost a grand"),
        ("xyzzy plugh", "xyzzy plugh"),
        ("it's Card", "it's Card"),
        ("he hasnt got it", "he hasnt got it"),
        ("", ""),
    ],
)
def test_a_slip_is_mended_towards_the_banks_words_and_nothing_else_is_touched(typed, mended):
    assert SPELLING.mended(typed) == mended


def test_a_very_long_word_is_left_alone():
    assert SPELLING.mended("c" * 100_000) == "c" * 100_000
