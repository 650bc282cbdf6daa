"""What `orchestrator-log` shows of single turns: everything about one, or a line for each as they come."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from teller.cli.log_views import moment
from teller.stores.turn_export import row_of
from teller.stores.turn_reader import TurnReader
from teller.stores.turn_schema import STAGES
from teller.turn import Source

if TYPE_CHECKING:
    from teller.stores.turn_reader import LoggedTurn

_BAR = 40  # characters of the longest stage
_POLL_S = 0.5
_SHOWN = 70  # characters of a question in a line


def turn_view(turn: LoggedTurn) -> dict[str, Any]:
    """Everything that is known of a turn."""
    row = row_of(turn)
    return {name: value for name, value in row.items() if name.removesuffix("_ms") not in STAGES} | {
        "timings_ms": {stage: round(spent, 3) for stage, spent in turn.timings_ms.items()},
        "why": why(turn),
    }


def turn_rows(turn: LoggedTurn) -> list[tuple[str, str]]:
    """Name and value of everything but the timings."""
    kind, details = turn.kind, turn.details
    rows = [
        ("call", turn.call_id),
        (
            "at",
            f"{moment(turn.started_at)}, {kind.tenant}, {kind.locale}" + (", identified" if kind.identified else ""),
        ),
        ("question", _text(turn.question)),
        ("taken out", ", ".join(details.get("redacted", ())) or "nothing"),
        ("values", ", ".join(f"{name} {value}" for name, value in details.get("values", ())) or "none"),
        ("heard with", f"{details.get('confidence', 1.0):.0%} confidence"),
        ("answer", _text(turn.answer)),
        ("why", why(turn)),
        ("answer id", str(details.get("answer_id") or "-")),
        (
            "rests on",
            "; ".join(f"{title} ({name}, version {version})" for name, title, version in details.get("citations", ()))
            or "-",
        ),
        ("goes stale with", ", ".join(details.get("stamps", ())) or "-"),
        ("adapter", kind.adapter or "(base model)"),
        (
            "wording checked",
            {1: "agreed with the approved answer", 0: "did not agree: the approved answer was given"}.get(
                kind.grounded, "no generator ran"
            ),
        ),
        ("pieces", str(turn.pieces)),
        (
            "broken off" if kind.source == Source.BROKEN_OFF else "answered in",
            f"{turn.answer_ms:,.2f} ms after it was heard",
        ),
    ]
    return [*rows, *_spoken(details), *_evidence(details.get("evidence"))]


def timing_rows(turn: LoggedTurn) -> list[tuple[str, str, str]]:
    """Stage, time and a bar that begins where the stage before ended."""
    total = sum(turn.timings_ms.values())
    rows, before = [], 0.0
    for stage, spent in turn.timings_ms.items():
        start, length = (round(part / total * _BAR) if total else 0 for part in (before, spent))
        rows.append((stage, f"{spent:,.2f} ms", " " * min(start, _BAR - 1) + "█" * max(1, length)))
        before += spent
    return [*rows, ("all", f"{total:,.2f} ms", "")]


def why(turn: LoggedTurn) -> str:
    """In words, why this answer was given."""
    kind = turn.kind
    near = f", nearest at {turn.similarity:.3f}" if turn.similarity is not None else ""
    asked = f"the cache had nothing ({kind.outcome}{near})" if kind.is_miss else "the cache was not asked"
    return {
        "tool": f"computed by banking logic; {asked}",
        "cache": f"given again from the cache, {kind.outcome} tier{near.replace('nearest at', 'similarity')}",
        "model": f"worded by the generator, and it agreed with the approved answer; {asked}",
        "approved": f"the approved text, word for word; {asked}",
        "refused": f"refused: {kind.reason or 'nothing covers it'}; {asked}",
        "handoff": f"a person takes over: {kind.reason}; {asked}",
        "broken_off": f"no answer: the turn was broken off before there was one; {asked}",
    }.get(kind.source, kind.source)


def follow(reader: TurnReader, after: int) -> Iterator[LoggedTurn]:
    """Turns as they are written, from a number on, without end."""
    while True:
        turns = reader.page(after)
        yield from turns
        if turns:
            after = turns[-1].id
        else:
            time.sleep(_POLL_S)


def follow_line(turn: LoggedTurn) -> str:
    """One turn in one line."""
    kind = turn.kind
    near = f"{turn.similarity:.3f}" if turn.similarity is not None else "-"
    parts = (
        f"{datetime.fromtimestamp(turn.started_at):%H:%M:%S}",
        f"{turn.turn_id[:10]:10}",
        f"{kind.source:10}",
        f"{kind.outcome or '-':16}",
        f"{near:>6}",
        f"{turn.answer_ms:9.2f} ms",
        printable(turn.question or "")[:_SHOWN],
    )
    return "  ".join(parts)


def printable(text: str) -> str:
    """A caller's text without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


FOLLOW_HEADER = f"{'at':8}  {'turn':10}  {'source':10}  {'cache':16}  {'near':>6}  {'answered in':>12}  question"


def _text(text: str | None) -> str:
    return "(text is not kept)" if text is None else printable(text)


def _spoken(details: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    sound = f"{details['spoken_s']:.1f} s of sound" if "spoken_s" in details else "nothing"
    if details.get("interrupted"):
        yield "spoken", f"{sound}, then it was interrupted"
    elif "spoken_s" in details:
        yield "spoken", sound


def _evidence(evidence: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    if evidence is None:
        return
    yield "entry", f"{evidence['entry_id']}, first given for: {_text(evidence.get('matched'))}"
    bound = evidence.get("bound")
    said = f"{bound:.2%} of such hits wrong at most" if bound is not None else "no bound was certified"
    votes = f"{evidence['votes']} of {evidence['neighbours']} neighbours vote for it"
    right = f"right with probability {evidence['probability']:.4f}"
    yield "evidence", f"similarity {evidence['similarity']:.3f}; {votes}; {right}; {said}"
    for name, found in evidence.get("checks", {}).items():
        yield f"guard {name}", str(found)
