"""From settings to a running bot: the only file that names engines. What it opens, it closes."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from pydantic import SecretStr

from teller.audio import Pcm
from teller.banking import policy
from teller.banking.knowledge import Approved, read_knowledge
from teller.banking.products import RateTable, load_catalogue, load_opposites, load_rates
from teller.banking.retrieval import Knowledge, Tuning
from teller.banking.tools import Toolbox
from teller.cache.calibration import LiveRegions
from teller.cache.judge import CertifiedJudge
from teller.cache.partition import Basis
from teller.cache.rules import CacheRules
from teller.cache.semantic import CacheStore, SemanticCache
from teller.cache.verdict import ExactOnly, Judge
from teller.call import Call, Memory
from teller.config import Settings
from teller.errors import EngineUnavailable, TellerError
from teller.orchestrator import Orchestrator
from teller.ports import Detector, Embedder, Generator, Observer, Synthesizer, Transcriber, Vectors
from teller.prompts import PROMPT_VERSION
from teller.stores.home import Home, open_home
from teller.stores.vectors import KeptVectors, RecentVectors
from teller.turn import DataClass, Scope, TurnRecord
from teller.values import Catalogue

BANK_NAME = "Larkfield Bank"


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """Unix time in seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()


class Unobserved:
    """An observer that keeps nothing."""

    def turn_finished(self, record: TurnRecord) -> None:
        """Ignore it."""


@dataclass(frozen=True, slots=True)
class Bank:
    """The bank's own files, read."""

    rates: RateTable
    catalogue: Catalogue
    opposites: tuple[tuple[str, str], ...]
    approved: tuple[Approved, ...]


@dataclass(frozen=True, slots=True)
class Bot:
    """Everything that a server or a command needs of a running Teller."""

    settings: Settings
    orchestrator: Orchestrator
    approved: tuple[Approved, ...]
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

    def greeting(self) -> str:
        """What a caller hears first: that this is a machine, and that calls may be recorded."""
        return policy.GREETING.format(bank=BANK_NAME)


def bank_folder() -> Path:
    """Where the bank that ships with Teller is."""
    return Path(str(resources.files("teller"))) / "data" / "bank"


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


def read_metric(embedder: str) -> Vectors | None:
    """The metric that was trained for this embedder; None for another one."""
    with np.load(bank_folder() / "metric.npz", allow_pickle=False) as kept:
        return kept["metric"].astype(np.float32) if str(kept["embedder"]) == embedder else None


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


def open_synthesizer(settings: Settings, home: Home, stack: AsyncExitStack) -> Synthesizer | None:
    """The configured synthesizer behind its audio cache, closed with the stack; None if it is "none".

    Raises:
        EngineUnavailable: if its package or weights are missing.
    """
    engines = settings.engines
    if engines.synthesizer == "none":
        return None
    from teller.engines.spoken_cache import SpokenCache

    if engines.synthesizer == "kokoro":
        from teller.engines.kokoro import Kokoro

        return SpokenCache(Kokoro(voice=engines.voice, allow_downloads=engines.allow_downloads), home.audio)
    from teller.engines.espeak import Espeak

    espeak = Espeak(voice=engines.voice, words_per_minute=engines.words_per_minute)
    stack.push_async_callback(espeak.aclose)
    return SpokenCache(espeak, home.audio)


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
        case "mistral":
            from teller.engines.mistral_api import MistralApi

            return MistralApi(model=engines.generator_model, api_key=_secret(settings.mistral_api_key))
        case "openai":
            from teller.engines.openai_chat import OpenAiChat

            key = _secret(settings.openai_api_key)
            return OpenAiChat(model=engines.generator_model, base_url=engines.generator_url, api_key=key)


def _secret(value: SecretStr | None) -> str | None:
    return value.get_secret_value() if value is not None else None


