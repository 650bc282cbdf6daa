"""How often the cache answers, and how often wrongly, beside static thresholds on the same vectors.

    python -m benchmarks.cache_quality stream --data FILE.csv --text COL --label COL [--order SEED] [--noise SHARE]
    python -m benchmarks.cache_quality pairs --data FILE.jsonl [--cut 0.8] [--json]
    python -m benchmarks.cache_quality swaps [--count 30000] [--json]

`stream` asks a labelled file's questions in random order of a cache that begins empty. A miss is answered with its
label and stored; a hit stores nothing, and is right when the served entry's label is the question's. No other label is
used: Teller sets its own limit while it runs, from what its misses would have been; rivals are given the best limit
that hindsight finds. `--noise` garbles that share of the words, as a bad line would. `pairs` asks b of a cache that
holds a: each pair alone, then all in one. `swaps` makes its own pairs: a question of the bank's with one value changed.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import itertools
import json
import platform
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.cache_rivals import STATIC, Tally, rivals_on_stream
from benchmarks.swaps import make_swaps
from teller.banking.products import load_catalogue, load_opposites
from teller.cache.entries import Text
from teller.cache.judge import CertifiedJudge, Region, Regions
from teller.cache.live_regions import LiveRegions
from teller.cache.metric import Metric, is_due, learn, sample
from teller.cache.verdict import Accept, Neighbour, Probe
from teller.cache.verifier import Verifier
from teller.engines.minilm import MiniLm
from teller.turn import DataClass, Question
from teller.values import Catalogue, find_values
from teller.values.figures import in_figures

LIMIT = 0.01
BANK = Path(__file__).parents[1] / "src" / "teller" / "data" / "bank"


@dataclass(slots=True)
class Texts:
    """Questions with what one pass of the embedder gives."""

    questions: list[Question]
    vectors: NDArray[np.float32]
    tokens: list[NDArray[np.float32]]


def catalogue() -> Catalogue:
    """The bank's own names."""
    return load_catalogue((BANK / "catalogue.toml").read_text(encoding="utf-8"), "catalogue.toml")


def judge_with(regions: Regions) -> CertifiedJudge:
    """The judge as the bank would have it."""
    opposites = load_opposites((BANK / "catalogue.toml").read_text(encoding="utf-8"), "catalogue.toml")
    return CertifiedJudge(regions, opposites=opposites, verifier=Verifier())


def embedded(texts: Sequence[str]) -> Texts:
    """Read and embed texts once; vectors are kept in the temporary folder for the next run."""
    home = Path(tempfile.gettempdir()) / "teller-benchmarks"
    home.mkdir(exist_ok=True)
    engine = MiniLm(home)
    names = catalogue()
    questions = [Question(text, find_values(text, names)) for text in texts]
    figures = [in_figures(question) for question in questions]
    digest = hashlib.sha256("\n".join([engine.name, *figures]).encode()).hexdigest()[:24]
    path = home / f"{digest}.npz"
    if not path.exists():
        rows = [asyncio.run(engine.embed_tokens(text)) for text in figures]
        ends = np.cumsum([0, *(len(tokens) for _, tokens in rows)])
        flat = np.concatenate([tokens for _, tokens in rows]).astype(np.float16)
        np.savez(path, vectors=np.stack([vector for vector, _ in rows]), tokens=flat, ends=ends)
    kept = np.load(path)
    tokens, ends = kept["tokens"], kept["ends"]
    cut = [tokens[start:end].astype(np.float32) for start, end in itertools.pairwise(ends)]
    return Texts(questions, kept["vectors"], cut)


