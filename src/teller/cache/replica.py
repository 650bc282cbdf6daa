"""What one process knows of a cache, kept up to date with the log.

Holdings change only while events are applied, on the event loop's thread; searches run on the same thread between
awaits. So a search never meets a writer, and a row number is good until the next await. Whoever changes the cache
appends to the log and catches up like everyone else: index and answers cannot disagree.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from teller.cache.events import Kind, body_of, write
from teller.cache.freezing import freeze, thaw
from teller.cache.holdings import Folded, Holdings, Making
from teller.errors import ConfigError, StoreCorrupt, StoreError
from teller.ports import CacheLog, Event, Snapshots

_BATCH = 512  # events applied before others get a turn


class Replica:
    """Holdings that follow a log.

    Attributes:
        state: what the log amounts to; replaced as a whole when the log must be read anew, so hold it no longer than
            until the next await.
        served: hits by entry that the log has not been told of.
    """

    def __init__(self, log: CacheLog, making: Making) -> None:
        self._log = log
        self._making = making
        self._lock = asyncio.Lock()
        self.state = Holdings(making)
        self.served: Counter[int] = Counter()

    async def open(self, snapshots: Snapshots | None = None) -> None:
        """Read the log to its end, from the newest snapshot on if it fits; begin it if it is new.

        Raises:
            ConfigError: if the log's vectors come from another embedder.
            StoreCorrupt: if the log cannot be read.
        """
        found = snapshots.load() if snapshots is not None else None
        first = await self._log.read(0, 1) if found is not None else []
        begun = thaw(found, self._making, str(body_of(first[0]).get("log"))) if found and first else None
        self.state = begun or Holdings(self._making, fresh_since=self._log.head())
        await self._read_to(self._log.head())
        if not self.state.log_id:
            about = {"name": self._making.embedder, "dim": self._making.dim, "log": secrets.token_hex(8)}
            await self.append([write(Kind.EMBEDDER, 0.0, **about)])

    async def catch_up(self) -> None:
        """Apply what has happened since; microseconds if nothing has.

        Raises:
            StoreCorrupt: if the log cannot be read.
            StoreError: if it has been migrated to another embedder meanwhile.
        """
        head = self._log.head()
        if head == self.state.settled:
            return
        try:
            await self._read_to(head)
        except ConfigError as exc:
            raise StoreError("the cache was migrated to another embedder: restart with that one") from exc

    async def _read_to(self, target: int) -> None:
        """Up to a head of the log: what was written after it may be for the next time."""
        async with self._lock:
            if target < self.state.settled and self._log.head() < self.state.settled:
                raise StoreCorrupt(f"the cache's log went back from {self.state.settled} to {target}: restart")
            while self.state.settled < target:
                try:
                    await self._read_on(target)
                except Folded:
                    self.state = Holdings(self._making, fresh_since=self._log.head())

    async def append(self, events: Sequence[Event], *, forget: Sequence[int] = (), only_at: int | None = None) -> int:
        """Write to the log and apply what was written; gives the number of the last event.

        Raises:
            BusyError: if the log is no longer at `only_at`.
            StoreError: if it could not be written; nothing has changed.
        """
        last = await self._log.append(events, forget=forget, only_at=only_at)
        await self.catch_up()
        return last

    async def tell(self, now: float) -> None:
        """Tell the log how often entries were served since the last time, and what the judge has learned.

        Raises:
            StoreError: if it could not be written; what was to be told is lost.
        """
        events = []
        if self.served:
            counts = [[entry_id, times, int(now)] for entry_id, times in self.served.items()]
            self.served.clear()
            events.append(write(Kind.HITS, now, n=counts))
        if self._making.monitor is not None and (learned := self._making.monitor.untold()):
            events.append(write(Kind.LEARNED, now, **learned))
        if events:
            await self.append(events)

    async def whole_log(self) -> list[Event]:
        """Every event that is still in the log."""
        found: list[Event] = []
        while batch := await self._log.read(found[-1].seq if found else 0):
            found += batch
        return found

    def save(self, snapshots: Snapshots) -> None:
        """Keep the present state; takes as long as it takes.

        Raises:
            StoreError: if it cannot be written.
        """
        freeze(self.state, snapshots, self._observed())

    async def save_apart(self, snapshots: Snapshots) -> bool:
        """Keep the present state without holding anybody up: a twin on a thread of its own reads the same and saves it.

        False if the log was compacted meanwhile, so that the twin could not read the same.

        Raises:
            StoreError: if it cannot be written.
        """
        await self.catch_up()
        twin = Replica(_UpTo(self._log, self.state.applied), replace(self._making, monitor=None))
        return await asyncio.to_thread(asyncio.run, twin._save_as_twin(snapshots, self._observed(), self._log))

    async def _save_as_twin(self, snapshots: Snapshots, observed: Mapping[str, Any], log: CacheLog) -> bool:
        await self.open(snapshots)
        seen = self.state.applied
        while later := await log.read(seen, _BATCH):
            if any(event.kind == Kind.COMPACTED for event in later):
                return False
            seen = later[-1].seq
        freeze(self.state, snapshots, observed)
        return True

    def _observed(self) -> Mapping[str, Any]:
        return self._making.monitor.dump() if self._making.monitor is not None else {}

    async def _read_on(self, head: int) -> None:
        while True:
            events = await self._log.read(self.state.applied, _BATCH)
            self.state.apply(events)
            if len(events) < _BATCH:
                break
            await asyncio.sleep(0)
        self.state.settled = self.state.applied = max(head, self.state.applied)


class _UpTo:
    """A log as it was when it had this head."""

    def __init__(self, log: CacheLog, head: int) -> None:
        self._log = log
        self._head = head

    def head(self) -> int:
        """As `CacheLog.head`."""
        return self._head

    async def append(self, events: Sequence[Event], *, forget: Sequence[int] = (), only_at: int | None = None) -> int:
        """Never: what was is not changed."""
        raise StoreError(f"{len(events)} events, {len(forget)} to forget and {only_at} came to a log that only is read")

    async def read(self, after: int, limit: int = 10_000) -> list[Event]:
        """As `CacheLog.read`."""
        return [event for event in await self._log.read(after, limit) if event.seq <= self._head]
