import asyncio

import pytest
from tests.cache.cache_stage import approved

from teller.cache.flight import Flights
from teller.errors import EngineError


class Making:
    def __init__(self, error=None):
        self.calls, self.cancelled, self.go, self.error = 0, False, asyncio.Event(), error

    async def __call__(self):
        self.calls += 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if self.error:
            raise self.error
        return approved()


async def soon():
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_asks_meanwhile_shares_and_who_asks_later_does_not():
    flights, making = Flights(), Making()
    waiting = [asyncio.ensure_future(flights.join("k", making)) for _ in range(10)]
    await soon()
    making.go.set()
    assert set(await asyncio.gather(*waiting)) == {approved()}
    assert (making.calls, len(flights)) == (1, 0)
    await flights.join("k", making)
    assert making.calls == 2


async def test_one_who_leaves_does_not_disturb_the_others():
    flights, making = Flights(), Making()
    first, second = (asyncio.ensure_future(flights.join("k", making)) for _ in range(2))
    await soon()
    first.cancel()
    await soon()
    making.go.set()
    assert await second == approved()
    assert not making.cancelled


async def test_the_last_one_to_leave_stops_the_making():
    flights, making = Flights(), Making()
    waiting = [asyncio.ensure_future(flights.join("k", making)) for _ in range(3)]
    await soon()
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await soon()
    assert making.cancelled
    assert len(flights) == 0


async def test_an_error_reaches_everyone_and_is_not_kept():
    flights, making = Flights(), Making(EngineError("away"))
    making.go.set()
    found = await asyncio.gather(*(flights.join("k", making) for _ in range(3)), return_exceptions=True)
    assert [type(one) for one in found] == [EngineError] * 3
    with pytest.raises(EngineError):
        await flights.join("k", making)
    assert making.calls == 2


async def test_other_keys_fly_apart():
    flights, making = Flights(), Making()
    making.go.set()
    await asyncio.gather(flights.join("a", making), flights.join("b", making))
    assert making.calls == 2
