"""`orchestrator-log`: what the cache and the adapters are worth, how many callers are carried, why one was told what.

Reads the turn log, also while servers write it. Asks nothing back; changes nothing but with --erase-call.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from teller.cli import log_actions
from teller.cli.edge import Assignments, ConfigFile, HomeFolder, Version, given, new_app, run_app

app = new_app(
    "orchestrator-log",
    "What the cache and the adapters are worth, and how many callers are carried, from the log of turns.",
)
_EXAMPLES = """Examples:

orchestrator-log --cache-hits

orchestrator-log --cache-hits --since 1h --json

orchestrator-log --adapter-impact --since 2026-11-01 --until 2026-11-15

orchestrator-log --throughput --since 90m

orchestrator-log --turn 3f2a91c0

orchestrator-log --export parquet --out turns.parquet --since 30d
"""


@app.command(epilog=_EXAMPLES)
def _options(  # noqa: PLR0913  one for each option
    context: typer.Context,
    cache_hits: Annotated[
        bool, typer.Option("--cache-hits", help="Hits and misses, why, how right, what they save.")
    ] = False,
    adapter_impact: Annotated[
        bool, typer.Option("--adapter-impact", help="By adapter version: checked answers, speed, toggles.")
    ] = False,
    throughput: Annotated[
        bool, typer.Option("--throughput", help="Turns per second, how many at once, waiting times.")
    ] = False,
    follow: Annotated[bool, typer.Option("--follow", help="A line for each turn as it is logged.")] = False,
    turn: Annotated[
        str | None, typer.Option(metavar="ID", help="Everything about one turn; the id's beginning.")
    ] = None,
    export: Annotated[
        str | None, typer.Option(metavar="FORM", help="Write the range's turns: csv, json or parquet.")
    ] = None,
    erase_call: Annotated[
        str | None, typer.Option("--erase-call", metavar="CALL", help="Erase what was logged of a call, for good.")
    ] = None,
    since: Annotated[str, typer.Option(help="Begin: an age (90m, 7d, 2w), a date or a time.")] = "7d",
    until: Annotated[str | None, typer.Option(help="End, as --since. Default: now.")] = None,
    out: Annotated[Path | None, typer.Option(help="With --export: a new file. Default: standard output.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="With --follow: stop after so many turns.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
    config: ConfigFile = None,
    home: HomeFolder = None,
    assignments: Assignments = None,
    version: Version = False,
) -> None:
    if version:
        from teller import __version__

        typer.echo(f"orchestrator-log {__version__}")
        return
    actions: dict[str, tuple[bool, Callable[[log_actions.Wanted], None]]] = {
        "--cache-hits": (cache_hits, log_actions.cache_hits),
        "--adapter-impact": (adapter_impact, log_actions.adapter_impact),
        "--throughput": (throughput, log_actions.throughput),
        "--follow": (follow, log_actions.follow),
        "--turn": (turn is not None, lambda wanted: log_actions.turn(wanted, turn or "")),
        "--export": (export is not None, lambda wanted: log_actions.export(wanted, export or "")),
        "--erase-call": (erase_call is not None, lambda wanted: log_actions.erase_call(wanted, erase_call or "")),
    }
    chosen = [name for name, (said, _) in actions.items() if said]
    if not chosen:
        typer.echo(context.get_help())
        return
    if len(chosen) > 1:
        raise typer.BadParameter("ask for one thing at a time", param_hint=" ".join(chosen))
    for option, value, owner in (("--out", out, "--export"), ("--count", count, "--follow")):
        if value is not None and chosen[0] != owner:
            raise typer.BadParameter(f"belongs to {owner}", param_hint=option)
    settings = given(config, home, assignments).load().settings
    actions[chosen[0]][1](log_actions.Wanted(settings, since, until, as_json, out, count))


def main() -> None:
    """Entry point of the `orchestrator-log` command."""
    run_app(app)


if __name__ == "__main__":
    main()
