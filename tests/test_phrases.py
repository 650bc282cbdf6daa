import re

from teller.phrases import REPLY_WEIGHT, VALUE_WEIGHT, caller_sentences


def test_every_question_comes_first_once_and_whole():
    sentences = list(caller_sentences(["What's the APR?", "block my card"]))
    assert sentences[:2] == [(("what's", "the", "apr"), 1.0), (("block", "my", "card"), 1.0)]
    assert {weight for _, weight in sentences[2:]} == {REPLY_WEIGHT, VALUE_WEIGHT}


def test_short_replies_are_among_them():
    said = {" ".join(words): weight for words, weight in caller_sentences([])}
    for reply in ("yes", "no", "stop", "i don't know", "speak to a person"):
        assert said[reply] == REPLY_WEIGHT


def test_amounts_terms_rates_and_digits_are_said_in_words():
    said = [" ".join(words) for words, _ in caller_sentences([])]
    assert not any(re.search(r"[\d£%{}]", sentence) for sentence in said)
    for wanted in ("thousand pounds", "months", "years", "point", "percent", "ends in", "one year"):
        assert any(wanted in sentence for sentence in said), wanted


def test_the_same_questions_give_the_same_sentences():
    assert list(caller_sentences(["one"])) == list(caller_sentences(["one"]))
