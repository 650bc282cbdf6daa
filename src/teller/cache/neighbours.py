"""The live entries near a question, as the judge sees them."""

from __future__ import annotations

import numpy as np

from teller.cache.holdings import Shelf
from teller.cache.replica import Replica
from teller.cache.verdict import Neighbour
from teller.ports import Vectors


def near(
    replica: Replica, shelf: Shelf, vector: Vectors, *, wanted: int, now: float, min_accuracy: float, sign: int = 1
) -> list[Neighbour]:
    """At most `wanted` entries of a shelf that may be served, best first: not expired, not found wrong too often.

    Their ids are multiplied by `sign`.
    """
    entries, asked = replica.state.entries, wanted
    while True:
        similarities, ids = shelf.index.search(vector, asked)
        rows = entries.rows_of(ids)
        accuracies = entries.accuracy(rows)
        fit = (entries.column("expires_at")[rows] > now) & (accuracies >= min_accuracy)
        if np.count_nonzero(fit) >= wanted or len(ids) < asked:
            break
        asked *= 4  # some have expired and are not swept yet
    if len(fit) > wanted or not fit.all():
        kept = np.flatnonzero(fit)[:wanted]
        similarities, ids, rows, accuracies = similarities[kept], ids[kept], rows[kept], accuracies[kept]
    columns = zip(
        entries.asked(rows),
        entries.answer_ids(rows),
        (sign * ids).tolist(),
        np.minimum(similarities, 1.0).tolist(),
        accuracies.tolist(),
        entries.column("at")[rows].tolist(),
        shelf.index.vectors(ids),
        strict=True,
    )
    data_class = shelf.partition.data_class
    return [
        Neighbour(entry_id, asked, answer_id, similarity, accuracy, at, data_class, vector)
        for asked, answer_id, entry_id, similarity, accuracy, at, vector in columns
    ]
