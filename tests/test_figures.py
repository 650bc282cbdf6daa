"""Questions with their values written in one way, however they were said."""

import pytest

from teller.turn import Question, Value, ValueKind
from teller.values import Catalogue, find_values
from teller.values.figures import in_figures

NAMES = Catalogue()


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("fifteen hundred euros for ten days", "1500 euros for 10 days"),
        ("€1,500 for a fortnight at 6.5 per cent", "1500 euros for 2 weeks at 6.5%"),
        ("six and a half percent over sixty months", "6.5% over 5 years"),
        ("£4.99 at 3 pm on 03 March 2024", "4.99 pounds at 15:00 on 3 March 2024"),
        ("5k on the third of March twenty twenty-four", "5000 pounds on the 3 March 2024"),
        ("two of my cards and the second one, 48 hours ago tomorrow", None),
        ("100 CHF for one year", "100 CHF for 1 year"),
        ("what does it cost", "what does it cost"),
    ],
)
def test_a_question_has_its_values_written_in_one_way_however_they_were_said(said, written):
    question = Question(said, find_values(said, NAMES))
    if written is None:
        assert "2 of my cards and the second one" in in_figures(question)
        assert in_figures(question).endswith("tomorrow")
    else:
        assert in_figures(question) == written


def test_text_between_values_stays_and_values_within_others_are_written_once():
    inner, outer = Value(ValueKind.COUNT, "10", 4, 6), Value(ValueKind.MONEY, "10.00 GBP", 4, 13)
    assert in_figures(Question("pay 10 pounds now", (outer, inner))) == "pay 10 pounds now"
    assert in_figures(Question("[card] 10 pounds", (Value(ValueKind.PERCENT, "3", 7, 16),))) == "[card] 3%"


@pytest.mark.parametrize(
    ("kind", "canonical"),
    [
        (ValueKind.DURATION, "PT5D"),
        (ValueKind.DURATION, "P3D:business"),
        (ValueKind.DATE, "2026-13-01"),
        (ValueKind.COUNT, "#2"),
    ],
)
def test_a_value_that_no_rule_writes_stays_as_it_was_said(kind, canonical):
    assert in_figures(Question("on 1/13/26", (Value(kind, canonical, 3, 10),))) == "on 1/13/26"
