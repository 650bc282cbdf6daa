"""`cache-manager`: what is in the semantic cache, why, how far it is trusted; evict, purge, verify, calibrate.

Works on the shared log, also while servers run on it: they see a change at their next lookup. Asks nothing back.
"""

from __future__ import annotations

from typing import Annotated

import typer

from teller.cli import cache_changing, cache_showing, cache_trusting
from teller.cli.edge import Assignments, ConfigFile, HomeFolder, Version, given, new_app, run_app

app = new_app(
    "cache-manager",
    "The semantic cache: what is in it and why, how far it is trusted, and how to change that while it serves.",
)


@app.callback(
    invoke_without_command=True,
    epilog="Examples: cache-manager stats; cache-manager --evict --threshold=0.6; cache-manager explain 'lost my card'",
)
def _options(  # noqa: PLR0913  one for each option
    context: typer.Context,
    config: ConfigFile = None,
    home: HomeFolder = None,
    assignments: Assignments = None,
    version: Version = False,  # noqa: ARG001  its callback ends the command
    evict_below: Annotated[bool, typer.Option("--evict", help="As the command `evict`, with --threshold.")] = False,
    inspect: Annotated[bool, typer.Option("--inspect", help="As the commands `stats` and `list`.")] = False,
    threshold: Annotated[float | None, typer.Option(help="With --evict: accuracy below which entries go.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --evict: only show which.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --evict or --inspect: print JSON.")] = False,
    yes: Annotated[bool, typer.Option("--yes", hidden=True)] = False,  # noqa: ARG001  nothing is ever asked
) -> None:
    context.obj = given(config, home, assignments)
    chosen = [name for name, said in (("--evict", evict_below), ("--inspect", inspect)) if said]
    if len(chosen) + (context.invoked_subcommand is not None) > 1:
        raise typer.BadParameter("give one of --evict, --inspect or a command", param_hint=chosen[0])
    if (threshold is not None or dry_run) and not evict_below:
        raise typer.BadParameter("belongs to --evict here, or behind the command", param_hint="--threshold/--dry-run")
    if evict_below and threshold is None:
        raise typer.BadParameter(
            "wants --threshold, as in --evict --threshold=0.6; `cache-manager evict` also takes --expired and numbers",
            param_hint="--evict",
        )
    if evict_below:
        cache_changing.evict(context, threshold=threshold, dry_run=dry_run, as_json=as_json)
    elif inspect:
        cache_showing.inspect(context, as_json=as_json)
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


_COMMANDS = (
    ("stats", cache_showing.stats, "Example: cache-manager stats --json"),
    ("watch", cache_showing.watch, "Example: cache-manager watch --every 5"),
    ("list", cache_showing.list_entries, "Example: cache-manager list --class product --sort accuracy --limit 20"),
    ("show", cache_showing.show, "Example: cache-manager show 17"),
    ("explain", cache_showing.explain, "Example: cache-manager explain 'how do I freeze my card?'"),
    ("check", cache_showing.check, "Example: cache-manager check"),
    ("evict", cache_changing.evict, "Example: cache-manager evict --threshold 0.6 --dry-run"),
    ("purge", cache_changing.purge, "Example: cache-manager purge --stamp rate:personal_loan_apr --dry-run"),
    ("erase", cache_changing.erase, "Example: cache-manager erase --customer 4711"),
    ("verify", cache_changing.verify, "Example: cache-manager verify 17 --wrong"),
    ("promote", cache_changing.promote, "Example: cache-manager list --quarantine; cache-manager promote 23"),
    ("compact", cache_changing.compact, "Example: cache-manager compact"),
    ("export", cache_changing.export_entries, "Example: cache-manager export entries.jsonl"),
    ("import", cache_changing.import_entries, "Example: cache-manager import entries.jsonl"),
    (
        "migrate",
        cache_changing.migrate,
        "Example: cache-manager migrate, once engines.embedder is set",
    ),
    ("warm", cache_changing.warm, "Example: cache-manager warm questions.txt"),
    (
        "calibrate",
        cache_trusting.calibrate,
        "Example: cache-manager calibrate --max-false-hits 0.01 --confidence 0.95 --data labelled.csv",
    ),
    ("what-if", cache_trusting.what_if, "Example: cache-manager what-if --threshold 0.97 --data labelled.csv"),
)
for _name, _command, _example in _COMMANDS:
    app.command(name=_name, epilog=_example)(_command)


def main() -> None:
    """Entry point of the `cache-manager` command."""
    run_app(app)
