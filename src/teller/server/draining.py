"""uvicorn, set up for these limits, and stopping the way that callers deserve."""

from __future__ import annotations

import asyncio
import math
import signal
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

import uvicorn
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from teller.config import LOOPBACK
from teller.errors import ConfigError
from teller.server.app import make_app
from teller.server.bot import Bot
from teller.server.limits import Lines, ServerLimits
from teller.telemetry import Telemetry

_MAX_CONNECTIONS_PER_CALL = 8  # beyond that many sockets uvicorn itself answers 503
_HEAD_S = 15.0  # longest wait for the head of a request
_LINGER_S = 5.0  # longest wait for a caller to read the rest after the end of a call


class PromptProtocol(H11Protocol):
    """uvicorn's HTTP protocol, for callers who send the head of a request in time; uvicorn itself waits for ever."""

    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take the data, and wait on if no request is whole and being answered."""
        super().data_received(data)
        is_waiting = self.cycle is None or self.cycle.response_complete
        if is_waiting and self._patience is None:
            self._wait()
        elif not is_waiting and self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _wait(self) -> None:
        self._patience = self.loop.call_later(_HEAD_S, self._give_up)

    def _give_up(self) -> None:
        self._patience = None
        if self.transport.get_protocol() is self:  # not a WebSocket since
            self.transport.abort()


class CallProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol without two faults of 0.54.

    It reports every refused handshake as an error of the application, and it keeps the connection of a caller who does
    not read for as long as that caller likes.
    """

    async def send(self, message: ASGISendEvent) -> None:
        """Send; a refusal that is whole completes the handshake."""
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            self.handshake_complete = True

    async def run_asgi(self) -> None:
        """Run the application; what the caller has not read soon after its end is dropped."""
        await super().run_asgi()
        self.loop.call_later(_LINGER_S, self.transport.abort)


class DrainingServer(uvicorn.Server):
    """A uvicorn server that lets running turns end before it closes their connections, and then returns.

    uvicorn itself raises the signal that stopped it once more, which would end the process before the bot is closed.
    """

    def __init__(self, config: uvicorn.Config, lines: Lines, drain_s: float, on_listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._lines = lines
        self._drain_s = drain_s
        self._on_listening = on_listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start as uvicorn does, and say so."""
        await super().startup(sockets)
        self._on_listening()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Stop on SIGINT and SIGTERM while the block runs."""
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread may
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, then shut down as uvicorn does."""
        await self._lines.drain(self._drain_s)
        await super().shutdown(sockets)


def make_server(
    bot: Bot,
    limits: ServerLimits,
    host: str,
    port: int,
    on_listening: Callable[[], None] = lambda: None,
    telemetry: Telemetry | None = None,
) -> DrainingServer:
    """A server that is not yet running; it calls `on_listening` once callers are let in.

    Raises:
        ConfigError: if the host is not loopback and there is no token.
    """
    if host not in LOOPBACK and limits.token is None:
        raise ConfigError(f"server.host is {host}: a server that others can reach needs a token")
    app = make_app(bot, limits, telemetry)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        lifespan="off",  # it would drain a second time
        http=PromptProtocol,
        ws=CallProtocol,
        ws_max_size=limits.max_message_bytes,
        ws_per_message_deflate=False,  # sound does not shrink
        proxy_headers=False,  # a header must not choose whose rate a request counts for
        server_header=False,
        access_log=False,
        log_config=None,
        limit_concurrency=100 + _MAX_CONNECTIONS_PER_CALL * limits.max_calls,
        timeout_graceful_shutdown=math.ceil(limits.drain_s),
    )
    return DrainingServer(config, app.state.lines, limits.drain_s, on_listening)
