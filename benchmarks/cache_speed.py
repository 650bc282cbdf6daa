"""How fast the cache is and how large, without and with embedding, beside GPTCache and a bare FAISS index.

    python -m benchmarks.cache_speed [--sizes 1000,10000,100000] [--gptcache-up-to 10000] [--no-judge] [--json]

Every store gets the same made-up vectors (clusters of about 25, as ways of asking the same are), questions of 15 words
and answers of 200 characters. Embedding costs nothing until the last part. A question is near a stored one and never
the same text, so that each lookup goes all the way: catching up with the log, exact tier, 48 neighbours, judge. Three
ways: `finding` has every entry an answer of its own and judges by values and a threshold only; `full` has the shipped
judge (guards, verifier, consensus) and one answer for each cluster; `full, lone answers` is its worst case. Times are
wall times of one thread; `cpu_...` is the time that the process worked, whatever else the machine did.
`bytes_per_entry` is the growth of the process, index, texts and all: `grown` by writing, `warm` in a fresh process that
opened the cache. `with_writer` is a reader beside another process that keeps 100 answers a second on the same log,
and beside one that does so on a log of its own: what that costs is the machine's, not the cache's.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from benchmarks.cache_parts import (
    BASIS,
    RULES,
    SCOPE,
    GivenVectors,
    SystemTime,
    answer,
    machine,
    number_of,
    percentiles,
    question,
    report,
)
from benchmarks.embedder import Reference
from benchmarks.vector_index import DIM, resident_bytes, unit
from teller.bank_files import read_bank
from teller.cache.events import PurgeBy
from teller.cache.judge import CertifiedJudge, Region
from teller.cache.keeping import Offer
from teller.cache.semantic import CacheStore, SemanticCache
from teller.cache.verdict import Judge, MinSimilarity
from teller.cache.verifier import Verifier
from teller.config import Settings
from teller.engines.blas import multiply_on_one_thread
from teller.engines.faiss_index import FaissIndex
from teller.engines.minilm import MiniLm
from teller.ports import Embedder, Vectors
from teller.stores.snapshots import FileSnapshots
from teller.stores.sqlite_log import SqliteLog
from teller.turn import Answer, Hit, Question, Source

LOOKUPS = 500
BATCH = 1_000
WRITER_HZ = 100
LONE_UP_TO = 10_000


class Always:
    """Every class is open from a probability of one half."""

    def region(self, risk_class: str) -> Region | None:  # noqa: ARG002
        """The same for all."""
        return Region(0.5)


def judge(kind: str) -> Judge:
    return (
        MinSimilarity(0.999, neighbours=CertifiedJudge.neighbours)
        if kind == "finding"
        else CertifiedJudge(Always(), verifier=Verifier())
    )


def open_cache(home: Path, embedder: Embedder, kind: str) -> tuple[SqliteLog, SemanticCache]:
    log = SqliteLog(home / "log.sqlite")
    snapshots = FileSnapshots(home / "snapshots")
    store = CacheStore(log=log, make_index=lambda: FaissIndex(embedder.dim), snapshots=snapshots)
    return log, SemanticCache(store, embedder, judge(kind), basis=lambda: BASIS, rules=RULES, clock=SystemTime())


@dataclass(frozen=True, slots=True)
class Crowd:
    """Vectors in clusters: `count` to store, then others near them to ask with and to write.

    Attributes:
        owners: which stored row each row is near; its own number for the stored ones.
    """

    rows: Vectors
    owners: NDArray[np.int64]
    count: int
    clusters: int

    @staticmethod
    def of(count: int) -> Crowd:
        """Clusters of about 25 within themes; row n is of cluster n modulo their number."""
        rng = np.random.default_rng(0)
        clusters = max(4, count // 25)
        themes = unit(rng.standard_normal((max(4, count // 5_000), DIM)))
        apart = 0.9 * unit(rng.standard_normal((clusters, DIM)))
        centres = unit(themes[rng.integers(len(themes), size=clusters)] + apart)
        rows = np.empty((count + 2 * LOOKUPS, DIM), dtype=np.float32)
        for start in range(0, count, 50_000):
            numbers = np.arange(start, min(count, start + 50_000))
            spread = 0.55 * rng.uniform(0.5, 1.5, (len(numbers), 1))
            rows[numbers] = unit(centres[numbers % clusters] + spread * unit(rng.standard_normal((len(numbers), DIM))))
        near = rng.integers(0, count, 2 * LOOKUPS)
        rows[count:] = unit(rows[near] + 0.25 * unit(rng.standard_normal((2 * LOOKUPS, DIM))))
        return Crowd(rows, np.concatenate([np.arange(count), near]), count, clusters)

    def answer(self, number: int, kind: str) -> Answer:
        """The answer of a row: its cluster's, or its own."""
        return answer(int(self.owners[number]) % self.clusters if kind == "full" else number)


