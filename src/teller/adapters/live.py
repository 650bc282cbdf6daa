"""The adapters of one running process: which version a new call gets, what is resident for it, and for how long.

A call is pinned at its first turn by one look at the audit log's length; a version is given out only once it is loaded
and proven here, so a call never waits for a load. What is no longer live is unloaded once no call holds it, or when its
time is over; a host that is dead or hangs holds up no call and no flip. Not here: who may flip what (control.py).
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakSet

from teller.adapters.applied import prove_applied
from teller.adapters.ledger import Ledger, Live, Version, toggle_of
from teller.adapters.manifest import Manifest
from teller.adapters.roster import Order, Report, Seat, Usage
from teller.call import Call, Pin
from teller.errors import EngineTimeout, StoreCorrupt, StoreError, TellerError
from teller.ports import AdapterHost, Clock, Observer
from teller.turn import Toggle

_log = logging.getLogger("teller.adapters")
_LOOK_EVERY_S = 0.1  # for orders and for changes while no call begins
_BUSY_S = 0.1


@dataclass(frozen=True, slots=True)
class Checked:
    """A version whose folder has been found sound."""

    folder: Path
    manifest: Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """How long what may take, in seconds.

    Attributes:
        load_s: a load with its proof.
        unload_s: an unload, before the host is left alone with it.
        drain_s: a version that is no longer live is kept for the calls that hold it.
        retry_s: between two tries to get ready what is live, and between two looks at what is resident.
    """

    load_s: float = 60.0
    unload_s: float = 10.0
    drain_s: float = 1_800.0
    retry_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Residence:
    """Where versions are resident, and what must be so before one is served.

    Attributes:
        check: gives the folder of a version that is sound, or raises; it blocks.
        tolerance: as `prove_applied`.
        usage: tells the processes of a host apart that share it; None for a host in this process.
    """

    host: AdapterHost
    check: Callable[[Version], Checked]
    tolerance: float
    usage: Usage | None = None


@asynccontextmanager
async def proven(residence: Residence, version: Version, waits: Waits) -> AsyncIterator[Checked]:
    """Have a version resident and proven while the block runs, where no server does it.

    It is unloaded afterwards, unless another process uses it by then; a host that does not let it go is left alone.

    Raises:
        TellerError: if it cannot be served.
    """
    served = version.served
    try:
        try:
            async with asyncio.timeout(waits.load_s):
                checked = await asyncio.to_thread(residence.check, version)
                await _begin(residence.usage, served)
                await residence.host.load(served, checked.folder.absolute())
                await prove_applied(residence.host, served, checked.manifest, tolerance=residence.tolerance)
        except TimeoutError:
            raise EngineTimeout(f"{served} was not loaded and proven within {waits.load_s:g} s") from None
        yield checked
    finally:
        with suppress(TellerError, TimeoutError):
            if residence.usage is None or residence.usage.end(served):
                async with asyncio.timeout(waits.unload_s):
                    await residence.host.unload(served)
        if residence.usage is not None:
            residence.usage.free(served)


class LiveAdapters:
    """What this process serves.

    Args:
        ledger: what is live.
        residence: None where no adapter can be served: every call gets the base model.
        seat: in the roster; None for a process that takes no orders.
        observer: is told of every change, whoever made it.

    Attributes:
        ready: versions that are loaded and proven here, by served name.
    """

    def __init__(
        self,
        ledger: Ledger,
        residence: Residence | None,
        *,
        seat: Seat | None,
        observer: Observer,
        clock: Clock,
        waits: Waits,
    ) -> None:
        self.ready: dict[str, Version] = {}
        self._ledger = ledger
        self._residence = residence
        self._seat = seat
        self._observer = observer
        self._clock = clock
        self._waits = waits
        self._loaded: dict[str, Version] = {}
        self._pins: defaultdict[str, WeakSet[Pin]] = defaultdict(WeakSet)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._expected: dict[str, float] = {}  # ordered, not live yet: kept until then
        self._unwanted: dict[str, float] = {}  # since when
        self._retry: dict[str, float] = {}
        self._looked = 0.0
        self._told: set[str] = set()  # versions whose failure is on record
        self._is_damaged = False
        self._woken = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def open(self) -> None:
        """Get ready what is live; what cannot be is on record, and calls get the base model meanwhile."""
        self._follow(telling=False)
        for version in self._ledger.live.versions:
            await self._try(version)

    async def run(self) -> None:
        """Do what orders and changes ask for, until cancelled."""
        try:
            while True:
                self.tend()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_EVERY_S):
                        await self._woken.wait()
                self._woken.clear()
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def pin(self, call: Call) -> Pin:
        """The version that a call keeps from its first turn on."""
        self._follow()
        live = self._ledger.live
        if live.canary and live.canary.served in self.ready and drawn(call.id, live.canary, live.share):
            return self._hold(live.canary)
        if live.version and live.version.served in self.ready:
            return self._hold(live.version)
        return Pin()

    @property
    def now(self) -> Live:
        """What is live, as this process has last read it."""
        return self._ledger.live

    def tend(self) -> None:
        """Begin what is due; returns at once."""
        self._follow()
        for order in self._orders():
            self._spawn(f"order {order.id}", self._obey(order))
        if self._residence is None:
            return
        now = self._clock.monotonic()
        for version in self._ledger.live.versions:
            if version.served not in self.ready and now >= self._retry.get(version.served, 0.0):
                self._spawn(f"ready {version.served}", self._try(version))
        if self.ready and now - self._looked >= self._waits.retry_s:
            self._looked = now
            self._spawn("look", self._look(self._residence))
        for version in self._overdue(now):
            self._spawn(f"let go {version.served}", self._let_go(version, self._residence))

    def _follow(self, *, telling: bool = True) -> None:
        """Take over what the log says; without it there is the base model."""
        try:
            records = self._ledger.catch_up()
        except StoreError as exc:
            if not self._is_damaged:
                lost = "new calls get the base model" if isinstance(exc, StoreCorrupt) else "the last state stays"
                _log.error("the adapters' audit log cannot be read, %s: %s", lost, exc)
            self._is_damaged = True
            return
        self._is_damaged = False
        if records:
            self._woken.set()
        for toggle in filter(None, map(toggle_of, records)):
            for served in (toggle.after, toggle.canary):
                self._expected.pop(served or "", None)  # it has come
            if telling:
                self._observer.adapter_toggled(toggle)

    def _hold(self, version: Version) -> Pin:
        pin = Pin(version.served, (version.digest,))
        self._pins[version.served].add(pin)
        return pin

    def _orders(self) -> list[Order]:
        try:
            return self._seat.orders() if self._seat else []
        except StoreError as exc:
            _log.warning("orders cannot be read: %s", exc)
            return []

    def _overdue(self, now: float) -> list[Version]:
        """Loaded versions that nothing keeps any more."""
        live = {version.served for version in self._ledger.live.versions}
        due = []
        for served, version in self._loaded.items():
            if served in live or now < self._expected.get(served, 0.0):
                self._unwanted.pop(served, None)
                continue
            since = self._unwanted.setdefault(served, now)
            is_over = not self._pins[served] or now - since >= self._waits.drain_s
            if is_over and now >= self._retry.get(served, 0.0):
                due.append(version)
        return due

    async def _obey(self, order: Order) -> None:
        """Get ready what a command is about to flip to, and report."""
        left_s = order.deadline - self._clock.now()
        if left_s <= 0:
            return
        self._expected[order.version.served] = self._clock.monotonic() + left_s
        try:
            await self._get_ready(order.version)
            report = Report()
        except TellerError as exc:
            report = Report(str(exc))
            self._expected.pop(order.version.served, None)
        try:
            if self._seat:
                self._seat.report(order, report)
        except StoreError as exc:
            _log.warning("a report cannot be left: %s", exc)

    async def _try(self, version: Version) -> None:
        """Get ready what is live; what fails is put on record once, and tried again later."""
        try:
            await self._get_ready(version)
        except TellerError as exc:
            self._retry[version.served] = self._clock.monotonic() + self._waits.retry_s
            _log.error("%s is live and cannot be served here; calls get the base model: %s", version.served, exc)
            if version.served not in self._told:
                self._told.add(version.served)
                who = f"teller, server {self._seat.id}" if self._seat else "teller"
                why = f"live, but this server cannot serve it and answers with the base model: {exc}"
                with suppress(TellerError):
                    await asyncio.to_thread(self._ledger.refuse, Toggle.ENABLE, version, who=who, why=why)
        else:
            self._told.discard(version.served)

    async def _get_ready(self, version: Version) -> None:
        """Check, load and prove a version.

        Raises:
            TellerError: if it cannot be served; it is not ready then.
        """
        residence, served = self._residence, version.served
        if residence is None:
            raise StoreError("engines.generator has no host for adapters, so no version can be served")
        async with self._locks[served]:
            try:
                async with asyncio.timeout(self._waits.load_s):
                    checked = await asyncio.to_thread(residence.check, version)
                    await _begin(residence.usage, served)
                    self._loaded[served] = version
                    await residence.host.load(served, checked.folder.absolute())
                    await prove_applied(residence.host, served, checked.manifest, tolerance=residence.tolerance)
            except TimeoutError:
                self.ready.pop(served, None)
                message = f"{served} was not loaded and proven within {self._waits.load_s:g} s"
                raise EngineTimeout(message) from None
            except TellerError:
                self.ready.pop(served, None)
                raise
            self.ready[served] = version

    async def _look(self, residence: Residence) -> None:
        """Notice what a host has lost: it was started anew, or it made room."""
        try:
            async with asyncio.timeout(self._waits.unload_s):
                resident = await residence.host.resident()
        except (TellerError, TimeoutError):
            return  # a host that does not answer may still have everything
        for served in set(self.ready) - set(resident):
            _log.warning("the host has lost %s", served)
            self.ready.pop(served, None)
            self._loaded.pop(served, None)
            if residence.usage is not None:
                residence.usage.free(served)

    async def _let_go(self, version: Version, residence: Residence) -> None:
        """Unload a version, unless it is wanted again by now; a host that does not let go is asked again later."""
        served = version.served
        async with self._locks[served]:
            if version not in self._overdue(self._clock.monotonic()):
                return
            self.ready.pop(served, None)
            try:
                if residence.usage is None or residence.usage.end(served):
                    async with asyncio.timeout(self._waits.unload_s):
                        await residence.host.unload(served)
            except (TellerError, TimeoutError) as exc:
                self._retry[served] = self._clock.monotonic() + self._waits.retry_s
                _log.warning("%s is not live and its host does not let it go: %s", served, exc or "it hangs")
                return
            finally:
                if residence.usage is not None:
                    residence.usage.free(served)
            for kept in (self._loaded, self._unwanted, self._expected, self._retry, self._pins):
                kept.pop(served, None)

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run something beside the loop, unless it is running already."""
        if name in self._tasks:
            work.close()
            return
        task = self._tasks[name] = asyncio.create_task(work)
        task.add_done_callback(lambda _: self._tasks.pop(name, None))


def drawn(call_id: str, canary: Version, share: float) -> bool:
    """Whether a call is among the share that gets the canary; every process draws the same, each canary anew."""
    draw = hashlib.blake2b(f"{canary.digest}\0{call_id}".encode(), digest_size=8).digest()
    return int.from_bytes(draw, "big") < share * 2**64


async def _begin(usage: Usage | None, served: str) -> None:
    while usage is not None and not usage.begin(served):  # noqa: ASYNC110  no event comes from another process
        await asyncio.sleep(_BUSY_S)
