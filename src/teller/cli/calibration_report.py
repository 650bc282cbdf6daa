"""How `cache-manager calibrate` shows what it found: tables, and the curve as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from teller.cli.log_views import percent
from teller.errors import EngineUnavailable, InputError

if TYPE_CHECKING:
    from teller.cache.calibration import Certificate

CERTIFICATE_HEADER = ("class", "region", "hits wrong at most", "evidence", "hit rate", "unseen: wrong/hits", "at most")
CURVE_HEADER = ("class", "min probability", "hits", "wrong", "at most", "hit rate", "")
_POINTS = 12  # of a curve in a table


def certificate_rows(certificates: Mapping[str, Certificate]) -> list[tuple[str, ...]]:
    """Rows under `CERTIFICATE_HEADER`."""
    rows: list[tuple[str, ...]] = []
    for name, found in certificates.items():
        if found.region is None:
            rows.append((name, f"closed: {found.reason}", "-", f"{found.records:,} questions", "-", "-", "-"))
            continue
        here = next(point for point in found.curve if point.min_probability == found.region.min_probability)
        rows.append(
            (
                name,
                f"from probability {found.region.min_probability:.4f}",
                percent(found.region.bound),
                f"{found.records:,} questions, {here.hits:,} hits, {here.wrong} wrong",
                percent(here.hit_rate),
                f"{found.test_wrong}/{found.test_hits:,}",
                percent(found.test_bound),
            )
        )
    return rows


def curve_rows(certificates: Mapping[str, Certificate]) -> list[tuple[str, ...]]:
    """Rows under `CURVE_HEADER`: a dozen of each class, evenly drawn, and the accepted one."""
    rows: list[tuple[str, ...]] = []
    for name, found in certificates.items():
        step = max(1, -(-len(found.curve) // _POINTS))
        accepted = found.region.min_probability if found.region else None
        for place, point in enumerate(found.curve):
            if place % step and point.min_probability != accepted:
                continue
            mark = "accepted" if point.min_probability == accepted else ""
            numbers = (f"{point.hits:,}", str(point.wrong), percent(point.bound), percent(point.hit_rate), mark)
            rows.append((name, f"{point.min_probability:.4f}", *numbers))
    return rows


def plot(certificates: Mapping[str, Certificate], path: Path, *, max_false_hits: float, confidence: float) -> None:
    """Draw hit rate against wrong hits, with their upper limit and the region that was accepted, into a PNG file.

    Raises:
        EngineUnavailable: if matplotlib is missing.
        InputError: if the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as exc:
        raise EngineUnavailable("a picture takes matplotlib: pip install 'teller[plots]'") from exc
    drawn = {name: found for name, found in certificates.items() if found.curve}
    figure = Figure(figsize=(6 * max(1, len(drawn)), 4.5), layout="constrained")
    for place, (name, found) in enumerate(drawn.items(), 1):
        axes = figure.add_subplot(1, len(drawn), place)
        rates = [point.hit_rate for point in found.curve]
        axes.plot(rates, [point.wrong / point.hits for point in found.curve], label="wrong hits / hits, seen")
        axes.plot(rates, [point.bound for point in found.curve], linestyle="--", label=f"at most ({confidence:.0%})")
        axes.axhline(max_false_hits, color="grey", linewidth=0.8, label=f"limit {max_false_hits:.2%}")
        if found.region is not None:
            accepted = [point for point in found.curve if point.min_probability == found.region.min_probability]
            axes.plot([accepted[0].hit_rate], [accepted[0].bound], "o", label="accepted")
        axes.set(title=f"{name}: {'closed' if found.region is None else 'certified'}", xlabel="hit rate")
        axes.set_ylim(0, min(1.0, 6 * max_false_hits))
        axes.legend()
    try:
        figure.savefig(path, format="png", dpi=120, metadata={"Software": None})
    except OSError as exc:
        raise InputError(f"{path}: cannot be written: {exc.strerror or type(exc).__name__}") from exc
