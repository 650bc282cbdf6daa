"""LoRA adapters on a vLLM server, loaded and unloaded while it answers; what is said comes through `openai_chat.py`.

vLLM (0.32) answers 200 for adapters that it then applies in part, with a wrong scale or not at all, and does not notice
another base model; one with NaN spoils the key-value cache, and with it the answers of everybody else, also after it is
unloaded. So the folder is checked here first, and afterwards the server's own list and one answer. It keeps prompts by
adapter name and path, also after an unload: a name is only ever loaded from one folder, and never in place.

What cannot be mended here: on a CPU, vLLM 0.32 gives requests for the base model the adapter in its last slot when both
are in one batch (its PyTorch kernels take the index -1 for "the last"), and an unload frees no slot. On a CPU, start it
with more `--max-loras` than there will be loads; `make test-vllm` does.

The administration calls go through OpenAI's SDK, for whoever speaks to vLLM has it for the answers: the same key, the
same connections, and requests that end when their caller does.
"""

from __future__ import annotations

import asyncio
import importlib
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from teller.adapters.manifest import NAME, digest_of
from teller.adapters.tensors import tensor_digests
from teller.adapters.weights import BaseShapes, check_folder
from teller.errors import ConfigError, EngineError, EngineTimeout, EngineUnavailable, InputError
from teller.ports import Fingerprint
from teller.streams import passing, refused

_SERVED = re.compile(NAME.pattern + "@[0-9a-f]{12}")
_FINGERPRINT_TOKENS = 8
_PROBE = "What can you do for me?"  # any question: only who answers it counts


@dataclass(frozen=True, slots=True)
class Waits:
    """Longest waits for one request, in seconds.

    Attributes:
        load_s: the first adapter of a server takes longest.
        unload_s: servers are known to hang here for ever.
        ask_s: for a list, or a few tokens.
    """

    load_s: float = 60.0
    unload_s: float = 10.0
    ask_s: float = 20.0


_WAITS = Waits()


