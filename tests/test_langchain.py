"""The cache under LangChain's own interfaces, with its own fake models."""

from __future__ import annotations

import pytest

pytest.importorskip("langchain_core")

from langchain_core.caches import BaseCache
from langchain_core.language_models import FakeListChatModel, FakeListLLM
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, Generation

from teller.engines.scripted import ScriptedEmbedder
from teller.errors import EngineError
from teller.langchain import SemanticLLMCache

QUESTION = "What is the fee for paying abroad?"


@pytest.fixture
def cache(tmp_path):
    with SemanticLLMCache(tmp_path, embedder=ScriptedEmbedder(dim=384)) as opened:
        yield opened


def test_the_second_asking_of_a_model_is_answered_from_the_cache(cache):
    model = FakeListLLM(responses=["Three percent.", "another answer"], cache=cache)

    assert isinstance(cache, BaseCache)
    assert [model.invoke(QUESTION), model.invoke("what is the fee for paying abroad")] == ["Three percent."] * 2


async def test_async_and_sync_calls_share_what_is_kept(cache):
    model = FakeListLLM(responses=["Three percent.", "another answer"], cache=cache)

    assert await model.ainvoke(QUESTION) == "Three percent."
    assert model.invoke(QUESTION) == "Three percent."
    await cache.aclear()
    assert await model.ainvoke(QUESTION) == "another answer"


def test_another_model_or_temperature_is_another_partition(cache):
    cache.update(QUESTION, "model='a', temperature=0", [Generation(text="Three percent.")])

    assert cache.lookup(QUESTION, "model='a', temperature=1") is None
    assert cache.lookup(QUESTION, "model='a', temperature=0") == [Generation(text="Three percent.")]


def test_a_chat_model_is_answered_behind_the_same_system_message_only(cache):
    model = FakeListChatModel(responses=["one", "two", "three"], cache=cache)
    strict, kind = SystemMessage("Be strict."), SystemMessage("Be kind.")

    said = [model.invoke([system, HumanMessage(QUESTION)]).content for system in (strict, kind, strict)]

    assert said == ["one", "two", "one"]


def test_a_conversation_with_a_history_is_neither_kept_nor_looked_up(cache):
    model = FakeListChatModel(responses=["one", "two"], cache=cache)
    history = [HumanMessage("hello"), AIMessage("hello"), HumanMessage(QUESTION)]

    assert [model.invoke(history).content, model.invoke(history).content] == ["one", "two"]


@pytest.mark.parametrize(
    "generations",
    [
        [Generation(text="Three per", generation_info={"finish_reason": "length"})],
        [Generation(text="one"), Generation(text="two")],
        [Generation(text=" ")],
        [ChatGeneration(message=AIMessage("", tool_calls=[{"name": "fee", "args": {}, "id": "1"}]))],
        [ChatGeneration(message=AIMessage([{"type": "text", "text": "parts"}]))],
    ],
)
def test_what_is_not_one_whole_text_is_not_kept(cache, generations):
    cache.update(QUESTION, "model", generations)

    assert cache.lookup(QUESTION, "model") is None


def test_a_prompt_with_personal_data_is_not_kept(cache):
    cache.update("Is 4111 1111 1111 1111 a valid card?", "model", [Generation(text="Yes.")])

    assert cache.lookup("Is 4111 1111 1111 1111 a valid card?", "model") is None
    assert cache.lookup("Is 5500 0000 0000 0004 a valid card?", "model") is None


@pytest.mark.parametrize(("kept", "asked"), [("explain a-b", "explain a b"), ("what is 5-3", "what is 5 3")])
def test_prompts_that_differ_in_signs_alone_are_not_the_same(cache, kept, asked):
    cache.update(kept, "model", [Generation(text="kept")])

    assert cache.lookup(kept, "model") is not None
    assert cache.lookup(asked, "model") is None


def test_answers_outlive_the_process(tmp_path):
    with SemanticLLMCache(tmp_path, embedder=ScriptedEmbedder(dim=384)) as first:
        first.update(QUESTION, "model", [Generation(text="Three percent.")])
    with SemanticLLMCache(tmp_path, embedder=ScriptedEmbedder(dim=384)) as second:
        assert second.lookup(QUESTION, "model") == [Generation(text="Three percent.")]
    second.close()


def test_a_cache_that_fails_costs_a_model_call_and_says_so(tmp_path, caplog):
    embedder = ScriptedEmbedder(dim=384)
    with SemanticLLMCache(tmp_path, embedder=embedder) as cache:
        cache.update("How do I freeze my card?", "fake", [Generation(text="In the app.")])
        embedder.fault = EngineError("out of memory")
        cache.update(QUESTION, "fake", [Generation(text="Three percent.")])

        assert cache.lookup(QUESTION, "fake") is None
    assert "out of memory" in caplog.text


@pytest.mark.engine
def test_a_paraphrase_is_answered_and_a_negation_is_not(tmp_path):
    with SemanticLLMCache(tmp_path) as cache:
        cache.update("How do I freeze my card?", "model", [Generation(text="In the app.")])

        assert cache.lookup("how can I freeze my card?", "model") == [Generation(text="In the app.")]
        assert cache.lookup("how do I unfreeze my card?", "model") is None
