"""Train the pair verifier on generated pairs, and write the weights that `cache.verifier` reads.

    python -m teller.training.verifier [--pairs 45000] [--seed 1] [--output src/teller/data/verifier.npz]

One seeded command on one thread; needs PyTorch (`pip install 'teller[transformers]'`) and ten minutes on one core, most
of it embedding. Equal versions of PyTorch and ONNX Runtime on equal processors give equal weights.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import importlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teller.cache.guards import Guards, Reading
from teller.cache.verifier import pair_facts
from teller.engines.minilm import MiniLm
from teller.errors import EngineUnavailable
from teller.training.pairs import Pair, make_pairs
from teller.turn import Question

_SMALL, _HIDDEN, _FACTS, _LONGEST = 32, 32, 7, 24
_BATCH, _EPOCHS, _RATE = 256, 6, 4e-3


@dataclass(frozen=True, slots=True)
class Embedded:
    """Texts with what one pass gives: vectors (n, dim), tokens (all, dim) and where each text's begin and end."""

    at: dict[str, int]
    readings: list[Reading]
    vectors: NDArray[np.float32]
    tokens: NDArray[np.float16]
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, texts: Sequence[str], embedder: MiniLm) -> Embedded:
        """Embed texts one by one, as the cache does."""
        guards, rows = Guards(), [asyncio.run(embedder.embed_tokens(text)) for text in texts]
        ends = np.cumsum([0, *(len(tokens) for _, tokens in rows)])
        tokens = np.concatenate([tokens.astype(np.float16) for _, tokens in rows])
        readings = [guards.read(Question(text)) for text in texts]
        return cls({text: at for at, text in enumerate(texts)}, readings, np.stack([v for v, _ in rows]), tokens, ends)

    def batch(self, places: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Token vectors of some texts, padded, and a mask of those that are there."""
        lengths = [min(_LONGEST, int(self.ends[at + 1] - self.ends[at])) for at in places]
        vectors = np.zeros((len(places), max(lengths), self.tokens.shape[1]), np.float32)
        mask = np.zeros(vectors.shape[:2], np.float32)
        for row, (at, length) in enumerate(zip(places, lengths, strict=True)):
            vectors[row, :length] = self.tokens[self.ends[at] : self.ends[at] + length]
            mask[row, :length] = 1.0
        return vectors, mask


@dataclass(frozen=True, slots=True)
class Examples:
    """Pairs as places in an `Embedded`, their facts and labels."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    facts: NDArray[np.float32]
    same: NDArray[np.float32]

    @classmethod
    def of(cls, pairs: Sequence[Pair], texts: Embedded) -> Examples:
        """Look the pairs up."""
        first = np.array([texts.at[pair.first] for pair in pairs])
        second = np.array([texts.at[pair.second] for pair in pairs])
        facts = [
            pair_facts(texts.readings[a], texts.readings[b], float(texts.vectors[a] @ texts.vectors[b]))
            for a, b in zip(first, second, strict=True)
        ]
        return cls(first, second, np.stack(facts), np.array([pair.same for pair in pairs], np.float32))


def train(examples: Examples, texts: Embedded, *, seed: int) -> dict[str, NDArray[np.float32]]:
    """Fit the network of `cache.verifier.Verifier` by AdamW; its weights by name.

    Raises:
        EngineUnavailable: if PyTorch is missing.
    """
    try:
        torch: Any = importlib.import_module("torch")
    except ImportError as exc:
        raise EngineUnavailable("training needs PyTorch: pip install 'teller[transformers]'") from exc
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    weights = _start(torch, texts.vectors.shape[1])
    optimizer = torch.optim.AdamW(list(weights.values()), lr=_RATE, weight_decay=1e-2)
    steps = _EPOCHS * (len(examples.same) // _BATCH)
    pace = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=steps + 1)
    rng = np.random.default_rng(seed)
    for epoch in range(_EPOCHS):
        order, total = rng.permutation(len(examples.same)), 0.0
        for start in range(0, len(order) - _BATCH + 1, _BATCH):
            rows = order[start : start + _BATCH]
            said = _log_odds(torch, weights, texts, examples, rows, training=True)
            wanted = torch.from_numpy(0.02 + 0.96 * examples.same[rows])
            loss = torch.nn.functional.binary_cross_entropy_with_logits(said, wanted)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            pace.step()
            total += loss.item()
        print(f"epoch {epoch + 1}: loss {total * _BATCH / len(order):.4f}", flush=True)  # noqa: T201
    return {name: value.detach().numpy() for name, value in weights.items()}


def _start(torch: Any, dim: int) -> dict[str, Any]:
    shapes = {
        "project": (dim, _SMALL),
        "gate": (_SMALL, 1),
        "compare": (2 * _SMALL + 1, _HIDDEN),
        "join": (4 * _HIDDEN + _FACTS, _HIDDEN),
        "out": (_HIDDEN, 1),
    }
    weights = {name: (torch.rand(shape) * 2 - 1) / shape[0] ** 0.5 for name, shape in shapes.items()}
    weights |= {f"{name}_bias": torch.zeros(shape[1]) for name, shape in shapes.items() if name != "project"}
    weights["focus"] = torch.tensor(8.0)
    return {name: value.requires_grad_() for name, value in weights.items()}


def _log_odds(
    torch: Any, weights: dict[str, Any], texts: Embedded, examples: Examples, rows: NDArray[np.int64], *, training: bool
) -> Any:
    """`Verifier.log_odds` of a batch, differentiable; the second text as its sketch would have it."""
    sides = []
    for places in (examples.first[rows], examples.second[rows]):
        vectors, mask = texts.batch(places)
        sides.append(
            (
                torch.nn.functional.normalize(torch.from_numpy(vectors) @ weights["project"], dim=2),
                torch.from_numpy(mask),
            )
        )
    (here, here_mask), (there, there_mask) = sides
    rounded = torch.round((there.clamp(-0.5, 0.5) + 0.5) * 15) / 15 - 0.5
    there = there + (rounded - there).detach()
    alike = here @ there.transpose(1, 2)
    here_sum, here_most = _side(torch, weights, (here, here_mask), (there, there_mask), alike)
    there_sum, there_most = _side(torch, weights, (there, there_mask), (here, here_mask), alike.transpose(1, 2))
    most = [torch.maximum(here_most, there_most), here_most + there_most]
    joined = [here_sum + there_sum, (here_sum - there_sum).abs(), *most, torch.from_numpy(examples.facts[rows])]
    dropped = torch.nn.functional.dropout(torch.cat(joined, 1), 0.1, training)
    return (torch.relu(dropped @ weights["join"] + weights["join_bias"]) @ weights["out"] + weights["out_bias"])[:, 0]


def _side(
    torch: Any, weights: dict[str, Any], here: tuple[Any, Any], there: tuple[Any, Any], alike: Any
) -> tuple[Any, Any]:
    (rows, mask), (others, other_mask) = here, there
    absent = other_mask[:, None, :] == 0
    attention = (alike * weights["focus"]).masked_fill(absent, -1e4).softmax(2)
    beside, most = attention @ others, alike.masked_fill(absent, -1.0).max(2).values[..., None]
    seen = torch.cat([rows * beside, (rows - beside).abs(), most], 2)
    gate = torch.sigmoid(rows @ weights["gate"] + weights["gate_bias"]) * mask[..., None]
    compared = torch.relu(seen @ weights["compare"] + weights["compare_bias"]) * gate
    return compared.sum(1) / 4, compared.max(1).values


def main() -> None:
    """Train, measure on frames that were held out, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=45_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path(__file__).parents[1] / "data" / "verifier.npz")
    args = parser.parse_args()
    pairs = list(make_pairs(args.pairs, seed=args.seed))
    held = list(make_pairs(3_000, seed=args.seed + 1, held_out=True))
    embedder = MiniLm(Path(tempfile.gettempdir()) / "teller-training")
    texts = Embedded.of(sorted({text for pair in pairs + held for text in (pair.first, pair.second)}), embedder)
    weights = train(Examples.of(pairs, texts), texts, seed=args.seed)
    kept: dict[str, Any] = {name: value.astype(np.float16) for name, value in weights.items()}
    digest = hashlib.sha256(b"".join(kept[name].tobytes() for name in sorted(kept))).hexdigest()[:12]
    made_for = embedder.name.rpartition("-")[0]  # its precision moves vectors by less than the four bits of a sketch
    np.savez(args.output, name=np.array(f"verifier-{digest}"), embedder=np.array(made_for), **kept)
    torch: Any = importlib.import_module("torch")
    tensors = {name: torch.from_numpy(value) for name, value in weights.items()}
    unseen = Examples.of(held, texts)
    said = np.asarray(_log_odds(torch, tensors, texts, unseen, np.arange(len(held)), training=False))
    for least in (0.0, 1.0, 2.0):
        passed = [float((said[unseen.same == same] > least).mean()) for same in (1.0, 0.0)]
        print(f"held-out frames, log-odds over {least}: {passed[0]:.1%} of the same, {passed[1]:.2%} of others")  # noqa: T201


if __name__ == "__main__":
    main()
