"""`teller bench`: replays traffic through several arms and shows what cache and adapter are worth."""

from __future__ import annotations

import asyncio
import json
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from teller.cli.edge import show_table

if TYPE_CHECKING:
    from teller.bench.figures import ArmFigures, Gain
    from teller.bench.replay import Reply
    from teller.bench.traffic import Ask
    from teller.config import Settings

_HEADER = (
    "arm",
    "turns/s",
    "hits",
    "p50 ms",
    "p95",
    "p99",
    "hit p50",
    "miss p50",
    "model calls",
    "tokens",
    "wrong hits",
)
_GAIN_HEADER = (
    "arm against the first",
    "turns/s",
    "work per question (95 %)",
    "on hits",
    "calls saved",
    "tokens saved",
    "saved",
)
_Arms = dict[str, tuple[list["Reply"], "ArmFigures"]]


def bench(  # noqa: PLR0913  each is an option
    context: typer.Context,
    traffic: Annotated[
        Path | None,
        typer.Argument(
            metavar="TRAFFIC", help='JSONL of {"question", "caller", "at", "label"}. Left out: a made-up stream.'
        ),
    ] = None,
    turns: Annotated[int, typer.Option(min=1, max=10_000_000, help="Questions of a made-up stream.")] = 2000,
    callers: Annotated[int, typer.Option(min=1, help="Callers of a made-up stream.")] = 1000,
    exponent: Annotated[float, typer.Option(min=0, max=5, help="Of Zipf's law in a made-up stream.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Of a made-up stream.")] = 0,
    cache: Annotated[str, typer.Option(help="Cache arms, the first is the yardstick.")] = "off,exact,semantic",
    adapter: Annotated[str, typer.Option(help="Adapter arms: off, on or off,on.")] = "off",
    server: Annotated[
        list[str] | None, typer.Option(metavar="NAME=URL", help="A running server as an arm. Repeatable.")
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=1024, help="Most questions at once.")] = 8,
    speed: Annotated[
        float, typer.Option(min=0, max=1e6, help="Times faster than 'at' says; 0: as fast as answered.")
    ] = 0.0,
    price: Annotated[float, typer.Option(min=0, max=1e6, help="Of 1,000 generated tokens.")] = 0.0,
    plot: Annotated[Path | None, typer.Option(help="Write a picture (PNG) of the comparison.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Replay traffic with and without the cache.

    Arms with and without cache and adapter are compared: throughput, latency, model calls, wrong hits. In this process
    each begins with an empty cache of its own, and the home's cache is not touched. A running server is asked as it is.
    """
    from teller.bench.figures import figures_of, gain_of

    settings = context.obj.load().settings
    if plot is not None and (plot.is_dir() or not plot.parent.is_dir()):
        raise typer.BadParameter(f"{plot} is a folder, or in none that is there", param_hint="--plot")
    stream = _stream(settings, traffic, turns=turns, callers=callers, exponent=exponent, seed=seed)
    names = _servers(server) if server else None
    replayed = asyncio.run(
        _replay_servers(settings, stream, names, concurrency, speed)
        if names
        else _replay_arms(settings, stream, cache.split(","), adapter.split(","), concurrency, speed)
    )
    arms: _Arms = {
        name: (replies, figures_of(replies, s, price_per_1k=price)) for name, (replies, s) in replayed.items()
    }
    for name, (_, found) in arms.items():
        _own_up(name, found)
    (first_name, (first, first_figures)), *others = arms.items()
    gains = {name: gain_of(first, replies, first_figures, found) for name, (replies, found) in others}
    if plot is not None:
        _draw(arms, plot)
    if as_json:
        report: dict[str, Any] = {
            "arms": {name: found.as_dict() for name, (_, found) in arms.items()},
            "gains": {name: gain.as_dict() for name, gain in gains.items()},
            "against": first_name,
            "machine": f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
        }
        typer.echo(json.dumps(report))
        return
    show_table(_HEADER, [_row(name, found) for name, (_, found) in arms.items()])
    if gains:
        show_table(_GAIN_HEADER, [_gain_row(name, gain, settings.log.currency) for name, gain in gains.items()])


def _own_up(name: str, found: ArmFigures) -> None:
    """Say on standard error how many questions of an arm were not answered: its figures are not of answers alone.

    Raises:
        EngineError: if none was.
    """
    from teller.errors import EngineError

    lost = {why: found.by_source[why] for why in ("busy", "error") if why in found.by_source}
    said = " and ".join(f"{count:,} {'turned away' if why == 'busy' else 'failed'}" for why, count in lost.items())
    if sum(lost.values()) == found.turns:
        raise EngineError(
            f"{name}: not one of {found.turns:,} questions was answered: {said}; does a server run there?"
        )
    if lost:
        typer.echo(f"{name}: of {found.turns:,} questions {said}: its figures are not of answers alone", err=True)


def _stream(
    settings: Settings, traffic: Path | None, *, turns: int, callers: int, exponent: float, seed: int
) -> list[Ask]:
    from teller.bench.traffic import read_traffic, zipf_traffic

    if traffic is not None:
        return list(read_traffic(traffic))
    from teller.bank_files import read_bank

    pool = [
        (ask, entry.id)
        for entry in read_bank(settings).approved
        if entry.spoken_whole and not entry.tool and not entry.handoff
        for ask in entry.asks
    ]
    return zipf_traffic(pool, turns, callers=callers, exponent=exponent, seed=seed)


def _servers(named: Sequence[str]) -> dict[str, str]:
    pairs = [one.partition("=") for one in named]
    if any(not name or not url for name, _, url in pairs):
        raise typer.BadParameter("a server is of the form NAME=URL", param_hint="--server")
    return {name: url for name, _, url in pairs}


async def _replay_arms(
    settings: Settings, stream: list[Ask], caches: list[str], adapters: list[str], concurrency: int, speed: float
) -> dict[str, tuple[list[Reply], float]]:
    from teller.bench.arms import arms_of, open_arm
    from teller.bench.replay import replay

    found = {}
    for arm in arms_of(caches, adapters):
        with _progress(arm.name, len(stream)) as told:
            async with open_arm(settings, arm) as target:
                found[arm.name] = await replay(stream, target, concurrency=concurrency, speed=speed, told=told)
    return found


async def _replay_servers(
    settings: Settings, stream: list[Ask], servers: dict[str, str], concurrency: int, speed: float
) -> dict[str, tuple[list[Reply], float]]:
    from teller.bench.replay import Served, replay

    found = {}
    token = settings.server_token.get_secret_value() if settings.server_token else None
    for name, url in servers.items():
        target = Served(url, token=token, connections=concurrency)
        try:
            with _progress(name, len(stream)) as told:
                found[name] = await replay(stream, target, concurrency=concurrency, speed=speed, told=told)
        finally:
            target.close()
    return found


@contextmanager
def _progress(name: str, turns: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, where somebody looks at it."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=turns)
        yield lambda done: bar.update(task, completed=done)


def _row(name: str, found: ArmFigures) -> tuple[str, ...]:
    wrong = f"{found.wrong_hits} of {found.labelled_hits}" if found.labelled_hits else "-"
    return (
        name,
        f"{found.turns_per_s:.1f}",
        f"{found.hit_rate:.1%}",
        *(f"{found.latency_ms[at]:.1f}" for at in ("p50", "p95", "p99")),
        f"{found.hit_ms['p50']:.1f}" if found.hit_ms else "-",
        f"{found.miss_ms['p50']:.1f}" if found.miss_ms else "-",
        f"{found.model_calls:,}",
        "-" if found.tokens is None else f"{found.tokens:,}",
        wrong,
    )


def _gain_row(name: str, gain: Gain, currency: str) -> tuple[str, ...]:
    return (
        name,
        f"{gain.throughput:.2f} times",
        f"{gain.work:.2f} times ({gain.low:.2f} to {gain.high:.2f})",
        "-" if gain.hit is None else f"{gain.hit:.1f} times",
        f"{gain.model_calls_saved:,}",
        "-" if gain.tokens_saved is None else f"{gain.tokens_saved:,}",
        "-" if not gain.cost_saved else f"{gain.cost_saved:.2f} {currency}",
    )


def _draw(arms: _Arms, path: Path) -> None:
    """Turns per second, and the share of turns that were answered within a time, of each arm."""
    from teller.errors import EngineUnavailable, InputError

    try:
        from matplotlib.figure import Figure
    except ImportError as exc:
        raise EngineUnavailable("a picture takes matplotlib: pip install 'teller[plots]'") from exc
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    bars = left.barh(list(arms), [found.turns_per_s for _, found in arms.values()])
    left.bar_label(bars, fmt="%.1f", padding=3)
    left.invert_yaxis()
    left.set(title="throughput", xlabel="turns a second")
    for name, (replies, _) in arms.items():
        times = sorted(reply.ms for reply in replies)
        right.step(times, [(place + 1) / len(times) for place in range(len(times))], label=name, where="post")
    right.set(title="answered within", xlabel="milliseconds", ylabel="share of turns", xscale="log", ylim=(0, 1))
    right.legend()
    try:
        figure.savefig(path, format="png", dpi=120, metadata={"Software": None})
    except OSError as exc:
        raise InputError(f"{path}: cannot be written: {exc.strerror or type(exc).__name__}") from exc
