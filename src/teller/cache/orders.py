"""Standing orders: what may not be served any more, however late it arrives.

A purge by stamp or adapter is not only about what is there: an answer that was under way when the rate changed is still
made from the old rate. So these purges stay in force, in the log's order, for every later put.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from teller.cache.events import PurgeBy
from teller.cache.partition import Partition


class Orders:
    """The purges in force.

    Attributes:
        stamps: stamps that are dead.
        current: by name, the one stamp that is alive ("rate:loan" -> "rate:loan@4").
        adapters: adapter digests that are dead.
    """

    def __init__(self) -> None:
        self.stamps: set[str] = set()
        self.current: dict[str, str] = {}
        self.adapters: set[str] = set()

    def add(self, by: PurgeBy, what: str) -> None:
        """Put a purge in force; those that select only what is there now leave no order."""
        if by is PurgeBy.STAMP:
            self.stamps.add(what)
        elif by is PurgeBy.CURRENT:
            self.current[stamp_name(what)] = what
        elif by is PurgeBy.ADAPTER:
            self.adapters.add(what)

    def forbid(self, stamps: Iterable[str], partition: Partition) -> bool:
        """Whether an answer with these stamps may not be kept in this partition."""
        if not self.adapters.isdisjoint(partition.basis.adapters):
            return True
        return any(stamp in self.stamps or is_superseded(stamp, self.current) for stamp in stamps)

    def dump(self) -> dict[str, Any]:
        """JSON form."""
        return {"stamps": sorted(self.stamps), "current": self.current, "adapters": sorted(self.adapters)}

    def load(self, body: Mapping[str, Any]) -> None:
        """Take over a JSON form."""
        self.stamps, self.adapters = set(body["stamps"]), set(body["adapters"])
        self.current = dict(body["current"])


def stamp_name(stamp: str) -> str:
    """What a stamp is a version of: "rate:loan" of "rate:loan@3"."""
    return stamp.rpartition("@")[0] or stamp


def is_superseded(stamp: str, current: Mapping[str, str]) -> bool:
    """Whether another version than this stamp's is current."""
    return current.get(stamp_name(stamp), stamp) != stamp
