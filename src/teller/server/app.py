"""The web application: the page, health, metrics, questions over HTTP, calls over WebSocket. No decisions.

`POST /api/ask` takes {"text": ...} as JSON, or a sound file; `/ws` is described in `messages.py` and `line.py`. Every
error has the one shape of `failures.py`. Questions come by a plain Starlette route: FastAPI's reading of parameters was
a third of what the server does for one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
from fastapi import FastAPI
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.websockets import WebSocket

from teller.audio import Pcm
from teller.call import Call
from teller.errors import BusyError, EngineError, TellerError
from teller.server.bot import Bot
from teller.server.calls import Calls, KeptCall, Sounds
from teller.server.failures import STATUS_CODES, failure_of, refusal, response_of
from teller.server.guard import SUBPROTOCOL, Guard
from teller.server.limits import Lines, RateLimit, ServerLimits, caller_key
from teller.server.line import ClosingTurn, Line
from teller.server.live import Live
from teller.server.messages import AskAnswer, parse_question
from teller.server.readings import of_lines
from teller.streams import within
from teller.telemetry import Telemetry
from teller.telemetry.trace_ids import CURRENT_TRACE, trace_id_of
from teller.turn import Done, Sound, Speech, Transcript, TurnRecord

CALL_HEADER = "Teller-Call"
_READ_S = 30.0  # longest wait for a request's body, and for a sound file to be read
_READY_S = 10.0  # longest wait for the engines' state
_SPEAK = dict.fromkeys(("1", "true", "t", "yes", "y", "on"), True) | dict.fromkeys(
    ("0", "false", "f", "no", "n", "off"), False
)
_STATIC = Path(__file__).parent / "static"
_LOOK = ("GET", "HEAD")  # monitors ask for the head alone


def make_app(bot: Bot, limits: ServerLimits, telemetry: Telemetry | None = None) -> FastAPI:
    """The application around a running bot, which it neither opens nor closes.

    `app.state.lines` tells how many calls run and drains them. Without `telemetry` there are neither metrics to
    scrape nor a live page.
    """
    lines, rate = Lines(limits.max_calls), RateLimit(limits.requests_per_minute)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await lines.drain(limits.drain_s)

    app = FastAPI(
        lifespan=lifespan,
        openapi_url=None,  # the generated documentation pages load scripts from elsewhere
        docs_url=None,
        redoc_url=None,
        # FastAPI's own would export exception messages, which may hold a caller's words
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.lines = lines
    routes = _Routes(bot, limits, lines, rate)
    app.add_route("/api/ask", routes.ask, methods=["POST"])
    app.add_api_route("/", routes.page, methods=[*_LOOK])
    app.add_api_route("/healthz", routes.healthz, methods=[*_LOOK])
    app.add_api_route("/readyz", routes.readyz, methods=[*_LOOK])
    app.add_api_route("/api/sounds/{name}", routes.sound, methods=["GET"])
    app.add_api_websocket_route("/ws", routes.call)
    app.mount("/static", StaticFiles(directory=_STATIC))
    app.add_exception_handler(TellerError, _on_error)
    app.add_exception_handler(HTTPException, _on_refusal)
    if telemetry is not None:
        telemetry.watch(of_lines(lines))
        app.add_api_route("/metrics", _Scrape(telemetry).metrics, methods=["GET"])
        live = Live(telemetry, lines, send_timeout_s=limits.send_timeout_s)
        app.add_api_route("/dashboard", live.page, methods=[*_LOOK])
        app.add_api_route("/api/live", live.stream, methods=["GET"])
    app.add_middleware(Guard, limits=limits, rate=rate, lines=lines)
    if limits.allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=limits.allowed_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", CALL_HEADER],
        )
    return app


class _Routes:
    def __init__(self, bot: Bot, limits: ServerLimits, lines: Lines, rate: RateLimit) -> None:
        self._bot = bot
        self._limits = limits
        self._lines = lines
        self._rate = rate
        self._calls = Calls(bot.new_call, limits)
        self._sounds = Sounds()

    async def page(self) -> FileResponse:
        return FileResponse(_STATIC / "index.html")

    async def healthz(self) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    async def readyz(self) -> JSONResponse:
        async with asyncio.timeout(_READY_S):
            engines = dict(await self._bot.ready())
        ready = not self._lines.stopping.is_set() and all(state == "ok" for state in engines.values())
        calls = {"active": self._lines.active, "free": self._lines.free}
        return JSONResponse({"ready": ready, "engines": engines, "calls": calls}, status_code=200 if ready else 503)

    async def ask(self, request: Request) -> Response:
        speak, kept = _is_to_be_spoken(request), self._kept_call(request)
        heard = await self._read_question(request)
        with self._lines.hold():
            kept = kept or self._calls.begin()
            CURRENT_TRACE.set(trace_id_of(kept.call.id))
            record, sound = await within(self._limits.max_turn_s, self._answer(heard, kept.call, speak=speak))
        url = f"/api/sounds/{self._sounds.keep(sound.to_wav())}" if sound else None
        return Response(AskAnswer.of(record, kept.token, url).to_json(), media_type="application/json")

    async def sound(self, name: str) -> Response:
        wav = self._sounds.get(name)
        if wav is None:
            raise HTTPException(404, "that sound is not here any more")
        return Response(wav, media_type="audio/wav")

    async def call(self, socket: WebSocket) -> None:
        try:
            with self._lines.hold():
                await socket.accept(SUBPROTOCOL if SUBPROTOCOL in socket.scope["subprotocols"] else None)
                caller = caller_key(socket.client.host if socket.client else None)
                await Line(socket, self._bot, self._limits, self._lines, lambda: self._rate.take(caller)).serve()
        except BusyError as exc:
            failure = failure_of(exc)
            self._lines.failures[failure.code] += 1
            await response_of(failure)(socket.scope, socket.receive, socket.send)

    def _kept_call(self, request: Request) -> KeptCall | None:
        token = request.headers.get(CALL_HEADER)
        if token is None:
            return None
        kept = self._calls.resume(token)
        if kept is None:
            raise HTTPException(404, f"that call has ended; ask without the header {CALL_HEADER} to begin a new one")
        return kept

    async def _read_question(self, request: Request) -> Transcript | Speech:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "application/json":
            return Transcript(parse_question(await self._read_body(request)))
        if not kind.startswith("audio/") and kind != "application/ogg":
            raise HTTPException(415, "send application/json or a sound file (audio/wav, audio/flac, audio/ogg)")
        body = await self._read_body(request)
        async with asyncio.timeout(_READ_S):
            pcm = await asyncio.to_thread(self._bot.read_sound, body)
        if pcm.duration_s > self._limits.max_audio_s:
            raise HTTPException(413, f"an utterance lasts at most {self._limits.max_audio_s:g} s")
        return Speech(pcm)

    async def _read_body(self, request: Request) -> bytes:
        try:
            return await within(_READ_S, _whole_body(request, self._limits.max_message_bytes))
        except TimeoutError:
            raise HTTPException(408, "the request came in too slowly") from None
        except ClientDisconnect:
            raise HTTPException(400, "the request broke off") from None

    async def _answer(self, heard: Transcript | Speech, call: Call, *, speak: bool) -> tuple[TurnRecord, Pcm | None]:
        sounds: list[Pcm] = []
        async with ClosingTurn(self._bot.orchestrator.turn(heard, call, speak=speak)) as events:
            async for event in events:
                match event:
                    case Sound(pcm):
                        sounds.append(pcm)
                    case Done(record):
                        return record, _joined(sounds)
        raise EngineError("the turn ended without an answer")


class _Scrape:
    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    async def metrics(self, request: Request) -> Response:
        body, content_type = await self._telemetry.scrape(request.headers.get("accept", ""))
        return Response(body, headers={"Content-Type": content_type})


async def _whole_body(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > limit:
            raise HTTPException(413, f"a request has at most {limit} bytes")
    return bytes(body)


def _is_to_be_spoken(request: Request) -> bool:
    if not request.scope["query_string"]:
        return False
    said = _SPEAK.get(request.query_params.get("speak", "false").lower())
    if said is None:
        raise HTTPException(400, "'speak' is neither true nor false")
    return said


def _joined(sounds: list[Pcm]) -> Pcm | None:
    return Pcm(np.concatenate([one.samples for one in sounds]), sounds[0].rate_hz) if sounds else None


async def _on_error(request: Request, error: Exception) -> Response:
    failure = failure_of(error)
    request.app.state.lines.failures[failure.code] += 1
    return response_of(failure)


async def _on_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    request.app.state.lines.failures[STATUS_CODES.get(error.status_code, "refused")] += 1
    return refusal(error.status_code, error.detail, headers=error.headers)
