"""Fills in the values that a generator names instead of saying them: "{account_opening_minutes}" becomes "5 minutes".

A model that has learnt its bank by heart knows which rate belongs into a sentence, not what it is today.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from teller.banking.products import RateTable
from teller.errors import EngineError
from teller.ports import Generator, Prompt

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_LONGEST = 80  # characters of a key; what goes on for longer is none


class FilledIn:
    """A generator whose `{key}` placeholders are said as the rate table has them, wherever pieces part.

    Args:
        generator: what writes.
        rates: of the bank.
    """

    def __init__(self, generator: Generator, rates: RateTable) -> None:
        self.name = generator.name
        self._generator = generator
        self._rates = rates

    async def generate(self, prompt: Prompt, *, adapter: str | None = None) -> AsyncIterator[str]:
        """As `Generator.generate`.

        Raises:
            EngineError: also for a placeholder that the table does not have, or a brace that belongs to none.
        """
        held = ""
        async for piece in self._generator.generate(prompt, adapter=adapter):
            filled, held = self._fill(held + piece)
            if filled:
                yield filled
        if held:
            raise EngineError(f"{self.name} ended within a placeholder: {held[:40]!r}")

    def _fill(self, text: str) -> tuple[str, str]:
        """What can be said already, and the beginning of a placeholder that is still to come."""
        opening = text.rfind("{")
        whole = text if opening <= text.rfind("}") else text[:opening]
        begun = text[len(whole) :]
        rest = _PLACEHOLDER.sub("", whole)
        if "{" in rest or "}" in rest or len(begun) > _LONGEST:
            raise EngineError(f"{self.name} wrote a brace that belongs to no placeholder")
        return _PLACEHOLDER.sub(self._value, whole), begun

    def _value(self, found: re.Match[str]) -> str:
        if found[1] not in self._rates:
            raise EngineError(f"{self.name} names a value that the bank does not have: {found[1][:_LONGEST]!r}")
        return self._rates[found[1]].spoken
