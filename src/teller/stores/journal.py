"""Putting a SQLite file's journal into write-ahead mode while others may be doing the same."""

from __future__ import annotations

import sqlite3
import time

_PAUSE_S = 0.005


def write_ahead(connection: sqlite3.Connection, *, busy_timeout_s: float) -> None:
    """Put the file into write-ahead mode; nothing if it is.

    SQLite does not wait where two connections change a new file's mode at once, since each would wait for the other's
    lock on reading (sqlite.org/rescode.html#busy): one of them is told at once that it is busy, and has to come again.

    Raises:
        sqlite3.OperationalError: if the file is still busy after `busy_timeout_s`.
    """
    until = time.monotonic() + busy_timeout_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                raise
            time.sleep(_PAUSE_S)
        else:
            return
