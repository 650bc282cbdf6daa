"""Taking turns out of the turn log for good: by age as a matter of course, by call when somebody asks for it."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from teller.stores.turn_schema import open_writable, translated

_STEP = 500  # turns in one transaction: others write in between
_EMPTYING_S = 5.0  # longest wait for readers before the journal is emptied
_BY_AGE = (("lookup", "at"), ("toggle", "at"), ("training", "at"), ("shed", "at"))


def erase(path: Path, *, call_id: str | None = None, before: float | None = None) -> int:
    """Erase the turns of one call, or everything from before a Unix time; gives how many turns.

    When it returns, their text is neither in the file nor in its journal. A server may still write the end of a call
    that is in progress.

    Raises:
        StoreError: if the log cannot be opened or written to; what was erased so far stays erased.
    """
    connection = open_writable(path, busy_timeout_s=30.0)
    try:
        with translated("erase from", path):
            total = 0
            while erased := erase_step(connection, call_id=call_id, before=before):
                total += erased
            empty_journal(connection)
    finally:
        connection.close()
    return total


def erase_step(connection: sqlite3.Connection, *, call_id: str | None = None, before: float | None = None) -> int:
    """Erase a few turns in a transaction of their own; gives how many, 0 when there are no more."""
    which, value = ("started_at < ? ORDER BY started_at", before) if call_id is None else ("call_id = ?", call_id)
    # The condition is one of the two above, never anybody's text.
    ids = connection.execute(f"SELECT id FROM turn WHERE {which} LIMIT {_STEP}", (value,)).fetchall()  # noqa: S608
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.executemany("DELETE FROM said WHERE turn = ?", ids)
        connection.executemany("DELETE FROM turn WHERE id = ?", ids)
        if call_id is None and not ids:
            for table, column in _BY_AGE:
                connection.execute(f"DELETE FROM {table} WHERE {column} < ?", (before,))  # noqa: S608
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return len(ids)


def empty_journal(connection: sqlite3.Connection) -> None:
    """Take what was erased out of the write-ahead log too; a reader in the middle of a batch is waited for."""
    until = time.monotonic() + _EMPTYING_S
    while connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] and time.monotonic() < until:
        time.sleep(0.01)
