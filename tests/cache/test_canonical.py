import pytest
from hypothesis import given
from hypothesis import strategies as st

from teller.cache.canonical import canonical_text, exact_key, exact_text
from teller.turn import Question, Value, ValueKind


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is the fee?", "what is the FEE"),
        ("What's the fee", "what is the fee?"),
        ("Um, what is, uh, the fee?", "what is the fee"),
        ("I can't block my card", "i cannot block my card!"),
        ("I can’t block my card", "I can't block my card"),
        ("I don't know", "i do not know"),
        ("is it   ok\tnow", "Is it OK, now?"),
        ("fee for ＡＢＣ", "fee for abc"),
        ("the the card", "the card"),
        ("block\u200b my card", "block my card"),
        ("e-mail", "e mail"),
        ('"lost" (card)', "lost card"),
    ],
)
def test_askings_that_differ_in_form_alone_are_the_same(one, other):
    assert canonical_text(one) == canonical_text(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("I can block it", "I can't block it"),
        ("I do want it", "I don't want it"),
        ("1,000", "1.000"),
        ("1.5", "15"),
        ("6.5%", "6.5"),
        ("-5", "5"),
        ("£100", "$100"),
        ("£100", "100"),
        ("from savings to current", "from current to savings"),
        ("I'd like it", "id like it"),
        ("[card] lost", "card lost"),
        ("a/c 1", "a/c 2"),
        ("24/7", "247"),
        ("no", "know"),
        ("раypal", "paypal"),  # a Cyrillic look-alike
        ("5 5", "5"),
        ("very very good", "very good"),
        ("a@b", "a b"),
        ("a&b", "a b"),
        ("😀", ""),
    ],
)
def test_askings_that_may_differ_in_meaning_stay_apart(one, other):
    assert canonical_text(one) != canonical_text(other)


@given(st.text(max_size=80))
def test_a_canonical_text_is_its_own_canonical_text(text):
    once = canonical_text(text)
    assert canonical_text(once) == once


VALUES = st.lists(
    st.builds(Value, st.sampled_from(ValueKind), st.text(min_size=1, max_size=5), st.integers(0, 9), st.integers(0, 9)),
    max_size=3,
)


@given(st.text(max_size=30), VALUES, VALUES)
def test_questions_with_other_values_are_never_the_same(text, values, others):
    one, other = Question(text, tuple(values)), Question(text, tuple(others))
    same = [(v.kind, v.canonical) for v in values] == [(v.kind, v.canonical) for v in others]
    assert (exact_text(one) == exact_text(other)) == same


@given(st.text(max_size=40))
def test_negations_are_never_dropped(text):
    assert canonical_text(f"{text} not") != canonical_text(text)
    assert canonical_text(f"{text} never") != canonical_text(text)


@given(st.binary(min_size=16, max_size=16), st.text(max_size=20))
def test_keys_have_63_bits_and_depend_on_the_partition(partition, text):
    assert 0 <= exact_key(partition, text) < 2**63
    assert exact_key(partition, text) != exact_key(bytes(byte ^ 1 for byte in partition), text)
