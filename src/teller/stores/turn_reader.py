"""Reading the turn log: counts by kind and time in SQL, columns in chunks for numpy, turns by page or by name.

Every count is exact and comes from one covering index; memory is the same for a thousand turns and for ten million.
Also beside servers that write: a reader never waits and never makes them wait.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teller.errors import InputError
from teller.stores.turn_rows import Kind, timings_of
from teller.stores.turn_schema import STAGES, open_readable, translated
from teller.turn import Toggle, ToggleRecord, TrainingRecord


@dataclass(frozen=True, slots=True)
class Span:
    """A time range in Unix seconds: `since` belongs to it, `until` does not."""

    since: float
    until: float

    @property
    def length_s(self) -> float:
        """How long it is."""
        return self.until - self.since

    @property
    def before(self) -> Span:
        """The range of the same length that ends where this one begins."""
        return Span(self.since - self.length_s, self.since)


@dataclass(frozen=True, slots=True)
class Tally:
    """Turns of one kind in one slot of a range.

    Attributes:
        slot: from 0; a range is cut into equal slots.
        answer_ms: sum over them of the time from the question to its answer, without hearing and speaking; for
            lookups without a turn the time of the lookup.
        pieces: sum of what the generator streamed.
    """

    kind: Kind
    slot: int
    turns: int
    answer_ms: float
    pieces: int


@dataclass(frozen=True, slots=True)
class Columns:
    """Consecutive turns as arrays of one length n.

    Attributes:
        id: (n,) int64.
        kind: (n,) int64, numbers of `TurnReader.kinds`.
        started_at: (n,) float64, Unix seconds, rising.
        answer_ms: (n,) float64.
        pieces: (n,) int64.
        similarity: (n,) float64, NaN if no neighbour was looked at.
        timings: (n, 9) float32, milliseconds in the order of STAGES, NaN for a stage that did not run.
    """

    id: NDArray[np.int64]
    kind: NDArray[np.int64]
    started_at: NDArray[np.float64]
    answer_ms: NDArray[np.float64]
    pieces: NDArray[np.int64]
    similarity: NDArray[np.float64]
    timings: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class LoggedTurn:
    """One turn as it was kept.

    Attributes:
        id: place in the log, rising in the order of writing.
        question, answer: redacted; None if texts are not kept, or the answer was the customer's own.
        details: "answer_id", "confidence", "redacted", "citations", "stamps"; where they are known "values" and
            "evidence" (as `turn.Evidence`); "spoken_s" if it was spoken, "interrupted" if it did not come to its end.
    """

    id: int
    turn_id: str
    call_id: str
    started_at: float
    kind: Kind
    answer_ms: float
    pieces: int
    similarity: float | None
    timings_ms: Mapping[str, float]
    question: str | None
    answer: str | None
    details: Mapping[str, Any]


_TURNS = (
    "SELECT t.id, t.turn_id, t.call_id, t.started_at, t.kind, t.answer_ms, t.pieces, t.similarity, t.timings, "
    "s.question, s.answer, s.details FROM turn t LEFT JOIN said s ON s.turn = t.id "
)

_IN_SPAN = "WHERE t.id BETWEEN ? AND ? AND t.started_at >= ? AND t.started_at < ? ORDER BY t.id LIMIT ?"


class TurnReader:
    """A turn log to read from; one thread at a time.

    Args:
        path: of the file; a log without turns is made if it is missing.

    Raises:
        StoreCorrupt: if the file is no turn log or cannot be read.
        StoreError: if a newer version wrote it, or it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = open_readable(path)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> TurnReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def bounds(self) -> Span | None:
        """From the first turn's start to just after the last one's; None without turns."""
        first, last = self._rows("SELECT min(started_at), max(started_at) FROM turn")[0]
        return None if first is None else Span(first, float(np.nextafter(last, np.inf)))

    def newest(self) -> int:
        """Number of the last turn that was written, 0 for none: `page` from there on gives what comes."""
        return int(self._rows("SELECT coalesce(max(id), 0) FROM turn")[0][0])

    def kinds(self) -> dict[int, Kind]:
        """Every kind by its number."""
        names = ", ".join(Kind._fields)
        return {row[0]: Kind(*row[1:]) for row in self._rows(f"SELECT id, {names} FROM kind ORDER BY id")}  # noqa: S608

    def tallies(self, span: Span, slots: int = 1) -> list[Tally]:
        """Turns of a range by kind and slot; those that are none are left out."""
        source = "FROM turn INDEXED BY turn_by_kind WHERE kind = ? AND started_at >= ? AND started_at < ?"
        return self._tallies("count(*), sum(answer_ms), sum(pieces)", source, span, slots)

    def lone_lookups(self, span: Span, slots: int = 1) -> list[Tally]:
        """Lookups of a range whose turn left no record (the server was ended), as `tallies`."""
        source = "FROM lookup INDEXED BY lookup_by_kind WHERE kind = ? AND at >= ? AND at < ?"
        return self._tallies("count(*), sum(spent_ms), 0", source, span, slots)

    def columns(self, span: Span, chunk: int = 20_000) -> Iterator[Columns]:
        """The turns of a range in the order of their start, at most `chunk` at a time."""
        at, number = span.since, 0
        while rows := self._rows(
            "SELECT id, kind, started_at, answer_ms, pieces, similarity, timings FROM turn INDEXED BY turn_by_time "
            "WHERE (started_at, id) > (?, ?) AND started_at < ? ORDER BY started_at, id LIMIT ?",
            (at, number, span.until, chunk),
        ):
            number, _, at = rows[-1][:3]
            yield _columns(rows)

    def page(self, after: int = 0, span: Span | None = None, limit: int = 1_000) -> list[LoggedTurn]:
        """Turns with a number above `after`, in order, at most `limit`; with a span only those that began in it."""
        if span is None:
            return self._logged("WHERE t.id > ? ORDER BY t.id LIMIT ?", (after, limit))
        first, last = self._places(span)
        return self._logged(_IN_SPAN, (max(first, after + 1), last, span.since, span.until, limit))

    def walk(self, span: Span, chunk: int = 1_000) -> Iterator[LoggedTurn]:
        """Every turn that began in a range, in the order of writing."""
        first, last = self._places(span)
        while turns := self._logged(_IN_SPAN, (first, last, span.since, span.until, chunk)):
            yield from turns
            first = turns[-1].id + 1

    def turn(self, turn_id: str) -> LoggedTurn | None:
        """The turn with this id, or with the only one that begins so; None if there is none.

        Raises:
            InputError: if several begin so.
        """
        end = turn_id + "\U0010ffff"  # a prefix is a range of the index
        found = self._logged("WHERE t.turn_id >= ? AND t.turn_id < ? ORDER BY t.turn_id LIMIT 2", (turn_id, end))
        if len(found) > 1 and found[0].turn_id != turn_id:
            raise InputError(f"several turns begin with {turn_id!r}: give more of the id")
        return found[0] if found else None

    def similarities(self, span: Span, bins: int) -> list[tuple[Kind, int, int]]:
        """Turns of a range by kind and similarity of the neighbour, from 0 to 1 in equal bins: (kind, bin, turns)."""
        rows = self._rows(
            "SELECT kind, min(max(CAST(similarity * ? AS INTEGER), 0), ? - 1) AS bin, count(*) FROM turn "
            "WHERE started_at >= ? AND started_at < ? AND similarity IS NOT NULL GROUP BY kind, bin ORDER BY kind, bin",
            (bins, bins, span.since, span.until),
        )
        kinds = self.kinds() if rows else {}
        return [(kinds[kind], place, turns) for kind, place, turns in rows]

    def questions(self, span: Span, wanted: Callable[[Kind], bool], limit: int) -> list[tuple[str, Kind, int]]:
        """Questions of the wanted kinds, most asked first, at most `limit`: (redacted text, kind, times asked)."""
        kinds = {number: kind for number, kind in self.kinds().items() if wanted(kind)}
        if not kinds:
            return []
        marks = ", ".join("?" * len(kinds))
        query = (
            "SELECT s.question, t.kind, count(*) AS asked FROM turn t INDEXED BY turn_by_kind "  # noqa: S608  marks
            f"JOIN said s ON s.turn = t.id WHERE t.kind IN ({marks}) AND t.started_at >= ? AND t.started_at < ? "
            "AND s.question IS NOT NULL GROUP BY s.question, t.kind ORDER BY asked DESC, s.question, t.kind LIMIT ?"
        )
        rows = self._rows(query, (*kinds, span.since, span.until, limit))
        return [(text, kinds[kind], asked) for text, kind, asked in rows]

    def toggles(self, span: Span) -> list[ToggleRecord]:
        """Changes of the live adapter, in order."""
        rows = self._in("SELECT at, toggle, before, after, who, why, canary, share FROM toggle", span)
        return [ToggleRecord(row[0], Toggle(row[1]), *row[2:]) for row in rows]

    def training(self, span: Span) -> list[TrainingRecord]:
        """Training steps, in order."""
        rows = self._in("SELECT at, name, step, steps, loss, tokens_per_s, held_out_loss FROM training", span)
        return [TrainingRecord(*row) for row in rows]

    def shed(self, span: Span) -> list[tuple[float, int]]:
        """When it became known that records were lost, and how many."""
        return [(row[0], row[1]) for row in self._in("SELECT at, records FROM shed", span)]

    def _tallies(self, sums: str, source: str, span: Span, slots: int) -> list[Tally]:
        edges = np.linspace(span.since, span.until, slots + 1).tolist()
        found = []
        for number, kind in self.kinds().items():
            if not self._rows(f"SELECT 1 {source} LIMIT 1", (number, span.since, span.until)):
                continue
            for slot in range(slots):
                # One index range each; the columns are named above, by nobody else.
                query = f"SELECT {sums} {source}"
                count, spent, pieces = self._rows(query, (number, edges[slot], edges[slot + 1]))[0]
                if count:
                    found.append(Tally(kind, slot, count, spent, pieces))
        return found

    def _logged(self, which: str, values: Sequence[object]) -> list[LoggedTurn]:
        rows = self._rows(_TURNS + which, values)
        kinds = self.kinds() if rows else {}
        return [_logged(row, kinds) for row in rows]

    def _places(self, span: Span) -> tuple[int, int]:
        """The first and the last number in a range; (1, 0) if there is none."""
        query = "SELECT min(id), max(id) FROM turn INDEXED BY turn_by_time WHERE started_at >= ? AND started_at < ?"
        first, last = self._rows(query, (span.since, span.until))[0]
        return (1, 0) if first is None else (first, last)

    def _in(self, query: str, span: Span) -> list[Any]:
        return self._rows(query + " WHERE at >= ? AND at < ? ORDER BY id", (span.since, span.until))

    def _rows(self, query: str, values: Sequence[object] = ()) -> list[Any]:
        with translated("read", self._path):
            return self._connection.execute(query, values).fetchall()


def _columns(rows: Sequence[Any]) -> Columns:
    number, kind, started_at, answer_ms, pieces, similarity, timings = zip(*rows, strict=True)
    return Columns(
        np.array(number, dtype=np.int64),
        np.array(kind, dtype=np.int64),
        np.array(started_at, dtype=np.float64),
        np.array(answer_ms, dtype=np.float64),
        np.array(pieces, dtype=np.int64),
        np.array(similarity, dtype=np.float64),  # None becomes NaN
        np.frombuffer(b"".join(timings), dtype="<f4").reshape(-1, len(STAGES)),
    )


def _logged(row: Any, kinds: Mapping[int, Kind]) -> LoggedTurn:
    *head, question, answer, details = row
    number, turn_id, call_id, started_at, kind, answer_ms, pieces, similarity, timings = head
    return LoggedTurn(
        number,
        turn_id,
        call_id,
        started_at,
        kinds[kind],
        answer_ms,
        pieces,
        similarity,
        timings_of(timings),
        question,
        answer,
        json.loads(details or "{}"),
    )
