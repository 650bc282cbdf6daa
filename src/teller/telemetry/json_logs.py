"""Logs as lines of JSON on standard error, with the trace that they belong to and without anybody's words.

What Teller itself logs is written for operators and shown whole. What a library logs may hold a caller's words, a path
or an exception's message: of it a line has the text without what was filled in, the types of errors and the places
that they came through. One line is written for each turn, from its record.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TextIO

from teller.observers import Unobserved
from teller.telemetry.facts import answered_ms
from teller.telemetry.trace_ids import CURRENT_TRACE, trace_id_of
from teller.turn import TurnRecord

_OURS = "teller"
_PLACES = 8  # of an error's way up
_turns = logging.getLogger("teller.turns")


class JsonLines(logging.Formatter):
    """One log record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, Any] = {
            "at": _iso(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        }
        facts: dict[str, Any] = getattr(record, "facts", {})
        if trace := facts.get("trace_id") or CURRENT_TRACE.get():
            line["trace_id"] = trace
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            line["came_through"] = _places(record.exc_info[1])
        return json.dumps(line | facts, ensure_ascii=False, default=str)


class TurnLines(Unobserved):
    """Logs a line for each turn: where its answer came from and how long it took."""

    def turn_finished(self, record: TurnRecord) -> None:
        """As `Observer.turn_finished`."""
        evidence = record.answer.evidence
        facts = {
            "trace_id": trace_id_of(record.call_id),
            "turn_id": record.turn_id,
            "started_at": _iso(record.started_at),
            "tenant": record.scope.tenant,
            "source": record.answer.source.value,
            "reason": record.answer.reason or None,
            "tier": evidence.tier.value if evidence else None,
            "miss_reason": record.miss_reason.value if record.miss_reason else None,
            "grounded": record.grounded,
            "adapter": record.adapter,
            "interrupted": record.interrupted or None,
            "spoken_s": round(record.spoken_s, 3) or None,
            "answered_ms": round(answered_ms(record), 3),
            "stages_ms": {stage: round(max(0.0, spent), 3) for stage, spent in record.timings_ms.items()},
        }
        _turns.info("turn", extra={"facts": {name: fact for name, fact in facts.items() if fact is not None}})


@contextmanager
def log_as_json(stream: TextIO | None = None) -> Iterator[None]:
    """Have everything that is logged written to a stream, by default standard error, while the block runs."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    root, ours = logging.getLogger(), logging.getLogger(_OURS)
    before = root.handlers[:], ours.level
    root.handlers[:] = [handler]
    ours.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.handlers[:] = before[0]
        ours.setLevel(before[1])


def _message(record: logging.LogRecord) -> str:
    if record.name == _OURS or record.name.startswith(f"{_OURS}."):
        return record.getMessage()
    if record.args:
        return str(record.msg)  # what a library writes, before a caller's words or a path are put in
    return f"said at {record.module}:{record.lineno}; withheld, because it may hold a caller's words"


def _places(error: BaseException | None) -> list[str]:
    way = list(traceback.walk_tb(error.__traceback__ if error else None))[-_PLACES:]
    return [f"{frame.f_globals.get('__name__', '?')}.{frame.f_code.co_name}:{line}" for frame, line in way]


def _iso(at: float) -> str:
    try:
        return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):  # a clock that is far off
        return str(at)
