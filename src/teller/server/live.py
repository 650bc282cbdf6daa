"""The live page and what it is told: figures of the last minutes, once a second, as server-sent events.

`/api/live` wants the token like the rest; the page reads it with `fetch`, which can send one, not with EventSource. One
look at the numbers serves every viewer; a viewer who reads slowly misses looks, and one who does not read is dropped.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

from starlette.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send

from teller.server.failures import refusal
from teller.server.limits import Lines
from teller.telemetry import Telemetry
from teller.telemetry.recent import Recent, toggle_view

MOST_VIEWERS = 20
_EVERY_S = 1.0
_IDLE_S = 5.0  # between looks while nobody watches, so that the next one sees the last minutes
_POINTS = 300  # of the curves
_PAGE = Path(__file__).parent / "static" / "dashboard.html"


class Live:
    """Looks at the numbers from the first viewer on, until the server stops.

    Args:
        telemetry: whose numbers.
        lines: tell when the server stops.
        send_timeout_s: longest wait for a viewer to read.
    """

    def __init__(self, telemetry: Telemetry, lines: Lines, *, send_timeout_s: float) -> None:
        self._telemetry = telemetry
        self._lines = lines
        self._send_timeout_s = send_timeout_s
        self._recent = Recent()
        self._points: deque[list[float | None]] = deque(maxlen=_POINTS)
        self._now = b""
        self._tick = asyncio.Event()  # set when `_now` is newer, and replaced
        self._looking: asyncio.Task[None] | None = None
        self.viewers = 0

    async def page(self) -> FileResponse:
        """The page itself; it holds no numbers."""
        return FileResponse(_PAGE)

    async def stream(self) -> Response:
        """The events of one viewer: `history`, then `now` once a second, then `bye` when the server stops."""
        if self.viewers >= MOST_VIEWERS or self._lines.stopping.is_set():
            return refusal(503, f"{MOST_VIEWERS} viewers watch already, or the server stops; try again in a moment")
        return _Stream(self, self._send_timeout_s)

    async def follow(self) -> AsyncGenerator[bytes, None]:
        """The events, while somebody takes them."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_on())
        yield _event("history", list(self._points)[:-1])  # the last point is that of `now`
        if self._now:
            yield self._now
        stopping = asyncio.ensure_future(self._lines.stopping.wait())
        try:
            while not stopping.done() and not self._looking.done():
                ticked = asyncio.ensure_future(self._tick.wait())
                try:
                    await asyncio.wait({ticked, stopping, self._looking}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    ticked.cancel()
                if not stopping.done():
                    yield self._now
        finally:
            stopping.cancel()
        yield _event("bye", {})

    async def _look_on(self) -> None:
        while not self._lines.stopping.is_set():
            await self._look()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._lines.stopping.wait(), _EVERY_S if self.viewers else _IDLE_S)

    async def _look(self) -> None:
        view = self._recent.look(await self._telemetry.up_to_date(), time.monotonic())
        view |= {"at": time.time(), "toggles": [toggle_view(one) for one in self._telemetry.toggles]}
        point = [round(view["at"], 1), view["turns"]["per_s"], view["cache"]["hit_rate"]]
        self._points.append([*point, view["times"]["first_sound"]["p95_ms"]])
        self._now = _event("now", view)
        ticked, self._tick = self._tick, asyncio.Event()
        ticked.set()


class _Stream(Response):
    """Sends events until the viewer goes, does not read, or the server stops."""

    def __init__(self, live: Live, send_timeout_s: float) -> None:
        super().__init__(media_type="text/event-stream")
        del self.headers["content-length"]
        self._live = live
        self._send_timeout_s = send_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  ASGI's own
        """As ASGI has it."""
        self._live.viewers += 1
        sending, leaving = asyncio.create_task(self._send(send)), asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._live.viewers -= 1
            leaving.cancel()
            sending.cancel()
        (outcome,) = await asyncio.gather(sending, return_exceptions=True)
        if isinstance(outcome, Exception) and not isinstance(outcome, TimeoutError):  # that one did not read
            raise outcome

    async def _send(self, send: Send) -> None:
        await self._pass(send, {"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async with aclosing(self._live.follow()) as events:
            async for event in events:
                await self._pass(send, {"type": "http.response.body", "body": event, "more_body": True})
        await self._pass(send, {"type": "http.response.body", "body": b"", "more_body": False})

    async def _pass(self, send: Send, message: dict[str, Any]) -> None:
        async with asyncio.timeout(self._send_timeout_s):
            await send(message)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _event(name: str, value: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps(value)}\n\n".encode()
