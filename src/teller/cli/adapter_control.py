"""`adapter-control`: train, judge and prove LoRA adapters; make one live, take it back; who did that and why.

Works on a home's adapters, also while servers run on it: they are ready before a change, and follow it with the next
call. Asks nothing back.
"""

from __future__ import annotations

from typing import Annotated

import typer

from teller.cli import adapter_changing, adapter_making, adapter_showing
from teller.cli.edge import Assignments, ConfigFile, HomeFolder, Version, given, new_app, run_app

app = new_app(
    "adapter-control",
    "LoRA adapters: train, evaluate, prove; enable and disable them on a running system, with a safe way back.",
)


@app.callback(
    invoke_without_command=True,
    epilog="Examples: adapter-control list; adapter-control --load banking-lora --enable; adapter-control rollback",
)
def _options(  # noqa: PLR0913  one for each option
    context: typer.Context,
    config: ConfigFile = None,
    home: HomeFolder = None,
    assignments: Assignments = None,
    version: Version = False,  # noqa: ARG001  its callback ends the command
    load: Annotated[str | None, typer.Option(metavar="NAME", help="With --enable or --disable: which adapter.")] = None,
    turn_on: Annotated[bool, typer.Option("--enable", help="As the command `enable`, with --load.")] = False,
    turn_off: Annotated[
        bool, typer.Option("--disable", help="As the command `disable`, with --load or without.")
    ] = False,
    override: Annotated[
        bool, typer.Option("--override", help="With --enable: go past the gate, with --reason.")
    ] = False,
    purge: Annotated[bool, typer.Option("--purge", help="With --disable: remove its answers from the cache.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="With --enable or --disable: why; goes on record.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="With --enable or --disable: print JSON.")] = False,
) -> None:
    context.obj = given(config, home, assignments)
    if turn_on + turn_off + (context.invoked_subcommand is not None) > 1:
        raise typer.BadParameter("give one of --enable, --disable or a command", param_hint="--enable/--disable")
    if not turn_on and not turn_off:
        if load is not None or override or purge or reason or as_json:
            raise typer.BadParameter(
                "belongs to --enable or --disable here, or behind the command", param_hint="--load"
            )
        if context.invoked_subcommand is None:
            typer.echo(context.get_help())
        return
    if (turn_on and (load is None or purge)) or (turn_off and override):
        raise typer.BadParameter(
            "--enable takes --load NAME and --override, --disable takes --purge", param_hint="--load"
        )
    if turn_on:
        adapter_changing.enable(context, load or "", reason, override, as_json=as_json)
    else:
        adapter_changing.disable(context, load or "", purge=purge, reason=reason, as_json=as_json)


_COMMANDS = (
    ("list", adapter_showing.list_adapters, "Example: adapter-control list --json"),
    ("show", adapter_showing.show, "Example: adapter-control show banking-lora"),
    (
        "train",
        adapter_making.train,
        "Example: adapter-control train --data edge_cases.jsonl --base teller-nano --name banking-lora",
    ),
    ("import", adapter_changing.import_adapter, "Example: adapter-control import ./banking-lora"),
    ("evaluate", adapter_making.evaluate, "Example: adapter-control evaluate banking-lora --plot gate.png"),
    ("prove", adapter_showing.prove, "Example: adapter-control prove banking-lora --applied"),
    (
        "enable",
        adapter_changing.enable,
        "Example: adapter-control enable banking-lora@3f2a --reason 'release 12'",
    ),
    ("disable", adapter_changing.disable, "Example: adapter-control disable --purge --reason 'wrong fee quoted'"),
    ("rollback", adapter_changing.rollback, "Example: adapter-control rollback --reason 'complaints since noon'"),
    (
        "canary",
        adapter_changing.canary,
        "Example: adapter-control canary banking-lora --share 0.1; adapter-control canary --promote",
    ),
    ("history", adapter_showing.history, "Example: adapter-control history --verify"),
    ("diff", adapter_showing.diff, "Example: adapter-control diff banking-lora@3f2a banking-lora@9b1c"),
)
for _name, _command, _example in _COMMANDS:
    app.command(name=_name, epilog=_example)(_command)


def main() -> None:
    """Entry point of the `adapter-control` command."""
    run_app(app)
