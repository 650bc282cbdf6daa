"""From the end of speech to the first sound of the answer, with the embedded engines, by stage.

    python -m benchmarks.voice [--questions N] [--json]

flite (Debian's package) is the caller, in three voices; each question is asked twice, so that the second answer comes
from the caches. Start-up is the time from the first import to a bot that answers, first with an empty home, then again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from teller.config import load
from teller.turn import Done, Sound, Speech
from teller.wiring import Bot, open_bot

VOICES = ("slt", "awb", "rms")
QUESTIONS = (
    "how do I activate my new card",
    "I have lost my card what do I do",
    "what is the interest rate on a personal loan",
    "how long does a transfer take to arrive",
    "how much would ten thousand pounds over five years cost me a month",
    "can I increase my overdraft limit",
    "how do I make a complaint",
    "what are your opening hours",
    "somebody called me and said they were from the bank",
    "how do I open a savings account",
)


def spoken(text: str, voice: str, folder: Path) -> bytes:
    """A question as flite says it."""
    flite = shutil.which("flite")
    if flite is None:
        raise SystemExit("flite is missing: apt-get install flite")
    path = folder / "question.wav"
    subprocess.run([flite, "-voice", voice, "-t", text, "-o", str(path)], check=True, capture_output=True)
    return path.read_bytes()


async def turn(bot: Bot, sound: bytes) -> tuple[float, Done]:
    """(milliseconds to the first sound, the end of the turn) of one question in a call of its own."""
    speech = Speech(bot.read_sound(sound))
    started, first = time.perf_counter(), 0.0
    async for event in bot.orchestrator.turn(speech, bot.new_call()):
        if isinstance(event, Sound) and not first:
            first = (time.perf_counter() - started) * 1000
        if isinstance(event, Done):
            return first, event
    raise AssertionError("a turn ends with Done")


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Median and 95th percentile, milliseconds."""
    ordered = sorted(values)
    return {"p50": round(ordered[len(ordered) // 2], 1), "p95": round(ordered[int(len(ordered) * 0.95)], 1)}


async def measure(count: int) -> dict[str, Any]:
    """All figures."""
    with tempfile.TemporaryDirectory() as folder:
        settings = load(flags={"home": f"{folder}/home"}).settings
        starts = []
        for _ in range(2):
            started = time.perf_counter()
            async with open_bot(settings) as bot:
                starts.append(round(time.perf_counter() - started, 2))
        sounds = [spoken(text, voice, Path(folder)) for voice in VOICES for text in QUESTIONS[:count]]
        rounds: dict[str, list[float]] = defaultdict(list)
        stages: dict[str, list[float]] = defaultdict(list)
        async with open_bot(settings) as bot:
            for asking in ("first asking", "second asking"):
                for sound in sounds:
                    ms, done = await turn(bot, sound)
                    rounds[asking].append(ms)
                    for stage, spent in done.record.timings_ms.items():
                        stages[stage].append(spent)
    return {
        "teller": {
            "questions": len(sounds),
            "first_sound_ms": {name: percentiles(values) for name, values in rounds.items()},
            "stages_ms": {name: percentiles(values) for name, values in stages.items()},
            "start_first_s": starts[0],
            "start_warm_s": starts[1],
        },
        "machine": f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.voice", description=__doc__)
    parser.add_argument("--questions", type=int, default=len(QUESTIONS))
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    sys.stdout.write(json.dumps(asyncio.run(measure(given.questions)), indent=None if given.json else 2) + "\n")


if __name__ == "__main__":
    main()
