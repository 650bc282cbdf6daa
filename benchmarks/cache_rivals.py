"""The rules that other caches decide by, replayed on the vectors and in the order of Teller's own stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teller.cache.calibration import upper_bound

# Static thresholds on the nearest neighbour's cosine, as these caches ship them (research and source, November 2026).
STATIC = {"gptcache": 0.60, "langchain-redis": 0.80, "redisvl": 0.90, "production-stack": 0.95}
SWEEP = np.concatenate([np.arange(0.60, 0.90, 0.05), np.arange(0.90, 1.0, 0.005)]).round(3).tolist()
VOTES = np.arange(0.40, 0.80, 0.02).round(2).tolist()


@dataclass(slots=True)
class Tally:
    """Counts of a replay."""

    asked: int = 0
    hits: int = 0
    wrong: int = 0
    misses: dict[str, int] = field(default_factory=dict)

    def report(self, **more: Any) -> dict[str, Any]:
        """The counts as shares, with an exact 95 % upper limit on the share of wrong hits."""
        share = self.wrong / self.hits if self.hits else 0.0
        bound = upper_bound(self.wrong, self.hits, 0.95) if self.hits else 1.0
        rates = {"hit_rate": self.hits / max(1, self.asked), "wrong_share": share, "wrong_share_upper_95": bound}
        return {**rates, "asked": self.asked, "hits": self.hits, "wrong": self.wrong, **more}


Rule = Callable[[NDArray[np.float32], NDArray[np.int64]], tuple[int, float]]


def nearest(similarities: NDArray[np.float32], labels: NDArray[np.int64]) -> tuple[int, float]:
    """What static thresholds look at: the nearest entry's label and its cosine."""
    best = int(similarities.argmax())
    return int(labels[best]), float(similarities[best])


def vote_of_12(similarities: NDArray[np.float32], labels: NDArray[np.int64]) -> tuple[int, float]:
    """The plain vote: the label with the most similarity among 12 neighbours, and its share of 12."""
    count = min(12, len(similarities))
    best = np.argpartition(-similarities, count - 1)[:count]
    weights = np.bincount(labels[best], np.maximum(similarities[best], 0.0))
    return int(weights.argmax()), float(weights.max() / 12.0)


def replay(
    vectors: NDArray[np.float32],
    labels: NDArray[np.int64],
    order: Sequence[int],
    rule: Rule,
    least: float,
    *,
    keep_hits: bool = False,
) -> Tally:
    """A rule that serves from some score up, on the same stream."""
    held, owned, count, tally = np.zeros_like(vectors), np.zeros_like(labels), 0, Tally()
    for place in order:
        tally.asked += 1
        if count:
            label, score = rule(held[:count] @ vectors[place], owned[:count])
            if score >= least:
                tally.hits += 1
                tally.wrong += int(label != labels[place])
                if not keep_hits:
                    continue
        held[count], owned[count] = vectors[place], labels[place]
        count += 1
    return tally


def learned_per_entry(
    vectors: NDArray[np.float32], labels: NDArray[np.int64], order: Sequence[int], limit: float
) -> Tally:
    """A rule learned by each entry from its own explored hits, as vCache's paper describes it (arXiv 2502.03771).

    Our own reading of it, not its code: a logistic curve of rightness over cosine for the nearest entry, its estimate
    lowered by one standard error; the entry serves with the probability that keeps wrong answers under the limit over
    all requests, and explores otherwise.
    """
    rng = np.random.default_rng(0)
    held, owned, count, tally = np.zeros_like(vectors), np.zeros_like(labels), 0, Tally()
    seen: list[list[tuple[float, bool]]] = []
    for place in order:
        tally.asked += 1
        best = int((held[:count] @ vectors[place]).argmax()) if count else -1
        if best >= 0:
            cosine = float(held[best] @ vectors[place])
            sure = _sure(seen[best], cosine)
            if rng.random() < min(1.0, limit / max(1e-9, 1.0 - sure)) and len(seen[best]) >= 6:
                tally.hits += 1
                tally.wrong += int(owned[best] != labels[place])
                continue
            seen[best].append((cosine, bool(owned[best] == labels[place])))
            if owned[best] == labels[place]:
                continue
        held[count], owned[count] = vectors[place], labels[place]
        seen.append([])
        count += 1
    return tally


def _sure(seen: Sequence[tuple[float, bool]], cosine: float) -> float:
    if not seen:
        return 0.0
    design = np.array([[1.0, 10.0 * (at - 0.8)] for at, _ in seen])
    right, weights = np.array([good for _, good in seen], float), np.array([0.0, 1.0])
    prior = np.diag([0.05, 0.2])
    for _ in range(8):
        chance = 1.0 / (1.0 + np.exp(-design @ weights))
        curve = (design * (chance * (1 - chance))[:, None]).T @ design + prior
        weights = weights + np.linalg.solve(curve, design.T @ (right - chance) - prior @ (weights - [0.0, 1.0]))
    at = np.array([1.0, 10.0 * (cosine - 0.8)])
    return float(1.0 / (1.0 + np.exp(-(at @ weights - np.sqrt(at @ np.linalg.solve(curve, at))))))


def rivals_on_stream(
    vectors: NDArray[np.float32], names: Sequence[str], order: Sequence[int], limit: float, *, keep_hits: bool = False
) -> dict[str, Any]:
    """Every rival at its default, and the best that hindsight finds for its kind under the limit."""
    ids = {name: at for at, name in enumerate(dict.fromkeys(names))}
    labels = np.array([ids[name] for name in names])
    both = {"keep_hits": keep_hits}
    least_ones = sorted({*SWEEP, *STATIC.values()})
    swept = {least: replay(vectors, labels, order, nearest, least, **both) for least in least_ones}
    found: dict[str, Any] = {name: swept[least].report(threshold=least) for name, least in STATIC.items()}
    found["best static threshold"] = _best(swept, limit)
    votes = {least: replay(vectors, labels, order, vote_of_12, least, **both) for least in VOTES}
    found["plain vote of 12, best"] = _best(votes, limit)
    found["learned per entry (vcache)"] = learned_per_entry(vectors, labels, order, limit).report(delta=limit)
    return found


def _best(swept: dict[float, Tally], limit: float) -> dict[str, Any]:
    fit = [(tally.hits, -least) for least, tally in swept.items() if tally.hits and tally.wrong <= limit * tally.hits]
    least = -max(fit)[1] if fit else max(swept)
    return swept[least].report(threshold=float(least))
