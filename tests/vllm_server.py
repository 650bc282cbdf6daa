"""A scripted vLLM with runtime LoRA: its addresses, bodies and error texts are those of 0.32, its words follow from the
bytes of an adapter's weights.

Like vLLM it does not look into an adapter, and finishes the answers that it has begun when their adapter is unloaded.
"""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

from teller.engines.openai_chat import OpenAiChat
from teller.engines.vllm_host import VllmHost, Waits
from teller.ports import Prompt
from teller.streams import Limits

_JSON = "application/json"


class ServedByVllm(VllmHost):
    """Both engines for one server, as AdapterHost and Generator; an async context manager."""

    def __init__(self, url: str, base_folder: Path, *, waits: Waits | None = None) -> None:
        super().__init__(
            model="base", base_url=url, api_key=None, base_folder=base_folder, waits=waits or Waits(ask_s=100)
        )
        self._chat = OpenAiChat(model="base", base_url=url, api_key=None, limits=Limits(first_s=100, stall_s=30))
        self.name = self._chat.name

    def generate(self, prompt: Prompt, *, adapter: str | None = None) -> AsyncIterator[str]:
        return self._chat.generate(prompt, adapter=adapter)

    async def __aenter__(self) -> "ServedByVllm":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._chat.aclose()
        await self.aclose()


