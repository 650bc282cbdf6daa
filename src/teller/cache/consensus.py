"""Which answer the neighbours of a question speak for, and how clearly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from teller.votes import vote_weights


@dataclass(frozen=True, slots=True)
class Ballot:
    """One answer and what speaks for it.

    Attributes:
        weight: posterior mean that a question here has this answer; about 0 to 1.
        members: places, in the order given, of the neighbours that carry it.
    """

    answer_id: str
    weight: float
    members: tuple[int, ...]


def tally(
    similarities: NDArray[np.float32], likeness: NDArray[np.float32], answer_ids: Sequence[str]
) -> tuple[Ballot, ...]:
    """Weigh (k,) neighbours' answers; heaviest ballot first, equal ones by answer id.

    Args:
        similarities: (k,) cosines of the question and its neighbours.
        likeness: (k, k) cosines of the neighbours among themselves.
        answer_ids: k of them.
    """
    shares = vote_weights(similarities, likeness).tolist()
    weights: dict[str, float] = {}
    members: dict[str, list[int]] = {}
    for place, answer_id in enumerate(answer_ids):
        weights[answer_id] = weights.get(answer_id, 0.0) + shares[place]
        members.setdefault(answer_id, []).append(place)
    ranked = sorted(weights, key=lambda answer_id: (-weights[answer_id], answer_id))
    return tuple(Ballot(answer_id, weights[answer_id], tuple(members[answer_id])) for answer_id in ranked)


def margin(ballots: Sequence[Ballot]) -> float:
    """How far the first of some ballots is ahead of the next; its whole weight if nothing speaks for another."""
    rival = ballots[1].weight if len(ballots) > 1 else 0.0
    return ballots[0].weight - max(rival, 0.0)
