"""A server of the chat protocol for tests: each request is answered by the next turn of a script."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence

Turn = Callable[[asyncio.StreamWriter], Awaitable[None]]


class ChatServer:
    """Answers `POST /v1/chat/completions` turn by turn; keeps what it was asked."""

    def __init__(self, *script: Turn) -> None:
        self.requests: list[dict] = []
        self.headers: list[str] = []
        self.asked, self.hung_up = asyncio.Event(), asyncio.Event()
        self._script = list(script)
        self._tasks: set[asyncio.Task] = set()

    async def __aenter__(self) -> "ChatServer":
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.current_task())
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(int(line[15:]) for line in head.splitlines() if line.lower().startswith("content-length:"))
        self.headers.append(head)
        self.requests.append(json.loads(await reader.readexactly(length)))
        self.asked.set()
        turn = asyncio.ensure_future(self._script.pop(0)(writer))
        gone = asyncio.ensure_future(reader.read())
        try:
            await asyncio.wait([turn, gone], return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                self.hung_up.set()
        finally:
            turn.cancel()
            gone.cancel()
            writer.close()


def chunk(text: str | None = None, *, model: str = "base", finish: str | None = None, role: str | None = None) -> bytes:
    """One server-sent event of a chat answer."""
    delta = {key: value for key, value in (("role", role), ("content", text)) if value is not None}
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    body = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": model, "choices": choices}
    return event(json.dumps(body))


def event(data: str) -> bytes:
    """One server-sent event."""
    return f"data: {data}\n\n".encode()


def answer(*texts: str, model: str = "base", finish: str = "stop") -> Iterator[bytes]:
    """The events of a whole answer, as vLLM and Mistral send them."""
    yield chunk("", model=model, role="assistant")
    for text in texts:
        yield chunk(text, model=model)
    yield chunk("", model=model, finish=finish)
    yield event("[DONE]")


def stream(events: Sequence[bytes] | Iterator[bytes], *, then: str = "end") -> Turn:
    """Send events; then end in good order, "cut" the connection, or "stall" until the client goes."""

    async def turn(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for data in events:
            writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            await writer.drain()
        if then == "end":
            writer.write(b"0\r\n\r\n")
        elif then == "stall":
            await asyncio.Event().wait()

    return turn


def status(code: int, body: str = '{"error": {"message": "no", "type": "t", "param": null, "code": null}}') -> Turn:
    """Answer with a status and a body."""

    async def turn(writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 {code} X\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write((head + body).encode())

    return turn


async def silence(_: asyncio.StreamWriter) -> None:
    """Accept the request and say nothing, until the client goes."""
    await asyncio.Event().wait()


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """Close the connection without an answer."""
    writer.close()