@dataclass(slots=True)
class Times:
    """What each of many calls took, in seconds: by the clock, and of the processor."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    async def of(self, work: Awaitable[object]) -> None:
        """Await something and note how long it took."""
        started, worked = time.perf_counter(), time.process_time()
        await work
        self.cpu.append(time.process_time() - worked)
        self.wall.append(time.perf_counter() - started)

    def figures(self) -> dict[str, float]:
        """Medians and 99th percentiles in milliseconds."""
        return percentiles(self.wall) | {f"cpu_{name}": value for name, value in percentiles(self.cpu).items()}


async def timed(ask: Callable[[int], Awaitable[object]], numbers: Iterable[int]) -> dict[str, float]:
    times = Times()
    for number in numbers:
        await times.of(ask(number))
    return times.figures()


async def fill(cache: SemanticCache, crowd: Crowd, kind: str) -> float:
    started = time.perf_counter()
    for start in range(0, crowd.count, BATCH):
        numbers = range(start, min(crowd.count, start + BATCH))
        await cache.offer_all([Offer(question(number), crowd.answer(number, kind), SCOPE) for number in numbers])
    return time.perf_counter() - started


async def teller(crowd: Crowd, home: Path, kind: str) -> dict[str, Any]:
    count, embedder = crowd.count, GivenVectors(crowd.rows)
    before = resident_bytes()
    log, cache = open_cache(home, embedder, kind)
    await cache.open()
    found: dict[str, Any] = {"fill_per_s": round(count / await fill(cache, crowd, kind))}
    grown = round((resident_bytes() - before) / count)

    async def look_up(number: int) -> object:
        return await cache.lookup(question(number), SCOPE)

    async def keep(number: int) -> object:
        return await cache.offer(question(number), crowd.answer(number, kind), SCOPE)

    await timed(look_up, range(count, count + 50))  # what the processor keeps near is there
    found["lookup"] = await timed(look_up, range(count, count + LOOKUPS))
    found["exact"] = await timed(look_up, range(0, count, max(1, count // LOOKUPS)))
    found["write"] = await timed(keep, range(count + LOOKUPS, count + 2 * LOOKUPS))
    await cache.close()
    found["with_writer"] = await beside_writer(look_up, home, count, kind)
    await cache.close()
    log.close()
    warm = await opened_again(home, kind)
    found["bytes_per_entry"] = {"grown": grown, "warm": warm.pop("bytes_per_entry")}
    return found | warm


async def beside_writer(
    look_up: Callable[[int], Awaitable[object]], home: Path, count: int, kind: str
) -> dict[str, Any]:
    """The reader alone and beside a writer, in turns, so that what else the machine does falls on both alike."""
    arms = {"alone": Times(), "beside": Times(), "beside_another_log": Times()}
    writes_to = {"beside": home, "beside_another_log": home.with_name(f"{home.name}-another")}
    for turn in range(3):
        for name, times in arms.items():
            run = [sys.executable, "-m", "benchmarks.cache_speed", "--kind", kind]
            run += ["--first", str(count + 2 * LOOKUPS + 100_000 * turn), "--write-to"]
            writer = start([*run, str(writes_to[name])]) if name in writes_to else None
            for number in range(count, count + LOOKUPS):
                await times.of(look_up(number))
                await asyncio.sleep(0.002)
            if writer:
                writer.kill()
                writer.communicate()
    return {name: times.figures() for name, times in arms.items()}


def start(run: list[str]) -> subprocess.Popen[bytes]:
    """Start a writer and wait until it writes."""
    writer = subprocess.Popen(run, stdout=subprocess.PIPE)
    assert writer.stdout is not None
    writer.stdout.readline()
    return writer


async def write_to(home: Path, kind: str, first: int) -> None:
    """Keep answers at a steady pace until killed."""
    log, cache = open_cache(home, GivenVectors(Crowd.of(BATCH).rows), kind)
    await cache.open()
    print("writing", flush=True)
    for number in range(first, first + 100_000):
        await cache.offer(question(number), answer(number), SCOPE)
        await asyncio.sleep(1 / WRITER_HZ)
    log.close()


async def opened_again(home: Path, kind: str) -> dict[str, Any]:
    """What a fresh process finds."""
    run = [sys.executable, "-m", "benchmarks.cache_speed", "--open", str(home), "--kind", kind]
    done = await asyncio.to_thread(subprocess.run, run, capture_output=True, check=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


async def open_once(home: Path, kind: str) -> dict[str, Any]:
    before, started = resident_bytes(), time.perf_counter()
    log, cache = open_cache(home, GivenVectors(np.zeros((1, DIM), dtype=np.float32)), kind)
    await cache.open()
    found: dict[str, Any] = {"warm_start_s": round(time.perf_counter() - started, 3)}
    entries = (await cache.upkeep.totals()).entries
    found["bytes_per_entry"] = round((resident_bytes() - before) / entries)
    started = time.perf_counter()
    gone = await cache.upkeep.purge(PurgeBy.STAMP, "sheet:3@1")
    found["purge"] = {"entries": gone, "seconds": round(time.perf_counter() - started, 3)}
    log.close()
    return found


async def bare_faiss(crowd: Crowd) -> dict[str, Any]:
    rows, count = crowd.rows, crowd.count
    before = resident_bytes()
    index = faiss.IndexFlatIP(DIM)
    index.add(rows[:count])
    grown = round((resident_bytes() - before) / count)

    async def search(number: int) -> object:
        return index.search(rows[number : number + 1], 24)

    found: dict[str, Any] = {"lookup": await timed(search, range(count, count + LOOKUPS))}
    return found | {"bytes_per_entry": {"grown": grown}}


def open_gptcache(
    embedded: Callable[[str], Vectors], folder: Path, texts: Sequence[str] = (), answers: Sequence[str] = ()
) -> Callable[..., Any] | None:
    """GPTCache on sqlite and FAISS, filled; gives its `get`, or with two arguments its `put`; None without it."""
    try:
        from gptcache import Cache, Config
        from gptcache.adapter.api import get, init_similar_cache, put
        from gptcache.manager import manager_factory
        from gptcache.processor.post import first
        from gptcache.similarity_evaluation import SearchDistanceEvaluation
    except ImportError:
        return None

    class Embedding:
        dimension = DIM

        @staticmethod
        def to_embeddings(text: str, **_: Any) -> Any:
            return embedded(text)

    cache, size, dimension = Cache(), {"max_size": 10**7}, {"dimension": DIM}
    manager = manager_factory("sqlite,faiss", data_dir=str(folder), vector_params=dimension, eviction_params=size)
    init_similar_cache(
        cache_obj=cache,
        embedding=Embedding,
        data_manager=manager,
        post_func=first,
        evaluation=SearchDistanceEvaluation(),
        config=Config(similarity_threshold=0.9),
    )
    for start in range(0, len(texts), BATCH):
        cache.import_data(texts[start : start + BATCH], answers[start : start + BATCH])
    return lambda *given: put(*given, cache_obj=cache) if len(given) > 1 else get(*given, cache_obj=cache)


async def gptcache(crowd: Crowd, folder: Path) -> dict[str, Any] | str:
    rows, count = crowd.rows, crowd.count
    texts, answers = [question(n).text for n in range(count)], [answer(n).text for n in range(count)]
    before, started = resident_bytes(), time.perf_counter()
    use = open_gptcache(lambda text: rows[number_of(text)], folder, texts, answers)
    if use is None:
        return "skipped: gptcache is not installed"
    found: dict[str, Any] = {"fill_per_s": round(count / (time.perf_counter() - started))}
    grown = round((resident_bytes() - before) / count)

    async def look_up(number: int) -> object:
        return use(question(number).text)

    async def keep(number: int) -> object:
        return use(question(number).text, answer(number).text)

    await timed(look_up, range(count, count + 20))
    found["lookup"] = await timed(look_up, range(count, count + LOOKUPS // 2))
    found["exact"] = await timed(look_up, range(0, count, max(1, count // (LOOKUPS // 2))))
    found["write"] = await timed(keep, range(count + LOOKUPS, count + LOOKUPS + 100))
    return found | {"bytes_per_entry": {"grown": grown}}


def own_questions() -> tuple[list[tuple[str, str]], list[str]]:
    """The bank's own ways of asking with their answers' ids: to store, and one of each answer's to ask."""
    approved = [one for one in read_bank(Settings()).approved if one.spoken_whole and len(one.asks) > 3]
    stored = [(ask, one.id) for one in approved for ask in one.asks[1:]]
    return stored, [one.asks[0] for one in approved]


