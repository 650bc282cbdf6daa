"""The turn log's tables, how a file is told from another program's, and how an older one is brought up to date.

    kind      each combination of the facts with few values (where the answer came from, why the cache missed, ...)
    turn      one narrow row for each turn: its kind, when, how long
    said      the texts and details of a turn, apart, so that a million turns are counted without reading a word
    lookup    lookups whose turn left no record: the server was ended
    toggle, training    changes of the live adapter, training steps
    shed      records that could not be written, and when that was over

Rows are numbered in the order of writing, which a clock that jumps does not change; `at` and `started_at` are as given.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from teller.errors import StoreCorrupt, StoreError
from teller.stores.journal import write_ahead

STAGES = ("hear", "redact", "tools", "cache", "retrieve", "generate", "ground", "keep", "speak")  # as in turn.timings
APPLICATION_ID = 0x54454C54  # "TELT"
_PATIENCE_S = 10.0  # a reader waits for a writer only where the log has to be brought up to date

_FIRST = """
CREATE TABLE kind (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    locale TEXT NOT NULL,
    source TEXT NOT NULL,      -- turn.Source, '' for a lookup without a turn
    outcome TEXT NOT NULL,     -- 'exact', 'semantic', a turn.MissReason, '' if the cache was not asked
    data_class TEXT NOT NULL,  -- of the answer, '' for a lookup that missed
    adapter TEXT NOT NULL,     -- served name, '' for the base model
    grounded INTEGER NOT NULL, -- 1 or 0, -1 if no generator ran
    identified INTEGER NOT NULL,
    reason TEXT NOT NULL,      -- why it was refused or handed over
    UNIQUE (tenant, locale, source, outcome, data_class, adapter, grounded, identified, reason)
);
CREATE TABLE turn (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    turn_id TEXT NOT NULL,
    call_id TEXT NOT NULL,
    started_at REAL NOT NULL,
    kind INTEGER NOT NULL REFERENCES kind,
    answer_ms REAL NOT NULL,   -- from the question to its answer: without hearing and speaking
    pieces INTEGER NOT NULL,
    similarity REAL,
    timings BLOB NOT NULL      -- 9 little-endian float32, milliseconds, in the order of STAGES, NaN if it did not run
);
CREATE INDEX turn_by_kind ON turn (kind, started_at, answer_ms, pieces);
CREATE INDEX turn_by_time ON turn (started_at);
CREATE INDEX turn_by_name ON turn (turn_id);
CREATE TABLE said (
    turn INTEGER PRIMARY KEY,
    question TEXT,
    answer TEXT,
    details TEXT NOT NULL      -- JSON
);
CREATE TABLE lookup (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    kind INTEGER NOT NULL REFERENCES kind,
    similarity REAL,
    spent_ms REAL NOT NULL
);
CREATE INDEX lookup_by_kind ON lookup (kind, at, spent_ms);
CREATE TABLE toggle (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    toggle TEXT NOT NULL,
    before TEXT,
    after TEXT,
    who TEXT NOT NULL,
    why TEXT NOT NULL,
    canary TEXT,
    share REAL NOT NULL
);
-- every server tells of the same toggle, it is kept once
CREATE UNIQUE INDEX toggle_once ON toggle (at, toggle, who, coalesce(before, ''), coalesce(after, ''));
CREATE TABLE training (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    name TEXT NOT NULL,
    step INTEGER NOT NULL,
    steps INTEGER NOT NULL,
    loss REAL,
    tokens_per_s REAL,
    held_out_loss REAL
);
CREATE TABLE shed (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    records INTEGER NOT NULL
);
"""
STEPS = (_FIRST,)  # step n brings format n to n + 1, its statements parted by ";"; never changed once released


def open_writable(path: Path, *, busy_timeout_s: float, steps: Sequence[str] = STEPS) -> sqlite3.Connection:
    """Open a log to write to; made if missing, brought up to date if older.

    Raises:
        StoreCorrupt: if it is another program's database or cannot be read; it is left as it is.
        StoreError: if a newer version wrote it, or it cannot be opened.
    """
    with translated("open", path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        connection = _connect(path, busy_timeout_s)
        try:
            _format_of(connection, path, steps)  # before anything is written to a file that is not ours
            write_ahead(connection, busy_timeout_s=busy_timeout_s)
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA secure_delete = ON")
            _bring_up_to_date(connection, path, steps)
        except BaseException:
            connection.close()
            raise
    return connection


def open_readable(path: Path, *, steps: Sequence[str] = STEPS) -> sqlite3.Connection:
    """Open a log to read from; made if missing, an older one brought up to date first.

    Raises:
        StoreCorrupt, StoreError: as `open_writable`.
    """
    if not path.exists():
        open_writable(path, busy_timeout_s=_PATIENCE_S, steps=steps).close()
    with translated("open", path):
        connection = _connect(path, _PATIENCE_S)
        try:
            if _format_of(connection, path, steps) < len(steps):
                open_writable(path, busy_timeout_s=_PATIENCE_S, steps=steps).close()
            connection.execute("PRAGMA query_only = ON")
            connection.execute("PRAGMA mmap_size = 0")  # memory stays flat however large the file is
        except BaseException:
            connection.close()
            raise
    return connection


@contextmanager
def translated(verb: str, path: Path) -> Iterator[None]:
    """SQLite's errors as ours."""
    try:
        yield
    except sqlite3.OperationalError as exc:
        raise StoreError(f"could not {verb} the turn log {path.name}: {exc}") from exc
    except sqlite3.Error as exc:
        raise StoreCorrupt(
            f"the turn log {path.name} cannot be read ({exc}): it was left as it is; move it away to begin anew"
        ) from exc
    except OSError as exc:
        raise StoreError(f"could not {verb} the turn log {path.name}: {exc.strerror}") from exc


def _connect(path: Path, busy_timeout_s: float) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False)


def _bring_up_to_date(connection: sqlite3.Connection, path: Path, steps: Sequence[str]) -> None:
    if _format_of(connection, path, steps) == len(steps):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in steps[_format_of(connection, path, steps) :]:  # asked again: another process may have been first
            for statement in step.split(";"):
                if statement.strip():
                    connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(steps)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _format_of(connection: sqlite3.Connection, path: Path, steps: Sequence[str]) -> int:
    """The format of a file, 0 for an empty one; every file that is neither empty nor ours is refused."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if not tables and application == 0:
        return 0
    if application != APPLICATION_ID:
        raise StoreCorrupt(f"{path.name} is another program's database, not a turn log: name another file")
    if version > len(steps):
        raise StoreError(
            f"the turn log {path.name} has format {version}, this program knows {len(steps)}: "
            "install the newer Teller that wrote it, or move the file away to begin anew"
        )
    return version
