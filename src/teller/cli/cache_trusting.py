"""Commands of `cache-manager` about how far the cache is trusted: calibrate, what-if."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from teller.cli.cache_running import AsJson, DryRun, Progress, print_json, settings_of, with_cache
from teller.cli.edge import show_table

if TYPE_CHECKING:
    from teller.cache.replay import Replayed
    from teller.cache_desk import Evidence
    from teller.cache_wiring import OpenCache

_T = TypeVar("_T")
_Data = Annotated[
    Path | None,
    typer.Option(help="CSV file of questions, each with a label. Default: the bank's own ways of asking."),
]
_Text = Annotated[str, typer.Option("--text", metavar="COLUMN", help="Column of the questions.")]
_Label = Annotated[
    str, typer.Option("--label", metavar="COLUMN", help="Column that is equal for questions with one answer.")
]
_Sample = Annotated[int | None, typer.Option(min=1, help="Take so many of the questions at most.")]
_Risk = Annotated[float, typer.Option(help="Largest share of hits that may be wrong.")]
_Confidence = Annotated[float, typer.Option(help="Of the claim, between 0 and 1.")]


def calibrate(  # noqa: PLR0913  one for each option
    context: typer.Context,
    max_false_hits: _Risk = 0.01,
    confidence: _Confidence = 0.95,
    data: _Data = None,
    text: _Text = "text",
    label: _Label = "label",
    sample: _Sample = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the curve into this PNG file.")] = None,
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="Put no calibration in force: back to live estimates.")
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Certify where the cache may serve.

    The questions are asked of a cache that begins empty, as calls would come, in an order fixed by their texts; what
    the judge thinks of each is compared with its label. For each risk class the widest region is accepted in which at
    most --max-false-hits of the hits are wrong, with --confidence (Learn-then-Test, exact binomial bounds); a class
    whose evidence does not support any is closed. Half of the answers is kept apart to test what was accepted.
    """
    from teller.cache.calibration import check_share
    from teller.cache_desk import certificate_view, certify, put_in_force
    from teller.cli.calibration_report import plot as draw

    if withdraw:
        with_cache(context, lambda opened: opened.cache.upkeep.calibrate({"name": "regions", "withdrawn": True}))
        typer.echo(json.dumps({"withdrawn": True}) if as_json else "no calibration is in force: live estimates decide")
        return
    check_share("--max-false-hits", max_false_hits)
    check_share("--confidence", confidence)

    async def calibrated(opened: OpenCache, evidence: Evidence, found: Replayed) -> Any:
        certificates = certify(found.records, max_false_hits=max_false_hits, confidence=confidence)
        if plot is not None:
            draw(certificates, plot, max_false_hits=max_false_hits, confidence=confidence)
        if not dry_run:
            limits = {"max_false_hits": max_false_hits, "confidence": confidence}
            await put_in_force(opened, certificates, evidence, **limits)
        return evidence, found, certificates

    given_data = (data, text, label, sample)
    evidence, found, certificates = _with_evidence(context, given_data, max_false_hits, calibrated)
    if as_json:
        classes = {name: certificate_view(one) for name, one in certificates.items()}
        limits = {"max_false_hits": max_false_hits, "confidence": confidence, "in_force": not dry_run}
        print_json({**_evidence_view(evidence, found), **limits, "classes": classes})
        return
    _show_certificates(evidence, found, certificates)
    typer.echo("not in force: --dry-run" if dry_run else "in force in every process from its next lookup on")


def what_if(
    context: typer.Context,
    threshold: Annotated[float, typer.Option(help="Smallest probability that would be served, 0 to 1.")],
    data: _Data = None,
    text: _Text = "text",
    label: _Label = "label",
    sample: _Sample = None,
    as_json: AsJson = False,
) -> None:
    """Show hits and wrong hits, had the limit been another.

    Changes nothing.
    """
    from dataclasses import asdict

    from teller.cache_desk import what_if as compare

    async def compared(opened: OpenCache, evidence: Evidence, found: Replayed) -> Any:
        return evidence, found, compare(opened, found.records, threshold)

    if not 0.0 <= threshold <= 1.0:
        raise typer.BadParameter("a probability from 0 to 1", param_hint="--threshold")
    evidence, found, rows = _with_evidence(context, (data, text, label, sample), 0.01, compared)
    if as_json:
        views = [{**asdict(row), "hit_rate": row.hit_rate, "wrong_share": row.wrong_share} for row in rows]
        print_json({**_evidence_view(evidence, found), "limits": views})
        return
    typer.echo(_evidence_line(evidence, found))
    show_table(
        ("class", "limit", "min probability", "hit rate", "hits", "wrong", "wrong share", "at most (95 %)"),
        [
            (
                row.risk_class,
                row.limit,
                "closed" if row.min_probability is None else f"{row.min_probability:.4f}",
                f"{row.hit_rate:.2%}",
                str(row.hits),
                str(row.wrong),
                f"{row.wrong_share:.2%}",
                f"{row.upper_95:.2%}",
            )
            for row in rows
        ],
    )


_GivenData = tuple[Path | None, str, str, int | None]


def _with_evidence(
    context: typer.Context,
    given_data: _GivenData,
    max_false_hits: float,
    work: Callable[[OpenCache, Evidence, Replayed], Awaitable[_T]],
) -> _T:
    """Read labelled questions, ask them all, and do something with what was found."""
    from teller.cache_desk import ask_all, gather

    data, text, label, sample = given_data
    evidence = gather(settings_of(context), data, text=text, label=label, sample=sample)

    async def run(opened: OpenCache) -> _T:
        with Progress(len(evidence.labelled), "questions asked") as asked:
            found = await ask_all(opened, evidence, max_false_hits=max_false_hits, asked=asked)
        return await work(opened, evidence, found)

    return with_cache(context, run, whole=True)


def _evidence_view(evidence: Evidence, found: Replayed) -> dict[str, Any]:
    return {
        "evidence": evidence.source,
        "asked": found.asked,
        "left_out": evidence.left_out,
        "exact": found.exact,
        "contradictory": found.contradictory,
        "labels": len(found.labels),
        "for_every_class": evidence.for_every_class,
    }


def _evidence_line(evidence: Evidence, found: Replayed) -> str:
    parts = [
        f"{evidence.source}: {found.asked:,} asked, with {len(found.labels):,} different answers",
        f"{evidence.left_out:,} left out (the bank's policy never looks them up)",
        f"{found.exact:,} answered by the exact tier",
    ]
    if found.contradictory:
        parts.append(f"{found.contradictory:,} carry another label than the same words before")
    if evidence.for_every_class:
        parts.append("no label is an answer of the bank: the file speaks for every shared class")
    return "\n  ".join(parts)


def _show_certificates(evidence: Evidence, found: Replayed, certificates: dict[str, Any]) -> None:
    from teller.cli.calibration_report import CERTIFICATE_HEADER, CURVE_HEADER, certificate_rows, curve_rows

    typer.echo(_evidence_line(evidence, found))
    show_table(CERTIFICATE_HEADER, certificate_rows(certificates), title="certificates")
    if rows := curve_rows(certificates):
        show_table(CURVE_HEADER, rows, title="the curve")
