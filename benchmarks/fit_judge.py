"""Fits what the cache's judge makes of an answer's margin: `_START` and `_SLOPE` in `cache/judge.py`.

    python -m benchmarks.fit_judge [--asks 4000] [--json]

The bank's own ways of asking are a stream to a cache that begins empty; an answer is right that belongs to the same
entry. Every question is judged and then stored, served or not, so that the constants in use have no part in it. From
the opinions that no guard forbids and whose wording the judge does not doubt, a logistic regression of rightness on the
margin gives the two constants; the judge begins two standard errors lower. No public data set is touched; two minutes
on one core, most of it embedding.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from benchmarks.cache_parts import machine, report
from benchmarks.cache_quality import Fixed, Store, embedded, judge_with
from teller.bank_files import read_bank
from teller.cache.judge import doubt
from teller.config import Settings

SEED = 5
Labelled = list[tuple[str, str]]
Columns = NDArray[np.float64]


def asks(count: int) -> Labelled:
    """Some of the bank's ways of asking, and their answers."""
    found = [(ask, one.id) for one in read_bank(Settings()).approved if one.spoken_whole for ask in one.asks]
    chosen = np.random.default_rng(SEED).permutation(len(found))[:count]
    return [found[at] for at in chosen]


def opinions(stream: Labelled) -> Columns:
    """(opinions, 2): the margin, and 1 if the answer is right."""
    judge = judge_with(Fixed(0.0))
    texts = embedded([text for text, _ in stream])
    store, rows = Store(texts, judge), []
    for place, (_, answer_id) in enumerate(stream):
        if len(store):
            found = judge.opine(store.probe(texts, place))
            if found.difference is None and not doubt(found.alike, found.votes):
                rows.append((found.margin, float(found.best.answer_id == answer_id)))
        store.add(place, answer_id)
    return np.array(rows)


def fit(rows: Columns) -> dict[str, float]:
    """Start and slope of the likeliest logistic curve, by Newton's method, and their standard errors."""
    design, weights = np.column_stack([np.ones(len(rows)), rows[:, 0]]), np.zeros(2)
    for _ in range(30):
        chance = 1.0 / (1.0 + np.exp(-design @ weights))
        curve = (design * (chance * (1.0 - chance))[:, None]).T @ design
        weights = weights + np.linalg.solve(curve, design.T @ (rows[:, 1] - chance))
    errors = np.sqrt(np.diag(np.linalg.inv(curve)))
    names = ("start", "slope", "start_error", "slope_error")
    found = dict(zip(names, [*weights.tolist(), *errors.tolist()], strict=True))
    found["start_less_two_errors"] = found["start"] - 2.0 * found["start_error"]
    return {**found, "opinions": float(len(rows)), "right": float(rows[:, 1].mean())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--asks", type=int, default=4_000, help="ways of asking to take")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    report({"teller": fit(opinions(asks(asked.asks))), "rivals": {}, "machine": machine()}, as_json=asked.json)


if __name__ == "__main__":
    main()
