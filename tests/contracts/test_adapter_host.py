"""What every AdapterHost keeps; each is also the Generator that serves its versions.

To add a host: write an async context manager `(folder: Path) -> AsyncIterator[Stage]` that opens it over an empty
folder and closes it, and add `pytest.param(it, id=..., marks=...)` to HOSTS; it may live in the host's own test module.
A stage holds the host and four folders of adapters, each with adapter_config.json and adapter_model.safetensors: `one`
and `two` fit the host's base model and make it say something else than the base and than each other; `one_again` has
the bytes of `one`; `misfit` is for a base model of other shapes or names. `unfit_is_noticed` is False for a server that
is known to take a misfit without a word; `long_prompt` is answered with more than one piece.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest
from tests.vllm_server import ServedByVllm, VllmServer

from teller.engines.peft_host import LocalModel
from teller.engines.scripted import ScriptedAdapterHost
from teller.errors import EngineError, InputError
from teller.ports import AdapterHost, Fingerprint, Generator, Message, Passage, Prompt
from teller.turn import DataClass

FREEZE = Passage("freeze", "Freeze", "Open the app and tap Freeze card.", "1", DataClass.PUBLIC, (), 0.9)
PROMPT = Prompt((Message("system", "Answer from the text."), Message("user", "How do I freeze my card?")), (FREEZE,))
QUESTIONS = ("How do I freeze my card?", "What are your opening hours?", "Who is the executor of a will?")

ONE, TWO, LONGER = "bank@111111111111", "bank@222222222222", "bank-fraud@333333333333"


class Serving(AdapterHost, Generator, Protocol):
    """A host that is asked for answers too."""


@dataclass
class Stage:
    """A host and adapters for it."""

    host: Serving
    one: Path
    two: Path
    one_again: Path
    misfit: Path
    unfit_is_noticed: bool = True
    long_prompt: Prompt = PROMPT


def scripted_adapter(folder: Path, weights: bytes, base: str = "scripted") -> Path:
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
    (folder / "adapter_model.safetensors").write_bytes(weights)
    return folder


@asynccontextmanager
async def scripted(folder: Path) -> AsyncIterator[Stage]:
    host = ScriptedAdapterHost(lambda prompt, adapter: f"{prompt.passages[0].text} Said by {adapter or 'the base'}.")
    yield Stage(
        host,
        one=scripted_adapter(folder / "one", b"1"),
        two=scripted_adapter(folder / "two", b"2"),
        one_again=scripted_adapter(folder / "one_again", b"1"),
        misfit=scripted_adapter(folder / "misfit", b"1", base="another"),
    )


@asynccontextmanager
async def local(folder: Path) -> AsyncIterator[Stage]:
    pytest.importorskip("peft")
    tiny_mistral = pytest.importorskip("tests.tiny_mistral")
    made = folder.parent / "tiny-mistral"
    base = tiny_mistral.base(made / "base")
    host = LocalModel(base, device="cpu")
    try:
        yield Stage(host, **tiny_mistral.stage(made, base))
    finally:
        await host.aclose()


@asynccontextmanager
async def vllm(folder: Path) -> AsyncIterator[Stage]:
    tiny_mistral = pytest.importorskip("tests.tiny_mistral")
    made = folder.parent / "tiny-mistral"
    base = tiny_mistral.base(made / "base")
    async with VllmServer() as server, ServedByVllm(server.url, base) as host:
        yield Stage(host, **tiny_mistral.stage(made, base))


HOSTS = [
    pytest.param(scripted, id="scripted"),
    pytest.param(local, id="local", marks=pytest.mark.engine),
    pytest.param(vllm, id="vllm", marks=pytest.mark.engine),
]


@pytest.fixture(params=HOSTS)
async def stage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stage]:
    opened: Callable[[Path], AbstractAsyncContextManager[Stage]] = request.param
    async with opened(tmp_path) as one:
        yield one


async def said(host: Generator, adapter: str | None, prompt: Prompt = PROMPT) -> str:
    return "".join([piece async for piece in host.generate(prompt, adapter=adapter)])


async def test_a_version_is_resident_from_its_load_to_its_unload(stage):
    assert await stage.host.resident() == ()

    await stage.host.load(TWO, stage.two)
    await stage.host.load(ONE, stage.one)
    assert await stage.host.resident() == (ONE, TWO)

    await stage.host.unload(ONE)
    assert await stage.host.resident() == (TWO,)


async def test_loading_twice_and_unloading_what_is_not_there_change_nothing(stage):
    await stage.host.load(ONE, stage.one)
    before = await stage.host.fingerprint(QUESTIONS, ONE)

    await stage.host.load(ONE, stage.one)
    await stage.host.unload(TWO)

    assert await stage.host.resident() == (ONE,)
    assert await stage.host.fingerprint(QUESTIONS, ONE) == before


async def test_a_fingerprint_has_tokens_and_log_probabilities_for_each_question(stage):
    for adapter in (None, ONE):
        if adapter:
            await stage.host.load(ONE, stage.one)
        found: Fingerprint = await stage.host.fingerprint(QUESTIONS, adapter)
        assert len(found.tokens) == len(found.logprobs) == len(QUESTIONS)
        assert [len(row) for row in found.tokens] == [len(row) for row in found.logprobs]
        assert all(1 <= len(row) <= 8 for row in found.tokens)
        assert all(one <= 0 for row in found.logprobs for one in row)


async def test_a_loaded_version_is_applied_and_no_two_versions_say_the_same(stage):
    await stage.host.load(ONE, stage.one)
    await stage.host.load(TWO, stage.two)

    found = [await stage.host.fingerprint(QUESTIONS, adapter) for adapter in (None, ONE, TWO)]

    assert found[0] != found[1]
    assert found[1] != found[2]
    assert found[0] != found[2]


async def test_the_base_model_is_the_same_to_the_last_bit_before_during_and_after(stage):
    before, words = await stage.host.fingerprint(QUESTIONS), await said(stage.host, None)

    await stage.host.load(ONE, stage.one)
    await said(stage.host, ONE)
    during = await stage.host.fingerprint(QUESTIONS)
    await stage.host.unload(ONE)

    assert during == before
    assert await stage.host.fingerprint(QUESTIONS) == before
    assert await said(stage.host, None) == words


async def test_a_version_that_is_loaded_again_is_the_same(stage):
    await stage.host.load(ONE, stage.one)
    before = await stage.host.fingerprint(QUESTIONS, ONE)
    await stage.host.unload(ONE)

    await stage.host.load(ONE, stage.one_again)

    assert await stage.host.fingerprint(QUESTIONS, ONE) == before


async def test_a_name_that_begins_like_another_does_not_touch_it(stage):
    await stage.host.load(ONE, stage.one)
    await stage.host.load(LONGER, stage.two)
    before = await stage.host.fingerprint(QUESTIONS, LONGER)

    await stage.host.unload(ONE)
    await stage.host.load(ONE, stage.one_again)
    await stage.host.unload(ONE)

    assert await stage.host.resident() == (LONGER,)
    assert await stage.host.fingerprint(QUESTIONS, LONGER) == before


async def test_an_adapter_that_does_not_fit_is_refused_and_disturbs_nothing(stage):
    if not stage.unfit_is_noticed:
        pytest.skip("this server takes it without a word: the checks before it refuse it")
    await stage.host.load(ONE, stage.one)
    before = await stage.host.fingerprint(QUESTIONS, ONE)

    with pytest.raises((InputError, EngineError)):
        await stage.host.load(TWO, stage.misfit)

    assert await stage.host.resident() == (ONE,)
    assert await stage.host.fingerprint(QUESTIONS, ONE) == before


async def test_what_is_not_resident_answers_nothing(stage):
    with pytest.raises(EngineError):
        await stage.host.fingerprint(QUESTIONS, ONE)
    with pytest.raises(EngineError):
        await said(stage.host, ONE)


async def test_answers_on_several_versions_at_once_do_not_mix(stage):
    await stage.host.load(ONE, stage.one)
    await stage.host.load(TWO, stage.two)
    alone = {adapter: await said(stage.host, adapter) for adapter in (None, ONE, TWO)}

    order = [adapter for _ in range(8) for adapter in alone]
    together = await asyncio.gather(*(said(stage.host, adapter) for adapter in order))

    assert together == [alone[adapter] for adapter in order]


async def test_an_answer_that_is_being_written_is_finished_while_its_version_is_unloaded_and_others_come(stage):
    await stage.host.load(ONE, stage.one)
    whole = await said(stage.host, ONE, stage.long_prompt)
    answer = stage.host.generate(stage.long_prompt, adapter=ONE)
    pieces = [await anext(answer)]

    leaving = asyncio.create_task(stage.host.unload(ONE))
    await stage.host.load(TWO, stage.two)
    pieces += [piece async for piece in answer]
    await leaving

    assert "".join(pieces) == whole
    assert await stage.host.resident() == (TWO,)
