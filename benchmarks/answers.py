"""How many questions the bank answers right, through the whole turn.

    python -m benchmarks.answers [--questions FILE] [--clinc FILE] [--json] [--wrong]

The questions (data/questions.jsonl) were written apart from the knowledge. Right is: for a covered question one of the
answers that a fair judge would accept; for a calculation the figures to the penny; for one out of scope a refusal or a
person. An answer is invented if it is spoken in the bank's name and is neither an approved text nor a calculation.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import statistics
import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teller.config import load
from teller.turn import Answer, Done, Source, Transcript
from teller.wiring import Bot, open_bot

QUESTIONS = Path(__file__).parent / "data" / "questions.jsonl"
_NOT_ANSWERED = (Source.REFUSED, Source.HANDOFF)
# What the bank's rules say at once is as right as the approved answer that says the same.
_SAME = {
    "policy.asked_for_a_person": "general.person",
    "policy.offer_taken": "general.person",
    "policy.advice": "general.advice",
}


@dataclass(frozen=True, slots=True)
class Result:
    """One question and what became of it."""

    kind: str
    asked: str
    answer: Answer
    right: bool
    invented: bool
    ms: float


async def judge(bot: Bot, approved: Mapping[str, str], item: Mapping[str, Any]) -> Result:
    """Ask one question, or a dialogue in one call, and judge the last answer."""
    turns = [item["ask"]] if isinstance(item["ask"], str) else item["ask"]
    call = bot.new_call()
    for text in turns:
        *_, done = [event async for event in bot.orchestrator.turn(Transcript(text), call, speak=False)]
    assert isinstance(done, Done)
    record = done.record
    answer = record.answer
    invented = answer.source in (Source.MODEL, Source.APPROVED, Source.CACHE) and answer.text != approved.get(
        answer.answer_id
    )
    right = is_right(answer, item["expect"]) and not invented
    return Result(item["kind"], " / ".join(turns), answer, right, invented, sum(record.timings_ms.values()))


def is_right(answer: Answer, expect: Mapping[str, Any]) -> bool:
    """Whether an answer is what was expected."""
    answered = _SAME.get(answer.answer_id, answer.answer_id)
    if any(text.lower() in answer.text.lower() for text in expect.get("never", ())):
        return False
    if not all(text in answer.text for text in expect.get("contains", ())):
        return False
    if expect.get("tool") and answer.source is not Source.TOOL:
        return False
    if "source" in expect and answer.source != expect["source"]:
        return False
    if "answers" in expect and expect.get("refused"):
        return answered in expect["answers"] or answer.source in _NOT_ANSWERED
    if "answers" in expect:
        return answered in expect["answers"]
    return answer.source in _NOT_ANSWERED if expect.get("refused") else True


async def run(items: Sequence[Mapping[str, Any]], cache: str) -> list[Result]:
    """All results, in order, in a home folder of its own."""
    with tempfile.TemporaryDirectory() as home:
        settings = load(flags={"home": home, "cache.mode": cache}).settings
        async with open_bot(settings, speech=False) as bot:
            approved = {entry.id: entry.text for entry in bot.approved}
            return [await judge(bot, approved, item) for item in items]


def clinc_items(path: Path) -> list[dict[str, Any]]:
    """CLINC150's out-of-scope questions, as items that must be refused."""
    data = json.loads(path.read_text())
    asked = [text for split in ("oos_train", "oos_val") for text, _ in data[split]]
    return [{"kind": "clinc_out_of_scope", "ask": text, "expect": {"refused": True}} for text in asked]


def report(results: Sequence[Result]) -> dict[str, Any]:
    """Shares and times, in all and by kind."""
    by_kind: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        by_kind[result.kind].append(result)
    times = sorted(result.ms for result in results)
    own = [result for result in results if not result.kind.startswith("clinc")]
    return {
        "teller": {
            "questions": len(own),
            "right": round(statistics.fmean(result.right for result in own), 4),
            "invented": sum(result.invented for result in results),
            "by_kind": {
                kind: {"n": len(group), "right": round(statistics.fmean(result.right for result in group), 4)}
                for kind, group in sorted(by_kind.items())
            },
            "by_source": dict(Counter(result.answer.source.value for result in own)),
            "ms_p50": round(times[len(times) // 2], 2),
            "ms_p95": round(times[int(len(times) * 0.95)], 2),
        },
        "machine": f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
    }


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.answers", description=__doc__)
    parser.add_argument("--questions", type=Path, default=QUESTIONS)
    parser.add_argument(
        "--clinc", type=Path, help="CLINC150's general.json: its out-of-scope questions must be refused"
    )
    parser.add_argument("--cache", choices=("off", "exact", "semantic"), default="off")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--wrong", action="store_true", help="list what was answered wrong")
    given = parser.parse_args()
    items = [json.loads(line) for line in given.questions.read_text().splitlines() if line.strip()]
    if given.clinc:
        items += clinc_items(given.clinc)
    results = asyncio.run(run(items, given.cache))
    if given.wrong:
        for result in results:
            if not result.right:
                print(f"{result.kind}\t{result.answer.source}\t{result.answer.answer_id}\t{result.asked}")
    print(json.dumps(report(results), indent=None if given.json else 2))


if __name__ == "__main__":
    main()