async def end_to_end(home: Path) -> dict[str, Any]:
    """From a question's text to a hit: ours, and sentence-transformers before the rivals."""
    stored, asks = own_questions()
    ours = await asyncio.to_thread(MiniLm, home / "models")
    log, cache = open_cache(home / "end", ours, "full")
    await cache.open()
    await cache.offer_all([Offer(Question(text), Answer(name, Source.APPROVED, name), SCOPE) for text, name in stored])
    hits = []

    async def ask(number: int) -> object:
        found = await cache.lookup(Question(asks[number]), SCOPE)
        hits.append(isinstance(found, Hit))
        return found

    await timed(ask, range(20))
    served = [number for number in range(len(asks)) if isinstance(await ask(number), Hit)]
    found: dict[str, Any] = {"teller": await timed(ask, served) | {"hits": len(served), "asked": len(asks)}}
    log.close()
    return found | await rivals_end_to_end(stored, [asks[number] for number in served], home)


async def rivals_end_to_end(stored: list[tuple[str, str]], asks: list[str], home: Path) -> dict[str, Any]:
    try:
        theirs = Reference(threads=1)
    except ImportError:
        return {"sentence-transformers + faiss": "skipped: sentence-transformers is not installed"}
    index = faiss.IndexFlatIP(DIM)
    vectors = [(await theirs.embed([text]))[0] for text, _ in stored]
    index.add(np.stack(vectors))

    async def search(number: int) -> object:
        return index.search(await theirs.embed([asks[number]]), 1)

    await timed(search, range(20))
    found: dict[str, Any] = {"sentence-transformers + faiss": await timed(search, range(len(asks)))}
    known = {text: vector for (text, _), vector in zip(stored, vectors, strict=True)}

    def embedded(text: str) -> Vectors:
        row: Vectors = known[text] if text in known else drive(theirs.embed([text]))[0]
        return row

    get = open_gptcache(embedded, emptied(home / "gptcache-end"), [text for text, _ in stored], [n for _, n in stored])
    if get is None:
        return found | {"sentence-transformers + gptcache": "skipped: gptcache is not installed"}

    async def look_up(number: int) -> object:
        return get(asks[number])

    await timed(look_up, range(20))
    return found | {"sentence-transformers + gptcache": await timed(look_up, range(len(asks)))}


