"""A log whose events nobody reads without the key; numbers, times and kinds stay in the clear."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace

from teller.ports import CacheLog, Cipher, Event


class SealedLog:
    """As `CacheLog`, around another: bodies are sealed on their way in and opened on their way out.

    An event's kind and time are bound to its body: a body that was moved to another event does not open.
    """

    def __init__(self, log: CacheLog, cipher: Cipher) -> None:
        self._log = log
        self._cipher = cipher

    def head(self) -> int:
        """As `CacheLog.head`."""
        return self._log.head()

    async def append(self, events: Sequence[Event], *, forget: Sequence[int] = (), only_at: int | None = None) -> int:
        """As `CacheLog.append`."""
        sealed = [replace(event, body=self._cipher.seal(event.body, _context(event))) for event in events]
        return await self._log.append(sealed, forget=forget, only_at=only_at)

    async def read(self, after: int, limit: int = 10_000) -> list[Event]:
        """As `CacheLog.read`; StoreCorrupt too if an event does not open with the key."""
        events = await self._log.read(after, limit)
        return [replace(event, body=self._cipher.open(event.body, _context(event))) for event in events]


def _context(event: Event) -> bytes:
    return struct.pack("<d", event.at) + str(event.kind).encode()
