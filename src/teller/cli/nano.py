"""`teller nano`: build the language model that ships with Teller, and score one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from teller.training.nano import NanoStep

app = typer.Typer(help="Build or score the model that ships with Teller.")
_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


@app.callback()
def _group() -> None:
    """Keep `build` and `eval` as commands of their own."""


@app.command(epilog="Example: teller nano build --out my-nano --resume")
def build(
    out: Annotated[Path, typer.Option(help="Folder of the model, and of its checkpoint until it is done.")] = Path(
        "teller-nano"
    ),
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in the folder.")] = False,
    keep_back: Annotated[
        bool, typer.Option("--keep-back", help="Leave out every tenth way of asking, for `teller nano eval`.")
    ] = False,
    as_json: _AsJson = False,
) -> None:
    """Train teller-nano from nothing.

    It learns the shipped bank's text; that takes 7 minutes on one core that is free.
    """
    from teller.training.nano import CHECKPOINT, NanoRecipe, build
    from teller.training.nano_text import shipped_sources

    if out.exists() and not out.is_dir():
        raise typer.BadParameter(f"{out} is a file; a folder is wanted", param_hint="--out")
    if resume and not (out / CHECKPOINT).is_file():
        raise typer.BadParameter(f"{out}: no {CHECKPOINT} to go on from", param_hint="--resume")
    begun = time.monotonic()
    with _bar(shown=not as_json) as told:
        build(NanoRecipe(), shipped_sources(kept_back=keep_back), out, resume=resume, told=told)
    seconds = time.monotonic() - begun
    if as_json:
        typer.echo(json.dumps({"folder": str(out), "seconds": round(seconds, 1), "kept_back": keep_back}))
    else:
        typer.echo(f"{out}: built in {seconds / 60:.1f} minutes")


@app.command(name="eval", epilog="Example: teller nano eval my-nano --json")
def evaluate(
    folder: Annotated[Path | None, typer.Argument(help="Folder of the model. Default: the one that ships.")] = None,
    as_json: _AsJson = False,
) -> None:
    """Score a model on questions that were kept back.

    They are the ways of asking that `build --keep-back` leaves out; the shipped model has seen them.
    """
    from teller.bank_files import nano_folder
    from teller.training.nano_score import open_nano, score

    found = score(*open_nano(folder or nano_folder()))
    if as_json:
        typer.echo(json.dumps(asdict(found)))
        return
    typer.echo(f"{found.asks} ways of asking: {found.right:.1%} answered to the letter, {found.other:.1%} with another")
    typer.echo(
        f"answer, {found.refused:.1%} refused; {found.off_topic} off-topic: {found.off_topic_refused:.1%} refused"
    )


@app.command(epilog="Example: teller nano edge-cases --out edge.jsonl")
def edge_cases(
    out: Annotated[Path, typer.Option(help="JSONL file to write.")] = Path("edge-cases.jsonl"),
    times: Annotated[int, typer.Option(min=0, help="Questions made from each way of asking.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Of everything drawn.")] = 1,
    as_json: _AsJson = False,
) -> None:
    """Write conversations that train an adapter.

    They are about the shipped bank's edge cases, for `adapter-control train --data`.
    """
    from teller.errors import InputError
    from teller.training import nano_text

    lines = [json.dumps(line) for line in nano_text.edge_cases(seed, times=times)]
    try:
        out.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    except OSError as exc:
        raise InputError(f"{out}: cannot be written: {exc.strerror or type(exc).__name__}") from exc
    view = {"file": str(out), "conversations": len(lines)}
    typer.echo(json.dumps(view) if as_json else f"{out}: {len(lines)} conversations")


@contextmanager
def _bar(*, shown: bool) -> Iterator[Callable[[NanoStep], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (BarColumn(), TextColumn("{task.percentage:.0f} %"), TextColumn("{task.description}"))
    console = Console(stderr=True)
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, disable=not shown) as progress:
        task = progress.add_task("", total=1.0)

        def told(step: NanoStep) -> None:
            said = f"loss {step.loss:.3f}, {step.tokens_per_s:,.0f} tokens/s"
            progress.update(task, completed=step.share, description=said)

        yield told
