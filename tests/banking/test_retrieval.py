"""Finding the approved answer, and owning up when there is none, with a scripted embedder."""

import numpy as np
import pytest

from teller.banking.knowledge import Approved
from teller.banking.retrieval import Knowledge, Tuning
from teller.engines.faiss_index import FaissIndex
from teller.engines.scripted import ScriptedEmbedder
from teller.ports import Asked
from teller.turn import Question

CARD = Approved(
    "cards.lost", "1-a", "Lost card", "Block the lost card in our app.", ("I lost my card", "my card is gone")
)
PIN = Approved("cards.pin", "1-b", "Forgotten PIN", "The PIN is in our app.", ("I forgot my PIN", "what is my PIN"))
STRANGE = ("what is the weather like", "who won the football")
NEAR = ("I lost my bus pass", "I lost my library card")


async def knowledge(*off_topic: str) -> Knowledge:
    found = Knowledge([CARD, PIN], ScriptedEmbedder(), FaissIndex, Tuning(off_topic=off_topic))
    await found.fill()
    return found


async def certainty(found: Knowledge, text: str) -> float:
    vector = (await ScriptedEmbedder().embed([text]))[0]
    return found.certainty(found.candidates(text, vector)[0])


async def test_the_answer_that_is_asked_for_like_this_comes_first():
    found = await knowledge(*STRANGE)

    assert next(p.answer_id for p in await found.search(Question("I lost my card"))) == CARD.id
    assert next(p.answer_id for p in await found.search(Question("I forgot my PIN"))) == PIN.id


async def test_what_nothing_covers_finds_nothing():
    assert await (await knowledge(*STRANGE)).search(Question("what is the weather like")) == ()


async def test_questions_that_the_bank_does_not_answer_vote_against_the_answers_that_are_near():
    asked = "I lost my library pass"

    assert await certainty(await knowledge(*STRANGE, *NEAR), asked) < await certainty(await knowledge(*STRANGE), asked)


async def test_a_way_of_asking_is_sure_even_beside_questions_that_the_bank_does_not_answer():
    assert await certainty(await knowledge(*STRANGE, *NEAR), "I lost my card") > 0.5


async def test_votes_of_answers_and_against_them_are_shares_of_what_is_near():
    found = await knowledge(*STRANGE, *NEAR)
    vector = (await ScriptedEmbedder().embed(["I lost my card"]))[0]
    candidates = found.candidates("I lost my card", vector)

    assert np.isclose(sum(c.votes for c in candidates) + candidates[0].elsewhere, 1, atol=0.35)
    assert candidates[0].elsewhere == candidates[1].elsewhere


async def test_without_questions_from_elsewhere_nothing_votes_against():
    found = await knowledge()
    vector = (await ScriptedEmbedder().embed(["I lost my card"]))[0]

    assert [(c.topic, c.elsewhere) for c in found.candidates("I lost my card", vector)] == [(0, 0), (0, 0)]


@pytest.mark.parametrize("text", ["", "   ", "?!"])
async def test_a_question_without_words_finds_nothing(text):
    assert await (await knowledge(*STRANGE)).search(Question(text)) == ()


async def test_a_question_that_leans_on_another_is_not_told_the_same_again():
    found = await knowledge(*STRANGE)
    leaning = await found.search(Question("and my PIN"), after=Asked("I lost my card", CARD.id))

    assert CARD.id not in [p.answer_id for p in leaning]


async def test_a_question_that_only_seems_to_lean_on_another_is_taken_by_itself():
    found, before = await knowledge(*STRANGE), Asked("weather football strange things", "cards.other")
    by_itself = await found.search(Question("what is my PIN"))

    assert await found.search(Question("what is my PIN"), after=before) == by_itself
    assert by_itself[0].answer_id == PIN.id


async def test_a_correction_is_asked_as_the_whole_question_that_it_puts_right():
    found = await knowledge(*STRANGE)
    corrected = await found.search(Question("no I meant the PIN"), after=Asked("what is the code", CARD.id))

    assert corrected == await found.search(Question("what is the PIN"))
    assert corrected[0].answer_id == PIN.id


async def test_what_is_taken_back_in_the_same_breath_is_not_searched_for():
    found = await knowledge(*STRANGE)
    said = "I lost my library card, no sorry, my card"

    assert await found.search(Question(said)) == await found.search(Question("I lost my card"))


async def test_of_answers_to_what_leans_on_another_the_ones_on_its_topic_come_first():
    twins = [
        Approved(f"{topic}.early", "1", "Early", "Repay it early in our app.", ("repay it early",))
        for topic in ("loans", "mortgages")
    ]
    found = Knowledge(twins, ScriptedEmbedder(), FaissIndex, Tuning(min_score=0.0))
    await found.fill()

    for topic in ("loans", "mortgages"):
        leaning = await found.search(Question("can I repay it early"), after=Asked("repay early", f"{topic}.rate"))
        assert leaning[0].answer_id == f"{topic}.early"
