"""What `orchestrator-log` can be asked for, each one a function that reads, computes and prints."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from teller.cli.edge import show_table
from teller.cli.log_range import span_of

if TYPE_CHECKING:
    from teller.config import Settings
    from teller.stores.turn_reader import Span, TurnReader

_ABOUT_ACCURACY = (
    "accuracy is of the hits that were answered again to check them, as far as the cache's log holds them; a bound is "
    "on semantic hits: an exact hit repeats the answer to the same words"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for beside the action itself.

    Attributes:
        count: turns after which following stops; None for no end.
        out: file to export to; None for standard output.
    """

    settings: Settings
    since: str
    until: str | None
    as_json: bool
    out: Path | None
    count: int | None

    @contextmanager
    def turns(self) -> Iterator[TurnReader]:
        """The turn log of the home, closed in the end."""
        from teller.stores.home import open_home
        from teller.stores.turn_reader import TurnReader

        with TurnReader(open_home(self.settings.home).turns) as reader:
            yield reader

    def span(self) -> Span:
        """The range asked for."""
        return span_of(self.since, self.until, time.time())


def cache_hits(wanted: Wanted) -> None:
    """Hits and misses, why, how far they are trusted, what they save, beside the period before."""
    from teller.cli import log_hits as views
    from teller.cli.log_views import sparkline
    from teller.stores.turn_figures import cache_hits as figures

    with wanted.turns() as reader:
        span = wanted.span()
        log = wanted.settings.log
        found, before = figures(reader, span), figures(reader, span.before, slots=1)
        view = views.hits_view(found, before, token_price=log.token_price, currency=log.currency)
        view["accuracy"] = _accuracy(wanted.settings)
        view["shed"] = _shed(reader, span)
        if wanted.as_json:
            _print_json(view)
            return
        if _nothing(reader, wanted, found.turns + found.unfinished):
            return
    show_table(("the cache", _period(span), "the period before", "change"), views.hits_rows(view))
    typer.echo(f"hit rate over time, 0 to 100 %: {sparkline(views.hit_rates(view), most=1.0)}")
    show_table(views.CLASS_HEADER, views.class_rows(view), title="by class of the answer")
    if view["by_reason"]:
        show_table(views.REASON_HEADER, views.reason_rows(view), title="why the cache gave nothing")
    accuracy = view["accuracy"]
    if accuracy["classes"]:
        show_table(views.ACCURACY_HEADER, views.accuracy_rows(accuracy["classes"]), title="accuracy (95 % confidence)")
    typer.echo(accuracy["note"])
    _say_shed(view["shed"])


def adapter_impact(wanted: Wanted) -> None:
    """Each adapter version: turns, checked answers, speed, with what was toggled on the time line."""
    from teller.cli import log_load as views
    from teller.stores.turn_speed import measure_speed

    with wanted.turns() as reader:
        span = wanted.span()
        view = views.adapters_view(measure_speed(reader, span)) | {"shed": _shed(reader, span)}
        if wanted.as_json:
            _print_json(view)
            return
        if _nothing(reader, wanted, view["turns"]):
            return
    show_table(views.ADAPTER_HEADER, views.adapter_rows(view, span), title=f"adapters, {_period(span)}")
    if view["toggles"]:
        show_table(views.TOGGLE_HEADER, views.toggle_rows(view), title="toggles, by their letter on the time line")
    _say_shed(view["shed"])


def throughput(wanted: Wanted) -> None:
    """Turns per second, how many at once, waiting times by stage and source."""
    from teller.cli import log_load as views
    from teller.cli.log_views import sparkline
    from teller.stores.turn_speed import measure_speed

    with wanted.turns() as reader:
        span = wanted.span()
        view = views.speed_view(measure_speed(reader, span)) | {"shed": _shed(reader, span)}
        if wanted.as_json:
            _print_json(view)
            return
        if _nothing(reader, wanted, view["turns"]):
            return
    show_table(("load", _period(span)), views.load_rows(view))
    typer.echo(f"turns over time: {sparkline(view['over_time'])}")
    show_table(views.SPEED_HEADER, views.speed_rows(view), title="waiting times by source and stage")
    typer.echo(view["precision"])
    _say_shed(view["shed"])


