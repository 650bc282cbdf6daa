"""What a partition's own entries teach about likeness: which differences between questions change the answer.

Entries with the same answer say how far apart the ways of asking one thing lie; the means of answers say along which
directions things differ. Linear discriminants (Fisher 1936; Rao 1948) of the first against the second are learned from
the entries alone, with no labels but the answers that they carry, and only from a partition's own: what one customer
or bank asked teaches nothing to another. Neighbours are found without it; it weighs their votes (`consensus.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teller.errors import InputError
from teller.ports import Vectors

_LEARN_FROM = 300  # entries in a partition before it teaches anything
_GROWTH = 1.15  # of the entries between two lessons
_ENOUGH = 20_000  # entries

_RANK = 128  # directions that are kept, at most
_SHRINKAGE = 0.1  # of the scatter within answers, towards equal scatter in every direction
_LEAST_ASKINGS = 3  # of an answer whose mean counts
_LEAST_ANSWERS = 10


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """Directions in which questions differ if their answers do.

    Attributes:
        directions: (dim, rank) float32; a unit vector times these is compared by its cosine.
        learned_from: entries in the partition when it was learned.
    """

    directions: Vectors
    learned_from: int

    def cosines(self, vectors: Vectors) -> Vectors:
        """(n, n) cosines of (n, dim) vectors along the directions."""
        along = vectors @ self.directions
        along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-12)
        found: Vectors = along @ along.T
        return found

    def packed(self) -> bytes:
        """(dim, rank) as 16-bit floats, little-endian, row by row."""
        return self.directions.astype("<f2").tobytes()

    @staticmethod
    def unpack(packed: bytes, dim: int, learned_from: int) -> Metric:
        """The metric of `packed`.

        Raises:
            InputError: if it does not fit the dimensions, or holds a number that is not finite.
        """
        if not packed or len(packed) % (2 * dim):
            raise InputError(f"{len(packed)} bytes are no directions of {dim} dimensions")
        directions = np.frombuffer(packed, dtype="<f2").reshape(dim, -1).astype(np.float32)
        if not np.isfinite(directions).all():
            raise InputError("a direction holds a number that is not finite")
        return Metric(directions, learned_from)


def is_due(entries: int, learned_from: int) -> bool:
    """Whether a partition with so many entries should learn (again), having last learned from so many."""
    return entries >= max(_LEARN_FROM, _GROWTH * learned_from)


def sample(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Enough of (n,) rows to learn from, evenly spread."""
    return rows[:: max(1, -(-len(rows) // _ENOUGH))]


def learn(vectors: Vectors, answer_ids: Sequence[str], *, learned_from: int) -> Metric | None:
    """Learn from entries; None if their answers are too few or stand alone.

    Args:
        vectors: (n, dim) unit vectors.
        answer_ids: n of them.
        learned_from: what the metric will say that it was learned from.
    """
    _, answers, counts = np.unique(np.array(answer_ids), return_inverse=True, return_counts=True)
    common = counts >= _LEAST_ASKINGS
    if np.count_nonzero(common) < _LEAST_ANSWERS:
        return None
    means = _means(vectors, answers, counts)
    shared = counts[answers] > 1
    apart = (vectors - means[answers])[shared].astype(np.float64)
    freedom = int(shared.sum()) - int(np.count_nonzero(counts > 1))
    whitening = _inverse_root(apart.T @ apart / freedom)
    between = (means[common] - vectors.mean(axis=0)).astype(np.float64) @ whitening
    spread, turned = np.linalg.eigh(between.T @ between / len(between))
    noise = 1.0 / float(counts[common].mean())  # of a mean, where the scatter within answers is 1 in each direction
    real = np.maximum(spread - noise, 0.0)
    kept = np.argsort(-real, kind="stable")[: min(_RANK, int(np.count_nonzero(real)))]
    if not len(kept):
        return None
    gain = np.sqrt(real[kept] / (real[kept] + 1.0))
    directions = whitening @ (turned[:, kept] * gain)
    return Metric((directions / np.abs(directions).max()).astype(np.float32), learned_from)


def _means(vectors: Vectors, answers: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[Any]:
    order = np.argsort(answers, kind="stable")
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    sums: NDArray[Any] = np.add.reduceat(vectors[order], starts, axis=0)
    return sums / counts[:, None]


def _inverse_root(scatter: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inverse square root of a covariance, shrunk (Ledoit & Wolf 2004, with a fixed share)."""
    dim = len(scatter)
    shrunk = (1.0 - _SHRINKAGE) * scatter + _SHRINKAGE * np.trace(scatter) / dim * np.eye(dim)
    values, turned = np.linalg.eigh(shrunk)
    root: NDArray[np.float64] = (turned * np.maximum(values, 1e-9) ** -0.5) @ turned.T
    return root
