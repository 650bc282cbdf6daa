"""A language model in this process with LoRA adapters beside it: transformers and PEFT on a folder of weights.

One thread does all that touches the model, step by step: a step writes one token of every answer, and between two steps
adapters come and go. Which adapter is applied is said row by row in each forward pass; nothing is ever set on the model
as a whole, and nothing is merged into it. `writer.py` has the steps, `net.py` the model.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeVar

from teller.adapters.manifest import digest_of
from teller.adapters.tensors import tensor_digests
from teller.engines.peft_host.net import Net
from teller.engines.peft_host.writer import Request, Token, Writer
from teller.errors import EngineError, EngineTimeout, EngineUnavailable, InputError
from teller.ports import Fingerprint, Message, Prompt
from teller.streams import Limits, whole_answer

_FINGERPRINT_TOKENS = 8
_T = TypeVar("_T")
_LIMITS = Limits(first_s=10.0, stall_s=5.0, attempts=1)


class LocalModel:
    """Generator and AdapterHost in one: greedy, streamed, callers batched. Prompts are not logged.

    Loading takes the thread for as long as PEFT needs to put its modules in (some 50 ms for a small model): answers
    pause for so long, between two tokens, and are not changed.

    Args:
        folder: of the base model: configuration, tokenizer with a chat template, safetensors. Never a hub's name.
        max_new_tokens: longest answer; one that does not end is an error, not half an answer.
        device: "cpu" (in float32) or "cuda" (in bfloat16); unset: CUDA if there is one.
        limits: waits of a caller, for its place in the queue too.

    Raises:
        EngineUnavailable: if a package or the weights are missing, or the model is of another kind.
    """

    def __init__(
        self, folder: Path, *, max_new_tokens: int = 160, device: str | None = None, limits: Limits = _LIMITS
    ) -> None:
        self._net = Net(folder.resolve(), device)
        try:
            self.base_digest = digest_of(tensor_digests(folder.resolve()))
        except InputError as exc:
            raise EngineUnavailable(f"the weights in '{folder.name}' cannot be read: {exc}") from exc
        self.name = f"local-{folder.name}-{self.base_digest[:12]}"
        self._max_new_tokens = max_new_tokens
        self._limits = limits
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="local-model")
        self._writer = Writer(self._net, self._thread)

    def generate(self, prompt: Prompt, *, adapter: str | None = None) -> AsyncIterator[str]:
        """As `Generator.generate`; EngineError too if the adapter is not resident."""
        return whole_answer(
            lambda: self._ask(prompt.messages, adapter, self._max_new_tokens), self._limits, "the local model"
        )

    async def load(self, served: str, folder: Path) -> None:
        """As `AdapterHost.load`; a version that is on its way out stays.

        Raises:
            InputError: if the adapter is not LoRA alone, or PEFT would leave a matrix out or find one too many.
        """
        if served not in await self.resident():
            config, tensors = await asyncio.to_thread(self._net.read_adapter, folder)
            await self._on_thread(self._writer.load, served, config, tensors)

    async def unload(self, served: str) -> None:
        """As `AdapterHost.unload`; no answer begins on the version from now on."""
        gone: Future[None] = Future()
        await self._on_thread(self._writer.unload, served, gone)
        await asyncio.wrap_future(gone)

    async def resident(self) -> tuple[str, ...]:
        """As `AdapterHost.resident`."""
        return await self._on_thread(self._writer.resident)

    async def fingerprint(self, questions: Sequence[str], adapter: str | None = None) -> Fingerprint:
        """As `AdapterHost.fingerprint`; the token that ends an answer counts."""
        try:
            async with asyncio.timeout(self._limits.first_s + _FINGERPRINT_TOKENS * self._limits.stall_s):
                rows = await asyncio.gather(*(self._first_tokens(question, adapter) for question in questions))
        except TimeoutError as exc:
            raise EngineTimeout(f"the local model did not answer {len(questions)} questions in time") from exc
        return Fingerprint(
            tuple(tuple(one.token for one in row) for row in rows),
            tuple(tuple(one.logprob for one in row) for row in rows),
        )

    async def aclose(self) -> None:
        """End the thread; answers that are being written end with an error."""
        await self._on_thread(self._writer.close)
        self._thread.shutdown(wait=False)

    async def _first_tokens(self, question: str, adapter: str | None) -> list[Token]:
        asked = (Message("user", question),)
        async with aclosing(self._ask(asked, adapter, _FINGERPRINT_TOKENS)) as tokens:
            return [token async for token in tokens]

    async def _ask(self, messages: Sequence[Message], adapter: str | None, limit: int) -> AsyncGenerator[Token, None]:
        told: asyncio.Queue[Token | EngineError] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        request = Request(messages, adapter, limit, lambda what: loop.call_soon_threadsafe(told.put_nowait, what))
        await self._on_thread(self._writer.begin, request)
        try:
            while True:
                token = await told.get()
                if isinstance(token, EngineError):
                    raise token
                yield token
                if token.finish:
                    return
        finally:
            request.is_dropped = True

    async def _on_thread(self, do: Callable[..., _T], *args: Any) -> _T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, do, *args)
        except RuntimeError as exc:
            raise EngineError("the local model is closed") from exc
