"""Traces on their way to a collector over HTTP, and a collector that is not there."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.telemetry.records import turn

from teller.telemetry import open_telemetry


@contextmanager
def collector() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """A collector's address, and the (path, body) of everything that it is sent."""
    received: list[tuple[str, bytes]] = []

    class Collect(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Collect) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", received
        finally:
            server.shutdown()
            serving.join()


async def test_spans_reach_a_collector_before_the_server_is_gone():
    record = turn()
    with collector() as (endpoint, received):
        async with open_telemetry(otlp_endpoint=endpoint) as telemetry:
            telemetry.recorder.turn_finished(record)

    assert {path for path, _ in received} == {"/v1/traces"}
    spans = [
        span
        for _, body in received
        for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for of_scope in of_resource.scope_spans
        for span in of_scope.spans
    ]
    assert sorted(span.name for span in spans) == ["cache", "call", "redact", "speak", "turn"]
    assert {span.trace_id.hex() for span in spans} == {record.call_id}


async def test_a_collector_that_is_away_holds_nobody_up_for_long():
    async with asyncio.timeout(15):
        async with open_telemetry(otlp_endpoint="http://127.0.0.1:9") as telemetry:
            telemetry.recorder.turn_finished(turn())
            body, _ = await telemetry.scrape()
    assert b'teller_turns_total{adapter="none",source="cache",tenant="bank"} 1.0' in body
