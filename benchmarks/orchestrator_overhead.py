"""What Teller costs around its engines: typed turns of 50 callers at once, beside two loops written bare in FastAPI.

    python -m benchmarks.orchestrator_overhead [--turns 20000] [--json]

Engines are scripted and answer at once, so all that is left is Teller. The applications are called through ASGI in one
process, blocks of turns alternating, so that all meet the same machine: no sockets, which would cost all alike. Half of
the questions are new and half come from the cache.

`teller` does a turn: redaction, rules, tools, cache, retrieval, generation, grounding, keeping, and the record. `same
stages by hand` is a handler that calls the very same parts one after another and keeps a record: without the
orchestrator's streams, time limits and call state, and without the server's limits, tokens and safe headers. It says
what the orchestrator and the server cost. `dictionary` reads JSON, looks the question up in a dictionary, asks the same
scripted generator if it is not there, and writes JSON: it says what all that a bank needs costs.

`flat_out` asks as fast as answers come; `paced` has each caller ask five times a second, as far busier than people as
one process should ever get. Flat out the wait is that of a queue: 50 callers at 1,000 turns a second wait 50 ms in the
mean, those whose answer is made longer than those whose answer is there. `processor_us` is processor time of a turn,
and `processor_ratio` compares it: other work on the machine does not show in it. Targets: p99 of a paced turn at most
10 ms, and at least 0.6 of the turns a second of the same stages by hand.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from benchmarks.cache_parts import machine, percentiles
from benchmarks.telemetry_overhead import open_arms
from teller.audio import Pcm
from teller.banking import grounding, policy
from teller.call import Call, Memory
from teller.engines.scripted import ScriptedDetector, ScriptedGenerator, ScriptedKnowledge
from teller.errors import InputError
from teller.orchestrator import Orchestrator
from teller.ports import Detector, Message, Passage, Prompt
from teller.prompts import answer_prompt, spoken_part
from teller.redaction import redact
from teller.server.app import make_app
from teller.server.limits import ServerLimits
from teller.turn import Answer, Citation, DataClass, Hit, Question, Scope, Source, Transcript
from teller.values import find_values

CALLERS = 50
BLOCK = 500
PACED = 5_000
KNOWN = "how do I freeze my card"
PASSAGE = Passage("freeze", "Freezing a card", "Open the app and tap Freeze.", "1", DataClass.PUBLIC, (), 0.9)
TELLER, BY_HAND, DICTIONARY = "teller", "same stages by hand", "dictionary"


class _Bot:
    """What `make_app` needs, around an orchestrator of scripted engines."""

    def __init__(self, orchestrator: Orchestrator) -> None:
        self.orchestrator = orchestrator

    def new_call(self, customer: str | None = None) -> Call:
        return Call(uuid.uuid4().hex, Scope("bank", "en-GB", customer))

    def greeting(self) -> tuple[str, str]:
        return "hello", ""

    def open_detector(self) -> Detector:
        return ScriptedDetector()

    def read_sound(self, data: bytes) -> Pcm:
        raise InputError(f"{len(data)} bytes: this bot is asked in text")

    async def ready(self) -> Mapping[str, str]:
        return {"scripted": "ok"}


def by_hand_app(parts: Orchestrator) -> FastAPI:
    """The same stages with the same engines, one after another."""
    app = FastAPI(openapi_url=None)
    records: deque[dict[str, Any]] = deque(maxlen=1_000)
    scope, basis, memory = Scope("bank", "en-GB"), parts.cache.basis_with(()), Memory()

    async def look_up(question: Question) -> Answer:
        passages = await parts.knowledge.search(question)
        best, prompt = passages[0], answer_prompt(question, passages)
        text, _ = spoken_part("".join([piece async for piece in parts.generator.generate(prompt)]))
        agrees = text == best.text or await is_grounded(text, best)
        answer = Answer(
            text if agrees else best.text,
            Source.MODEL if agrees and text != best.text else Source.APPROVED,
            best.answer_id,
            best.data_class,
            (Citation(best.answer_id, best.title, best.version),),
            best.stamps,
        )
        await parts.cache.offer(question, answer, scope, basis=basis)
        return answer

    async def is_grounded(text: str, best: Passage) -> bool:
        vectors = await parts.embedder.embed([text, best.text])
        values = [find_values(one, parts.catalogue) for one in (text, best.text)]
        return grounding.compare(text, best.text, values[0], values[1], vectors).grounded

    async def ask(request: Request) -> JSONResponse:
        started_at, started = time.time(), time.perf_counter()
        text = str((await request.json())["text"])
        question = redact(Transcript(text), parts.catalogue, today=datetime.now(UTC).date()).question
        answer = policy.first_word(question)
        if answer is None and (reply := parts.toolbox.handle(question, memory)):
            answer = reply.answer
        if answer is None and policy.cannot_be_cached(question, memory) is None:
            found = await parts.cache.lookup(question, scope, basis=basis)
            answer = found.answer if isinstance(found, Hit) else None
        if answer is None:
            answer = await look_up(question)
        record = {
            "turn_id": uuid.uuid4().hex,
            "started_at": started_at,
            "spent_ms": (time.perf_counter() - started) * 1000,
            "heard": question.text,
            "redacted": question.redacted,
            "answer": answer.text,
            "source": answer.source,
            "reason": answer.reason,
            "citations": [citation.id for citation in answer.citations],
        }
        records.append(record)
        return JSONResponse(record)

    app.add_api_route("/api/ask", ask, methods=["POST"])
    return app


def dictionary_app() -> FastAPI:
    """The loop without Teller."""
    app = FastAPI(openapi_url=None)
    generator, answers = ScriptedGenerator(), dict[str, str]()

    async def ask(request: Request) -> JSONResponse:
        text = str((await request.json())["text"]).strip().lower()
        if (answer := answers.get(text)) is None:
            prompt = Prompt((Message("user", text),), (PASSAGE,))
            answer = answers[text] = "".join([piece async for piece in generator.generate(prompt)])
        return JSONResponse({"answer": answer, "source": "model"})

    app.add_api_route("/api/ask", ask, methods=["POST"])
    return app


async def post(app: Callable[..., Any], text: str) -> int:
    """One POST /api/ask through ASGI; gives the status."""
    body, status = json.dumps({"text": text}).encode(), 0
    headers = [(b"host", b"127.0.0.1:8080"), (b"content-type", b"application/json")]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/api/ask",
        "raw_path": b"/api/ask",
        "query_string": b"",
        "root_path": "",
        "headers": [*headers, (b"content-length", b"%d" % len(body))],
        "client": ("127.0.0.1", 40_000),
        "server": ("127.0.0.1", 8080),
        "state": {},
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Mapping[str, Any]) -> None:
        nonlocal status
        status = message.get("status", status)

    await app(scope, receive, send)
    return status


async def block(app: Callable[..., Any], questions: list[str], times_s: list[float], *, every_s: float = 0.0) -> float:
    """Have 50 callers ask them all; adds each turn's wall time, gives the seconds of the block."""
    waiting = iter(questions)

    async def caller(number: int) -> None:
        await asyncio.sleep(every_s * number / CALLERS)  # not all at once
        for text in waiting:
            started = time.perf_counter()
            status = await post(app, text)
            times_s.append(time.perf_counter() - started)
            if status != 200:
                raise InputError(f"'{text}' was answered with status {status}")
            if every_s:
                await asyncio.sleep(max(0.0, started + every_s - time.perf_counter()))

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(CALLERS):
            group.create_task(caller(number))
    return time.perf_counter() - started


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=20_000, help="of each application")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    limits = ServerLimits(max_calls=CALLERS, requests_per_minute=10_000_000)
    teller = make_app(_Bot(await open_parts()), limits)
    apps = {TELLER: teller, BY_HAND: by_hand_app(await open_parts()), DICTIONARY: dictionary_app()}
    times: dict[str, list[float]] = {name: [] for name in apps}
    seconds, processor_s = dict.fromkeys(apps, 0.0), dict.fromkeys(apps, 0.0)
    for number in range(options.turns // BLOCK):
        questions = [KNOWN if at % 2 else f"how do I freeze card {number * BLOCK + at}" for at in range(BLOCK)]
        first = number % len(apps)
        for name in [*list(apps)[first:], *list(apps)[:first]]:
            started = time.process_time()
            seconds[name] += await block(apps[name], questions, times[name])
            processor_s[name] += time.process_time() - started
    paced: list[float] = []
    await block(teller, [KNOWN if at % 2 else f"may I freeze card {at}" for at in range(PACED)], paced, every_s=0.2)
    found = {
        name: {
            "turns_per_s": round(len(times[name]) / seconds[name], 1),
            "processor_us": round(processor_s[name] / len(times[name]) * 1e6, 1),
        }
        | percentiles(times[name])
        for name in apps
    }
    rivals = (BY_HAND, DICTIONARY)
    report = {
        TELLER: {"flat_out": found[TELLER], "paced": percentiles(paced)},
        "rivals": {name: {"flat_out": found[name]} for name in rivals},
        "ratio": {name: round(found[TELLER]["turns_per_s"] / found[name]["turns_per_s"], 3) for name in rivals},
        "processor_ratio": {name: round(processor_s[name] / processor_s[TELLER], 3) for name in rivals},
        "machine": machine(),
    }
    print(json.dumps(report, indent=None if options.json else 2))


async def open_parts() -> Orchestrator:
    """An orchestrator of scripted engines without an observer, which knows one answer to every question."""
    with io.StringIO() as unused:
        arms = await open_arms(unused)
    return replace(arms.off, knowledge=ScriptedKnowledge(otherwise=(PASSAGE,)))


if __name__ == "__main__":
    asyncio.run(main())
