"""What a log amounts to: entries, indexes, quarantine and standing orders.

Pure state: the same events give the same holdings in every process. Nothing but `apply` changes them, event by event in
the log's order. Not here: the log and when it is read (replica.py), snapshots (freezing.py).
"""

from __future__ import annotations

import base64
from array import array
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import numpy as np

from teller.cache.canonical import exact_text
from teller.cache.entries import ROW_BYTES, Entries, Rows, State
from teller.cache.events import LASTING, Kind, PurgeBy, Put, Record, body_of, unpack_vector, write
from teller.cache.metric import Metric
from teller.cache.orders import Orders, is_superseded, stamp_name
from teller.cache.partition import Partition
from teller.cache.verdict import ClassMonitor
from teller.errors import ConfigError, InputError, StoreCorrupt
from teller.ports import Event, VectorIndex, Vectors

_FOLD_ROWS = 5_000  # counters in one event of a compaction
FOLDED = ("hits", "last_hit", "right", "wrong")  # columns that a compaction carries over, in its order
_SQUEEZE_FROM = 1_000  # removed rows worth a renumbering
_MAX_HELD = 2_000  # entries in quarantine; the oldest make room
_HELD_BYTES = 2_500  # of each, about


class Folded(Exception):  # not an error: events that were not read yet have been folded into later ones
    """The log must be read anew from its start."""


@dataclass(frozen=True, slots=True)
class Making:
    """What holdings are made with.

    Attributes:
        make_index: gives an empty index for a partition.
        embedder: identity of the weights that all vectors come from.
        judge: sketches that another judge made are dropped.
        monitor: is told calibrations and checks.
    """

    make_index: Callable[[], VectorIndex]
    embedder: str
    dim: int
    judge: str = ""
    monitor: ClassMonitor | None = None


@dataclass(slots=True)
class Shelf:
    """One partition: its key, its index, and its place in the column."""

    partition: Partition
    digest: bytes
    place: int
    index: VectorIndex
    metric: Metric | None = None
    metric_seq: int = 0  # of the event that brought it
    waiting: list[tuple[int, Vectors]] = field(default_factory=list)  # put, not yet in the index

    def settle(self) -> None:
        """Bring what waits into the index."""
        if self.waiting:
            ids = np.array([entry_id for entry_id, _ in self.waiting], dtype=np.int64)
            self.index.add(ids, np.array([vector for _, vector in self.waiting]))
            self.waiting.clear()


def lesson(digest: bytes, metric: Metric, at: float) -> Event:
    """What a partition's entries taught, as written in the log."""
    packed = base64.b64encode(metric.packed()).decode()
    return write(Kind.METRIC, at, p=digest.hex(), n=metric.learned_from, m=packed)


@dataclass(frozen=True, slots=True)
class Held:
    """An entry in quarantine, and when it was put."""

    at: float
    put: Put