class Store:
    """Entries in arrays, with exact search: what the index does, without its speed."""

    def __init__(self, texts: Texts, judge: CertifiedJudge) -> None:
        self._texts, self._judge = texts, judge
        self._vectors = np.zeros((1024, texts.vectors.shape[1]), np.float32)
        self._rows: list[tuple[int, str, bytes]] = []
        self._metric: Metric | None = None
        self._learned_from = 0

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, place: int, answer_id: str) -> None:
        """Store a text, by its place, as an entry; the vector in 8 bits, as the cache keeps it."""
        texts, count = self._texts, len(self._rows)
        if count == len(self._vectors):
            self._vectors = np.concatenate([self._vectors, np.zeros_like(self._vectors)])
        vector = texts.vectors[place]
        scale = np.abs(vector).max() / 127.0
        self._vectors[count] = np.round(vector / scale) * scale
        sketch = self._judge.sketch(texts.questions[place], vector, texts.tokens[place])
        self._rows.append((place, answer_id, sketch))
        if is_due(len(self._rows), self._learned_from):
            self._learn()

    def _learn(self) -> None:
        """What the cache's upkeep does."""
        self._learned_from = len(self._rows)
        rows = sample(np.arange(len(self._rows), dtype=np.int64))
        answer_ids = [self._rows[row][1] for row in rows.tolist()]
        self._metric = learn(self._vectors[rows], answer_ids, learned_from=len(self._rows)) or self._metric

    def probe(self, texts: Texts, place: int, only: slice = slice(None)) -> Probe:
        """What the judge is shown for a text, by its place."""
        vector = texts.vectors[place]
        first = only.start or 0
        similarities = self._vectors[: len(self._rows)][only] @ vector
        count = min(self._judge.neighbours, len(similarities))
        best = np.argpartition(-similarities, count - 1)[:count]
        best = best[np.argsort(-similarities[best], kind="stable")]
        near = tuple(self._neighbour(first + int(row), float(similarities[row])) for row in best)
        return Probe(texts.questions[place], vector, texts.tokens[place], near, "public", self._metric)

    def _neighbour(self, row: int, similarity: float) -> Neighbour:
        place, answer_id, sketch = self._rows[row]
        asked = self._texts.questions[place]
        vector = self._vectors[row]
        text = Text(asked.text, asked.values, sketch)
        return Neighbour(row, text, answer_id, similarity, 0.5, 0.0, DataClass.PUBLIC, vector)

    def answer_id(self, row: int) -> str:
        """The answer of an entry."""
        return self._rows[row][1]


