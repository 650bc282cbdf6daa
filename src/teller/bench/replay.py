"""Replays a stream against a bot: callers side by side up to a limit, one caller's questions in their order."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

from teller.bench.traffic import Ask
from teller.call import Call
from teller.errors import BusyError, EngineError, InputError, TellerError
from teller.orchestrator import Orchestrator
from teller.turn import Done, Source, Transcript


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of one question.

    Attributes:
        ms: from asking to the answer, wall time.
        source: as `turn.Source`, "busy" if the server refused for load, "error" if it failed.
        pieces: what the generator streamed; 0 where it was not asked, None where nobody counted.
        model_called: whether a generator ran.
        wrong: whether the answer is another one than the label says; None without a label or an answer.
    """

    ms: float
    source: str
    model_called: bool = False
    pieces: int | None = 0
    wrong: bool | None = None

    @property
    def is_hit(self) -> bool:
        """Whether the cache answered."""
        return self.source == Source.CACHE


class Target(Protocol):
    """What questions are put to."""

    async def ask(self, ask: Ask) -> Reply:
        """Ask one question in its caller's call; does not raise for what a turn may meet."""
        ...


class InProcess:
    """A bot in this process; each caller has a call of their own."""

    def __init__(self, orchestrator: Orchestrator, new_call: Callable[[], Call]) -> None:
        self._orchestrator = orchestrator
        self._new_call = new_call
        self._calls: dict[str, Call] = {}

    async def ask(self, ask: Ask) -> Reply:
        """As `Target.ask`."""
        call = self._calls.setdefault(ask.caller, self._new_call())
        started = time.perf_counter()
        try:
            async for event in self._orchestrator.turn(Transcript(ask.question), call, speak=False):
                if isinstance(event, Done):
                    record = event.record
                    ms = (time.perf_counter() - started) * 1000
                    called = "generate" in record.timings_ms
                    wrong = _is_wrong(ask.label, record.answer.answer_id, record.answer.source)
                    return Reply(ms, record.answer.source, called, record.pieces, wrong)
        except TellerError as exc:
            return Reply((time.perf_counter() - started) * 1000, "busy" if isinstance(exc, BusyError) else "error")
        raise EngineError("a turn ended without its record")


class Served:
    """A running server, through POST /api/ask; closed with `close`.

    Args:
        url: as in "http://127.0.0.1:8080".
        token: bearer token, if it demands one.
        connections: most requests at once.

    Raises:
        InputError: if the address is none.
    """

    def __init__(self, url: str, *, token: str | None = None, connections: int = 64, timeout_s: float = 60.0) -> None:
        address = urlsplit(url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise InputError(f"a server's address is like http://127.0.0.1:8080, got {url!r}")
        connect = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
        host, port = address.hostname, address.port
        self._connect: Callable[[], http.client.HTTPConnection] = lambda: connect(host, port, timeout=timeout_s)
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="bench")
        self._calls: dict[str, str] = {}

    async def ask(self, ask: Ask) -> Reply:
        """As `Target.ask`."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._post, ask)

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown()

    def _post(self, ask: Ask) -> Reply:
        headers = dict(self._headers)
        if ask.caller in self._calls:
            headers["Teller-Call"] = self._calls[ask.caller]
        started = time.perf_counter()
        connection = self._connect()
        try:
            connection.request("POST", "/api/ask", json.dumps({"text": ask.question}).encode(), headers)
            response = connection.getresponse()
            body = response.read()
            ms = (time.perf_counter() - started) * 1000
            if response.status != 200:
                return Reply(ms, "busy" if response.status in (429, 503) else "error")
            turn: dict[str, Any] = json.loads(body)
            self._calls[ask.caller] = turn["call"]
            answer_id = next((one["id"] for one in turn["citations"]), "")
            wrong = _is_wrong(ask.label, answer_id, turn["source"])
            return Reply(ms, turn["source"], "generate" in turn["timings_ms"], None, wrong)
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
            return Reply((time.perf_counter() - started) * 1000, "error")
        finally:
            connection.close()


def _is_wrong(label: str, answer_id: str, source: str) -> bool | None:
    if not label or source in (Source.REFUSED, Source.HANDOFF, Source.TOOL):
        return None
    return answer_id != label


async def replay(
    stream: Sequence[Ask],
    target: Target,
    *,
    concurrency: int,
    speed: float = 0.0,
    told: Callable[[int], None] = lambda _: None,
) -> tuple[list[Reply], float]:
    """Put every question of a stream to a target; gives the replies in the stream's order, and the seconds it took.

    Args:
        stream: in order of time.
        target: what answers.
        concurrency: most questions at once.
        speed: how many times faster than their times questions are asked; 0 as fast as they are answered.
        told: hears how many are answered so far.
    """
    replies: list[Reply | None] = [None] * len(stream)
    of_caller: dict[str, list[int]] = defaultdict(list)
    for place, ask in enumerate(stream):
        of_caller[ask.caller].append(place)
    room = asyncio.Semaphore(concurrency)
    turns = {caller: asyncio.Lock() for caller in of_caller}
    started, done = time.perf_counter(), 0

    async def one(place: int) -> None:
        nonlocal done
        ask = stream[place]
        try:
            async with turns[ask.caller]:  # waiters come in turn
                replies[place] = await target.ask(ask)
        finally:
            room.release()
        done += 1
        told(done)

    async with asyncio.TaskGroup() as group:
        for place, ask in enumerate(stream):
            if speed and (early := ask.at / speed - (time.perf_counter() - started)) > 0:
                await asyncio.sleep(early)
            await room.acquire()
            group.create_task(one(place))
    return [reply for reply in replies if reply is not None], time.perf_counter() - started
