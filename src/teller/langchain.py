"""Teller's semantic cache for LangChain: an `LLMCache` whose hits have passed guards on values, negations and roles.

    from langchain_core.globals import set_llm_cache
    from teller.langchain import SemanticLLMCache

    set_llm_cache(SemanticLLMCache(Path("llm-cache")))

Kept are plain texts that answer one question: a prompt, or the last human message behind system messages. Never kept,
nor looked up: conversations with a history, prompts with personal data in them, tool calls, answers that were cut off.
Model and parameters (`llm_string`) and system messages are part of the partition: another temperature is another cache.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import threading
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from teller.cache.canonical import canonical_text
from teller.cache.events import PurgeBy
from teller.cache.judge import CertifiedJudge
from teller.cache.live_regions import LiveRegions
from teller.cache.partition import Basis
from teller.cache.rules import CacheRules
from teller.cache.semantic import CacheStore, SemanticCache
from teller.cache.verifier import verifier_for
from teller.engines.faiss_index import FaissIndex
from teller.engines.minilm import MiniLm
from teller.errors import EngineError, EngineUnavailable, InputError, StoreError
from teller.ports import Embedder
from teller.redaction import redact
from teller.stores.snapshots import FileSnapshots
from teller.stores.sqlite_log import SqliteLog
from teller.turn import Answer, DataClass, Hit, MissReason, Question, Scope, Source, Transcript
from teller.wiring import SystemClock

try:
    from langchain_core.caches import RETURN_VAL_TYPE, BaseCache
    from langchain_core.messages import AIMessage
    from langchain_core.outputs import ChatGeneration, Generation
except ImportError as exc:  # an extra of Teller
    raise EngineUnavailable("LangChain is missing: pip install 'teller[langchain]'") from exc

_log = logging.getLogger("teller.langchain")

_T = TypeVar("_T")
_TEND_EVERY = 256  # answers kept between two rounds of upkeep
_UNUSED = Basis("unused", "unused", "unused", "unused")  # every lookup and every offer brings its own
_CUT_OFF = ("length", "max_tokens", "content_filter")  # finish reasons of answers that are not whole


@dataclass(frozen=True, slots=True)
class _Asked:
    question: Question
    basis: Basis
    is_chat: bool


class SemanticLLMCache(BaseCache):
    """As `BaseCache`, over a semantic cache in a folder that several processes may share.

    An answer is given again where the judge finds it right with a probability of at least 1 - max_false_hits. That is
    the judge's word, not a certificate. The cache runs on a thread of its own, so sync and async calls may be mixed.
    A cache that fails costs a model call, never the answer: what went wrong is logged.

    Args:
        folder: of the log and snapshots; made if missing.
        max_false_hits: share of hits that may be wrong, 0 to 1.
        ttl_s: life of an answer in seconds.
        max_entries: more are evicted, least valuable first.
        locale: language and country of the answers.
        embedder: other than MiniLM.

    Raises:
        EngineUnavailable, StoreError: if embedder or log cannot be opened.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        max_false_hits: float = 0.01,
        ttl_s: float = 86_400.0,
        max_entries: int = 100_000,
        locale: str = "en-GB",
        embedder: Embedder | None = None,
    ) -> None:
        self._scope = Scope("langchain", locale)
        self._kept = 0
        self._stack = AsyncExitStack()
        rules = CacheRules(
            eligible=lambda question, _: MissReason.NOT_ELIGIBLE if question.redacted else None,
            ttl_s=dict.fromkeys(DataClass, ttl_s),
            max_entries=max_entries,
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="teller-llm-cache", daemon=True)
        self._thread.start()
        try:
            self._cache = self._wait(self._open(Path(folder), embedder, max_false_hits, rules))
        except BaseException:
            self.close()
            raise

    def lookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """As `BaseCache.lookup`."""
        return self._wait(self._look_up(prompt, llm_string))

    async def alookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """As `BaseCache.alookup`."""
        return await self._wrapped(self._look_up(prompt, llm_string))

    def update(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """As `BaseCache.update`."""
        self._wait(self._keep(prompt, llm_string, return_val))

    async def aupdate(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """As `BaseCache.aupdate`."""
        await self._wrapped(self._keep(prompt, llm_string, return_val))

    def clear(self, **kwargs: Any) -> None:  # noqa: ARG002  the interface's own
        """Remove every answer, in every process.

        Raises:
            StoreError: if that cannot be written.
        """
        self._wait(self._clear())

    async def aclear(self, **kwargs: Any) -> None:  # noqa: ARG002  the interface's own
        """As `clear`."""
        await self._wrapped(self._clear())

    def close(self) -> None:
        """Keep a snapshot and close the log; calling it again does nothing."""
        if self._loop.is_closed():
            return
        try:
            self._wait(self._stack.aclose())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def __enter__(self) -> SemanticLLMCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _wait(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _wrapped(self, work: Coroutine[Any, Any, _T]) -> _T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def _open(
        self, folder: Path, embedder: Embedder | None, max_false_hits: float, rules: CacheRules
    ) -> SemanticCache:
        regions = LiveRegions(max_false_hits=max_false_hits)
        embed = embedder or MiniLm(folder)
        judge = CertifiedJudge(regions, verifier=verifier_for(embed.name, embed.dim))
        log = SqliteLog(folder / "log.sqlite")
        self._stack.callback(log.close)
        store = CacheStore(
            log=log,
            make_index=lambda: FaissIndex(embed.dim),
            snapshots=FileSnapshots(folder / "snapshots"),
        )
        cache = SemanticCache(store, embed, judge, basis=lambda: _UNUSED, rules=rules, clock=SystemClock())
        await cache.open()
        self._stack.push_async_callback(cache.close)
        return cache

    async def _look_up(self, prompt: str, llm_string: str) -> list[Generation] | None:
        asked = _read(prompt, llm_string)
        if asked is None:
            return None
        try:
            found = await self._cache.lookup(asked.question, self._scope, basis=asked.basis)
        except (EngineError, StoreError) as exc:
            _log.warning("the semantic cache could not be asked: %s", exc)
            return None
        if not isinstance(found, Hit) or found.answer.evidence is None:
            return None
        if _differs_in_signs(asked.question.text, found.answer.evidence.matched):
            return None
        text = found.answer.text
        return [ChatGeneration(message=AIMessage(content=text)) if asked.is_chat else Generation(text=text)]

    async def _keep(self, prompt: str, llm_string: str, generations: RETURN_VAL_TYPE) -> None:
        asked, text = _read(prompt, llm_string), _whole_text(generations)
        if asked is None or not text.strip():
            return
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        answer = Answer(text, Source.APPROVED, f"text:{digest[:32]}")  # whoever sets the cache vouches for the model
        try:
            await self._cache.offer(asked.question, answer, self._scope, basis=asked.basis)
            self._kept += 1
            if self._kept % _TEND_EVERY == 0:
                await self._cache.upkeep.tend()
        except (EngineError, StoreError) as exc:
            _log.warning("an answer could not be kept: %s", exc)

    async def _clear(self) -> None:
        await self._cache.upkeep.purge(PurgeBy.TENANT, self._scope.tenant)


def _differs_in_signs(asked: str, matched: str) -> bool:
    """Whether two texts have the same words with other signs between them, as "a-b" and "a b"."""
    plain = [" ".join(text.split()).casefold().rstrip(" .!?") for text in (asked, matched)]
    return plain[0] != plain[1] and canonical_text(asked) == canonical_text(matched)


def _read(prompt: str, llm_string: str) -> _Asked | None:
    """The one question in a prompt and what its answer is made from; None if there is no such question."""
    try:
        messages = _messages(prompt)
        text, before = (prompt, "") if messages is None else _last_human(messages)
        question = redact(Transcript(text)).question
    except InputError:
        return None
    digests = [hashlib.sha256(part.encode("utf-8", "surrogatepass")).hexdigest() for part in (llm_string, before)]
    return _Asked(question, Basis(digests[0], digests[1], "langchain", "none"), messages is not None)


def _messages(prompt: str) -> list[Any] | None:
    """The messages of a chat model's prompt, which LangChain gives as JSON; None for another prompt."""
    if not prompt.startswith("["):
        return None
    try:
        found = json.loads(prompt)
    except (ValueError, RecursionError):
        return None
    return found if found and all(isinstance(one, dict) and one.get("lc") == 1 for one in found) else None


def _last_human(messages: Sequence[dict[str, Any]]) -> tuple[str, str]:
    """The text of the one human message, and the system messages before it.

    Raises:
        InputError: if there is a history, or something else than text.
    """
    fields = [message.get("kwargs", {}) for message in messages]
    roles = [one.get("type") for one in fields]
    if roles[-1] != "human" or set(roles[:-1]) - {"system"} or not isinstance(fields[-1].get("content"), str):
        raise InputError("not one question behind system messages")
    others = {name: value for name, value in fields[-1].items() if name != "content" and value}
    return fields[-1]["content"], json.dumps([fields[:-1], others], sort_keys=True)


def _whole_text(generations: RETURN_VAL_TYPE) -> str:
    """The text of the one generation, empty if there are more or it is more or less than whole text."""
    if len(generations) != 1:
        return ""
    generation = generations[0]
    about = dict(generation.generation_info or {})
    if isinstance(generation, ChatGeneration):
        message = generation.message
        about |= message.response_metadata
        calls = isinstance(message, AIMessage) and (message.tool_calls or message.invalid_tool_calls)
        if calls or not isinstance(message.content, str) or message.additional_kwargs:
            return ""
    if any(about.get(name) in _CUT_OFF for name in ("finish_reason", "stop_reason")):
        return ""
    return generation.text
