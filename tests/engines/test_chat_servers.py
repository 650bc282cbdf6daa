"""MistralApi and OpenAiChat, through the vendors' own SDKs, against a server that speaks the protocol, and fails."""

import asyncio
import logging
import sys
from collections.abc import Callable
from contextlib import aclosing

import pytest
from tests.chat_server import ChatServer, answer, chunk, event, hang_up, silence, status, stream

from teller.engines.mistral_api import MistralApi
from teller.engines.openai_chat import OpenAiChat
from teller.errors import ConfigError, EngineError, EngineTimeout, EngineUnavailable
from teller.ports import Message, Passage, Prompt
from teller.streams import Limits
from teller.turn import DataClass

pytestmark = pytest.mark.engine
PASSAGE = Passage("fees", "Fees", "The account is free.", "1", DataClass.PUBLIC, (), 0.9)
PROMPT = Prompt((Message("system", "Be brief."), Message("user", "What does canary-7 cost?")), (PASSAGE,))
PATIENT, SHORT = Limits(first_s=20, stall_s=20), Limits(first_s=0.3, stall_s=0.3)
Make = Callable[..., MistralApi | OpenAiChat]


def mistral(port: int, limits: Limits = PATIENT) -> MistralApi:
    return MistralApi(model="base", api_key="key-1", server_url=f"http://127.0.0.1:{port}", limits=limits)


def openai(port: int, limits: Limits = PATIENT) -> OpenAiChat:
    return OpenAiChat(model="base", api_key="key-1", base_url=f"http://127.0.0.1:{port}/v1", limits=limits)


@pytest.fixture(params=[mistral, openai])
def make(request: pytest.FixtureRequest) -> Make:
    return request.param


async def ask(engine: MistralApi | OpenAiChat, adapter: str | None = None) -> list[str]:
    """The pieces of an answer."""
    try:
        return [piece async for piece in engine.generate(PROMPT, adapter=adapter)]
    finally:
        await engine.aclose()


async def test_an_answer_is_streamed_in_its_pieces(make):
    async with ChatServer(stream(answer("The account", " is", " free."))) as server:
        assert await ask(make(server.port)) == ["The account", " is", " free."]
    request = server.requests[0]
    assert request["model"] == "base"
    assert request["stream"] is True
    assert request["temperature"] == 0
    assert [(one["role"], one["content"]) for one in request["messages"]] == [
        ("system", "Be brief."),
        ("user", "What does canary-7 cost?"),
    ]
    assert "authorization: bearer key-1" in server.headers[0].lower()


async def test_pieces_come_while_the_answer_is_still_being_written(make):
    async with ChatServer(stream([chunk("The "), chunk("account")], then="stall")) as server:
        engine = make(server.port)
        async with aclosing(engine.generate(PROMPT)) as pieces:
            assert await anext(pieces) == "The "
        await engine.aclose()


async def test_whoever_stops_listening_hangs_up(make):
    async with ChatServer(stream([chunk("The ")], then="stall")) as server:
        engine = make(server.port)
        task = asyncio.ensure_future(ask(engine))
        await server.asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(server.hung_up.wait(), 20)


async def test_a_server_that_says_nothing_is_left_in_time(make):
    async with ChatServer(silence) as server:
        with pytest.raises(EngineTimeout, match=r"its first words within 0\.3 s"):
            await ask(make(server.port, SHORT))
    assert len(server.requests) == 1


async def test_events_without_words_are_no_signs_of_life(make):
    events = [chunk("", role="assistant"), b": keep-alive\n\n"]
    async with ChatServer(stream(events, then="stall")) as server:
        with pytest.raises(EngineTimeout, match="its first words"):
            await ask(make(server.port, SHORT))


async def test_a_stall_in_the_middle_is_an_error_and_is_not_asked_again(make):
    async with ChatServer(stream([chunk("The "), chunk("account")], then="stall")) as server:
        with pytest.raises(EngineTimeout, match=r"more of its answer within 0\.3 s"):
            await ask(make(server.port, SHORT))
    assert len(server.requests) == 1


@pytest.mark.parametrize("then", ["cut", "end"])
async def test_a_broken_off_answer_is_an_error_and_is_not_asked_again(make, then):
    async with ChatServer(stream([chunk("The account is not")], then=then)) as server:
        with pytest.raises(EngineError):
            await ask(make(server.port))
    assert len(server.requests) == 1


@pytest.mark.parametrize("finish", ["length", "content_filter"])
async def test_an_answer_that_ends_early_is_an_error(make, finish):
    async with ChatServer(stream(answer("The account is", finish=finish))) as server:
        with pytest.raises(EngineError, match=f"ended its answer early: {finish}"):
            await ask(make(server.port))


async def test_an_empty_answer_is_an_error(make):
    async with ChatServer(stream(answer(""))) as server:
        with pytest.raises(EngineError, match="empty answer"):
            await ask(make(server.port))


@pytest.mark.parametrize("code", [401, 403])
async def test_a_refused_key_says_so_and_is_not_tried_again(make, code):
    async with ChatServer(status(code)) as server:
        with pytest.raises(EngineUnavailable, match=f"refused the key \\(status {code}\\)"):
            await ask(make(server.port))
    assert len(server.requests) == 1


async def test_a_model_that_is_not_served_says_so(make):
    async with ChatServer(status(404)) as server:
        with pytest.raises(EngineUnavailable, match="does not serve this model"):
            await ask(make(server.port))


