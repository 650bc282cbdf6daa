"""What `orchestrator-log --cache-hits` shows: plain data for JSON, and rows for tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from teller.cli.log_views import View, count, duration, ms, percent, range_view, rounded
from teller.stores.turn_figures import CacheHits, ClassHits, share
from teller.turn import MissReason

if TYPE_CHECKING:
    from teller.stores.turn_reader import Span

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
        "hit_rate": rounded(found.hit_rate, 4),
        "hit_rate_eligible": rounded(found.hit_rate_eligible, 4),
        "unfinished_turns": found.unfinished,
        "saved_s": rounded(found.saved_s, 1),
        "saved_tokens": round(found.saved_tokens),
        "saved_money": money,
        "currency": currency if token_price else None,
    }


def _class_view(one: ClassHits) -> View:
    return {
        "hits": one.hits,
        "misses": one.misses,
        "hit_rate": rounded(one.hit_rate, 4),
        "exact": one.by_tier["exact"],
        "semantic": one.by_tier["semantic"],
        "hit_ms": rounded(one.hit_ms, 3),
        "composed_ms": rounded(one.composed_ms, 3),
        "saved_s": rounded(one.saved_s, 1),
    }


def hits_rows(view: View) -> list[tuple[str, ...]]:
    """The range beside the one before it."""
    before = view["before"]
    rows = [
        _compared("turns", view, before, "turns", count),
        _compared("hits", view, before, "hits", count),
        _compared("misses", view, before, "misses", count),
        _compared("hit rate", view, before, "hit_rate", percent),
        _compared("hit rate of what may be cached", view, before, "hit_rate_eligible", percent),
        _compared("time saved", view, before, "saved_s", duration),
        _compared("tokens saved", view, before, "saved_tokens", count),
    ]
    if view["unfinished_turns"] or before["unfinished_turns"]:
        rows.insert(3, _compared("of both in turns that were cut off", view, before, "unfinished_turns", count))
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
            *(count(one[key]) for key in ("hits", "misses")),
            percent(one["hit_rate"]),
            *(count(one[key]) for key in ("exact", "semantic")),
            *(ms(one[key]) for key in ("hit_ms", "composed_ms")),
            "unknown: nothing was composed" if one["saved_s"] is None else duration(one["saved_s"]),
        )
        for name, one in view["by_class"].items()
    ]


REASON_HEADER = ("reason", "misses", "share", "")


def reason_rows(view: View) -> list[tuple[str, ...]]:
    """Rows under `REASON_HEADER`, most first."""
    return [
        (reason, count(misses), percent(share(misses, view["misses"])), _MEANING.get(MissReason(reason), ""))
        for reason, misses in view["by_reason"].items()
    ]


ACCURACY_HEADER = ("class", "hits checked", "right", "at least", "region", "wrong hits at most", "")


def accuracy_rows(classes: Iterable[View]) -> list[tuple[str, ...]]:
    """Rows under `ACCURACY_HEADER`."""
    return [
        (
            one["class"],
            count(one["checked"]),
            percent(one["accuracy"]),
            percent(one["accuracy_lower_95"]),
            one["state"],
            "no bound" if one["certified_bound"] is None else percent(one["certified_bound"]),
            one["why"],
        )
        for one in classes
    ]


def hit_rates(view: View) -> list[float | None]:
    """By slot; None without lookups."""
    return [share(one["hits"], one["hits"] + one["misses"]) for one in view["over_time"]]


def _slot_starts(span: Span, slots: int) -> list[float]:
    return [round(span.since + span.length_s * slot / slots, 3) for slot in range(slots)]