def stream(
    texts: Texts, labels: Sequence[str], order: Sequence[int], limit: float, *, keep_hits: bool = False
) -> dict[str, Any]:
    """Teller on a stream, setting its own limit as it goes."""
    regions = LiveRegions(max_false_hits=limit)
    judge = judge_with(regions)
    store, tally, took, quarters = Store(texts, judge), Tally(), [], [Tally() for _ in range(4)]
    claimed: list[tuple[float, bool]] = []
    for at, place in enumerate(order):
        quarter = quarters[4 * at // len(order)]
        tally.asked += 1
        quarter.asked += 1
        if len(store):
            probe = store.probe(texts, place)
            start = time.perf_counter()
            opinion = judge.opine(probe)
            verdict = judge.decide(opinion, regions.region("public"))
            took.append(1000.0 * (time.perf_counter() - start))
            right = opinion.best.answer_id == labels[place]
            claimed.append((opinion.probability, right))
            served = isinstance(verdict, Accept)
            regions.answered("public", opinion.probability, None if served else right)
            if isinstance(verdict, Accept):
                for count in (tally, quarter):
                    count.hits += 1
                    count.wrong += not right
                if not keep_hits:
                    continue
            else:
                tally.misses[verdict.reason] = tally.misses.get(verdict.reason, 0) + 1
        store.add(place, labels[place])
    return tally.report(
        misses=tally.misses,
        by_quarter=[quarter.report() for quarter in quarters],
        decision_ms={"p50": float(np.percentile(took, 50)), "p99": float(np.percentile(took, 99))},
        stored=len(store),
        hindsight_hit_rate=_hindsight(claimed, limit, len(order)),
    )


def _hindsight(claimed: Sequence[tuple[float, bool]], limit: float, asked: int) -> float:
    """Hit rate of the best single limit on probability for the opinions of a run, had their rightness been known."""
    ranked = sorted(claimed, key=lambda one: -one[0])
    wrong = np.cumsum([not right for _, right in ranked])
    inside = np.flatnonzero(wrong <= limit * np.arange(1, len(ranked) + 1))
    return float(inside[-1] + 1) / asked if len(inside) else 0.0


def garbled(text: str, share: float, words: Sequence[str], rng: random.Random) -> str:
    """Mishear a share of the words: another word of like beginning and length, none, or one too many."""
    heard: list[str] = []
    for word in text.split():
        draw = rng.random()
        if draw >= share:
            heard.append(word)
        elif draw < 0.6 * share:
            like = [other for other in rng.sample(words, min(200, len(words))) if other[:1] == word[:1].lower()]
            heard.append(min(like, key=lambda other: abs(len(other) - len(word)), default="uh"))
        elif draw < 0.8 * share:
            heard += [word, rng.choice(["uh", "um", "the", "a"])]
    return " ".join(heard) or text


@dataclass(slots=True)
class Probed:
    """Counts of pairs, in all and by category."""

    rows: dict[str, dict[str, int]] = field(default_factory=dict)

    def count(self, category: str, *, same: bool, near: bool, served: bool) -> None:
        """One pair: the paraphrases that count are those that pass the similarity cut."""
        kind = "paraphrases" if same else "traps"
        for name in ("all", category):
            row = self.rows.setdefault(name, dict.fromkeys(
                ("traps", "traps_near", "traps_served", "paraphrases", "paraphrases_near", "paraphrases_served"), 0
            ))  # fmt: skip
            row[kind] += 1
            row[f"{kind}_near"] += near
            row[f"{kind}_served"] += served and (near or not same)

    def report(self) -> dict[str, Any]:
        """All, with shares, and the same by category."""
        return {
            **_shares(self.rows.get("all", {})),
            "by_category": {k: _shares(v) for k, v in self.rows.items() if k != "all"},
        }


def _shares(row: dict[str, int]) -> dict[str, Any]:
    traps, near = row.get("traps", 0), row.get("paraphrases_near", 0)
    rejected = 1.0 - row["traps_served"] / traps if traps else None
    return {**row, "traps_rejected": rejected, "recall_of_near": row["paraphrases_served"] / near if near else None}


@dataclass(frozen=True, slots=True)
class Fixed:
    """One region for every class."""

    min_probability: float

    def region(self, risk_class: str) -> Region:  # noqa: ARG002
        """That region."""
        return Region(self.min_probability)


def pairs(rows: Sequence[dict[str, Any]], cut: float, least: float) -> dict[str, Any]:
    """Each pair alone in a cache, and all in one; every static threshold beside it."""
    texts = sorted({row[side] for row in rows for side in "ab"})
    place, data, judge = {text: at for at, text in enumerate(texts)}, embedded(texts), judge_with(Fixed(least))
    group = _groups(rows)
    firsts = sorted({row["a"] for row in rows})
    single, shared = Store(data, judge), Store(data, judge)
    at = {text: row for row, text in enumerate(firsts)}
    for text in firsts:
        single.add(place[text], group[text])
        shared.add(place[text], group[text])
    alone, together, static = Probed(), Probed(), {name: Probed() for name in STATIC}
    for row in rows:
        category = str(row.get("capability", row.get("category", "pairs")))
        probe = single.probe(data, place[row["b"]], slice(at[row["a"]], at[row["a"]] + 1))
        near = probe.neighbours[0].similarity >= cut
        served = isinstance(judge.judge(probe), Accept)
        alone.count(category, same=row["same"], near=near, served=served)
        for name, limit in STATIC.items():
            static[name].count(category, same=row["same"], near=near, served=probe.neighbours[0].similarity >= limit)
        verdict = judge.judge(shared.probe(data, place[row["b"]]))
        answer = shared.answer_id(verdict.entry_id) if isinstance(verdict, Accept) else None
        served = answer == group[row["b"]] if row["same"] else answer not in (None, group[row["b"]])
        together.count(category, same=row["same"], near=near, served=served)
    return {
        "teller": {**alone.report(), "in_one_cache": together.report()},
        "rivals": {k: v.report() for k, v in static.items()},
    }


def _groups(rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Texts that mean the same, through any chain of pairs marked so."""
    parent = {row[side]: row[side] for row in rows for side in "ab"}

    def root(text: str) -> str:
        while parent[text] != text:
            parent[text] = parent[parent[text]]
            text = parent[text]
        return text

    for row in rows:
        if row["same"]:
            parent[root(row["a"])] = root(row["b"])
    return {text: root(text) for text in parent}


def swaps(count: int, seed: int) -> dict[str, Any]:
    """Questions of the bank with one value changed: by guards alone, without vectors, each the other's nearest."""
    judge, names, probed = judge_with(Fixed(0.0)), catalogue(), Probed()
    one = np.zeros(384, np.float32)
    one[0] = 1.0
    leaks: list[dict[str, str]] = []
    for swap in make_swaps(count, seed=seed):
        stored, asked = (Question(text, find_values(text, names)) for text in (swap.stored, swap.asked))
        neighbour = Neighbour(0, Text(stored.text, stored.values, b""), "a", 1.0, 0.5, 0.0, DataClass.PUBLIC, one)
        served = isinstance(judge.judge(Probe(asked, one, None, (neighbour,), "public")), Accept)
        probed.count(swap.kind, same=False, near=True, served=served)
        if served and len(leaks) < 20:
            leaks.append({"kind": swap.kind, "stored": swap.stored, "asked": swap.asked})
    return {"teller": {**probed.report(), "served": leaks}, "rivals": {}}


def run_stream(args: argparse.Namespace) -> dict[str, Any]:
    frame = pd.read_csv(args.data)[[args.text, args.label]].dropna().astype(str)
    asked, labels, rng = frame[args.text].tolist(), frame[args.label].tolist(), random.Random(args.order)
    if args.noise:
        words = sorted({word for text in asked for word in text.lower().split()})
        asked = [garbled(text, args.noise, words, rng) for text in asked]
    order = np.random.default_rng(args.order).permutation(len(asked))[: args.limit].tolist()
    texts = embedded(asked) if args.limit is None else embedded([asked[at] for at in order])
    labels = labels if args.limit is None else [labels[at] for at in order]
    order = order if args.limit is None else list(range(len(order)))
    rivals = (
        {}
        if args.no_rivals
        else rivals_on_stream(texts.vectors, labels, order, args.max_false_hits, keep_hits=args.keep_hits)
    )
    ours = stream(texts, labels, order, args.max_false_hits, keep_hits=args.keep_hits)
    return {"teller": ours, "rivals": rivals}


def run_pairs(args: argparse.Namespace) -> dict[str, Any]:
    with Path(args.data).open(encoding="utf-8") as lines:
        return pairs([json.loads(line) for line in lines if line.strip()], args.cut, args.min_probability)


def run_swaps(args: argparse.Namespace) -> dict[str, Any]:
    return swaps(args.count, args.order)


def table(result: dict[str, Any]) -> Iterator[str]:
    """Lines for people."""
    systems = {"teller": result["teller"], **result["rivals"]}
    if "in_one_cache" in result["teller"]:
        systems["teller, all in one"] = result["teller"]["in_one_cache"]
    shown = [key for key, value in result["teller"].items() if isinstance(value, int | float)]
    for name, row in systems.items():
        yield f"{name:28} " + "  ".join(
            f"{key} {row[key]:.4g}" for key in shown if isinstance(row.get(key), int | float)
        )
    for name, row in result["teller"].get("by_category", {}).items():
        yield f"  {name:26} " + "  ".join(f"{key} {value:.4g}" for key, value in row.items() if value is not None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes = parser.add_subparsers(dest="mode", required=True)
    ask = modes.add_parser("stream")
    ask.add_argument("--data", required=True)
    ask.add_argument("--text", default="text")
    ask.add_argument("--label", default="category")
    ask.add_argument("--noise", type=float, default=0.0)
    ask.add_argument("--limit", type=int, help="use only so many questions")
    ask.add_argument("--max-false-hits", type=float, default=LIMIT)
    ask.add_argument("--no-rivals", action="store_true")
    ask.add_argument(
        "--keep-hits",
        action="store_true",
        help="hits join the store too, with their own label: what somebody who checks every hit would have",
    )
    ask.set_defaults(run=run_stream)
    two = modes.add_parser("pairs")
    two.add_argument("--data", required=True)
    two.add_argument("--cut", type=float, default=0.8)
    two.add_argument("--min-probability", type=float, default=0.9)
    two.set_defaults(run=run_pairs)
    changed = modes.add_parser("swaps")
    changed.add_argument("--count", type=int, default=30_000)
    changed.set_defaults(run=run_swaps)
    for mode in (ask, two, changed):
        mode.add_argument("--order", type=int, default=0, help="seed of the order, or of what is made up")
        mode.add_argument("--json", action="store_true")
    args = parser.parse_args()
    start = time.perf_counter()
    result = args.run(args)
    result["machine"] = {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "seconds": round(time.perf_counter() - start, 1),
    }
    print(json.dumps(result, indent=1) if args.json else "\n".join(table(result)))


if __name__ == "__main__":
    main()
