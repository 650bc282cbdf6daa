"""What is around the engines, scripted: an observer that keeps what it is told, and a clock that is turned by hand."""

from __future__ import annotations

from teller.errors import InputError
from teller.turn import LookupRecord, ToggleRecord, TrainingRecord, TurnRecord


class ScriptedObserver:
    """Keeps what it is told.

    Attributes:
        turns, lookups, toggles, training: every record so far, in order.
    """

    def __init__(self) -> None:
        self.turns: list[TurnRecord] = []
        self.lookups: list[LookupRecord] = []
        self.toggles: list[ToggleRecord] = []
        self.training: list[TrainingRecord] = []

    def turn_finished(self, record: TurnRecord) -> None:
        """Keep the record."""
        self.turns.append(record)

    def lookup_finished(self, record: LookupRecord) -> None:
        """Keep the record."""
        self.lookups.append(record)

    def adapter_toggled(self, record: ToggleRecord) -> None:
        """Keep the record."""
        self.toggles.append(record)

    def training_advanced(self, record: TrainingRecord) -> None:
        """Keep the record."""
        self.training.append(record)


class ScriptedClock:
    """Time that stands still until it is turned."""

    def __init__(self, now: float = 1_750_000_000.0) -> None:
        self._now = now
        self._passed = 0.0

    def now(self) -> float:
        """As `Clock.now`."""
        return self._now

    def monotonic(self) -> float:
        """As `Clock.monotonic`."""
        return self._passed

    def advance(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            InputError: if it would go back.
        """
        if seconds < 0:
            raise InputError(f"time does not go back by {-seconds} s: use `jump` for a wrong wall clock")
        self._now += seconds
        self._passed += seconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back, as an administrator would; monotonic time does not notice."""
        self._now += seconds
