"""How soon the embedded synthesizer speaks, with and without its cache. `python -m benchmarks.tts [--json]`."""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path

from teller.engines.espeak import Espeak
from teller.engines.spoken_cache import SpokenCache
from teller.ports import Synthesizer

ANSWER = (
    "A loan of £10,000 over 5 years at 6.5% APR costs £195.09 a month, and £11,705.40 in all. The rate that you are "
    "offered depends on your circumstances. Shall I put you through to somebody who can apply for you?"
)


async def timed(engine: Synthesizer, rounds: int) -> dict[str, float]:
    """Milliseconds to the first and to the last sound of ANSWER, and how long it lasts."""
    first, last = [], []
    seconds = 0.0
    for _ in range(rounds):
        began, sounds = time.perf_counter(), []
        async for piece in engine.speak(ANSWER):
            sounds.append((time.perf_counter() - began, piece.duration_s))
        first.append(1_000 * sounds[0][0])
        last.append(1_000 * sounds[-1][0])
        seconds = sum(duration_s for _, duration_s in sounds)
    first.sort()
    last.sort()
    return {
        "first_sound_ms_p50": first[rounds // 2],
        "first_sound_ms_p95": first[int(0.95 * (rounds - 1))],
        "whole_ms_p50": last[rounds // 2],
        "sound_s": seconds,
        "real_time_factor": last[rounds // 2] / 1_000 / seconds,
    }


async def measure(rounds: int, calls: int) -> dict[str, dict[str, float]]:
    engine = Espeak()
    began = time.perf_counter()
    await engine.warm()
    start_ms = 1_000 * (time.perf_counter() - began)
    result = {"start of the process": {"ms": start_ms}, "espeak-ng": await timed(engine, rounds)}
    together = await asyncio.gather(*(timed(engine, max(2, rounds // calls)) for _ in range(calls)))
    slowest = sorted(one["first_sound_ms_p95"] for one in together)
    result[f"espeak-ng, {calls} calls at once"] = {"first_sound_ms_p95": slowest[int(0.95 * (calls - 1))]}
    with tempfile.TemporaryDirectory() as folder:
        cache = SpokenCache(engine, Path(folder))
        await timed(cache, 1)
        result["kept on disk"] = await timed(cache, rounds)
    await engine.aclose()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--calls", type=int, default=50)
    options = parser.parse_args()
    result = asyncio.run(measure(options.rounds, options.calls))
    if options.json:
        print(json.dumps(result, indent=2))
        return
    for name, figures in result.items():
        print(f"{name}:", "  ".join(f"{key} {value:.3g}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
