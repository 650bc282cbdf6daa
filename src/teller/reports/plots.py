"""The pictures of a report, drawn from its figures by matplotlib; each for light and for dark pages.

Colours are Okabe and Ito's, which colour-blind people tell apart; lines and marks differ in form as well.
"""

from __future__ import annotations

import importlib
import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from teller.errors import EngineUnavailable
from teller.reports.figures import GROUPS, SLOTS, View

BLUE, ORANGE, GREEN, RED, PINK, SKY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9"
_SOURCES = {"cache": GREEN, "model": PINK, "approved": BLUE, "tool": SKY, "refused": ORANGE, "handoff": RED}
_LINES = ("-", "--", "-.", ":")
_MARKS = "osD^vP"
_DPI = 144


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a report.

    Attributes:
        name: of its file, without an ending.
        alt: what it shows, for those who do not see it.
    """

    name: str
    title: str
    alt: str
    draw: Callable[[Any, View], None]
    has_data: Callable[[View], bool]


def png(picture: Picture, view: View, *, dark: bool = False) -> bytes:
    """A picture as a PNG file.

    Raises:
        EngineUnavailable: if matplotlib is missing.
    """
    with _style(dark=dark) as figures:
        figure = figures.Figure(figsize=(8.6, 3.7), layout="constrained")
        picture.draw(figure, view)
        file = io.BytesIO()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph")  # a question may be in letters that the font lacks
            figure.savefig(file, format="png", dpi=_DPI, metadata={"Software": None})
    return file.getvalue()


@contextmanager
def _style(*, dark: bool) -> Any:
    try:
        matplotlib, figures = importlib.import_module("matplotlib"), importlib.import_module("matplotlib.figure")
    except ImportError as exc:
        raise EngineUnavailable("a report's pictures take matplotlib: pip install 'teller[plots]'") from exc
    ink, soft, line, paper = ("#e8efed", "#a5b4b0", "#35453f", "#16201e") if dark else (
        "#15211f", "#53625f", "#dfddd5", "#ffffff",
    )  # fmt: skip
    rules: dict[str, Any] = {
        "axes.facecolor": paper,
        "figure.facecolor": paper,
        "savefig.facecolor": paper,
        "text.color": ink,
    }
    rules |= {"axes.labelcolor": soft, "xtick.color": soft, "ytick.color": soft, "axes.edgecolor": line}
    rules |= {"grid.color": line, "axes.grid": True, "axes.grid.axis": "y", "axes.axisbelow": True}
    rules |= {"axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False}
    rules |= {"font.size": 10, "legend.frameon": False, "legend.fontsize": 9, "xtick.bottom": False}
    rules |= {"ytick.left": False, "lines.linewidth": 2.0, "font.family": "DejaVu Sans"}
    with matplotlib.rc_context(rules):
        yield figures


def _hit_rate(figure: Any, view: View) -> None:
    rates, volume = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    slots = [one for one in view["over_time"] if one["hit_rate"] is not None]
    at = _times(slots, view)
    rates.fill_between(
        at, *([100 * one["hit_rate_95"][edge] for one in slots] for edge in (0, 1)), color=GREEN, alpha=0.18, lw=0
    )
    rates.plot(at, [100 * one["hit_rate"] for one in slots], color=GREEN, marker="o", ms=3.5)
    rates.set(ylabel="hits, % of lookups", ylim=(0, 103))
    width = (view["until"] - view["since"]) / 86_400 / len(view["over_time"]) * 0.8
    every = _times(view["over_time"], view)
    volume.bar(every, [one["hits"] for one in view["over_time"]], width, color=GREEN, label="hits")
    below = [one["hits"] for one in view["over_time"]]
    volume.bar(every, [one["misses"] for one in view["over_time"]], width, below, color=ORANGE, label="misses")
    volume.set(ylabel="lookups")
    volume.legend(ncols=2, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.1)
    _time_axis(volume, view)


def _similarity(figure: Any, view: View) -> None:
    axes, bins = figure.subplots(), view["similarity"]
    at, width = [one["from"] for one in bins], bins[0]["to"] - bins[0]["from"]
    served = [one for one in bins if one["semantic hit"]]
    if served:
        least, most = min(one["from"] for one in served), max(one["to"] for one in served)
        axes.axvspan(least, most, color=GREEN, alpha=0.10, lw=0, label="where hits were served")
    below = [0] * len(bins)
    hatches = ("", "//", "..", "")
    for group, colour, hatch in zip(GROUPS, (GREEN, BLUE, ORANGE, "#8b9b97"), hatches, strict=True):
        counts = [one[group] for one in bins]
        axes.bar(
            at, counts, width * 0.92, below, align="edge", color=colour, label=group, hatch=hatch, ec="white", lw=0
        )
        below = [one + more for one, more in zip(below, counts, strict=True)]
    axes.set(xlabel="similarity to the nearest stored question (cosine)", ylabel="turns")
    axes.set_xlim(max(0.0, at[0] - 0.05), 1.0)
    _legend(axes)


def _trust(figure: Any, view: View) -> None:
    axes, classes = figure.subplots(), view["trust"]
    limit = 100 * view["false_hit_limit"]
    forms = (("certified_bound", "certified", "o", BLUE), ("bound_of_checked_hits", "of checked hits", "D", ORANGE))
    for key, label, mark, colour in forms:
        known = [(100 * one[key], place) for place, one in enumerate(classes) if one[key] is not None]
        axes.plot([x for x, _ in known], [y for _, y in known], mark, ms=11, color=colour, label=f"{label}, at most")
    for place, one in enumerate(classes):
        if one["certified_bound"] is None and one["bound_of_checked_hits"] is None:
            axes.annotate(f"{one['state']}: no bound yet", (limit * 0.04, place + 0.08), va="bottom", fontsize=9)
    axes.axvline(limit, color=RED, ls="--", label=f"limit {limit:g} %")
    axes.set(xlabel="wrong hits, % of hits (95 % confidence)", ylim=(-0.6, len(classes) - 0.4))
    shown = [100 * one[key] for one in classes for key, *_ in forms if one[key] is not None]
    axes.set_xlim(0, 1.25 * max(limit, *shown, 0.0))
    axes.set_yticks(range(len(classes)), [f"{one['class']}\n({one['state']})" for one in classes])
    axes.grid(visible=True, axis="x")
    _legend(axes)


def _latency(figure: Any, view: View) -> None:
    axes = figure.subplots()
    for place, one in enumerate(view["latency"]):
        known = [point for point in one["curve"] if point[0] is not None]
        ms, levels = [point[0] for point in known], [point[1] for point in known]
        colour = _SOURCES.get(one["source"], BLUE)
        axes.plot(ms, levels, color=colour, ls=_LINES[place % len(_LINES)], label=f"{one['source']} ({one['turns']:,})")
    axes.set(xlabel="question to answer, ms (logarithmic)", ylabel="% of turns answered by then", ylim=(0, 101))
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:,g}")
    _legend(axes)


def _savings(figure: Any, view: View) -> None:
    total, by_class = figure.subplots(1, 2, width_ratios=(2.2, 1))
    at, sums, so_far = _times(view["over_time"], view), [], 0.0
    unit, seconds = _unit(sum(one["saved_s"] for one in view["over_time"]))
    for one in view["over_time"]:
        so_far += one["saved_s"]
        sums.append(so_far / seconds)
    total.fill_between(at, sums, step="mid", color=GREEN, alpha=0.25, lw=0)
    total.step(at, sums, where="mid", color=GREEN)
    total.set(ylabel=f"waiting saved so far, {unit}")
    total.set_ylim(bottom=min(0.0, *sums))
    _time_axis(total, view)
    known = [one for one in view["by_class"] if one["saved_s"] is not None and one["hits"]]
    by_class.barh([one["class"] for one in known], [one["saved_s"] / seconds for one in known], 0.55, color=GREEN)
    by_class.set(xlabel=f"by class, {unit}", ylim=(-1, len(known)))
    by_class.grid(visible=False)


def _adapters(figure: Any, view: View) -> None:
    right, speed = figure.subplots(2, 1, sharex=True)
    names = [one["adapter"] for one in view["adapters"] if one["generated"]]
    for place, name in enumerate(names):
        slots = [one for one in view["adapters_over_time"] if one["adapter"] == name]
        look = {"color": (BLUE, ORANGE, GREEN, PINK, SKY, RED)[place % 6], "marker": _MARKS[place % 6], "ms": 4.5}
        look |= {"ls": _LINES[place % 4], "label": name or "base model"}
        right.plot(_times(slots, view), [100 * one["grounded_share"] for one in slots], **look)
        speed.plot(_times(slots, view), [one["answer_ms"] for one in slots], **look)
    least = min(100 * one["grounded_share"] for one in view["adapters_over_time"])
    right.set(ylabel="grounded, %", ylim=(max(0.0, least - 15), 103))
    speed.set(ylabel="mean ms to answer")
    speed.set_ylim(bottom=0)
    for place, one in enumerate(view["toggles"][:12]):
        for axes in (right, speed):
            axes.axvline(_time(one["at"]), color=RED, lw=1.2, ls=":")
        high = (1.02, 1.14)[place % 2]
        box = right.get_xaxis_transform()
        right.text(_time(one["at"]), high, one["toggle"], transform=box, fontsize=8.5, color=RED, ha="center")
    _legend(right)
    figure.get_layout_engine().set(h_pad=0.1)
    _time_axis(speed, view)


def _entries(figure: Any, view: View) -> None:
    axes, shown = figure.subplots(), view["entries"][:12][::-1]
    labels = [f"{one['question'][:44]}{'…' if len(one['question']) > 44 else ''}".replace("$", r"\$") for one in shown]
    axes.barh(range(len(shown)), [one["hits"] for one in shown], 0.62, color=GREEN)
    for place, one in enumerate(shown):
        axes.annotate(
            f" {one['hits']:,} · accuracy {one['accuracy']:.2f}", (one["hits"], place), va="center", fontsize=8.5
        )
    axes.set_yticks(range(len(shown)), labels, fontsize=8.5)
    axes.set(xlabel="hits; the most valuable entry on top", xlim=(0, 1.3 * max([one["hits"] for one in shown] + [1])))
    axes.grid(visible=False)


def _is_saved(view: View) -> bool:
    return any(one["saved_s"] for one in view["over_time"])


_PICTURES = (
    Picture(
        "hit-rate",
        "Hit rate over time",
        "Share of lookups that the cache answered, with its 95 % interval, and how many lookups there were.",
        _hit_rate,
        lambda view: bool(view["cache"]["hits"] + view["cache"]["misses"]),
    ),
    Picture(
        "similarity",
        "Similarity of hits and misses",
        "How similar the nearest stored question was, for semantic hits and for misses by their reason.",
        _similarity,
        lambda view: bool(view["similarity"]),
    ),
    Picture(
        "bounds",
        "How rarely hits are wrong, at most",
        "For each class the upper limits on the share of wrong hits, beside what the operator allows.",
        _trust,
        lambda view: bool(view["trust"]),
    ),
    Picture(
        "latency",
        "Waiting time by source",
        "For each source of answers the share of turns that were answered within a time.",
        _latency,
        lambda view: bool(view["latency"]),
    ),
    Picture(
        "savings",
        "What the cache saves",
        "Waiting time that callers were spared, added up over time, and by class.",
        _savings,
        _is_saved,
    ),
    Picture(
        "adapters",
        "Adapters before and after",
        "Share of generated answers that were grounded and time to answer, by adapter version, with toggles marked.",
        _adapters,
        lambda view: bool(view["adapters_over_time"]),
    ),
    Picture(
        "entries",
        "Entries by value",
        "Hits of the most valuable cache entries.",
        _entries,
        lambda view: bool(view["entries"]),
    ),
)
PICTURES: Final[Mapping[str, Picture]] = MappingProxyType({picture.name: picture for picture in _PICTURES})


def _time(unix_s: float) -> datetime:
    return datetime.fromtimestamp(unix_s)


def _times(slots: Sequence[View], view: View) -> list[datetime]:
    """The middle of each slot."""
    half_s = (view["until"] - view["since"]) / SLOTS / 2
    return [_time(one["at"] + half_s) for one in slots]


def _time_axis(axes: Any, view: View) -> None:
    dates = importlib.import_module("matplotlib.dates")
    locator = dates.AutoDateLocator(minticks=3, maxticks=9)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
    half_s = (view["until"] - view["since"]) / SLOTS / 2
    axes.set_xlim(_time(view["since"] - half_s), _time(view["until"] + half_s))


def _legend(axes: Any) -> None:
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def _unit(seconds: float) -> tuple[str, float]:
    """The largest unit of which there are two or more."""
    for unit, length in (("days", 86_400.0), ("hours", 3_600.0), ("minutes", 60.0)):
        if abs(seconds) >= 2 * length:
            return unit, length
    return "seconds", 1.0
