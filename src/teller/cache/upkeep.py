"""What keeps a cache true and small: checks, eviction, purges, quarantine, compaction. Every change is an event.

The same object serves the running bot and the command line; a change made by one is seen by the other at its next
lookup. Not here: erasure of a customer (erasure.py), finding answers (semantic.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from teller.cache.entries import Rows
from teller.cache.events import Kind, PurgeBy, write
from teller.cache.eviction import Columns, victims
from teller.cache.holdings import Shelf, lesson
from teller.cache.metric import is_due, learn, sample
from teller.cache.partition import Partition
from teller.cache.replica import Replica
from teller.cache.rules import CacheRules
from teller.errors import BusyError, InputError
from teller.ports import Clock, Snapshots, Vectors
from teller.turn import Answer, Value

_BATCH = 5_000  # ids in one event
_ROOM = 0.98  # of a limit is left filled after an eviction, so that evicting is rare
_COMPACT_FROM = 10_000  # events that no longer matter
_SNAPSHOT_AFTER = 5_000  # events since the last one
_TRIES = 5
_READ_AT_ONCE = 500  # entries, in about a millisecond


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as an operator sees it."""

    id: int
    partition: Partition
    question: str
    values: tuple[Value, ...]
    answer: Answer
    at: float
    expires_at: float
    hits: int
    last_hit: float
    right: int
    wrong: int
    accuracy: float
    cost_ms: float
    held: bool = False


@dataclass(frozen=True, slots=True)
class Totals:
    """A cache in numbers; `hits`, and `right` and `wrong` of the checked ones, are of the entries that are there."""

    entries: int
    held: int
    partitions: int
    answers: int
    hits: int
    right: int
    wrong: int
    memory_bytes: int
    events: int
    disposable: int


