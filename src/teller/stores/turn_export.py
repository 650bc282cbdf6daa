"""Logged turns as a file for other programs: CSV, JSON or Parquet, in flat memory."""

from __future__ import annotations

import csv
import importlib
import json
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from teller.errors import EngineUnavailable, InputError
from teller.stores.turn_reader import LoggedTurn
from teller.stores.turn_schema import STAGES

_GROUP = 5_000  # turns in one row group of a Parquet file
# Column -> how Parquet keeps it; the order is the files' order.
_COLUMNS = (
    {"id": "int64", "turn_id": "string", "call_id": "string", "time": "string", "started_at": "float64"}
    | {"tenant": "string", "locale": "string", "identified": "bool_", "source": "string", "reason": "string"}
    | {"cache": "string", "data_class": "string", "similarity": "float64", "adapter": "string", "grounded": "bool_"}
    | {"pieces": "int64", "answer_ms": "float64"}
    | {f"{stage}_ms": "float64" for stage in STAGES}
    | {"question": "string", "answer": "string", "answer_id": "string", "details": "string"}
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def export(turns: Iterable[LoggedTurn], form: str, path: Path | None) -> int:
    """Write turns to a new file, whole or not at all, or to standard output; gives how many.

    In CSV a text that a spreadsheet would take for a formula begins with an apostrophe: callers choose their words.

    Args:
        turns: in any order.
        form: "csv", "json" (one array, a line for each turn) or "parquet".
        path: None for standard output; Parquet wants a file.

    Raises:
        InputError: if the form is another, or the file is there already or cannot be written.
        EngineUnavailable: if Parquet is wanted and pyarrow is not installed.
    """
    if form not in _WRITERS:
        raise InputError(f"{form!r} is no form to export to; wanted {', '.join(_WRITERS)}")
    if path is None:
        if form == "parquet":
            raise InputError("a Parquet file is no text: name a file with --out")
        return _WRITERS[form](turns, None)
    with _whole(path) as partial:
        return _WRITERS[form](turns, partial)


def row_of(turn: LoggedTurn) -> dict[str, Any]:
    """A turn as one flat row; only "details" is a tree."""
    kind = turn.kind
    return {
        "id": turn.id,
        "turn_id": turn.turn_id,
        "call_id": turn.call_id,
        "time": datetime.fromtimestamp(turn.started_at, UTC).isoformat(timespec="milliseconds"),
        "started_at": turn.started_at,
        "tenant": kind.tenant,
        "locale": kind.locale,
        "identified": bool(kind.identified),
        "source": kind.source,
        "reason": kind.reason or None,
        "cache": kind.outcome or None,
        "data_class": kind.data_class,
        "similarity": turn.similarity,
        "adapter": kind.adapter or None,
        "grounded": None if kind.grounded < 0 else bool(kind.grounded),
        "pieces": turn.pieces,
        "answer_ms": turn.answer_ms,
        **{f"{stage}_ms": turn.timings_ms.get(stage) for stage in STAGES},
        "question": turn.question,
        "answer": turn.answer,
        "answer_id": turn.details.get("answer_id"),
        "details": {name: value for name, value in turn.details.items() if name != "answer_id"},
    }


def _csv(turns: Iterable[LoggedTurn], path: Path | None) -> int:
    count = 0
    with _text(path) as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for count, turn in enumerate(turns, 1):  # noqa: B007  the last one is the count
            row = _plain(row_of(turn))
            writer.writerow([_no_formula(row[name]) for name in _COLUMNS])
    return count


def _json(turns: Iterable[LoggedTurn], path: Path | None) -> int:
    count = 0
    with _text(path) as file:
        for count, turn in enumerate(turns, 1):
            file.write(("[" if count == 1 else ",\n") + json.dumps(row_of(turn), ensure_ascii=False))
        file.write("]\n" if count else "[]\n")
    return count


def _parquet(turns: Iterable[LoggedTurn], path: Path | None) -> int:
    try:
        arrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError as exc:
        raise EngineUnavailable("Parquet needs pyarrow: pip install 'teller[parquet]'") from exc
    schema = arrow.schema([(name, getattr(arrow, form)()) for name, form in _COLUMNS.items()])
    count, rest = 0, iter(turns)
    with parquet.ParquetWriter(path, schema) as writer:
        while group := [_plain(row_of(turn)) for turn in islice(rest, _GROUP)]:
            writer.write_table(arrow.Table.from_pylist(group, schema=schema))
            count += len(group)
    return count


_WRITERS: dict[str, Callable[[Iterable[LoggedTurn], Path | None], int]] = {
    "csv": _csv,
    "json": _json,
    "parquet": _parquet,
}
FORMS = tuple(_WRITERS)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"details": json.dumps(row["details"], ensure_ascii=False)}


def _no_formula(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


@contextmanager
def _text(path: Path | None) -> Iterator[Any]:
    if path is None:
        yield sys.stdout
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        yield file


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A file beside the one wanted, for its owner alone, which takes its name in the end."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        if path.exists():
            raise InputError(f"{path} is there already: name another file")
        partial.touch(mode=0o600, exist_ok=False)
        yield partial
        partial.rename(path)
    except OSError as exc:
        raise InputError(f"{path}: cannot be written: {exc.strerror or type(exc).__name__}") from exc
    finally:
        partial.unlink(missing_ok=True)
