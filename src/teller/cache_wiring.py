"""The cache's part of the wiring: its logs, its judge, its regions, and what runs beside it while a bot is up."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from teller.banking import policy
from teller.cache.events import Kind, body_of
from teller.cache.live_regions import LiveRegions
from teller.cache.migration import migrate
from teller.cache.partition import Basis
from teller.cache.regions import LearningJudge, RiskRegions
from teller.cache.rules import CacheRules
from teller.cache.sealed import SealedLog
from teller.cache.semantic import CacheStore, SemanticCache
from teller.cache.verdict import ExactOnly, Judge
from teller.cache.verifier import verifier_for
from teller.call import Memory
from teller.config import Settings
from teller.engines.faiss_index import FaissIndex
from teller.errors import BusyError, ConfigError, EngineUnavailable, StoreCorrupt, StoreError
from teller.observers import Unobserved
from teller.ports import CacheLog, Clock, Embedder, VectorIndex, Vectors
from teller.stores.cipher import AesGcm
from teller.stores.home import Home
from teller.stores.snapshots import FileSnapshots
from teller.stores.sqlite_log import SqliteLog
from teller.turn import DataClass, Scope, Source, TurnRecord

_log = logging.getLogger("teller.cache_wiring")


@dataclass(frozen=True, slots=True)
class OpenCache:
    """A cache and what its operator needs beside it.

    Attributes:
        regions: what is certified or estimated for each risk class, as every process on this log sees it.
        judge: the semantic one, also where the settings allow exact hits only.
        log: the shared one.
        folder: of everything that the cache keeps.
    """

    settings: Settings
    cache: SemanticCache
    regions: RiskRegions
    judge: LearningJudge
    embedder: Embedder
    clock: Clock
    log: SqliteLog
    folder: Path

    @property
    def scope(self) -> Scope:
        """Of a caller whom nobody has identified."""
        return Scope(self.settings.bank.tenant, self.settings.bank.locale)

    def make_index(self) -> VectorIndex:
        """An empty index for this embedder's vectors."""
        return FaissIndex(self.embedder.dim)


@dataclass(frozen=True, slots=True)
class CacheLogs:
    """The files of a cache; `private` is None without a key: customers' own answers are not kept then."""

    shared: SqliteLog
    private: CacheLog | None


def open_logs(settings: Settings, home: Home, stack: AsyncExitStack) -> CacheLogs:
    """Open the logs of a home, closed with the stack.

    Raises:
        StoreError: if a file is not such a log or cannot be opened.
        ConfigError: if the key is none, or customers' own answers are there and the key is not.
    """
    private_path = home.cache / "private.sqlite"
    if settings.cache_key is None and private_path.exists():
        raise ConfigError(
            f"{private_path.name} holds customers' own answers, and TELLER_CACHE_KEY is not set: set the key that they "
            "were written with, or move the file away"
        )
    shared = SqliteLog(home.cache / "log.sqlite")
    stack.callback(shared.close)
    if settings.cache_key is None:
        return CacheLogs(shared, None)
    cipher = AesGcm(_key_bytes(settings.cache_key))
    private = SqliteLog(private_path)
    stack.callback(private.close)
    return CacheLogs(shared, SealedLog(private, cipher))


def _key_bytes(key: SecretStr) -> bytes:
    try:
        return base64.b64decode(key.get_secret_value(), validate=True)
    except ValueError:
        raise ConfigError("TELLER_CACHE_KEY is not base64; make a key with `openssl rand -base64 32`") from None


