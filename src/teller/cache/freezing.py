"""Holdings as a snapshot, and back: a start without reading the whole log."""

from __future__ import annotations

import base64
from array import array
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from teller.cache.events import Kind, Put, quantize
from teller.cache.holdings import Held, Holdings, Making, Shelf, lesson
from teller.cache.partition import Partition
from teller.errors import InputError, StoreCorrupt
from teller.ports import Event, Snapshot, Snapshots

_FORMAT = 2
_OWN_FILE_FROM = 4_096  # vectors in an index that is saved as its own file; smaller ones are built anew


def freeze(holdings: Holdings, snapshots: Snapshots, observed: Mapping[str, Any]) -> None:
    """Keep the present state.

    Args:
        holdings: of one log, read to its end.
        snapshots: where to.
        observed: what the monitor made of the same events.

    Raises:
        StoreError: if it cannot be written.
    """
    arrays = holdings.entries.dump()
    indexes = {}
    for shelf in holdings.shelves.values():
        if len(shelf.index) >= _OWN_FILE_FROM:
            indexes[str(shelf.place)] = shelf.index
            continue
        ids = holdings.entries.column("id")[holdings.entries.column("partition") == shelf.place]
        if len(ids):
            arrays[f"ids_{shelf.place}"] = ids
            arrays[f"codes_{shelf.place}"] = quantize(shelf.index.vectors(ids))[0]
    arrays["disposable"] = np.array(holdings.disposable, dtype=np.int64)
    snapshots.save(_meta(holdings, observed), arrays, indexes)


def thaw(snapshot: Snapshot, making: Making, log_id: str) -> Holdings | None:
    """The holdings of a snapshot; None if it is of another log, embedder, judge or format, or is damaged."""
    meta = snapshot.meta
    found = [meta.get(name) for name in ("format", "log", "embedder", "dim", "judge")]
    if not log_id or found != [_FORMAT, log_id, making.embedder, making.dim, making.judge]:
        return None
    try:
        return _thawed(snapshot, making)
    except (StoreCorrupt, InputError, KeyError, ValueError, TypeError):
        return None


def _meta(holdings: Holdings, observed: Mapping[str, Any]) -> dict[str, Any]:
    held = [replace(one.put.event(one.at), seq=entry_id) for entry_id, one in holdings.held.items()]
    lessons = [
        replace(lesson(shelf.digest, shelf.metric, 0.0), seq=shelf.metric_seq)
        for shelf in holdings.shelves.values()
        if shelf.metric is not None
    ]
    events = [*held, *holdings.notes.values(), *lessons]
    return {
        "format": _FORMAT,
        "log": holdings.log_id,
        "embedder": holdings.making.embedder,
        "dim": holdings.making.dim,
        "judge": holdings.making.judge,
        "applied": holdings.applied,
        "orders": holdings.orders.dump(),
        "monitor": dict(observed),
        "partitions": [shelf.partition.parts() for shelf in holdings.places],
        "closed": [shelf.place for shelf in holdings.places if holdings.shelves.get(shelf.digest) is not shelf],
        "events": [[event.kind, base64.b64encode(event.body).decode(), event.at, event.seq] for event in events],
    }


def _thawed(snapshot: Snapshot, making: Making) -> Holdings:
    meta, arrays = snapshot.meta, snapshot.arrays
    holdings = Holdings(making)
    holdings.entries.load(arrays)
    for place, parts in enumerate(meta["partitions"]):
        partition = Partition.read(parts)
        shelf = Shelf(partition, partition.digest, place, making.make_index())
        if str(place) in snapshot.indexes:
            shelf.index.load(snapshot.indexes[str(place)])
        elif f"ids_{place}" in arrays:
            codes = arrays[f"codes_{place}"].astype(np.float32)
            shelf.index.add(arrays[f"ids_{place}"], codes / np.linalg.norm(codes, axis=1, keepdims=True))
        holdings.places.append(shelf)
    holdings.shelves = {shelf.digest: shelf for shelf in holdings.places if shelf.place not in meta["closed"]}
    if sum(len(shelf.index) for shelf in holdings.places) != len(holdings.entries):
        raise StoreCorrupt("a snapshot's indexes and entries differ in number")
    holdings.orders.load(meta["orders"])
    holdings.disposable = array("q", arrays["disposable"].tolist())
    for kind, body, at, seq in meta["events"]:
        event = Event(kind, base64.b64decode(body), at, seq)
        if kind == Kind.PUT:
            holdings.held[seq] = Held(at, Put.read(event))
        elif kind == Kind.METRIC:
            holdings.measure(event)
        else:
            holdings.note(event)
    if making.monitor is not None:
        making.monitor.load(meta["monitor"])
    holdings.log_id, holdings.applied, holdings.settled = meta["log"], meta["applied"], meta["applied"]
    return holdings
