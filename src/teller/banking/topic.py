"""Whether a question is about this bank's business at all: a linear gate on sentence vectors.

A ridge regression tells what the bank has approved (ways of asking, answers) from questions that no bank answers
(data/off_topic.txt). It is fitted when knowledge is opened, so it follows the bank's own knowledge; closed form, no
iteration, the same weights for the same texts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from teller.ports import Vectors

RIDGE = 0.005  # of six values between 0.0005 and 0.1 the best on the bank's own questions, each left out in turn


class TopicGate:
    """score(vector) is about +1 on topic and -1 off topic.

    Args:
        on_topic: (n, dim) unit vectors, at least one.
        off_topic: (m, dim) unit vectors, at least one; both sides weigh the same, however many they are.
    """

    def __init__(self, on_topic: Vectors, off_topic: Vectors) -> None:
        # Weighted least squares of the side (+1, -1) on centred rows, in sums of each side: no copy of all rows.
        here, there = on_topic.mean(axis=0, dtype=np.float64), off_topic.mean(axis=0, dtype=np.float64)
        middle = (here + there) / 2
        squares = (on_topic.T @ on_topic) / np.float64(len(on_topic)) + (off_topic.T @ off_topic) / np.float64(
            len(off_topic)
        )
        spread = squares / 2 - np.outer(middle, middle) + RIDGE * np.eye(len(middle))
        self._weights: NDArray[np.float64] = np.linalg.solve(spread, (here - there) / 2)
        self._bias = -float(middle @ self._weights)

    def score(self, vector: Vectors) -> float:
        """How much a (dim,) unit vector is about the bank's business."""
        return float(vector @ self._weights) + self._bias


def nearest(rows: Vectors, vector: Vectors, *, least: float, most: int) -> Vectors:
    """(k, dim) of (n, dim) unit rows, nearest first: at most `most`, of cosine `least` or more with a unit vector."""
    similarities = rows @ vector
    order = np.argsort(-similarities, kind="stable")[:most]
    return rows[order[similarities[order] >= least]]
