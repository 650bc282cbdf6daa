"""What the cache benchmarks share: made-up questions, an embedder that looks vectors up, the machine, the report."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from teller.cache.partition import Basis
from teller.cache.rules import CacheRules
from teller.ports import Vectors
from teller.turn import Answer, Question, Scope, Source

SCOPE = Scope("bank", "en-GB")
BASIS = Basis("model-1", "prompt-1", "policy-1", "knowledge-1")
RULES = CacheRules(eligible=lambda *_: None, max_entries=10_000_000, max_bytes=100_000_000_000)

_SLOTS = [
    line.split("|")
    for line in (
        "how do i|where can i|why can i not|when should i|who lets me|what happens if i",
        "open|close|change|check|find|report|renew|replace|cancel|stop",
        "my|our|the|a second|a joint|the old|the new|another",
        "debit card|credit card|current account|savings account|direct debit|standing order|overdraft|loan",
        "in the app|online|by phone|at a branch|from abroad|at a cash machine|by post|with a friend",
        "before i move|after a fraud|while on holiday|for my business|for my child|without a passport|at night",
        "please|quickly|safely|cheaply|again|for good|in person|step by step",
    )
]


class SystemTime:
    """The real clock."""

    def now(self) -> float:
        """Unix time in seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()


class GivenVectors:
    """An embedder that was told the vector of every text: embedding costs nothing."""

    name = "given"

    def __init__(self, rows: Vectors) -> None:
        self.rows = rows
        self.dim = int(rows.shape[1])

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """The row that each question was made for."""
        return np.stack([self._row(text) for text in texts])

    async def embed_tokens(self, text: str) -> tuple[Vectors, Vectors]:
        """The row, and token vectors that are all the same."""
        row = self._row(text)
        return row, np.repeat(row[None], len(text.split()), axis=0)

    def _row(self, text: str) -> Vectors:
        """Beyond the last row they begin anew."""
        row: Vectors = self.rows[number_of(text) % len(self.rows)]
        return row


def question(number: int) -> Question:
    """One of two million different questions without values, of about 75 characters."""
    words, rest = [], number
    for slot in _SLOTS:
        rest, at = divmod(rest, len(slot))
        words.append(slot[at])
    return Question(" ".join(words) + f" v{number:x}")


def number_of(text: str) -> int:
    """The number that a question was made from."""
    return int(text.rpartition(" v")[2], 16)


def answer(number: int) -> Answer:
    """An approved answer of 200 characters."""
    text = f"Answer {number:x}: " + "as the terms of your account say, " * 8
    return Answer(text[:200], Source.APPROVED, f"kb.{number:x}", stamps=(f"sheet:{number % 10}@1",))


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Median and 99th percentile in milliseconds."""
    return {f"p{level}_ms": round(float(np.percentile(seconds, level)) * 1_000, 4) for level in (50, 99)}


def machine() -> dict[str, Any]:
    """What the figures were measured on, and how busy it was."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "cpu": names[0].partition(":")[2].strip() if names else platform.processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
    }


def report(found: Mapping[str, Any], *, as_json: bool) -> None:
    """Print the figures, as JSON or as lines of name and value."""
    if as_json:
        print(json.dumps(found, indent=2))
        return
    for name, value in _flat("", found):
        print(f"{name:58} {value}")


def _flat(prefix: str, found: Mapping[str, Any]) -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for name, value in found.items():
        path = f"{prefix}{name}"
        rows += _flat(f"{path}.", value) if isinstance(value, Mapping) else [(path, value)]
    return rows
