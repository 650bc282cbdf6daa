"""What `orchestrator-log` shows of adapters and of load: plain data for JSON, and rows for tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from teller.cli.log_views import View, count, moment, ms, percent, range_view, rounded, sparkline
from teller.stores.turn_figures import share, share_limits
from teller.stores.turn_speed import ANSWER, MEASURES, AdapterTurns, Speed, Times
from teller.turn import Toggle, ToggleRecord

if TYPE_CHECKING:
    from teller.stores.turn_reader import Span

_LEVELS = (50, 95, 99)
_MARKS = {
    Toggle.ENABLE: "E",
    Toggle.DISABLE: "D",
    Toggle.ROLLBACK: "R",
    Toggle.CANARY: "C",
    Toggle.PROMOTE: "P",
    Toggle.WITHDRAW: "W",
    Toggle.REFUSE: "x",
}


def adapters_view(found: Speed) -> View:
    """Each adapter version of a range, and what was toggled in it."""
    return {
        **range_view(found.span),
        "turns": found.turns,
        "adapters": [_adapter_view(one) for one in sorted(found.adapters.values(), key=lambda one: one.first_at)],
        "toggles": [_toggle_view(one) for one in found.toggles],
    }


def _adapter_view(one: AdapterTurns) -> View:
    limits = share_limits(one.grounded, one.generated)
    return {
        "adapter": one.name or None,
        "turns": one.turns,
        "generated": one.generated,
        "grounded": one.grounded,
        "grounding_failures": one.generated - one.grounded,
        "grounded_share": rounded(share(one.grounded, one.generated), 4),
        "grounded_share_95": [round(limit, 4) for limit in limits] if limits else None,
        "generate_ms": _levels(one.times, "generate"),
        "answer_ms": _levels(one.times, ANSWER),
        "tokens_per_s": rounded(one.tokens_per_s, 1),
        "first_at": one.first_at,
        "last_at": one.last_at,
        "over_time": one.by_slot.tolist(),
    }


def _toggle_view(one: ToggleRecord) -> View:
    names = ("at", "toggle", "before", "after", "who", "why", "canary", "share")
    return {name: getattr(one, name) for name in names}


ADAPTER_HEADER = (
    "adapter",
    "turns",
    "answers checked",
    "grounded",
    "95 % interval",
    "failures",
    "generating p50",
    "p95",
    "tokens/s",
    "turns over time",
)


def adapter_rows(view: View, span: Span) -> list[tuple[str, ...]]:
    """Rows under `ADAPTER_HEADER`, the toggles on the last."""
    rows = [
        (
            one["adapter"] or "(base model)",
            count(one["turns"]),
            count(one["generated"]),
            percent(one["grounded_share"]),
            " to ".join(percent(limit) for limit in one["grounded_share_95"] or ()) or "-",
            count(one["grounding_failures"]),
            *(ms(one["generate_ms"][name]) for name in ("p50", "p95")),
            "-" if one["tokens_per_s"] is None else f"{one['tokens_per_s']:,.1f}",
            sparkline(one["over_time"]),
        )
        for one in view["adapters"]
    ]
    if rows and view["toggles"]:
        rows.append(("toggles", *[""] * (len(ADAPTER_HEADER) - 2), marks(view["toggles"], span, len(rows[0][-1]))))
    return rows


TOGGLE_HEADER = ("", "at", "toggle", "before", "after", "who", "why")


def toggle_rows(view: View) -> list[tuple[str, ...]]:
    """Rows under `TOGGLE_HEADER`."""
    return [
        (
            _MARKS[one["toggle"]],
            moment(one["at"]),
            str(one["toggle"]) + (f" {one['canary']} for {one['share']:.0%}" if one["canary"] else ""),
            one["before"] or "(base model)",
            one["after"] or "(base model)",
            one["who"],
            one["why"],
        )
        for one in view["toggles"]
    ]


def marks(toggles: Sequence[View], span: Span, width: int) -> str:
    """A time line with the letter of each toggle at its place."""
    line = ["·"] * width
    for one in toggles:
        line[min(width - 1, int((one["at"] - span.since) / span.length_s * width))] = _MARKS[one["toggle"]]
    return "".join(line)


def speed_view(found: Speed) -> View:
    """Load and waiting times of a range."""
    return {
        **range_view(found.span),
        "turns": found.turns,
        "turns_per_s": rounded(found.turns_per_s, 4),
        "busiest_minute_turns_per_s": rounded(found.busiest_minute / 60, 3),
        "concurrency": {"mean": rounded(found.busy_s / found.span.length_s, 4), "most": found.most_at_once},
        "latency_ms": {
            source: {
                stage: {"turns": times.turns(stage), **_levels(times, stage)}
                for stage in MEASURES
                if times.turns(stage)
            }
            for source, times in sorted(found.by_source.items())
        },
        "precision": "percentiles are within 1 % of the exact ones",
        "over_time": found.by_slot.tolist(),
    }


def load_rows(view: View) -> list[tuple[str, str]]:
    """Name and number."""
    rate = view["turns_per_s"]
    return [
        ("turns", count(view["turns"])),
        ("turns per second, first to last", "-" if rate is None else f"{rate:,.3f}"),
        ("turns per second, busiest minute", f"{view['busiest_minute_turns_per_s']:,.3f}"),
        ("turns at once, mean", f"{view['concurrency']['mean']:,.3f}"),
        ("turns at once, most", count(view["concurrency"]["most"])),
    ]


SPEED_HEADER = ("source", "stage", "turns", "p50", "p95", "p99")


def speed_rows(view: View) -> list[tuple[str, ...]]:
    """Rows under `SPEED_HEADER`."""
    rows = []
    for source, stages in view["latency_ms"].items():
        for stage, one in stages.items():
            first = source if stage == next(iter(stages)) else ""
            rows.append((first, stage, count(one["turns"]), *(ms(one[f"p{level}"]) for level in _LEVELS)))
    return rows


def _levels(times: Times, stage: str) -> View:
    return {f"p{level}": rounded(times.percentile(stage, level), 3) for level in _LEVELS}
