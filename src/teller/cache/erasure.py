"""Forgetting a customer: every entry and every event of theirs, and the proof that none is left.

A customer's own entries are only in the private log (shared entries carry no customer, and their texts are redacted).
An erasure removes their events from that log for good, in one step with an event that makes every process drop them
from memory; no snapshot is ever taken of the private log. Then the whole log is read again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from teller.cache.events import Kind, Put, body_of, write
from teller.cache.partition import Partition
from teller.cache.replica import Replica
from teller.errors import InputError, StoreError
from teller.ports import Clock, Event

_TRIES = 5  # another process may be putting an entry at this moment


@dataclass(frozen=True, slots=True)
class Erasure:
    """What was erased, and what was found afterwards.

    Attributes:
        customer_sha256: of the customer's key, to recognise the proof by without keeping the key.
        partitions: how many partitions of theirs were closed.
        entries: live entries removed.
        events: events removed from the log.
        seq: number of the event that records the erasure.
        events_read: events of the log that were read again to look for theirs.
        left_in_log: how many of them were theirs; 0 is the proof.
        left_in_memory: entries of theirs that this process still has.
    """

    customer_sha256: str
    partitions: int
    entries: int
    events: int
    seq: int
    events_read: int
    left_in_log: int
    left_in_memory: int


async def erase(private: Replica, customer: str, clock: Clock) -> Erasure:
    """Erase a customer.

    Raises:
        InputError: if no customer is named.
        StoreError: if it could not be written, or entries of theirs kept coming in while it was done.
    """
    if not customer.strip():
        raise InputError("an erasure needs the customer's key: an empty one is not a wildcard")
    removed, partitions, entries, seq = 0, 0, 0, 0
    for _ in range(_TRIES):
        await private.catch_up()
        theirs, digests = _of_customer(await private.whole_log(), customer)
        if not theirs and seq:
            break
        shelves = [shelf for shelf in private.state.shelves.values() if shelf.partition.customer == customer]
        partitions, entries = partitions + len(shelves), entries + sum(len(shelf.index) for shelf in shelves)
        record = write(Kind.ERASE, clock.now(), partitions=sorted(digests))
        seq = await private.append([record], forget=theirs)
        removed += len(theirs)
    else:
        raise StoreError("entries of this customer kept coming in: erase again once their calls have ended")
    events = await private.whole_log()
    in_memory = [shelf for shelf in private.state.shelves.values() if shelf.partition.customer == customer]
    return Erasure(
        customer_sha256=hashlib.sha256(customer.encode()).hexdigest(),
        partitions=partitions,
        entries=entries,
        events=removed,
        seq=seq,
        events_read=len(events),
        left_in_log=len(_of_customer(events, customer)[0]),
        left_in_memory=sum(len(shelf.index) for shelf in in_memory),
    )


def _of_customer(events: Iterable[Event], customer: str) -> tuple[list[int], set[str]]:
    """Numbers of the events about a customer, and the digests of their partitions, earlier erasures' included."""
    seqs: list[int] = []
    digests: set[str] = set()
    known: dict[str, str | None] = {}
    for event in events:
        if event.kind == Kind.PARTITION:
            partition = Partition.read(body_of(event))
            known[partition.digest.hex()] = partition.customer
            if partition.customer == customer:
                digests.add(partition.digest.hex())
                seqs.append(event.seq)
        elif event.kind == Kind.PUT:
            digest = Put.read(event).partition.hex()
            if known.get(digest) == customer or digest not in known:  # without a partition: its own was erased
                seqs.append(event.seq)
    return seqs, digests
