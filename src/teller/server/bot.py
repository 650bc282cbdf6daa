"""What the server needs of a running bot; `wiring.Bot` fits by shape."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from teller.audio import Pcm
from teller.call import Call
from teller.ports import Detector
from teller.turn import Sound, Speech, Transcript, TurnEvent


class Turns(Protocol):
    """Answers questions; `orchestrator.Orchestrator` is one."""

    def turn(self, heard: Transcript | Speech, call: Call, *, speak: bool = True) -> AsyncIterator[TurnEvent]:
        """Heard, Said, Sound..., Done; closing it early is a barge-in.

        Raises:
            TellerError: as `Orchestrator.turn`.
        """
        ...

    def say(self, text: str) -> AsyncIterator[Sound]:
        """Speak a line outside a turn; no sound at all if it cannot be spoken."""
        ...


class Bot(Protocol):
    """A running bot."""

    @property
    def orchestrator(self) -> Turns:
        """What answers."""
        ...

    def new_call(self, customer: str | None = None) -> Call:
        """A call that begins now; the server never names a customer: nobody has verified one."""
        ...

    def greeting(self) -> tuple[str, str]:
        """The notice that every caller must be given first, and what may be asked."""
        ...

    def open_detector(self) -> Detector:
        """A voice activity detector for one stream."""
        ...

    def read_sound(self, data: bytes) -> Pcm:
        """Any sound file to 16 kHz; may take a while.

        Raises:
            InputError: if it is not a sound file.
        """
        ...

    async def ready(self) -> Mapping[str, str]:
        """Each engine's name, with "ok" or what is wrong."""
        ...
