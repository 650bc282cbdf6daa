"""Whether generated words say what the approved text says; nothing generated is spoken unless they do.

Three tests, all fail-closed: the same typed values (no amount, rate, date or name that the approved text lacks, and no
money, percentage or date dropped), the same polarity sentence by sentence, and the same meaning by cosine similarity.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

import numpy as np

from teller.ports import Vectors
from teller.prompts import UNKNOWN
from teller.turn import Value, ValueKind

MIN_MEANING = (
    0.75  # cosine of MiniLM vectors; a sentence against its own paraphrase is above it, see docs/benchmarks.md
)
MAX_LENGTH_RATIO = 2.0  # a generation twice as long as what was approved has added something
_MUST_STAY = (ValueKind.MONEY, ValueKind.PERCENT, ValueKind.DATE)
_NEGATION = re.compile(
    r"\b(?:not|no|never|none|nobody|nothing|cannot|without|unless|neither|nor|\w+n't)\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Grounding:
    """The verdict; `reason` says what differs, empty if nothing does."""

    grounded: bool
    reason: str = ""


def compare(
    generated: str,
    approved: str,
    generated_values: tuple[Value, ...],
    approved_values: tuple[Value, ...],
    vectors: Vectors,
) -> Grounding:
    """Compare a generation with the approved text.

    Args:
        generated: what the generator said.
        approved: what may be said.
        generated_values: typed values of the generation.
        approved_values: typed values of the approved text.
        vectors: (2, dim) unit vectors of the two texts, in this order.
    """
    said = generated.strip()
    if not said or said.rstrip(".") == UNKNOWN.rstrip("."):
        return Grounding(False, "nothing was said")
    if len(said) > MAX_LENGTH_RATIO * len(approved) + 40:
        return Grounding(False, "much longer than what was approved")
    if added := _counted(generated_values) - _counted(approved_values):
        return Grounding(False, f"adds {_first(added)}")
    dropped = _counted(approved_values, _MUST_STAY).keys() - _counted(generated_values, _MUST_STAY).keys()
    if dropped:
        return Grounding(False, f"leaves out {_first(dropped)}")
    if bool(_NEGATION.search(said)) != bool(_NEGATION.search(approved)):
        return Grounding(False, "polarity differs")
    meaning = float(np.dot(vectors[0], vectors[1]))
    if meaning < MIN_MEANING:
        return Grounding(False, f"meaning differs (similarity {meaning:.2f})")
    return Grounding(True)


def _counted(values: tuple[Value, ...], kinds: tuple[ValueKind, ...] | None = None) -> Counter[tuple[str, str]]:
    """How often each value occurs; repeating one is no new claim, so each counts once."""
    return Counter({(value.kind.value, value.canonical) for value in values if kinds is None or value.kind in kinds})


def _first(found: Counter[tuple[str, str]] | set[tuple[str, str]]) -> str:
    kind, canonical = min(found)
    return f"{kind} {canonical}"
