"""Commands of `adapter-control` that show: list, show, prove, history, diff."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from teller.cli.adapter_running import AsJson, Name, moment, print_json, the_desk
from teller.cli.edge import show_table

if TYPE_CHECKING:
    from teller.adapter_desk import Desk
    from teller.adapters.audit import Record
    from teller.adapters.registry import Installed


def list_adapters(context: typer.Context, as_json: AsJson = False) -> None:
    """List installed versions, the live one and the canary marked, and the servers that are up."""
    desk = the_desk(context)
    live = desk.store.ledger.now()
    views = [_view(desk, one) for name in desk.store.registry.names() for one in desk.store.registry.versions(name)]
    servers = desk.store.roster.present()
    if as_json:
        canary = live.canary.served if live.canary else None
        print_json(
            {"live": live.served, "canary": canary, "share": live.share, "servers": list(servers), "versions": views}
        )
        return
    header = ("", "version", "installed", "base model", "rank", "gate")
    show_table(header, [(_mark(view), *(str(view[key]) for key in _COLUMNS)) for view in views])
    said = live.served or "the base model"
    share = f"; {live.canary.served} gets {live.share:.0%} of them" if live.canary else ""
    typer.echo(f"new calls get {said}{share}; {len(servers)} server(s) running")


_COLUMNS = ("served", "installed", "base", "rank", "gate")


def show(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Show what is known of one version: manifest, gate, and what it does to each module."""
    desk = the_desk(context)
    installed = desk.store.registry.find(name)
    facts = desk.store.registry.verify(installed, desk.store.signer)
    manifest = desk.store.registry.manifest(installed)
    view = _view(desk, installed) | {
        "digest": installed.digest,
        "folder": str(installed.folder),
        "base_digest": manifest.base_digest,
        "modules": len(facts.modules),
        "parameters": facts.parameters,
        "scale": facts.scale,
        "dtypes": list(facts.dtypes),
        "data_sha256": manifest.data_sha256,
        "code_version": manifest.code_version,
        "seed": manifest.seed,
        "parent": manifest.parent,
        "metrics": dict(manifest.metrics),
        "training_seconds": manifest.seconds,
        "made_at": moment(manifest.made_at),
        "signed_by": manifest.public_key,
        "recipe": dict(manifest.recipe),
    }
    if as_json:
        print_json(view)
    else:
        show_table(("", installed.served), [(key.replace("_", " "), _plain(value)) for key, value in view.items()])


def prove(
    context: typer.Context,
    name: Name,
    applied: Annotated[bool, typer.Option("--applied", help="Load it too, and ask what it says.")] = False,
    as_json: AsJson = False,
) -> None:
    """Prove again that only LoRA matrices were trained and that nothing was altered since.

    Exit code 1 if one of the proofs fails. What cannot be looked at on this machine is said so.
    """
    from dataclasses import asdict

    from teller.adapter_desk import prove as proved

    steps = asyncio.run(proved(the_desk(context), name, applied=applied))
    failed = any(step.right is False for step in steps)
    if as_json:
        print_json({"proven": not failed, "steps": [asdict(step) for step in steps]})
    else:
        says = {True: "proven", False: "FAILED", None: "not here"}
        show_table(("", "", "what was found"), [(says[step.right], step.name, step.found) for step in steps])
    if failed:
        raise typer.Exit(1)


def history(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="Newest records at most.")] = 20,
    verify: Annotated[bool, typer.Option("--verify", help="Check the whole chain and its signed head first.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show who changed what is live, when and why, refusals too."""
    desk = the_desk(context)
    checked = desk.store.ledger.verify() if verify else None
    records = desk.store.ledger.history()
    newest = records[-limit:]
    if as_json:
        views = [{"seq": one.seq, "at": one.at, "kind": one.kind, "hash": one.hash, **one.body} for one in newest]
        print_json({"total": len(records), "verified": checked, "records": views})
        return
    show_table(("", "when (UTC)", "what", "from", "to", "who", "why"), [_row(record) for record in newest])
    chain = f"; the chain of {checked} records is whole" if checked is not None else ""
    typer.echo(f"{len(newest)} of {len(records)} records{chain}")


def diff(
    context: typer.Context,
    one: Annotated[str, typer.Argument(metavar="A", help="A version.")],
    other: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    as_json: AsJson = False,
) -> None:
    """Show in what two versions differ: data, recipe, base, weights, metrics, gate."""
    from teller.adapter_desk import differences

    desk = the_desk(context)
    found = [desk.store.registry.find(reference) for reference in (one, other)]
    rows = differences(desk, *found)
    if (gates := [_gate(desk, installed) for installed in found]) and gates[0] != gates[1]:
        rows.append(("gate", gates[0], gates[1]))
    if as_json:
        print_json({"a": found[0].served, "b": found[1].served, "differ": [list(row) for row in rows]})
    elif rows:
        show_table(("", found[0].served, found[1].served), rows)
    else:
        typer.echo(f"{found[0].served} and {found[1].served} differ in nothing")


def _view(desk: Desk, installed: Installed) -> dict[str, Any]:
    from teller.errors import StoreError

    live = desk.store.ledger.live
    try:
        manifest = desk.store.registry.manifest(installed)
        base, rank = f"{manifest.base_name} {manifest.base_digest[:12]}", manifest.config.get("r")
    except StoreError:
        base, rank = "damaged: import it again", None
    return {
        "served": installed.served,
        "live": live.version is not None and live.version.digest == installed.digest,
        "canary": live.canary is not None and live.canary.digest == installed.digest,
        "installed": moment(installed.installed_at),
        "base": base,
        "rank": rank,
        "gate": _gate(desk, installed),
    }


def _gate(desk: Desk, installed: Installed) -> str:
    from teller.errors import StoreError

    try:
        found = desk.store.evidence.find(installed.digest)
    except StoreError:
        return "evidence was altered"
    if found is None:
        return "not evaluated"
    return f"{'passed' if found.passed else 'did not pass'} {moment(found.at)}"


def _mark(view: dict[str, Any]) -> str:
    return "live" if view["live"] else "canary" if view["canary"] else ""


def _row(record: Record) -> tuple[str, ...]:
    body = record.body
    before, after = (_served(body.get(key)) for key in ("before", "after"))
    if body.get("canary"):
        after += f", canary {_served(body['canary'])} {float(body.get('share', 0)):.0%}"
    if record.kind == "refuse":
        after = f"not {body.get('asked', '')} {_served(body.get('version'))}"
    why = str(body.get("why", "")) + (" (gate overridden)" if dict(body.get("facts") or {}).get("override") else "")
    return (str(record.seq), moment(record.at), record.kind, before, after, str(body.get("who", "")), why)


def _served(fields: Any) -> str:
    return f"{fields['name']}@{fields['digest'][:12]}" if isinstance(fields, dict) else "base"


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_plain(one)}" for name, one in sorted(value.items())) or "-"
    if isinstance(value, list):
        return ", ".join(map(_plain, value)) or "-"
    return "-" if value is None else str(value)
