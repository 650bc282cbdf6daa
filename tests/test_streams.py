import asyncio
from collections.abc import AsyncGenerator

import pytest

from teller.errors import ConfigError, EngineError, EngineUnavailable
from teller.streams import Limits, Part, passing, refused, whole_answer, within


async def pieces(ask, limits: Limits = Limits(first_s=9, stall_s=9)) -> list[str]:  # noqa: B008
    return [piece async for piece in whole_answer(ask, limits, "The server")]


async def test_an_answer_is_whole_only_if_it_says_that_it_stops():
    async def ask() -> AsyncGenerator[Part, None]:
        yield Part("The account ")
        yield Part("is free.", "stop")

    async def half() -> AsyncGenerator[Part, None]:
        yield Part("The account ")

    assert await pieces(ask) == ["The account ", "is free."]
    with pytest.raises(EngineError, match="The server ended its answer early: it broke off"):
        await pieces(half)


async def test_only_a_fault_that_may_pass_is_tried_again_and_only_before_the_first_words():
    asked = []

    async def late() -> AsyncGenerator[Part, None]:
        asked.append("late")
        yield Part("The account ")
        raise passing("reset")

    async def lasting() -> AsyncGenerator[Part, None]:
        asked.append("lasting")
        raise EngineError("bad request")
        yield

    for ask in (late, lasting):
        with pytest.raises(EngineError):
            await pieces(ask)
    assert asked == ["late", "lasting"]


@pytest.mark.parametrize(("status", "kind", "retryable"), [(401, EngineUnavailable, False), (503, EngineError, True)])
def test_a_status_becomes_the_error_that_says_what_to_do(status, kind, retryable):
    error = refused("The server", status)
    assert type(error) is kind
    assert error.retryable is retryable
    assert EngineError.retryable is False


@pytest.mark.parametrize("wrong", [{"first_s": 0}, {"stall_s": -1}, {"attempts": 0}])
def test_impossible_limits_are_refused(wrong):
    with pytest.raises(ConfigError):
        Limits(**wrong)


async def test_work_that_waits_for_nothing_is_done_without_a_timer_and_its_errors_come_through(monkeypatch):
    async def answer(text: str) -> str:
        if not text:
            raise ValueError("nothing was asked")
        return text.upper()

    monkeypatch.setattr("asyncio.timeout_at", None)
    assert await within(0.0, answer("now")) == "NOW"
    with pytest.raises(ValueError, match="nothing was asked"):
        await within(9, answer(""))


async def test_work_that_waits_goes_on_after_each_wait():
    async def answer() -> list[str]:
        said = []
        for word in ("in", "its", "own", "time"):
            await asyncio.sleep(0)
            said.append(await asyncio.create_task(asyncio.sleep(0.001, word)))
        with pytest.raises(KeyError):
            await asyncio.create_task(fails())
        return said

    async def fails() -> None:
        raise KeyError

    assert await within(9, answer()) == ["in", "its", "own", "time"]


async def test_work_that_waits_too_long_is_cancelled_and_may_tidy_up():
    tidied = []

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            tidied.append("yes")

    with pytest.raises(TimeoutError):
        await within(0.01, endless())
    assert tidied == ["yes"]


async def test_who_cancels_the_waiter_cancels_the_work():
    began, tidied = asyncio.Event(), []

    async def endless() -> None:
        try:
            began.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            tidied.append("yes")
            raise

    waiter = asyncio.create_task(within(9, endless()))
    await began.wait()
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert tidied == ["yes"]
