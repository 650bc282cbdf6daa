"""Commands of `adapter-control` that change what is installed or live: import, enable, disable, rollback, canary."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from teller.cli.adapter_running import AsJson, Name, Reason, Who, asked_by, print_json, settings_of, show_flip, the_desk

if TYPE_CHECKING:
    from teller.adapters.control import Flipped

_Override = Annotated[
    bool, typer.Option("--override", help="Without the gate's evidence; needs --reason and goes on record.")
]
_Purge = Annotated[bool, typer.Option("--purge", help="Remove its answers from the cache, for good.")]


def import_adapter(
    context: typer.Context,
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="With adapter_config.json, adapter_model.safetensors and manifest.json."),
    ],
    name: Annotated[
        str | None, typer.Option(help="Name that its manifest must have; default: whatever it has.")
    ] = None,
    sign: Annotated[
        bool, typer.Option("--sign", help="Sign it with this installation's key: you vouch for it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check an adapter's folder and install a read-only copy of it.

    What is imported is not live: `evaluate` and `enable` it.
    """
    from teller.adapter_desk import install

    installed = install(the_desk(context), folder, name, sign=sign)
    if as_json:
        print_json({"installed": installed.served, "digest": installed.digest, "folder": str(installed.folder)})
    else:
        typer.echo(f"installed {installed.served}; next: adapter-control evaluate {installed.served}")


def enable(
    context: typer.Context,
    name: Name,
    reason: Reason = "",
    override: _Override = False,
    who: Who = None,
    as_json: AsJson = False,
) -> None:
    """Make a version live for new calls.

    Signature, content, base model and the gate's evidence are checked, and every running server loads it and proves
    that it is applied; then one record makes it live. Whatever fails leaves what was live.
    """
    desk = the_desk(context)
    flipped = asyncio.run(desk.control.enable(name, asked_by(who, reason, override=override)))
    show_flip(flipped, as_json=as_json)


def disable(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Only if this adapter, or this version, is live.")] = "",
    purge: _Purge = False,
    reason: Reason = "",
    who: Who = None,
    as_json: AsJson = False,
) -> None:
    """Give new calls the base model, at once; waits for no engine."""
    desk = the_desk(context)
    before = desk.store.ledger.now()
    flipped = asyncio.run(desk.control.disable(asked_by(who, reason), name))
    if flipped is None:
        if as_json:
            print_json({"done": None, "live": None})
        else:
            typer.echo("no adapter is live: new calls get the base model already")
        return
    kept = {one.digest for one in flipped.live.versions}
    gone = [one.digest for one in before.versions if one.digest not in kept]
    _show_purged(context, flipped, gone if purge else None, as_json=as_json)


def rollback(
    context: typer.Context,
    keep_answers: Annotated[bool, typer.Option("--keep-answers", help="Leave its answers in the cache.")] = False,
    reason: Reason = "",
    who: Who = None,
    as_json: AsJson = False,
) -> None:
    """Undo the last change: end the canary, or go back to the version before.

    The answers of the version that is given up are removed from the cache, for good.
    """
    desk = the_desk(context)
    flipped = asyncio.run(desk.control.rollback(asked_by(who, reason)))
    gone = [flipped.old.digest] if flipped.old and not keep_answers else None
    _show_purged(context, flipped, gone, as_json=as_json)


def canary(  # noqa: PLR0913  one for each option
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Version that a share of new calls gets.")] = None,
    share: Annotated[
        float | None, typer.Option(help="Of new calls, above 0 to 0.5. Default: adapters.canary_share.")
    ] = None,
    promote: Annotated[bool, typer.Option("--promote", help="Make the canary the live version.")] = False,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="End the canary.")] = False,
    override: _Override = False,
    reason: Reason = "",
    who: Who = None,
    as_json: AsJson = False,
) -> None:
    """Give a share of new calls another version; servers end it if it does worse.

    Watched are answers that pass the grounding check, failures and slowness, against the calls on the live version at
    the same time. `history` says why one was ended.
    """
    if (name is not None) + promote + withdraw != 1 or (share is not None and name is None):
        raise typer.BadParameter("give a NAME (with --share), --promote or --withdraw", param_hint="canary")
    desk = the_desk(context)
    asked, control = asked_by(who, reason, override=override), desk.control
    if promote:
        work = control.promote(asked)
    elif withdraw:
        work = control.withdraw(asked)
    else:
        work = control.canary(name or "", share if share is not None else desk.settings.adapters.canary_share, asked)
    show_flip(asyncio.run(work), as_json=as_json)


def _show_purged(context: typer.Context, flipped: Flipped, digests: list[str] | None, *, as_json: bool) -> None:
    """Purge the cache, unless digests is None, and say what became of both; the change is in force whatever fails."""
    from teller.adapter_desk import purge
    from teller.errors import TellerError

    purged, problem = None, None
    if digests is not None:
        try:
            purged = asyncio.run(purge(settings_of(context), digests))
        except TellerError as exc:
            problem = exc
    show_flip(flipped, as_json=as_json, purged=purged)
    if problem is not None:
        again = " ".join(f"`cache-manager purge --digest {digest}`" for digest in digests or ())
        typer.echo(f"the change is in force; the cache was not purged ({problem}): {again}", err=True)
        raise typer.Exit(1)
