"""A cache under another embedder: every question is embedded anew, everything else is carried over.

Vectors of different weights are not comparable, so a log belongs to one embedder. A migration reads the log, writes
what is alive with new vectors in the place of all that was there, in one step, and keeps counts, purges in force and
calibrations. Entries get new numbers. Processes that still use the old embedder are told to restart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from teller.cache.events import Kind, PurgeBy, Put, body_of, write
from teller.cache.holdings import FOLDED, Holdings, Making
from teller.cache.verdict import Judge
from teller.errors import InputError, StoreCorrupt
from teller.ports import CacheLog, Clock, Embedder, Event, Vectors
from teller.turn import Question
from teller.values.figures import in_figures

_BATCH = 256


async def migrate(
    log: CacheLog, embedder: Embedder, judge: Judge, clock: Clock, *, told: Callable[[int], None] = lambda _: None
) -> int:
    """Move a log to another embedder; gives how many entries it took along, 0 if it was there already.

    Args:
        log: shared or private; nobody else should write to it meanwhile.
        embedder: the new one.
        judge: makes the new sketches.
        clock: gives the time of the new events.
        told: is told how many entries have been embedded.

    Raises:
        BusyError: if somebody wrote to the log meanwhile; nothing has changed.
        EngineError: if the embedder fails; nothing has changed.
        StoreError: if the log cannot be read or written; nothing has changed.
    """
    head = log.head()
    events = await _whole(log)
    if not events:
        return 0
    first = body_of(events[0])
    if (first.get("name"), first.get("dim")) == (embedder.name, embedder.dim):
        return 0
    old = Holdings(Making(_Nothing, str(first["name"]), int(first["dim"])), fresh_since=head)
    old.apply(events)
    puts = _puts(old)
    fresh = await _embedded([put for _, put, _ in puts], embedder, judge, told)
    now = clock.now()
    opening = [write(Kind.EMBEDDER, now, name=embedder.name, dim=embedder.dim, log=old.log_id)]
    opening += [write(Kind.PARTITION, now, **shelf.partition.parts()) for shelf in old.shelves.values()]
    opening += _orders(old, now)
    opening += [replace(event, seq=0) for event in old.notes.values()]
    numbers = range(head + len(opening) + 1, head + len(opening) + len(puts) + 1)
    counts = [[number, *folded] for number, (_, _, folded) in zip(numbers, puts, strict=True) if folded]
    seen = write(Kind.COMPACTED, now, below=head, counts=counts, monitor={})
    written = [put.event(at) for put, (at, _, _) in zip(fresh, puts, strict=True)]
    await log.append([*opening, *written, seen], forget=[event.seq for event in events], only_at=head)
    return len(puts)


class _Nothing:
    """An index of nothing: a migration looks nothing up."""

    dim = 0

    def __len__(self) -> int:
        return 0

    def add(self, ids: NDArray[np.int64], vectors: Vectors) -> None:
        """Forget them."""

    def remove(self, ids: NDArray[np.int64]) -> None:
        """They are not here."""

    def search(self, vector: Vectors, k: int) -> tuple[Vectors, NDArray[np.int64]]:  # noqa: ARG002
        """Nothing is near."""
        return np.zeros(0, dtype=np.float32), np.zeros(0, dtype=np.int64)

    def vectors(self, ids: NDArray[np.int64]) -> Vectors:
        """There are none.

        Raises:
            InputError: always.
        """
        raise InputError(f"{len(ids)} vectors were asked of an index of nothing")

    def save(self, path: Path) -> None:
        """Nothing to save."""

    def load(self, path: Path) -> None:
        """Not possible.

        Raises:
            StoreCorrupt: always.
        """
        raise StoreCorrupt(f"{path.name} cannot be loaded into an index of nothing")


async def _whole(log: CacheLog) -> list[Event]:
    found: list[Event] = []
    while batch := await log.read(found[-1].seq if found else 0):
        found += batch
    return found


def _puts(old: Holdings) -> list[tuple[float, Put, list[int]]]:
    """Live and held entries as they were put: when, what, and their counts."""
    entries = old.entries
    found = []
    for row in entries.where(np.ones(entries.rows, dtype=bool)).tolist():
        text = entries.text(row)
        put = Put(
            old.places[int(entries.column("partition")[row])].digest,
            Question(text.question, text.values),
            np.zeros(0, dtype=np.float32),
            entries.answer(row),
            float(entries.column("expires_at")[row]),
            cost_ms=float(entries.column("cost_ms")[row]),
        )
        counts = [int(entries.column(name)[row]) - (name == "right") for name in FOLDED]
        found.append((float(entries.column("at")[row]), put, counts))
    found += [(held.at, held.put, []) for held in old.held.values()]
    return found


async def _embedded(puts: Sequence[Put], embedder: Embedder, judge: Judge, told: Callable[[int], None]) -> list[Put]:
    found: list[Put] = []
    for start in range(0, len(puts), _BATCH):
        part = puts[start : start + _BATCH]
        pairs: list[tuple[Vectors, Vectors | None]]
        if judge.wants_tokens:
            pairs = [await embedder.embed_tokens(in_figures(put.question)) for put in part]
        else:
            pairs = [(vector, None) for vector in await embedder.embed([in_figures(put.question) for put in part])]
        found += [
            replace(put, vector=vector, judge=judge.name, sketch=judge.sketch(put.question, vector, tokens))
            for put, (vector, tokens) in zip(part, pairs, strict=True)
        ]
        told(len(found))
    return found


def _orders(old: Holdings, now: float) -> list[Event]:
    orders = old.orders
    standing = [
        *((PurgeBy.STAMP, stamp) for stamp in sorted(orders.stamps)),
        *((PurgeBy.CURRENT, stamp) for stamp in sorted(orders.current.values())),
        *((PurgeBy.ADAPTER, digest) for digest in sorted(orders.adapters)),
    ]
    return [write(Kind.PURGE, now, by=by.value, what=what) for by, what in standing]
