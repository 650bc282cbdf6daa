"""Fits the certainty of `banking/retrieval.py`.

    python -m benchmarks.fit_retrieval [--json]

Each way of asking is taken out of the bank in turn, with a sixth of all, and asked: it counts as covered. Each line of
off_topic.txt is treated alike and counts as not covered. A logistic regression over the six features that
`Knowledge.certainty` uses gives the weights. No public data set is touched.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from teller.banking.knowledge import Approved
from teller.banking.retrieval import Knowledge, Tuning, features
from teller.config import load
from teller.engines.faiss_index import FaissIndex
from teller.ports import Vectors
from teller.stores.home import open_home
from teller.stores.vectors import KeptVectors
from teller.training.metric import train
from teller.wiring import open_embedder, read_bank, read_off_topic

FOLDS = 4
RIDGE = 1.0
Features = tuple[float, float, float, float, float, float]


async def examples(
    approved: Sequence[Approved], embedder: KeptVectors
) -> tuple[list[Features], list[bool], list[bool]]:
    """(features, whether the first answer is right, whether the question is on topic) of every example."""
    found, right, on_topic = [], [], []
    off_topic = read_off_topic()
    for fold in range(FOLDS):
        kept = [
            replace(entry, asks=tuple(ask for at, ask in enumerate(entry.asks) if at % FOLDS != fold))
            for entry in approved
        ]
        metric = await learned(kept, embedder)
        others = [text for at, text in enumerate(off_topic) if at % FOLDS != fold]
        knowledge = Knowledge(kept, embedder, FaissIndex, Tuning(off_topic=tuple(others), metric=metric))
        await knowledge.fill()
        asked = [(ask, entry.id) for entry in approved for at, ask in enumerate(entry.asks) if at % FOLDS == fold]
        for text, answer_id in asked + [(text, "") for text in off_topic[fold::FOLDS]]:
            candidates = knowledge.candidates(text, (await embedder.embed([text]))[0])
            found.append(features(candidates))
            right.append(candidates[0].entry.id == answer_id)
            on_topic.append(bool(answer_id))
    return found, right, on_topic


async def learned(approved: Sequence[Approved], embedder: KeptVectors) -> Vectors:
    """The metric of what is kept: one that has seen the question would find it too easily."""
    rows = [(ask, number) for number, entry in enumerate(approved) for ask in (*entry.asks, entry.title)]
    asks = await embedder.embed([text for text, _ in rows])
    texts = await embedder.embed([f"{entry.title}. {entry.text}" for entry in approved])
    return train(asks, np.array([number for _, number in rows]), texts)


def fit(rows: NDArray[np.float64], covered: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weights, bias first, of a ridge-penalised logistic regression in which both sides weigh the same."""
    rows = np.column_stack([np.ones(len(rows)), rows])
    share = np.where(covered, 0.5 / covered.sum(), 0.5 / (~covered).sum()) * len(rows)
    weights = np.zeros(rows.shape[1])
    penalty = RIDGE * np.diag([0.0] + [1.0] * (rows.shape[1] - 1))
    for _ in range(30):  # Newton's method
        expected = 1 / (1 + np.exp(-rows @ weights))
        gradient = rows.T @ (share * (covered - expected)) - penalty @ weights
        curvature = (rows.T * (share * expected * (1 - expected))) @ rows + penalty
        weights = weights + np.linalg.solve(curvature, gradient)
    return weights


def main() -> None:
    """Fit and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    as_json = parser.parse_args().json
    settings = load().settings
    home = open_home(settings.home)
    embedder = KeptVectors(open_embedder(settings, home), home.knowledge)
    found, right, on_topic = asyncio.run(examples(read_bank(settings).approved, embedder))
    rows, is_right, is_on = np.array(found), np.array(right), np.array(on_topic)
    weights = fit(rows, is_on)
    certainty = 1 / (1 + np.exp(-(weights[0] + rows @ weights[1:])))
    report = {
        "weights": dict(
            zip(
                ("bias", "ask", "text", "coverage", "margin", "topic", "elsewhere"),
                weights.round(2).tolist(),
                strict=True,
            )
        ),
        "first_is_right": round(float(is_right[is_on].mean()), 4),
        "by_min_score": {
            str(limit): {
                "off_topic_refused": round(float((certainty[~is_on] < limit).mean()), 3),
                "on_topic_answered": round(float((certainty[is_on] >= limit).mean()), 3),
                "right_of_answered": round(float(is_right[is_on & (certainty >= limit)].mean()), 3),
            }
            for limit in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
        },
    }
    print(json.dumps(report, indent=None if as_json else 2))


if __name__ == "__main__":
    main()
