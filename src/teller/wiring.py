"""From settings to a running bot: the only file that names engines. What it opens, it closes."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from teller.adapter_wiring import adapter_store, open_adapters
from teller.adapters.live import LiveAdapters
from teller.audio import Pcm
from teller.banking import policy
from teller.banking.filled import FilledIn
from teller.banking.knowledge import Approved, knowledge_version, read_knowledge
from teller.banking.products import RateTable, load_catalogue, load_opposites, load_rates
from teller.banking.retrieval import Knowledge, Tuning
from teller.banking.tools import Toolbox
from teller.cache.partition import Basis
from teller.cache.shadow import SameAnswer, ShadowChecks
from teller.cache_wiring import Learning, OpenCache, build_cache, embedder_of, keep_up, move_logs, open_logs
from teller.call import Call
from teller.config import Settings
from teller.errors import EngineUnavailable, StoreError, TellerError
from teller.observers import Observers
from teller.orchestrator import Orchestrator
from teller.ports import AdapterHost, Detector, Embedder, Generator, Observer, Prompt, Synthesizer, Transcriber
from teller.prompts import PROMPT_VERSION, answer_prompt
from teller.redaction import redact
from teller.stores.home import Home, open_home
from teller.stores.turn_log import TurnLog
from teller.stores.vectors import KeptVectors, RecentVectors
from teller.turn import Scope, Transcript
from teller.values import Catalogue, find_values

BANK_NAME = "Larkfield Bank"


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """Unix time in seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()


@dataclass(frozen=True, slots=True)
class Bank:
    """The bank's own files, read."""

    rates: RateTable
    catalogue: Catalogue
    opposites: tuple[tuple[str, str], ...]
    approved: tuple[Approved, ...]


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


def bank_folder() -> Path:
    """Where the bank that ships with Teller is."""
    return Path(str(resources.files("teller"))) / "data" / "bank"


def nano_folder() -> Path:
    """Where teller-nano is, the language model that ships with Teller."""
    return bank_folder().parent / "nano"


def read_bank(settings: Settings) -> Bank:
    """Read rates, catalogue and approved answers, the shipped ones or the ones that `knowledge.path` names.

    Raises:
        KnowledgeError: naming the file and, where known, the line.
    """
    folder = bank_folder()
    rates = load_rates((folder / "rates.toml").read_text(encoding="utf-8"), "rates.toml")
    names = (folder / "catalogue.toml").read_text(encoding="utf-8")
    catalogue, opposites = load_catalogue(names, "catalogue.toml"), load_opposites(names, "catalogue.toml")
    approved = read_knowledge(settings.knowledge.path or folder / "answers", rates)
    return Bank(rates, catalogue, opposites, approved)


def read_off_topic() -> list[str]:
    """Questions that no bank answers."""
    return (resources.files("teller") / "data" / "off_topic.txt").read_text(encoding="utf-8").splitlines()


def read_on_topic() -> list[str]:
    """Questions that any bank may be asked: the first way of asking for each of the answers that ship with Teller."""
    return (resources.files("teller") / "data" / "on_topic.txt").read_text(encoding="utf-8").splitlines()


def open_embedder(settings: Settings, home: Home) -> Embedder:
    """The configured embedder.

    Raises:
        EngineUnavailable: if its package or weights are missing.
    """
    if settings.engines.embedder == "minilm":
        from teller.engines.minilm import MiniLm

        return MiniLm(home.path)
    from teller.engines.sentence_encoder import SentenceEncoder

    return SentenceEncoder(settings.engines.embedder_model, allow_downloads=settings.engines.allow_downloads)


def open_reader(settings: Settings, home: Home, embedder: Embedder) -> Embedder:
    """What knowledge is searched with: the embedder, with the bank's own LoRA matrices where they were made for it.

    Raises:
        EngineUnavailable: if the matrices cannot be used.
    """
    if settings.engines.embedder != "minilm":
        return embedder
    from teller.engines.minilm import MiniLm

    return MiniLm(home.path, lora=bank_folder() / "encoder.safetensors")


def open_transcriber(settings: Settings, home: Home, bank: Bank) -> Transcriber | None:
    """The configured transcriber, None if it is "none".

    Raises:
        EngineUnavailable: if its package or weights are missing.
    """
    engines = settings.engines
    match engines.transcriber:
        case "none":
            return None
        case "sphinx":
            from teller.engines.sphinx import Sphinx

            sentences = [ask for entry in bank.approved if entry.spoken_whole for ask in entry.asks]
            return Sphinx(sentences, home.models)
        case "faster-whisper":
            from teller.engines.whisper_ct2 import FasterWhisper

            return FasterWhisper(engines.transcriber_model, allow_downloads=engines.allow_downloads)
        case "transformers":
            from teller.engines.whisper_hf import TransformersWhisper

            return TransformersWhisper(engines.transcriber_model, allow_downloads=engines.allow_downloads)


