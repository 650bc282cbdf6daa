"""A scripted bot and a real server around it, on a free port of this machine."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError

from teller.audio import Pcm
from teller.call import Call, CallEvent, State
from teller.engines.scripted import ScriptedDetector
from teller.errors import InputError
from teller.server.draining import DrainingServer, make_server
from teller.server.limits import Lines, ServerLimits
from teller.server.serve import bound
from teller.telemetry import Telemetry
from teller.turn import (
    Answer,
    Done,
    Heard,
    MissReason,
    Question,
    Said,
    Scope,
    Sound,
    Source,
    Speech,
    Transcript,
    TurnEvent,
    TurnRecord,
)

NOTICE = "Hello, you are speaking to an automated assistant of Larkfield Bank. Calls may be recorded."
INVITATION = "Ask me about your account, cards, payments, loans or savings, or say 'a person' at any time."
Act = Callable[[str], Awaitable[None]]


@dataclass(frozen=True)
class Line:
    """What the bot does with one question."""

    answer: Answer
    act: Act | None = None  # awaited before the answer is given
    pieces: int = 2  # of sound, a tenth of a second each
    pause_s: float = 0.0  # between them
    redacted: tuple[str, ...] = ()
    heard: str = ""  # instead of the question
    miss_reason: MissReason | None = None
    timings_ms: Mapping[str, float] = field(default_factory=lambda: {"redact": 0.4, "cache": 3.2, "speak": 6.0})


def said(text: str) -> Answer:
    return Answer(text=text, source=Source.APPROVED, answer_id="test")


class ScriptedTurns:
    """Keeps the contract of `Orchestrator.turn`; an unknown question is answered with its own words."""

    def __init__(self, script: Mapping[str, Line]) -> None:
        self.heard: list[str] = []
        self.speech: list[Speech] = []
        self.said: list[str] = []  # outside turns
        self.line_s = 0.1  # sound of such a line
        self.running = 0
        self.broken_off = 0
        self._script = script

    async def say(self, text: str) -> AsyncIterator[Sound]:
        self.said.append(text)
        yield Sound(tone(self.line_s, pitch_hz=440.0))

    async def turn(self, heard: Transcript | Speech, call: Call, *, speak: bool = True) -> AsyncIterator[TurnEvent]:
        call.advance(CallEvent.ASKED)
        self.running += 1
        try:
            if isinstance(heard, Speech):
                self.speech.append(heard)
            text = heard.text if isinstance(heard, Transcript) else "(spoken)"
            self.heard.append(text)
            line = self._script.get(text) or Line(said(f"You asked: {text}"))
            question = Question(line.heard or text, redacted=line.redacted)
            yield Heard(question)
            if line.act:
                await line.act(text)
            call.advance(CallEvent.ANSWERED)
            yield Said(line.answer)
            for _ in range(line.pieces if speak else 0):
                await asyncio.sleep(line.pause_s)
                yield Sound(tone())
            call.advance(CallEvent.FINISHED)
            yield Done(_record(call, question, line))
        finally:
            self.running -= 1
            if call.state in (State.THINKING, State.SPEAKING):
                self.broken_off += 1
                call.advance(CallEvent.BARGED_IN)


def _record(call: Call, question: Question, line: Line) -> TurnRecord:
    return TurnRecord(
        turn_id=uuid.uuid4().hex,
        call_id=call.id,
        started_at=1.0,
        scope=call.scope,
        question=question,
        answer=line.answer,
        timings_ms=line.timings_ms,
        miss_reason=line.miss_reason,
        similarity=line.answer.evidence.similarity if line.answer.evidence else None,
    )


def tone(duration_s: float = 0.1, rate_hz: int = 22_050, pitch_hz: float = 220.0) -> Pcm:
    seconds = np.arange(round(duration_s * rate_hz)) / rate_hz
    return Pcm((6_000 * np.sin(2 * np.pi * pitch_hz * seconds)).astype(np.int16), rate_hz)


class StageBot:
    def __init__(self, script: Mapping[str, Line] | None = None, engines: Mapping[str, str] | None = None) -> None:
        self.orchestrator = ScriptedTurns(script or {})
        self.engines = engines or {"transcriber": "ok", "synthesizer": "ok"}
        self.calls: list[Call] = []

    def new_call(self, customer: str | None = None) -> Call:
        self.calls.append(Call(uuid.uuid4().hex, Scope("larkfield", "en-GB", customer)))
        return self.calls[-1]

    def greeting(self) -> tuple[str, str]:
        return NOTICE, INVITATION

    def open_detector(self) -> ScriptedDetector:
        return ScriptedDetector()

    def read_sound(self, data: bytes) -> Pcm:
        if not data.startswith(b"RIFF"):
            raise InputError("this is not a sound file")
        return Pcm.from_bytes(data[44:], 16_000)

    async def ready(self) -> Mapping[str, str]:
        return self.engines


@dataclass
class Stage:
    bot: StageBot
    server: DrainingServer
    port: int

    @property
    def lines(self) -> Lines:
        return self.server.config.app.state.lines

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def call(self, **options: Any) -> AsyncIterator[Caller]:
        async with connect(f"ws://127.0.0.1:{self.port}/ws", **options) as socket:
            caller = Caller(socket)
            await caller.until("state")
            yield caller


class Caller:
    """A client of the WebSocket."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.seen: list[dict[str, Any]] = []
        self.sound = b""

    async def say(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def until(self, kind: str, within_s: float = 10.0) -> dict[str, Any]:
        """Read up to the next message of this type; what comes before is kept in `seen` and `sound`."""
        async with asyncio.timeout(within_s):
            while True:
                message = await self.socket.recv()
                if isinstance(message, bytes):
                    self.sound += message
                    continue
                self.seen.append(json.loads(message))
                if self.seen[-1]["type"] == kind:
                    return self.seen[-1]

    async def close_code(self, within_s: float = 10.0) -> int | None:
        """Read to the end; what comes is kept."""
        with suppress(ConnectionClosedError):
            async with asyncio.timeout(within_s):
                async for message in self.socket:
                    if isinstance(message, bytes):
                        self.sound += message
                    else:
                        self.seen.append(json.loads(message))
        return self.socket.close_code

    def kinds(self) -> list[str]:
        return [message["type"] for message in self.seen]


async def eventually(fact: Callable[[], bool], within_s: float = 10.0) -> None:
    """Wait until something is so that no event tells of."""
    async with asyncio.timeout(within_s):
        while not fact():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@asynccontextmanager
async def stage(bot: StageBot | None = None, telemetry: Telemetry | None = None, **limits: Any) -> AsyncIterator[Stage]:
    """A running server; its limits are those of `ServerLimits`, where a test sets no others."""
    bot = bot or StageBot()
    with bound("127.0.0.1", 0) as listening:
        asked = ServerLimits(**{"requests_per_minute": 10_000} | limits)
        server = make_server(bot, asked, "127.0.0.1", 0, telemetry=telemetry)
        running = asyncio.create_task(server.serve(sockets=[listening]))
        await eventually(lambda: server.started)
        try:
            yield Stage(bot, server, listening.getsockname()[1])
        finally:
            server.should_exit = True
            async with asyncio.timeout(20):
                await running
