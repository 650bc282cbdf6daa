"""The contract of adapter hosts, and toggles under load, on a real vLLM on the CPU (`make test-vllm`)."""

import asyncio
import os

import pytest
from tests import real_vllm, tiny_mistral
from tests.contracts.test_adapter_host import *  # noqa: F403  (every test of the contract, on the stage of this file)
from tests.contracts.test_adapter_host import ONE, PROMPT, TWO, Stage, said
from tests.vllm_server import ServedByVllm

from teller.errors import EngineError, InputError

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]
# More than there are loads in this file. With 4 slots, two tests fail: the base model's answers change in the middle.
_SLOTS = 128


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    return tmp_path_factory.getbasetemp() / "tiny-mistral"


@pytest.fixture(scope="session")
def base(made):
    return tiny_mistral.base(made / "base")


@pytest.fixture(scope="session")
def url(base, tmp_path_factory):
    log = tmp_path_factory.mktemp("vllm") / "log"
    with real_vllm.serving(os.environ["TELLER_VLLM_PYTHON"], base, log, slots=_SLOTS) as url:
        yield url


@pytest.fixture
async def stage(url, made, base):
    async with ServedByVllm(url, base) as host:
        yield Stage(host, **tiny_mistral.stage(made, base))
        for served in await host.resident():
            await host.unload(served)


async def test_the_models_say_their_sentences(stage):
    await stage.host.load(ONE, stage.one)
    await stage.host.load(TWO, stage.two)
    found = [await said(stage.host, adapter) for adapter in (None, ONE, TWO)]
    assert found == [tiny_mistral.BASE_SAYS, *tiny_mistral.SAYS[:2]]


async def test_the_fingerprint_is_that_of_the_local_model_but_for_bfloat16(stage, base):
    from teller.engines.peft_host import LocalModel

    local = LocalModel(base, device="cpu")
    for host in (local, stage.host):
        await host.load(ONE, stage.one)
    for adapter in (None, ONE):
        mine, theirs = [await host.fingerprint(["Hours?", "Fees?"], adapter) for host in (local, stage.host)]
        assert mine.tokens == theirs.tokens
        for one, other in zip(mine.logprobs, theirs.logprobs, strict=True):
            assert one == pytest.approx(other, abs=0.1)
    await local.aclose()


async def test_toggles_under_load_drop_nothing_and_mix_nothing(stage):
    versions = {ONE: (stage.one, tiny_mistral.SAYS[0]), TWO: (stage.two, tiny_mistral.SAYS[1])}
    live: list[str | None] = [None]
    wanted = {None: tiny_mistral.BASE_SAYS, **{name: says for name, (_, says) in versions.items()}}
    answers: list[bool] = []
    writing: dict[str | None, int] = dict.fromkeys(wanted, 0)
    ended = asyncio.Condition()

    async def call():
        while live:
            adapter = live[0]
            writing[adapter] += 1
            answers.append(await said(stage.host, adapter) == wanted[adapter])
            async with ended:
                writing[adapter] -= 1
                ended.notify_all()

    async def toggle():
        for n in range(6):
            served = (ONE, TWO)[n % 2]
            await stage.host.load(served, versions[served][0])
            old, live[0] = live[0], served
            async with ended:
                await ended.wait_for(lambda old=old: not writing[old])
            if old:
                await stage.host.unload(old)
        live.clear()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(toggle())
        for _ in range(4):
            tasks.create_task(call())
    assert len(answers) > 6
    assert all(answers)


async def test_the_rank_that_the_server_has_no_room_for_is_refused(stage, tmp_path):
    high = tiny_mistral.rewritten(
        tmp_path / "high",
        stage.one,
        lambda tensors: {
            name: (one.repeat(4, 1) if "lora_A" in name else one.repeat(1, 4)).contiguous()
            for name, one in tensors.items()
        },
    )
    config = (high / "adapter_config.json").read_text()
    (high / "adapter_config.json").write_text(config.replace('"r": 16', '"r": 64'))
    with pytest.raises(EngineError, match="greater than max_lora_rank"):
        await stage.host.load(ONE, high)


async def test_an_adapter_with_nan_never_reaches_the_server(stage, tmp_path):
    broken = tiny_mistral.rewritten(
        tmp_path / "nan", stage.one, lambda tensors: {name: one * float("nan") for name, one in tensors.items()}
    )
    with pytest.raises(InputError):
        await stage.host.load(ONE, broken)
    assert await said(stage.host, None, PROMPT) == tiny_mistral.BASE_SAYS
