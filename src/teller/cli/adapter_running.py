"""What the commands of `adapter-control` share: the opened desk, who asks, common options."""

from __future__ import annotations

import os
import pwd
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from teller.cli.cache_running import AsJson, print_json, settings_of

if TYPE_CHECKING:
    from teller.adapter_desk import Desk
    from teller.adapters.control import Asked, Flipped

__all__ = [
    "AsJson",
    "Name",
    "Reason",
    "Who",
    "asked_by",
    "moment",
    "print_json",
    "settings_of",
    "show_flip",
    "the_desk",
]

Name = Annotated[str, typer.Argument(metavar="NAME", help="An adapter, or one version of it: banking-lora@3f2a.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; goes on record.")]
Who = Annotated[str | None, typer.Option("--by", help="Who answers for it; default: the user of this process.")]


def the_desk(context: typer.Context) -> Desk:
    """The adapters of the home that the settings name."""
    from teller.adapter_desk import open_desk

    return open_desk(settings_of(context))


def asked_by(who: str | None, reason: str, *, override: bool = False) -> Asked:
    """Who wants a change, and why."""
    from teller.adapters.control import Asked

    return Asked(who or _user(), reason, override)


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user need not have a name
        return f"user {os.getuid()}"


def moment(at: float) -> str:
    """A Unix time for people, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def show_flip(flipped: Flipped, *, as_json: bool, purged: int | None = None) -> None:
    """Say what is live now, and how that was made sure of."""
    live = flipped.live
    if as_json:
        print_json(
            {
                "done": flipped.record.kind,
                "live": live.served,
                "canary": live.canary.served if live.canary else None,
                "share": live.share,
                "before": flipped.old.served if flipped.old else None,
                "servers": list(flipped.servers),
                "proven_here": flipped.proven_here,
                "record": flipped.record.seq,
                "purged": purged,
            }
        )
        return
    canary = f"; {live.canary.served} gets {live.share:.0%} of new calls" if live.canary else ""
    typer.echo(f"new calls get {live.served or 'the base model'}{canary}; calls in progress keep what they have")
    if flipped.servers:
        typer.echo(f"loaded and proven by {len(flipped.servers)} running server(s) before the change")
    elif flipped.proven_here:
        typer.echo("no server is running: loaded and proven here; servers load and prove it when they start")
    if purged is not None:
        typer.echo(f"{purged} answers of it were removed from the cache, and none are kept any more")
