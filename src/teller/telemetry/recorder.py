"""Takes records on the path of a call, and passes them on when there is time: an append to a queue is all a turn pays.

Everything that costs something (series, spans, log lines) is done in `fold`, a few records at a time, on the event loop
between turns or when somebody scrapes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from teller.ports import Observer
from teller.turn import LookupRecord, ToggleRecord, TrainingRecord, TurnRecord

Record = TurnRecord | LookupRecord | ToggleRecord | TrainingRecord
_SLICE = 8  # records between two chances for a call: half a millisecond with everything on


class Recorder:
    """An Observer; any thread may tell it something, one thread folds.

    Args:
        sinks: are told every record, in order, when it is folded.
        most_waiting: records that may wait; more are dropped.

    Attributes:
        dropped: records that were.
    """

    def __init__(self, sinks: Sequence[Observer], *, most_waiting: int = 50_000) -> None:
        self.dropped = 0
        self._tell: Mapping[type[Record], tuple[Callable[[Any], None], ...]] = {
            TurnRecord: tuple(sink.turn_finished for sink in sinks),
            LookupRecord: tuple(sink.lookup_finished for sink in sinks),
            ToggleRecord: tuple(sink.adapter_toggled for sink in sinks),
            TrainingRecord: tuple(sink.training_advanced for sink in sinks),
        }
        self._most = most_waiting
        self._waiting: deque[Record] = deque()

    def turn_finished(self, record: TurnRecord) -> None:
        """As `Observer.turn_finished`."""
        self._take(record)

    def lookup_finished(self, record: LookupRecord) -> None:
        """As `Observer.lookup_finished`."""
        self._take(record)

    def adapter_toggled(self, record: ToggleRecord) -> None:
        """As `Observer.adapter_toggled`."""
        self._take(record)

    def training_advanced(self, record: TrainingRecord) -> None:
        """As `Observer.training_advanced`."""
        self._take(record)

    def fold(self, at_most: int = 1 << 30) -> int:
        """Pass on what waits, oldest first, at most so many; gives how many."""
        folded = 0
        while folded < at_most and self._waiting:
            record = self._waiting.popleft()
            for tell in self._tell[type(record)]:
                tell(record)
            folded += 1
        return folded

    async def fold_gently(self) -> None:
        """Pass on what waits now, with pauses in which calls go on."""
        for _ in range(0, len(self._waiting), _SLICE):
            self.fold(_SLICE)
            await asyncio.sleep(0)

    async def run(self, every_s: float = 0.5) -> None:
        """Fold now and then, until cancelled."""
        while True:
            await self.fold_gently()
            await asyncio.sleep(every_s)

    def _take(self, record: Record) -> None:
        if len(self._waiting) < self._most:
            self._waiting.append(record)
        else:
            self.dropped += 1
