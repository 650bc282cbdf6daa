"""Whether kill -9 at any moment loses an acknowledged write, brings back a removed one, or leaves log and index apart.

    python -m benchmarks.cache_crash [--kills 300] [--workers 4] [--seed 0] [--json]

Several processes share one home: each keeps answers, replaces, evicts, purges, compacts and takes snapshots, and says
before and after each step what it does. The parent kills one of them at a random moment, starts another in its place,
and has a fresh process check the home: every acknowledged answer is served as it was given, none that was acknowledged
as removed is there, nothing is there that nobody began to write, and entries and vectors agree. Steps that were begun
but not acknowledged may have happened or not. GPTCache, if it is installed, is killed after each of a few writes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.cache_parts import BASIS, RULES, SCOPE, SystemTime, machine, report
from teller.cache.events import PurgeBy
from teller.cache.semantic import CacheStore, SemanticCache
from teller.cache.verdict import MinSimilarity
from teller.engines.faiss_index import FaissIndex
from teller.engines.scripted import ScriptedEmbedder
from teller.errors import BusyError
from teller.stores.snapshots import FileSnapshots
from teller.stores.sqlite_log import SqliteLog
from teller.turn import Answer, Hit, Question, Source

DIM = 32
SLOTS = 40  # questions of each worker: it answers them again and again
NOTHING = "-"
LIFE_S = 0.2  # of a worker once it is at work, at most
FIRST_WORDS_S = 20.0


def open_cache(home: Path) -> tuple[SqliteLog, SemanticCache]:
    log = SqliteLog(home / "log.sqlite")
    store = CacheStore(log=log, make_index=lambda: FaissIndex(DIM), snapshots=FileSnapshots(home / "snapshots"))
    judge = MinSimilarity(0.999)
    return log, SemanticCache(
        store, ScriptedEmbedder(dim=DIM), judge, basis=lambda: BASIS, rules=RULES, clock=SystemTime()
    )


def asked(worker: int, slot: int) -> Question:
    return Question(f"question {slot} of worker {worker}")


async def work(home: Path, worker: int, seed: int, say: int) -> None:
    """Change the cache until killed; a line on `say` before and after each step."""
    draw = random.Random(seed)
    _, cache = open_cache(home)
    await cache.open()
    ids: dict[int, int] = {}
    texts: dict[int, str] = {}

    def tell(word: str, slots: list[int], text: str) -> None:
        os.write(say, (json.dumps([word, slots, text]) + "\n").encode())

    async def keep(slot: int, text: str) -> None:
        kept = Answer(text, Source.APPROVED, text)
        tell("begin", [slot], text)
        texts[slot], ids[slot] = text, (await cache.offer(asked(worker, slot), kept, SCOPE)).entry_id or 0
        tell("done", [slot], text)

    while True:
        what = draw.random()
        slots = draw.sample(range(SLOTS), 3)
        if what < 0.75:
            await asyncio.gather(*(keep(slot, f"{worker}.{slot}.{draw.getrandbits(40):x}") for slot in slots))
        elif what < 0.93:
            known = [slot for slot in slots if slot in texts]
            tell("begin", known, NOTHING)
            if what < 0.84:
                await cache.upkeep.evict([ids[slot] for slot in known])
            else:
                for slot in known:
                    await cache.upkeep.purge(PurgeBy.ANSWER, texts[slot])
            tell("done", known, NOTHING)
        elif what < 0.97:
            with suppress(BusyError):
                await cache.upkeep.compact()
        else:
            await cache.upkeep.snapshot()


async def check(home: Path, say: int) -> None:
    """What is in the home, as a process that opens it now sees it, and what is wrong with it."""
    log, cache = open_cache(home)
    log.check()
    await cache.open()
    wrong = await cache.upkeep.disagreements()
    served: dict[str, str] = {}
    for entry in await cache.upkeep.entries():
        found = await cache.lookup(Question(entry.question), SCOPE)
        if not isinstance(found, Hit) or found.answer.text != entry.answer.text:
            wrong.append(f"{entry.question}: listed as {entry.answer.text!r}, looked up as {found}")
        served[entry.question] = entry.answer.text
    with os.fdopen(say, "w") as out:
        json.dump({"served": served, "wrong": wrong}, out)
    log.close()


@dataclass
class Worker:
    """A process, and what its slots may hold: more than one text if a step was begun and not acknowledged."""

    number: int
    pid: int = 0
    pipe: int = -1
    may: dict[int, set[str]] = field(default_factory=dict)
    rest: bytes = b""

    def start(self, home: Path, seed: int) -> None:
        """Fork; the child works until it is killed."""
        self.pipe, say = os.pipe()
        self.pid, self.rest = os.fork(), b""
        if not self.pid:
            os.close(self.pipe)
            try:
                asyncio.run(work(home, self.number, seed, say))
            except BaseException:  # noqa: BLE001  a child says what it died of, whatever it is
                traceback.print_exc()
            finally:
                os._exit(1)
        os.close(say)

    def listen(self, *, to_end: bool = False) -> Counter[str]:
        """Take in what it said since."""
        counts: Counter[str] = Counter()
        while to_end or select.select([self.pipe], [], [], 0)[0]:
            data = os.read(self.pipe, 1 << 16)
            if not data:
                break
            *lines, self.rest = (self.rest + data).split(b"\n")
            for line in lines:
                word, slots, text = json.loads(line)
                counts[word] += 1
                for slot in slots:
                    held = self.may.setdefault(slot, {NOTHING})
                    self.may[slot] = held | {text} if word == "begin" else {text}
        return counts

    def await_first_words(self) -> None:
        """Wait until it is at work, so that the kill meets it there."""
        select.select([self.pipe], [], [], FIRST_WORDS_S)

    def kill(self) -> Counter[str]:
        """Kill -9, and take in its last words."""
        os.kill(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        counts = self.listen(to_end=True)
        counts["kills"] += 1
        counts["died_by_itself"] += not os.WIFSIGNALED(status)
        os.close(self.pipe)
        return counts


def checked(home: Path, workers: list[Worker]) -> Counter[str]:
    """Compare what is there with what the workers said; they must not run."""
    read, say = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(read)
        try:
            asyncio.run(check(home, say))
        finally:
            os._exit(0)
    os.close(say)
    with os.fdopen(read) as lines:
        text = lines.read()
    os.waitpid(pid, 0)
    found: dict[str, Any] = json.loads(text) if text else {"served": {}, "wrong": ["the home cannot be opened"]}
    counts: Counter[str] = Counter(lost=0, ghosts=0, disagreements=len(found["wrong"]), checked=0)
    for worker in workers:
        for slot in range(SLOTS):
            there = found["served"].pop(asked(worker.number, slot).text, NOTHING)
            allowed = worker.may.get(slot, {NOTHING})
            counts["checked"] += 1
            if there not in allowed:
                counts["lost" if there == NOTHING else "ghosts"] += 1
            worker.may[slot] = {there}
    counts["ghosts"] += len(found["served"])
    for line in found["wrong"]:
        print(line, file=sys.stderr)
    return counts


def teller(home: Path, *, kills: int, count: int, seed: int) -> dict[str, Any]:
    draw = random.Random(seed)
    workers = [Worker(number) for number in range(count)]
    total: Counter[str] = Counter()
    started = time.monotonic()
    for worker in workers:
        worker.start(home, draw.getrandbits(32))
    while total["kills"] < kills:
        for chosen in [draw.choice(workers) for _ in range(2 * count)]:
            chosen.await_first_words()
            time.sleep(draw.random() * LIFE_S)
            for worker in workers:
                total += worker.listen()
            total += chosen.kill()
            chosen.start(home, draw.getrandbits(32))
        for worker in workers:  # all of them, so that the home stands still while it is checked
            total += worker.kill()
        total += checked(home, workers)
        for worker in workers:
            worker.start(home, draw.getrandbits(32))
    for worker in workers:
        total += worker.kill()
    total += checked(home, workers)
    keys = ("kills", "done", "checked", "lost", "ghosts", "disagreements", "died_by_itself")
    return {key: total[key] for key in keys} | {"seconds": round(time.monotonic() - started, 1)}


GPTCACHE = """
import os, sys
import numpy as np
from gptcache import Cache, Config
from gptcache.adapter.api import get, init_similar_cache, put
from gptcache.manager import manager_factory
from gptcache.processor.post import first
from gptcache.similarity_evaluation import SearchDistanceEvaluation
folder, writes = sys.argv[1], int(sys.argv[2])
class Embedding:
    dimension = 32
    @staticmethod
    def to_embeddings(text, **_):
        row = np.random.default_rng(int(text)).standard_normal(32).astype(np.float32)
        return row / np.linalg.norm(row)
