"""What a caller may ask of the server: sizes, times and rates, checked when they are made.

Not here: who may connect (`guard.py`).
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from functools import lru_cache

from teller.errors import BusyError, ConfigError

_MIN_TOKEN_CHARS = 16
_MAX_CALLERS = 10_000  # callers whose rate is remembered; the longest unseen is forgotten first


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """The limits of one server.

    Attributes:
        max_message_bytes: largest WebSocket message or request body.
        max_audio_s: longest utterance.
        max_turn_s: longest wait for one answer, its sound included.
        max_call_s: longest call.
        max_calls: calls at once.
        idle_timeout_s: longest time without a message from the caller.
        send_timeout_s: longest wait for a caller that does not read what it is sent.
        drain_s: time that running turns are given when the server stops.
        requests_per_minute: questions and connections for each caller.
        token: what callers must present; None only on loopback.
        allowed_origins: web origins besides the server's own, as in "https://bank.example".
        public_host: host name under which the server is reached, besides the loopback names.

    Raises:
        ConfigError: if a number is not above zero or the token is short or not ASCII.
    """

    max_message_bytes: int = 4_000_000
    max_audio_s: float = 60.0
    max_turn_s: float = 60.0
    max_call_s: float = 1_800.0
    max_calls: int = 50
    idle_timeout_s: float = 300.0
    send_timeout_s: float = 10.0
    drain_s: float = 10.0
    requests_per_minute: int = 120
    token: str | None = field(default=None, repr=False)
    allowed_origins: tuple[str, ...] = ()
    public_host: str | None = None

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, int | float) and value <= 0:
                raise ConfigError(f"{one.name} must be above zero, got {value}")
        if self.token is not None and (len(self.token) < _MIN_TOKEN_CHARS or not self.token.isascii()):
            raise ConfigError(f"the server token must be at least {_MIN_TOKEN_CHARS} ASCII characters long")


class RateLimit:
    """A token bucket for each caller: `per_minute` at once, refilled evenly.

    Args:
        now: seconds that never go back.
    """

    def __init__(self, per_minute: int, now: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._now = now
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str) -> float:
        """Use one request of a caller; gives 0, or the seconds until one is free again (then none was used)."""
        now = self._now()
        left, at = self._buckets.pop(caller, (float(self._per_minute), now))
        left = min(self._per_minute, left + (now - at) * self._per_minute / 60)
        allowed = left >= 1
        self._buckets[caller] = (left - 1 if allowed else left, now)
        if len(self._buckets) > _MAX_CALLERS:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - left) * 60 / self._per_minute


@lru_cache(maxsize=1_024)
def caller_key(host: str | None) -> str:
    """Who a request counts for: the address, or the /64 network of an IPv6 address, which one caller holds whole."""
    try:
        address = ipaddress.ip_address(host or "")
    except ValueError:
        return host or "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


class Lines:
    """How many calls run, and whether new ones are taken.

    Attributes:
        active: calls that run now.
        stopping: set when the server stops; calls end themselves then.
        failures: what callers were told instead of an answer, by error code.
    """

    def __init__(self, max_calls: int) -> None:
        self.active = 0
        self.failures: Counter[str] = Counter()
        self.stopping = asyncio.Event()
        self._max_calls = max_calls
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def free(self) -> int:
        """Calls that could begin now."""
        return 0 if self.stopping.is_set() else self._max_calls - self.active

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Occupy a line.

        Raises:
            BusyError: if none is free or the server is stopping.
        """
        if self.stopping.is_set():
            raise BusyError("the server is stopping and takes no new calls; try again in a moment")
        if self.free < 1:
            raise BusyError("all lines are busy; try again in a moment")
        self.active += 1
        self._empty.clear()
        try:
            yield
        finally:
            self.active -= 1
            if not self.active:
                self._empty.set()

    async def drain(self, within_s: float) -> None:
        """Take no new calls and wait, at most so long, until those that run have ended."""
        self.stopping.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._empty.wait(), within_s)
