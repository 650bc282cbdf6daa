"""What telemetry costs a turn: everything on against off, on exact cache hits with scripted engines.

    python -m benchmarks.telemetry_overhead [--turns 20000] [--json]

Two arms take turns in blocks of 50 in one process, so that both meet the same machine. `off` has no observer; `on` has
metrics, a line of JSON for each turn (to a file that is thrown away) and OpenTelemetry spans (to an exporter that
throws them away). `path` is the time of one turn: wall time, as its caller waits for it, and processor time, in which
other work on the machine does not show. `beside` is processor time of
folding, between turns: with everything on, and with metrics alone, which is the default. `together` runs 50 callers at
once and folds while they run, as a server does, and counts turns: what the path does not show must show there.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import logging
import statistics
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from benchmarks.cache_parts import machine
from teller.bank_files import bank_folder
from teller.banking.products import load_rates
from teller.banking.tools import Toolbox
from teller.cache.partition import Basis
from teller.cache.rules import CacheRules
from teller.cache.semantic import CacheStore, SemanticCache
from teller.cache.verdict import ExactOnly
from teller.call import Call
from teller.engines.scripted import ScriptedEmbedder, ScriptedGenerator, ScriptedIndex, ScriptedKnowledge, ScriptedLog
from teller.engines.scripted_surroundings import ScriptedClock
from teller.observers import Observers
from teller.orchestrator import Orchestrator
from teller.ports import Passage
from teller.telemetry.facts import Facts
from teller.telemetry.json_logs import JsonLines, TurnLines
from teller.telemetry.recorder import Recorder
from teller.telemetry.series import Series
from teller.telemetry.spans import Spans
from teller.turn import DataClass, Done, Scope, Transcript
from teller.values import Catalogue

QUESTION = "how do I freeze my card"
BLOCK = 50
CALLERS = 50


class _Nowhere(SpanExporter):
    def export(self, spans: Sequence[Any]) -> SpanExportResult:  # noqa: ARG002
        return SpanExportResult.SUCCESS


@dataclass(frozen=True)
class Arms:
    """One orchestrator with either observer, and what folds."""

    off: Orchestrator
    on: Orchestrator
    everything: Recorder
    spans: Spans


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=20_000, help="of each arm")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with io.StringIO() as thrown_away:
        arms = await open_arms(thrown_away)
        found = {
            "machine": machine(),
            "path_us": await path(arms, options.turns, thrown_away),
            "beside_us": await beside(arms, options.turns // 4, thrown_away),
            "together": await together(arms, options.turns // 2, thrown_away),
        }
        await asyncio.to_thread(arms.spans.close)
    print(json.dumps(found) if options.json else _shown(found))


async def open_arms(stream: io.StringIO) -> Arms:
    """Both arms over one cache, which already knows the answer."""
    embedder, clock = ScriptedEmbedder(), ScriptedClock()
    passage = Passage("freeze", "Freezing a card", "Open the app and tap Freeze.", "1", DataClass.PUBLIC, (), 0.9)
    basis = Basis("scripted", "prompt", "policy", "knowledge")
    cache = SemanticCache(
        CacheStore(log=ScriptedLog(), make_index=lambda: ScriptedIndex(embedder.dim)),
        embedder,
        ExactOnly(),
        basis=lambda: basis,
        rules=CacheRules(eligible=lambda *_: None),
        clock=clock,
    )
    off = Orchestrator(
        transcriber=None,
        toolbox=Toolbox(load_rates((bank_folder() / "rates.toml").read_text(), "rates.toml")),
        cache=cache,
        knowledge=ScriptedKnowledge({QUESTION: (passage,)}),
        generator=ScriptedGenerator(),
        embedder=embedder,
        synthesizer=None,
        observer=Observers(()),
        clock=clock,
        catalogue=Catalogue.empty(),
    )
    await _turn(off)
    spans = Spans(BatchSpanProcessor(_Nowhere(), max_queue_size=1 << 16))
    everything = Recorder((Facts(Series()), TurnLines(), spans))
    lines = logging.getLogger("teller.turns")
    to_file = logging.StreamHandler(stream)
    to_file.setFormatter(JsonLines())
    lines.handlers[:], lines.propagate = [to_file], False
    lines.setLevel(logging.INFO)
    return Arms(off, replace(off, observer=Observers((everything,))), everything, spans)


async def path(arms: Arms, turns: int, stream: io.StringIO) -> dict[str, Any]:
    """Wall time of a turn, in microseconds, by arm; blocks alternate, and which goes first alternates too."""
    taken: dict[str, list[tuple[float, float]]] = {"off": [], "on": []}
    for block in range(turns // BLOCK):
        order = [("off", arms.off), ("on", arms.on)]
        for name, orchestrator in order if block % 2 else order[::-1]:
            taken[name] += [await _turn(orchestrator) for _ in range(BLOCK)]
        arms.everything.fold()
        _rewind(stream)
    figures: dict[str, Any] = {}
    for place, kind in enumerate(("wall", "processor")):
        off, on = (_percentiles([one[place] for one in taken[name]]) for name in ("off", "on"))
        overhead = {share: round(on[share] / off[share] - 1, 4) for share in off}
        figures |= {f"{kind}, off": off, f"{kind}, on": on, f"{kind}, overhead": overhead}
    return figures


async def beside(arms: Arms, turns: int, stream: io.StringIO) -> dict[str, float]:
    """Processor time of folding one turn and its lookup, in microseconds: median over blocks."""
    metrics_alone = Recorder((Facts(Series()),))
    spent: dict[str, list[float]] = {"metrics": [], "everything": []}
    for _ in range(turns // BLOCK):
        for name, recorder in (("metrics", metrics_alone), ("everything", arms.everything)):
            asked = replace(arms.on, observer=Observers((recorder,)))
            for _ in range(BLOCK):
                await _turn(asked)
            started = time.thread_time()
            recorder.fold()
            spent[name].append((time.thread_time() - started) * 1e6 / BLOCK)
            _rewind(stream)
    return {name: round(statistics.median(blocks), 2) for name, blocks in spent.items()}


async def together(arms: Arms, turns: int, stream: io.StringIO) -> dict[str, float]:
    """Turns a second of 50 callers at once, folding while they run: medians over alternating blocks of 1,000."""
    rates: dict[str, list[float]] = {"off": [], "metrics": [], "everything": []}
    metrics_alone = Recorder((Facts(Series()),))
    arm_of: dict[str, tuple[Orchestrator, Recorder | None]] = {
        "off": (arms.off, None),
        "metrics": (replace(arms.on, observer=Observers((metrics_alone,))), metrics_alone),
        "everything": (arms.on, arms.everything),
    }
    for _ in range(max(3, turns // 1_000)):
        for name, (orchestrator, recorder) in arm_of.items():
            started = time.process_time()
            await asyncio.gather(*(_caller(orchestrator, recorder, 1_000 // CALLERS) for _ in range(CALLERS)))
            rates[name].append(1_000 / (time.process_time() - started))
            _rewind(stream)
    figures = {name: round(statistics.median(each)) for name, each in rates.items()}
    costs = {f"{name}_costs": round(1 - figures[name] / figures["off"], 4) for name in ("metrics", "everything")}
    return {**figures, **costs}


async def _caller(orchestrator: Orchestrator, recorder: Recorder | None, turns: int) -> None:
    for _ in range(turns):
        await _turn(orchestrator)
        if recorder is not None:
            await recorder.fold_gently()
        else:
            await asyncio.sleep(0)


async def _turn(orchestrator: Orchestrator) -> tuple[float, float]:
    """One turn of a call of its own; its wall time and its processor time in microseconds."""
    call = Call(id=uuid.uuid4().hex, scope=Scope("bank", "en-GB"))
    started, worked = time.perf_counter(), time.thread_time()
    async for event in orchestrator.turn(Transcript(QUESTION), call, speak=False):
        last = event
    spent = (time.perf_counter() - started) * 1e6, (time.thread_time() - worked) * 1e6
    assert isinstance(last, Done)
    return spent


def _rewind(stream: io.StringIO) -> None:
    stream.seek(0)
    stream.truncate()


def _percentiles(times: Sequence[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {f"p{share}": round(ordered[len(ordered) * share // 100], 2) for share in (50, 90, 99)}


def _shown(found: Mapping[str, Any]) -> str:
    path_us, beside_us, rates = found["path_us"], found["beside_us"], found["together"]
    lines = [f"{found['machine']}", "", "a cache hit, as its caller waits for it, microseconds"]
    lines += [f"  {arm:<20}" + "  ".join(f"{name} {value}" for name, value in path_us[arm].items()) for arm in path_us]
    lines += ["beside the path, processor microseconds a turn"]
    lines += [f"  {name:<10} {value}" for name, value in beside_us.items()]
    lines += ["50 callers at once, turns for each second of processor time"]
    lines += [f"  {name:<17} {value}" for name, value in rates.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    asyncio.run(main())