class VllmHost:
    """AdapterHost for vLLM with `--enable-lora` and VLLM_ALLOW_RUNTIME_LORA_UPDATING=1; leave its resolvers off.

    Requests do not wait for one another: a hanging unload holds up nothing.

    Args:
        model: name of the base model as the server knows it (`--served-model-name`).
        base_url: address with the version, as in "http://127.0.0.1:8000/v1".
        api_key: may be None if the server wants none.
        base_folder: the weights that the server was started with, where they are on this machine too: they give the
            digest, and adapters for other shapes are refused.
        waits: time limits.

    Raises:
        ConfigError: if the address is none.
        EngineUnavailable: if the SDK is missing, or the folder has no weights.
    """

    def __init__(
        self,
        *,
        model: str,
        base_url: str,
        api_key: str | None,
        base_folder: Path | None = None,
        waits: Waits = _WAITS,
    ) -> None:
        try:
            address = urlsplit(base_url)
            self._server = f"{address.hostname}:{address.port}" if address.port else str(address.hostname)
        except ValueError as exc:
            raise ConfigError(f"the server's address {base_url!r} cannot be read: {exc}") from exc
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ConfigError(f"the server's address is like http://127.0.0.1:8000/v1, got {base_url!r}")
        try:
            self._sdk: Any = importlib.import_module("openai")
        except ImportError as exc:
            raise EngineUnavailable("the OpenAI SDK is missing: pip install 'teller[openai]'") from exc
        try:
            self._shapes = BaseShapes.read(base_folder) if base_folder else None
            self.base_digest = digest_of(tensor_digests(base_folder)) if base_folder else ""
        except InputError as exc:
            raise EngineUnavailable(f"the base model's folder cannot be read: {exc}") from exc
        self._model = model
        self._waits = waits
        self._client: Any = self._sdk.AsyncOpenAI(base_url=base_url, api_key=api_key or "none", max_retries=0)

    async def load(self, served: str, folder: Path) -> None:
        """As `AdapterHost.load`; the folder must be at the same path on the server's machine.

        Raises:
            InputError: if the name or the path is not as it must be, or the adapter is broken or does not fit.
            EngineError: if the server refuses, serves the name from another folder, or answers with another model.
            EngineTimeout: if it does not answer in time.
        """
        if not _SERVED.fullmatch(served):
            raise InputError(f"the name {served[:80]!r} is not like banking-lora@3f2a91c0b7de")
        if not folder.is_absolute():  # vLLM would take it for a name on a hub, and fetch that
            raise InputError(f"the folder of {served} is not an absolute path")
        if await self._is_listed(served, folder):
            return
        await asyncio.to_thread(check_folder, folder, base=self._shapes, base_digest=self.base_digest)
        try:
            await self._post("load_lora_adapter", {"lora_name": served, "lora_path": str(folder)}, self._waits.load_s)
            await self._verify(served, folder)
        except (EngineError, asyncio.CancelledError):
            with suppress(EngineError):
                await self.unload(served)
            raise

    async def unload(self, served: str) -> None:
        """As `AdapterHost.unload`; the server finishes the answers that it has begun."""
        try:
            await self._post("unload_lora_adapter", {"lora_name": served}, self._waits.unload_s)
        except _NotThere:
            return

    async def resident(self) -> tuple[str, ...]:
        """As `AdapterHost.resident`; adapters that the server was started with under other names are left out."""
        listed = await self._list()
        return tuple(sorted(one.id for one in listed if _SERVED.fullmatch(one.id) and one.parent == self._model))

    async def fingerprint(self, questions: Sequence[str], adapter: str | None = None) -> Fingerprint:
        """As `AdapterHost.fingerprint`; the token that ends an answer counts."""
        rows = await asyncio.gather(*(self._first_tokens(question, adapter) for question in questions))
        return Fingerprint(tuple(tokens for tokens, _ in rows), tuple(logprobs for _, logprobs in rows))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _verify(self, served: str, folder: Path) -> None:
        if not await self._is_listed(served, folder):
            raise EngineError(f"{self._server} said that it loaded {served}, and does not list it")
        await self._first_tokens(_PROBE, served)

    async def _is_listed(self, served: str, folder: Path) -> bool:
        """Whether the server has the version.

        Raises:
            EngineError: if it has the name beside another base model, or from another folder.
        """
        for one in await self._list():
            if one.id == served:
                if one.parent != self._model or one.root != str(folder):
                    raise EngineError(f"{self._server} serves {served} from another folder, or beside another model")
                return True
        return False

    async def _list(self) -> list[Any]:
        async with self._translated("list its models", self._waits.ask_s):
            listed = (await self._client.models.list()).data
            if self._model not in {one.id for one in listed}:
                raise EngineUnavailable(f"{self._server} does not serve the base model {self._model!r}")
            return [one for one in listed if getattr(one, "parent", None) and one.root]

    async def _post(self, what: str, body: dict[str, str], wait_s: float) -> None:
        """One administration call.

        Raises:
            _NotThere: if the server does not know the adapter, or the folder.
        """
        async with self._translated(f"{what.replace('_lora_', ' an ')} ({body['lora_name']})", wait_s):
            try:
                await self._client.post(f"/{what}", cast_to=str, body=body, options={"headers": {"Accept": "*/*"}})
            except self._sdk.APIStatusError as exc:
                if exc.status_code in (401, 403):
                    raise
                raise self._refusal(exc, body["lora_name"]) from exc

    def _refusal(self, exc: Any, served: str) -> EngineError:
        """What a refused administration call says; unlike a chat's, its body repeats no caller."""
        error = exc.body if isinstance(exc.body, dict) else {}
        told = str(error.get("message", ""))[:300]
        if exc.status_code == 404 and error.get("type") == "NotFoundError":
            return _NotThere(f"{self._server} does not find {served}: {told}")
        if exc.status_code == 404:
            return EngineUnavailable(
                f"{self._server} cannot change its adapters: start it with --enable-lora and "
                "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1"
            )
        return EngineError(f"{self._server} refused {served} (status {exc.status_code}): {told}")

    async def _first_tokens(self, question: str, adapter: str | None) -> tuple[tuple[str, ...], tuple[float, ...]]:
        asked = adapter or self._model
        async with self._translated(f"answer as {asked}", self._waits.ask_s):
            answer = await self._client.chat.completions.create(
                model=asked,
                messages=[{"role": "user", "content": question}],
                temperature=0,
                max_tokens=_FINGERPRINT_TOKENS,
                logprobs=True,
            )
            if answer.model != asked:
                raise EngineError(f"{self._server} answered with model {answer.model!r}, asked was {asked!r}")
            tokens = answer.choices[0].logprobs.content
            return tuple(one.token for one in tokens), tuple(float(one.logprob) for one in tokens)

    @asynccontextmanager
    async def _translated(self, doing: str, wait_s: float) -> AsyncIterator[None]:
        """A request within its time, its errors turned into ours."""
        sdk = self._sdk
        try:
            async with asyncio.timeout(wait_s):
                yield
        except (TimeoutError, sdk.APITimeoutError) as exc:
            raise EngineTimeout(f"{self._server} did not {doing} within {wait_s:g} s") from exc
        except sdk.APIStatusError as exc:
            raise refused(self._server, exc.status_code) from exc
        except sdk.APIConnectionError as exc:
            raise passing(f"{self._server} cannot be reached, or the connection broke: is vLLM up there?") from exc
        except (sdk.OpenAIError, ValueError, TypeError, AttributeError, IndexError) as exc:
            raise EngineError(f"{self._server} sent what is no answer") from exc


class _NotThere(EngineError):
    """The server knows no such adapter."""
