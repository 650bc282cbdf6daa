"""How the command lines word numbers: shares, spans of time, sparklines."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from teller.stores.turn_reader import Span

View = dict[str, Any]


def range_view(span: Span) -> View:
    """A range, in Unix seconds."""
    return {"since": span.since, "until": span.until}


def sparkline(values: Sequence[float | None], most: float | None = None) -> str:
    """One character for each value, from 0 to `most` or the largest; a blank for None."""
    ticks = "▁▂▃▄▅▆▇█" if "utf" in (sys.stdout.encoding or "").lower() else ".,-~=+*#"
    top = most or max((value for value in values if value is not None), default=0) or 1
    return "".join(" " if value is None else ticks[min(7, int(value / top * 7.999))] for value in values)


def percent(value: float | None) -> str:
    """A share as text."""
    return "-" if value is None else f"{value:.2%}"


def duration(seconds: float) -> str:
    """Seconds as text, in the largest unit of which there is more than one."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if abs(seconds) >= 2 * length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:,.1f} s"


def moment(unix_s: float) -> str:
    """A time as text, local."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(unix_s))


def ms(value: float | None) -> str:
    """Milliseconds as text, "-" for none."""
    if value is None:
        return "-"
    return f"{value / 1_000:,.2f} s" if value >= 10_000 else f"{value:,.1f} ms" if value >= 10 else f"{value:.2f} ms"


def count(value: float) -> str:
    """A count as text."""
    return f"{value:,}"


def rounded(value: float | None, places: int) -> float | None:
    """Rounded for JSON; None stays None."""
    return None if value is None else round(value, places)
