"""What `orchestrator-log` shows of many turns: plain data for JSON, and rows for tables."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from teller.stores.turn_figures import CacheHits, ClassHits, share, share_limits
from teller.stores.turn_speed import ANSWER, MEASURES, AdapterTurns, Speed, Times
from teller.turn import MissReason, Toggle, ToggleRecord

if TYPE_CHECKING:
    from teller.stores.turn_reader import Span

View = dict[str, Any]
_LEVELS = (50, 95, 99)
_MEANING = {
    MissReason.EMPTY: "nothing was stored yet for this bank, language, model and knowledge",
    MissReason.NOT_ELIGIBLE: "an action, a live value or personal data: never looked up",
    MissReason.NO_IDENTITY: "needs a verified customer",
    MissReason.LOW_CONFIDENCE: "the transcript was too unsure",
    MissReason.TOO_FAR: "no stored question was near enough",
    MissReason.VALUES_DIFFER: "the nearest was about another amount, date, product, ...",
    MissReason.POLARITY_DIFFERS: "the nearest asked the opposite",
    MissReason.ROLES_DIFFER: "the nearest had from and to the other way round",
    MissReason.NO_CONSENSUS: "the neighbours carry different answers",
    MissReason.UNCERTAIN: "outside the region in which hits are certified",
    MissReason.CLASS_CLOSED: "semantic hits are closed for this class",
    MissReason.EXPIRED: "the stored answer was too old",
    MissReason.STALE: "a rate or text that the stored answer rests on has changed",
    MissReason.TEMPLATE: "computed from the question's own values, never replayed",
    MissReason.DISABLED: "cache.mode is off",
    MissReason.FAILED: "the cache failed; the turn went on without it",
}
_MARKS = {
    Toggle.ENABLE: "E",
    Toggle.DISABLE: "D",
    Toggle.ROLLBACK: "R",
    Toggle.CANARY: "C",
    Toggle.PROMOTE: "P",
    Toggle.WITHDRAW: "W",
    Toggle.REFUSE: "x",
}


def hits_view(now: CacheHits, before: CacheHits, *, token_price: float, currency: str) -> View:
    """Hits and misses of a range, and of the one before it."""
    return {
        **_hits(now, token_price=token_price, currency=currency),
        "by_class": {name: _class_view(one) for name, one in now.by_class.items()},
        "by_tier": {tier: sum(one.by_tier[tier] for one in now.by_class.values()) for tier in ("exact", "semantic")},
        "by_reason": dict(now.by_reason),
        "by_source": dict(now.by_source),
        "over_time": [
            {"at": at, "hits": hits, "misses": asked - hits}
            for at, hits, asked in zip(
                _slot_starts(now.span, len(now.hits_by_slot)), now.hits_by_slot, now.lookups_by_slot, strict=True
            )
        ],
        "before": _hits(before, token_price=token_price, currency=currency),
    }


def _hits(found: CacheHits, *, token_price: float, currency: str) -> View:
    money = round(found.saved_tokens / 1_000 * token_price, 2) if token_price else None
    return {
        **range_view(found.span),
        "turns": found.turns,
        "hits": found.hits,
        "misses": found.misses,
        "hit_rate": _rounded(found.hit_rate, 4),
        "hit_rate_eligible": _rounded(found.hit_rate_eligible, 4),
        "unfinished_turns": found.unfinished,
        "saved_s": _rounded(found.saved_s, 1),
        "saved_tokens": round(found.saved_tokens),
        "saved_money": money,
        "currency": currency if token_price else None,
    }


def _class_view(one: ClassHits) -> View:
    return {
        "hits": one.hits,
        "misses": one.misses,
        "hit_rate": _rounded(one.hit_rate, 4),
        "exact": one.by_tier["exact"],
        "semantic": one.by_tier["semantic"],
        "hit_ms": _rounded(one.hit_ms, 3),
        "composed_ms": _rounded(one.composed_ms, 3),
        "saved_s": _rounded(one.saved_s, 1),
    }


def hits_rows(view: View) -> list[tuple[str, ...]]:
    """The range beside the one before it."""
    before = view["before"]
    rows = [
        _compared("turns", view, before, "turns", _count),
        _compared("hits", view, before, "hits", _count),
        _compared("misses", view, before, "misses", _count),
        _compared("hit rate", view, before, "hit_rate", percent),
        _compared("hit rate of what may be cached", view, before, "hit_rate_eligible", percent),
        _compared("time saved", view, before, "saved_s", duration),
        _compared("tokens saved", view, before, "saved_tokens", _count),
    ]
    if view["saved_money"] is not None:
        rows.append(
            _compared(f"money saved, {view['currency']}", view, before, "saved_money", lambda value: f"{value:,.2f}")
        )
    return rows


def _compared(name: str, view: View, before: View, key: str, shown: Any) -> tuple[str, ...]:
    values = view[key], before[key]
    both = [("-" if value is None else shown(value)) for value in values]
    if None in values or not before["hits"] + before["misses"]:
        change = "-"
    elif key.startswith("hit_rate"):
        change = f"{(values[0] - values[1]) * 100:+.1f} points"
    else:
        change = f"{values[0] / values[1] - 1:+.0%}" if values[1] else "-"
    return name, *both, change


CLASS_HEADER = ("class", "hits", "misses", "hit rate", "exact", "semantic", "a hit takes", "composing takes", "saved")


def class_rows(view: View) -> list[tuple[str, ...]]:
    """Rows under `CLASS_HEADER`."""
    return [
        (
            name,
            *(_count(one[key]) for key in ("hits", "misses")),
            percent(one["hit_rate"]),
            *(_count(one[key]) for key in ("exact", "semantic")),
            *(_ms(one[key]) for key in ("hit_ms", "composed_ms")),
            "unknown: nothing was composed" if one["saved_s"] is None else duration(one["saved_s"]),
        )
        for name, one in view["by_class"].items()
    ]


REASON_HEADER = ("reason", "misses", "share", "")


def reason_rows(view: View) -> list[tuple[str, ...]]:
    """Rows under `REASON_HEADER`, most first."""
    return [
        (reason, _count(count), percent(share(count, view["misses"])), _MEANING.get(MissReason(reason), ""))
        for reason, count in view["by_reason"].items()
    ]


ACCURACY_HEADER = ("class", "hits checked", "right", "at least", "region", "wrong hits at most", "")


def accuracy_rows(classes: Iterable[View]) -> list[tuple[str, ...]]:
    """Rows under `ACCURACY_HEADER`."""
    return [
        (
            one["class"],
            _count(one["checked"]),
            percent(one["accuracy"]),
            percent(one["accuracy_lower_95"]),
            one["state"],
            "no bound" if one["certified_bound"] is None else percent(one["certified_bound"]),
            one["why"],
        )
        for one in classes
    ]


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
        "grounded_share": _rounded(share(one.grounded, one.generated), 4),
        "grounded_share_95": [round(limit, 4) for limit in limits] if limits else None,
        "generate_ms": _levels(one.times, "generate"),
        "answer_ms": _levels(one.times, ANSWER),
        "tokens_per_s": _rounded(one.tokens_per_s, 1),
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
            _count(one["turns"]),
            _count(one["generated"]),
            percent(one["grounded_share"]),
            " to ".join(percent(limit) for limit in one["grounded_share_95"] or ()) or "-",
            _count(one["grounding_failures"]),
            *(_ms(one["generate_ms"][name]) for name in ("p50", "p95")),
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
        "turns_per_s": _rounded(found.turns_per_s, 4),
        "busiest_minute_turns_per_s": _rounded(found.busiest_minute / 60, 3),
        "concurrency": {"mean": _rounded(found.busy_s / found.span.length_s, 4), "most": found.most_at_once},
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
        ("turns", _count(view["turns"])),
        ("turns per second, first to last", "-" if rate is None else f"{rate:,.3f}"),
        ("turns per second, busiest minute", f"{view['busiest_minute_turns_per_s']:,.3f}"),
        ("turns at once, mean", f"{view['concurrency']['mean']:,.3f}"),
        ("turns at once, most", _count(view["concurrency"]["most"])),
    ]


SPEED_HEADER = ("source", "stage", "turns", "p50", "p95", "p99")


def speed_rows(view: View) -> list[tuple[str, ...]]:
    """Rows under `SPEED_HEADER`."""
    rows = []
    for source, stages in view["latency_ms"].items():
        for stage, one in stages.items():
            first = source if stage == next(iter(stages)) else ""
            rows.append((first, stage, _count(one["turns"]), *(_ms(one[f"p{level}"]) for level in _LEVELS)))
    return rows


def range_view(span: Span) -> View:
    """A range, in Unix seconds."""
    return {"since": span.since, "until": span.until}


def hit_rates(view: View) -> list[float | None]:
    """By slot; None without lookups."""
    return [share(one["hits"], one["hits"] + one["misses"]) for one in view["over_time"]]


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


def _slot_starts(span: Span, slots: int) -> list[float]:
    return [round(span.since + span.length_s * slot / slots, 3) for slot in range(slots)]


def _levels(times: Times, stage: str) -> View:
    return {f"p{level}": _rounded(times.percentile(stage, level), 3) for level in _LEVELS}


def _ms(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value / 1_000:,.2f} s" if value >= 10_000 else f"{value:,.1f} ms" if value >= 10 else f"{value:.2f} ms"


def _count(value: float) -> str:
    return f"{value:,}"


def _rounded(value: float | None, places: int) -> float | None:
    return None if value is None else round(value, places)
