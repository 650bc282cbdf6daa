import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from teller.errors import InputError
from teller.ngrams import END, START, NgramModel

WORDS = ("block", "my", "card", "the", "pin", "please", "lost")


def uniform(word: str, after: str | None = None) -> float:  # noqa: ARG001
    return 1 / (len(WORDS) + 1)


def chatty(word: str, after: str | None = None) -> float:
    """A general model that knows "the card" and little else."""
    return 0.9 if (after, word) == ("the", "card") else 0.01


SENTENCES = st.lists(
    st.tuples(st.lists(st.sampled_from([*WORDS, "unknown"]), max_size=7), st.floats(0.01, 3)), min_size=1, max_size=12
).filter(lambda sentences: any(set(words) & set(WORDS) for words, _ in sentences))
PRIORS = st.sampled_from([uniform, chatty])
COMMON = st.sampled_from([(), WORDS, ("the", "card")])


def model(*sentences: str, common: tuple[str, ...] = WORDS, prior=uniform) -> NgramModel:
    return NgramModel([(sentence.split(), 1.0) for sentence in sentences], WORDS, common, prior)


@given(SENTENCES, COMMON, PRIORS)
@example([(["block", "block"], 2.0), (["block"] * 5 + ["the", "block"], 1.0), (["the"], 0.5)], WORDS, chatty)
def test_what_may_come_next_sums_to_one_after_anything(sentences, common, prior):
    trained = NgramModel(sentences, WORDS, common, prior)
    histories = [(), *((word,) for word in (START, *WORDS)), *((a, b) for a in (START, *WORDS) for b in WORDS)]
    for before in histories:
        shares = [trained.probability(word, *before) for word in (*WORDS, END)]
        assert min(shares) >= 0
        assert sum(shares) == pytest.approx(1, abs=1e-6), before


@given(SENTENCES, COMMON, PRIORS)
def test_the_file_says_what_the_model_says(sentences, common, prior):
    trained = NgramModel(sentences, WORDS, common, prior)
    grams, backoffs, sizes = read_arpa("\n".join(trained.arpa()))
    assert sizes == [sum(len(gram) == n for gram in grams) for n in (1, 2, 3)]
    for gram, log10 in grams.items():
        if gram != (START,):
            assert log10 == pytest.approx(math.log10(max(1e-10, trained.probability(gram[-1], *gram[:-1]))), abs=1e-3)
    for first in (START, *WORDS):
        for second in WORDS:
            for word in (*WORDS, END):
                wanted = trained.probability(word, first, second)
                assert looked_up(grams, backoffs, (first, second, word)) == pytest.approx(wanted, rel=0.01, abs=1e-6)


def read_arpa(text: str) -> tuple[dict[tuple[str, ...], float], dict[tuple[str, ...], float], list[int]]:
    grams, backoffs, sizes, order = {}, {}, [], 0
    for line in text.splitlines():
        if line.startswith("ngram "):
            sizes.append(int(line.split("=")[1]))
        elif line.endswith("-grams:"):
            order = int(line[1])
        elif order and line and not line.startswith("\\"):
            log10, *rest = line.split()
            grams[tuple(rest[:order])] = float(log10)
            backoffs[tuple(rest[:order])] = float(rest[order]) if len(rest) > order else 0.0
    return grams, backoffs, sizes


def looked_up(grams, backoffs, gram: tuple[str, ...]) -> float:
    """As the ARPA format defines it."""
    if gram in grams:
        return 10 ** grams[gram]
    return 10 ** backoffs.get(gram[:-1], 0.0) * looked_up(grams, backoffs, gram[1:])


def test_what_was_asked_is_likelier_than_what_was_not():
    trained = model("block my card", "block my card please", "lost my pin")
    assert trained.probability("card", "block", "my") > trained.probability("pin", "block", "my")
    assert trained.probability("pin", "block", "my") > trained.probability("the", "block", "my")
    assert trained.probability("block", START) > trained.probability("card", START)


def test_a_heavier_sentence_counts_for_more():
    light, heavy = [
        NgramModel([(("my", "card"), 1.0), (("my", "pin"), weight)], WORDS, (), uniform).probability("pin", "my")
        for weight in (0.1, 2.0)
    ]
    assert heavy > light


def test_the_general_model_fills_in_what_no_sentence_has():
    knows = model("lost my card", prior=chatty)
    assert knows.probability("card", "the") > 3 * knows.probability("pin", "the")
    does_not_look = model("lost my card", prior=chatty, common=())
    assert does_not_look.probability("card", "the") < knows.probability("card", "the")


def test_words_outside_the_vocabulary_are_left_out():
    assert model("block my xyzzy card").probability("card", "block", "my") > 0.3


@pytest.mark.parametrize("sentences", [[], ["xyzzy"], [""]])
def test_sentences_without_known_words_are_refused(sentences):
    with pytest.raises(InputError, match="at least one sentence"):
        model(*sentences)
