"""Who may come in: host, origin, rate and token are checked before anything is read; safe headers on all that goes out.

Pure ASGI, for HTTP and WebSocket alike. A WebSocket is refused before it is accepted, with an ordinary HTTP answer.
This is also the outermost edge: whatever escapes the application becomes a 500 with an id.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import math
from collections.abc import Iterable
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from teller.server.failures import STATUS_CODES, failure_of, refusal, response_of
from teller.server.limits import Lines, RateLimit, ServerLimits, caller_key

SUBPROTOCOL = "teller.v1"
_BEARER_PROTOCOL = "teller.bearer."  # then base64url of the token: a browser cannot set a header on a WebSocket
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_OPEN_PATHS: Final = frozenset({"/", "/dashboard", "/healthz"})  # and /static/: nothing secret is there
_OPERATOR_PATHS: Final = frozenset({"/metrics", "/readyz"})  # asked for all day long, by whoever has the token
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_SAFE_HEADERS: Final = (
    (
        b"content-security-policy",
        b"default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"microphone=(self), camera=(), geolocation=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_OURS: Final = frozenset({name for name, _ in _SAFE_HEADERS} | {b"cache-control"})


class Guard:
    """The ASGI middleware around the application."""

    def __init__(self, app: ASGIApp, limits: ServerLimits, rate: RateLimit, lines: Lines) -> None:
        self._app = app
        self._limits = limits
        self._rate = rate
        self._failures = lines.failures
        self._hosts = _LOOPBACK | ({limits.public_host.lower()} if limits.public_host else set())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the connection or pass it on."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        started = False

        async def send_safely(message: Message) -> None:
            nonlocal started
            started = True
            if message["type"].endswith("http.response.start"):
                refused = message["status"] >= 400 and scope.get("method") not in _SAFE_METHODS
                message["headers"] = _with_ours(message["headers"], scope["path"], close=refused)
            await send(message)

        try:
            response = self._refusal(scope, Headers(scope=scope))
            if response is not None:
                self._failures[STATUS_CODES[response.status_code]] += 1
            await (response or self._app)(scope, receive, send_safely)
        except Exception as exc:  # noqa: BLE001  the outermost edge
            failure = failure_of(exc)
            self._failures[failure.code] += 1
            if not started:
                await response_of(failure)(scope, receive, send_safely)

    def _refusal(self, scope: Scope, headers: Headers) -> JSONResponse | None:
        if not self._is_our_host(headers.get("host", "")):
            return refusal(421, "this server does not answer under that host name")
        changes = scope["type"] == "websocket" or scope["method"] not in _SAFE_METHODS
        if changes and not self._is_our_origin(headers):
            return refusal(403, "web pages of another origin may not use this server")
        path: str = scope["path"]
        if path in _OPEN_PATHS or path.startswith("/static/"):
            return None
        if path in _OPERATOR_PATHS and self._knows_token(scope, headers):
            return None
        if wait_s := self._rate.take(caller_key((scope.get("client") or (None,))[0])):
            seconds = str(math.ceil(wait_s))
            return refusal(429, f"too many requests; try again in {seconds} s", headers={"Retry-After": seconds})
        if not self._knows_token(scope, headers):
            return refusal(401, "this server wants a bearer token", headers={"WWW-Authenticate": "Bearer"})
        return None

    def _is_our_host(self, host: str) -> bool:
        """Against DNS rebinding: a page of another name that resolves to this machine has that name here."""
        if self._limits.token is not None and self._limits.public_host is None:
            return True  # reachable under names that it was not told; such a page does not know the token
        return _hostname(host) in self._hosts

    def _is_our_origin(self, headers: Headers) -> bool:
        origin = headers.get("origin")
        if origin is None:  # not a browser
            return True
        return origin in self._limits.allowed_origins or origin.partition("://")[2] == headers.get("host")

    def _knows_token(self, scope: Scope, headers: Headers) -> bool:
        wanted = self._limits.token
        if wanted is None:
            return True
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scope["type"] == "websocket" and not given:
            given = _token_of(scope["subprotocols"])
        elif scheme.lower() != "bearer":
            given = ""
        return hmac.compare_digest(given.strip().encode(), wanted.encode())


@lru_cache(maxsize=256)
def _hostname(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _token_of(subprotocols: list[str]) -> str:
    for offered in subprotocols:
        if offered.startswith(_BEARER_PROTOCOL):
            coded = offered.removeprefix(_BEARER_PROTOCOL)
            try:
                return base64.urlsafe_b64decode(coded + "=" * (-len(coded) % 4)).decode()
            except (binascii.Error, ValueError):
                return ""
    return ""


def _with_ours(headers: Iterable[tuple[bytes, bytes]], path: str, *, close: bool) -> list[tuple[bytes, bytes]]:
    """The headers of an answer with the safe ones in place of its own; names are in small letters, as ASGI has them."""
    kept = [pair for pair in headers if pair[0] not in _OURS]
    keep = b"no-cache" if path == "/" or path.startswith("/static/") else b"no-store"
    kept += [*_SAFE_HEADERS, (b"cache-control", keep)]
    if close:  # or a body that was refused would be read to its end
        kept = [*(pair for pair in kept if pair[0] != b"connection"), (b"connection", b"close")]
    return kept
