"""The benchmarks' attacks, small: wrong askers, kill -9, processes side by side."""

import asyncio
import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from benchmarks.cache_leaks import teller
from tests.cache.cache_stage import SCOPE, Stage, approved, served

from teller.cache.events import PurgeBy
from teller.stores.sqlite_log import SqliteLog
from teller.turn import Question


async def test_nobody_is_given_what_was_made_for_another(tmp_path):
    found = await teller(tmp_path, 1_500, 1)
    assert found["crossings"] == 0
    assert found["hits"] > 100
    assert found["nameless"] == found["nameless_refused"] > 10


async def test_the_attack_notices_a_crossing(tmp_path, monkeypatch):
    """Were customers forgotten in the key, the attack above would say so."""
    monkeypatch.setattr("teller.cache.partition.Partition.digest", property(lambda _: bytes(16)))
    assert (await teller(tmp_path, 500, 1))["crossings"] > 0


def test_kill_9_loses_and_invents_nothing():
    run = [sys.executable, "-m", "benchmarks.cache_crash", "--kills", "12", "--workers", "3", "--json"]
    ended = subprocess.run(run, capture_output=True, check=True, text=True)
    found = json.loads(ended.stdout)["teller"]
    assert found["kills"] >= 12
    assert found["done"] > 50
    wrong = (found["lost"], found["ghosts"], found["disagreements"], found["died_by_itself"])
    assert wrong == (0, 0, 0, 0), ended.stderr


def test_what_one_thread_has_purged_no_other_serves(tmp_path):
    """Two caches on one file, each on its own thread and loop: an acknowledged purge is obeyed by the next lookup."""
    purged: list[int] = []
    kept = threading.Semaphore(0)
    rounds = 60

    async def writer():
        log = SqliteLog(tmp_path / "log.sqlite")
        cache = await Stage(log=log).open()
        for at in range(rounds):
            await cache.offer(Question(f"question {at}"), approved(f"answer {at}", f"id.{at}"), SCOPE)
            kept.release()
            await asyncio.sleep(0.002)
            await cache.upkeep.purge(PurgeBy.ANSWER, f"id.{at}")
            purged.append(at)
        log.close()

    async def reader():
        log = SqliteLog(tmp_path / "log.sqlite")
        cache = await Stage(log=log).open()
        hits = 0
        for at in range(rounds):
            await asyncio.to_thread(kept.acquire)
            while at not in purged:
                gone_before = set(purged)
                hits += await served(cache, f"question {at}") == f"answer {at}"
                for old in gone_before:
                    assert await served(cache, f"question {old}") != f"answer {old}"
            assert await served(cache, f"question {at}") != f"answer {at}"
        log.close()
        return hits

    with ThreadPoolExecutor(2) as threads:
        ends = [threads.submit(asyncio.run, work()) for work in (writer, reader)]
        assert [end.result() for end in ends][1] > 0
