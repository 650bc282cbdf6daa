from collections.abc import AsyncGenerator

import pytest

from teller.errors import ConfigError, EngineError, EngineUnavailable
from teller.streams import Limits, Part, passing, refused, whole_answer


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
