"""Which entries go when there is no room: those that save least for what they take. Pure arithmetic on columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
HALF_LIFE_S = 7 * 86_400.0  # without a hit for so long, an entry is worth half
USUAL_COST_MS = 1_000.0  # for entries that were kept without saying what they cost


@dataclass(frozen=True, slots=True)
class Columns:
    """What is weighed, one value per entry.

    Attributes:
        hits: how often it was served.
        cost_ms: what making it took; 0 for unknown.
        accuracy: 0 to 1.
        idle_s: since it was last served, or put.
        size_bytes: above 0.
    """

    hits: Floats
    cost_ms: Floats
    accuracy: Floats
    idle_s: Floats
    size_bytes: Floats


def worth(columns: Columns) -> Floats:
    """Milliseconds that an entry may still save, for each byte: how often, how dear, how surely, how lately.

    The frequency, cost and size terms are those of Greedy-Dual-Size-Frequency (Cherkasova, HP Labs TR 98-69); its
    ageing is replaced by a half-life, so that every process computes the same from the same entry.
    """
    cost_ms = np.where(columns.cost_ms > 0, columns.cost_ms, USUAL_COST_MS)
    fading = np.exp2(-np.maximum(columns.idle_s, 0.0) / HALF_LIFE_S)
    value: Floats = (1.0 + columns.hits) * cost_ms * columns.accuracy * fading / columns.size_bytes
    return value


def victims(columns: Columns, *, max_entries: int, max_bytes: int) -> NDArray[np.intp]:
    """Places of the entries that go, least worth first, until both limits are kept; none if they are."""
    order = np.argsort(worth(columns), kind="stable")
    sizes = columns.size_bytes[order]
    entries_left = np.arange(len(order), 0, -1)  # if those before each place are gone
    bytes_left = np.cumsum(sizes[::-1])[::-1]
    return order[(entries_left > max_entries) | (bytes_left > max_bytes)]
