"""What the turn log costs a turn, and how fast a million turns are read.

    nice python -m benchmarks.turn_log [--turns 1000000] [--runs 5] [--keep FILE] [--json]

Made-up turns of the last 30 days (Zipf over 2,000 questions, about 60 % of them hits, two adapters) go through the
`TurnLog` that a bot writes with. `on_the_path` is what a turn spends handing over its record while the writing thread
is at work without a pause (the 99th percentile is of waiting for the interpreter's lock); `handed_over_idle` is the
mean while nothing is written. Then each command runs in a process of its own, start-up and all: wall time, the time
that the processor worked for it, and the most memory that any of the runs held.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cache_parts import machine, question, report
from teller.stores.turn_log import TurnLog
from teller.turn import Answer, Citation, DataClass, Evidence, MissReason, Scope, Source, Tier, TurnRecord

_DAYS = 30
_SCOPE = Scope("larkfield", "en-GB")
_ADAPTERS = ("banking-lora@3f2a91c0b7de", "banking-lora@77aa01d2c4f9")
_TEXT = "You can do this in the app: open the card, tap Manage and choose what you want to change. " * 2
_MISSES = (MissReason.TOO_FAR, MissReason.UNCERTAIN, MissReason.NO_CONSENSUS, MissReason.NOT_ELIGIBLE)
_COMMANDS = {
    "--cache-hits": ("--cache-hits", "--since", f"{_DAYS}d", "--json"),
    "--cache-hits, half against half": ("--cache-hits", "--since", f"{_DAYS // 2}d", "--json"),
    "--throughput": ("--throughput", "--since", f"{_DAYS}d", "--json"),
    "--adapter-impact": ("--adapter-impact", "--since", f"{_DAYS}d", "--json"),
}


def turns(count: int) -> Iterator[TurnRecord]:
    """Turns that end now, evenly over 30 days."""
    dice, now = random.Random(7), time.time()
    questions = [question(number) for number in range(2_000)]
    for number in range(count):
        place = min(int(dice.paretovariate(0.9)), 2_000) - 1
        hit = dice.random() < 0.6
        yield TurnRecord(
            turn_id=f"{dice.getrandbits(128):032x}",
            call_id=f"{number // 3:032x}",
            started_at=now - _DAYS * 86_400 * (1 - number / count),
            scope=_SCOPE,
            question=questions[place],
            answer=_answer(place, hit=hit),
            timings_ms=_timings(dice, hit=hit),
            miss_reason=None if hit else dice.choice(_MISSES),
            similarity=dice.uniform(0.7, 1.0) if hit else dice.uniform(0.2, 0.9),
            grounded=None if hit else dice.random() < 0.95,
            adapter=_ADAPTERS[number * 2 // count],
            pieces=0 if hit else dice.randint(30, 80),
        )


def _answer(place: int, *, hit: bool) -> Answer:
    evidence = Evidence(Tier.SEMANTIC if place % 3 else Tier.EXACT, place, "what was asked before", 0.97, 10, 12, 0.995)
    return Answer(
        _TEXT,
        Source.CACHE if hit else Source.MODEL,
        f"kb.{place}",
        DataClass.PRODUCT if place % 4 == 0 else DataClass.PUBLIC,
        citations=(Citation(f"kb.{place}", "Managing a card", "1"),),
        stamps=(f"sheet:{place % 10}@1",),
        evidence=evidence if hit else None,
    )


def _timings(dice: random.Random, *, hit: bool) -> dict[str, float]:
    found = {"hear": dice.gammavariate(4, 40), "redact": dice.uniform(0.1, 0.4), "tools": dice.uniform(0.01, 0.1)}
    found["cache"] = dice.gammavariate(3, 0.8)
    if not hit:
        found |= {
            "retrieve": dice.gammavariate(3, 1.0),
            "generate": dice.gammavariate(5, 90.0),
            "ground": 6.0,
            "keep": 0.8,
        }
    return found | {"speak": dice.gammavariate(3, 20)}


def fill(path: Path, count: int) -> dict[str, Any]:
    """Write so many turns as a bot does; gives what that took."""
    log = TurnLog(path)
    spent, began = np.empty(count), time.perf_counter()
    for number, record in enumerate(turns(count)):
        before = time.perf_counter()
        log.turn_finished(record)
        spent[number] = time.perf_counter() - before
        while log.waiting > 10_000:
            time.sleep(0.01)
    log.close(within_s=600)
    took = time.perf_counter() - began
    if log.shed:
        raise SystemExit(f"{log.shed} turns were shed: the figures would not be about {count:,}")
    return {
        **{f"on_the_path_p{level}_us": round(float(np.percentile(spent, level)) * 1e6, 2) for level in (50, 99)},
        "written_per_s_making_included": round(count / took),
        "bytes_per_turn": round(path.stat().st_size / count),
    }


def idle_cost_us(count: int = 10_000) -> float:
    """Microseconds to hand over a record while nothing is written."""
    records = list(turns(count))
    with tempfile.TemporaryDirectory() as folder:
        log = TurnLog(Path(folder) / "turns.sqlite")
        before = time.perf_counter()
        for record in records:
            log.turn_finished(record)
        spent = time.perf_counter() - before
        log.close()
    return round(spent / count * 1e6, 2)


def measure(home: Path, arguments: tuple[str, ...], runs: int) -> dict[str, Any]:
    """Wall time, processor time and memory of a command in processes of its own."""
    seconds, worked, peaks = [], [], []
    for _ in range(runs):
        before = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "teller.cli.orchestrator_log", *arguments],
            env={**os.environ, "TELLER_HOME": str(home)},
            stdout=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds.append(time.perf_counter() - before)
        worked.append(usage.ru_utime + usage.ru_stime)
        peaks.append(usage.ru_maxrss / 1024)
        if status:
            raise SystemExit(f"orchestrator-log {' '.join(arguments)} ended with {status}")
    return {
        "median_s": round(sorted(seconds)[len(seconds) // 2], 2),
        "worst_s": round(max(seconds), 2),
        "worst_cpu_s": round(max(worked), 2),
        "peak_mb": round(max(peaks)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="home folder to leave behind, or to read again if its log is there")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = given.keep or Path(folder)
        path = home / "log" / "turns.sqlite"
        found: dict[str, Any] = {"machine": machine(), "turns": given.turns, "handed_over_idle_us": idle_cost_us()}
        if not path.exists():
            found["writing"] = fill(path, given.turns)
        for name, arguments in _COMMANDS.items():
            found[name] = measure(home, arguments, given.runs)
    report(found, as_json=given.json)


if __name__ == "__main__":
    main()