cache = Cache()
manager = manager_factory("sqlite,faiss", data_dir=folder, vector_params={"dimension": 32})
init_similar_cache(cache_obj=cache, embedding=Embedding, data_manager=manager, post_func=first,
                   evaluation=SearchDistanceEvaluation(), config=Config(similarity_threshold=0.9))
if writes:
    for number in range(writes):
        put(str(number), f"answer {number}", cache_obj=cache)
    os.kill(os.getpid(), 9)
print("found", sum(get(str(number), cache_obj=cache) == f"answer {number}" for number in range(int(sys.argv[3]))))
os._exit(0)
"""


def gptcache(folder: Path) -> dict[str, Any] | str:
    """Writes that were acknowledged before a kill -9, and how many of them a restart finds."""
    if subprocess.run([sys.executable, "-c", "import gptcache"], capture_output=True, check=False).returncode:
        return "skipped: gptcache is not installed"
    counts: Counter[str] = Counter()
    for writes in (1, 7, 19):
        home = folder / str(writes)
        home.mkdir(parents=True)
        run = [sys.executable, "-c", GPTCACHE, str(home)]
        subprocess.run([*run, str(writes), "0"], capture_output=True, check=False)
        again = subprocess.run([*run, "0", str(writes)], capture_output=True, check=False, text=True)
        found = int(again.stdout.rpartition("found ")[2] or 0)
        counts += Counter(kills=1, checked=writes, lost=writes - found)
    return dict(counts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ours = teller(Path(folder) / "teller", kills=asked.kills, count=asked.workers, seed=asked.seed)
        rival = gptcache(Path(folder) / "gptcache")
    report({"teller": ours, "rivals": {"gptcache": rival}, "machine": machine()}, as_json=asked.json)


if __name__ == "__main__":
    main()
