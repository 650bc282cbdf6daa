"""Commands of `cache-manager` that change the cache: evict, purge, erase, verify, promote, and so on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from teller.cli.cache_running import WHICH, AsJson, DryRun, EntryId, Progress, print_json, settings_of, with_cache
from teller.cli.edge import show_table

if TYPE_CHECKING:
    from teller.cache.upkeep import Entry
    from teller.cache_wiring import OpenCache


def evict(
    context: typer.Context,
    ids: Annotated[list[int] | None, typer.Argument(metavar="ID", help="These entries.")] = None,
    threshold: Annotated[float | None, typer.Option(help="Entries whose accuracy is below this, 0 to 1.")] = None,
    expired: Annotated[bool, typer.Option("--expired", help="Entries whose time is over.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Remove entries by accuracy, number or age."""
    if (threshold is not None) + bool(ids) + expired != 1:
        raise typer.BadParameter("give --threshold, --expired or numbers of entries", param_hint="evict")

    async def chosen(opened: OpenCache) -> list[Entry]:
        upkeep = opened.cache.upkeep
        if threshold is not None:
            return await upkeep.below(threshold)
        if ids:
            return [await upkeep.entry(entry_id) for entry_id in ids]
        now = opened.clock.now()
        return [entry for entry in await upkeep.entries() if entry.expires_at <= now]

    why = "accuracy" if threshold is not None else "expired" if expired else "asked"
    _remove(context, chosen, dry_run=dry_run, as_json=as_json, why=why, counted="evicted")


