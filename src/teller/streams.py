"""Waits and streamed answers under time limits: what the engines that ask a server share. No network here.

A server can refuse, open and then say nothing, stall half-way, break off, or end in good order with half an answer.
Here each becomes one of our errors, in time; and a request is repeated only while nothing has been given on.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

from teller.errors import ConfigError, EngineError, EngineTimeout, EngineUnavailable

_T = TypeVar("_T")
_BACKOFF_S = 0.2
_TRY_LATER = frozenset({408, 409, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Part:
    """What one event of a stream says.

    Attributes:
        text: next piece of the answer; may be empty.
        finish: why the answer ends here ("stop", "length", ...), empty if it goes on.
    """

    text: str
    finish: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long to wait, and how often to ask.

    Attributes:
        first_s: longest wait for the first words.
        stall_s: longest silence after that.
        attempts: requests at most; only the first words decide, later faults are final.
    """

    first_s: float = 5.0
    stall_s: float = 3.0
    attempts: int = 2

    def __post_init__(self) -> None:
        if self.first_s <= 0 or self.stall_s <= 0 or self.attempts < 1:
            raise ConfigError(f"waits are above 0 s and attempts at least 1, got {self}")


async def within(seconds: float, work: Coroutine[Any, Any, _T]) -> _T:
    """What a coroutine returns; a timer is set only once it waits for something, and most that serve a hit never do.

    Raises:
        TimeoutError: if it waits until `seconds` after its beginning; it is cancelled then.
    """
    until = asyncio.get_running_loop().time() + seconds
    try:
        waits_for = work.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    async with asyncio.timeout_at(until):
        return await _go_on(work, waits_for)


@types.coroutine
def _go_on(work: Coroutine[Any, Any, _T], waits_for: Any) -> Generator[Any, Any, _T]:
    """The rest of a coroutine that has come to its first wait."""
    while True:
        resume: Callable[[Any], Any]
        try:
            resume, given = work.send, (yield waits_for)
        except BaseException as exc:  # noqa: BLE001  the coroutine's own, a cancellation above all
            resume, given = work.throw, exc
        try:
            waits_for = resume(given)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]


async def whole_answer(
    ask: Callable[[], AsyncGenerator[Part, None]], limits: Limits, server: str
) -> AsyncIterator[str]:
    """The text of an answer, piece by piece; ends without an error only if the answer is whole.

    Args:
        ask: opens the stream; raises EngineError, marked retryable if asking again may help.
        limits: waits and attempts.
        server: what to call the server in messages.

    Raises:
        EngineTimeout: if nothing comes in time; a request that timed out is not repeated.
        EngineError: if the server fails, breaks off, or ends the answer early or empty.
    """
    for attempt in range(1, limits.attempts + 1):
        begun = False
        try:
            async with aclosing(_timed(ask, limits, server)) as pieces:
                async for piece in pieces:
                    begun = True
                    yield piece
        except EngineError as exc:
            if begun or attempt == limits.attempts or not exc.retryable or isinstance(exc, EngineTimeout):
                raise
        else:
            return
        await asyncio.sleep(_BACKOFF_S * attempt)


async def _timed(
    ask: Callable[[], AsyncGenerator[Part, None]], limits: Limits, server: str
) -> AsyncGenerator[str, None]:
    wait_s, awaited, said, finish = limits.first_s, "its first words", False, ""
    async with aclosing(ask()) as parts:
        while True:
            try:
                async with asyncio.timeout(wait_s):
                    part = await _next_telling(parts)
            except TimeoutError as exc:
                raise EngineTimeout(f"{server} did not give {awaited} within {wait_s:g} s") from exc
            if part is None:
                break
            finish = part.finish or finish
            if part.text:
                yield part.text
                wait_s, awaited, said = limits.stall_s, "more of its answer", True
    if finish != "stop":
        raise EngineError(f"{server} ended its answer early: {finish or 'it broke off'}")
    if not said:
        raise EngineError(f"{server} gave an empty answer")


async def _next_telling(parts: AsyncGenerator[Part, None]) -> Part | None:
    """The next part that says something: empty ones do not count as signs of life."""
    async for part in parts:
        if part.text or part.finish:
            return part
    return None


def refused(server: str, status: int) -> EngineError:
    """The error for an HTTP status, without the body, which may repeat what was asked."""
    if status in (401, 403):
        return EngineUnavailable(f"{server} refused the key (status {status}): set one that may use this model")
    if status == 404:
        return EngineUnavailable(f"{server} does not serve this model (status 404): check its name and the address")
    if status in _TRY_LATER:
        return passing(f"{server} cannot answer now (status {status})")
    return EngineError(f"{server} did not accept the request (status {status})")


def passing(message: str) -> EngineError:
    """An error of a kind that may be over when asked again."""
    error = EngineError(message)
    error.retryable = True
    return error
