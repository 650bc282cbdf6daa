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


@pytest.mark.parametrize("typed", ["prefreeze", "freezes", "freezing", "carded", "grandsofa", "interested", "doses"])
def test_what_is_made_of_words_is_no_slip(typed):
    spelling = Spelling(["how do I freeze my card, interest on a sofa, a dose"], known={"grand", "sofa"})

    assert spelling.mended(f"what about {typed}") == f"what about {typed}"


def test_a_slip_is_never_in_the_first_letter():
    assert Spelling(["are my accounts and importing gifts paid"], frozenset()).mended("ayments kaccounts raid") == (
        "ayments kaccounts raid"
    )


def test_a_very_long_word_is_left_alone():
    assert SPELLING.mended("c" * 100_000) == "c" * 100_000


@pytest.mark.parametrize(("typed", "reads"), [("zxcv nmlk poiu 7743", False), ("a 7 !", False), ("zxcv sofa", True)])
def test_a_text_is_read_if_one_word_of_it_is_known(typed, reads):
    assert SPELLING.reads(typed) is reads
