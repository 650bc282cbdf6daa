"""Commands of `cache-manager` that show: stats, watch, list, show, explain, check."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated, Any

import click
import typer

from teller.cli.cache_running import WHICH, AsJson, EntryId, print_json, settings_of, with_cache
from teller.cli.edge import show_table

if TYPE_CHECKING:
    from teller.cache_wiring import OpenCache


def stats(context: typer.Context, as_json: AsJson = False) -> None:
    """Show what is in the cache, in numbers.

    Entries by class and state, hits, accuracy, size, and the region of each risk class.
    """
    from teller.cli.cache_views import stats_view

    _show_stats(with_cache(context, stats_view), as_json=as_json)


def watch(
    context: typer.Context,
    every: Annotated[float, typer.Option(min=0.2, max=86_400, help="Seconds between two looks.")] = 2.0,
    count: Annotated[int | None, typer.Option(min=1, help="Stop after so many looks.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show `stats` again and again, until Ctrl-C.

    With --json one line for each look.
    """
    from teller.cli.cache_views import stats_view

    async def look(opened: OpenCache) -> None:
        seen = 0
        while True:
            view = await stats_view(opened)
            if sys.stdout.isatty() and not as_json:
                click.clear()
            _show_stats(view, as_json=as_json)
            seen += 1
            if seen == count:
                return
            await asyncio.sleep(every)

    with_cache(context, look)


def list_entries(
    context: typer.Context,
    data_class: Annotated[str | None, typer.Option("--class", help="public, product or customer.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Entries at most.")] = 50,
    sort: Annotated[str, typer.Option(help="id, value, hits, age or accuracy (least first).")] = "id",
    held: Annotated[bool, typer.Option("--quarantine", help="Only those that wait to be verified.")] = False,
    as_json: AsJson = False,
) -> None:
    """List entries."""
    from teller.cli.cache_views import ENTRY_HEADER, ORDERS, entry_rows, entry_view, in_order
    from teller.turn import DataClass

    if sort not in ORDERS:
        raise typer.BadParameter(f"one of {', '.join(ORDERS)}", param_hint="--sort")
    if data_class is not None and data_class not in [one.value for one in DataClass]:
        raise typer.BadParameter(f"one of {', '.join(one.value for one in DataClass)}", param_hint="--class")

    async def listed(opened: OpenCache) -> tuple[int, list[dict[str, Any]]]:
        wanted = [
            entry
            for entry in await opened.cache.upkeep.entries()
            if data_class in (None, entry.answer.data_class.value) and (entry.held or not held)
        ]
        chosen = in_order(wanted, sort, opened.clock.now())[:limit]
        return len(wanted), [entry_view(entry, opened) for entry in chosen]

    total, views = with_cache(context, listed)
    if as_json:
        print_json({"total": total, "entries": views})
    else:
        show_table(ENTRY_HEADER, entry_rows(views))
        typer.echo(f"{len(views)} of {total} entries")


def show(context: typer.Context, entry_id: EntryId, as_json: AsJson = False) -> None:
    """Show everything that is known of one entry."""
    from teller.cli.cache_views import entry_view

    async def shown(opened: OpenCache) -> dict[str, Any]:
        return entry_view(await opened.cache.upkeep.entry(entry_id), opened, whole=True)

    view = with_cache(context, shown)
    if as_json:
        print_json(view)
    else:
        show_table(("", f"entry {entry_id}"), [(name, _plain(value)) for name, value in view.items()])


def explain(
    context: typer.Context,
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="The question, as a caller would ask it.")],
    as_json: AsJson = False,
) -> None:
    """Say what a question would get and why, step by step.

    Nothing is served, kept or counted.
    """
    from dataclasses import asdict

    from teller.cache_desk import explain_question

    found = asyncio.run(explain_question(settings_of(context), question))
    if as_json:
        print_json(asdict(found))
        return
    typer.echo(f"{found.question.text!r} -> {found.verdict}" + (f", entry {found.entry_id}" if found.entry_id else ""))
    values = ", ".join(f"{value.kind} {value.canonical}" for value in found.question.values)
    taken_out = ", ".join(found.question.redacted)
    show_table(
        ("step", "", "what was found"),
        [
            ("redaction", "passed", f"taken out: {taken_out or 'nothing'}; values: {values or 'none'}"),
            *((step.name, step.said.value, step.found) for step in found.steps),
        ],
    )
    if found.neighbours:
        rows = [
            (str(near.entry_id), f"{near.similarity:.3f}", near.answer_id, near.question, near.guard or "-")
            for near in found.neighbours
        ]
        show_table(("entry", "similarity", "votes for", "question", "guard"), rows)
    if found.answer:
        typer.echo(found.answer)


def check(context: typer.Context, as_json: AsJson = False) -> None:
    """Read the whole log; do entries and indexes agree?

    Exit code 1 if a checksum is wrong or they do not.
    """

    async def checked(opened: OpenCache) -> list[str]:
        await asyncio.to_thread(opened.log.check)
        private = opened.cache.private_upkeep
        return [*await opened.cache.upkeep.disagreements(), *(await private.disagreements() if private else [])]

    wrong = with_cache(context, checked)
    if as_json:
        print_json({"agree": not wrong, "wrong": wrong})
    else:
        typer.echo("\n".join(wrong) or "the log can be read to its end; entries and indexes agree")
    if wrong:
        raise typer.Exit(1)


def inspect(context: typer.Context, *, as_json: bool) -> None:
    """`stats` and the first entries."""
    from teller.cli.cache_views import entry_view, in_order, stats_view

    async def inspected(opened: OpenCache) -> dict[str, Any]:
        entries = in_order(await opened.cache.upkeep.entries(), "id", 0.0)[:WHICH]
        return {"stats": await stats_view(opened), "entries": [entry_view(entry, opened) for entry in entries]}

    view = with_cache(context, inspected)
    if as_json:
        print_json(view)
        return
    from teller.cli.cache_views import ENTRY_HEADER, entry_rows

    _show_stats(view["stats"], as_json=False)
    if view["entries"]:
        show_table(ENTRY_HEADER, entry_rows(view["entries"]), title=f"the first {len(view['entries'])} entries")


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_plain(one)}" for name, one in value.items())
    if isinstance(value, list):
        return "; ".join(map(_plain, value)) or "-"
    return "-" if value is None else str(value)


def _show_stats(view: dict[str, Any], *, as_json: bool) -> None:
    from teller.cli.cache_views import CLASS_HEADER, REGION_HEADER, class_rows, region_rows, stats_rows

    if as_json:
        print_json(view)
        return
    show_table(("cache", view["mode"]), stats_rows(view))
    if view["by_class"]:
        show_table(CLASS_HEADER, class_rows(view), title="entries and their checked hits (95 % confidence)")
    show_table(REGION_HEADER, region_rows(view["regions"]), title="risk classes")
