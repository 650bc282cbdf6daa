"""What every CacheLog keeps."""

from collections.abc import Iterator

import pytest

from teller.cache.sealed import SealedLog
from teller.engines.scripted import ScriptedLog
from teller.errors import BusyError
from teller.ports import CacheLog, Event
from teller.stores.cipher import AesGcm
from teller.stores.sqlite_log import SqliteLog


@pytest.fixture(params=["scripted", "sqlite", "sealed"])
def log(request: pytest.FixtureRequest, tmp_path) -> Iterator[CacheLog]:
    if request.param == "scripted":
        yield ScriptedLog()
        return
    log = SqliteLog(tmp_path / "log.sqlite")
    yield log if request.param == "sqlite" else SealedLog(log, AesGcm(bytes(32)))
    log.close()


def events(*bodies: str) -> list[Event]:
    return [Event("put", body.encode(), at) for at, body in enumerate(bodies)]


async def test_a_new_log_is_at_zero(log):
    assert log.head() == 0
    assert await log.read(0) == []


async def test_events_come_back_as_they_were_written_numbered_from_one(log):
    assert await log.append(events("a", "b\0\xff")) == 2
    assert log.head() == 2
    assert await log.read(0) == [Event("put", b"a", 0.0, 1), Event("put", "b\0\xff".encode(), 1.0, 2)]


async def test_reading_goes_on_after_a_number_and_keeps_to_the_limit(log):
    await log.append(events(*"abcdef"))
    assert [event.seq for event in await log.read(2, 3)] == [3, 4, 5]
    assert await log.read(6) == []


async def test_forgotten_events_are_left_out_and_the_head_stays(log):
    await log.append(events(*"abcd"))
    assert await log.append(events("e"), forget=[2, 4, 99]) == 5
    assert [(event.seq, event.body) for event in await log.read(0)] == [(1, b"a"), (3, b"c"), (5, b"e")]
    assert await log.append([], forget=[5]) == 5
    assert log.head() == 5


async def test_an_append_may_depend_on_the_head(log):
    await log.append(events("a"))
    assert await log.append(events("b"), only_at=1) == 2
    with pytest.raises(BusyError):
        await log.append(events("c"), only_at=1, forget=[1])
    assert [event.body for event in await log.read(0)] == [b"a", b"b"]


async def test_appending_nothing_changes_nothing(log):
    await log.append(events("a"))
    assert await log.append([]) == 1
