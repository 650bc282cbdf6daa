import asyncio
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from teller.errors import BusyError, StoreCorrupt, StoreError
from teller.ports import Event
from teller.stores.sqlite_log import SqliteLog


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "log.sqlite"


@pytest.fixture
def log(path):
    log = SqliteLog(path)
    yield log
    log.close()


def event(body: str, kind: str = "put") -> Event:
    return Event(kind, body.encode(), 1.5)


async def bodies(log: SqliteLog, after: int = 0) -> list[str]:
    return [one.body.decode() for one in await log.read(after)]


def test_the_file_and_its_folder_are_private(log, path):
    asyncio.run(log.append([event("a")]))
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}


async def test_many_appends_at_once_share_transactions_and_keep_their_own_order(log):
    await asyncio.gather(*(log.append([event(f"{at}a"), event(f"{at}b")]) for at in range(300)))
    found = await bodies(log)
    assert len(found) == 600
    assert all(found[at][:-1] == found[at + 1][:-1] for at in range(0, 600, 2))


async def test_one_refused_append_does_not_harm_those_beside_it(log):
    done = await asyncio.gather(
        log.append([event("a")]), log.append([event("b")], only_at=7), log.append([event("c")]), return_exceptions=True
    )
    assert [type(one) for one in done] == [int, BusyError, int]
    assert await bodies(log) == ["a", "c"]


async def test_another_process_sees_an_append_at_once(log, path):
    other = SqliteLog(path)
    await log.append([event("a")])
    assert other.head() == 1
    await other.append([event("b")])
    assert log.head() == 2
    other.close()
    assert await bodies(log) == ["a", "b"]


async def test_a_number_is_never_given_again(log, path):
    await log.append([event("a"), event("b")])
    await log.append([], forget=[1, 2])
    assert log.head() == 2
    log.close()
    again = SqliteLog(path)
    assert await again.append([event("c")]) == 3
    again.close()


async def test_what_is_forgotten_is_in_no_file(log, path):
    secret = "the customer's secret " * 400
    for at in range(50):
        await log.append([event(f"{at} {secret}")])
    await log.append([event("erased", kind="erase")], forget=range(1, 51))
    for file in path.parent.iterdir():
        assert b"secret" not in file.read_bytes(), file.name


async def test_threads_may_share_a_log(log):
    def work(name: str) -> None:
        for at in range(40):
            asyncio.run(log.append([event(f"{name}{at}")]))
            assert log.head() > 0

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, "abcd"))
    assert len(await bodies(log)) == 160


def test_acknowledged_appends_survive_kill_9(path):
    program = textwrap.dedent("""
        import asyncio, sys
        from pathlib import Path
        from teller.ports import Event
        from teller.stores.sqlite_log import SqliteLog
        async def main():
            log = SqliteLog(Path(sys.argv[1]))
            for at in range(100_000):
                seqs = await asyncio.gather(*(log.append([Event("put", f"{at}-{n}".encode(), 0.0)]) for n in range(4)))
                print(at, flush=True)
        asyncio.run(main())
    """)
    writers = [
        subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    acknowledged = []
    for writer in writers:
        acknowledged.append([int(writer.stdout.readline()) for _ in range(100)][-1])
    for writer in writers:
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
    log = SqliteLog(path)
    found = asyncio.run(bodies(log))
    for n in range(4):
        for at in range(min(acknowledged) + 1):
            assert found.count(f"{at}-{n}") == 2
    log.check()
    log.close()


async def test_a_full_disk_keeps_the_log_as_it_was(log):
    await log.append([event("a")])
    pages = log._writer.execute("PRAGMA page_count").fetchone()[0]
    log._writer.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match="full"):
        await log.append([event("b" * 100_000)])
    log._writer.execute("PRAGMA max_page_count = 1000000")
    await log.append([event("c")])
    assert await bodies(log) == ["a", "c"]


def test_a_file_that_is_no_database_is_refused_and_left(path):
    path.parent.mkdir()
    path.write_bytes(b"not a database at all " * 100)
    with pytest.raises(StoreCorrupt, match="left as it is"):
        SqliteLog(path)
    assert path.read_bytes() == b"not a database at all " * 100


@pytest.mark.parametrize("mode", ["delete", "wal", "killed in wal"])
def test_another_programs_database_is_refused_and_stays_byte_for_byte_as_it_was(tmp_path, path, mode):
    away = tmp_path / "away.sqlite"
    other = sqlite3.connect(away)
    other.execute(f"PRAGMA journal_mode = {mode.split()[-1]}")
    other.execute("CREATE TABLE theirs (a)")
    other.execute("INSERT INTO theirs VALUES (1)")
    other.commit()
    if mode != "killed in wal":
        other.close()
    path.parent.mkdir(exist_ok=True)
    for suffix in ("", "-wal"):  # what a kill leaves behind
        if away.with_name(away.name + suffix).exists():
            shutil.copyfile(away.with_name(away.name + suffix), path.with_name(path.name + suffix))
    other.close()
    before = {one.name: one.read_bytes() for one in path.parent.glob(f"{path.name}*")}

    with pytest.raises(StoreCorrupt, match="another program"):
        SqliteLog(path)

    after = {one.name: one.read_bytes() for one in path.parent.glob(f"{path.name}*") if not one.name.endswith("-shm")}
    assert after == before
    with sqlite3.connect(path) as theirs:
        assert theirs.execute("SELECT a FROM theirs").fetchall() == [(1,)]
    theirs.close()


def test_a_log_of_the_format_before_opens_and_older_programs_are_told(path):
    SqliteLog(path).close()
    with sqlite3.connect(path) as older:
        older.execute("PRAGMA user_version = 1")
    older.close()
    SqliteLog(path).close()
    with sqlite3.connect(path) as now:
        assert now.execute("PRAGMA user_version").fetchone() == (2,)
    now.close()


def test_a_log_from_a_newer_version_is_refused(path):
    SqliteLog(path).close()
    with sqlite3.connect(path) as newer:
        newer.execute("PRAGMA user_version = 9")
    newer.close()
    with pytest.raises(StoreError, match="format 9"):
        SqliteLog(path)


async def test_a_changed_byte_is_noticed(log, path):
    await log.append([event("a"), event("b")])
    log.close()
    with sqlite3.connect(path) as other:
        other.execute("UPDATE event SET body = x'00' WHERE seq = 2")
    other.close()
    again = SqliteLog(path)
    with pytest.raises(StoreCorrupt, match="event 2"):
        await again.read(0)
    with pytest.raises(StoreCorrupt, match="event 2"):
        again.check()
    again.close()


async def test_a_torn_database_is_reported_and_not_overwritten(log, path):
    await log.append([event("x" * 5_000) for _ in range(200)])
    log.close()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] + b"\xff" * 4096 + whole[len(whole) // 2 + 4096 :])
    again = SqliteLog(path)
    with pytest.raises(StoreCorrupt):
        again.check()
    again.close()


async def test_a_closed_log_takes_no_more(log):
    log.close()
    with pytest.raises(StoreError, match="closed"):
        await log.append([event("a")])


async def test_a_folder_that_cannot_be_made_is_a_store_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError):
        SqliteLog(tmp_path / "file" / "log.sqlite")
