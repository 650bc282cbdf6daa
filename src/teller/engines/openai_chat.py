"""Any server with OpenAI's chat protocol through OpenAI's SDK: vLLM with LoRA adapters, llama.cpp, a gateway."""

from __future__ import annotations

import importlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any
from urllib.parse import urlsplit

from teller.errors import ConfigError, EngineError, EngineUnavailable
from teller.ports import Prompt
from teller.streams import Limits, Part, passing, refused, whole_answer

_LIMITS = Limits()
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class OpenAiChat:
    """Generator at an OpenAI-compatible server: temperature 0, streamed. Prompts are not logged here.

    An adapter is asked for as the model, as vLLM serves it. Servers are known to answer with the base model when they
    do not know a name, so every part of an answer must name the model that was asked for.

    Args:
        model: name of the base model as the server knows it.
        base_url: address with the version, as in "http://127.0.0.1:8000/v1".
        api_key: may be missing only for a server on this machine.
        max_tokens: longest answer; one that is longer is an error, not half an answer.
        limits: waits and attempts.

    Raises:
        ConfigError: if the address is none.
        EngineUnavailable: if the SDK or the key is missing.
    """

    def __init__(
        self,
        *,
        model: str,
        base_url: str,
        api_key: str | None,
        max_tokens: int = 400,
        limits: Limits = _LIMITS,
    ) -> None:
        address = urlsplit(base_url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ConfigError(f"the generator's address is like http://127.0.0.1:8000/v1, got {base_url!r}")
        if not api_key and address.hostname not in _LOOPBACK:
            raise EngineUnavailable(f"{address.hostname} needs a key: set TELLER_OPENAI_API_KEY")
        try:
            self._sdk: Any = importlib.import_module("openai")
        except ImportError as exc:
            raise EngineUnavailable("the OpenAI SDK is missing: pip install 'teller[openai]'") from exc
        self.name = f"openai-chat-{model}"
        self._model = model
        self._max_tokens = max_tokens
        self._limits = limits
        self._server = address.hostname
        self._client: Any = self._sdk.AsyncOpenAI(base_url=base_url, api_key=api_key or "none", max_retries=0)

    def generate(self, prompt: Prompt, *, adapter: str | None = None) -> AsyncIterator[str]:
        """As `Generator.generate`; EngineError too if another model answers than was asked."""
        return whole_answer(lambda: self._ask(prompt, adapter or self._model), self._limits, self._server)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _ask(self, prompt: Prompt, model: str) -> AsyncGenerator[Part, None]:
        messages = [{"role": message.role, "content": message.content} for message in prompt.messages]
        sdk = self._sdk
        try:
            stream = await self._client.chat.completions.create(
                model=model, messages=messages, temperature=0, max_tokens=self._max_tokens, stream=True
            )
            async with stream:
                async for chunk in stream:
                    if chunk.model != model:
                        raise EngineError(f"{self._server} answered with model {chunk.model!r}, asked was {model!r}")
                    for choice in chunk.choices:
                        yield Part(choice.delta.content or "", choice.finish_reason or "")
        except sdk.APIStatusError as exc:
            raise refused(self._server, exc.status_code) from exc
        except sdk.APIConnectionError as exc:
            raise passing(f"{self._server} cannot be reached, or the connection broke") from exc
        except (sdk.OpenAIError, ValueError, TypeError, AttributeError) as exc:  # not JSON, or not of the schema
            raise EngineError(f"{self._server} sent what is no answer") from exc
