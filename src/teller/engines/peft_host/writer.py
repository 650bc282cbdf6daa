"""Answers of many callers written side by side, a token of each in every step. No model library here."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from teller.engines.peft_host.net import ROWS, Net
from teller.errors import EngineError
from teller.ports import Message
from teller.streams import Part


@dataclass(frozen=True, slots=True)
class Token(Part):
    """A token, as text alone, with its log-probability; `text` is what can be said since the one before."""

    token: str = ""
    logprob: float = 0.0


@dataclass(slots=True, eq=False)
class Request:
    """An answer: asked for, waiting for a row, written there. Only `is_dropped` is set by another thread."""

    messages: Sequence[Message]
    adapter: str | None
    limit: int  # of tokens
    tell: Callable[[Token | EngineError], object]
    is_dropped: bool = False
    length: int = 0  # tokens that the model has read
    written: list[int] = field(default_factory=list)
    told_from: int = 0  # the tokens from here on are decoded together, for the words before are part of their spelling
    told_to: int = 0


class Writer:
    """Writes the answers of all callers, a token of each in every step. Everything here runs on the model's thread."""

    def __init__(self, net: Net, thread: ThreadPoolExecutor) -> None:
        self._net = net
        self._thread = thread
        self._rows: list[Request | None] = [None] * ROWS
        self._waiting: deque[Request] = deque()
        self._leaving: dict[str, list[Future[None]]] = {}
        self._is_stepping = self._is_closed = False

    def resident(self) -> tuple[str, ...]:
        """Versions that answers may begin on, sorted."""
        return tuple(sorted(self._net.adapters.keys() - self._leaving.keys()))

    def load(self, served: str, config: Mapping[str, Any], tensors: Mapping[str, Any]) -> None:
        """Attach a version; one that is leaving stays. Raises InputError if it does not fit."""
        for gone in self._leaving.pop(served, []):  # it came back before it had gone
            _settle(gone)
        if served not in self._net.adapters:
            self._net.attach(served, config, tensors)

    def unload(self, served: str, gone: Future[None]) -> None:
        """Begin no more answers on a version; `gone` is told when those that use it are written."""
        if served not in self._net.adapters:
            _settle(gone)
            return
        self._leaving.setdefault(served, []).append(gone)
        self._let_go()

    def begin(self, request: Request) -> None:
        """Queue an answer."""
        if self._is_closed:
            self._tell(request, EngineError("the local model is closed"))
        elif request.adapter is not None and request.adapter not in self.resident():
            self._tell(request, EngineError(f"{request.adapter} is not resident: load it first"))
        else:
            self._waiting.append(request)
            self._go_on()

    def close(self) -> None:
        """End every answer with an error, and take no more."""
        self._is_closed = True
        self._fail("the local model was closed before the answer was whole", None)
        self._let_go()

    def _step(self) -> None:
        try:
            self._drop()
            self._admit()
            self._advance()
            self._let_go()
        except BaseException as exc:  # whatever it was: nobody may wait for an answer for ever
            self._fail("the local model failed", exc)
            raise
        finally:
            self._is_stepping = False
            self._go_on()

    def _go_on(self) -> None:
        """Have another step made, after what others want of the thread."""
        if not self._is_stepping and not self._is_closed and (self._waiting or any(self._rows)):
            self._is_stepping = True
            self._thread.submit(self._step)

    def _drop(self) -> None:
        """Forget the answers that nobody waits for any longer."""
        self._waiting = deque(request for request in self._waiting if not request.is_dropped)
        self._rows = [None if request and request.is_dropped else request for request in self._rows]

    def _admit(self) -> None:
        """Give the one that has waited longest a row, if one is free: one in each step, for the others wait for it."""
        if not self._waiting or None not in self._rows:
            return
        request, row = self._waiting.popleft(), self._rows.index(None)
        try:
            read = self._net.read(request.messages)
            request.length = len(read)
            request.limit = min(request.limit, self._net.context - len(read))
            chosen = self._net.begin(row, read, request.adapter)
        except EngineError as exc:
            self._tell(request, exc)
            return
        self._rows[row] = request
        self._write(row, request, *chosen)

    def _advance(self) -> None:
        writing = [(row, request) for row, request in enumerate(self._rows) if request]
        if not writing:
            return
        tokens = [request.written[-1] if request else 0 for request in self._rows]
        lengths = [request.length if request else 0 for request in self._rows]
        adapters = [request.adapter if request else None for request in self._rows]
        chosen = self._net.go_on(tokens, lengths, adapters)
        for row, request in writing:
            request.length += 1
            self._write(row, request, *chosen[row])

    def _write(self, row: int, request: Request, token: int, logprob: float) -> None:
        """Tell a token; the row is free again after the last."""
        if not math.isfinite(logprob):
            self._rows[row] = None
            self._tell(request, EngineError(f"{request.adapter or 'the base model'} gave numbers that are not finite"))
            return
        request.written.append(token)
        finish = "stop" if token in self._net.ends else "length" if len(request.written) >= request.limit else ""
        self._tell(request, Token(self._new_text(request, finish), finish, self._net.spell([token]), logprob))
        if finish:
            self._rows[row] = None

    def _new_text(self, request: Request, finish: str) -> str:
        """What can be said since the last time; half a character waits for its other half."""
        before = self._net.say(request.written[request.told_from : request.told_to])
        now = self._net.say(request.written[request.told_from :])
        if now.endswith("\ufffd") and not finish:
            return ""
        request.told_from, request.told_to = request.told_to, len(request.written)
        return now[len(before) :]

    def _let_go(self) -> None:
        """Detach the versions that leave and are used no longer."""
        used = {request.adapter for request in [*self._rows, *self._waiting] if request}
        for served in self._leaving.keys() - used:
            self._net.detach(served)
            for gone in self._leaving.pop(served):
                _settle(gone)

    def _fail(self, message: str, cause: BaseException | None) -> None:
        for request in [*self._rows, *self._waiting]:
            if request:
                error = EngineError(message)
                error.__cause__ = cause
                self._tell(request, error)
        self._rows, self._waiting = [None] * ROWS, deque()

    def _tell(self, request: Request, what: Token | EngineError) -> None:
        try:
            request.tell(what)
        except RuntimeError:  # its event loop is closed
            request.is_dropped = True


def _settle(gone: Future[None]) -> None:
    if gone.set_running_or_notify_cancel():
        gone.set_result(None)
