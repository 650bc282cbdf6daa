"""Spans for OpenTelemetry, built from finished records; the only file that knows OpenTelemetry (extra `otlp`).

One trace a call, a span for each turn and below it one for each stage. They are made after the turn, from its record:
the path of a call pays nothing, no context is carried through the tasks of a turn, so calls cannot be mixed up, and a
span says what the record says and nothing else. The price: stages are laid end to end in the order in which they
began, because a record has how long each took and not when.

The ids follow from those of call and turn, so spans, exemplars, log lines and the turn log name the same things.
"""

from __future__ import annotations

import importlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from teller.errors import ConfigError, EngineUnavailable
from teller.observers import Unobserved
from teller.telemetry.facts import answered_ms
from teller.telemetry.trace_ids import span_id_of, trace_id_of
from teller.turn import TurnRecord

_IDLE_S = 300.0  # a call without a turn for so long is over: its own span is sent
_MOST_OPEN = 2_000  # calls whose span is still open; the longest unused is closed first
_LAST_NS = 2.0**63  # that OTLP can hold
_WAIT_MS = 3_000  # for the collector, at the end


@dataclass(slots=True)
class _OpenCall:
    started_ns: int
    ended_ns: int
    tenant: str
    turns: int = 0


class Spans(Unobserved):
    """Makes spans of turns.

    They are made finished, as the SDK's own `ReadableSpan`, and given to the processor: a tracer takes 40 microseconds
    to start and end a span that this has in 5.

    Args:
        processor: an OpenTelemetry SpanProcessor that takes them.

    Raises:
        EngineUnavailable: if OpenTelemetry is not installed.
    """

    def __init__(self, processor: Any) -> None:
        self._api, self._sdk = _load("opentelemetry.trace"), _load("opentelemetry.sdk.trace")
        self._sampled = self._api.TraceFlags(self._api.TraceFlags.SAMPLED)
        self._scope = _load("opentelemetry.sdk.util.instrumentation").InstrumentationScope("teller")
        self._resource = _load("opentelemetry.sdk.resources").Resource({"service.name": "teller"})
        self._processor = processor
        self._calls: OrderedDict[str, _OpenCall] = OrderedDict()

    def turn_finished(self, record: TurnRecord) -> None:
        """Make the spans of a turn; its call's span comes when the call is idle."""
        trace_id, started_ns = trace_id_of(record.call_id), _ns(record.started_at * 1e9)
        stages_ns = {stage: _ns(spent_ms * 1e6) for stage, spent_ms in record.timings_ms.items()}
        spent_ns = max(_ns(answered_ms(record) * 1e6) + stages_ns.get("speak", 0), sum(stages_ns.values()))
        ended_ns = started_ns + spent_ns
        turn_id = span_id_of(record.turn_id)
        self._span("turn", trace_id, (span_id_of(trace_id), turn_id), (started_ns, ended_ns), _attributes(record))
        at_ns = started_ns
        for stage, stage_ns in stages_ns.items():
            times_ns = (at_ns, at_ns + stage_ns)
            self._span(stage, trace_id, (turn_id, span_id_of(record.turn_id, stage)), times_ns, {})
            at_ns += stage_ns
        self._note_call(trace_id, record.scope.tenant, started_ns, ended_ns)

    def close(self) -> None:
        """Send the spans of the calls that are open, and what else waits; takes seconds if the collector is away."""
        while self._calls:
            self._end_call(next(iter(self._calls)))
        self._processor.force_flush(_WAIT_MS)
        self._processor.shutdown()

    def _note_call(self, trace_id: str, tenant: str, started_ns: int, ended_ns: int) -> None:
        call = self._calls.setdefault(trace_id, _OpenCall(started_ns, ended_ns, tenant))
        self._calls.move_to_end(trace_id)
        call.started_ns, call.ended_ns = min(call.started_ns, started_ns), max(call.ended_ns, ended_ns)
        call.turns += 1
        idle_before = ended_ns - round(_IDLE_S * 1e9)
        while len(self._calls) > _MOST_OPEN or next(iter(self._calls.values())).ended_ns < idle_before:
            self._end_call(next(iter(self._calls)))

    def _end_call(self, trace_id: str) -> None:
        call = self._calls.pop(trace_id)
        attributes = {"teller.tenant": call.tenant, "teller.turns": call.turns}
        self._span("call", trace_id, (0, span_id_of(trace_id)), (call.started_ns, call.ended_ns), attributes)

    def _span(
        self, name: str, trace_id: str, ids: tuple[int, int], times_ns: tuple[int, int], attributes: Mapping[str, Any]
    ) -> None:
        """One span; `ids` are its parent's, 0 for none, and its own."""
        parent, own = (
            self._api.SpanContext(int(trace_id, 16), span_id, is_remote=False, trace_flags=self._sampled)
            for span_id in ids
        )
        span = self._sdk.ReadableSpan(
            name,
            context=own,
            parent=parent if ids[0] else None,
            resource=self._resource,
            attributes=attributes,
            instrumentation_scope=self._scope,
            start_time=times_ns[0],
            end_time=times_ns[1],
        )
        self._processor.on_end(span)


def open_exporter(endpoint: str) -> Any:
    """A SpanProcessor that sends batches to an OTLP collector over HTTP, from a thread of its own.

    Args:
        endpoint: as in "http://127.0.0.1:4318"; without a path, OTLP's own ("/v1/traces") is taken.

    Raises:
        EngineUnavailable: if the extra is not installed.
        ConfigError: if the endpoint is no web address.
    """
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"telemetry.otlp_endpoint is {endpoint}; wanted an address as in http://127.0.0.1:4318")
    exporter = _load("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    target = endpoint if parts.path.strip("/") else f"{endpoint.rstrip('/')}/v1/traces"
    return _load("opentelemetry.sdk.trace.export").BatchSpanProcessor(
        exporter.OTLPSpanExporter(endpoint=target, timeout=_WAIT_MS / 1000)
    )


def _attributes(record: TurnRecord) -> dict[str, Any]:
    """What a span may tell: no words, no customer, and no answer id, which for a calculation holds its values."""
    evidence = record.answer.evidence
    facts = {
        "teller.turn_id": record.turn_id,
        "teller.tenant": record.scope.tenant,
        "teller.locale": record.scope.locale,
        "teller.source": record.answer.source.value,
        "teller.reason": record.answer.reason or None,
        "teller.tier": evidence.tier.value if evidence else None,
        "teller.miss_reason": record.miss_reason.value if record.miss_reason else None,
        "teller.similarity": record.similarity,
        "teller.grounded": record.grounded,
        "teller.adapter": record.adapter,
        "teller.pieces": record.pieces or None,
        "teller.interrupted": record.interrupted or None,
    }
    return {name: fact for name, fact in facts.items() if fact is not None}


def _ns(time_ns: float) -> int:
    """Whole nanoseconds; 0 for what is below zero or no number."""
    return round(time_ns) if 0.0 < time_ns < _LAST_NS else 0


def _load(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as exc:
        raise EngineUnavailable("OpenTelemetry is missing: pip install 'teller[otlp]'") from exc
