"""/metrics: who may scrape it, when, and that a real Prometheus can."""

import asyncio
import json
import shutil
import socket
import sys
from pathlib import Path

import httpx
import pytest
from tests.server.server_stage import Line, StageBot, eventually, said, stage
from tests.telemetry.records import lookup, turn
from websockets.exceptions import InvalidStatus

from teller.server.failures import _CODES, STATUS_CODES
from teller.telemetry import Telemetry
from teller.telemetry.table import CODES
from teller.turn import MissReason, Source

TOKEN = "a-token-of-some-length"
DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


def client(st, token="") -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.AsyncClient(base_url=st.url, headers=headers, trust_env=False, timeout=20)


def number(body: str, sample: str) -> float:
    (line,) = [line for line in body.splitlines() if line.startswith(f"{sample} ")]
    return float(line.rsplit(" ", 1)[1])


async def test_metrics_want_the_token_and_do_not_use_up_its_rate():
    async with stage(telemetry=Telemetry(), token=TOKEN, requests_per_minute=3) as st:
        async with client(st, TOKEN) as web:
            answers = [await web.get("/metrics") for _ in range(10)]
            assert [answer.status_code for answer in answers] == [200] * 10
            assert answers[0].headers["content-type"].startswith("text/plain; version=")
            assert answers[0].headers["cache-control"] == "no-store"
        async with client(st) as web:
            refused = [(await web.get("/metrics")).status_code for _ in range(5)]
    assert refused == [401, 401, 401, 429, 429]


async def test_without_telemetry_there_is_nothing_to_scrape():
    async with stage() as st, client(st) as web:
        assert (await web.get("/metrics")).status_code == 404


async def test_what_callers_are_told_instead_of_an_answer_is_counted():
    async with stage(telemetry=Telemetry(), token=TOKEN) as st, client(st, TOKEN) as web:
        async with client(st) as stranger:
            await stranger.post("/api/ask", json={"text": "hello"})
        await web.post("/api/ask", content=b"{", headers={"Content-Type": "application/json"})
        await web.get("/nowhere")
        async with st.call(additional_headers={"Authorization": f"Bearer {TOKEN}"}) as caller:
            await caller.say(type="nonsense")
            await caller.until("error")
            body = (await web.get("/metrics")).text
    assert number(body, 'teller_failures_total{code="unauthorized"}') == 1
    assert number(body, 'teller_failures_total{code="bad_input"}') == 2
    assert number(body, 'teller_failures_total{code="not_found"}') == 1
    assert number(body, 'teller_failures_total{code="busy"}') == 0
    assert number(body, "teller_calls_active") == 1


async def test_callers_who_are_turned_away_are_told_when_to_come_back_and_counted():
    async with stage(telemetry=Telemetry(), max_calls=1) as st, client(st) as web, st.call():
        over_http = await web.post("/api/ask", json={"text": "hello"})
        with pytest.raises(InvalidStatus) as over_websocket:
            async with st.call():
                pass
        body = (await web.get("/metrics")).text
    for response in (over_http, over_websocket.value.response):
        assert response.status_code == 503
        assert response.headers["Retry-After"] == "5"
    assert number(body, 'teller_failures_total{code="busy"}') == 2
    assert number(body, "teller_calls_free") == 0


async def test_metrics_and_health_are_told_while_the_server_drains():
    go_on = asyncio.Event()

    async def hold(_: str) -> None:
        await go_on.wait()

    bot = StageBot({"hold": Line(said("done"), act=hold)})
    async with stage(bot, Telemetry()) as st, client(st) as web:
        held = asyncio.create_task(web.post("/api/ask", json={"text": "hold"}))
        await eventually(lambda: bot.orchestrator.running == 1)
        st.server.should_exit = True
        await eventually(st.lines.stopping.is_set)

        body = (await web.get("/metrics")).text
        refused = await web.post("/api/ask", json={"text": "hello"})
        alive, ready = await web.get("/healthz"), await web.get("/readyz")
        go_on.set()
        answered = await held

    assert number(body, "teller_calls_active") == 1
    assert number(body, "teller_calls_free") == 0
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
    assert (alive.status_code, ready.status_code) == (200, 503)
    assert answered.json()["answer"] == "done"


def test_the_table_knows_every_code_that_a_caller_can_be_told():
    of_line = {"call_busy", "call_idle", "call_too_long", "not_listening", "server_stopping", "turn_timeout", "refused"}

    assert set(CODES) == {code for _, code in _CODES} | set(STATUS_CODES.values()) | of_line


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not here: apt-get install prometheus")
async def test_a_real_prometheus_scrapes_it_and_can_run_every_query_of_the_dashboard(tmp_path):
    telemetry = Telemetry(version="1")
    record = turn()
    for one in (record, turn(source=Source.MODEL, adapter="loans@0123", grounded=False)):
        telemetry.recorder.turn_finished(one)
    for outcome in (lookup().outcome, MissReason.TOO_FAR):
        telemetry.recorder.lookup_finished(lookup(outcome))
    async with stage(telemetry=telemetry, token=TOKEN) as st:
        configuration = (DEPLOY / "prometheus/prometheus.yml").read_text()
        configuration = configuration.replace("127.0.0.1:8080", f"127.0.0.1:{st.port}").replace("15s", "1s")
        (tmp_path / "prometheus.yml").write_text(configuration)
        (tmp_path / "teller.token").write_text(TOKEN)
        for rules in ("recording.yml", "alerts.yml"):
            shutil.copy(DEPLOY / "prometheus" / rules, tmp_path)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            "prometheus", f"--config.file={tmp_path / 'prometheus.yml'}", f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}", "--enable-feature=exemplar-storage", "--log.level=warn",
            stdout=sys.stderr, stderr=sys.stderr,
        )  # fmt: skip
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=10) as web:
                await _until_scraped(web)
                targets = (await web.get("/api/v1/targets")).json()["data"]["activeTargets"]
                assert [(target["health"], target["lastError"]) for target in targets] == [("up", "")]
                counted = await _query(web, 'teller_turns_total{source="cache", adapter="none"}')
                assert [sample["value"][1] for sample in counted] == ["1"]
                assert (await _query(web, "teller_calls_free"))[0]["value"][1] == "50"
                exemplars = await web.get("/api/v1/query_exemplars", params=_EXEMPLARS)
                traces = {one["labels"]["trace_id"] for found in exemplars.json()["data"] for one in found["exemplars"]}
                assert record.call_id in traces
                for expression in _dashboard():
                    await _query(web, expression)
        finally:
            process.terminate()
            await process.wait()


_EXEMPLARS = {"query": "teller_answer_seconds_bucket", "start": "1749990000", "end": "1750010000"}


async def _until_scraped(web) -> None:
    async with asyncio.timeout(30):
        while True:
            await asyncio.sleep(0.2)
            try:
                if await _query(web, "teller_build_info"):
                    return
            except httpx.TransportError:
                continue


async def _query(web, expression) -> list[dict]:
    answer = (await web.get("/api/v1/query", params={"query": expression})).json()
    assert answer["status"] == "success", (expression, answer)
    return answer["data"]["result"]


def _dashboard() -> list[str]:
    panels = json.loads((DEPLOY / "grafana/dashboards/teller.json").read_text())["panels"]
    found = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    return [expression.replace("$__rate_interval", "1m").replace("$job", ".*") for expression in found]
