"""Calls over HTTP: each known to its caller by an opaque token, kept between questions, forgotten when idle.

Everything here is bounded, in number and in time.
"""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from teller.call import Call, CallEvent, State
from teller.server.limits import ServerLimits

_MAX_KEPT = 1_000  # calls between two questions; the longest unused is forgotten first
_MAX_SOUNDS = 32


@dataclass(slots=True)
class KeptCall:
    """A call between its questions."""

    token: str
    call: Call
    begun_s: float
    used_s: float


class Calls:
    """The calls that may go on.

    Args:
        now: seconds that never go back.
    """

    def __init__(
        self, new_call: Callable[[], Call], limits: ServerLimits, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._new_call = new_call
        self._now = now
        self._limits = limits
        self._kept: OrderedDict[str, KeptCall] = OrderedDict()  # longest unused first

    def __len__(self) -> int:
        return len(self._kept)

    def begin(self) -> KeptCall:
        """Begin a call."""
        now = self._now()
        self._forget_idle(now)
        kept = KeptCall(secrets.token_urlsafe(24), self._new_call(), now, now)
        self._kept[kept.token] = kept
        if len(self._kept) > _MAX_KEPT:
            self._end(next(iter(self._kept)))
        return kept

    def resume(self, token: str) -> KeptCall | None:
        """The call with this token; None if there is none, or it was idle or has lasted for too long."""
        now = self._now()
        self._forget_idle(now)
        kept = self._kept.get(token)
        if kept is None:
            return None
        if now - kept.begun_s > self._limits.max_call_s:
            self._end(token)
            return None
        kept.used_s = now
        self._kept.move_to_end(token)
        return kept

    def _forget_idle(self, now: float) -> None:
        while self._kept:
            token, kept = next(iter(self._kept.items()))
            if now - kept.used_s <= self._limits.idle_timeout_s:
                return
            self._end(token)

    def _end(self, token: str) -> None:
        call = self._kept.pop(token).call
        if call.state is not State.ENDED:
            call.advance(CallEvent.HUNG_UP)


class Sounds:
    """The last few spoken answers as WAV files, each under a name that cannot be guessed."""

    def __init__(self) -> None:
        self._wavs: OrderedDict[str, bytes] = OrderedDict()

    def keep(self, wav: bytes) -> str:
        """Keep a sound; gives its name."""
        name = secrets.token_urlsafe(24)
        self._wavs[name] = wav
        if len(self._wavs) > _MAX_SOUNDS:
            self._wavs.popitem(last=False)
        return name

    def get(self, name: str) -> bytes | None:
        """The sound, None if it was never here or is gone."""
        return self._wavs.get(name)
