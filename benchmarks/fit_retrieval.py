"""Fits the certainty of `banking/retrieval.py`.

    python -m benchmarks.fit_retrieval [--encoder FILE] [--json]

An encoder is trained for this alone, without a sixth of the answers, a sixth of the other answers' ways of asking and
half of off_topic.txt and near_topic.txt. The ways of asking that it has not seen count as covered. Not covered are what
asks for the answers that were taken out, as near the bank's business as a question can be; the unseen half of
near_topic.txt, each fifth with the rest of the file in the gate; and the unseen half of off_topic.txt. A logistic
regression over the numbers that `Knowledge.certainty` uses gives the weights. The close misses of close_misses.txt have
no part in that. Beside it stands what the weights in use do once those vote too, each fifth of an unseen half asked of
the others. No public data set is touched; twelve minutes of one core.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from teller.bank_files import read_bank, read_close_misses, read_near_topic, read_off_topic
from teller.banking.knowledge import Approved
from teller.banking.retrieval import Candidate, Knowledge, Tuning, Weights
from teller.config import load
from teller.engines.faiss_index import FaissIndex
from teller.engines.minilm import MiniLm
from teller.stores.home import open_home
from teller.stores.vectors import KeptVectors
from teller.training.encoder import FOLDS, lesson_of, save, train

RIDGE = 1.0
TAKEN_OUT = 3  # of every FOLDS answers
BLOCKS = 5  # of unseen near-topic questions, each asked of a gate that has not seen it
# How much each kind weighs; covered somewhat more than all that is not, for callers ask it more often.
SHARES = {"covered": 1.25, "near topic": 0.4, "taken out": 0.1, "off topic": 0.5}
NAMES = tuple(field.name for field in fields(Weights))[1:]


@dataclass(frozen=True, slots=True)
class Question:
    """A question that was held back; `answer_id` is what it asks for."""

    kind: str
    text: str
    answer_id: str = ""


def held_back(approved: Sequence[Approved]) -> Iterator[Question]:
    """What is asked of the answers and off-topic questions that are kept; near-topic questions come apart."""
    for number, entry in enumerate(approved):
        taken_out = number % FOLDS == TAKEN_OUT
        for ask in entry.asks if taken_out else entry.asks[::FOLDS]:
            yield Question("taken out" if taken_out else "covered", ask, entry.id)
    for text in read_off_topic()[1::2]:
        yield Question("off topic", text)


async def examples(
    approved: Sequence[Approved], embedder: KeptVectors, close: Sequence[str] = ()
) -> list[tuple[Question, Candidate]]:
    """Every question that was held back and what comes first for it; close misses vote, if any are given."""

    async def firsts(questions: Iterable[Question], near_topic: Sequence[str]) -> list[tuple[Question, Candidate]]:
        off_topic = (*read_off_topic()[::2], *near_topic)
        knowledge = Knowledge(kept_of(approved), embedder, FaissIndex, Tuning(off_topic=off_topic))
        await knowledge.fill()
        asked = [(one, (await embedder.embed([one.text]))[0]) for one in questions]
        return [(one, knowledge.candidates(one.text, vector)[0]) for one, vector in asked]

    near = read_near_topic()
    found = await firsts(held_back(approved), [*near, *close])
    for kind, asked, beside in (("near topic", near, close), ("close miss", close, near)):
        for block in np.array_split(np.arange(1, len(asked), 2), BLOCKS):
            others = [text for at, text in enumerate(asked) if at not in block]
            found += await firsts([Question(kind, asked[at]) for at in block], [*others, *beside])
    return found


def kept_of(approved: Sequence[Approved]) -> list[Approved]:
    """The answers without what is held back."""
    kept = [entry for number, entry in enumerate(approved) if number % FOLDS != TAKEN_OUT]
    return [replace(entry, asks=tuple(ask for at, ask in enumerate(entry.asks) if at % FOLDS)) for entry in kept]


def fit(rows: NDArray[np.float64], covered: NDArray[np.bool_], share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights, bias first, of a ridge-penalised logistic regression in which rows weigh by their share."""
    rows = np.column_stack([np.ones(len(rows)), rows])
    share = share / share.mean()
    weights = np.zeros(rows.shape[1])
    penalty = RIDGE * np.diag([0.0] + [1.0] * (rows.shape[1] - 1))
    for _ in range(30):  # Newton's method
        expected = 1 / (1 + np.exp(-rows @ weights))
        gradient = rows.T @ (share * (covered - expected)) - penalty @ weights
        curvature = (rows.T * (share * expected * (1 - expected))) @ rows + penalty
        weights = weights + np.linalg.solve(curvature, gradient)
    return weights


def fitted(found: Sequence[tuple[Question, Candidate]]) -> NDArray[np.float64]:
    """The weights that tell what is covered from what is not, bias first."""
    kinds = np.array([question.kind for question, _ in found])
    rows = np.array([[getattr(first, name) for name in NAMES] for _, first in found])
    share = np.array([SHARES[kind] / np.count_nonzero(kinds == kind) for kind in kinds])
    return fit(rows, kinds == "covered", share)


def report(found: Sequence[tuple[Question, Candidate]], weights: NDArray[np.float64]) -> dict[str, Any]:
    """What weights do to each kind of question."""
    kinds = np.array([question.kind for question, _ in found])
    rows = np.array([[getattr(first, name) for name in NAMES] for _, first in found])
    right = np.array([question.answer_id == first.entry.id for question, first in found])
    certainty = 1 / (1 + np.exp(-(weights[0] + rows @ weights[1:])))

    def answered(kind: str, limit: float) -> float:
        return round(float((certainty[kinds == kind] >= limit).mean()), 3)

    return {
        "weights": dict(zip(("bias", *NAMES), weights.round(2).tolist(), strict=True)),
        "questions": {kind: int(np.count_nonzero(kinds == kind)) for kind in dict.fromkeys(kinds.tolist())},
        "first_is_right": round(float(right[kinds == "covered"].mean()), 4),
        "by_min_score": {
            str(limit): {
                **{f"{kind} answered": answered(kind, limit) for kind in dict.fromkeys(kinds.tolist())},
                "covered answered right": round(float((right & (certainty >= limit))[kinds == "covered"].mean()), 3),
            }
            for limit in (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
        },
    }


def main() -> None:
    """Fit and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", type=Path, help="its matrices: read if the file is there, else kept in it")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)  # as when the encoder is trained to be shipped
    settings = load().settings
    approved = read_bank(settings).approved
    with tempfile.TemporaryDirectory() as folder:
        matrices = given.encoder or Path(folder) / "encoder.safetensors"
        if not matrices.exists():
            seen = [*read_off_topic()[::2], *read_near_topic()[::2]]
            save(train(lesson_of(kept_of(approved), seen), partial(print, file=sys.stderr)), matrices)
        embedder = KeptVectors(MiniLm(open_home(settings.home).path, lora=matrices), Path(folder))
        found = asyncio.run(examples(approved, embedder))
        voted = asyncio.run(examples(approved, embedder, read_close_misses()))
    in_use = np.array([getattr(Weights(), name) for name in ("bias", *NAMES)])
    both = {"fitted": report(found, fitted(found)), "in use, close misses vote": report(voted, in_use)}
    print(json.dumps(both, indent=None if given.json else 2))


if __name__ == "__main__":
    main()
