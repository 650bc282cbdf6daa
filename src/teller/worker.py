"""A process of its own for an engine that must not share this one: for its licence, its crashes, its grip on Python.

Both ends are here. `Worker` starts the process and asks it one thing at a time; `serve` is what the process runs. A
process that dies is replaced and asked once more; one that hangs, or whose answer nobody waits for any longer, is
killed, so that no late reply is ever taken for the next one; one whose parent dies ends by itself. The wire is a pair
of pipes: a request is a length (4 bytes, big-endian) and a body; a reply, and the greeting after the start, have a
status byte in front, 0 for an answer and 1 for a refusal in words.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Sequence
from contextlib import suppress

from teller.errors import EngineError, EngineTimeout, EngineUnavailable

_ANSWERED, _REFUSED = 0, 1
_MAX_BYTES = 64 * 1024 * 1024  # of one request or reply


class Refused(Exception):
    """The process will not do what it was asked; the message says why."""


class Worker:
    """A process that answers requests, one after the other; started by the first. Close it with `aclose`.

    It belongs to the event loop in which it was started.

    Args:
        what: name for messages.
        module: run as `python -m module arguments`; it calls `serve`.
        timeout_s: longest wait for one answer, the start included.
    """

    def __init__(self, what: str, module: str, arguments: Sequence[str], *, timeout_s: float) -> None:
        self._what = what
        self._command = (sys.executable, "-P", "-m", module, *arguments)  # -P: nothing from the present folder
        self._timeout_s = timeout_s
        self._lock = asyncio.Lock()
        self._process: Process | None = None
        self._greeting = b""

    @property
    def pid(self) -> int | None:
        """Of the process, None if there is none now."""
        return self._process.pid if self._process is not None else None

    async def greet(self) -> bytes:
        """Start the process if there is none; gives what it says of itself.

        Raises:
            EngineUnavailable: if it cannot run.
            EngineTimeout: if it does not answer.
        """
        async with self._lock:
            if self._process is None:
                await self._exchange(None)
            return self._greeting

    async def ask(self, request: bytes) -> bytes:
        """The answer to one request; others wait for their turn.

        Raises:
            EngineUnavailable: if the process cannot be started.
            EngineError: if it refuses, or dies twice.
            EngineTimeout: if it does not answer in time.
        """
        async with self._lock:
            for _ in range(2):
                with suppress(EOFError):  # it died, now or since the last request
                    return await self._exchange(request)
            raise EngineError(f"{self._what} died twice on a request of {len(request)} bytes")

    async def aclose(self) -> None:
        """End the process; the next request would start another."""
        async with self._lock:
            await self._end()

    async def _exchange(self, request: bytes | None) -> bytes:
        """One request and its reply, or only the start.

        Raises:
            EOFError: if the process dies.
        """
        is_whole = False
        try:
            async with asyncio.timeout(self._timeout_s):
                process = self._process or await self._start()
                answer = b"" if request is None else await self._request(process, request)
            is_whole = True
        except TimeoutError as exc:
            raise EngineTimeout(f"{self._what} did not answer within {self._timeout_s:g} s") from exc
        except (BrokenPipeError, ConnectionResetError) as exc:
            raise EOFError from exc
        except Refused as exc:
            is_whole = True
            raise EngineError(f"{self._what}: {exc}") from exc
        finally:
            if not is_whole:  # also when cancelled: the rest of this reply must not be taken for the next one
                await self._end()
        return answer

    async def _request(self, process: Process, request: bytes) -> bytes:
        assert process.stdin is not None
        process.stdin.write(len(request).to_bytes(4, "big") + request)
        await process.stdin.drain()
        return await _read_reply(process)

    async def _start(self) -> Process:
        try:
            process = await asyncio.create_subprocess_exec(*self._command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL)
        except OSError as exc:
            raise EngineUnavailable(f"the process of {self._what} cannot be started ({exc.strerror})") from exc
        self._process = process
        try:
            self._greeting = await _read_reply(process)
        except EOFError as exc:
            raise EngineUnavailable(f"{self._what} cannot run: its process ended at once") from exc
        except Refused as exc:
            raise EngineUnavailable(f"{self._what} cannot run: {exc}") from exc
        return process

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _read_reply(process: Process) -> bytes:
    """The body of the next reply.

    Raises:
        Refused: if it is a refusal.
        EOFError: if the process ends, or what it writes is no reply.
    """
    assert process.stdout is not None
    head = await process.stdout.readexactly(5)
    length = int.from_bytes(head[1:], "big")
    if head[0] not in (_ANSWERED, _REFUSED) or length > _MAX_BYTES:
        raise EOFError
    body = await process.stdout.readexactly(length)
    if head[0] == _REFUSED:
        raise Refused(body.decode("utf-8", "replace"))
    return body


def serve(open_engine: Callable[[], tuple[bytes, Callable[[bytes], bytes]]]) -> int:
    """Answer requests until the input ends; gives the exit code.

    Args:
        open_engine: gives the greeting and what turns a request into its answer; either may raise Refused.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process by closing its input
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as out, os.fdopen(os.dup(sys.stdin.fileno()), "rb") as requests:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # nothing that a library prints gets among the replies

        def reply(status: int, body: bytes) -> None:
            out.write(bytes([status]) + len(body).to_bytes(4, "big") + body)
            out.flush()

        try:
            greeting, answer = open_engine()
        except Refused as exc:
            reply(_REFUSED, str(exc).encode())
            return 1
        reply(_ANSWERED, greeting)
        while len(head := requests.read(4)) == 4:
            length = int.from_bytes(head, "big")
            if length > _MAX_BYTES:
                return 1
            try:
                reply(_ANSWERED, answer(requests.read(length)))
            except Refused as exc:
                reply(_REFUSED, str(exc).encode())
    return 0
