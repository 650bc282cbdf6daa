"""What one process knows of a cache: entries and indexes derived from the log, and nothing else.

State changes only in `_apply`, event by event, in the log's order, on the event loop's thread; searches run on the same
thread between awaits. So a search never meets a writer, and a row number is good until the next await. Whoever changes
the cache appends to the log and catches up like everyone else: index and answers cannot disagree.

Not here: which neighbours may be served, and when.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from teller.cache.canonical import exact_text
from teller.cache.entries import Entries, Rows, State
from teller.cache.events import LASTING, Kind, PurgeBy, Put, body_of, quantize, write
from teller.cache.orders import Orders, is_superseded, stamp_name
from teller.cache.partition import Partition
from teller.errors import ConfigError, InputError, StoreCorrupt
from teller.ports import CacheLog, Event, Snapshot, Snapshots, VectorIndex, Vectors

_BATCH = 512  # events applied before others get a turn
_FOLD_ROWS = 5_000  # counters in one event of a compaction
_FOLDED = ("hits", "last_hit", "right", "wrong")
_SQUEEZE_FROM = 1_000  # removed rows worth a renumbering
_FORMAT = 1  # of snapshots
_OWN_FILE_FROM = 4_096  # vectors in an index that is saved as its own file; smaller ones are built anew


class _Folded(Exception):  # noqa: N818 - not an error: what this replica had not read yet was folded into other events
    pass


@dataclass(slots=True)
class Shelf:
    """One partition: its key, its index, and its place in the column."""

    partition: Partition
    digest: bytes
    place: int
    index: VectorIndex
    waiting: list[tuple[int, Vectors]] = field(default_factory=list)  # put, not yet in the index

    def settle(self) -> None:
        """Bring what waits into the index."""
        if self.waiting:
            ids = np.array([entry_id for entry_id, _ in self.waiting], dtype=np.int64)
            self.index.add(ids, np.stack([vector for _, vector in self.waiting]))
            self.waiting.clear()


class Replica:
    """Entries, shelves, quarantine and standing orders of one log.

    Attributes:
        shelves: partitions by digest.
        held: put events in quarantine by id, oldest first.
        notes: newest calibration event of each name.
        orders: purges in force.
        disposable: numbers of events that no longer matter.
        applied: number of the last event applied.
        log_id: drawn when the log was begun; empty before.
        served: hits by entry that the log has not been told of.
    """

    def __init__(
        self,
        log: CacheLog,
        make_index: Callable[[], VectorIndex],
        *,
        embedder: str,
        dim: int,
        max_held: int = 10_000,
        on_note: Callable[[Mapping[str, Any]], None] = lambda _: None,
    ) -> None:
        self._log = log
        self._make_index = make_index
        self._embedder = {"name": embedder, "dim": dim}
        self._max_held = max_held
        self._on_note = on_note
        self._lock = asyncio.Lock()
        self.served: Counter[int] = Counter()
        self._apply_one: dict[str, Callable[[Event], None]] = {
            Kind.EMBEDDER: self._check_embedder,
            Kind.PARTITION: self._open_shelf,
            Kind.PUT: self._put,
            Kind.VERIFY: self._verify,
            Kind.HITS: self._count_hits,
            Kind.EVICT: self._evict,
            Kind.PURGE: self._purge,
            Kind.ERASE: self._erase,
            Kind.CALIBRATE: self._note,
            Kind.COMPACTED: self._carry,
        }
        self._reset()

    def _reset(self, fresh_since: int = 0) -> None:
        self.entries = Entries()
        self.shelves: dict[bytes, Shelf] = {}
        self.held: dict[int, Event] = {}
        self.notes: dict[str, Event] = {}
        self.orders = Orders()
        self.disposable = array("q")
        self.applied = 0
        self.log_id = ""
        self._places: list[Shelf] = []
        self._head = 0  # of the log, when everything up to it was applied
        self._fresh_since = fresh_since  # head of the log when reading began at its start

    async def open(self) -> None:
        """Read the log to its end; a new log is told which embedder its vectors come from.

        Raises:
            ConfigError: if the log's vectors come from another embedder.
            StoreCorrupt: if the log cannot be read.
        """
        self._fresh_since = self._log.head()
        await self.catch_up()
        if not self.log_id:
            await self._log.append([write(Kind.EMBEDDER, 0.0, **self._embedder, log=secrets.token_hex(8))])
            await self.catch_up()

    async def append(self, events: Sequence[Event], *, forget: Sequence[int] = (), only_at: int | None = None) -> int:
        """Write to the log and apply what was written; gives the number of the last event.

        Raises:
            StoreError: if it could not be written; nothing has changed.
        """
        last = await self._log.append(events, forget=forget, only_at=only_at)
        await self.catch_up()
        return last

    async def flush_hits(self, now: float) -> None:
        """Tell the log how often entries were served since the last time.

        Raises:
            StoreError: if it could not be written.
        """
        if self.served:
            counts = [[entry_id, times, int(now)] for entry_id, times in self.served.items()]
            self.served.clear()
            await self.append([write(Kind.HITS, now, n=counts)])

    async def catch_up(self) -> None:
        """Apply what has happened since; microseconds if nothing has.

        Raises:
            StoreCorrupt: if the log cannot be read.
        """
        if self._log.head() == self._head:
            return
        async with self._lock:
            while (head := self._log.head()) != self._head:
                if head < self._head:
                    raise StoreCorrupt(
                        f"the cache's log went back from {self._head} to {head}: restart to read it anew"
                    )
                try:
                    await self._read_on(head)
                except _Folded:
                    self._reset(fresh_since=head)

    async def _read_on(self, head: int) -> None:
        while True:
            events = await self._log.read(self.applied, _BATCH)
            self._apply(events)
            if len(events) < _BATCH:
                break
            await asyncio.sleep(0)
        self._head = self.applied = max(head, self.applied)

    def _apply(self, events: Sequence[Event]) -> None:
        for event in events:
            change = self._apply_one.get(event.kind)
            if change is not None:
                change(event)
            self.applied = event.seq
        for shelf in self._places:
            shelf.settle()
        if self.entries.rows - len(self.entries) > max(_SQUEEZE_FROM, len(self.entries) // 3):
            self.entries.squeeze()

    def _check_embedder(self, event: Event) -> None:
        found = body_of(event)
        if {name: found.get(name) for name in self._embedder} != self._embedder:
            raise ConfigError(
                f"this cache holds vectors of {found.get('name')!r} ({found.get('dim')} dimensions), the embedder in "
                f"use is {self._embedder['name']!r} ({self._embedder['dim']}): use the first again, or embed every "
                "entry anew with `cache-manager migrate`"
            )
        if self.log_id:
            self.disposable.append(event.seq)
        self.log_id = self.log_id or str(found["log"])

    def _open_shelf(self, event: Event) -> None:
        partition = Partition.read(body_of(event))
        digest = partition.digest
        if digest in self.shelves:
            self.disposable.append(event.seq)
            return
        shelf = Shelf(partition, digest, len(self._places), self._make_index())
        self._places.append(shelf)
        self.shelves[digest] = shelf

    def _put(self, event: Event) -> None:
        put = Put.read(event)
        shelf = self.shelves.get(put.partition)
        if shelf is None or self.orders.forbid(put.answer.stamps, shelf.partition):
            self.disposable.append(event.seq)  # erased or outdated while it was under way
            return
        if put.vector.shape != (self._embedder["dim"],):
            raise StoreCorrupt(f"event {event.seq} of the cache's log has a vector of {put.vector.shape}")
        if put.trusted:
            self._shelve(event.seq, put, shelf, event.at)
            return
        self.held[event.seq] = event
        if len(self.held) > self._max_held:
            self._drop_held([next(iter(self.held))])

    def _shelve(self, entry_id: int, put: Put, shelf: Shelf, at: float) -> None:
        """Put an entry in service in place of an older one for the same asking."""
        row = self.entries.exact(shelf.digest, shelf.place, put.question, exact_text(put.question))
        if row >= 0 and not self.entries.column("state")[row]:
            self._remove(np.array([row]), State.GONE)
        self.entries.add(entry_id, put, shelf.place, at)
        shelf.waiting.append((entry_id, put.vector))

    def _verify(self, event: Event) -> None:
        body = body_of(event)
        self.disposable.append(event.seq)
        row = self.entries.row_of(int(body["id"]))
        if row >= 0:
            self.entries.column("right" if body["right"] else "wrong")[row] += 1

    def _count_hits(self, event: Event) -> None:
        self.disposable.append(event.seq)
        for entry_id, times, last in body_of(event)["n"]:
            row = self.entries.row_of(entry_id)
            if row >= 0:
                self.entries.column("hits")[row] += times
                self.entries.column("last_hit")[row] = last

    def _evict(self, event: Event) -> None:
        ids = np.array(body_of(event)["ids"], dtype=np.int64)
        self.disposable.append(event.seq)
        self._drop_held(ids.tolist())
        self._remove(self.entries.rows_of(ids), State.GONE)

    def _purge(self, event: Event) -> None:
        body = body_of(event)
        by, what = PurgeBy(body["by"]), str(body["what"])
        if by not in LASTING:
            self.disposable.append(event.seq)
        self.orders.add(by, what)
        rows, held = self.selected(by, what)
        self._drop_held(held)
        self._remove(rows, State.STALE if by in LASTING else State.GONE)

    def _erase(self, event: Event) -> None:
        customer = body_of(event)["customer"]
        for shelf in [shelf for shelf in self.shelves.values() if shelf.partition.customer == customer]:
            rows, held = self.selected(PurgeBy.PARTITION, shelf.digest.hex())
            self._drop_held(held)
            self._remove(rows, State.GONE)
            del self.shelves[shelf.digest]

    def _note(self, event: Event) -> None:
        body = body_of(event)
        older = self.notes.get(body["name"])
        if older is not None:
            self.disposable.append(older.seq)
        self.notes[body["name"]] = event
        self._on_note(body)

    def _carry(self, event: Event) -> None:
        """Take over counters that a compaction folded, unless the originals were read."""
        body = body_of(event)
        self.disposable.append(event.seq)
        if self._head >= body["below"]:
            return
        if self._fresh_since < event.seq:
            raise _Folded
        for entry_id, *counts in body["counts"]:
            row = self.entries.row_of(entry_id)
            if row >= 0:
                for name, count in zip(_FOLDED, counts, strict=True):
                    self.entries.column(name)[row] += count

    def _remove(self, rows: Rows, state: State) -> None:
        if not len(rows):
            return
        places, ids = self.entries.column("partition")[rows], self.entries.column("id")[rows]
        for place in np.unique(places).tolist():
            shelf = self._places[place]
            shelf.settle()
            shelf.index.remove(ids[places == place])
        self.disposable.extend(ids.tolist())
        self.entries.remove(rows, state)

    def selected(self, by: PurgeBy, what: str) -> tuple[Rows, list[int]]:
        """Live rows and held ids that a purge would take."""
        name = stamp_name(what)
        if by in (PurgeBy.STAMP, PurgeBy.CURRENT):
            is_dead = what.__eq__ if by is PurgeBy.STAMP else lambda stamp: is_superseded(stamp, {name: what})
            rows = self.entries.stamped(is_dead)
            return rows, self._held_where(lambda put, _: any(map(is_dead, put.answer.stamps)))
        if by is PurgeBy.ANSWER:
            rows = self.entries.where(np.isin(self.entries.column("answer"), self.entries.answers_with(what)))
            return rows, self._held_where(lambda put, _: put.answer.answer_id == what)
        if by is PurgeBy.ADAPTER:
            places = [shelf.place for shelf in self._places if what in shelf.partition.basis.adapters]
        elif by is PurgeBy.TENANT:
            places = [shelf.place for shelf in self._places if shelf.partition.tenant == what]
        else:
            places = [shelf.place for shelf in self._places if shelf.digest.hex() == what]
        rows = self.entries.where(np.isin(self.entries.column("partition"), places))
        return rows, self._held_where(lambda _, shelf: shelf.place in places)

    def _held_where(self, is_wanted: Callable[[Put, Shelf], bool]) -> list[int]:
        found = []
        for entry_id, event in self.held.items():
            put = Put.read(event)
            if is_wanted(put, self.shelves[put.partition]):
                found.append(entry_id)
        return found

    def _drop_held(self, ids: Iterable[int]) -> None:
        self.disposable.extend([entry_id for entry_id in ids if self.held.pop(entry_id, None)])

    def fold(self, at: float) -> list[Event]:
        """The events of a compaction: counters of the events in `disposable`, which may then be forgotten."""
        columns = [self.entries.column(name) for name in ("id", *_FOLDED)]
        rows = self.entries.where((columns[1] > 0) | (columns[3] > 1) | (columns[4] > 0))
        table = np.stack([column[rows].astype(np.int64) for column in columns], axis=1)
        table[:, 3] -= 1  # the first check is the put's own
        parts = [table[start : start + _FOLD_ROWS].tolist() for start in range(0, max(1, len(table)), _FOLD_ROWS)]
        return [write(Kind.COMPACTED, at, below=self.applied, counts=part) for part in parts]

    def save(self, snapshots: Snapshots) -> None:
        """Keep the present state.

        Raises:
            StoreError: if it cannot be written.
        """
        arrays = self.entries.dump()
        indexes = {}
        for shelf in self.shelves.values():
            if len(shelf.index) >= _OWN_FILE_FROM:
                indexes[str(shelf.place)] = shelf.index
                continue
            ids = self.entries.column("id")[self.entries.column("partition") == shelf.place]
            if len(ids):
                arrays[f"ids_{shelf.place}"] = ids
                arrays[f"codes_{shelf.place}"] = quantize(shelf.index.vectors(ids))[0]
        arrays["disposable"] = np.array(self.disposable, dtype=np.int64)
        snapshots.save(self._meta(), arrays, indexes)

    def _meta(self) -> dict[str, Any]:
        events = [*self.held.values(), *self.notes.values()]
        return {
            "format": _FORMAT,
            "log": self.log_id,
            "embedder": self._embedder,
            "applied": self.applied,
            "orders": self.orders.dump(),
            "partitions": [shelf.partition.parts() for shelf in self._places],
            "closed": [shelf.place for shelf in self._places if shelf.digest not in self.shelves],
            "events": [[event.kind, base64.b64encode(event.body).decode(), event.at, event.seq] for event in events],
        }

    async def restore(self, snapshots: Snapshots) -> bool:
        """Begin with a snapshot instead of an empty state; False if there is none for this log and this embedder."""
        snapshot = snapshots.load()
        if snapshot is None or not await self._fits(snapshot.meta):
            return False
        try:
            self._thaw(snapshot)
        except (StoreCorrupt, InputError, KeyError, ValueError, TypeError):
            self._reset()
            return False
        return True

    async def _fits(self, meta: Mapping[str, Any]) -> bool:
        first = await self._log.read(0, 1)
        same = meta.get("format") == _FORMAT and meta.get("embedder") == self._embedder
        return same and bool(first) and body_of(first[0]).get("log") == meta.get("log") != ""

    def _thaw(self, snapshot: Snapshot) -> None:
        meta, arrays = snapshot.meta, snapshot.arrays
        self.entries.load(arrays)
        for place, parts in enumerate(meta["partitions"]):
            partition = Partition.read(parts)
            shelf = Shelf(partition, partition.digest, place, self._make_index())
            if str(place) in snapshot.indexes:
                shelf.index.load(snapshot.indexes[str(place)])
            elif f"ids_{place}" in arrays:
                codes = arrays[f"codes_{place}"].astype(np.float32)
                shelf.index.add(arrays[f"ids_{place}"], codes / np.linalg.norm(codes, axis=1, keepdims=True))
            self._places.append(shelf)
        self.shelves = {shelf.digest: shelf for shelf in self._places if shelf.place not in meta["closed"]}
        if sum(len(shelf.index) for shelf in self._places) != len(self.entries):
            raise StoreCorrupt("a snapshot's indexes and entries differ in number")
        self.orders.load(meta["orders"])
        self.disposable = array("q", arrays["disposable"].tolist())
        for kind, body, at, seq in meta["events"]:
            event = Event(kind, base64.b64decode(body), at, seq)
            if kind == Kind.PUT:
                self.held[seq] = event
            else:
                self._note(event)
        self.log_id, self.applied, self._head = meta["log"], meta["applied"], meta["applied"]
