"""From settings to a running bot. What it opens, it closes."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from teller.adapter_wiring import adapter_store, open_adapters
from teller.adapters.live import LiveAdapters
from teller.audio import Pcm
from teller.bank_files import Bank, read_bank, read_off_topic, read_on_topic
from teller.banking import policy
from teller.banking.filled import FilledIn
from teller.banking.knowledge import Approved, knowledge_version
from teller.banking.retrieval import Knowledge, Tuning
from teller.banking.tools import Toolbox
from teller.cache.partition import Basis
from teller.cache.shadow import SameAnswer, ShadowChecks
from teller.cache_wiring import Learning, OpenCache, build_cache, embedder_of, keep_up, move_logs, open_logs
from teller.call import Call
from teller.config import Settings
from teller.engine_wiring import (
    close_engine,
    open_detector,
    open_embedder,
    open_reader,
    open_serving,
    open_synthesizer,
    open_transcriber,
    remembering,
)
from teller.engines.blas import multiply_on_one_thread
from teller.errors import EngineUnavailable, StoreError, TellerError
from teller.observers import Observers
from teller.orchestrator import Orchestrator
from teller.ports import Detector, Embedder, Generator, Observer, Prompt, Transcriber
from teller.prompts import PROMPT_VERSION, answer_prompt
from teller.redaction import redact
from teller.stores.home import Home, open_home
from teller.stores.turn_log import TurnLog
from teller.stores.vectors import KeptVectors, RecentVectors
from teller.turn import Scope, Transcript
from teller.values import Catalogue, find_values

BANK_NAME = "Larkfield Bank"
_SEARCHED_WHOLE = 32_768  # ways of asking, or passages, up to which knowledge's index has no lists


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """Unix time in seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()


@dataclass(frozen=True, slots=True)
class Bot:
    """Everything that a server or a command needs of a running Teller.

    Attributes:
        cache: with what is certified and estimated of it.
        adapters: which version is live, and which are ready here.
        turn_log: None if `log.turns` is off.
    """

    settings: Settings
    orchestrator: Orchestrator
    approved: tuple[Approved, ...]
    cache: OpenCache
    adapters: LiveAdapters
    turn_log: TurnLog | None
    _new_detector: Callable[[], Detector]

    def new_call(self, customer: str | None = None) -> Call:
        """A fresh call; `customer` is a key that the channel has verified, never something that was said."""
        scope = Scope(self.settings.bank.tenant, self.settings.bank.locale, customer)
        return Call(id=uuid.uuid4().hex, scope=scope)

    def open_detector(self) -> Detector:
        """A voice detector for one stream of sound."""
        return self._new_detector()

    def read_sound(self, data: bytes) -> Pcm:
        """Any sound file as 16 kHz mono.

        Raises:
            InputError: if it is empty, broken, no sound at all, or longer than `server.max_audio_s`.
        """
        from teller.engines.sound_files import read_sound

        return read_sound(data, max_duration_s=self.settings.server.max_audio_s)

    async def ready(self) -> dict[str, str]:
        """Each engine by its name, with "ok", for they are open and warm; and whether the cache has caught up."""
        parts = self.orchestrator
        engines = (parts.transcriber, parts.embedder, parts.generator, parts.synthesizer)
        try:
            await self.cache.cache.catch_up()
            caught_up = "ok"
        except StoreError as exc:
            caught_up = f"its log cannot be read ({type(exc).__name__})"
        return {engine.name: "ok" for engine in engines if engine is not None} | {"cache": caught_up}

    def greeting(self) -> tuple[str, str]:
        """What a caller hears first: that this is a machine and that calls may be recorded; then what to ask."""
        return policy.NOTICE.format(bank=BANK_NAME), policy.INVITATION


def open_turn_log(settings: Settings, home: Home, stack: AsyncExitStack) -> TurnLog | None:
    """The turn log, written to its end and closed with the stack; None if it is off.

    Raises:
        StoreError: if the file is no turn log, a newer Teller wrote it, or it cannot be opened.
    """
    if not settings.log.turns:
        return None
    log = TurnLog(home.turns, keep_text=settings.log.keep_text, keep_days=settings.log.keep_days)
    stack.push_async_callback(asyncio.to_thread, log.close)
    return log


