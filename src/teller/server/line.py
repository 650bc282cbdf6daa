"""One WebSocket: a call, at most one running turn, and the ear that listens.

The reader takes messages one by one; a turn runs beside it as a task of the same group. A new question or speech over
an answer cancels the turn, waits until it is gone, and only then goes on. Nothing is queued here: a turn sends its
sound as it comes, and a caller that does not read holds the turn up until `send_timeout_s` ends the call. When the
reader ends, for whatever reason, everything of the call ends with it.

Who speaks is told first, aloud, that a machine listens: hands-free at once, with what may be asked; with the button
before the first answer. A caller who cuts the notice short hears it before the next answer.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import suppress
from typing import Generic, TypeVar

from starlette.websockets import WebSocket, WebSocketDisconnect

from teller.audio import Pcm
from teller.call import CallEvent, State
from teller.endpointing import SpeechBegan, SpeechEnded
from teller.errors import TellerError
from teller.server.bot import Bot
from teller.server.ear import HeldEar, OpenEar
from teller.server.failures import Failure, failure_of
from teller.server.limits import Lines, ServerLimits
from teller.server.messages import (
    AnswerSaid,
    Ask,
    ErrorShown,
    ListenEnd,
    ListenStart,
    QuestionHeard,
    Ready,
    ServerMessage,
    SoundFollows,
    SpeechStarted,
    StateChanged,
    Stop,
    TurnDone,
    TurnStopped,
    parse,
)
from teller.telemetry.trace_ids import CURRENT_TRACE, trace_id_of
from teller.turn import Done, Heard, Said, Sound, Speech, Transcript, TurnEvent

_log = logging.getLogger("teller.server")
_T = TypeVar("_T")

_PIECE_BYTES = 16_384  # of sound in one message: a third of a second at 22 kHz, so that a stop takes effect soon
_CANCEL_S = 5.0  # an engine that has not given up by then is left behind; what it still says is dropped

_GREETING = 0  # stands for it where turns have their number

_NORMAL, _TOO_BIG, _FAILED, _RESTART = 1000, 1009, 1011, 1012  # RFC 6455 §7.4.1 and the IANA registry

_TOO_LONG = Failure("call_too_long", "the call has lasted as long as a call may; begin a new one")
_IDLE = Failure("call_idle", "nothing was said for a long time; begin a new call")
_STOPPING = Failure("server_stopping", "the server is restarting; call again in a moment", retryable=True)
_NOT_LISTENING = Failure("not_listening", "sound came in without listen_start; it was dropped")


class CallOver(Exception):
    """The call ends now.

    Attributes:
        close_code: of the WebSocket; None if the caller is gone.
        failure: told to the caller first.
    """

    def __init__(self, close_code: int | None = None, failure: Failure | None = None) -> None:
        super().__init__(close_code, failure)
        self.close_code = close_code
        self.failure = failure


class Line:
    """A connection that was let in.

    Args:
        allow: uses one request of the caller's rate; gives 0, or the seconds until one is free.
    """

    def __init__(
        self, socket: WebSocket, bot: Bot, limits: ServerLimits, lines: Lines, allow: Callable[[], float]
    ) -> None:
        self._socket = socket
        self._bot = bot
        self._limits = limits
        self._lines = lines
        self._allow = allow
        self._call = bot.new_call()
        self._ear: HeldEar | OpenEar | None = None
        self._is_deaf_told = False
        self._turn: asyncio.Task[None] | None = None
        self._number = 0  # of the newest turn
        self._live: int | None = None  # the turn that may still send
        self._sound: tuple[int, int] | None = None  # turn and rate of the sound that the caller was told of
        self._is_notice_due = True
        self._notice_ends_s = 0.0  # when it has been heard, on the monotonic clock; infinite while it is sent
        self._told = State.ENDED

    async def serve(self) -> None:
        """Run the call to its end; returns when nothing of it is left."""
        CURRENT_TRACE.set(trace_id_of(self._call.id))  # of this task and of those that it starts
        over = CallOver()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._watch())
                await self._send(Ready(greeting=" ".join(self._bot.greeting()), max_audio_s=self._limits.max_audio_s))
                await self._tell(State.LISTENING)
                await self._read(tasks)
        except* CallOver as group:
            over = _first(group)
        except* Exception as group:  # noqa: BLE001  the outermost edge
            over = CallOver(_FAILED, failure_of(group.exceptions[0]))
        finally:
            self._call.advance(CallEvent.HUNG_UP)
        await self._part(over)

    async def _watch(self) -> None:
        """End the call when it has lasted too long, or when the server stops and the running turn has had its time."""
        try:
            async with asyncio.timeout(self._limits.max_call_s):
                await self._lines.stopping.wait()
        except TimeoutError:
            raise CallOver(_NORMAL, _TOO_LONG) from None
        if self._turn is not None:
            await asyncio.wait([self._turn], timeout=self._limits.drain_s)
        raise CallOver(_RESTART, _STOPPING)

    async def _read(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            try:
                async with asyncio.timeout(self._limits.idle_timeout_s):
                    message = await self._socket.receive()
            except TimeoutError:
                if self._is_answering:
                    continue
                raise CallOver(_NORMAL, _IDLE) from None
            if message["type"] == "websocket.disconnect":
                raise CallOver
            data, text = message.get("bytes"), message.get("text") or ""
            if len(text.encode() if data is None else data) > self._limits.max_message_bytes:
                limit = self._limits.max_message_bytes
                raise CallOver(_TOO_BIG, Failure("too_large", f"a message has at most {limit} bytes", 413))
            if data is None:
                await self._take_text(text, tasks)
            else:
                await self._take_sound(data, tasks)

    async def _take_text(self, text: str, tasks: asyncio.TaskGroup) -> None:
        try:
            match parse(text):
                case Ask(text=question):
                    await self._ask(Transcript(question), tasks)
                case ListenStart(mode="hold"):
                    await self._silence()
                    self._ear = HeldEar(self._bot.open_detector(), self._limits.max_audio_s)
                case ListenStart():
                    self._ear = OpenEar(self._bot.open_detector(), self._limits.max_audio_s)
                    if self._is_notice_due and not self._is_answering:
                        self._live = _GREETING
                        self._turn = tasks.create_task(self._greet(_GREETING, *self._bot.greeting()))
                case ListenEnd():
                    ear, self._ear = self._ear, None
                    if isinstance(ear, HeldEar):
                        await self._ask(await asyncio.to_thread(ear.end), tasks)
                case Stop():
                    self._drop_half_heard()
                    await self._silence()
        except TellerError as exc:
            await self._fail(failure_of(exc))

    async def _take_sound(self, data: bytes, tasks: asyncio.TaskGroup) -> None:
        if self._ear is None:
            if not self._is_deaf_told:
                self._is_deaf_told = True
                await self._fail(_NOT_LISTENING)
            return
        self._is_deaf_told = False
        try:
            for event in self._ear.hear(data):
                match event:
                    case SpeechBegan():
                        await self._silence()
                        await self._send(SpeechStarted())
                    case SpeechEnded(speech=speech):
                        await self._ask(speech, tasks)
        except TellerError as exc:
            self._ear, self._is_deaf_told = None, True
            await self._fail(failure_of(exc))

    async def _ask(self, heard: Transcript | Speech, tasks: asyncio.TaskGroup) -> None:
        if wait_s := self._allow():
            message = f"too many questions; try again in {math.ceil(wait_s)} s"
            await self._fail(Failure("rate_limited", message, retryable=True))
            return
        await self._silence()
        self._number += 1
        self._live, self._sound = self._number, None
        self._turn = tasks.create_task(self._run_turn(self._number, heard))

    def _drop_half_heard(self) -> None:
        if isinstance(self._ear, OpenEar):
            self._ear.drop()
        else:
            self._ear = None

    @property
    def _is_answering(self) -> bool:
        return self._turn is not None and not self._turn.done()

    async def _silence(self) -> None:
        """Break the running turn off, if there is one, and wait until it is gone."""
        self._is_notice_due |= time.monotonic() < self._notice_ends_s
        self._notice_ends_s = 0.0
        turn, self._turn = self._turn, None
        if turn is None or turn.done():
            return
        stopped, self._live = self._live or _GREETING, None
        turn.cancel()
        _, left = await asyncio.wait([turn], timeout=_CANCEL_S)
        if left:
            _log.error("a turn did not end within %.0f s of its cancellation", _CANCEL_S)
        await self._send(TurnStopped(turn=stopped))
        await self._tell(self._call.state)

    async def _greet(self, number: int, notice: str, *lines: str) -> None:
        """Speak the notice, and lines after it, on behalf of the turn with this number."""
        self._is_notice_due, self._notice_ends_s = False, math.inf
        began_s = time.monotonic()
        self._notice_ends_s = began_s + await self._say(number, notice)
        for line in lines:
            await self._say(number, line)

    async def _say(self, number: int, line: str) -> float:
        """Speak a line of the greeting; gives how long it lasts, in seconds."""
        duration_s = 0.0
        async with ClosingTurn(self._bot.orchestrator.say(line)) as sounds:
            async for sound in sounds:
                duration_s += sound.pcm.duration_s
                await self._play(number, sound.pcm, of=_GREETING)
        return duration_s

    async def _run_turn(self, number: int, heard: Transcript | Speech) -> None:
        try:
            await self._tell(State.THINKING)
            async with (
                asyncio.timeout(self._limits.max_turn_s),
                ClosingTurn(self._bot.orchestrator.turn(heard, self._call)) as events,
            ):
                if self._is_notice_due and isinstance(heard, Speech):
                    await self._greet(number, self._bot.greeting()[0])
                async for event in events:
                    await self._show(number, event)
        except CallOver:
            raise
        except Exception as exc:  # noqa: BLE001  a turn that fails must not take the call with it
            failure = failure_of(exc)
            if number != self._live:
                return
            await self._fail(failure, turn=number)
            await self._send(TurnStopped(turn=number))
            await self._tell(self._call.state)

    async def _show(self, number: int, event: TurnEvent) -> None:
        if number != self._live:
            return
        match event:
            case Heard(question):
                await self._send(QuestionHeard.of(number, question))
            case Said(answer):
                await self._send(AnswerSaid.of(number, answer))
                await self._tell(State.SPEAKING)
            case Sound(pcm):
                await self._play(number, pcm, of=number)
            case Done(record):
                await self._send(TurnDone.of(number, record))
                await self._tell(self._call.state)

    async def _play(self, number: int, pcm: Pcm, *, of: int) -> None:
        """Send sound while a turn is live; `of` is whose sound it is."""
        if self._sound != (of, pcm.rate_hz):
            self._sound = (of, pcm.rate_hz)
            await self._send(SoundFollows(turn=of, rate_hz=pcm.rate_hz))
        data = pcm.samples.astype("<i2").tobytes()
        for start in range(0, len(data), _PIECE_BYTES):
            if number != self._live:
                return
            await self._send(data[start : start + _PIECE_BYTES])

    async def _tell(self, state: State) -> None:
        if state is not self._told:
            self._told = state
            await self._send(StateChanged(state=state))

    async def _fail(self, failure: Failure, *, turn: int | None = None) -> None:
        self._lines.failures[failure.code] += 1
        await self._send(ErrorShown(code=failure.code, message=failure.message, retryable=failure.retryable, turn=turn))

    async def _send(self, message: ServerMessage | bytes) -> None:
        """Send, or end the call if the caller is gone or does not read."""
        try:
            async with asyncio.timeout(self._limits.send_timeout_s):
                if isinstance(message, bytes):
                    await self._socket.send_bytes(message)
                else:
                    await self._socket.send_text(message.model_dump_json())
        except (TimeoutError, WebSocketDisconnect, RuntimeError):  # starlette: RuntimeError after a close
            raise CallOver from None

    async def _part(self, over: CallOver) -> None:
        if over.close_code is None:
            return
        with suppress(CallOver):
            if over.failure:
                await self._fail(over.failure)
            await self._tell(State.ENDED)
        with suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
            async with asyncio.timeout(self._limits.send_timeout_s):
                await self._socket.close(over.close_code)


class ClosingTurn(Generic[_T]):
    """Closes a turn's events when the block is left: at once, not when the garbage collector comes by."""

    def __init__(self, events: AsyncIterator[_T]) -> None:
        self._events = events

    async def __aenter__(self) -> AsyncIterator[_T]:
        return self._events

    async def __aexit__(self, *_: object) -> None:
        if isinstance(self._events, AsyncGenerator):
            await self._events.aclose()


def _first(group: BaseExceptionGroup[CallOver]) -> CallOver:
    for one in group.exceptions:
        if isinstance(one, CallOver):
            return one
        return _first(one)
    return CallOver()
