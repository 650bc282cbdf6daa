"""What `cache-manager` shows: entries, numbers and regions as plain data for JSON and as rows for tables."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from teller.cache.calibration import upper_bound
from teller.cache.events import body_of
from teller.cache.eviction import Columns, worth
from teller.cli.log_views import moment, percent
from teller.errors import StoreError

if TYPE_CHECKING:
    from teller.cache.regions import RiskRegions
    from teller.cache.upkeep import Entry
    from teller.cache_wiring import OpenCache
    from teller.config import Settings

View = dict[str, Any]
_SHOWN = 90  # characters of a question in a table
_ROW_BYTES = 500  # of an entry beside its texts, about: vector and columns


def entry_state(entry: Entry, now: float, min_accuracy: float) -> str:
    """Whether an entry is served, or why not."""
    if entry.held:
        return "quarantine"
    if entry.expires_at <= now:
        return "expired"
    return "live" if entry.accuracy >= min_accuracy else "doubted"


def entry_view(entry: Entry, opened: OpenCache, *, whole: bool = False) -> View:
    """An entry; `whole` with everything that is known of it."""
    now, rules = opened.clock.now(), opened.cache.rules
    view: View = {
        "id": entry.id,
        "class": entry.answer.data_class.value,
        "state": entry_state(entry, now, rules.min_accuracy),
        "hits": entry.hits,
        "accuracy": round(entry.accuracy, 4),
        "right": entry.right,
        "wrong": entry.wrong,
        "age_s": round(now - entry.at),
        "expires_in_s": round(entry.expires_at - now),
        "answer_id": entry.answer.answer_id,
        "question": entry.question,
    }
    if whole:
        view |= {
            "values": [f"{value.kind} {value.canonical}" for value in entry.values],
            "answer": entry.answer.text,
            "source": entry.answer.source.value,
            "stamps": list(entry.answer.stamps),
            "citations": [asdict(citation) for citation in entry.answer.citations],
            "last_hit": entry.last_hit or None,
            "cost_ms": round(entry.cost_ms, 1),
            "partition": {"digest": entry.partition.digest.hex(), **_without_customer(entry.partition.parts())},
        }
    return view


def entry_rows(views: Iterable[View]) -> list[tuple[str, ...]]:
    """Rows under `ENTRY_HEADER`."""
    return [
        (
            str(view["id"]),
            view["class"],
            view["state"],
            str(view["hits"]),
            f"{view['accuracy']:.3f}",
            span(view["age_s"]),
            view["answer_id"],
            view["question"][:_SHOWN],
        )
        for view in views
    ]


ENTRY_HEADER = ("id", "class", "state", "hits", "accuracy", "age", "answer", "question")


def in_order(entries: Iterable[Entry], by: str, now: float) -> list[Entry]:
    """Entries, most first: by worth, hits or age; the least accurate first by accuracy."""
    found = list(entries)
    if by == "value":
        return [entry for _, entry in sorted(zip(_worths(found, now), found, strict=True), key=lambda one: -one[0])]
    keys = {
        "hits": lambda entry: -entry.hits,
        "age": lambda entry: entry.at,
        "accuracy": lambda entry: entry.accuracy,
        "id": lambda entry: entry.id,
    }
    return sorted(found, key=keys[by])


ORDERS = ("id", "value", "hits", "age", "accuracy")


def _worths(entries: Sequence[Entry], now: float) -> list[float]:
    import numpy as np

    rows = [
        (
            entry.hits,
            entry.cost_ms,
            entry.accuracy,
            now - max(entry.at, entry.last_hit),
            _ROW_BYTES + len(entry.question) + len(entry.answer.text),
        )
        for entry in entries
    ]
    columns = Columns(*np.array(rows, dtype=np.float64).reshape(-1, 5).T)
    return [float(value) for value in worth(columns)]


async def stats_view(opened: OpenCache) -> View:
    """The cache in numbers; misses are those that the turn log still holds, None without one."""
    cache = opened.cache
    counts = await _counted(opened)
    totals = await cache.upkeep.totals()
    every: Counter[str] = sum(counts.values(), Counter())
    return {
        "mode": opened.settings.cache.mode,
        "entries": totals.entries,
        "quarantine": totals.held,
        "answers": totals.answers,
        "partitions": totals.partitions,
        "hits": totals.hits,
        **await asyncio.to_thread(_lookups, opened.settings.home),
        "by_class": [
            {"class": key[0], "tier": key[1], "state": key[2], **_counts(one)} for key, one in sorted(counts.items())
        ],
        "checks": _accuracy(every["checked"], every["wrong"]),
        "memory_bytes": totals.memory_bytes,
        "disk_bytes": disk_bytes(opened.folder),
        "log": {"events": totals.events, "disposable": totals.disposable},
        "regions": region_views(opened.regions, opened.settings.cache.mode),
        "judge": {"name": opened.judge.name, "compares_words": opened.judge.wants_tokens},
    }


async def _counted(opened: OpenCache) -> dict[tuple[str, str, str], Counter[str]]:
    """Entries, hits and checks by class, tier and state."""
    now, rules, cache = opened.clock.now(), opened.cache.rules, opened.cache
    counts: dict[tuple[str, str, str], Counter[str]] = {}
    for tier, upkeep in (("shared", cache.upkeep), ("private", cache.private_upkeep)):
        for entry in await upkeep.entries() if upkeep else ():
            key = (entry.answer.data_class.value, tier, entry_state(entry, now, rules.min_accuracy))
            one = counts.setdefault(key, Counter())
            checked = entry.right + entry.wrong - (not entry.held)  # the first is the entry's own: it was found right
            one.update(entries=1, hits=entry.hits, checked=checked, wrong=entry.wrong)
    return counts


def _lookups(home: Path) -> View:
    """Misses and hit rate over what the turn log holds; None for what it does not tell."""
    from teller.stores.home import Home
    from teller.stores.turn_figures import cache_hits
    from teller.stores.turn_reader import TurnReader

    nothing: View = {"misses": None, "hit_rate": None, "since": None}
    if not Home(home).turns.exists():
        return nothing
    try:
        with TurnReader(Home(home).turns) as reader:
            if (span := reader.bounds()) is None:
                return nothing
            found = cache_hits(reader, span, slots=1)
    except StoreError:
        return nothing
    return {"misses": found.misses, "hit_rate": found.hit_rate, "since": span.since}


def _counts(one: Counter[str]) -> View:
    return {"entries": one["entries"], "hits": one["hits"], "checks": _accuracy(one["checked"], one["wrong"])}


def _accuracy(checked: int, wrong: int) -> View:
    """Checked hits, the share of right ones, and its exact lower limit at 95 % confidence; None without checks."""
    return {
        "checked": checked,
        "wrong": wrong,
        "accuracy": round(1 - wrong / checked, 4) if checked else None,
        "accuracy_lower_95": round(1 - upper_bound(wrong, checked, 0.95), 4) if checked else None,
    }


async def standing_view(settings: Settings) -> View:
    """How far hits are trusted, from the cache's log alone: its entries are not read, so nothing heavy is loaded.

    Raises:
        StoreError: if the log cannot be read.
    """
    from teller.cache.live_regions import LiveRegions
    from teller.cache.regions import LearningJudge, RiskRegions
    from teller.cache.standing import read_standing
    from teller.cache.verifier import verifier_for
    from teller.stores.home import Home
    from teller.stores.sqlite_log import SqliteLog

    log = SqliteLog(Home(settings.home).cache / "log.sqlite")
    try:
        begun = await log.read(0, 1)
        about = body_of(begun[0]) if begun else {}
        embedder = about.get("name", "")
        regions = RiskRegions(
            LiveRegions(max_false_hits=settings.cache.max_false_hits), lambda: f"{judge.name} on {embedder}"
        )
        judge = LearningJudge(regions, verifier=verifier_for(str(embedder), about.get("dim", 0)))
        checks = await read_standing(log, regions)
    finally:
        log.close()
    classes = [
        {**one, **_accuracy(checks.checked[one["class"]], checks.wrong[one["class"]])}
        for one in region_views(regions, settings.cache.mode)
    ]
    return {**_accuracy(checks.checked.total(), checks.wrong.total()), "classes": classes}


def region_views(regions: RiskRegions, mode: str) -> list[View]:
    """Each shared class: certified, live or closed, and why; `mode` as `cache.mode`."""
    known = regions.calibration or {}
    closed: dict[str, str] = known.get("closed", {})
    found = []
    for name in sorted({"public", "product", *known.get("regions", {}), *closed}):
        region = regions.region(name)
        bound = region.bound if region else None
        if mode != "semantic":
            state, why = "closed", f"cache.mode is {mode!r}"
        elif regions.is_foreign:
            state, why = "closed", f"calibrated for {known.get('made_with', 'an older version')}: calibrate again"
        elif region is None:
            state, why = "closed", closed.get(name) or "too many checked hits were wrong"
        elif regions.calibration is None:
            state, why = "live", "not calibrated: estimated from what misses taught, in all processes alike"
        else:
            state, why = "certified", f"{known.get('made_at', '')} on {known.get('evidence', '')}"
        least = region.min_probability if region and state != "closed" else None
        found.append(
            {"class": name, "state": state, "min_probability": least, "certified_bound": bound}
            | {"bound_of_checked_hits": regions.bound(name), "why": why}
        )
    return found


REGION_HEADER = ("class", "region", "min probability", "certified: wrong hits at most", "of checked hits", "why")


def region_rows(views: Iterable[View]) -> list[tuple[str, ...]]:
    """Rows under `REGION_HEADER`."""
    return [
        (
            view["class"],
            view["state"],
            "-" if view["min_probability"] is None else f"{view['min_probability']:.4f}",
            percent(view["certified_bound"]),
            percent(view["bound_of_checked_hits"]),
            view["why"],
        )
        for view in views
    ]


_NO_VERIFIER = ": no pair verifier reads this embedder's vectors, so rules and consensus decide alone, and serve less"


def stats_rows(view: View) -> list[tuple[str, str]]:
    """Name and number."""
    checks = view["checks"]
    missed = "not known: no turn is logged"
    if view["misses"] is not None:
        missed = (
            f"{view['misses']:,} since {moment(view['since'])}, hit rate {percent(view['hit_rate'])} (the turn log)"
        )
    checked = "none"
    if checks["checked"]:
        checked = f"{checks['checked']}, {checks['accuracy']:.1%} right, at least {checks['accuracy_lower_95']:.1%}"
    return [
        ("entries", f"{view['entries']:,}; different answers: {view['answers']:,}, partitions: {view['partitions']:,}"),
        ("quarantine", f"{view['quarantine']:,}"),
        ("hits", f"{view['hits']:,} (of the entries that are there now)"),
        ("misses", missed),
        ("hits checked", checked),
        ("judge", view["judge"]["name"] + ("" if view["judge"]["compares_words"] else _NO_VERIFIER)),
        ("memory", size(view["memory_bytes"])),
        ("disk", size(view["disk_bytes"])),
        ("log", f"{view['log']['events']:,} events so far, {view['log']['disposable']:,} may be compacted"),
    ]


CLASS_HEADER = ("class", "tier", "state", "entries", "hits", "checked", "right", "at least")


def class_rows(view: View) -> list[tuple[str, ...]]:
    """Rows under `CLASS_HEADER`."""
    return [
        (
            *(one[name] for name in ("class", "tier", "state")),
            f"{one['entries']:,}",
            f"{one['hits']:,}",
            f"{one['checks']['checked']:,}",
            percent(one["checks"]["accuracy"]),
            percent(one["checks"]["accuracy_lower_95"]),
        )
        for one in view["by_class"]
    ]


def disk_bytes(folder: Path) -> int:
    """Bytes of every file under a folder; what another process removes meanwhile is left out."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total


def size(number: int) -> str:
    """Bytes as text."""
    return f"{number / 1_000_000:,.2f} MB" if number >= 10_000 else f"{number:,} bytes"


def span(seconds: float) -> str:
    """A time span as text, in its largest whole unit."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"


def _without_customer(parts: View) -> View:
    return {name: value for name, value in parts.items() if name != "customer" or value is None}
