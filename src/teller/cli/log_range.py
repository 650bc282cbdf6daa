"""Time ranges as people write them: 90m, 7d, 2026-11-01, 2026-11-01T09:30."""

from __future__ import annotations

import math
import re
from datetime import datetime

import typer

from teller.stores.turn_reader import Span

_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|min|h|d|w)", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}
FORMS = "an age (90m, 1h, 7d, 2w), a date (2026-11-01) or a time (2026-11-01T09:30)"


def span_of(since: str, until: str | None, now: float) -> Span:
    """The range between two moments; without `until` it ends now.

    Raises:
        typer.BadParameter: if a moment cannot be read, or the range is empty or backwards.
    """
    span = Span(_moment(since, now, "--since"), now if until is None else _moment(until, now, "--until"))
    if span.length_s <= 0:
        what = "empty" if span.length_s == 0 else "backwards"
        ends = "now" if until is None else until
        raise typer.BadParameter(f"the range from {since} to {ends} is {what}", param_hint="--since/--until")
    return span


def _moment(text: str, now: float, option: str) -> float:
    try:
        if age := _AGE.fullmatch(text.strip().lower()):
            found = now - float(age[1]) * _SECONDS[age[2]]
        else:
            found = datetime.fromisoformat(text.strip()).timestamp()  # without a zone: local time
    except (ValueError, OverflowError, OSError):
        found = math.nan
    if not 0 <= found < 1e11:
        raise typer.BadParameter(f"{text!r} is no moment; wanted {FORMS}", param_hint=option)
    return found
