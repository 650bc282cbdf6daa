"""From what went wrong to what a caller is told: one table, one shape, {"error": {"code", "message"}}.

Messages that name files or settings are for the operator: the caller gets an id instead, and the log has the rest. The
log never has a caller's words: of an unexpected exception it keeps the type and the places it came through.
"""

from __future__ import annotations

import logging
import secrets
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from starlette.responses import JSONResponse

from teller.errors import (
    BusyError,
    CallError,
    ConfigError,
    EngineError,
    EngineTimeout,
    EngineUnavailable,
    InputError,
    KnowledgeError,
    StoreError,
    TellerError,
)

_log = logging.getLogger("teller.server")

# The first class that fits decides.
_CODES: Final[tuple[tuple[type[TellerError], str], ...]] = (
    (KnowledgeError, "internal"),
    (InputError, "bad_input"),
    (CallError, "call_busy"),
    (EngineTimeout, "engine_timeout"),
    (EngineUnavailable, "engine_unavailable"),
    (EngineError, "engine_failed"),
    (BusyError, "busy"),
    (ConfigError, "internal"),
    (StoreError, "internal"),
    (TellerError, "internal"),
)
STATUS_CODES: Final[Mapping[int, str]] = MappingProxyType(
    {
        400: "bad_input",
        401: "unauthorized",
        403: "forbidden_origin",
        404: "not_found",
        405: "method_not_allowed",
        408: "too_slow",
        413: "too_large",
        415: "unsupported_media",
        421: "wrong_host",
        429: "rate_limited",
        503: "busy",
    }
)


@dataclass(frozen=True, slots=True)
class Failure:
    """What a caller is told."""

    code: str
    message: str
    http_status: int = 500
    retryable: bool = False


def failure_of(error: Exception) -> Failure:
    """What to tell the caller of an error; logs it under an id if its own message is not for callers."""
    if isinstance(error, TimeoutError):
        return Failure("turn_timeout", "this took too long and was given up; try again", 504, retryable=True)
    if isinstance(error, TellerError):
        code = next(code for kind, code in _CODES if isinstance(error, kind))
        if code != "internal":
            return Failure(code, str(error), error.http_status, error.retryable)
    return Failure("internal", f"something went wrong here; quote {_logged(error)} to the operator", 500)


def response_of(failure: Failure) -> JSONResponse:
    """The HTTP answer of a failure; retryable ones say when to come back."""
    response = refusal(failure.http_status, failure.message, code=failure.code)
    if failure.http_status == 503:
        response.headers["Retry-After"] = "5"
    return response


def refusal(status: int, message: str, *, code: str = "", headers: Mapping[str, str] | None = None) -> JSONResponse:
    """An HTTP error in the one shape."""
    error = {"code": code or STATUS_CODES.get(status, "refused"), "message": message}
    return JSONResponse({"error": error}, status_code=status, headers=headers)


def _logged(error: Exception) -> str:
    fault_id = secrets.token_hex(4)
    if isinstance(error, TellerError):
        _log.error("%s: %s: %s", fault_id, type(error).__name__, error)
        return fault_id
    frames = [
        f"{frame.f_globals.get('__name__', '?')}.{frame.f_code.co_name}:{line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    _log.error("%s: %s at %s", fault_id, type(error).__name__, " > ".join(frames[-8:]) or "an unknown place")
    return fault_id
