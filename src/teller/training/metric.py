"""Trains the bank's metric.

    python -m teller.training.metric [--check]

MiniLM was trained on everything; a linear map learned on this bank's own questions brings nearer what asks for the
same answer. It is trained like a classifier of ways of asking among all answers, each left out of its own answer's
examples, and held near the identity, so that it also serves texts that it has never seen. Written to
data/bank/metric.npz with the embedder's name; `--check` trains on five sixths of each answer's asks and prints how many
of the others find their answer. Needs PyTorch (`pip install 'teller[transformers]'`); a minute on one core.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from teller.banking.knowledge import Approved
from teller.config import load
from teller.stores.home import open_home
from teller.stores.vectors import KeptVectors
from teller.wiring import bank_folder, open_embedder, read_bank

SEED = 7
EPOCHS = 6  # 12 and 20 were no better on asks left out
BATCH = 256
LEARNING_RATE = 1e-3
PULL = 1e-3  # towards the identity, per squared weight; 3e-4 to 1e-2 differ by less than half a point
DROPPED = 0.1  # share of the question's dimensions hidden in each step
FOLDS = 6

Rows = NDArray[np.float32]


def train(asks: Rows, answer_of: NDArray[np.int64], texts: Rows) -> Rows:
    """Learn the (dim, dim) map.

    Args:
        asks: (n, dim) unit vectors of ways of asking.
        answer_of: (n,) number of the answer that each asks for.
        texts: (answers, dim) unit vectors of the answers themselves.
    """
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(mode=True)
    questions, answers, approved = torch.from_numpy(asks), torch.from_numpy(answer_of), torch.from_numpy(texts)
    identity = torch.eye(asks.shape[1])
    metric = torch.nn.Parameter(identity.clone())
    sharpness, text_weight = torch.nn.Parameter(torch.tensor(3.0)), torch.nn.Parameter(torch.tensor(0.0))
    optimiser = torch.optim.Adam(
        [{"params": [metric], "lr": LEARNING_RATE}, {"params": [sharpness, text_weight], "lr": 10 * LEARNING_RATE}]
    )
    belongs = functional.one_hot(answers, len(texts)).float()
    for _ in range(EPOCHS):
        for batch in torch.split(torch.randperm(len(questions)), BATCH):
            hidden = (torch.rand(1, asks.shape[1]) > DROPPED).float()
            probe = functional.normalize((questions[batch] * hidden) @ metric, dim=-1)
            similarity = probe @ functional.normalize(questions @ metric, dim=-1).T
            similarity = similarity.scatter(1, batch[:, None], -1.0)  # a way of asking does not vote for itself
            scale = torch.exp(sharpness)
            by_asks = torch.log(torch.exp(scale * (similarity - 1)) @ belongs + 1e-12)
            by_text = torch.exp(text_weight) * (probe @ functional.normalize(approved @ metric, dim=-1).T)
            away = PULL * ((metric - identity) ** 2).sum()
            loss = functional.cross_entropy(by_asks + scale * by_text, answers[batch]) + away
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
    return metric.detach().numpy()


def first_is_right(
    asks: Rows, answer_of: NDArray[np.int64], texts: Rows, held_out: NDArray[np.bool_], metric: Rows
) -> float:
    """Share of the held-out asks whose own answer has the highest sum of nearest ask and text similarity."""
    known, probes, approved = (_unit(rows @ metric) for rows in (asks[~held_out], asks[held_out], texts))
    nearest = np.full((len(probes), len(texts)), -1.0, dtype=np.float32)
    similarity = probes @ known.T
    for at, answer in enumerate(answer_of[~held_out].tolist()):
        np.maximum(nearest[:, answer], similarity[:, at], out=nearest[:, answer])
    return float(((nearest + probes @ approved.T).argmax(axis=1) == answer_of[held_out]).mean())


def _unit(rows: Rows) -> Rows:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def _embed_bank(
    approved: Sequence[Approved], embedder: KeptVectors
) -> tuple[Rows, NDArray[np.int64], Rows, NDArray[np.int64]]:
    """Asks and titles, the answer of each, the answers' texts, the fold of each ask (-1 for titles: never held out)."""
    rows = [(ask, number, at % FOLDS) for number, entry in enumerate(approved) for at, ask in enumerate(entry.asks)]
    rows += [(entry.title, number, -1) for number, entry in enumerate(approved)]
    asks = asyncio.run(embedder.embed([text for text, _, _ in rows]))
    texts = asyncio.run(embedder.embed([f"{entry.title}. {entry.text}" for entry in approved]))
    return asks, np.array([number for _, number, _ in rows]), texts, np.array([fold for _, _, fold in rows])


def main() -> int:
    """Train and write, or check."""
    parser = argparse.ArgumentParser(prog="python -m teller.training.metric", description=__doc__)
    parser.add_argument("--check", action="store_true", help="measure on asks left out instead of writing")
    check = parser.parse_args().check
    torch.set_num_threads(1)  # sums in another order would give other weights
    settings = load().settings
    home = open_home(settings.home)
    embedder = KeptVectors(open_embedder(settings, home), home.knowledge)
    asks, answer_of, texts, folds = _embed_bank(read_bank(settings).approved, embedder)
    if check:
        identity = np.eye(asks.shape[1], dtype=np.float32)
        for fold in range(FOLDS):
            held_out = folds == fold
            learned = train(asks[~held_out], answer_of[~held_out], texts)
            before, after = (first_is_right(asks, answer_of, texts, held_out, metric) for metric in (identity, learned))
            sys.stdout.write(f"fold {fold}: {before:.3f} without, {after:.3f} with the metric\n")
        return 0
    metric = train(asks, answer_of, texts)
    np.savez_compressed(
        bank_folder() / "metric.npz", metric=metric.astype(np.float16), embedder=np.array(embedder.name)
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
