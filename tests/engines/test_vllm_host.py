"""What VllmHost makes of a server that refuses, lies, hangs or dies."""

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.vllm_server import VllmServer

from teller.adapters.manifest import digest_of
from teller.adapters.tensors import tensor_digests
from teller.engines.vllm_host import VllmHost, Waits
from teller.errors import ConfigError, EngineError, EngineTimeout, EngineUnavailable, InputError

tiny_mistral = pytest.importorskip("tests.tiny_mistral")

pytestmark = pytest.mark.engine
ONE, TWO = "bank@111111111111", "bank@222222222222"
# Only what hangs has a short wait, for the rest may take long on a busy machine.
HASTY = {
    "unload_lora_adapter": Waits(unload_s=0.3),
    "load_lora_adapter": Waits(load_s=0.3),
    "chat/completions": Waits(ask_s=2),
    "models": Waits(ask_s=0.3),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return tmp_path_factory.getbasetemp() / "tiny-mistral"


@pytest.fixture(scope="module")
def base(made):
    return tiny_mistral.base(made / "base")


@pytest.fixture(scope="module")
def adapters(made, base):
    return tiny_mistral.stage(made, base)


@pytest.fixture
async def server():
    async with VllmServer() as one:
        yield one


@pytest.fixture
async def host(server, base):
    opened = VllmHost(model="base", base_url=server.url, api_key=None, base_folder=base)
    yield opened
    await opened.aclose()


def asked_to(server, path):
    return [body for one, body in server.calls if one == path]


async def test_a_version_is_loaded_by_its_absolute_path_never_in_place_and_asked_once(server, host, adapters):
    await host.load(ONE, adapters["one"])
    assert asked_to(server, "load_lora_adapter") == [{"lora_name": ONE, "lora_path": str(adapters["one"])}]
    probe = asked_to(server, "chat/completions")[-1]
    assert (probe["model"], probe["temperature"]) == (ONE, 0)


@pytest.mark.parametrize("name", ["bank", "bank@12", "../x@111111111111", "Bank@111111111111", "bank@111111111111\n"])
async def test_a_name_that_is_no_version_is_never_sent(server, host, adapters, name):
    with pytest.raises(InputError, match="is not like banking-lora@3f2a91c0b7de"):
        await host.load(name, adapters["one"])
    assert server.calls == []


async def test_a_relative_path_which_vllm_would_fetch_from_a_hub_is_never_sent(server, host):
    with pytest.raises(InputError, match="not an absolute path"):
        await host.load(ONE, Path("bank") / "one")
    assert server.calls == []


@pytest.mark.parametrize("which", ["prefix", "partial", "half", "shape", "nan", "missing"])
async def test_what_vllm_would_take_without_a_word_is_not_sent(server, host, adapters, tmp_path, which):
    def change(tensors):
        return {
            "prefix": lambda: {name.replace("model.model.", "model."): one for name, one in tensors.items()},
            "partial": lambda: {name: one for name, one in tensors.items() if ".layers.0." in name},
            "half": lambda: {name: one for name, one in tensors.items() if "lora_A" in name},
            "shape": lambda: {
                name: one[:, :8].contiguous() if "lora_A" in name else one for name, one in tensors.items()
            },
            "nan": lambda: {name: one * float("nan") for name, one in tensors.items()},
            "missing": lambda: tensors,
        }[which]()

    broken = tiny_mistral.rewritten(tmp_path / "broken", adapters["one"], change)
    if which == "missing":
        shutil.rmtree(broken)
    with pytest.raises(InputError):
        await host.load(ONE, broken)
    assert asked_to(server, "load_lora_adapter") == []


async def test_a_version_that_another_folder_gave_is_not_taken_for_this_one(server, host, adapters):
    await host.load(ONE, adapters["one"])
    with pytest.raises(EngineError, match="from another folder"):
        await host.load(ONE, adapters["two"])
    assert server.adapters == {ONE: str(adapters["one"])}


async def test_a_version_that_is_not_listed_after_it_was_loaded_is_an_error(server, host, adapters):
    server.deaf = True
    with pytest.raises(EngineError, match="does not list it"):
        await host.load(ONE, adapters["one"])


async def test_a_server_that_answers_with_another_model_is_believed_nothing(server, host, adapters):
    server.echo = "base"
    with pytest.raises(EngineError, match="answered with model 'base', asked was 'bank@111111111111'"):
        await host.load(ONE, adapters["one"])
    assert server.adapters == {}  # it was taken off again


async def test_a_server_that_does_not_apply_a_version_shows_it_in_the_fingerprint(server, host, adapters):
    server.blind = True
    await host.load(ONE, adapters["one"])
    assert await host.fingerprint(["Hours?"], ONE) == await host.fingerprint(["Hours?"])
    server.blind = False
    assert await host.fingerprint(["Hours?"], ONE) != await host.fingerprint(["Hours?"])


async def test_a_hanging_unload_ends_in_its_time_and_holds_nobody_up(server, adapters):
    host = VllmHost(model="base", base_url=server.url, api_key=None, waits=HASTY["unload_lora_adapter"])
    await host.load(ONE, adapters["one"])
    server.hanging.add("unload_lora_adapter")
    leaving = asyncio.create_task(host.unload(ONE))
    await asyncio.sleep(0)
    await host.load(TWO, adapters["two"])
    assert len((await host.fingerprint(["Hours?"], ONE)).tokens[0]) == 8
    with pytest.raises(EngineTimeout, match=r"unload an adapter .* within 0\.3 s"):
        await leaving
    await host.aclose()


@pytest.mark.parametrize("path", ["load_lora_adapter", "chat/completions", "models"])
async def test_a_hanging_load_ends_in_its_time_and_the_version_is_not_left_there(server, adapters, path):
    host = VllmHost(model="base", base_url=server.url, api_key=None, waits=HASTY[path])
    server.hanging.add(path)
    with pytest.raises(EngineTimeout):
        await host.load(ONE, adapters["one"])
    assert server.adapters == {}
    await host.aclose()


@pytest.mark.parametrize("path", ["load_lora_adapter", "chat/completions", "models"])
async def test_a_server_that_dies_in_the_middle_is_an_error(server, host, adapters, path):
    server.dying.add(path)
    with pytest.raises(EngineError, match="cannot be reached, or the connection broke"):
        await host.load(ONE, adapters["one"])


async def test_a_dead_server_is_an_error(adapters):
    async with VllmServer() as server:
        host = VllmHost(model="base", base_url=server.url, api_key=None)
    for asked in (host.resident(), host.load(ONE, adapters["one"]), host.unload(ONE), host.fingerprint(["Hours?"])):
        with pytest.raises(EngineError, match="cannot be reached"):
            await asked
    await host.aclose()


async def test_a_refusal_says_what_the_server_said(host, adapters, tmp_path):
    high = tiny_mistral.rewritten(
        tmp_path / "high",
        adapters["one"],
        lambda tensors: {
            name: (one.repeat(4, 1) if "lora_A" in name else one.repeat(1, 4)) for name, one in tensors.items()
        },
    )
    config = (high / "adapter_config.json").read_text()
    (high / "adapter_config.json").write_text(config.replace('"r": 16', '"r": 64'))
    with pytest.raises(EngineError, match="LoRA rank 64 is greater than max_lora_rank 32"):
        await host.load(ONE, high)


async def test_a_server_without_runtime_updates_says_how_to_start_it(server, host, adapters):
    server.can_update = False
    with pytest.raises(EngineUnavailable, match="VLLM_ALLOW_RUNTIME_LORA_UPDATING=1"):
        await host.load(ONE, adapters["one"])


async def test_another_base_model_is_unavailable(server):
    host = VllmHost(model="mistral", base_url=server.url, api_key=None)
    with pytest.raises(EngineUnavailable, match="does not serve the base model 'mistral'"):
        await host.resident()
    await host.aclose()


async def test_the_key_is_sent_and_a_wrong_one_is_unavailable(adapters):
    async with VllmServer(key="right") as server:
        for key, fits in (("right", True), ("wrong", False)):
            host = VllmHost(model="base", base_url=server.url, api_key=key)
            if fits:
                await host.load(ONE, adapters["one"])
            else:
                for asked in (host.resident(), host.unload(ONE)):
                    with pytest.raises(EngineUnavailable, match="refused the key"):
                        await asked
            await host.aclose()


async def test_the_base_digest_is_that_of_the_folder_or_unknown(server, host, base):
    assert host.base_digest == digest_of(tensor_digests(base))
    assert VllmHost(model="base", base_url=server.url, api_key=None).base_digest == ""


def test_what_cannot_work_is_told_at_the_start(tmp_path):
    with pytest.raises(ConfigError, match="like http"):
        VllmHost(model="base", base_url="localhost", api_key=None)
    with pytest.raises(ConfigError, match="Port could not be cast"):
        VllmHost(model="base", base_url="http://127.0.0.1:eight/v1", api_key=None)
    with pytest.raises(EngineUnavailable, match="folder cannot be read"):
        VllmHost(model="base", base_url="http://127.0.0.1:1/v1", api_key=None, base_folder=tmp_path)


def test_without_the_sdk_the_extra_is_named():
    program = (
        "import sys; sys.modules['openai'] = None\n"
        "from teller.engines.vllm_host import VllmHost\n"
        "try: VllmHost(model='base', base_url='http://127.0.0.1:1/v1', api_key=None)\n"
        "except Exception as exc: print(type(exc).__name__, exc)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("EngineUnavailable")
    assert "pip install 'teller[openai]'" in done.stdout
