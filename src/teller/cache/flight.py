"""One answer in the making for each question: who asks the same meanwhile waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass

from teller.turn import Answer


@dataclass(slots=True)
class _Flight:
    task: asyncio.Task[Answer]
    waiting: int = 0


class Flights:
    """Flights under way, by key; for one event loop."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight] = {}

    def __len__(self) -> int:
        return len(self._flights)

    async def join(self, key: Hashable, make: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer of `make`, called once however many join under this key before it is done.

        A caller that is cancelled leaves the others waiting; the last one to leave cancels the making. An error reaches
        everyone who waits.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(asyncio.ensure_future(_run(make)))
            flight.task.add_done_callback(lambda _: self._land(key, flight))
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                self._land(key, flight)  # who asks now must not join what is being cancelled
                flight.task.cancel()

    def _land(self, key: Hashable, flight: _Flight | None) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]


async def _run(make: Callable[[], Awaitable[Answer]]) -> Answer:
    return await make()
