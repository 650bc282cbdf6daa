"""The state of a call: one transition table, and what the call remembers.

Barge-in is an event into the table; whoever holds the call cancels the turn when the new state is LISTENING.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from teller.errors import CallError
from teller.turn import Scope


class State(StrEnum):
    """Where a call is."""

    LISTENING = "listening"
    THINKING = "thinking"
    SPEAKING = "speaking"
    ENDED = "ended"


class CallEvent(StrEnum):
    """What can happen to a call."""

    ASKED = "asked"  # an utterance or a typed question came in
    ANSWERED = "answered"  # the answer is decided, its sound begins
    FINISHED = "finished"  # the sound has been sent
    BARGED_IN = "barged_in"  # the caller speaks or types over the answer
    HUNG_UP = "hung_up"


TRANSITIONS: Mapping[State, Mapping[CallEvent, State]] = {
    State.LISTENING: {CallEvent.ASKED: State.THINKING, CallEvent.HUNG_UP: State.ENDED},
    State.THINKING: {
        CallEvent.ANSWERED: State.SPEAKING,
        CallEvent.FINISHED: State.LISTENING,  # an answer without sound
        CallEvent.BARGED_IN: State.LISTENING,
        CallEvent.HUNG_UP: State.ENDED,
    },
    State.SPEAKING: {
        CallEvent.FINISHED: State.LISTENING,
        CallEvent.BARGED_IN: State.LISTENING,
        CallEvent.HUNG_UP: State.ENDED,
    },
    State.ENDED: {},
}


@dataclass(frozen=True, slots=True)
class Memory:
    """What a call remembers between turns: redacted, small, gone when the call ends.

    Attributes:
        form: the tool that is collecting values ("loan_payment"), empty if none is.
        filled: its values so far, canonical, by slot name.
        topic: id of the last answer.
        asked: the question that it answered, if knowledge did: what "and for that one?" points back to.
        unanswered: turns in a row that could not be answered; two lead to the offer of a person.
    """

    form: str = ""
    filled: Mapping[str, str] = field(default_factory=dict)
    asked: str = ""
    topic: str = ""
    unanswered: int = 0


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Pin:
    """A call's hold on the LoRA adapter version that it began with: the version is not unloaded while it is held.

    Whoever gives pins out keeps weak references to them, so a call that is dropped lets go as one that ends.

    Attributes:
        served: name of the version, as in "banking-lora@3f2a91c0b7de"; None for the base model.
        adapters: digests for the cache's partition; empty for the base model.
    """

    served: str | None = None
    adapters: tuple[str, ...] = ()


@dataclass(slots=True)
class Call:
    """One conversation on one line; one turn at a time.

    Attributes:
        pin: the adapter version of all its turns, None before the first turn and after the end.
    """

    id: str
    scope: Scope
    state: State = State.LISTENING
    memory: Memory = field(default_factory=Memory)
    turns: int = 0
    pin: Pin | None = None

    def advance(self, event: CallEvent) -> State:
        """Move along the table.

        Raises:
            CallError: if the table has no such move; the state stays as it was.
        """
        after = TRANSITIONS[self.state].get(event)
        if after is None:
            raise CallError(f"a call that is {self.state} cannot take '{event}'")
        self.state = after
        if after is State.ENDED:
            self.pin = None
        return after

    def remember(self, **changes: object) -> None:
        """Replace parts of the memory."""
        self.memory = replace(self.memory, **changes)  # type: ignore[arg-type]
