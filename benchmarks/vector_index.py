"""How fast, how exact and how large the vector index is, beside FAISS's own exhaustive and graph indexes.

    python -m benchmarks.vector_index [--json] [--sizes 10000,100000] [--hnsw] [--vectors FILE.npy | --asks]

One thread. Vectors are made up: clusters of about 25 within themes, as ways of asking the same are; queries are stored
vectors that were disturbed. Recall is the share of the 12 true nearest neighbours that were found. A million needs 5 GB
of memory and some minutes; `--hnsw` builds the graph too, which takes minutes for 100,000. `--asks` takes the bank's
own ways of asking, every 25th of them to ask with, and looks for the 48 nearest, as the cache does.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import gc
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from teller.bank_files import read_bank
from teller.config import Settings
from teller.engines.faiss_index import FaissIndex
from teller.engines.minilm import MiniLm
from teller.ports import Vectors

DIM, K, QUERIES, BATCH = 384, 12, 500, 1_000
K_OF_ASKS, LEFT_OUT = 48, 25
Ids = NDArray[np.int64]


def unit(rows: NDArray[Any]) -> Vectors:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), dtype=np.float32)


def made_up_vectors(count: int) -> Vectors:
    rng = np.random.default_rng(0)
    themes = unit(rng.standard_normal((max(4, count // 5_000), DIM)))
    clusters = count // 25
    centres = unit(themes[rng.integers(len(themes), size=clusters)] + 0.9 * unit(rng.standard_normal((clusters, DIM))))
    rows = np.empty((count, DIM), dtype=np.float32)
    for start in range(0, count, 50_000):
        size = min(50_000, count - start)
        spread = 0.55 * rng.uniform(0.5, 1.5, (size, 1))
        near = centres[rng.integers(clusters, size=size)]
        rows[start : start + size] = unit(near + spread * unit(rng.standard_normal((size, DIM))))
    return rows


async def ways_of_asking() -> Vectors:
    """The bank's, each once, in an order that keeps none together that mean the same."""
    asks = sorted({ask for one in read_bank(Settings()).approved for ask in one.asks})
    with tempfile.TemporaryDirectory() as home:
        embedder = await asyncio.to_thread(MiniLm, Path(home))
        parts = [await embedder.embed(asks[start : start + 256]) for start in range(0, len(asks), 256)]
    return np.concatenate(parts)[np.random.default_rng(0).permutation(len(asks))]


def resident_bytes() -> int:
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def timed_ms(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1_000


def percentiles(times_ms: list[float]) -> dict[str, float]:
    return {f"p{level}_ms": round(float(np.percentile(times_ms, level)), 3) for level in (50, 99)}


def searched(search: Callable[[Vectors], Ids], queries: Vectors, truth: Ids) -> dict[str, Any]:
    times_ms, hits = [], 0
    for query, wanted in zip(queries, truth, strict=True):
        start = time.perf_counter()
        found = search(query)
        times_ms.append((time.perf_counter() - start) * 1_000)
        hits += len(set(found.tolist()) & set(wanted.tolist()))
    return {"search": percentiles(times_ms), f"recall_at_{truth.shape[1]}": round(hits / truth.size, 4)}


def ours(rows: Vectors, queries: Vectors, truth: Ids) -> dict[str, Any]:
    before, start = resident_bytes(), time.perf_counter()
    index = FaissIndex(DIM)
    for at in range(0, len(rows), BATCH):
        index.add(np.arange(at, min(len(rows), at + BATCH), dtype=np.int64), rows[at : at + BATCH])
    build_s = time.perf_counter() - start
    per_entry = round((resident_bytes() - before) / len(rows))
    result: dict[str, Any] = {"build_s": round(build_s, 1), "bytes_per_entry": per_entry}
    result |= searched(lambda query: index.search(query, truth.shape[1])[1], queries, truth)
    new = [np.array([len(rows) + at], dtype=np.int64) for at in range(len(queries))]
    result["add_one"] = percentiles(
        [timed_ms(partial(index.add, one, query[None])) for one, query in zip(new, queries, strict=True)]
    )
    result["remove_one"] = percentiles([timed_ms(partial(index.remove, one)) for one in new])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index"
        result["save_s"] = round(timed_ms(lambda: index.save(path)) / 1_000, 2)
        result["load_s"] = round(timed_ms(lambda: FaissIndex(DIM).load(path)) / 1_000, 2)
    return result


def rival(index: Any, rows: Vectors, queries: Vectors, truth: Ids) -> dict[str, Any]:
    before, start = resident_bytes(), time.perf_counter()
    if not index.is_trained:
        index.train(rows[:20_000])
    index.add(rows)
    build_s = time.perf_counter() - start
    result = {"build_s": round(build_s, 1), "bytes_per_entry": round((resident_bytes() - before) / len(rows))}
    return result | searched(lambda query: np.asarray(index.search(query[None], truth.shape[1])[1][0]), queries, truth)


def stored_and_asked(given: argparse.Namespace) -> Iterator[tuple[Vectors, Vectors, int]]:
    """Vectors to store, vectors to ask with, and how many neighbours to ask for."""
    if given.asks:
        rows = asyncio.run(ways_of_asking())
        left_out = np.arange(len(rows)) % LEFT_OUT == 0
        yield np.ascontiguousarray(rows[~left_out]), rows[left_out], K_OF_ASKS
        return
    rng = np.random.default_rng(1)
    for size in [int(part) for part in given.sizes.split(",")]:
        rows = unit(np.load(given.vectors))[:size] if given.vectors else made_up_vectors(size)
        near = rows[rng.integers(len(rows), size=QUERIES)]
        yield rows, unit(near + 0.3 * unit(rng.standard_normal((QUERIES, DIM)))), K


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--sizes", default="10000,100000", help="numbers of vectors")
    parser.add_argument("--hnsw", action="store_true", help="build a graph with 8-bit codes too")
    parser.add_argument("--vectors", type=Path, help="take (n, 384) unit vectors from this file")
    parser.add_argument("--asks", action="store_true", help="take the bank's own ways of asking")
    given = parser.parse_args()
    faiss.omp_set_num_threads(1)
    report: dict[str, Any] = {}
    for rows, queries, k in stored_and_asked(given):
        truth = faiss.knn(queries, rows, k, metric=faiss.METRIC_INNER_PRODUCT)[1]
        report[str(len(rows))] = systems = {"teller": ours(rows, queries, truth)}
        systems["faiss flat"] = rival(faiss.IndexFlatIP(DIM), rows, queries, truth)
        if given.hnsw:
            graph: Any = faiss.index_factory(DIM, "HNSW32,SQ8", faiss.METRIC_INNER_PRODUCT)
            graph.hnsw.efSearch = 64
            systems["faiss hnsw sq8"] = rival(graph, rows, queries, truth)
        if not given.json:
            for name, row in systems.items():
                print(len(rows), name, row)
    if given.json:
        print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