class Holdings:
    """Entries, shelves, quarantine and standing orders.

    Args:
        fresh_since: head of the log when reading began at its start.

    Attributes:
        shelves: partitions by digest.
        places: every partition ever opened, by its place in the column.
        held: entries in quarantine by id, oldest first.
        notes: newest calibration event of each name.
        orders: purges in force.
        disposable: numbers of events that no longer matter, if their counts are folded.
        applied: number of the last event applied.
        settled: head of the log when everything up to it was last applied.
        log_id: drawn when the log was begun; empty before.
    """

    def __init__(self, making: Making, *, fresh_since: int = 0) -> None:
        self.making = making
        self.entries = Entries()
        self.shelves: dict[bytes, Shelf] = {}
        self.places: list[Shelf] = []
        self.held: dict[int, Held] = {}
        self.notes: dict[str, Event] = {}
        self.orders = Orders()
        self.disposable = array("q")
        self.applied = 0
        self.settled = 0
        self.log_id = ""
        self._fresh_since = fresh_since
        self._unsettled: list[Shelf] = []
        if making.monitor is not None:
            making.monitor.load({})
        self._apply_one: dict[str, Callable[[Event], None]] = {
            Kind.EMBEDDER: self._check_embedder,
            Kind.PARTITION: self._open_shelf,
            Kind.PUT: self._put,
            Kind.VERIFY: self._verify,
            Kind.HITS: self._count_hits,
            Kind.EVICT: self._evict,
            Kind.PURGE: self._purge,
            Kind.ERASE: self._erase,
            Kind.CALIBRATE: self.note,
            Kind.METRIC: self.measure,
            Kind.LEARNED: self._learn,
            Kind.COMPACTED: self._carry,
        }

    @property
    def entry_bytes(self) -> int:
        """Memory that an entry takes beside its texts, about: vector with its place in an index, columns, keys."""
        return self.making.dim + 20 + ROW_BYTES

    @property
    def nbytes(self) -> int:
        """Memory of entries, indexes and quarantine, about."""
        return self.entries.nbytes + len(self.entries) * (self.making.dim + 20) + len(self.held) * _HELD_BYTES

    def apply(self, events: Sequence[Event]) -> None:
        """Take over events, which follow those applied so far.

        Raises:
            Folded: if what these events presuppose is no longer in the log.
            StoreCorrupt: if one of them makes no sense; those before it are applied.
            ConfigError: if vectors come from another embedder.
        """
        for event in events:
            change = self._apply_one.get(event.kind)
            if change is not None:
                change(event)
            self.applied = event.seq
        for shelf in self._unsettled:
            shelf.settle()
        self._unsettled.clear()
        if self.entries.rows - len(self.entries) > max(_SQUEEZE_FROM, len(self.entries) // 3):
            self.entries.squeeze()

    def _check_embedder(self, event: Event) -> None:
        found, making = body_of(event), self.making
        if (found.get("name"), found.get("dim")) != (making.embedder, making.dim):
            raise ConfigError(
                f"this cache holds vectors of {found.get('name')!r} ({found.get('dim')} dimensions), the embedder in "
                f"use is {making.embedder!r} ({making.dim}): use the first again, or embed every entry anew with "
                "`cache-manager migrate`"
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
        shelf = Shelf(partition, digest, len(self.places), self.making.make_index())
        self.places.append(shelf)
        self.shelves[digest] = shelf

    def _put(self, event: Event) -> None:
        record = Record.read(event)
        shelf = self.shelves.get(record.partition)
        try:
            _, _, stamps = self.entries.manner(record.manner)[1]
            vector = unpack_vector(record.vector)
        except (ValueError, TypeError) as exc:
            raise StoreCorrupt(f"event {event.seq} of the cache's log is not an entry ({exc})") from exc
        if shelf is None or self.orders.forbid(stamps, shelf.partition):
            self.disposable.append(event.seq)  # erased or outdated while it was under way
            return
        if vector.shape != (self.making.dim,):
            raise StoreCorrupt(f"event {event.seq} of the cache's log has a vector of {vector.shape}")
        if record.trusted:
            self._shelve(event, record, shelf, vector)
            return
        self.held[event.seq] = Held(event.at, Put.read(event))
        if len(self.held) > _MAX_HELD:
            self._drop_held([next(iter(self.held))])

    def _shelve(self, event: Event, record: Record, shelf: Shelf, vector: Vectors) -> None:
        """Put an entry in service in place of an older one for the same asking."""
        entries = self.entries
        row = entries.newest(record.key, shelf.place)
        if row >= 0 and not entries.column("state")[row]:
            question = record.question()
            if entries.asks_same(row, question, exact_text(question)):
                self._remove(np.array([row]), State.GONE)
        if record.judge != self.making.judge:
            record = record.without_sketch()
        entries.add(event.seq, record, shelf.place, event.at)
        shelf.waiting.append((event.seq, vector))
        self._unsettled.append(shelf)

    def _verify(self, event: Event) -> None:
        body = body_of(event)
        self.disposable.append(event.seq)
        row = self.entries.row_of(int(body["id"]))
        if row >= 0:
            self.entries.column("right" if body["right"] else "wrong")[row] += 1
        if self.making.monitor is not None and body.get("class"):
            self.making.monitor.observe(body["class"], bool(body["right"]), float(body["p"]))

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
        for digest in map(bytes.fromhex, body_of(event)["partitions"]):
            shelf = self.shelves.get(digest)
            if shelf is not None:
                rows, held = self.selected(PurgeBy.PARTITION, digest.hex())
                self._drop_held(held)
                self._remove(rows, State.GONE)
                del self.shelves[digest]
                shelf.partition = replace(shelf.partition, customer="erased")

    def note(self, event: Event) -> None:
        """Put a calibration in force."""
        body = body_of(event)
        older = self.notes.get(body["name"])
        if older is not None:
            self.disposable.append(older.seq)
        self.notes[body["name"]] = event
        if self.making.monitor is not None:
            with suppress(InputError):  # written by another version: the classes it opened stay closed
                self.making.monitor.calibrate(body)

    def _learn(self, event: Event) -> None:
        self.disposable.append(event.seq)
        if self.making.monitor is not None:
            self.making.monitor.learn(body_of(event))

    def measure(self, event: Event) -> None:
        """Take over what a partition's entries taught."""
        body = body_of(event)
        try:
            shelf = self.shelves.get(bytes.fromhex(body["p"]))
            metric = Metric.unpack(base64.b64decode(body["m"]), self.making.dim, int(body["n"]))
        except (InputError, KeyError, ValueError, TypeError) as exc:
            raise StoreCorrupt(f"event {event.seq} of the cache's log is not a metric ({exc})") from exc
        if shelf is None:
            self.disposable.append(event.seq)
            return
        shelf.metric = metric
        if shelf.metric_seq:
            self.disposable.append(shelf.metric_seq)
        shelf.metric_seq = event.seq

    def _carry(self, event: Event) -> None:
        """Take over counters that a compaction folded, unless the originals were read."""
        body = body_of(event)
        if self.settled >= body["below"]:
            self.disposable = array("q", [seq for seq in self.disposable if seq > body["below"]] + [event.seq])
            return
        self.disposable.append(event.seq)
        if self._fresh_since < event.seq:
            raise Folded
        for entry_id, *counts in body["counts"]:
            row = self.entries.row_of(entry_id)
            if row >= 0:
                for name, count in zip(FOLDED, counts, strict=True):
                    self.entries.column(name)[row] += count
        if self.making.monitor is not None and "monitor" in body:
            self.making.monitor.load(body["monitor"])

    def _remove(self, rows: Rows, state: State) -> None:
        if not len(rows):
            return
        places, ids = self.entries.column("partition")[rows], self.entries.column("id")[rows]
        for place in np.unique(places).tolist():
            shelf = self.places[place]
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
            places = [shelf.place for shelf in self.places if what in shelf.partition.basis.adapters]
        elif by is PurgeBy.TENANT:
            places = [shelf.place for shelf in self.places if shelf.partition.tenant == what]
        else:
            places = [shelf.place for shelf in self.places if shelf.digest.hex() == what]
        rows = self.entries.where(np.isin(self.entries.column("partition"), places))
        return rows, self._held_where(lambda _, shelf: shelf.place in places)

    def _held_where(self, is_wanted: Callable[[Put, Shelf], bool]) -> list[int]:
        puts = ((entry_id, held.put) for entry_id, held in self.held.items())
        return [entry_id for entry_id, put in puts if is_wanted(put, self.shelves[put.partition])]

    def _drop_held(self, ids: Iterable[int]) -> None:
        self.disposable.extend([entry_id for entry_id in ids if self.held.pop(entry_id, None)])

    def disagreements(self) -> list[str]:
        """What is wrong between entries and indexes, in words."""
        found = []
        for shelf in self.places:
            ids = self.entries.column("id")[self.entries.where(self.entries.column("partition") == shelf.place)]
            if len(ids) != len(shelf.index):
                found.append(f"partition {shelf.digest.hex()}: {len(ids)} entries, {len(shelf.index)} vectors")
            try:
                shelf.index.vectors(ids)
            except InputError as exc:
                found.append(f"partition {shelf.digest.hex()}: {exc}")
        return found

    def fold(self, at: float) -> list[Event]:
        """The events of a compaction: counters of the events in `disposable`, which may then be forgotten."""
        columns = [self.entries.column(name) for name in ("id", *FOLDED)]
        rows = self.entries.where((columns[1] > 0) | (columns[3] > 1) | (columns[4] > 0))
        table = np.stack([column[rows].astype(np.int64) for column in columns], axis=1)
        table[:, 3] -= 1  # the first check is the put's own
        parts = [table[start : start + _FOLD_ROWS].tolist() for start in range(0, max(1, len(table)), _FOLD_ROWS)]
        seen = self.making.monitor.dump() if self.making.monitor is not None else {}
        first = write(Kind.COMPACTED, at, below=self.applied, counts=parts[0], monitor=seen)
        return [first, *(write(Kind.COMPACTED, at, below=self.applied, counts=part) for part in parts[1:])]
