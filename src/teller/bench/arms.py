"""The arms of a comparison in this process: one bot, its cache off, exact or semantic, its adapter on or off."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from uuid import uuid4

from teller.bench.replay import InProcess
from teller.bench.traffic import Ask
from teller.call import Pin
from teller.config import Settings
from teller.errors import InputError, StoreError
from teller.stores.home import open_home
from teller.wiring import open_bot

CacheMode = Literal["off", "exact", "semantic"]
_SHARED = ("models", "knowledge", "adapters", "keys")  # of the home: read, or written as any start would
_WARM_UP = Ask("what is the capital of France", "warm-up")


@dataclass(frozen=True, slots=True)
class Arm:
    """One arm; `adapter` off gives every call the base model, on what is live in the home."""

    cache: CacheMode
    adapter: bool

    @property
    def name(self) -> str:
        """As it is shown: "semantic" or "semantic, adapter"."""
        return f"{self.cache}, adapter" if self.adapter else self.cache


def arms_of(caches: Sequence[str], adapters: Sequence[str]) -> tuple[Arm, ...]:
    """Every combination, in order; the first is what the others are compared with.

    Raises:
        InputError: for a name that is none.
    """
    found: list[Arm] = []
    for switch in adapters:
        if switch not in ("off", "on"):
            raise InputError(f"an adapter arm is off or on, got {switch!r}")
        for cache in caches:
            if cache not in ("off", "exact", "semantic"):
                raise InputError(f"a cache arm is off, exact or semantic, got {cache!r}")
            found.append(Arm(cache, switch == "on"))  # type: ignore[arg-type]
    if not found or len(set(found)) != len(found):
        raise InputError("name at least one arm, and each only once")
    return tuple(found)


@asynccontextmanager
async def open_arm(settings: Settings, arm: Arm) -> AsyncIterator[InProcess]:
    """A bot for one arm, warm, with an empty cache of its own; nothing of the home's cache or log is touched.

    Raises:
        InputError: if the adapter is wanted and none is live.
        EngineUnavailable, KnowledgeError, StoreError: as `open_bot`.
    """
    with _own_home(settings) as own:
        cache = settings.cache.model_copy(update={"mode": arm.cache, "shadow_share": 0.0})
        log = settings.log.model_copy(update={"turns": False})
        chosen = settings.model_copy(update={"home": own, "cache": cache, "log": log})
        async with open_bot(chosen, speech=False) as bot:
            orchestrator = bot.orchestrator
            if not arm.adapter:
                orchestrator = replace(orchestrator, pin=lambda _: Pin())
            elif bot.adapters.pin(bot.new_call()).served is None:
                raise InputError("no adapter is live here: `adapter-control enable NAME` first, or leave the arm out")
            target = InProcess(orchestrator, bot.new_call)
            await target.ask(_WARM_UP)
            yield target


@contextmanager
def _own_home(settings: Settings) -> Iterator[Path]:
    """A home under the real one, with its weights and without its cache; removed afterwards."""
    real = open_home(settings.home).path
    own = real / "bench" / uuid4().hex
    try:
        own.mkdir(parents=True, mode=0o700)
        for name in _SHARED:
            (real / name).mkdir(mode=0o700, exist_ok=True)
            (own / name).symlink_to(real / name, target_is_directory=True)
    except OSError as exc:
        raise StoreError(f"the folder bench of the home cannot be used ({exc.strerror})") from exc
    try:
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)  # links in it are removed, not followed
