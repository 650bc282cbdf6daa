import pytest
from hypothesis import given
from hypothesis import strategies as st

from teller.pronunciation import pronounce

KNOWN = {
    "a": ("AH", "EY"),
    "authorize": ("AO TH ER AY Z",),
    "block": ("B L AA K",),
    "branch": ("B R AE N CH",),
    "c": ("S IY",),
    "cafe": ("K AH F EY",),
    "card": ("K AA R D",),
    "cash": ("K AE SH",),
    "counseling": ("K AW N S L IH NG",),
    "f": ("EH F",),
    "id": ("IH D",),
    "limit": ("L IH M AH T",),
    "mortgage": ("M AO R G IH JH",),
    "point": ("P OY N T",),
    "read": ("R EH D", "R IY D"),
    "s": ("EH S",),
    "un": ("Y UW EH N",),
}


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("card", ("K AA R D",)),
        ("read", ("R EH D", "R IY D")),
        ("cashpoint", ("K AE SH P OY N T",)),
        ("unblock", ("AH N B L AA K",)),
        ("remortgage", ("R IY M AO R G IH JH",)),
        ("authorise", ("AO TH ER AY Z",)),
        ("counselling", ("K AW N S L IH NG",)),
        ("cashpoints", ("K AE SH P OY N T S",)),
        ("card's", ("K AA R D Z",)),
        ("branches", ("B R AE N CH IH Z",)),
        ("branches'", ("B R AE N CH IH Z",)),
        ("limit's", ("L IH M AH T S",)),
        ("mortgages", ("M AO R G IH JH IH Z",)),
        ("café", ("K AH F EY",)),
        ("fscs", ("EH F EH S S IY EH S",)),
        ("ac", ("EY S IY",)),
    ],
)
def test_words_are_said_by_the_first_rule_that_fits(word, said):
    assert pronounce(word, KNOWN) == said


def test_what_banks_say_goes_before_the_dictionary():
    assert pronounce("id", KNOWN) == ("AY D IY",)
    assert pronounce("ids", KNOWN) == ("AY D IY Z",)
    assert pronounce("apr", {}) == ("EY P IY AA R",)


@pytest.mark.parametrize("word", ["xyzzy", "zzzz", "", "'", "blockchains", "s" * 500])
def test_nothing_is_invented_for_a_word_that_no_rule_fits(word):
    assert pronounce(word, {key: value for key, value in KNOWN.items() if key != "s"}) == ()


@given(st.text(max_size=60))
def test_any_word_gets_phones_or_nothing(word):
    for phones in pronounce(word, KNOWN):
        assert phones == " ".join(phones.split())
        assert phones.isascii()
