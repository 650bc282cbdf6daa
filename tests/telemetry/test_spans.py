"""Traces: one for each call, never mixed, and without anybody's words."""

import asyncio
import subprocess
import sys
from collections import defaultdict

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.bots import FREEZE, QUESTION, ScriptedBot
from tests.telemetry.records import SECRET, turn

from teller.call import Call
from teller.engines.scripted import ScriptedGenerator
from teller.errors import ConfigError
from teller.telemetry.spans import Spans, open_exporter
from teller.telemetry.trace_ids import trace_id_of
from teller.turn import Scope, Source, Transcript


def exported(records) -> list:
    exporter = InMemorySpanExporter()
    spans = Spans(SimpleSpanProcessor(exporter))
    for record in records:
        spans.turn_finished(record)
    spans.close()
    return list(exporter.get_finished_spans())


async def test_the_spans_of_many_calls_at_once_are_never_mixed():
    bot = ScriptedBot(otherwise=(FREEZE,), generator=ScriptedGenerator(delay_s=0.002))
    calls = [Call(id=f"{number:032x}", scope=Scope("bank", "en-GB")) for number in range(1, 101)]

    async def talk(call):
        for number in range(3):
            words = Transcript(f"{QUESTION} number {number} of {call.id}")
            async for _ in bot.orchestrator.turn(words, call, speak=False):
                pass

    await asyncio.gather(*map(talk, calls))
    spans = exported(bot.observer.turns)

    by_trace = defaultdict(list)
    for span in spans:
        by_trace[f"{span.context.trace_id:032x}"].append(span)
    assert set(by_trace) == {call.id for call in calls}
    turns_of = defaultdict(set)
    for record in bot.observer.turns:
        turns_of[record.call_id].add(record.turn_id)
    for trace, mine in by_trace.items():
        (root,) = [span for span in mine if span.parent is None]
        turns = [span for span in mine if span.name == "turn"]
        assert root.name == "call"
        assert root.attributes["teller.turns"] == 3
        assert {span.parent.span_id for span in turns} == {root.context.span_id}
        assert {span.attributes["teller.turn_id"] for span in turns} == turns_of[trace]
        stages = [span for span in mine if span.name not in ("call", "turn")]
        assert {span.parent.span_id for span in stages} <= {span.context.span_id for span in turns}
    assert len({span.context.span_id for span in spans}) == len(spans)


def test_stages_lie_inside_their_turn_and_turns_inside_their_call_even_if_the_clock_jumps_back():
    call_id = "c" * 32
    records = [
        turn(call_id, started_at=1_000.0),
        turn(call_id, started_at=10.0, timings_ms={"redact": -4.0, "cache": 5.0}),
        turn(call_id, started_at=-50.0),
        turn(call_id, started_at=float("nan"), timings_ms={"cache": float("inf")}, answered_ms=float("inf")),
    ]

    spans = {span.context.span_id: span for span in exported(records)}

    assert len(spans) == 1 + 4 + 3 + 2 + 3 + 1
    for span in spans.values():
        assert span.end_time >= span.start_time
        if span.parent is not None:
            above = spans[span.parent.span_id]
            assert above.start_time <= span.start_time
            assert span.end_time <= above.end_time


def test_nothing_that_was_said_is_in_a_span():
    for span in exported([turn(), turn(source=Source.TOOL), turn(source=Source.MODEL)]):
        told = span.to_json()
        assert SECRET not in told
        assert "Wilhelmina" not in told
        assert "customer-4711" not in told


def test_a_call_that_is_idle_is_closed_while_others_go_on():
    exporter = InMemorySpanExporter()
    spans = Spans(SimpleSpanProcessor(exporter))
    spans.turn_finished(turn("a" * 32, started_at=1_000.0))
    spans.turn_finished(turn("b" * 32, started_at=2_000.0))

    ended = [span for span in exporter.get_finished_spans() if span.name == "call"]

    assert [f"{span.context.trace_id:032x}" for span in ended] == ["a" * 32]
    spans.close()


@pytest.mark.parametrize("call_id", ["call-1", "", "0" * 32, "A" * 32])
def test_every_call_id_gives_a_valid_trace(call_id):
    trace = trace_id_of(call_id)

    assert len(trace) == 32
    assert int(trace, 16) > 0
    assert trace == trace_id_of(call_id)


def test_an_endpoint_that_is_no_address_is_refused():
    with pytest.raises(ConfigError, match=r"otlp_endpoint is ftp://x; wanted"):
        open_exporter("ftp://x")


def test_opentelemetry_is_not_loaded_where_no_endpoint_is_given():
    program = "import sys, teller.telemetry, teller.server.serve; print('opentelemetry.sdk' in sys.modules)"

    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert said.stdout == "False\n"