@pytest.mark.parametrize("fault", [status(429), status(500), status(503), hang_up])
async def test_a_passing_fault_before_the_first_words_is_tried_again(make, fault):
    async with ChatServer(fault, stream(answer("Free."))) as server:
        assert await ask(make(server.port)) == ["Free."]
    assert len(server.requests) == 2


async def test_a_lasting_fault_is_tried_no_more_often_than_allowed(make):
    async with ChatServer(*[status(429)] * 5) as server:
        with pytest.raises(EngineError, match="status 429") as caught:
            await ask(make(server.port, Limits(attempts=3)))
    assert caught.value.retryable
    assert len(server.requests) == 3


async def test_a_message_does_not_repeat_what_the_server_said_of_the_question(make):
    async with ChatServer(status(422, '{"detail": "What does canary-7 cost? is no valid question"}')) as server:
        with pytest.raises(EngineError, match="status 422") as caught:
            await ask(make(server.port))
    assert "canary-7" not in str(caught.value)


async def test_a_server_that_is_not_there_is_an_error(make):
    async with ChatServer() as server:
        pass
    with pytest.raises(EngineError, match="cannot be reached"):
        await ask(make(server.port, Limits(attempts=1)))


@pytest.mark.parametrize(
    "garbage",
    [
        event("{not json"),
        event('{"unexpected": true}'),
        event('{"id": "1", "model": "base", "choices": [{"delta": "x"}]}'),
        event("7"),
        b"data: \xff\xfe\n\n",
        event('{"error": {"message": "out of memory"}}'),
    ],
    ids=["not json", "other fields", "wrong types", "a number", "not utf-8", "an error object"],
)
async def test_garbage_in_the_stream_is_an_error(make, garbage):
    async with ChatServer(stream([garbage]), stream([garbage])) as server:
        with pytest.raises(EngineError):
            await ask(make(server.port))


async def test_a_page_instead_of_a_stream_is_an_error(make):
    async with ChatServer(status(200, "<html>Welcome to the proxy</html>")) as server:
        with pytest.raises(EngineError):
            await ask(make(server.port))


async def test_prompts_are_not_logged_even_at_debug(make, caplog, monkeypatch):
    monkeypatch.setenv("OPENAI_LOG", "debug")
    monkeypatch.setenv("MISTRAL_DEBUG", "1")
    with caplog.at_level(logging.DEBUG):
        async with ChatServer(status(500), stream(answer("Free."))) as server:
            await ask(make(server.port))
    assert "canary-7" not in caplog.text
    assert "key-1" not in caplog.text


async def test_an_adapter_is_asked_for_as_the_model():
    async with ChatServer(stream(answer("Free.", model="loans@0a1b"))) as server:
        assert await ask(openai(server.port), adapter="loans@0a1b") == ["Free."]
    assert server.requests[0]["model"] == "loans@0a1b"


@pytest.mark.parametrize("adapter", ["loans@0a1b", None])
async def test_another_model_than_was_asked_for_is_an_error_before_its_first_word(adapter):
    async with ChatServer(stream(answer("Free.", model="someone-else"))) as server:
        with pytest.raises(EngineError, match="'someone-else', asked was"):
            await ask(openai(server.port), adapter=adapter)


async def test_mistrals_api_refuses_adapters_without_asking():
    async with ChatServer() as server:
        with pytest.raises(EngineError, match="adapter loans@0a1b"):
            await ask(mistral(server.port), adapter="loans@0a1b")
    assert server.requests == []


async def test_of_mistrals_typed_pieces_only_text_is_said():
    pieces = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": "Free."}]
    async with ChatServer(stream([chunk(pieces), chunk("", finish="stop"), event("[DONE]")])) as server:
        assert await ask(mistral(server.port)) == ["Free."]


@pytest.mark.parametrize("key", [None, ""])
def test_a_missing_key_is_refused_on_construction(key, monkeypatch):
    monkeypatch.setenv("MISTRAL_API_KEY", "from the environment")
    monkeypatch.setenv("OPENAI_API_KEY", "from the environment")
    with pytest.raises(EngineUnavailable, match="TELLER_MISTRAL_API_KEY"):
        MistralApi(model="base", api_key=key)
    with pytest.raises(EngineUnavailable, match="TELLER_OPENAI_API_KEY"):
        OpenAiChat(model="base", base_url="https://models.bank.example/v1", api_key=key)


async def test_a_server_on_this_machine_needs_no_key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "from-the-environment")
    async with ChatServer(stream(answer("Free."))) as server:
        engine = OpenAiChat(model="base", base_url=f"http://127.0.0.1:{server.port}/v1", api_key=None)
        assert await ask(engine) == ["Free."]
    assert "from-the-environment" not in server.headers[0]


@pytest.mark.parametrize("address", ["", "models.bank.example", "ftp://models.bank.example"])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(ConfigError):
        OpenAiChat(model="base", base_url=address, api_key="k")


def test_a_missing_sdk_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    monkeypatch.setitem(sys.modules, "mistralai.client", None)
    with pytest.raises(EngineUnavailable, match=r"teller\[openai\]"):
        OpenAiChat(model="base", base_url="http://localhost/v1", api_key="k")
    with pytest.raises(EngineUnavailable, match=r"teller\[mistral\]"):
        MistralApi(model="base", api_key="k")
