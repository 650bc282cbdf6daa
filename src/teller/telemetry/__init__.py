"""What an operator is shown: metrics, traces and logs, made from the facts that the core emits.

`Recorder` takes the facts on the path of a call; `Facts`, `Spans` and `TurnLines` make numbers, spans and lines of them
beside it. Nothing leaves the machine unless an endpoint is given.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from teller.errors import TellerError
from teller.observers import Unobserved
from teller.ports import Observer
from teller.telemetry.facts import Facts
from teller.telemetry.json_logs import TurnLines, log_as_json
from teller.telemetry.prometheus import Exposition
from teller.telemetry.recorder import Recorder
from teller.telemetry.series import Series
from teller.telemetry.spans import Spans, open_exporter
from teller.turn import ToggleRecord

Reading = tuple[str, tuple[str, ...], float]  # a metric's name, its labels' values, the number
Read = Callable[[], Awaitable[Iterable[Reading]]]

_TOGGLES = 8  # that are remembered
_READ_S = 2.0  # longest wait for one source of readings
_log = logging.getLogger("teller.telemetry")


class Telemetry:
    """Metrics that can be scraped.

    Args:
        sinks: are told every record too, beside the path of a call.

    Attributes:
        recorder: to be told the facts.
    """

    def __init__(self, sinks: Iterable[Observer] = (), *, version: str = "") -> None:
        self._series = Series()
        self._toggled = _Toggled()
        self.recorder = Recorder((Facts(self._series), self._toggled, *sinks))
        self._exposition = Exposition(self._series)
        self._sources: list[tuple[Read, set[str]]] = []
        self._series.number("teller_build_info", version).value = 1.0

    def watch(self, read: Read) -> None:
        """Ask this at every scrape; what it no longer tells is no longer shown."""
        self._sources.append((read, set()))

    async def scrape(self, accept: str = "") -> tuple[bytes, str]:
        """Body and content type for whoever sends this Accept header; a source that fails is left out."""
        await self.up_to_date()
        return await self._exposition.render(accept)

    @property
    def toggles(self) -> Sequence[ToggleRecord]:
        """The latest changes of the live adapter, oldest first."""
        return tuple(self._toggled.records)

    async def up_to_date(self) -> Series:
        """Every number as of now, to be read and not kept."""
        await self.recorder.fold_gently()
        self._series.number("teller_telemetry_dropped_total").value = self.recorder.dropped
        for read, told in self._sources:
            await self._take_readings(read, told)
        return self._series

    async def _take_readings(self, read: Read, told: set[str]) -> None:
        try:
            async with asyncio.timeout(_READ_S):
                readings = list(await read())
        except (TellerError, TimeoutError) as exc:
            _log.warning("some metrics cannot be read now: %s", type(exc).__name__)
            readings = []
        for name in told:
            self._series.forget(name)
        told.clear()
        for name, values, number in readings:
            self._series.number(name, *values).value = number
            told.add(name)


class _Toggled(Unobserved):
    def __init__(self) -> None:
        self.records: deque[ToggleRecord] = deque(maxlen=_TOGGLES)

    def adapter_toggled(self, record: ToggleRecord) -> None:
        """As `Observer.adapter_toggled`."""
        self.records.append(record)


@asynccontextmanager
async def open_telemetry(
    *, version: str = "", otlp_endpoint: str | None = None, json_logs: bool = False
) -> AsyncIterator[Telemetry]:
    """Telemetry that folds what it is told, until the block ends; then what waits is still passed on.

    Raises:
        EngineUnavailable: if traces are wanted and OpenTelemetry is not installed.
        ConfigError: if the endpoint is no web address.
    """
    async with AsyncExitStack() as stack:
        sinks: list[Observer] = []
        if json_logs:
            stack.enter_context(log_as_json())
            sinks.append(TurnLines())
        if otlp_endpoint is not None:
            spans = Spans(open_exporter(otlp_endpoint))
            stack.push_async_callback(asyncio.to_thread, spans.close)
            sinks.append(spans)
        telemetry = Telemetry(sinks, version=version)
        stack.callback(telemetry.recorder.fold)
        folding = asyncio.create_task(telemetry.recorder.run())
        stack.push_async_callback(_cancel, folding)
        yield telemetry


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