class Upkeep:
    """Upkeep of one replica.

    Args:
        snapshots: kept and renewed by `tend`; None for none.
    """

    def __init__(
        self, replica: Replica, rules: CacheRules, clock: Clock, *, snapshots: Snapshots | None = None
    ) -> None:
        self._replica = replica
        self._rules = rules
        self._clock = clock
        self._snapshots = snapshots
        self._snapshot_at = replica.state.applied
        self._tried: dict[bytes, int] = {}  # entries in a partition when it was last asked what it teaches

    async def entries(self) -> Iterator[Entry]:
        """Every entry in the order of ids, those in quarantine last."""
        await self._replica.catch_up()
        return self._iterate()

    async def entry(self, entry_id: int) -> Entry:
        """One entry.

        Raises:
            InputError: if there is none with this id.
        """
        await self._replica.catch_up()
        row = self._replica.state.entries.row_of(entry_id)
        if row >= 0:
            return self._entry(row)
        if entry_id in self._replica.state.held:
            return self._held(entry_id)
        raise InputError(f"there is no entry {entry_id}: `cache-manager list` shows what there is")

    async def totals(self) -> Totals:
        """The cache in numbers."""
        await self._replica.catch_up()
        entries = self._replica.state.entries
        live = entries.where(np.ones(entries.rows, dtype=bool))
        sums = {name: int(entries.column(name)[live].sum()) for name in ("hits", "right", "wrong")}
        sums["right"] -= len(entries)  # each counts itself once: it was found right before it was kept
        return Totals(
            entries=len(entries),
            held=len(self._replica.state.held),
            partitions=sum(1 for shelf in self._replica.state.shelves.values() if len(shelf.index)),
            answers=int(np.count_nonzero(np.bincount(entries.column("answer")[live]))),
            memory_bytes=self._replica.state.nbytes,
            events=self._replica.state.applied,
            disposable=len(self._replica.state.disposable),
            **sums,
        )

    async def verify(
        self, entry_id: int, *, right: bool, by: str, risk_class: str = "", probability: float = 1.0
    ) -> None:
        """Note that a hit of this entry was checked; `risk_class` tells the monitor of that class too.

        Raises:
            InputError: if there is no such entry.
        """
        await self.entry(entry_id)
        about = {"class": risk_class, "p": probability} if risk_class else {}
        await self._write(Kind.VERIFY, id=entry_id, right=right, by=by, **about)

    async def release(self, entry_id: int) -> int:
        """Put an entry from quarantine in service, because somebody verified it; gives its new id.

        Raises:
            InputError: if there is none with this id in quarantine.
        """
        await self._replica.catch_up()
        held = self._replica.state.held.get(entry_id)
        if held is None:
            raise InputError(f"entry {entry_id} is not in quarantine")
        now = self._clock.now()
        life_s = self._rules.ttl_s[held.put.answer.data_class]
        trusted = replace(held.put, expires_at=now + life_s, trusted=True)
        gone = write(Kind.EVICT, now, ids=[entry_id], why="released")
        return await self._replica.append([gone, trusted.event(now)])

    async def evict(self, ids: Sequence[int], *, why: str = "asked") -> int:
        """Remove entries by id; gives how many were there."""
        await self._replica.catch_up()
        there = [one for one in ids if self._replica.state.entries.row_of(one) >= 0 or one in self._replica.state.held]
        now = self._clock.now()
        parts = [there[start : start + _BATCH] for start in range(0, len(there), _BATCH)]
        if parts:
            await self._replica.append([write(Kind.EVICT, now, ids=part, why=why) for part in parts])
        return len(there)

    async def below(self, min_accuracy: float) -> list[Entry]:
        """Entries whose accuracy is below a limit: what `evict` would take by accuracy.

        Raises:
            InputError: if the limit is not from 0 to 1.
        """
        if not 0 <= min_accuracy <= 1:
            raise InputError(f"an accuracy is from 0 to 1, got {min_accuracy}")
        await self._replica.catch_up()
        entries = self._replica.state.entries
        rows = entries.where(entries.accuracy(np.arange(entries.rows)) < min_accuracy)
        return [self._entry(row) for row in rows.tolist()]

    async def preview(self, by: PurgeBy, what: str) -> list[Entry]:
        """Entries that a purge would take."""
        await self._replica.catch_up()
        rows, held = self._replica.state.selected(by, _named(by, what))
        return [*(self._entry(row) for row in rows.tolist()), *(self._held(one) for one in held)]

    async def purge(self, by: PurgeBy, what: str) -> int:
        """Remove entries by what they rest on; when this returns none of them is served by any process.

        Raises:
            InputError: if `what` is empty.
            StoreError: if it could not be written.
        """
        await self._replica.catch_up()
        rows, held = self._replica.state.selected(by, _named(by, what))
        await self._write(Kind.PURGE, by=by.value, what=what)
        return len(rows) + len(held)

    async def calibrate(self, body: Mapping[str, Any]) -> None:
        """Put a calibration in force in every process; it replaces the one of the same "name".

        Raises:
            InputError: if it has no name.
        """
        if not body.get("name"):
            raise InputError("a calibration needs a name: the newest of each name is in force")
        await self._write(Kind.CALIBRATE, **body)

    async def sweep(self) -> int:
        """Remove entries whose time is over; gives how many."""
        await self._replica.catch_up()
        now, entries = self._clock.now(), self._replica.state.entries
        rows = entries.where(entries.column("expires_at") <= now)
        held = [entry_id for entry_id, held in self._replica.state.held.items() if held.put.expires_at <= now]
        return await self.evict([*entries.column("id")[rows].tolist(), *held], why="expired")

    async def relieve(self) -> int:
        """Evict what is worth least if a limit is passed; gives how many."""
        entries, rules, used = self._replica.state.entries, self._rules, self._replica.state.nbytes
        if len(entries) <= rules.max_entries and used <= rules.max_bytes:
            return 0
        rows = entries.where(np.ones(entries.rows, dtype=bool))
        columns = self._weigh(rows)
        spare = int(rules.max_bytes * _ROOM) - used if used > rules.max_bytes else 0
        places = victims(
            columns,
            max_entries=max(1, int(rules.max_entries * _ROOM)) if len(rows) > rules.max_entries else len(rows),
            max_bytes=int(columns.size_bytes.sum()) + spare,
        )
        return await self.evict(entries.column("id")[rows[places]].tolist(), why="room")

    async def learn(self) -> int:
        """Learn what the partitions that have grown teach about likeness (`metric.py`); gives how many did.

        A customer's own partition teaches nothing: it is too small, and what it taught would outlive it in the log.

        Raises:
            StoreError: if it could not be written.
        """
        await self._replica.catch_up()
        learned = 0
        for digest, shelf in list(self._replica.state.shelves.items()):
            size, last = len(shelf.index), max(self._tried.get(digest, 0), _learned_from(shelf))
            if shelf.partition.customer is not None or not is_due(size, last):
                continue
            self._tried[digest] = size
            vectors, answer_ids = await self._lesson_of(digest)
            metric = await asyncio.to_thread(learn, vectors, answer_ids, learned_from=size)
            await self._replica.catch_up()
            present = self._replica.state.shelves.get(digest)
            if metric is not None and present is not None and is_due(size, _learned_from(present)):
                await self._replica.append([lesson(digest, metric, self._clock.now())])
                learned += 1
        return learned

    async def _lesson_of(self, digest: bytes) -> tuple[Vectors, list[str]]:
        """Vectors and answers of a partition's entries, read a few at a time: lookups go on in between."""
        entries, shelf = self._replica.state.entries, self._replica.state.shelves[digest]
        ids = entries.column("id")[sample(entries.where(entries.column("partition") == shelf.place))]
        vectors, answer_ids = [np.zeros((0, shelf.index.dim), dtype=np.float32)], list[str]()
        for start in range(0, len(ids), _READ_AT_ONCE):
            state = self._replica.state  # entries may have gone, or been read anew, while others had their turn
            rows = state.entries.rows_of(ids[start : start + _READ_AT_ONCE])
            if digest in state.shelves and len(rows):
                vectors.append(state.shelves[digest].index.vectors(state.entries.column("id")[rows]))
                answer_ids += state.entries.answer_ids(rows)
            await asyncio.sleep(0)
        return np.concatenate(vectors), answer_ids

    async def compact(self) -> int:
        """Forget events that no longer matter; gives how many. Other processes may go on meanwhile.

        Raises:
            BusyError: if others write so much that there was no moment for it.
        """
        for _ in range(_TRIES):
            await self._replica.catch_up()
            forgotten = self._replica.state.disposable[:]
            if not forgotten:
                return 0
            try:
                folded = self._replica.state.fold(self._clock.now())
                await self._replica.append(folded, forget=forgotten, only_at=self._replica.state.applied)
            except BusyError:
                continue
            return len(forgotten)
        raise BusyError("the log was written to all the time: compact again when it is quieter")

    async def snapshot(self) -> None:
        """Keep the present state, to start fast; lookups go on meanwhile.

        Raises:
            StoreError: if it cannot be written.
        """
        if self._snapshots is not None and await self._replica.save_apart(self._snapshots):
            self._snapshot_at = self._replica.state.applied

    async def tend(self) -> None:
        """What is due: log told, expired entries and excess removed, likeness learned, log compacted, a snapshot."""
        await self._replica.tell(self._clock.now())
        await self.sweep()
        await self.relieve()
        await self.learn()
        if len(self._replica.state.disposable) > max(_COMPACT_FROM, len(self._replica.state.entries)):
            await self.compact()
        if self._replica.state.applied - self._snapshot_at > _SNAPSHOT_AFTER:
            await self.snapshot()

    async def tend_forever(self, every_s: float) -> None:
        """`tend` now and then, until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            await self.tend()

    async def disagreements(self) -> list[str]:
        """What is wrong between log, entries and indexes, in words; empty if nothing is."""
        await self._replica.catch_up()
        return self._replica.state.disagreements()

    async def _write(self, kind: Kind, **body: Any) -> int:
        return await self._replica.append([write(kind, self._clock.now(), **body)])

    def _iterate(self) -> Iterator[Entry]:
        entries = self._replica.state.entries
        for row in entries.where(np.ones(entries.rows, dtype=bool)).tolist():
            yield self._entry(row)
        for entry_id in list(self._replica.state.held):
            yield self._held(entry_id)

    def _entry(self, row: int) -> Entry:
        entries = self._replica.state.entries
        text = entries.text(row)
        one = {name: entries.column(name)[row].item() for name in ("id", "at", "expires_at", "hits", "right", "wrong")}
        return Entry(
            partition=self._replica.state.places[int(entries.column("partition")[row])].partition,
            question=text.question,
            values=text.values,
            answer=entries.answer(row),
            last_hit=float(entries.column("last_hit")[row]),
            accuracy=float(entries.accuracy(row)),
            cost_ms=float(entries.column("cost_ms")[row]),
            **one,
        )

    def _held(self, entry_id: int) -> Entry:
        held = self._replica.state.held[entry_id]
        put = held.put
        return Entry(
            id=entry_id,
            partition=self._replica.state.shelves[put.partition].partition,
            question=put.question.text,
            values=put.question.values,
            answer=put.answer,
            at=held.at,
            expires_at=put.expires_at,
            hits=0,
            last_hit=0.0,
            right=0,
            wrong=0,
            accuracy=0.5,
            cost_ms=put.cost_ms,
            held=True,
        )

    def _weigh(self, rows: Rows) -> Columns:
        entries, now = self._replica.state.entries, self._clock.now()
        used = np.maximum(entries.column("last_hit")[rows], entries.column("at")[rows])
        return Columns(
            hits=entries.column("hits")[rows].astype(np.float64),
            cost_ms=entries.column("cost_ms")[rows].astype(np.float64),
            accuracy=entries.accuracy(rows),
            idle_s=now - used,
            size_bytes=(entries.sizes(rows) + self._replica.state.entry_bytes).astype(np.float64),
        )


def _learned_from(shelf: Shelf) -> int:
    return 0 if shelf.metric is None else shelf.metric.learned_from


def _named(by: PurgeBy, what: str) -> str:
    if not what.strip():
        raise InputError(f"a purge by {by} needs to know which: an empty one is not a wildcard")
    return what
