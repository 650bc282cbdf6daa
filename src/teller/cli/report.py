"""`teller report`: the numbers of the turn log as one page with pictures."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from teller.config import Settings
    from teller.stores.turn_reader import Span, TurnReader

_CLUSTERS = 15
_ENTRIES = 20


def report(
    context: typer.Context,
    since: Annotated[str, typer.Option(help="Begin: an age (90m, 7d, 2w), a date or a time.")] = "7d",
    until: Annotated[str | None, typer.Option(help="End, as --since. Default: now.")] = None,
    out: Annotated[Path, typer.Option(help="The page; an older report there is replaced.")] = Path("report.html"),
    png: Annotated[Path | None, typer.Option(metavar="DIR", help="Write the pictures there too, as PNG files.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report's numbers as JSON; write no page.")] = False,
) -> None:
    """Write a page with pictures about a time range.

    Hit rate, how far hits are trusted, what they save, adapters, and what was missed.
    """
    from teller.cli.log_range import span_of
    from teller.stores.home import open_home
    from teller.stores.turn_reader import TurnReader

    settings: Settings = context.obj.load().settings
    if not as_json:
        _refuse_foreign(out)
    span = span_of(since, until, time.time())
    with TurnReader(open_home(settings.home).turns) as reader:
        view = asyncio.run(_gathered(settings, reader, span))
    if as_json:
        typer.echo(json.dumps(view))
    if png is not None:
        _write_pictures(view, png)
    if not as_json:
        _write_page(view, out)
        typer.echo(f"{view['turns']:,} turns, in {out}")


async def _gathered(settings: Settings, reader: TurnReader, span: Span) -> dict[str, Any]:
    from teller.reports.figures import read_figures
    from teller.reports.missed import has_missed, missed_clusters

    view = read_figures(reader, span, token_price=settings.log.token_price, currency=settings.log.currency)
    bounds = reader.bounds()
    embedder, note = _embedder(settings) if has_missed(reader, span) else (None, "")
    clusters = await missed_clusters(reader, span, embedder, most=_CLUSTERS)
    return {
        **view,
        "made_at": time.time(),
        "is_logging": settings.log.turns,
        "log": {"since": bounds.since, "until": bounds.until} if bounds else None,
        "false_hit_limit": settings.cache.max_false_hits,
        "missed": [one.view() for one in clusters],
        "missed_note": note,
        **await _cache(settings),
    }


def _embedder(settings: Settings) -> tuple[Any, str]:
    """The embedder that lookups use, and how its clusters are to be read."""
    from teller.engine_wiring import open_embedder
    from teller.errors import EngineUnavailable
    from teller.stores.home import open_home

    try:
        embedder = open_embedder(settings, open_home(settings.home))
    except EngineUnavailable as exc:
        return None, f"Each wording stands for itself: the embedder cannot be used ({exc})."
    return embedder, "The 2,000 wordings asked most, those of one meaning together by the embedder that serves lookups."


async def _cache(settings: Settings) -> dict[str, Any]:
    """What the cache's own log tells: how far each class is trusted, and the entries of most value."""
    from teller.cli.cache_views import entry_view, in_order, standing_view
    from teller.errors import TellerError
    from teller.stores.home import open_home
    from teller.wiring import open_cache

    nothing: dict[str, Any] = {"trust": [], "entries": []}
    if not (open_home(settings.home).cache / "log.sqlite").exists():
        return nothing | {"trust_note": "This home has no cache yet.", "entries_note": "This home has no cache yet."}
    try:
        trust = (await standing_view(settings))["classes"]
        async with open_cache(settings) as opened:
            worthy = in_order(await opened.cache.upkeep.entries(), "value", opened.clock.now())
            entries = [entry_view(entry, opened) for entry in worthy[:_ENTRIES]]
    except TellerError as exc:
        return nothing | {"trust_note": f"Not known: {exc}", "entries_note": f"Not known: {exc}"}
    limit = f"The operator allows {100 * settings.cache.max_false_hits:.2f} % of hits to be wrong."
    return {
        "trust": trust,
        "trust_note": f"{limit} Bounds are on semantic hits: an exact hit repeats the answer to the same words.",
        "entries": entries,
        "entries_note": f"{len(entries)} of {len(worthy):,}, the most valuable: hits, time saved, accuracy, age, size.",
    }


def _refuse_foreign(path: Path) -> None:
    """Only an older report is replaced; said before anything is read."""
    from teller.errors import InputError
    from teller.reports.page import is_report

    try:
        if path.exists():
            with path.open(encoding="utf-8", errors="replace") as file:
                if not is_report(file.read(500)):
                    raise InputError(f"{path} is there already and is no report: name another file with --out")
        elif not path.parent.is_dir():
            raise InputError(f"{path}: cannot be written: there is no folder {path.parent}")
    except OSError as exc:
        raise InputError(f"{path}: cannot be written: {exc.strerror or type(exc).__name__}") from exc


def _write_page(view: dict[str, Any], path: Path) -> None:
    from teller.errors import InputError
    from teller.reports.page import html_page

    try:
        _put(path, html_page(view).encode())
    except OSError as exc:
        raise InputError(f"{path}: cannot be written: {exc.strerror or type(exc).__name__}") from exc


def _write_pictures(view: dict[str, Any], folder: Path) -> None:
    from teller.errors import InputError
    from teller.reports.plots import PICTURES, png

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, picture in PICTURES.items():
            if picture.has_data(view):
                _put(folder / f"teller-{name}.png", png(picture, view))
    except OSError as exc:
        raise InputError(f"{folder}: cannot be written: {exc.strerror or type(exc).__name__}") from exc


def _put(path: Path, data: bytes) -> None:
    """A file for its owner alone, there whole or not at all."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        partial.touch(mode=0o600, exist_ok=False)
        partial.write_bytes(data)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
