import pytest

from teller.cache.guards import Guards, indifferent_kinds
from teller.turn import MissReason, Question, Value, ValueKind

GUARDS = Guards([("activate", "turn off"), ("switch in", "switch out")])


def found(asked: Question | str, stored: Question | str):
    sides = [Question(side) if isinstance(side, str) else side for side in (asked, stored)]
    forth, back = GUARDS.difference(*map(GUARDS.read, sides)), GUARDS.difference(*map(GUARDS.read, sides[::-1]))
    assert (forth is None) == (back is None), "a difference is one from both sides"
    return forth


@pytest.mark.parametrize(
    ("asked", "stored", "reason"),
    [
        ("block my card", "unblock my card", MissReason.POLARITY_DIFFERS),
        ("how do I increase my limit", "how do I lower my limit", MissReason.POLARITY_DIFFERS),
        ("is it safe to pay by card", "is it not safe to pay by card", MissReason.POLARITY_DIFFERS),
        ("I can pay abroad", "I can't pay abroad", MissReason.POLARITY_DIFFERS),
        ("is an honest answer needed", "is a dishonest answer needed", MissReason.POLARITY_DIFFERS),
        ("how can I be more patient", "how can I be less patient", MissReason.POLARITY_DIFFERS),
        ("activate the alerts", "turn the alerts off", MissReason.POLARITY_DIFFERS),
        (
            "switch in a standing order in the app",
            "switch out a standing order in the app",
            MissReason.POLARITY_DIFFERS,
        ),
        ("what do I owe before the holiday", "what do I owe after the holiday", MissReason.POLARITY_DIFFERS),
        ("is Ann a nurse", "did Ann use to be a nurse", MissReason.POLARITY_DIFFERS),
        ("can I close my account", "must I close my account", MissReason.POLARITY_DIFFERS),
        ("move money from savings to current", "move money from current to savings", MissReason.ROLES_DIFFER),
        ("did Bo call Cy", "did Cy call Bo", MissReason.ROLES_DIFFER),
        ("did Bo call Cy", "was Bo called by Cy", MissReason.ROLES_DIFFER),
        ("was Bo paid by Cy", "was Cy paid by Bo", MissReason.ROLES_DIFFER),
        ("can he see her account", "can she see his account", MissReason.ROLES_DIFFER),
        ("can I pay Ann Kerr", "can I pay Tom Kerr", MissReason.VALUES_DIFFER),
    ],
)
def test_a_difference_that_changes_the_answer_is_found(asked, stored, reason):
    difference = found(asked, stored)
    assert difference is not None
    assert difference.reason is reason
    assert " against " in difference.found


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        ("how do I block my card", "what do I do to block my card"),
        ("I do not know how to block my card", "how do I block my card"),
        ("how can I be more hopeful", "how can I be less hopeless"),
        ("my card is not blocked", "my card is unblocked"),
        ("did Bo call Cy", "was Cy called by Bo"),
        ("is Ann a nurse and a baker", "is Ann a baker and a nurse"),
        ("are cats larger than mice", "what is larger, cats or mice"),
        ("Can I Pay By Card", "can i pay by card"),
        ("the card used to pay was blocked", "the card used to pay was frozen"),
    ],
)
def test_the_same_request_in_other_words_passes(asked, stored):
    assert found(asked, stored) is None


def test_typed_values_must_be_equal_in_kind_and_canonical_form():
    def with_value(text: str, canonical: str) -> Question:
        return Question(text, (Value(ValueKind.MONEY, canonical, 0, 1),))

    assert found(with_value("pay 10 pounds", "10.00 GBP"), with_value("pay ten pounds", "10.00 GBP")) is None
    other = found(with_value("pay 10 pounds", "10.00 GBP"), with_value("pay 12 pounds", "12.00 GBP"))
    assert other is not None
    assert other.reason is MissReason.VALUES_DIFFER
    assert "money 10.00 GBP against money 12.00 GBP" in other.found
    assert found("pay ten", with_value("pay ten", "10.00 GBP")) is not None, "equal words read as other values"


def test_a_person_who_is_named_in_both_is_no_difference_where_only_one_side_reads_a_name():
    bo = Value(ValueKind.PERSON, "bo", 18, 20)
    assert found(Question("was Ann phoned by Bo", (bo,)), "did Bo phone Ann") is None
    other = found(Question("was Ann phoned by Bo", (bo,)), "did Cy phone Ann")
    assert other is not None
    assert other.reason is MissReason.VALUES_DIFFER


def dated(*dates: str, kind: ValueKind = ValueKind.DATE):
    return [GUARDS.read(Question("a payment is missing", (Value(kind, date, 0, 1),))) for date in dates]


def test_an_answer_given_for_four_dates_is_one_for_a_fifth_but_not_for_an_amount_more():
    assert indifferent_kinds(dated("rel:today", "rel:yesterday", "--03-01", "rel:today")) == frozenset()
    across = indifferent_kinds(dated("rel:today", "rel:yesterday", "--03-01", "rel:-P7D"))
    assert across == {ValueKind.DATE}

    asked, stored = dated("--07-09", "rel:today")
    assert GUARDS.difference(asked, stored) is not None
    assert GUARDS.difference(asked, stored, indifferent=across) is None
    (amount,) = dated("7.00 GBP", kind=ValueKind.MONEY)
    assert GUARDS.difference(amount, stored, indifferent=across) is not None


@pytest.mark.parametrize(
    "kind",
    [ValueKind.MONEY, ValueKind.PERCENT, ValueKind.PRODUCT, ValueKind.TIER, ValueKind.ID_TAIL, ValueKind.PERSON],
)
def test_amounts_rates_products_tiers_ids_and_people_decide_however_often_the_answer_was_given(kind):
    assert indifferent_kinds(dated(*"abcdefgh", kind=kind)) == frozenset()


def test_equal_texts_never_differ():
    for text in ("", "not", "from to", "was it paid by", "UNBLOCK!!!", "no no no"):
        assert found(text, text) is None
