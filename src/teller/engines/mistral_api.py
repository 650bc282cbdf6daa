"""Mistral's own API through its SDK. Not here: a Mistral model on one's own server (`engines/openai_chat.py`)."""

from __future__ import annotations

import importlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from teller.errors import EngineError, EngineUnavailable
from teller.ports import Prompt
from teller.streams import Limits, Part, passing, refused, whole_answer

_LIMITS = Limits()


class MistralApi:
    """Generator at Mistral's API: temperature 0, streamed. Prompts are sent there; they are not logged here.

    Args:
        model: as Mistral names it, for instance "mistral-small-latest".
        api_key: of the Mistral account.
        server_url: another address that speaks the same protocol.
        max_tokens: longest answer; one that is longer is an error, not half an answer.
        limits: waits and attempts.

    Raises:
        EngineUnavailable: if the SDK or the key is missing.
    """

    def __init__(
        self,
        *,
        model: str,
        api_key: str | None,
        server_url: str = "https://api.mistral.ai",
        max_tokens: int = 400,
        limits: Limits = _LIMITS,
    ) -> None:
        if not api_key:
            raise EngineUnavailable("Mistral's API needs a key: set TELLER_MISTRAL_API_KEY")
        try:
            sdk = importlib.import_module("mistralai.client")
            self._errors = importlib.import_module("mistralai.client.errors")
            self._http = importlib.import_module("mistralai.client.sdk").httpx
            silent = importlib.import_module("mistralai.client.utils.logger").NoOpLogger()
        except ImportError as exc:
            raise EngineUnavailable("the Mistral SDK is missing: pip install 'teller[mistral]'") from exc
        self.name = f"mistral-api-{model}"
        self._model = model
        self._max_tokens = max_tokens
        self._limits = limits
        # Its debug log would hold prompts, so it gets none.
        self._client: Any = sdk.Mistral(api_key=api_key, server_url=server_url, debug_logger=silent)

    def generate(self, prompt: Prompt, *, adapter: str | None = None) -> AsyncIterator[str]:
        """As `Generator.generate`; an adapter is refused, because Mistral's API serves none of ours."""
        return whole_answer(lambda: self._ask(prompt, adapter), self._limits, "Mistral's API")

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.__aexit__(None, None, None)

    async def _ask(self, prompt: Prompt, adapter: str | None) -> AsyncGenerator[Part, None]:
        if adapter is not None:
            raise EngineError(f"Mistral's API does not serve adapter {adapter}: serve the model on vLLM")
        messages = [{"role": message.role, "content": message.content} for message in prompt.messages]
        try:
            stream = await self._client.chat.stream_async(
                model=self._model, messages=messages, temperature=0, max_tokens=self._max_tokens
            )
            async with stream:
                async for event in stream:
                    for choice in event.data.choices:
                        yield Part(_text(choice.delta.content), choice.finish_reason or "")
        except self._errors.MistralError as exc:
            raise refused("Mistral's API", exc.status_code) from exc
        except (self._http.HTTPError, self._errors.NoResponseError) as exc:
            raise passing("Mistral's API cannot be reached, or the connection broke") from exc
        except ValueError as exc:  # not JSON, or not of the schema
            raise EngineError("Mistral's API sent what is no answer") from exc


def _text(content: Any) -> str:
    """The words of a delta: text, or typed pieces of which only the text is said."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(piece.text for piece in content if getattr(piece, "type", "") == "text")
    return ""
