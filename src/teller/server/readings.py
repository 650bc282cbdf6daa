"""What a scrape reads off a running server: its calls and failures, its adapters, its cache and its turn log."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from teller.adapters.live import LiveAdapters
from teller.cache_desk import SHARED
from teller.cache_wiring import OpenCache
from teller.server.limits import Lines
from teller.telemetry import Read, Reading
from teller.telemetry.table import CODES, NONE

_EARLIER = 8  # versions before the live one that are still named


class Writing(Protocol):
    """A log that is written beside the calls; `stores.turn_log.TurnLog` is one."""

    shed: int

    @property
    def waiting(self) -> int:
        """Records that are not written yet."""
        ...


def of_lines(lines: Lines) -> Read:
    """Reads calls and failures."""

    async def read() -> Iterable[Reading]:
        told = dict.fromkeys(CODES, 0) | lines.failures
        failures = [("teller_failures_total", (code,), count) for code, count in told.items()]
        return [("teller_calls_active", (), lines.active), ("teller_calls_free", (), lines.free), *failures]

    return read


def of_turn_log(log: Writing) -> Read:
    """Reads what the turn log has yet to write and what it gave up."""

    async def read() -> Iterable[Reading]:
        return [("teller_turn_log_waiting", (), log.waiting), ("teller_turn_log_shed_total", (), log.shed)]

    return read


def of_adapters(adapters: LiveAdapters) -> Read:
    """Reads which adapter version is live and which were before, as this process knows it."""

    async def read() -> Iterable[Reading]:
        now = adapters.now
        live, canary = now.served or NONE, now.canary.served if now.canary else None
        before = [one.served if one else NONE for one in now.earlier[-_EARLIER:]]
        states = dict.fromkeys(before, "before") | ({canary: "canary"} if canary else {}) | {live: "live"}
        served = now.served is None or now.served in adapters.ready
        return [
            ("teller_adapter_served", (), served),
            ("teller_adapter_canary_share_ratio", (), now.share if canary else 0.0),
            *(("teller_adapter_info", (name, state), 1.0) for name, state in states.items()),
        ]

    return read


def of_cache(opened: OpenCache) -> Read:
    """Reads size, accuracy and, where semantic hits are served, how far each class is trusted.

    The reader raises StoreError if the log cannot be read.
    """

    async def read() -> Iterable[Reading]:
        totals = await opened.cache.upkeep.totals()
        sizes: list[Reading] = [
            ("teller_cache_entries", (), totals.entries),
            ("teller_cache_held_entries", (), totals.held),
            ("teller_cache_memory_bytes", (), totals.memory_bytes),
            ("teller_cache_checked_hits", ("right",), totals.right),
            ("teller_cache_checked_hits", ("wrong",), totals.wrong),
        ]
        return sizes + (_trust(opened) if opened.settings.cache.mode == "semantic" else [])

    return read


def _trust(opened: OpenCache) -> list[Reading]:
    regions = opened.regions
    readings: list[Reading] = [("teller_cache_false_hit_limit_ratio", (), opened.settings.cache.max_false_hits)]
    for name in SHARED:
        region, observed = regions.region(name), regions.bound(name)
        readings.append(("teller_cache_class_open", (name,), region is not None))
        readings.append(("teller_cache_class_certified", (name,), regions.calibration is not None))
        if region is not None and region.bound is not None:
            readings.append(("teller_cache_certified_bound_ratio", (name,), region.bound))
        if observed is not None:
            readings.append(("teller_cache_observed_bound_ratio", (name,), observed))
    return readings
