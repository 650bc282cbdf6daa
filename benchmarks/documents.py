"""How well a bank's own documents answer questions, through the whole turn.

    python -m benchmarks.documents --documents PATH --questions FILE [--json] [--wrong]

PATH is what `knowledge.path` names. A line of FILE is {"q", "kind", "ids", "must_say"}: of a "covered" question the ids
of the documents that answer it and what an answer has one of; "absent" and "off" ones have no answer there and must not
be answered; of a "which" question it must be asked back which product is meant, which is no answer to others. One that
leans on another has that one as "after", asked just before in the same call. Everything is asked twice: at once after
the first start in an empty home, while passages are still being embedded, and again after a second start. A document
tells of something else if its id without the number at its end is none of the right ones'.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teller.banking.document_search import WHICH
from teller.config import load
from teller.turn import Answer, Done, Source, Transcript
from teller.wiring import Bot, open_bot

_NOT_ANSWERED = (Source.REFUSED, Source.HANDOFF)
_NUMBER = re.compile(r"[\W_]*\d+$")


@dataclass(frozen=True, slots=True)
class Result:
    """One question and what became of it."""

    item: Mapping[str, Any]
    answer: Answer
    ms: float

    @property
    def asked_back(self) -> bool:
        """Whether it was asked which product is meant."""
        return self.answer.answer_id == WHICH

    @property
    def answered(self) -> bool:
        """Whether something was said in the bank's name."""
        return self.answer.source not in _NOT_ANSWERED and not self.asked_back

    @property
    def document(self) -> str:
        """The id of the document that it was answered from; empty if from none."""
        return self.answer.answer_id.rpartition("#")[0] if self.answered else ""

    @property
    def right_document(self) -> bool:
        """Whether it was answered from one of the documents that have the answer."""
        return self.document in self.item["ids"]

    @property
    def said(self) -> bool:
        """Whether the answer has what it must say."""
        return self.answered and any(part.lower() in self.answer.text.lower() for part in self.item["must_say"])

    @property
    def elsewhere(self) -> bool:
        """Whether it was answered from a document about something else."""
        families = {_NUMBER.sub("", one) for one in self.item["ids"]}
        return self.answered and _NUMBER.sub("", self.document) not in families

    @property
    def is_right(self) -> bool:
        """Whether it was answered, refused or asked back as it should be."""
        match self.item["kind"]:
            case "covered":
                return self.said
            case "which":
                return self.asked_back
            case _:
                return not self.answered


async def ask(bot: Bot, item: Mapping[str, Any]) -> Result:
    """Ask one question in a call of its own, after the one that it leans on."""
    call = bot.new_call()
    for text in filter(None, (item.get("after"), item["q"])):
        *_, done = [event async for event in bot.orchestrator.turn(Transcript(text), call, speak=False)]
    assert isinstance(done, Done)
    return Result(item, done.record.answer, sum(done.record.timings_ms.values()))


async def run(documents: Path, items: Sequence[Mapping[str, Any]]) -> tuple[dict[str, float], dict[str, list[Result]]]:
    """Seconds until each start was ready, and the results after it."""
    ready_s: dict[str, float] = {}
    results: dict[str, list[Result]] = {}
    with tempfile.TemporaryDirectory() as home:
        settings = load(flags={"home": home, "knowledge.path": str(documents), "cache.mode": "off"}).settings
        for start in ("first", "second"):
            began = time.perf_counter()
            async with open_bot(settings, speech=False) as bot:
                ready_s[start] = round(time.perf_counter() - began, 2)
                results[start] = [await ask(bot, item) for item in items]
                await bot.orchestrator.knowledge.deepen()  # type: ignore[attr-defined]  # so that the second start has all
    return ready_s, results


def report(results: Sequence[Result]) -> dict[str, Any]:
    """Shares of each kind, and times."""

    def share(kind: str, true: str, *, of: bool = True) -> float:
        chosen = [bool(getattr(result, true)) is of for result in results if result.item["kind"] == kind]
        return round(sum(chosen) / max(1, len(chosen)), 4)

    times = sorted(result.ms for result in results)
    return {
        "covered": {
            "n": sum(result.item["kind"] == "covered" for result in results),
            "right_document": share("covered", "right_document"),
            "must_say": share("covered", "said"),
            "about_something_else": share("covered", "elsewhere"),
            "asked_back": share("covered", "asked_back"),
            "not_answered": share("covered", "answered", of=False),
        },
        "which": {
            "n": sum(result.item["kind"] == "which" for result in results),
            "asked_back": share("which", "asked_back"),
        },
        **{
            kind: {
                "n": sum(result.item["kind"] == kind for result in results),
                "not_answered": share(kind, "answered", of=False),
            }
            for kind in ("absent", "off")
        },
        "ms_p50": round(times[len(times) // 2], 1),
        "ms_p95": round(times[int(len(times) * 0.95)], 1),
    }


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.documents", description=__doc__)
    parser.add_argument("--documents", type=Path, required=True)
    parser.add_argument("--questions", type=Path, required=True)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--wrong", action="store_true", help="list what was not answered as it should be")
    given = parser.parse_args()
    items = [json.loads(line) for line in given.questions.read_text().splitlines() if line.strip()]
    ready_s, results = asyncio.run(run(given.documents, items))
    if given.wrong:
        for result in results["second"]:
            if not result.is_right:
                answer = result.answer
                print(f"{result.item['kind']}\t{result.item['q']}\t{answer.source}\t{answer.answer_id}\t{answer.text}")
    found = {
        "ready_s": ready_s,
        **{f"after_{start}_start": report(results[start]) for start in results},
        "machine": f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
    }
    print(json.dumps(found, indent=None if given.json else 2))


if __name__ == "__main__":
    main()
