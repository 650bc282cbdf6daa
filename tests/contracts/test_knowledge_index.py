"""What every KnowledgeIndex keeps."""

from collections.abc import Awaitable, Callable

import pytest

from teller.banking.knowledge import Approved
from teller.banking.retrieval import Knowledge, Tuning
from teller.engines.scripted import ScriptedEmbedder, ScriptedIndex, ScriptedKnowledge
from teller.ports import KnowledgeIndex, Passage
from teller.turn import DataClass, Question

ENTRIES = (
    Approved("card.block", "v1", "Block a card", "Your card can be blocked in the app.", ("How do I block my card?",)),
    Approved("hours", "v2", "Opening hours", "We are open from 9 to 5.", ("When are you open?", "opening hours")),
)


async def scripted() -> KnowledgeIndex:
    filed = {
        ask: [Passage(entry.id, entry.title, entry.text, entry.version, DataClass.PUBLIC, (), 0.9)]
        for entry in ENTRIES
        for ask in entry.asks
    }
    return ScriptedKnowledge(filed, version="some")


async def bank() -> KnowledgeIndex:
    knowledge = Knowledge(ENTRIES, ScriptedEmbedder(), ScriptedIndex, Tuning())
    await knowledge.fill()
    return knowledge


@pytest.fixture(params=[scripted, bank])
async def knowledge(request: pytest.FixtureRequest) -> KnowledgeIndex:
    make: Callable[[], Awaitable[KnowledgeIndex]] = request.param
    return await make()


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
async def test_what_is_asked_word_for_word_is_found(knowledge, entry):
    for ask in entry.asks:
        best = (await knowledge.search(Question(ask)))[0]
        assert (best.answer_id, best.text, best.version) == (entry.id, entry.text, entry.version)


async def test_passages_come_best_first_within_the_limit(knowledge):
    passages = await knowledge.search(Question("When are you open?"), limit=1)
    assert len(passages) == 1
    scores = [passage.score for passage in await knowledge.search(Question("When are you open?"))]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


async def test_nothing_is_found_for_what_nothing_covers(knowledge):
    assert await knowledge.search(Question("zxqv jkwp")) == ()


def test_it_has_a_version(knowledge):
    assert knowledge.version
