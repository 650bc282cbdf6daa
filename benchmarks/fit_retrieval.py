"""Fits the certainty of `banking/retrieval.py`.

    python -m benchmarks.fit_retrieval [--json]

A sixth of the ways of asking and half of off_topic.txt are kept from an encoder that is trained for this alone, then
asked: the former count as covered, the latter as not. A logistic regression over the eight features that
`Knowledge.certainty` uses gives the weights. No public data set is touched; ten minutes on one core.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from teller.bank_files import read_bank, read_off_topic
from teller.banking.knowledge import Approved
from teller.banking.retrieval import Knowledge, Tuning, features
from teller.config import load
from teller.engines.faiss_index import FaissIndex
from teller.engines.minilm import MiniLm
from teller.stores.home import Home, open_home
from teller.training.encoder import FOLDS, lesson_of, save, train

RIDGE = 1.0
NAMES = ("ask", "near", "votes", "text", "coverage", "margin", "topic", "elsewhere")
Features = tuple[float, ...]


async def examples(
    approved: Sequence[Approved], home: Home, told: Callable[[str], None]
) -> tuple[list[Features], list[bool], list[bool]]:
    """(features, whether the first answer is right, whether the question is on topic) of every example."""
    off_topic = read_off_topic()
    known, strange = off_topic[::2], off_topic[1::2]
    kept = [replace(entry, asks=tuple(a for at, a in enumerate(entry.asks) if at % FOLDS)) for entry in approved]
    with tempfile.TemporaryDirectory() as folder:
        matrices = Path(folder) / "encoder.safetensors"
        save(train(lesson_of(kept, known), told), matrices)
        embedder = MiniLm(home.path, lora=matrices)
    knowledge = Knowledge(kept, embedder, FaissIndex, Tuning(off_topic=tuple(known)))
    await knowledge.fill()
    found: list[Features] = []
    right, on_topic = [], []
    asked = [(ask, entry.id) for entry in approved for ask in entry.asks[::FOLDS]]
    for text, answer_id in asked + [(text, "") for text in strange]:
        candidates = knowledge.candidates(text, (await embedder.embed([text]))[0])
        found.append(features(candidates))
        right.append(candidates[0].entry.id == answer_id)
        on_topic.append(bool(answer_id))
    return found, right, on_topic


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
    torch.set_num_threads(1)  # as when the encoder is trained to be shipped
    settings = load().settings
    told = partial(print, file=sys.stderr)
    found, right, on_topic = asyncio.run(examples(read_bank(settings).approved, open_home(settings.home), told))
    rows, is_right, is_on = np.array(found), np.array(right), np.array(on_topic)
    weights = fit(rows, is_on)
    certainty = 1 / (1 + np.exp(-(weights[0] + rows @ weights[1:])))
    report = {
        "weights": dict(zip(("bias", *NAMES), weights.round(2).tolist(), strict=True)),
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