async def build_cache(
    settings: Settings,
    home: Home,
    logs: CacheLogs,
    embedder: Embedder,
    basis: Basis,
    clock: Clock,
    opposites: Sequence[tuple[str, str]] = (),
) -> OpenCache:
    """A cache over open logs, read to their end.

    Raises:
        ConfigError: if it was filled with another embedder.
        StoreError: if a log cannot be read.
    """
    chosen = settings.cache
    regions = RiskRegions(LiveRegions(max_false_hits=chosen.max_false_hits), lambda: f"{judge.name} on {embedder.name}")
    verifier = verifier_for(embedder.name, embedder.dim)
    judge = LearningJudge(regions, opposites=opposites, verifier=verifier)
    if verifier is None and chosen.mode == "semantic":
        _log.warning("no pair verifier reads the vectors of %s: rules and consensus decide alone", embedder.name)
    store = CacheStore(
        log=logs.shared,
        make_index=lambda: FaissIndex(embedder.dim),
        snapshots=FileSnapshots(home.cache / "snapshots"),
        monitor=regions,
        private_log=logs.private,
    )
    in_force: Judge = judge if chosen.mode == "semantic" else ExactOnly()
    cache = SemanticCache(store, embedder, in_force, basis=lambda: basis, rules=_rules(settings), clock=clock)
    await cache.open()
    return OpenCache(settings, cache, regions, judge, embedder, clock, logs.shared, home.cache)


async def move_logs(logs: CacheLogs, embedder: Embedder, clock: Clock, told: Callable[[int], None]) -> int:
    """Move both logs to another embedder; gives how many entries went along.

    Raises:
        BusyError: if somebody wrote to a log meanwhile.
        EngineError, StoreError: as `migrate`; a log is moved whole or not at all.
    """
    verifier = verifier_for(embedder.name, embedder.dim)
    judge = LearningJudge(RiskRegions(LiveRegions(), lambda: embedder.name), verifier=verifier)
    both = [logs.shared, logs.private] if logs.private is not None else [logs.shared]
    return sum([await migrate(log, embedder, judge, clock, told=told) for log in both])


def _rules(settings: Settings) -> CacheRules:
    chosen = settings.cache
    return CacheRules(
        eligible=lambda question, _: policy.cannot_be_cached(question, Memory()),
        ttl_s={
            DataClass.PUBLIC: chosen.ttl_public_s,
            DataClass.PRODUCT: chosen.ttl_product_s,
            DataClass.CUSTOMER: min(chosen.ttl_product_s, 300),
        },
        enabled=chosen.mode != "off",
        max_entries=chosen.max_entries,
    )


async def keep_up(cache: SemanticCache, every_s: float = 15.0) -> None:
    """Upkeep now and then, until cancelled; what fails is tried again."""
    while True:
        await asyncio.sleep(every_s)
        for upkeep in (cache.upkeep, cache.private_upkeep):
            try:
                if upkeep is not None:
                    await upkeep.tend()
            except (StoreError, BusyError) as exc:
                _log.warning("the cache's upkeep will be tried again: %s", exc)


class NamedEmbedder:
    """Stands for the embedder that a log was filled with, where nothing has to be embedded."""

    def __init__(self, name: str, dim: int) -> None:
        self.name, self.dim = name, dim

    async def embed(self, texts: Sequence[str]) -> Vectors:  # noqa: ARG002
        """Never: EngineUnavailable."""
        raise EngineUnavailable("this cache was opened without its embedder: it can be kept, not asked")

    async def embed_tokens(self, text: str) -> tuple[Vectors, Vectors]:  # noqa: ARG002
        """Never: EngineUnavailable."""
        raise EngineUnavailable("this cache was opened without its embedder: it can be kept, not asked")


async def embedder_of(log: CacheLog) -> NamedEmbedder | None:
    """The embedder that a log was begun with, None for an empty log."""
    first = await log.read(0, 1)
    if not first:
        return None
    body = body_of(first[0])
    if first[0].kind != Kind.EMBEDDER or not isinstance(body.get("name"), str) or not isinstance(body.get("dim"), int):
        raise StoreCorrupt("the cache's log does not begin with its embedder: restore it from a backup")
    return NamedEmbedder(body["name"], body["dim"])


class Learning(Unobserved):
    """What was answered where the cache had nothing teaches the judge."""

    def __init__(self, judge: LearningJudge) -> None:
        self._judge = judge

    def turn_finished(self, record: TurnRecord) -> None:
        """As `Observer.turn_finished`."""
        if record.miss_reason is not None and record.answer.source in (Source.APPROVED, Source.MODEL):
            self._judge.answered(record.question.text, record.answer.answer_id)
