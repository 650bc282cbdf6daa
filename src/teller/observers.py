"""Observers without a library: one that keeps nothing, and one that tells several."""

from __future__ import annotations

from dataclasses import dataclass

from teller.ports import Observer
from teller.turn import LookupRecord, ToggleRecord, TrainingRecord, TurnRecord


class Unobserved:
    """An observer that keeps nothing; those that care for some facts only build on it."""

    def turn_finished(self, record: TurnRecord) -> None:
        """Ignore it."""

    def lookup_finished(self, record: LookupRecord) -> None:
        """Ignore it."""

    def adapter_toggled(self, record: ToggleRecord) -> None:
        """Ignore it."""

    def training_advanced(self, record: TrainingRecord) -> None:
        """Ignore it."""


@dataclass(frozen=True, slots=True)
class Observers:
    """Tells each of its members everything, in their order."""

    members: tuple[Observer, ...] = ()

    def turn_finished(self, record: TurnRecord) -> None:
        """As `Observer.turn_finished`."""
        for member in self.members:
            member.turn_finished(record)

    def lookup_finished(self, record: LookupRecord) -> None:
        """As `Observer.lookup_finished`."""
        for member in self.members:
            member.lookup_finished(record)

    def adapter_toggled(self, record: ToggleRecord) -> None:
        """As `Observer.adapter_toggled`."""
        for member in self.members:
            member.adapter_toggled(record)

    def training_advanced(self, record: TrainingRecord) -> None:
        """As `Observer.training_advanced`."""
        for member in self.members:
            member.training_advanced(record)
