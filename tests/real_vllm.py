"""A real vLLM on the CPU for as long as a block lasts, with the switches that `VllmHost` asks for."""

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_START_S = 600
_STOP_S = 30
_SETTINGS = {
    "VLLM_TARGET_DEVICE": "cpu",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
}


class DidNotStart(Exception):
    """With the end of what the server wrote."""


@contextmanager
def serving(python: str, base: Path, log: Path, *, slots: int) -> Iterator[str]:
    """Serve a folder of weights as "base"; gives the server's address.

    In a batch of several models, vLLM 0.32 on a CPU gives requests for the base model the adapter in its last slot: its
    PyTorch kernels take their index -1 for "the last". An unload frees no slot, so there must be one for every load of
    the block, and one more that stays empty.

    Args:
        python: interpreter of the environment that has vLLM.
        base: the folder.
        log: file for what the server writes.
        slots: for adapters.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [python, "-m", "vllm.entrypoints.cli.main", "serve", str(base)]
    command += ["--served-model-name", "base", "--host", "127.0.0.1", "--port", str(port), "--enforce-eager"]
    command += ["--enable-lora", "--max-loras", str(slots), "--max-cpu-loras", str(slots), "--max-lora-rank", "32"]
    command += ["--dtype", "bfloat16", "--max-model-len", "512"]
    with log.open("wb") as written:
        server = subprocess.Popen(
            command, env=os.environ | _SETTINGS, stdout=written, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        _wait(f"http://127.0.0.1:{port}/v1/models", server, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def _wait(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(1)
    raise DidNotStart(f"vLLM did not start:\n{log.read_text()[-4_000:]}")
