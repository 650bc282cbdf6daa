"""uvicorn, set up for these limits, and stopping the way that callers deserve."""

from __future__ import annotations

import math
import socket

import uvicorn

from teller.config import LOOPBACK
from teller.errors import ConfigError
from teller.server.app import make_app
from teller.server.bot import Bot
from teller.server.limits import Lines, ServerLimits

_MAX_CONNECTIONS_PER_CALL = 8  # beyond that many sockets uvicorn itself answers 503


class DrainingServer(uvicorn.Server):
    """A uvicorn server that lets running turns end before it closes their connections."""

    def __init__(self, config: uvicorn.Config, lines: Lines, drain_s: float) -> None:
        super().__init__(config)
        self._lines = lines
        self._drain_s = drain_s

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, then shut down as uvicorn does."""
        await self._lines.drain(self._drain_s)
        await super().shutdown(sockets)


def make_server(bot: Bot, limits: ServerLimits, host: str, port: int) -> DrainingServer:
    """A server that is not yet running.

    Raises:
        ConfigError: if the host is not loopback and there is no token.
    """
    if host not in LOOPBACK and limits.token is None:
        raise ConfigError(f"server.host is {host}: a server that others can reach needs a token")
    app = make_app(bot, limits)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        lifespan="on",
        ws="websockets-sansio",
        ws_max_size=limits.max_message_bytes,
        ws_per_message_deflate=False,  # sound does not shrink
        proxy_headers=False,  # a header must not choose whose rate a request counts for
        server_header=False,
        access_log=False,
        log_config=None,
        limit_concurrency=100 + _MAX_CONNECTIONS_PER_CALL * limits.max_calls,
        timeout_graceful_shutdown=math.ceil(limits.drain_s),
    )
    return DrainingServer(config, app.state.lines, limits.drain_s)
