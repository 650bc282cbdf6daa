"""What every Generator keeps."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.chat_server import ChatServer, answer, stream

from teller.engines.approved import ApprovedText
from teller.engines.mistral_api import MistralApi
from teller.engines.openai_chat import OpenAiChat
from teller.engines.peft_host import LocalModel
from teller.engines.scripted import ScriptedAdapterHost, ScriptedGenerator
from teller.ports import Generator, Message, Passage, Prompt
from teller.turn import DataClass

BEST = Passage("fees", "Fees", "The account is free, always. No card fee.", "1", DataClass.PUBLIC, (), 0.9)
OTHER = Passage("terms", "Terms", "See the terms.", "1", DataClass.PUBLIC, (), 0.2)
PROMPT = Prompt((Message("system", "Answer from the text."), Message("user", "What does it cost?")), (BEST, OTHER))


def local(_: int, made: Path) -> LocalModel:
    pytest.importorskip("peft")
    tiny_mistral = pytest.importorskip("tests.tiny_mistral")
    return LocalModel(tiny_mistral.base(made / "base", says=BEST.text), device="cpu")


def openai(port: int, _: Path) -> OpenAiChat:
    return OpenAiChat(model="base", base_url=f"http://127.0.0.1:{port}/v1", api_key=None)


def mistral(port: int, _: Path) -> MistralApi:
    return MistralApi(model="base", api_key="k", server_url=f"http://127.0.0.1:{port}")


ENGINES = [
    pytest.param(lambda *_: ScriptedGenerator(), id="scripted"),
    pytest.param(lambda *_: ScriptedAdapterHost(), id="scripted-adapters"),
    pytest.param(lambda *_: ApprovedText(), id="approved"),
    pytest.param(local, id="local", marks=pytest.mark.engine),
    pytest.param(openai, id="openai", marks=pytest.mark.engine),
    pytest.param(mistral, id="mistral", marks=pytest.mark.engine),
]


@pytest.fixture(params=ENGINES)
async def generator(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Generator]:
    make: Callable[[int, Path], Generator] = request.param
    pieces = ["The account is free,", " always.", " No card fee."]
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(ChatServer(*(stream(answer(*pieces)) for _ in range(3))))
        engine = make(server.port, tmp_path_factory.getbasetemp() / "tiny-mistral")
        if hasattr(engine, "aclose"):
            stack.push_async_callback(engine.aclose)
        yield engine


async def test_the_pieces_together_are_the_answer(generator):
    pieces = [piece async for piece in generator.generate(PROMPT)]
    assert len(pieces) > 1
    assert all(pieces)
    assert "".join(pieces) == BEST.text


async def test_the_first_piece_can_be_had_without_the_rest(generator):
    first = await anext(generator.generate(PROMPT))
    assert BEST.text.startswith(first)


async def test_answers_can_be_written_one_after_another(generator):
    for _ in range(2):
        assert "".join([piece async for piece in generator.generate(PROMPT)]) == BEST.text


def test_the_name_identifies_the_base_model(generator):
    assert generator.name
