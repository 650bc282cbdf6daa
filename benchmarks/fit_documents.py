"""Fits the certainty of `banking/document_search.py`.

    python -m benchmarks.fit_documents --documents PATH --questions FILE [--json]

PATH and FILE are as in `benchmarks.documents`. What comes first for each question gives the numbers that the certainty
uses; a logistic regression tells covered questions from absent and off ones. What the weights then answer and refuse is
counted on questions that they were not fitted on, a tenth at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.fit_retrieval import fit
from teller.bank_files import read_bank
from teller.banking.document_search import DocumentSearch, Found, Sureness, looked_at
from teller.banking.spelling import Spelling
from teller.config import load
from teller.engine_wiring import open_embedder, open_reader
from teller.stores.home import open_home
from teller.stores.vectors import KeptVectors

SHARES = {"covered": 1.0, "absent": 0.7, "off": 0.3}  # how much each kind weighs
NAMES = tuple(field.name for field in fields(Sureness))[1:]
PARTS = 10


async def firsts(documents: Path, items: Sequence[Mapping[str, Any]]) -> list[tuple[str, Found, bool]]:
    """Of each question its kind, what comes first for it, and whether that says what it must."""
    settings = load(flags={"knowledge.path": str(documents)}).settings
    home = open_home(settings.home)
    reader = open_reader(settings, home, open_embedder(settings, home))
    passages = [entry for entry in read_bank(settings).approved if not entry.spoken_whole]
    spelling = Spelling([f"{one.title} {one.text}" for one in passages], getattr(reader, "words", frozenset()))
    search = DocumentSearch(passages, KeptVectors(reader, home.knowledge))
    await search.fill()
    await search.deepen()
    rows = []
    for item in items:
        text = spelling.mended(item["q"])
        found = await search.found(await looked_at(text, reader))
        if found:
            said = any(part.lower() in found[0].passage.text.lower() for part in item["must_say"])
            rows.append((item["kind"], found[0], said))
    return rows


def report(found: Sequence[tuple[str, Found, bool]]) -> dict[str, Any]:
    """The weights, and what they answer and refuse."""
    kinds = np.array([kind for kind, _, _ in found])
    rows = np.array([[getattr(first, name) for name in NAMES] for _, first, _ in found])
    said = np.array([said for _, _, said in found])
    share = np.array([SHARES[kind] / np.count_nonzero(kinds == kind) for kind in kinds])
    part = np.random.default_rng(1).permutation(len(rows)) % PARTS
    certainty = np.zeros(len(rows))
    for number in range(PARTS):
        held_back = part == number
        weights = _fitted(rows[~held_back], (kinds == "covered")[~held_back], share[~held_back])
        certainty[held_back] = 1 / (1 + np.exp(-(weights[0] + rows[held_back] @ weights[1:])))
    return {
        "weights": dict(zip(("bias", *NAMES), _fitted(rows, kinds == "covered", share).round(2).tolist(), strict=True)),
        "by_min_score": {
            str(limit): {
                "covered, must_say": round(float((said & (certainty >= limit))[kinds == "covered"].mean()), 3),
                **{f"{kind} refused": round(float((certainty < limit)[kinds == kind].mean()), 3) for kind in SHARES},
            }
            for limit in (0.3, 0.4, 0.5, 0.6, 0.7)
        },
    }


def _fitted(rows: NDArray[np.float64], covered: NDArray[np.bool_], share: NDArray[np.float64]) -> NDArray[np.float64]:
    """As `fit`, with numbers that vary alike, so that the penalty is as fair to a cosine as to a count."""
    scale = np.array([1.0, *rows.std(axis=0)])
    return np.asarray(fit(rows / scale[1:], covered, share) / scale)


def main() -> None:
    """Fit and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fit_documents", description=__doc__)
    parser.add_argument("--documents", type=Path, required=True)
    parser.add_argument("--questions", type=Path, required=True)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    items = [json.loads(line) for line in given.questions.read_text().splitlines() if line.strip()]
    print(json.dumps(report(asyncio.run(firsts(given.documents, items))), indent=None if given.json else 2))


if __name__ == "__main__":
    main()