@asynccontextmanager
async def open_prompts(settings: Settings) -> AsyncIterator[Callable[[str], Awaitable[Prompt]]]:
    """What a generator is given for a question that begins a call, as a running bot would give it.

    Raises:
        EngineUnavailable, KnowledgeError, StoreError: as `open_bot`.
    """
    home = open_home(settings.home)
    bank = await asyncio.to_thread(read_bank, settings)
    async with AsyncExitStack() as stack:
        embedder = await asyncio.to_thread(open_embedder, settings, home)
        reader = await asyncio.to_thread(open_reader, settings, home, embedder)
        knowledge = await _open_knowledge(settings, home, bank, reader, stack)

        async def prompt(text: str) -> Prompt:
            question = redact(Transcript(text), bank.catalogue).question
            return answer_prompt(question, await knowledge.search(question))

        yield prompt


@asynccontextmanager
async def open_bot(
    settings: Settings, *, speech: bool = True, serving: bool = False, observers: tuple[Observer, ...] = ()
) -> AsyncIterator[Bot]:
    """Open everything that the settings name, and close it again.

    Args:
        settings: what is wanted.
        speech: without it no transcriber, synthesizer or detector is opened; the orchestrator works on text.
        serving: whether `adapter-control` waits for this process to be ready before a new adapter becomes live.
        observers: are told every fact.

    Raises:
        EngineUnavailable, KnowledgeError, StoreError: if a part that is configured cannot run, saying what to do.
    """
    multiply_on_one_thread()
    home = open_home(settings.home)
    bank = await asyncio.to_thread(read_bank, settings)
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        # Loading the language model takes as long as filling the index: side by side.
        hearing = asyncio.create_task(_open_ear(settings, home, bank, speech=speech))
        stack.push_async_callback(_close_ear, hearing)
        turn_log = open_turn_log(settings, home, stack)
        embedder = await asyncio.to_thread(open_embedder, settings, home)
        recent = RecentVectors(embedder)
        reader = await asyncio.to_thread(open_reader, settings, home, embedder)
        knowledge = await _open_knowledge(settings, home, bank, reader, stack)
        generator, host = await stack.enter_async_context(open_serving(settings))
        basis = _basis(generator, knowledge.version)
        opened = await build_cache(
            settings, home, open_logs(settings, home, stack), recent, basis, clock, bank.opposites
        )
        stack.push_async_callback(opened.cache.close)
        stack.push_async_callback(_cancel, asyncio.create_task(keep_up(opened.cache)))
        observer = Observers((Learning(opened.judge), *([turn_log] if turn_log else []), *observers))
        adapters = await stack.enter_async_context(
            open_adapters(settings, home, host, observer, clock, serving=serving)
        )
        voice = open_synthesizer(settings, stack) if speech else None
        await _warm(voice)
        orchestrator = Orchestrator(
            transcriber=await hearing,
            toolbox=Toolbox(bank.rates),
            cache=opened.cache,
            knowledge=knowledge,
            generator=generator if settings.engines.generator == "approved" else FilledIn(generator, bank.rates),
            embedder=recent,
            synthesizer=remembering(voice, home),
            private_synthesizer=voice,
            observer=Observers((observer, adapters.watch)),
            clock=clock,
            catalogue=bank.catalogue,
            hear_within_s=settings.engines.transcriber_timeout_s,
            generate_within_s=settings.engines.generator_timeout_s,
            cache_within_s=settings.cache.timeout_s,
            knowledge_within_s=settings.knowledge.timeout_s,
            speak_within_s=settings.engines.synthesizer_timeout_s,
            pin=adapters.live.pin,
        )
        _check_hits(opened, orchestrator, bank.catalogue, stack)
        detector = open_detector() if speech else _no_detector
        bot = Bot(settings, orchestrator, bank.approved, opened, adapters.live, turn_log, detector)
        stack.push_async_callback(_cancel, asyncio.create_task(_rehearse(bot)))
        yield bot


async def _rehearse(bot: Bot) -> None:
    """Have the greeting spoken once, so that it is kept and begins every call at once."""
    for line in bot.greeting():
        async for _ in bot.orchestrator.say(line):
            pass


async def _open_ear(settings: Settings, home: Home, bank: Bank, *, speech: bool) -> Transcriber | None:
    """The transcriber, warm; closed again if it does not get there."""
    transcriber = await asyncio.to_thread(open_transcriber, settings, home, bank) if speech else None
    try:
        await _warm(transcriber)
    except BaseException:
        await close_engine(transcriber)
        raise
    return transcriber


