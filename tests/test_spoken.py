import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teller.spoken import as_words, clauses, for_speech, number_words


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("£188.71 a month at 6.5% APR.", "188 pounds 71 a month at 6.5 percent A-P-R."),
        ("£0.50", "50 pence"),
        ("£0.01", "1 penny"),
        ("50p", "50 pence"),
        ("£1", "1 pound"),
        ("£1.00", "1 pound"),
        ("£0", "0 pounds"),
        ("£10,000.", "10,000 pounds."),
        ("£1,500, or £1,500,000", "1,500 pounds, or 1,500,000 pounds"),
        ("£5,10", "5 pounds,10"),
        ("Open Settings > Payments > Limits.", "Open Settings, Payments, Limits."),
        ("spend £750 → 1 tree", "spend 750 pounds, 1 tree"),
        ("8 + 7 = 15 withdrawals", "8 plus 7 equals 15 withdrawals"),
        ("£1,250.50.", "1,250 pounds 50."),
        ("£2.05", "2 pounds and 5 pence"),
        ("£2.5", "2 pounds 50"),
        ("£2.5m", "2.5 million pounds"),
        ("£10k", "10 thousand pounds"),
        ("£3 million", "3 million pounds"),
        ("£5-£10", "5 to 10 pounds"),
        ("£5–10", "5 to 10 pounds"),
        ("-£20", "minus 20 pounds"),
        ("€5.20, $1", "5 euros 20, 1 dollar"),
    ],
)
def test_money_is_said_in_pounds_and_pence(written, said):
    assert for_speech(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("sort code 20-00-00", "sort code 2 0, 0 0, 0 0"),
        ("account 12345678", "account 1 2 3 4, 5 6 7 8"),
        ("call 0800 123 4567.", "call 0 8 0 0, 1 2 3, 4 5 6 7."),
        ("call +44 20 7946 0000", "call plus 4 4, 2 0, 7 9 4 6, 0 0 0 0"),
        ("call +44 3069 990142", "call plus 4 4, 3 0 6 9, 9 9 0 1 4 2"),
        ("dial 159", "dial 1 5 9"),
        ("on 116 123, or text 7726", "on 1 1 6, 1 2 3, or text 7 7 2 6"),
        ("ending in 0042", "ending in 0 0 4 2"),
        ("card ending 4421", "card ending 4 4 2 1"),
    ],
)
def test_numbers_that_name_something_are_said_digit_by_digit(written, said):
    assert for_speech(written) == said


@pytest.mark.parametrize("amount", ["30,000 points", "10000 points", "in 2026", "4.5 stars", "on 5.5."])
def test_numbers_that_count_something_stay(amount):
    assert for_speech(amount) == amount


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("6.5-7%", "6.5 to 7 percent"),
        ("5–7 working days", "5 to 7 working days"),
        ("9am-5pm", "9 A-M to 5 P-M"),
        ("9:30am", "9 30 A-M"),
        ("by 3 p.m. There is", "by 3 P-M. There is"),
        ("at 3 p.m. on Monday", "at 3 P-M on Monday"),
        ("at 3 p.m.", "at 3 P-M."),
        ("17:30", "5 30 P-M"),
        ("00:05", "12 oh 5 A-M"),
        ("12:00", "12 P-M"),
        ("on 2026-12-24", "on 24th December 2026"),
        ("by 1/2/2027", "by 1st February 2027"),
        ("by 1/13/2027", "by 1 13 2027"),
        ("open 24/7", "open 24 7"),
        ("a 5-year fix", "a 5-year fix"),
        ("per cent", "percent"),
    ],
)
def test_ranges_times_and_dates_are_said_in_words(written, said):
    assert for_speech(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("ISAs and ATMs; your PIN", "eye sas and A-T-M's; your pin"),
        ("FSCS, FCA and the UK's HMRC", "F-S-C-S, F-C-A and the U-K's H-M-R-C"),
        ("it is NOT covered, STOP", "it is not covered, stop"),
        ("e.g. rent", "for example rent"),
        ("and/or", "and or"),
        ("debit/credit", "debit or credit"),
        ("Q&A", "Q and A"),
        ("18+", "18 plus"),
        ("help@larkfield.example", "help at larkfield dot example"),
        ("https://www.larkfield.example/help.", "www dot larkfield dot example slash help."),
        ("**Bold** and `code` <b>", "Bold and code b"),
        ("your [card] is\n\nsafe 👍", "your card is safe"),
    ],
)
def test_signs_and_abbreviations_are_said_or_left_out(written, said):
    assert for_speech(written) == said


@given(st.text(max_size=300))
def test_any_text_becomes_one_line_without_signs(text):
    said = for_speech(text)
    assert not re.search(r"[\n\r\t\x00£€$%<>&*\\{}|=@/]", said)
    assert said == " ".join(said.split())


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (13, "thirteen"),
        (40, "forty"),
        (188, "one hundred and eighty eight"),
        (1_000, "one thousand"),
        (1_005, "one thousand and five"),
        (10_250, "ten thousand two hundred and fifty"),
        (2_000_001, "two million and one"),
        (-7, "minus seven"),
        (10**15, "one " + " ".join(["zero"] * 15)),
    ],
)
def test_numbers_are_british_words(number, words):
    assert number_words(number) == words


def test_every_number_below_ten_thousand_has_its_own_words():
    assert len({number_words(n) for n in range(10_000)}) == 10_000


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("What's the APR on £10,000?", "what's the apr on ten thousand pounds"),
        ("6.05%", "six point zero five percent"),
        ("the 21st, 12th, 20th and 3rd", "the twenty first twelfth twentieth and third"),
        ("the 100th", "the one hundredth"),
        ("don’t — e.g. ISAs!", "don't for example isas"),
        ("a 5-year fix, 24/7", "a five year fix twenty four seven"),
        ("£188.71", "one hundred and eighty eight pounds seventy one"),
        ("", ""),
    ],
)
def test_words_are_what_a_recogniser_writes(written, words):
    assert " ".join(as_words(written)) == words


@given(st.text(max_size=200))
def test_words_have_no_digits_capitals_or_signs(text):
    for word in as_words(text):
        assert re.fullmatch(r"[^\W\d_]+('[^\W\d_]+)*", word)
        assert word == word.lower()


@given(st.text(max_size=200))
def test_words_of_words_are_the_same_words(text):
    words = as_words(text)
    if all(word.isascii() and len(word) > 1 for word in words):
        assert as_words(" ".join(words)) == words


def test_a_number_too_long_for_an_amount_is_read_by_its_digits():
    assert as_words("1" * 5_000 + ".0") == (*["one"] * 5_000, "point", "zero")


@given(st.text(max_size=500), st.integers(1, 120))
def test_clauses_together_are_the_text(text, max_chars):
    pieces = clauses(text, max_chars=max_chars)
    assert " ".join(pieces) == " ".join(text.split())
    for piece in pieces:
        assert piece
        assert len(piece) <= max_chars or " " not in piece


def test_sentences_are_spoken_one_by_one_and_long_ones_in_parts():
    assert clauses('It is free. "Really?" Yes!') == ["It is free.", '"Really?"', "Yes!"]
    assert clauses("It costs nothing, as you know, and never did.", max_chars=20) == [
        "It costs nothing,",
        "as you know,",
        "and never did.",
    ]


def test_hours_do_not_end_a_sentence():
    assert len(clauses(for_speech("We open from 9 a.m. to 5 p.m. on Monday, e.g. at 9:30."))) == 1


def test_an_empty_text_has_no_clauses():
    assert clauses(" \n ") == []