@asynccontextmanager
async def open_bot(settings: Settings, *, speech: bool = True, observer: Observer | None = None) -> AsyncIterator[Bot]:
    """Open everything that the settings name, and close it again.

    Args:
        settings: what is wanted.
        speech: without it no transcriber, synthesizer or detector is opened; the orchestrator works on text.
        observer: is told of every turn.

    Raises:
        EngineUnavailable, KnowledgeError, StoreError: if a part that is configured cannot run, saying what to do.
    """
    home = open_home(settings.home)
    bank = await asyncio.to_thread(read_bank, settings)
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        embedder = await asyncio.to_thread(open_embedder, settings, home)
        recent = RecentVectors(embedder)
        knowledge = await _open_knowledge(settings, home, bank, embedder, recent, stack)
        generator = open_generator(settings)
        basis = Basis(generator.name, PROMPT_VERSION, policy.POLICY_VERSION, knowledge.version)
        orchestrator = Orchestrator(
            transcriber=await asyncio.to_thread(open_transcriber, settings, home, bank) if speech else None,
            toolbox=Toolbox(bank.rates),
            cache=await _open_cache(settings, home, bank, basis, recent, clock, stack),
            knowledge=knowledge,
            generator=generator,
            embedder=recent,
            synthesizer=open_synthesizer(settings, home, stack) if speech else None,
            observer=observer or Unobserved(),
            clock=clock,
            catalogue=bank.catalogue,
            generate_within_s=settings.engines.generator_timeout_s,
        )
        yield Bot(settings, orchestrator, bank.approved, open_detector() if speech else _no_detector)


async def _open_knowledge(
    settings: Settings, home: Home, bank: Bank, embedder: Embedder, recent: Embedder, stack: AsyncExitStack
) -> Knowledge:
    from teller.engines.faiss_index import FaissIndex

    tuning = Tuning(
        off_topic=tuple(read_off_topic()),
        metric=read_metric(embedder.name),
        words=getattr(embedder, "words", frozenset()),
        min_score=settings.knowledge.min_score,
    )
    kept = KeptVectors(embedder, home.knowledge)
    knowledge = Knowledge(bank.approved, kept, FaissIndex, tuning, questions=recent)
    await knowledge.fill()
    if any(not entry.spoken_whole for entry in bank.approved):
        stack.push_async_callback(_cancel, asyncio.create_task(knowledge.deepen()))
    return knowledge


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError, TellerError):
        await task


async def _open_cache(
    settings: Settings,
    home: Home,
    bank: Bank,
    basis: Basis,
    embedder: Embedder,
    clock: SystemClock,
    stack: AsyncExitStack,
) -> SemanticCache:
    from teller.engines.faiss_index import FaissIndex
    from teller.stores.snapshots import FileSnapshots
    from teller.stores.sqlite_log import SqliteLog

    chosen = settings.cache
    log = SqliteLog(home.cache / "log.sqlite")
    stack.callback(log.close)
    judge: Judge = ExactOnly()
    if chosen.mode == "semantic":
        regions = LiveRegions(max_false_hits=chosen.max_false_hits)
        judge = CertifiedJudge(regions, opposites=bank.opposites)
    cache = SemanticCache(
        CacheStore(
            log=log, make_index=lambda: FaissIndex(embedder.dim), snapshots=FileSnapshots(home.cache / "snapshots")
        ),
        embedder,
        judge,
        basis=lambda: basis,
        rules=CacheRules(
            eligible=lambda question, _: policy.cannot_be_cached(question, Memory()),
            ttl_s={
                DataClass.PUBLIC: chosen.ttl_public_s,
                DataClass.PRODUCT: chosen.ttl_product_s,
                DataClass.CUSTOMER: min(chosen.ttl_product_s, 300),
            },
            enabled=chosen.mode != "off",
            max_entries=chosen.max_entries,
        ),
        clock=clock,
    )
    await cache.open()
    stack.push_async_callback(cache.close)
    return cache


def open_detector() -> Callable[[], Detector]:
    """What opens a voice detector for each stream.

    Raises:
        EngineUnavailable: if its weights are missing.
    """
    from teller.engines.silero import SileroVad

    return SileroVad().open_stream


def _no_detector() -> Detector:
    raise EngineUnavailable("this bot was opened for text: it has no voice detector")
