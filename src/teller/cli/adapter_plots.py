"""Pictures for `adapter-control`: the loss of a training, and the gate's shares. Needs matplotlib."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from teller.errors import EngineUnavailable, InputError

if TYPE_CHECKING:
    from teller.adapters.gate import Row

_SUFFIXES = (".png", ".svg", ".pdf")
_ON, _OFF = "#1f6f8b", "#b9c4c9"


def check_picture(path: Path) -> None:
    """That a picture can be drawn there, before the work that it is of.

    Raises:
        EngineUnavailable: if matplotlib is missing.
        InputError: if its name has no known ending, or its folder is not there.
    """
    if not path.absolute().parent.is_dir() or path.is_dir():
        raise InputError(f"{path}: cannot be written: " + ("a folder" if path.is_dir() else "its folder is not there"))
    _figure(path)


def plot_training(path: Path, name: str, losses: Sequence[float], held_out: Sequence[tuple[int, float]]) -> None:
    """Loss by step, and what was measured on held-out data.

    Raises:
        EngineUnavailable: if matplotlib is missing.
        InputError: if the file cannot be written.
    """
    figure, axes = _figure(path)
    axes.plot(range(1, len(losses) + 1), losses, color=_OFF, label="training")
    axes.plot(*zip(*held_out, strict=True) if held_out else ((), ()), color=_ON, marker="o", label="held out")
    axes.set(title=name, xlabel="step", ylabel="loss (nats per token)")
    axes.legend(frameon=False)
    _save(figure, path)


def plot_verdict(path: Path, name: str, rows: Sequence[Row]) -> None:
    """Shares of right answers by set, base beside adapter, with their intervals.

    Raises:
        EngineUnavailable: if matplotlib is missing.
        InputError: if the file cannot be written.
    """
    figure, axes = _figure(path)
    for offset, colour, label, part in ((-0.2, _OFF, "base", "before"), (0.2, _ON, "adapter", "after")):
        shares = [getattr(row, part) for row in rows]
        values = [100 * share.value for share in shares]
        below = [100 * max(0.0, share.value - share.low) for share in shares]
        above = [100 * max(0.0, share.high - share.value) for share in shares]
        places = [number + offset for number in range(len(rows))]
        axes.bar(places, values, 0.38, color=colour, label=label, yerr=(below, above), capsize=3)
    axes.set(title=name, ylabel="right answers, %", ylim=(0, 105))
    axes.set_xticks(range(len(rows)), [f"{row.set} ({row.cases})" for row in rows])
    axes.legend(frameon=False)
    _save(figure, path)


def _figure(path: Path) -> tuple[Any, Any]:
    if path.suffix.lower() not in _SUFFIXES:
        raise InputError(f"{path}: a picture's name ends with one of {', '.join(_SUFFIXES)}")
    try:
        figures = importlib.import_module("matplotlib.figure")
    except ImportError as exc:
        raise EngineUnavailable("matplotlib is missing: pip install 'teller[plots]'") from exc
    figure = figures.Figure(figsize=(7, 4), layout="constrained")
    return figure, figure.subplots()


def _save(figure: Any, path: Path) -> None:
    try:
        figure.savefig(path, dpi=150)
    except OSError as exc:
        raise InputError(f"{path}: cannot be written: {exc.strerror}") from exc
