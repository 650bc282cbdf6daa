"""The generator that writes nothing of its own: it gives the best passage's approved text, word for word."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from teller.errors import EngineError
from teller.ports import Prompt

_CLAUSE = re.compile(r".+?(?:[,;:.!?…]+(?=\s)\s*|$)", re.DOTALL)  # "2.5" and "10:30" are not cut


class ApprovedText:
    """Generator without a model; the pieces are clauses, so that speaking can begin with the first."""

    name = "approved"

    async def generate(self, prompt: Prompt, *, adapter: str | None = None) -> AsyncIterator[str]:
        """As `Generator.generate`; the pieces together are the passage's text to the letter.

        Raises:
            EngineError: if there is no passage, or an adapter is asked for: there is no model to apply it to.
        """
        if adapter is not None:
            raise EngineError(f"approved texts are given without a model, so adapter {adapter} cannot be applied")
        if not prompt.passages or not prompt.passages[0].text:
            raise EngineError("there is no approved text to give")
        for clause in _CLAUSE.findall(prompt.passages[0].text):
            yield clause
