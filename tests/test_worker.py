import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from teller.errors import EngineError, EngineTimeout, EngineUnavailable
from teller.worker import Worker

ECHO = """
import sys, time
from teller.worker import Refused, serve

def answer(request):
    print("a library prints this")
    if request == b"no":
        raise Refused("it was asked not to")
    if request == b"wait":
        time.sleep(60)
    if request == b"die":
        sys.exit(3)
    return request * 2

def open_echo():
    with open("started", "a") as file:
        file.write("x")
    if "refuse" in sys.argv:
        raise Refused("there is no model")
    return b"hello " + " ".join(sys.argv[1:]).encode(), answer

sys.exit(serve(open_echo))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "echo_worker.py").write_text(ECHO)
    (tmp_path / "mute_worker.py").write_text("import time; time.sleep(60)")
    noisy = "import time; print('no greeting of ours at all', flush=True); time.sleep(60)"
    (tmp_path / "noisy_worker.py").write_text(noisy)
    (tmp_path / "broken_worker.py").write_text("raise RuntimeError")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


@asynccontextmanager
async def open_worker(module: str = "echo_worker", *arguments: str, timeout_s: float = 10.0):
    worker = Worker("the echo", module, arguments, timeout_s=timeout_s)
    try:
        yield worker
    finally:
        await worker.aclose()


def is_running(pid: int) -> bool:
    """Neither gone nor a zombie."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def starts(folder: Path) -> int:
    return len((folder / "started").read_text())


@pytest.mark.parametrize("request_", [b"", b"x", b"\x00\xff" * 200_000])
async def test_a_request_gets_its_answer(folder, request_):
    async with open_worker() as worker:
        assert await worker.ask(request_) == request_ * 2
    assert starts(folder) == 1


async def test_the_greeting_comes_without_a_request_and_is_kept(folder):
    async with open_worker("echo_worker", "en", "165") as worker:
        assert await worker.greet() == b"hello en 165"
        assert await worker.greet() == b"hello en 165"
    assert starts(folder) == 1


async def test_many_askers_get_their_own_answers(folder):
    requests = [str(n).encode() for n in range(50)]
    async with open_worker() as worker:
        answers = await asyncio.gather(*map(worker.ask, requests))
    assert answers == [request * 2 for request in requests]
    assert starts(folder) == 1


async def test_a_refusal_is_an_error_and_the_process_goes_on(folder):
    async with open_worker() as worker:
        with pytest.raises(EngineError, match="the echo: it was asked not to"):
            await worker.ask(b"no")
        assert await worker.ask(b"x") == b"xx"
    assert starts(folder) == 1


async def test_a_process_that_was_killed_is_replaced_at_once(folder):
    async with open_worker() as worker:
        await worker.greet()
        os.kill(worker.pid, signal.SIGKILL)
        assert await worker.ask(b"x") == b"xx"
    assert starts(folder) == 2


async def test_a_request_that_kills_is_asked_twice_and_no_more(folder):
    async with open_worker() as worker:
        with pytest.raises(EngineError, match="died twice on a request of 3 bytes"):
            await worker.ask(b"die")
        assert await worker.ask(b"x") == b"xx"
    assert starts(folder) == 3


async def test_a_process_that_hangs_is_killed(folder):
    async with open_worker(timeout_s=1.0) as worker:
        await worker.greet()
        pid = worker.pid
        with pytest.raises(EngineTimeout, match="the echo did not answer within 1 s"):
            await worker.ask(b"wait")
        assert not is_running(pid)
        assert await worker.ask(b"x") == b"xx"
    assert starts(folder) == 2


@pytest.mark.usefixtures("folder")
async def test_an_answer_that_nobody_waits_for_is_never_given_to_another():
    async with open_worker() as worker:
        await worker.greet()
        pid = worker.pid
        asking = asyncio.create_task(worker.ask(b"wait"))
        await asyncio.sleep(0.05)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert not is_running(pid)
        assert await worker.ask(b"x") == b"xx"


@pytest.mark.engine
async def test_nothing_is_imported_from_the_present_folder(folder, monkeypatch):
    monkeypatch.delenv("PYTHONPATH")
    (folder / "ctypes.py").write_text("open('taken', 'w')")
    async with open_worker("teller.engines.espeak_process", "en-gb", "165") as worker:
        assert await worker.greet() == b"22050"
    assert not (folder / "taken").exists()


@pytest.mark.parametrize("module", ["broken_worker", "no_such_worker"])
@pytest.mark.usefixtures("folder")
async def test_a_process_that_ends_at_once_is_unavailable(module):
    async with open_worker(module) as worker:
        with pytest.raises(EngineUnavailable, match="the echo cannot run: its process ended at once"):
            await worker.ask(b"x")
        assert worker.pid is None


@pytest.mark.usefixtures("folder")
async def test_a_refusal_at_the_start_is_unavailable_with_the_reason():
    async with open_worker("echo_worker", "refuse") as worker:
        with pytest.raises(EngineUnavailable, match="the echo cannot run: there is no model"):
            await worker.greet()


@pytest.mark.usefixtures("folder")
async def test_a_process_that_never_greets_is_a_timeout():
    async with open_worker("mute_worker", timeout_s=0.5) as worker:
        with pytest.raises(EngineTimeout):
            await worker.greet()
        assert worker.pid is None


@pytest.mark.usefixtures("folder")
async def test_a_process_that_speaks_another_language_is_unavailable():
    async with open_worker("noisy_worker") as worker:
        with pytest.raises(EngineUnavailable):
            await worker.greet()


async def test_a_python_that_is_not_there_is_unavailable(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    async with open_worker() as worker:
        with pytest.raises(EngineUnavailable, match="cannot be started"):
            await worker.greet()


async def test_closing_ends_the_process_and_asking_starts_another(folder):
    async with open_worker() as worker:
        await worker.greet()
        pid = worker.pid
        await worker.aclose()
        await worker.aclose()
        assert worker.pid is None
        assert not is_running(pid)
        assert await worker.ask(b"x") == b"xx"
    assert starts(folder) == 2
