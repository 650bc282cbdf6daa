"""Run the application with uvicorn until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from teller import __version__
from teller.config import Settings
from teller.errors import ConfigError
from teller.server.draining import make_server
from teller.server.limits import ServerLimits
from teller.server.readings import of_adapters, of_cache, of_turn_log
from teller.telemetry import Telemetry, open_telemetry
from teller.wiring import open_bot

_log = logging.getLogger("teller.server")


def limits_of(settings: Settings) -> ServerLimits:
    """The limits that the settings ask for."""
    chosen, token = settings.server, settings.server_token
    return ServerLimits(
        max_message_bytes=chosen.max_message_bytes,
        max_audio_s=chosen.max_audio_s,
        max_call_s=chosen.max_call_s,
        max_calls=chosen.max_calls,
        idle_timeout_s=chosen.idle_timeout_s,
        requests_per_minute=chosen.requests_per_minute,
        token=token.get_secret_value() if token else None,
        allowed_origins=chosen.allowed_origins,
        max_turn_s=chosen.max_turn_s,
        drain_s=chosen.drain_s,
        public_host=chosen.public_host,
    )


def serve(settings: Settings, announce: Callable[[str], None]) -> None:
    """Open the bot and serve it until a signal says stop; `announce` is given a line for the operator.

    Raises:
        TellerError: if the bot cannot be opened or the port is taken.
    """
    asyncio.run(_serve(settings, announce))


def bound(host: str, port: int) -> socket.socket:
    """A socket that holds the port and does not listen yet: nobody is let in before the bot is open.

    Raises:
        ConfigError: if the address or the port cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    held = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # asyncio sets TCP_NODELAY on no other
    try:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((host, port))
    except OSError as exc:
        held.close()
        raise ConfigError(f"cannot listen on {host}, port {port}: {exc.strerror}; choose another with --port") from exc
    return held


async def _serve(settings: Settings, announce: Callable[[str], None]) -> None:
    host = settings.server.host
    with bound(host, settings.server.port) as listening:
        async with (
            _telemetry(settings) as telemetry,
            open_bot(settings, serving=True, observers=(telemetry.recorder,)) as bot,
        ):
            telemetry.watch(of_cache(bot.cache))
            telemetry.watch(of_adapters(bot.adapters))
            if bot.turn_log is not None:
                telemetry.watch(of_turn_log(bot.turn_log))
            line = f"Teller listens on {_url(host, listening)} (Ctrl-C stops it)"
            shown = telemetry if settings.telemetry.metrics else None
            say = _log.info if settings.telemetry.log_format == "json" else announce
            server = make_server(bot, limits_of(settings), host, settings.server.port, lambda: say(line), shown)
            await server.serve(sockets=[listening])


def _telemetry(settings: Settings) -> AbstractAsyncContextManager[Telemetry]:
    chosen = settings.telemetry
    return open_telemetry(
        version=__version__, otlp_endpoint=chosen.otlp_endpoint, json_logs=chosen.log_format == "json"
    )


def _url(host: str, listening: socket.socket) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listening.getsockname()[1]}"
