"""Text to speech by espeak-ng, in a process of its own.

The process keeps its GPL licence out of this one, and its crashes too: a process that dies is replaced and asked once
more, a turn that is cancelled while it speaks costs a new process, and nothing is left behind. Quality is that of
formant synthesis: plain, small, 400 times faster than speech. The wire is in `espeak_process.py`.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import suppress

import numpy as np

from teller.audio import Pcm
from teller.errors import EngineError, EngineTimeout, EngineUnavailable, InputError
from teller.spoken import clauses, for_speech

_PROCESS = "teller.engines.espeak_process"
_MAX_TEXT_CHARS = 20_000
_MAX_PIECE_CHARS = 400  # one word without an end must not hold the others up
_MAX_REPLY_BYTES = 64 * 1024 * 1024


class Espeak:
    """A voice of espeak-ng; speaks for any number of calls, one clause at a time. Close it with `aclose`.

    Args:
        voice: as espeak-ng names it: "en-gb", "en-gb-scotland", "en-us", "en-gb+f3".
        words_per_minute: 80 to 400.
        timeout_s: longest wait for one clause, which takes milliseconds.

    Raises:
        EngineUnavailable: if `espeakng-loader` is not installed.
    """

    def __init__(self, *, voice: str = "en-gb", words_per_minute: int = 165, timeout_s: float = 10.0) -> None:
        try:
            version = importlib.metadata.version("espeakng-loader")
        except importlib.metadata.PackageNotFoundError as exc:
            raise EngineUnavailable("espeak-ng is missing: pip install 'espeakng-loader==0.2.4'") from exc
        self.name = f"espeak-ng-{version}-{voice}-{words_per_minute}wpm"
        self._arguments = (voice, str(words_per_minute))
        self._timeout_s = timeout_s
        self._lock = asyncio.Lock()
        self._process: Process | None = None
        self._rate_hz = 0

    async def speak(self, text: str) -> AsyncIterator[Pcm]:
        """Speak a text, one piece for each sentence or clause of it, at 22,050 Hz.

        Raises:
            InputError: if there is nothing to say in it, or it is longer than 20,000 characters.
            EngineError: if espeak-ng fails twice on a clause.
            EngineTimeout: if it does not answer.
            EngineUnavailable: if the voice does not exist.
        """
        said = for_speech(text)
        if not any(map(str.isalnum, said)):
            raise InputError("there is nothing to speak: the text has no words")
        if len(said) > _MAX_TEXT_CHARS:
            raise InputError(f"a text of {len(said)} characters is too long to speak: at most {_MAX_TEXT_CHARS}")
        for clause in clauses(said):
            for start in range(0, len(clause), _MAX_PIECE_CHARS):
                sound = await self._say(clause[start : start + _MAX_PIECE_CHARS])
                if len(sound.samples):
                    yield sound

    async def warm(self) -> None:
        """Start the process, so that the first words come at once.

        Raises:
            EngineUnavailable: if it cannot run, or the voice does not exist.
            EngineTimeout: if it does not answer.
        """
        await self._say("ready")

    async def aclose(self) -> None:
        """End the process; the next text would start another."""
        async with self._lock:
            await self._end()

    async def _say(self, clause: str) -> Pcm:
        async with self._lock:
            for _ in range(2):
                with suppress(EOFError):  # it died, now or since the last clause
                    return await self._exchange(clause)
            raise EngineError(f"espeak-ng died twice on a clause of {len(clause)} characters")

    async def _exchange(self, clause: str) -> Pcm:
        """One request and its reply.

        Raises:
            EOFError: if the process dies.
        """
        whole = False
        try:
            async with asyncio.timeout(self._timeout_s):
                process = self._process or await self._start()
                text = clause.encode("utf-8", "replace")
                assert process.stdin is not None
                process.stdin.write(len(text).to_bytes(4, "big") + text)
                await process.stdin.drain()
                sound = Pcm(np.frombuffer(await _read(process), dtype="<i2").astype(np.int16), self._rate_hz)
            whole = True
        except TimeoutError as exc:
            raise EngineTimeout(f"espeak-ng did not answer within {self._timeout_s:g} s") from exc
        except (BrokenPipeError, ConnectionResetError) as exc:
            raise EOFError from exc
        finally:
            if not whole:  # also when cancelled: the rest of this reply must not be taken for the next one
                await self._end()
        return sound

    async def _start(self) -> Process:
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", _PROCESS, *self._arguments, stdin=PIPE, stdout=PIPE, stderr=DEVNULL
            )
        except OSError as exc:
            raise EngineUnavailable(f"the process of espeak-ng cannot be started ({exc.strerror})") from exc
        self._process = process
        try:
            self._rate_hz = int(await _read(process))
        except EOFError as exc:
            raise EngineUnavailable("espeak-ng cannot run: its process ended at once") from exc
        except EngineError as exc:
            raise EngineUnavailable(f"espeak-ng cannot run: {exc}") from exc
        return process

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _read(process: Process) -> bytes:
    """The body of the next reply.

    Raises:
        EngineError: if it says that espeak-ng failed.
        EOFError: if the process ends.
    """
    assert process.stdout is not None
    head = await process.stdout.readexactly(5)
    status, length = head[0], int.from_bytes(head[1:], "big")
    if length > _MAX_REPLY_BYTES:
        raise EOFError
    body = await process.stdout.readexactly(length)
    if status != 0:
        raise EngineError(body.decode("utf-8", "replace"))
    return body
