"""Text to speech by espeak-ng, in a process of its own, which keeps its GPL licence out of this one, and its crashes.

Quality is that of formant synthesis: plain, small, hundreds of times faster than speech. The process runs
`espeak_process.py`.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import AsyncIterator

import numpy as np

from teller.audio import Pcm
from teller.errors import EngineUnavailable, InputError
from teller.spoken import clauses, for_speech
from teller.worker import Worker

_PROCESS = "teller.engines.espeak_process"
_MAX_TEXT_CHARS = 20_000
_MAX_PIECE_CHARS = 400  # one word without an end must not hold the others up


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
        self._worker = Worker("espeak-ng", _PROCESS, (voice, str(words_per_minute)), timeout_s=timeout_s)

    async def speak(self, text: str) -> AsyncIterator[Pcm]:
        """Speak a text, one piece for each sentence or clause of it, at 22,050 Hz.

        Raises:
            InputError: if there is nothing to say in it, or it is longer than 20,000 characters.
            EngineError, EngineTimeout: if espeak-ng fails twice on a clause, or does not answer.
            EngineUnavailable: if the voice does not exist.
        """
        said = for_speech(text)
        if not any(map(str.isalnum, said)):
            raise InputError("there is nothing to speak: the text has no words")
        if len(said) > _MAX_TEXT_CHARS:
            raise InputError(f"a text of {len(said)} characters is too long to speak: at most {_MAX_TEXT_CHARS}")
        rate_hz = int(await self._worker.greet())
        for clause in clauses(said):
            for start in range(0, len(clause), _MAX_PIECE_CHARS):
                piece = clause[start : start + _MAX_PIECE_CHARS].encode("utf-8", "replace")
                samples = np.frombuffer(await self._worker.ask(piece), dtype="<i2").astype(np.int16)
                if len(samples):
                    yield Pcm(samples, rate_hz)

    async def warm(self) -> None:
        """Start the process, so that the first words come at once.

        Raises:
            EngineUnavailable: if it cannot run, or the voice does not exist.
            EngineTimeout: if it does not answer.
        """
        await self._worker.greet()

    async def aclose(self) -> None:
        """End the process; the next text would start another."""
        await self._worker.aclose()
