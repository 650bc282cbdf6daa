"""Personal data that a caller says reaches no metric, span or log line, whatever answers the question."""

import io
import json
from dataclasses import replace

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.bots import FREEZE, ScriptedBot
from tests.test_canaries import CANARIES

from teller.telemetry import Telemetry
from teller.telemetry.json_logs import TurnLines, log_as_json
from teller.telemetry.spans import Spans

LOAN = "what would 12345 pounds over five years cost me a month"


@pytest.mark.parametrize(("secret", "said"), [*CANARIES.items(), ("12345", LOAN)])
async def test_what_is_said_is_told_to_nobody(secret, said):
    bot, exporter, stream = ScriptedBot(otherwise=(FREEZE,)), InMemorySpanExporter(), io.StringIO()
    await bot.ask(said)
    await bot.ask(said)
    spans = Spans(SimpleSpanProcessor(exporter))
    telemetry = Telemetry((TurnLines(), spans))
    for lookup in bot.observer.lookups:  # times and ids that hold no digits by chance
        telemetry.recorder.lookup_finished(replace(lookup, spent_ms=1.0))
    for turn in bot.observer.turns:
        even = dict.fromkeys(turn.timings_ms, 1.0)
        telemetry.recorder.turn_finished(replace(turn, turn_id="a" * 32, timings_ms=even, answered_ms=5.0))

    with log_as_json(stream):
        body, _ = await telemetry.scrape("application/openmetrics-text")
    spans.close()

    told = [body.decode(), stream.getvalue(), json.dumps([span.to_json() for span in exporter.get_finished_spans()])]
    assert all(told)
    for one in told:
        assert secret.casefold() not in one.casefold()
        assert "freeze" not in one.casefold()