def purge(
    context: typer.Context,
    stamp: Annotated[
        str | None,
        typer.Option(
            help="What rests on this rate, sheet or text. With a version (name@3) also what comes later; without, "
            "whatever version is there now."
        ),
    ] = None,
    current: Annotated[
        str | None, typer.Option(metavar="NAME@VERSION", help="What rests on any other version than this, for good.")
    ] = None,
    digest: Annotated[str | None, typer.Option(help="What was made with this LoRA adapter, for good.")] = None,
    answer: Annotated[str | None, typer.Option(metavar="ID", help="What carries this answer.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything; calibrations and orders stay.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Remove entries by what they rest on.

    No process serves one of them afterwards.
    """
    from teller.cache.events import PurgeBy

    if sum(one is not None for one in (stamp, current, digest, answer)) + everything != 1:
        raise typer.BadParameter("give one of --stamp, --current, --digest, --answer, --all", param_hint="purge")
    if stamp is not None and not stamp.partition("@")[0].strip():
        raise typer.BadParameter("an empty stamp is not a wildcard", param_hint="--stamp")
    if current is not None and not all(part.strip() for part in current.rpartition("@")):
        raise typer.BadParameter("wanted a name and a version, as in rate:loan@4", param_hint="--current")
    lasting = (
        (PurgeBy.STAMP, stamp if stamp and "@" in stamp else None),
        (PurgeBy.CURRENT, current),
        (PurgeBy.ADAPTER, digest),
    )
    order = next(((by, what) for by, what in lasting if what is not None), None)

    async def chosen(opened: OpenCache) -> list[Entry]:
        upkeep = opened.cache.upkeep
        if order is not None:
            return await upkeep.preview(*order)
        if answer is not None:
            return await upkeep.preview(PurgeBy.ANSWER, answer)
        return [entry for entry in await upkeep.entries() if everything or _rests_on(entry, stamp or "")]

    async def done(opened: OpenCache, entries: Sequence[Entry]) -> int:
        if order is not None:
            return await opened.cache.upkeep.purge(*order)
        return await opened.cache.upkeep.evict([entry.id for entry in entries], why="purged")

    _remove(context, chosen, done, dry_run=dry_run, as_json=as_json, why="purged", counted="purged")


def erase(
    context: typer.Context,
    customer: Annotated[str, typer.Option(metavar="KEY", help="The customer's key, as the channel verifies it.")],
    as_json: AsJson = False,
) -> None:
    """Erase everything of a customer, and prove it.

    Afterwards the log is read again and searched for what is left.
    """
    from dataclasses import asdict

    if not customer.strip():
        raise typer.BadParameter("it is empty; whose answers are to go?", param_hint="--customer")
    found = with_cache(context, lambda opened: opened.cache.erase(customer))
    if found is None:
        view: dict[str, Any] = {"kept": False, "left_in_log": 0}
        said = "customers' own answers are not kept here (TELLER_CACHE_KEY is not set): there is nothing to erase"
    else:
        view = {"kept": True, **asdict(found)}
        said = ""
    if as_json:
        print_json(view)
    elif said:
        typer.echo(said)
    else:
        show_table(("proof", ""), [(name.replace("_", " "), str(value)) for name, value in view.items()])
    if found is not None and (found.left_in_log or found.left_in_memory):
        raise typer.Exit(1)


def verify(
    context: typer.Context,
    entry_id: EntryId,
    right: Annotated[bool | None, typer.Option("--right/--wrong", help="How a hit of it turned out.")] = None,
    as_json: AsJson = False,
) -> None:
    """Tell whether an entry's answer was right.

    It raises or lowers the entry's accuracy.
    """
    if right is None:
        raise typer.BadParameter("say --right or --wrong", param_hint="verify")

    async def verified(opened: OpenCache) -> dict[str, Any]:
        from teller.errors import InputError

        upkeep = opened.cache.upkeep
        if (await upkeep.entry(entry_id)).held:
            raise InputError(f"entry {entry_id} is in quarantine and not served: `cache-manager promote {entry_id}`")
        await upkeep.verify(entry_id, right=right, by="operator")
        entry = await upkeep.entry(entry_id)
        served = entry.accuracy >= opened.cache.rules.min_accuracy
        return {
            "id": entry_id,
            "accuracy": entry.accuracy,
            "right": entry.right,
            "wrong": entry.wrong,
            "served": served,
        }

    view = with_cache(context, verified)
    if as_json:
        print_json(view)
    else:
        still = "it is served" if view["served"] else "it is no longer served"
        typer.echo(f"entry {entry_id}: accuracy {view['accuracy']:.3f}; {still}")


def promote(context: typer.Context, entry_id: EntryId, as_json: AsJson = False) -> None:
    """Serve an entry from quarantine: you have verified it."""
    new_id = with_cache(context, lambda opened: opened.cache.upkeep.release(entry_id))
    if as_json:
        print_json({"id": entry_id, "new_id": new_id})
    else:
        typer.echo(f"entry {entry_id} is served from now on, as entry {new_id}")


def compact(context: typer.Context, as_json: AsJson = False) -> None:
    """Forget old events, and keep a snapshot to start fast."""
    from teller.cli.cache_views import disk_bytes, size

    async def compacted(opened: OpenCache) -> dict[str, int]:
        before = disk_bytes(opened.folder)
        forgotten = await opened.cache.upkeep.compact()
        if opened.cache.private_upkeep is not None:
            forgotten += await opened.cache.private_upkeep.compact()
        await opened.cache.upkeep.snapshot()
        return {"forgotten": forgotten, "bytes_before": before, "bytes_after": disk_bytes(opened.folder)}

    view = with_cache(context, compacted)
    if as_json:
        print_json(view)
    else:
        sizes = f"{size(view['bytes_before'])} before, {size(view['bytes_after'])} with a new snapshot"
        typer.echo(f"{view['forgotten']:,} events forgotten; {sizes}")


def export_entries(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="File to write; it must not be there yet.")],
    as_json: AsJson = False,
) -> None:
    """Write every shared entry as a line of JSON.

    Those in quarantine are left out.
    """
    from teller.cache.portable import to_line, write_lines

    async def exported(opened: OpenCache) -> int:
        entries = await opened.cache.upkeep.entries()
        return write_lines(file, (to_line(entry) for entry in entries if not entry.held))

    count = with_cache(context, exported)
    if as_json:
        print_json({"exported": count, "file": str(file)})
    else:
        typer.echo(f"{count} entries written to {file}")


def import_entries(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="File that `export` wrote.")],
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Take in exported entries.

    All lines are checked first: a broken one stops everything before it begins.
    """
    from teller.cache.portable import read_lines, take_in

    count = sum(1 for _ in read_lines(file))

    async def imported(opened: OpenCache) -> tuple[int, int]:
        now = opened.clock.now()
        with Progress(count, "taken in") as taken:
            return await take_in(read_lines(file), opened.log, opened.embedder, opened.judge, now=now, taken=taken)

    kept, expired = (0, 0) if dry_run else with_cache(context, imported, whole=True)
    if as_json:
        print_json({"lines": count, "imported": kept, "expired": expired, "dry_run": dry_run})
    else:
        typer.echo(
            f"{count} entries can be read" if dry_run else f"{kept} entries taken in, {expired} left out: expired"
        )


def migrate(context: typer.Context, as_json: AsJson = False) -> None:
    """Move the cache to the embedder of the settings.

    Every question is embedded anew; answers, counts and orders stay. Stop the bots on this home first.
    """
    from teller.wiring import migrate_cache

    with Progress(None, "embedded") as embedded:
        count = asyncio.run(migrate_cache(settings_of(context), embedded))
    if as_json:
        print_json({"migrated": count})
    else:
        typer.echo(f"{count} entries moved" if count else "nothing to move: the cache is of this embedder")


def warm(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Questions, one a line.")],
    as_json: AsJson = False,
) -> None:
    """Ask the bot every question of a file.

    So the cache knows the answers before callers ask.
    """
    from collections import Counter

    from teller.errors import InputError
    from teller.turn import Done, Transcript
    from teller.wiring import open_bot

    next(_lines(file), None)  # a file that cannot be read is told of before a bot is opened

    async def warmed() -> Counter[str]:
        came: Counter[str] = Counter()
        async with open_bot(settings_of(context), speech=False) as bot:
            with Progress(None, "asked") as asked:
                for number, line in enumerate(_lines(file), 1):
                    try:
                        async for event in bot.orchestrator.turn(Transcript(line), bot.new_call(), speak=False):
                            if isinstance(event, Done):
                                came[event.record.answer.source.value] += 1
                    except InputError:
                        came["unreadable"] += 1
                    asked(number)
        return came

    came = asyncio.run(warmed())
    if as_json:
        print_json({"asked": came.total(), **came})
    else:
        typer.echo(
            f"{came.total()} questions asked: " + (", ".join(f"{n} {name}" for name, n in came.most_common()) or "none")
        )


def _remove(
    context: typer.Context,
    chosen: Callable[[OpenCache], Awaitable[list[Entry]]],
    done: Callable[[OpenCache, Sequence[Entry]], Awaitable[int]] | None = None,
    *,
    dry_run: bool,
    as_json: bool,
    why: str,
    counted: str,
) -> None:
    """Show which entries go, and remove them."""
    from teller.cli.cache_views import ENTRY_HEADER, entry_rows, entry_view

    async def removed(opened: OpenCache) -> tuple[int, list[dict[str, Any]]]:
        entries = await chosen(opened)
        views = [entry_view(entry, opened) for entry in entries]
        if dry_run:
            return len(entries), views
        if done is not None:
            return await done(opened, entries), views
        return await opened.cache.upkeep.evict([entry.id for entry in entries], why=why), views

    count, views = with_cache(context, removed)
    if as_json:
        print_json({counted: 0 if dry_run else count, "found": len(views), "dry_run": dry_run, "entries": views})
        return
    if views:
        show_table(ENTRY_HEADER, entry_rows(views[:WHICH]))
    if len(views) > WHICH:
        typer.echo(f"... and {len(views) - WHICH} more; --json lists all")
    entries_said = "1 entry" if count == 1 else f"{count} entries"
    typer.echo(f"{entries_said} would be {counted}: --dry-run" if dry_run else f"{entries_said} {counted}")


def _rests_on(entry: Entry, name: str) -> bool:
    return any(stamp.rpartition("@")[0] == name or stamp == name for stamp in entry.answer.stamps)


def _lines(file: Path) -> Iterator[str]:
    from teller.errors import InputError

    try:
        with file.open(encoding="utf-8-sig") as lines:
            for line in lines:
                if line.strip():
                    yield line.strip()
    except UnicodeDecodeError as exc:
        raise InputError(f"{file.name}: not UTF-8 text; save the file as UTF-8") from exc
    except OSError as exc:
        raise InputError(f"{file}: cannot be read: {exc.strerror or type(exc).__name__}") from exc
