"""The adapters' part of the wiring: what is kept of them in a home, and what serves them while a bot is up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from teller.adapters.audit import AuditLog
from teller.adapters.control import Store
from teller.adapters.evidence import EvidenceStore
from teller.adapters.ledger import Ledger
from teller.adapters.live import LiveAdapters, Residence, Waits
from teller.adapters.registry import Registry
from teller.adapters.roster import Roster, Usage
from teller.adapters.watch import CanaryWatch
from teller.config import Settings
from teller.ports import AdapterHost, Clock, Observer
from teller.stores.home import Home
from teller.stores.signing import Ed25519Signer

# Largest difference of a log-probability that is rounding; manifests are made in float32 on a CPU.
_SAME_ENGINE, _OTHER_ENGINE = 0.01, 0.15


@dataclass(frozen=True, slots=True)
class OpenAdapters:
    """The adapters of a running bot; `watch` is to be told of its turns."""

    live: LiveAdapters
    watch: CanaryWatch


def adapter_store(home: Home, clock: Clock) -> Store:
    """What is kept of adapters in a home; nothing is read yet."""
    signer = Ed25519Signer(home.keys)
    return Store(
        ledger=Ledger(AuditLog(home.adapters / "audit.jsonl", signer), clock),
        registry=Registry(home.adapters),
        evidence=EvidenceStore(home.adapters / "evidence", signer),
        roster=Roster(home.adapters / "servers"),
        signer=signer,
        clock=clock,
    )


def residence_of(settings: Settings, home: Home, store: Store, host: AdapterHost) -> Residence:
    """The host of the settings, and what must be so before a version is served there."""
    is_shared = settings.engines.adapter_host != "none"
    return Residence(
        host=host,
        check=lambda version: store.check(version, host.base_digest),
        tolerance=_OTHER_ENGINE if is_shared else _SAME_ENGINE,
        usage=Usage(home.adapters / "servers") if is_shared else None,
    )


@asynccontextmanager
async def open_adapters(
    settings: Settings, home: Home, host: AdapterHost | None, observer: Observer, clock: Clock, *, serving: bool
) -> AsyncIterator[OpenAdapters]:
    """Serve what is live, and follow its changes, until the block is left.

    Args:
        settings: how long what may take.
        home: where the adapters are.
        host: None if the generator has none: every call gets the base model.
        observer: is told of every change.
        clock: the machine's.
        serving: whether commands wait for this process to load and prove what they flip to.

    Raises:
        StoreError: if this process cannot be entered among those that serve.
    """
    store, chosen = adapter_store(home, clock), settings.adapters
    seat = store.roster.take_seat() if serving and host is not None else None
    try:
        live = LiveAdapters(
            store.ledger,
            residence_of(settings, home, store, host) if host is not None else None,
            seat=seat,
            observer=observer,
            clock=clock,
            waits=Waits(load_s=chosen.load_timeout_s, unload_s=chosen.unload_timeout_s, drain_s=float(chosen.drain_s)),
        )
        watch = CanaryWatch(store.ledger, drop=chosen.canary_drop, false_withdrawals=chosen.canary_false_withdrawals)
        await live.open()
        following = asyncio.create_task(live.run())
        try:
            yield OpenAdapters(live, watch)
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following
    finally:
        if seat is not None:
            seat.leave()
