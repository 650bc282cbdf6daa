"""Changing a file's journal while somebody else reads it."""

import sqlite3
import threading

import pytest

from teller.stores.journal import write_ahead


@pytest.fixture
def read_by_another(tmp_path):
    """A file that another connection is reading, and that connection."""
    path = tmp_path / "log.sqlite"
    reader = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    reader.execute("CREATE TABLE event (seq INTEGER)")
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM event").fetchone()
    yield path, reader
    reader.close()


def mode_of(connection):
    return connection.execute("PRAGMA journal_mode").fetchone()[0]


def test_a_reader_of_the_file_is_waited_for(read_by_another):
    path, reader = read_by_another
    connection = sqlite3.connect(path, timeout=0.0, isolation_level=None)
    ending = threading.Timer(0.1, lambda: reader.execute("COMMIT"))
    ending.start()
    write_ahead(connection, busy_timeout_s=30.0)
    ending.join()
    assert mode_of(connection) == "wal"
    connection.close()


def test_a_reader_that_stays_is_not_waited_for_longer_than_told(read_by_another):
    path, _ = read_by_another
    connection = sqlite3.connect(path, timeout=0.0, isolation_level=None)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        write_ahead(connection, busy_timeout_s=0.02)
    connection.close()


def test_what_is_no_lock_is_told_at_once(tmp_path):
    (tmp_path / "log.sqlite").write_bytes(b"no database" * 100)
    connection = sqlite3.connect(tmp_path / "log.sqlite", isolation_level=None)
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        write_ahead(connection, busy_timeout_s=30.0)
    connection.close()
