"""How far a cache's hits are trusted, read from its log without its entries: certificates, and hits that were checked.

A fraction of what opening the cache takes, for those who only want to know.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from teller.cache.events import Kind, body_of
from teller.cache.regions import RiskRegions
from teller.errors import InputError
from teller.ports import CacheLog

_CHUNK = 2_000  # events at a time, vectors and all: a few megabytes


@dataclass(slots=True)
class Checks:
    """Hits that were answered again, and how many of them had been wrong, by class; "" for what an operator verified.

    A compaction of the log keeps those of the classes that are certified.
    """

    checked: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)


async def read_standing(log: CacheLog, regions: RiskRegions) -> Checks:
    """Read a log to its end: what a cache tells its monitor goes to `regions`; gives the checks.

    Raises:
        StoreCorrupt: if the log cannot be read.
    """
    found, after = Checks(), 0
    while events := await log.read(after, _CHUNK):
        for event in events:
            if event.kind in _READ:
                _READ[event.kind](body_of(event), regions, found)
        after = events[-1].seq
    return found


def _verify(body: Mapping[str, Any], regions: RiskRegions, found: Checks) -> None:
    name = body.get("class", "")
    found.checked[name] += 1
    found.wrong[name] += not body["right"]
    if name:
        regions.observe(name, bool(body["right"]), float(body["p"]))


def _calibrate(body: Mapping[str, Any], regions: RiskRegions, _: Checks) -> None:
    with suppress(InputError):  # written by another version: the classes that it opened stay closed
        regions.calibrate(body)


def _learn(body: Mapping[str, Any], regions: RiskRegions, _: Checks) -> None:
    regions.learn(body)


def _carry(body: Mapping[str, Any], regions: RiskRegions, found: Checks) -> None:
    """What a compaction folded: the checks before it are in the monitor's counts alone."""
    if "monitor" not in body:
        return
    regions.load(body["monitor"])
    found.checked.clear()
    found.wrong.clear()
    for name, levels in body["monitor"].get("checked", {}).items():
        _, found.checked[name], found.wrong[name], _ = levels[0]  # the lowest level has seen every hit of the class


_READ: Mapping[str, Callable[[Mapping[str, Any], RiskRegions, Checks], None]] = {
    Kind.VERIFY: _verify,
    Kind.CALIBRATE: _calibrate,
    Kind.LEARNED: _learn,
    Kind.COMPACTED: _carry,
}