def follow(wanted: Wanted) -> None:
    """A line for each turn as it is logged."""
    from teller.cli import log_turns

    with wanted.turns() as reader:
        if not wanted.as_json:
            typer.echo(log_turns.FOLLOW_HEADER)
        for seen, turn in enumerate(log_turns.follow(reader, reader.newest()), 1):
            if wanted.as_json:
                _print_json(log_turns.turn_view(turn))
            else:
                typer.echo(log_turns.follow_line(turn))
            if seen == wanted.count:
                return


def turn(wanted: Wanted, turn_id: str) -> None:
    """Everything about one turn.

    Raises:
        InputError: if there is no such turn, or several begin so.
    """
    from teller.cli import log_turns
    from teller.errors import InputError

    with wanted.turns() as reader:
        found = reader.turn(turn_id)
        is_empty = reader.bounds() is None
    if is_empty:
        raise InputError("no turns are logged yet")
    if found is None:
        raise InputError(f"no turn in the log has an id that begins with {turn_id!r}: --follow and --export show ids")
    if wanted.as_json:
        _print_json(log_turns.turn_view(found))
        return
    show_table(("turn", found.turn_id), log_turns.turn_rows(found))
    show_table(("stage", "time", ""), log_turns.timing_rows(found))


def export(wanted: Wanted, form: str) -> None:
    """Write the turns of the range to a file or to standard output."""
    from teller.stores.turn_export import export as write

    with wanted.turns() as reader:
        count = write(reader.walk(wanted.span()), form, wanted.out)
    if wanted.out is None:
        return
    if wanted.as_json:
        _print_json({"exported": count, "file": str(wanted.out)})
    else:
        typer.echo(f"{count:,} turns written to {wanted.out}")


def erase_call(wanted: Wanted, call_id: str) -> None:
    """Erase everything that was logged of a call, from the file and from its journal."""
    from teller.stores.home import open_home
    from teller.stores.turn_erasure import erase

    if not call_id.strip():
        raise typer.BadParameter("it is empty; which call is to go?", param_hint="--erase-call")
    erased = erase(open_home(wanted.settings.home).turns, call_id=call_id)
    if wanted.as_json:
        _print_json({"erased": erased, "call": call_id})
    else:
        typer.echo(f"{erased:,} turns of the call erased" if erased else "no turn of such a call is in the log")


def _accuracy(settings: Settings) -> dict[str, Any]:
    """How far hits are trusted, from the cache's own log: checked hits, region and bound by class."""
    from teller.cli.cache_views import standing_view
    from teller.errors import TellerError
    from teller.stores.home import open_home

    unknown: dict[str, Any] = {"checked": 0, "wrong": 0, "accuracy": None, "accuracy_lower_95": None, "classes": []}
    if not (open_home(settings.home).cache / "log.sqlite").exists():
        return unknown | {"note": "accuracy: this home has no cache yet"}
    try:
        return asyncio.run(standing_view(settings)) | {"note": _ABOUT_ACCURACY}
    except TellerError as exc:
        return unknown | {"note": f"accuracy: not known: {exc}"}


def _nothing(reader: TurnReader, wanted: Wanted, turns: int) -> bool:
    """Say so if there is nothing to show."""
    if turns:
        return False
    from teller.cli.log_views import moment

    bounds = reader.bounds()
    if bounds is None:
        typer.echo("no turns are logged yet" + ("" if wanted.settings.log.turns else ": log.turns is off"))
    else:
        typer.echo(f"no turns in this range; the log has some from {moment(bounds.since)} to {moment(bounds.until)}")
    return True


def _shed(reader: TurnReader, span: Span) -> int:
    return sum(records for _, records in reader.shed(span))


def _say_shed(records: int) -> None:
    if records:
        typer.echo(
            f"{records:,} records were lost in this range because the log could not be written: all counts are low"
        )


def _period(span: Span) -> str:
    from teller.cli.log_views import moment

    return f"{moment(span.since)} to {moment(span.until)}"


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value))
