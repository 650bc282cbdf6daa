"""Placeholders in a generator's stream are said as the rate table has them."""

from datetime import date
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teller.banking.filled import FilledIn
from teller.banking.products import Rate, RateTable
from teller.errors import EngineError
from teller.ports import Passage, Prompt
from teller.turn import DataClass

RATES = RateTable(
    "rates.toml",
    {
        "loan_apr": Rate("loan_apr", Decimal("6.5"), "percent", "Loan", 1, date(2026, 1, 1)),
        "fee": Rate("fee", Decimal("2.5"), "gbp", "Fee", 1, date(2026, 1, 1)),
    },
)
PROMPT = Prompt((), (Passage("a", "A", "Text.", "1", DataClass.PUBLIC, (), 1.0),))


class Pieces:
    """Streams just these pieces."""

    name = "pieces"

    def __init__(self, *pieces):
        self._pieces = pieces

    async def generate(self, prompt, *, adapter=None):  # noqa: ARG002
        for piece in self._pieces:
            yield piece


async def filled(*pieces):
    return [piece async for piece in FilledIn(Pieces(*pieces), RATES).generate(PROMPT)]


async def test_a_placeholder_is_filled_in_and_the_rest_is_left_as_it_is():
    assert "".join(await filled("The rate is {loan_apr}, ", "the fee {fee}.")) == "The rate is 6.5%, the fee £2.50."


@given(st.lists(st.integers(0, 60), max_size=8))
async def test_a_placeholder_may_be_split_anywhere(cuts):
    text = "{fee} now, {loan_apr} later, {fee}{fee} [action: pay]"
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[start:end] for start, end in pairwise(places)]
    assert "".join(await filled(*pieces)) == "£2.50 now, 6.5% later, £2.50£2.50 [action: pay]"


async def test_what_needs_no_value_is_passed_on_at_once():
    assert await filled("One ", "two ", "{fee", "}", " three") == ["One ", "two ", "£2.50", " three"]


@pytest.mark.parametrize(
    "pieces",
    [
        ("The {rate_of_nothing}.",),
        ("The {}.",),
        ("ends {loan",),
        ("a } b",),
        ("{a {fee}",),
        ("{" + "x" * 100,),
        ("}{fee",),
    ],
)
async def test_anything_else_in_braces_is_an_error_and_not_spoken(pieces):
    with pytest.raises(EngineError):
        await filled(*pieces)