async def _close_ear(hearing: asyncio.Task[Transcriber | None]) -> None:
    hearing.cancel()
    with suppress(asyncio.CancelledError, TellerError):
        await close_engine(await hearing)


async def _warm(engine: object) -> None:
    """Have an engine do now what its first caller would have to wait for."""
    if (warm := getattr(engine, "warm", None)) is not None:
        await warm()


async def _open_knowledge(
    settings: Settings, home: Home, bank: Bank, reader: Embedder, stack: AsyncExitStack
) -> Knowledge:
    from teller.engines.faiss_index import FaissIndex

    tuning = Tuning(
        off_topic=(*read_off_topic(), *bank.near_topic),
        on_topic=tuple(read_on_topic()) if settings.knowledge.path else (),
        words=getattr(reader, "words", frozenset()),
        min_score=settings.knowledge.min_score,
    )
    kept = KeptVectors(reader, home.knowledge)
    # Searched whole: inverted lists take most of a second to build at every start, and save half a millisecond a turn.
    knowledge = Knowledge(
        bank.approved, kept, partial(FaissIndex, flat_to=_SEARCHED_WHOLE), tuning, questions=RecentVectors(reader)
    )
    await knowledge.fill()
    if any(not entry.spoken_whole for entry in bank.approved):
        stack.push_async_callback(_cancel, asyncio.create_task(knowledge.deepen()))
    return knowledge


async def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError, TellerError):
        await task


@asynccontextmanager
async def open_cache(settings: Settings, *, whole: bool = False) -> AsyncIterator[OpenCache]:
    """The cache of a home by itself, also beside a server that runs on it.

    What its lookups count is never told to the log, and it writes nothing that it is not asked to.

    Args:
        settings: which home, and what the cache may do.
        whole: with the bank's files and the embedder, so that it can be asked questions; takes seconds.

    Raises:
        StoreError, KnowledgeError, EngineUnavailable: if something of it cannot be opened.
    """
    home = open_home(settings.home)
    async with AsyncExitStack() as stack:
        logs = open_logs(settings, home, stack)
        embedder: Embedder | None = None if whole else await embedder_of(logs.shared)
        if embedder is None:
            embedder = await asyncio.to_thread(open_embedder, settings, home)
        if not whole:
            nothing_is_asked = Basis("unknown", "unknown", "unknown", "unknown")
            yield await build_cache(settings, home, logs, embedder, nothing_is_asked, SystemClock())
            return
        bank = await asyncio.to_thread(read_bank, settings)
        async with open_serving(settings) as (generator, host):
            version = adapter_store(home, SystemClock()).ledger.now().version if host is not None else None
            basis = _basis(generator, knowledge_version(bank.approved), (version.digest,) if version else ())
        yield await build_cache(settings, home, logs, RecentVectors(embedder), basis, SystemClock(), bank.opposites)


async def migrate_cache(settings: Settings, told: Callable[[int], None]) -> int:
    """Embed every entry of a home's cache with the embedder of the settings; gives how many.

    Raises:
        BusyError: if the cache is in use.
        StoreError, EngineError: if a log or the embedder fails.
    """
    home = open_home(settings.home)
    async with AsyncExitStack() as stack:
        logs = open_logs(settings, home, stack)
        embedder = await asyncio.to_thread(open_embedder, settings, home)
        return await move_logs(logs, embedder, SystemClock(), told)


def _basis(generator: Generator, knowledge: str, adapters: tuple[str, ...] = ()) -> Basis:
    return Basis(generator.name, PROMPT_VERSION, policy.POLICY_VERSION, knowledge, adapters)


def _check_hits(opened: OpenCache, orchestrator: Orchestrator, catalogue: Catalogue, stack: AsyncExitStack) -> None:
    """Have a share of the hits answered again, off the path."""
    share = opened.settings.cache.shadow_share
    if not share:
        return
    same = SameAnswer(opened.embedder, lambda text: find_values(text, catalogue))
    checks = ShadowChecks(opened.cache.upkeep, share=share, remake=orchestrator.answer_anew, same=same)
    opened.cache.shadow = checks
    stack.push_async_callback(_cancel, asyncio.create_task(checks.run()))


def _no_detector() -> Detector:
    raise EngineUnavailable("this bot was opened for text: it has no voice detector")