def open_synthesizer(settings: Settings, stack: AsyncExitStack) -> Synthesizer | None:
    """The configured synthesizer, closed with the stack; None if it is "none".

    Raises:
        EngineUnavailable: if its package or weights are missing.
    """
    engines = settings.engines
    if engines.synthesizer == "none":
        return None
    if engines.synthesizer == "kokoro":
        from teller.engines.kokoro import Kokoro

        return Kokoro(voice=engines.voice, allow_downloads=engines.allow_downloads)
    from teller.engines.espeak import Espeak

    espeak = Espeak(voice=engines.voice, words_per_minute=engines.words_per_minute)
    stack.push_async_callback(espeak.aclose)
    return espeak


def _remembering(voice: Synthesizer | None, home: Home) -> Synthesizer | None:
    """The synthesizer behind its audio cache."""
    from teller.engines.spoken_cache import SpokenCache

    return SpokenCache(voice, home.audio) if voice is not None else None


def open_generator(settings: Settings) -> Generator:
    """The configured generator.

    Raises:
        EngineUnavailable: if its package or key is missing.
    """
    engines = settings.engines
    match engines.generator:
        case "approved":
            from teller.engines.approved import ApprovedText

            return ApprovedText()
        case "local":
            from teller.engines.peft_host import LocalModel

            named = engines.local_model
            return LocalModel(nano_folder() if named == "teller-nano" else Path(named).expanduser())
        case "mistral":
            from teller.engines.mistral_api import MistralApi

            return MistralApi(model=engines.generator_model, api_key=_secret(settings.mistral_api_key))
        case "openai":
            from teller.engines.openai_chat import OpenAiChat

            key = _secret(settings.openai_api_key)
            return OpenAiChat(model=engines.generator_model, base_url=engines.generator_url, api_key=key)


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


def open_adapter_host(settings: Settings, generator: Generator) -> AdapterHost | None:
    """What loads adapters for this generator; None if nothing does.

    Raises:
        EngineUnavailable: if a package is missing.
    """
    engines = settings.engines
    if engines.generator == "local":
        from teller.engines.peft_host import LocalModel

        return generator if isinstance(generator, LocalModel) else None
    if engines.adapter_host == "none":
        return None
    from teller.engines.vllm_host import VllmHost, Waits

    return VllmHost(
        model=engines.generator_model,
        base_url=engines.generator_url,
        api_key=_secret(settings.openai_api_key),
        base_folder=engines.adapter_base,
        waits=Waits(load_s=settings.adapters.load_timeout_s, unload_s=settings.adapters.unload_timeout_s),
    )


@asynccontextmanager
async def open_serving(settings: Settings) -> AsyncIterator[tuple[Generator, AdapterHost | None]]:
    """Generator and adapter host by themselves, closed again.

    Raises:
        EngineUnavailable: if one of them cannot run, saying what to do.
    """
    generator = await asyncio.to_thread(open_generator, settings)
    try:
        host = await asyncio.to_thread(open_adapter_host, settings, generator)
        try:
            yield generator, host
        finally:
            if settings.engines.generator != "local":  # there the two are one
                await _close(host)
    finally:
        await _close(generator)


def _secret(value: SecretStr | None) -> str | None:
    return value.get_secret_value() if value is not None else None


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
            synthesizer=_remembering(voice, home),
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
        await _close(transcriber)
        raise
    return transcriber


async def _close_ear(hearing: asyncio.Task[Transcriber | None]) -> None:
    hearing.cancel()
    with suppress(asyncio.CancelledError, TellerError):
        await _close(await hearing)


async def _close(engine: object) -> None:
    if (close := getattr(engine, "aclose", None)) is not None:
        await close()


async def _warm(engine: object) -> None:
    """Have an engine do now what its first caller would have to wait for."""
    if (warm := getattr(engine, "warm", None)) is not None:
        await warm()


async def _open_knowledge(
    settings: Settings, home: Home, bank: Bank, reader: Embedder, stack: AsyncExitStack
) -> Knowledge:
    from teller.engines.faiss_index import FaissIndex

    tuning = Tuning(
        off_topic=tuple(read_off_topic()),
        on_topic=tuple(read_on_topic()) if settings.knowledge.path else (),
        words=getattr(reader, "words", frozenset()),
        min_score=settings.knowledge.min_score,
    )
    kept = KeptVectors(reader, home.knowledge)
    knowledge = Knowledge(bank.approved, kept, FaissIndex, tuning, questions=RecentVectors(reader))
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


def open_detector() -> Callable[[], Detector]:
    """What opens a voice detector for each stream.

    Raises:
        EngineUnavailable: if its weights are missing.
    """
    from teller.engines.silero import SileroVad

    return SileroVad().open_stream


def _no_detector() -> Detector:
    raise EngineUnavailable("this bot was opened for text: it has no voice detector")