class VllmServer:
    """Serves one base model; an async context manager.

    Attributes:
        calls: (path, body) of every request so far, in order.
        hanging: paths that never answer; `dying`: paths that close the connection; `deaf`: adapters are loaded with a
            200, and neither listed nor served; `blind`: they are listed, and answer as the base does.
        echo: the model that answers name, whatever was asked; None for the one that was asked.
        can_update: False for a server that was started without runtime updates.
    """

    def __init__(self, *, model: str = "base", key: str = "") -> None:
        self.model = model
        self.adapters: dict[str, str] = {}
        self.calls: list[tuple[str, dict]] = []
        self.hanging: set[str] = set()
        self.dying: set[str] = set()
        self.deaf = self.blind = False
        self.can_update = True
        self.echo: str | None = None
        self._key = key
        self._weights: dict[str, bytes] = {}
        self._tasks: set[asyncio.Task] = set()

    async def __aenter__(self) -> "VllmServer":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.current_task())
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
            fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
            body = json.loads(await reader.readexactly(int(fields.get("content-length", 0))) or b"{}")
            path = head[0].split()[1].removeprefix("/v1/")
            self.calls.append((path, body))
            if path in self.hanging:
                await asyncio.Event().wait()
            if path in self.dying:
                return
            if self._key and fields.get("authorization") != f"Bearer {self._key}":
                await _send(writer, 401, json.dumps({"error": "Unauthorized"}))
            elif path == "chat/completions":
                await self._chat(writer, body)
            else:
                await self._administer(writer, path, body)
        finally:
            writer.close()

    async def _administer(self, writer: asyncio.StreamWriter, path: str, body: dict) -> None:
        if path == "models":
            await _send(writer, 200, json.dumps({"object": "list", "data": self._list()}))
        elif path == "load_lora_adapter" and self.can_update:
            await self._load(writer, body)
        elif path == "unload_lora_adapter" and self.can_update:
            await self._unload(writer, body.get("lora_name", ""))
        else:
            await _send(writer, 404, json.dumps({"detail": "Not Found"}))

    def _list(self) -> list[dict]:
        rows = [(self.model, "/models/base", None), *((name, path, self.model) for name, path in self.adapters.items())]
        return [
            {"id": name, "object": "model", "created": 1, "owned_by": "vllm", "root": root, "parent": parent}
            for name, root, parent in rows
        ]

    async def _load(self, writer: asyncio.StreamWriter, body: dict) -> None:
        name, path = body.get("lora_name", ""), body.get("lora_path", "")
        if "lora_path" not in body:
            await _refuse(writer, 400, "1 validation error: Field required", "Bad Request", "body.lora_path")
        elif not name or not path:
            await _refuse(writer, 400, "Both 'lora_name' and 'lora_path' must be provided.", "InvalidUserInput")
        elif name == self.model:
            told = f"The lora adapter '{name}' conflicts with a served base model."
            await _refuse(writer, 400, told, "InvalidUserInput")
        elif name in self.adapters and not body.get("load_inplace"):
            told = (
                f"The lora adapter '{name}' has already been loaded. If you want to load the adapter in place, set "
                "'load_inplace' to True."
            )
            await _refuse(writer, 400, told, "InvalidUserInput")
        elif not (Path(path) / "adapter_config.json").is_file():
            await _refuse(writer, 404, f"Loading lora {name} failed: No adapter found for {path}", "NotFoundError")
        elif json.loads((Path(path) / "adapter_config.json").read_text())["r"] > 32:
            told = "Worker failed with error 'LoRA rank 64 is greater than max_lora_rank 32.'"
            await _refuse(writer, 500, f"Call to add_lora method failed: {told}", "InternalServerError")
        else:
            if not self.deaf:
                self.adapters[name] = path
                self._weights[name] = (Path(path) / "adapter_model.safetensors").read_bytes()
            await _send(writer, 200, f"Success: LoRA adapter '{name}' added successfully.", kind="")

    async def _unload(self, writer: asyncio.StreamWriter, name: str) -> None:
        if self.adapters.pop(name, None) is None:
            await _refuse(writer, 404, f"The lora adapter '{name}' cannot be found.", "NotFoundError")
        else:
            await _send(writer, 200, f"Success: LoRA adapter '{name}' removed successfully.", kind="")

    async def _chat(self, writer: asyncio.StreamWriter, body: dict) -> None:
        model = body["model"]
        if model != self.model and model not in self.adapters:
            told = f"The model `{model}` does not exist. Valid aliases: {self.model}."
            await _refuse(writer, 404, told, "NotFoundError", "model")
            return
        weights = b"" if model == self.model or self.blind else self._weights[model]
        drawn = hashlib.sha256(b"|".join([weights, body["messages"][-1]["content"].encode()])).digest()
        words = [f" w{byte % 97}" for byte in drawn[: min(12, body["max_tokens"])]]
        shared = {"id": "1", "created": 1, "model": self.echo or model}
        if body.get("stream"):
            await _stream(writer, shared, words)
            return
        logprobs = [
            {"token": word, "logprob": -byte / 100, "bytes": [*word.encode()], "top_logprobs": []}
            for word, byte in zip(words, drawn[12:], strict=False)
        ]
        message = {"role": "assistant", "content": "".join(words).strip()}
        choice = {"index": 0, "message": message, "logprobs": {"content": logprobs}, "finish_reason": "length"}
        await _send(writer, 200, json.dumps({**shared, "object": "chat.completion", "choices": [choice]}))


async def _stream(writer: asyncio.StreamWriter, shared: dict, words: list[str]) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
    for word, finish in [*((word, None) for word in words), ("", "stop")]:
        choice = {"index": 0, "delta": {"content": word}, "finish_reason": finish}
        event = {**shared, "object": "chat.completion.chunk", "choices": [choice]}
        writer.write(f"data: {json.dumps(event)}\n\n".encode())
        await writer.drain()
        await asyncio.sleep(0.001)
    writer.write(b"data: [DONE]\n\n")


async def _refuse(writer: asyncio.StreamWriter, status: int, told: str, kind: str, field: str | None = None) -> None:
    error = {"message": told, "type": kind, "param": field, "code": status}
    await _send(writer, status, json.dumps({"error": error}))


async def _send(writer: asyncio.StreamWriter, status: int, body: str, kind: str = _JSON) -> None:
    head = f"HTTP/1.1 {status} X\r\n" + (f"content-type: {kind}\r\n" if kind else "")
    writer.write(f"{head}content-length: {len(body.encode())}\r\nconnection: close\r\n\r\n{body}".encode())
    await writer.drain()
