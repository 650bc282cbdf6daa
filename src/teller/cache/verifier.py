"""Whether two questions mean the same, word by word: a small network in numpy over what one embedding pass gives.

Each word of one question is compared with the words of the other that it attends to (Parikh et al. 2016, "A
decomposable attention model"), so a single traded word shows, which a sentence vector hides. Of a stored question only
its words' projections are kept, in four bits: at most 255 bytes. The weights are `data/verifier.npz`, made by
`training.verifier` from pairs that Teller generates itself.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from teller.cache.guards import Reading
from teller.errors import StoreCorrupt
from teller.ports import Vectors

Floats = NDArray[np.float32]

SKETCH_BYTES = 255
_REACH, _LEVELS = 0.5, 15  # projections are kept from -0.5 to 0.5, in 16 steps
_PRECISIONS = ("int8", "fp32")
_NETWORK = ("project", "gate", "gate_bias", "compare", "compare_bias", "join", "join_bias", "out", "out_bias", "focus")


class Verifier:
    """The network.

    Args:
        path: weights to use instead of the shipped ones.

    Raises:
        StoreCorrupt: if the file is not one of weights.
    """

    def __init__(self, path: Path | None = None) -> None:
        file = path or resources.files("teller").joinpath("data/verifier.npz")
        try:
            with file.open("rb") as opened, np.load(opened) as kept:
                weights = {name: kept[name].astype(np.float32) for name in _NETWORK}
                self.name, self._made_for = str(kept["name"]), str(kept["embedder"])
        except (EOFError, KeyError, OSError, ValueError, zipfile.BadZipFile) as exc:
            raise StoreCorrupt(
                f"{file} does not hold the verifier's weights: make them with training.verifier"
            ) from exc
        self._weights = weights
        self._dim = weights["project"].shape[1]

    def reads(self, embedder: str, dim: int) -> bool:
        """Whether it was trained on the token vectors of this embedder, in whatever precision."""
        kind, _, precision = embedder.rpartition("-")
        return (kind, dim) == (self._made_for, self._weights["project"].shape[0]) and precision in _PRECISIONS

    def project(self, tokens: Vectors) -> Floats:
        """(tokens, dim) vectors of an embedding pass to the (tokens, small) unit rows that words are compared by."""
        small = tokens @ self._weights["project"]
        return np.asarray(small / np.maximum(np.linalg.norm(small, axis=1, keepdims=True), 1e-6), np.float32)

    def sketch(self, tokens: Vectors) -> bytes:
        """What to keep of a question: the projections of its most telling words, in order, in four bits a number."""
        projected = self.project(tokens)
        most = SKETCH_BYTES * 2 // self._dim
        if len(projected) > most:
            telling = np.argsort(-self._gates(projected), kind="stable")[:most]
            projected = projected[np.sort(telling)]
        steps = np.round((np.clip(projected, -_REACH, _REACH) + _REACH) * (_LEVELS / (2 * _REACH))).astype(np.uint8)
        pairs = steps.reshape(-1, 2)
        return bytes(pairs[:, 0] << 4 | pairs[:, 1])

    def unsketch(self, sketch: bytes) -> Floats:
        """The (tokens, small) projections in a sketch, near to what they were."""
        packed = np.frombuffer(sketch, np.uint8)
        steps = np.stack([packed >> 4, packed & 15], axis=1).reshape(-1, self._dim)
        return steps.astype(np.float32) * (2 * _REACH / _LEVELS) - _REACH

    def log_odds(self, asked: Floats, stored: Floats, facts: Floats) -> float:
        """Log-odds that one answer fits both questions.

        Args:
            asked: (tokens, small) projections of the question.
            stored: the same of the stored question, from its sketch.
            facts: `pair_facts` of the two.
        """
        weights = self._weights
        alike = asked @ stored.T
        here_sum, here_most = self._side(asked, stored, alike)
        there_sum, there_most = self._side(stored, asked, alike.T)
        joined = np.concatenate(
            [
                here_sum + there_sum,
                np.abs(here_sum - there_sum),
                np.maximum(here_most, there_most),
                here_most + there_most,
            ]
        )
        hidden = np.maximum(np.concatenate([joined, facts]) @ weights["join"] + weights["join_bias"], 0.0)
        return float((hidden @ weights["out"] + weights["out_bias"])[0])

    def _gates(self, projected: Floats) -> Floats:
        weights = self._weights
        return np.asarray(1.0 / (1.0 + np.exp(-(projected @ weights["gate"] + weights["gate_bias"])[:, 0])), np.float32)

    def _side(self, here: Floats, there: Floats, alike: Floats) -> tuple[Floats, Floats]:
        weights = self._weights
        attention = np.exp(alike * weights["focus"])
        beside = (attention / attention.sum(axis=1, keepdims=True)) @ there
        seen = np.concatenate([here * beside, np.abs(here - beside), alike.max(axis=1, keepdims=True)], axis=1)
        compared = np.maximum(seen @ weights["compare"] + weights["compare_bias"], 0.0) * self._gates(here)[:, None]
        return compared.sum(axis=0) / 4.0, compared.max(axis=0)


def verifier_for(embedder: str, dim: int) -> Verifier | None:
    """The shipped verifier if it reads the vectors of this embedder, by its name and dimensions; None otherwise.

    Raises:
        StoreCorrupt: if the file of weights is damaged.
    """
    verifier = Verifier()
    return verifier if verifier.reads(embedder, dim) else None


def pair_facts(asked: Reading, stored: Reading, similarity: float) -> Floats:
    """What the words themselves say of a pair: (7,) numbers of about 0 to 1."""
    here, there = set(asked.content), set(stored.content)
    only_here, only_there, shared = len(here - there), len(there - here), len(here & there)
    return np.array(
        [
            similarity,
            only_here / (len(here) + 1),
            only_there / (len(there) + 1),
            min(only_here, only_there) / 4,
            max(only_here, only_there) / 6,
            shared / 6,
            _overlap(asked.words, stored.words),
        ],
        np.float32,
    )


def _overlap(asked: Sequence[str], stored: Sequence[str]) -> float:
    here, there = set(asked), set(stored)
    return len(here & there) / (len(here | there) + 1)
