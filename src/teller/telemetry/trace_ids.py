"""Which trace a turn, a log line and an exemplar belong to: one for each call, named by the call's own id.

So a trace that a dashboard shows leads to the call in the turn log, and back. The ids are random and say nothing.
"""

from __future__ import annotations

import hashlib
import re
from contextvars import ContextVar

CURRENT_TRACE: ContextVar[str] = ContextVar("teller_trace", default="")  # of the call that this task serves

_TRACE = re.compile(r"[0-9a-f]{32}")
_NO_TRACE = "0" * 32


def trace_id_of(call_id: str) -> str:
    """32 hexadecimal digits, not all zero: the call's id where it is such a number, else made from it."""
    if _TRACE.fullmatch(call_id) and call_id != _NO_TRACE:
        return call_id
    return hashlib.blake2b(call_id.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def span_id_of(*parts: str) -> int:
    """64 bits, not zero: equal for equal parts."""
    joined = "\0".join(parts).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(joined, digest_size=8).digest(), "big") or 1
