"""Shadow checks: a share of the hits is answered again off the path and compared, so that accuracy is measured.

A check costs the caller nothing: it waits in a short queue, and is dropped when the queue is full. What it finds is an
event of the entry, and of its risk class. Not here: what follows for the class (the monitor).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from teller.cache.upkeep import Upkeep
from teller.errors import EngineError, InputError, StoreError
from teller.ports import Embedder
from teller.turn import Answer, Question, Scope, Source, Value

Remake = Callable[[Question, Scope], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class _Check:
    question: Question
    scope: Scope
    served: Answer
    risk_class: str


class SameAnswer:
    """Whether two answers say the same: the same approved id, or the same values and nearly the same meaning.

    Args:
        read_values: typed values of a text.
        min_similarity: cosine of the two texts from which their meaning counts as equal.
    """

    def __init__(
        self, embedder: Embedder, read_values: Callable[[str], tuple[Value, ...]], *, min_similarity: float = 0.9
    ) -> None:
        self._embedder = embedder
        self._read_values = read_values
        self._min_similarity = min_similarity

    async def __call__(self, one: Answer, other: Answer) -> bool:
        """Compare.

        Raises:
            EngineError: if the texts cannot be embedded.
        """
        if one.answer_id == other.answer_id or one.text == other.text:
            return True
        values = [sorted((value.kind, value.canonical) for value in self._read_values(a.text)) for a in (one, other)]
        if values[0] != values[1]:
            return False
        vectors = await self._embedder.embed([one.text, other.text])
        return float(vectors[0] @ vectors[1]) >= self._min_similarity


class ShadowChecks:
    """Picks hits, answers them again and records how they turned out.

    Args:
        share: of hits that are checked, 0 to 1.
        remake: answers a question without the cache.
        same: compares the served answer with the new one.
        seed: of the draw, so that a replay picks the same hits.
        max_waiting: hits that wait at most; more are not checked.
    """

    def __init__(
        self,
        upkeep: Upkeep,
        *,
        share: float,
        remake: Remake,
        same: Callable[[Answer, Answer], Awaitable[bool]],
        seed: int = 0,
        max_waiting: int = 100,
    ) -> None:
        if not 0 <= share <= 1:
            raise InputError(f"a share is from 0 to 1, got {share}")
        self._upkeep = upkeep
        self._share = share
        self._remake = remake
        self._same = same
        self._draw = random.Random(seed)
        self._waiting: asyncio.Queue[_Check] = asyncio.Queue(max_waiting)

    def consider(self, question: Question, scope: Scope, served: Answer, risk_class: str) -> None:
        """Draw whether this hit is checked; returns at once."""
        if served.evidence is not None and self._draw.random() < self._share and not self._waiting.full():
            self._waiting.put_nowait(_Check(question, scope, served, risk_class))

    async def run(self) -> None:
        """Check what waits, one by one, until cancelled."""
        while True:
            await self.check_next()

    async def check_next(self) -> bool | None:
        """Wait for a hit and check it: whether it was right, None if that could not be found out."""
        check = await self._waiting.get()
        evidence = check.served.evidence
        assert evidence is not None
        try:
            anew = await self._remake(check.question, check.scope)
            if anew.source not in (Source.APPROVED, Source.MODEL):
                return None  # refused or handed over: says nothing about the answer that was served
            right = await self._same(check.served, anew)
            await self._upkeep.verify(
                evidence.entry_id,
                right=right,
                by="shadow",
                risk_class=check.risk_class,
                probability=evidence.probability,
            )
        except (EngineError, StoreError, InputError):
            return None  # the engine is away, or the entry is: the next check will do
        return right
