"""The live entries near a question, as the judge sees them."""

from __future__ import annotations

import numpy as np

from teller.cache.holdings import Shelf
from teller.cache.replica import Replica
from teller.cache.verdict import Neighbour
from teller.ports import Vectors

_SPARE = 8  # asked for beyond what is wanted, because some may have expired


def near(
    replica: Replica, shelf: Shelf, vector: Vectors, *, wanted: int, now: float, min_accuracy: float
) -> list[Neighbour]:
    """At most `wanted` entries of a shelf that may be served, best first: not expired, not found wrong too often."""
    entries, asked = replica.state.entries, wanted + _SPARE
    while True:
        similarities, ids = shelf.index.search(vector, asked)
        rows = entries.rows_of(ids)
        fit = (entries.column("expires_at")[rows] > now) & (entries.accuracy(rows) >= min_accuracy)
        if fit.sum() >= wanted or len(ids) < asked:
            break
        asked *= 4
    kept = np.flatnonzero(fit)[:wanted]
    vectors = shelf.index.vectors(ids[kept])
    return [
        _neighbour(replica, shelf, int(rows[at]), float(similarities[at]), vectors[place])
        for place, at in enumerate(kept.tolist())
    ]


def _neighbour(replica: Replica, shelf: Shelf, row: int, similarity: float, vector: Vectors) -> Neighbour:
    entries = replica.state.entries
    text = entries.text(row)
    return Neighbour(
        entry_id=int(entries.column("id")[row]),
        question=text.question,
        values=text.values,
        answer_id=entries.answer_id(row),
        similarity=min(1.0, similarity),
        accuracy=float(entries.accuracy(row)),
        at=float(entries.column("at")[row]),
        data_class=shelf.partition.data_class,
        vector=vector,
        sketch=text.sketch,
    )
