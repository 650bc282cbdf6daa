"""The toggle with a vLLM behind it, a scripted one: also when it dies or hangs."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from tests.adapters.adapter_stage import QUESTIONS, QUICK, TESTER, AdapterHome, eventually, new_call
from tests.vllm_server import VllmServer

from teller.engines.vllm_host import VllmHost, Waits
from teller.errors import EngineError

pytestmark = pytest.mark.engine


def host_of(server) -> VllmHost:
    return VllmHost(model="base", base_url=server.url, api_key=None, waits=Waits(load_s=5, unload_s=0.3, ask_s=5))


async def installed(home, server):
    """A version that says at this server what its manifest has."""

    async def said(folder):
        host = host_of(server)
        try:
            await host.load("probe@111111111111", folder)
            found = [await host.fingerprint(QUESTIONS, served) for served in (None, "probe@111111111111")]
            await host.unload("probe@111111111111")
        finally:
            await host.aclose()
        return found

    return await asyncio.to_thread(home.install, said=said)


@pytest.mark.parametrize("fault", ["dying", "hanging"])
async def test_disabling_waits_for_no_vllm_that_dies_or_hangs_and_it_is_unloaded_once_it_can_be(tmp_path, fault):
    home = AdapterHome(tmp_path)
    async with VllmServer() as vllm:
        one, host = await installed(home, vllm), host_of(vllm)
        async with home.server(host, is_shared=True, waits=replace(QUICK, load_s=20.0)) as server:
            await home.control(load_s=20.0).enable(one.served, TESTER)
            assert (server.serves(), list(vllm.adapters)) == (one.served, [one.served])
            call = new_call()
            call.pin = server.live.pin(call)
            getattr(vllm, fault).add("unload_lora_adapter")
            vllm.calls.clear()

            await home.control().disable(TESTER)

            assert "unload_lora_adapter" not in [path for path, _ in vllm.calls]
            assert (server.serves(), call.pin.served) == (None, one.served)
            call.pin = None
            await eventually(lambda: [path for path, _ in vllm.calls].count("unload_lora_adapter") > 1)  # and again
            assert list(vllm.adapters) == [one.served]
            getattr(vllm, fault).clear()
            await eventually(lambda: not vllm.adapters, within_s=30.0)
        await host.aclose()


async def test_a_vllm_that_takes_an_adapter_and_does_not_apply_it_changes_nothing(tmp_path):
    home = AdapterHome(tmp_path)
    async with VllmServer() as vllm:
        one, host = await installed(home, vllm), host_of(vllm)
        vllm.blind = True
        async with home.server(host, is_shared=True) as server:
            with pytest.raises(EngineError, match="not applied"):
                await home.control(load_s=20.0).enable(one.served, TESTER)
            assert server.serves() is None
        await host.aclose()