def drive(work: Coroutine[Any, Any, Vectors]) -> Vectors:
    """The result of a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration as done:
        found: Vectors = done.value
        return found
    raise RuntimeError("it waits")


def emptied(folder: Path) -> Path:
    folder.mkdir()
    return folder


async def run(asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    ours: dict[str, Any] = {}
    rivals: dict[str, dict[str, Any]] = {"faiss flat": {}, "gptcache": {}}
    for size in map(int, asked.sizes.split(",")):
        crowd = Crowd.of(size)
        kinds = ["finding"] if asked.no_judge else ["finding", "full"]
        kinds += ["full, lone answers"] if size <= LONE_UP_TO and not asked.no_judge else []
        ours[str(size)] = {kind: await teller(crowd, folder / f"{kind}-{size}", kind) for kind in kinds}
        rivals["faiss flat"][str(size)] = await bare_faiss(crowd)
        if size <= asked.gptcache_up_to:
            rivals["gptcache"][str(size)] = await gptcache(crowd, emptied(folder / f"gptcache-{size}"))
        del crowd
        gc.collect()
    with_embedding = await end_to_end(folder)
    ours["end_to_end"] = with_embedding.pop("teller")
    return {"teller": ours, "rivals": rivals | with_embedding, "machine": machine()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1000,10000,100000")
    parser.add_argument("--gptcache-up-to", type=int, default=10_000)
    parser.add_argument("--no-judge", action="store_true", help="measure finding alone")
    parser.add_argument("--json", action="store_true")
    for name in ("--open", "--write-to"):  # how the benchmark starts its own other processes
        parser.add_argument(name, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--kind", default="full", help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    faiss.omp_set_num_threads(1)
    multiply_on_one_thread()  # as the wiring of a bot does
    if asked.write_to:
        asyncio.run(write_to(asked.write_to, asked.kind, asked.first))
    elif asked.open:
        print(json.dumps(asyncio.run(open_once(asked.open, asked.kind))))
    else:
        with tempfile.TemporaryDirectory() as folder:
            report(asyncio.run(run(asked, Path(folder))), as_json=asked.json)


if __name__ == "__main__":
    main()
