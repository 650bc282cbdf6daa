"""Commands of `adapter-control` that take their time: train and evaluate."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from teller.cli.adapter_running import AsJson, Name, Who, asked_by, moment, print_json, the_desk
from teller.cli.edge import show_table

if TYPE_CHECKING:
    from teller.adapter_desk import Desk
    from teller.training.recipe import Recipe
    from teller.turn import TrainingRecord

_Plot = Annotated[
    Path | None,
    typer.Option(help="Draw it into this file (PNG, SVG, PDF). Default: beside the evidence, if matplotlib is there."),
]


def train(  # noqa: PLR0913  one for each option
    context: typer.Context,
    data: Annotated[Path, typer.Option(help="Chat-format JSONL, or CSV of question and answer.")],
    name: Annotated[str, typer.Option(help="Name of the adapter.")],
    base: Annotated[
        str | None,
        typer.Option(help="teller-nano, a folder of weights, or a hub's name. Default: engines.local_model."),
    ] = None,
    replay: Annotated[
        Path | None, typer.Option(help="General conversations that are mixed in; teller-nano brings its own.")
    ] = None,
    replay_share: Annotated[float | None, typer.Option(help="Of each epoch that is replay, 0 for none.")] = None,
    rank: Annotated[int | None, typer.Option(help="Of the matrices.")] = None,
    epochs: Annotated[int | None, typer.Option(help="At most; it stops when it no longer gets better.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="At the top of the schedule.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same one gives the same adapter.")] = None,
    rslora: Annotated[bool, typer.Option("--rslora", help="Scale by the root of the rank.")] = False,
    quantised: Annotated[bool, typer.Option("--qlora", help="The base in 4 bits (NF4).")] = False,
    shard: Annotated[bool, typer.Option("--shard", help="Under torchrun: FSDP2 in place of DDP.")] = False,
    parent: Annotated[str | None, typer.Option(help="Installed version that is trained further.")] = None,
    plot: _Plot = None,
    as_json: AsJson = False,
) -> None:
    """Train an adapter, prove that only LoRA matrices changed, sign and install it.

    What was interrupted goes on with the same command. It is not live afterwards: `evaluate` and `enable` it.
    """
    from teller.cli.adapter_plots import check_picture, plot_training
    from teller.training.lora import train as run
    from teller.training.recipe import Recipe

    if plot is not None:
        check_picture(plot)
    desk = the_desk(context)
    output = desk.home.adapters / ".training" / name
    given = {
        "replay_share": replay_share,
        "rank": rank,
        "alpha": 2 * rank if rank is not None else None,
        "epochs": epochs,
        "learning_rate": learning_rate,
        "seed": seed,
    }
    recipe = Recipe(
        name=name,
        base=base or desk.settings.engines.local_model,
        data=data,
        output=output,
        replay=replay,
        rslora=rslora,
        quantised=quantised,
        shard=shard,
        parent=desk.store.registry.find(parent).folder if parent else None,
        allow_downloads=desk.settings.engines.allow_downloads,
        **{key: value for key, value in given.items() if value is not None},  # type: ignore[arg-type]
    )
    if (output / "manifest.json").exists():
        shutil.rmtree(output)  # trained, and not installed: what comes is the same or another recipe's
    with _training_bar(recipe) as tell:
        trained = run(recipe, told=tell)
    if int(os.environ.get("RANK", "0")):  # under torchrun the first process signs and installs
        return
    from teller.adapter_desk import install

    installed, manifest = install(desk, trained.folder, name, sign=True), trained.manifest
    shutil.rmtree(trained.folder)
    drawn = _drawn(
        desk,
        plot,
        f"{installed.digest}-training.png",
        lambda path: plot_training(path, name, trained.losses, trained.held_out),
    )
    held_out = trained.held_out[-1][1] if trained.held_out else None
    if as_json:
        print_json(
            {
                "installed": installed.served,
                "digest": installed.digest,
                "steps": len(trained.losses),
                "resumed_at": trained.resumed_at,
                "stopped_early": trained.stopped_early,
                "loss": trained.losses[-1] if trained.losses else None,
                "held_out_loss": held_out,
                "seconds": manifest.seconds,
                "metrics": dict(manifest.metrics),
                "warnings": list(trained.warnings),
                "plot": str(drawn) if drawn else None,
            }
        )
        return
    for warning in trained.warnings:
        typer.echo(f"note: {warning}", err=True)
    measured = f", {held_out:.3f} on what was held out" if held_out is not None else ""
    typer.echo(
        f"{len(trained.losses)} steps in {manifest.seconds:.0f} s: loss {trained.losses[-1]:.3f}{measured}; only LoRA "
        f"matrices changed{_said(drawn)}\n"
        f"installed {installed.served}; next: adapter-control evaluate {installed.served}"
    )


def evaluate(context: typer.Context, name: Name, plot: _Plot = None, who: Who = None, as_json: AsJson = False) -> None:
    """Ask base and adapter the gate's cases; the verdict is kept, signed, for `enable`.

    Edge cases must get better; general questions, refusals and regulatory cases must not get worse. Exit code 1 if it
    does not pass.
    """
    from teller.adapter_desk import evaluate as evaluated
    from teller.cli.adapter_plots import check_picture, plot_verdict

    if plot is not None:
        check_picture(plot)
    desk = the_desk(context)
    with _bar("answers") as told:
        verdict, evidence = asyncio.run(evaluated(desk, name, by=asked_by(who, "").who, told=told))
    drawn = _drawn(desk, plot, f"{evidence.adapter}-gate.png", lambda path: plot_verdict(path, name, verdict.rows))
    if as_json:
        print_json(
            {
                "adapter": evidence.adapter,
                "passed": verdict.passed,
                "reasons": list(verdict.reasons),
                "verdict": dict(evidence.verdict),
                "at": evidence.at,
                "plot": str(drawn) if drawn else None,
            }
        )
    else:
        header, *rows = verdict.table()
        show_table(header, rows, title=f"{name}: share of right answers, with 95 % intervals")
        typer.echo("\n".join(("passed" if verdict.passed else "did not pass the gate:", *verdict.reasons)))
        typer.echo(f"kept as evidence, signed, {moment(evidence.at)}{_said(drawn)}")
    if not verdict.passed:
        raise typer.Exit(1)


def _drawn(desk: Desk, asked: Path | None, name: str, draw: Callable[[Path], None]) -> Path | None:
    """Draw where it was asked for, else beside the evidence, if that can be; gives where."""
    from teller.errors import EngineUnavailable

    path = asked or desk.home.adapters / "evidence" / name
    try:
        if asked is None:
            path.parent.mkdir(mode=0o700, exist_ok=True)
        draw(path)
    except EngineUnavailable:
        if asked is not None:
            raise
        return None
    return path


def _said(drawn: Path | None) -> str:
    return f"; drawn in {drawn}" if drawn else ""


@contextmanager
def _training_bar(recipe: Recipe) -> Iterator[Callable[[TrainingRecord], None]]:
    """Loss, tokens/s and time left on a terminal's standard error; elsewhere a line now and then."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]}, held out {task.fields[held_out]}, {task.fields[speed]} tokens/s,"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(recipe.name, total=None, loss="-", held_out="-", speed="-")

        def tell(record: TrainingRecord) -> None:
            fields: dict[str, Any] = {"loss": f"{record.loss:.3f}", "speed": f"{record.tokens_per_s:,.0f}"}
            if record.held_out_loss is not None:
                fields["held_out"] = f"{record.held_out_loss:.3f}"
            progress.update(task, total=record.steps, completed=record.step, **fields)
            if not console.is_terminal and record.held_out_loss is not None:
                line = (
                    f"step {record.step} of {record.steps}: loss {record.loss:.3f}, held out {record.held_out_loss:.3f}"
                )
                print(line, file=sys.stderr, flush=True)  # noqa: T201  progress is not the output

        yield tell


@contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
