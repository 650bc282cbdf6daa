"""/api/live: who may watch, what is sent, how many, and how it ends."""

import asyncio
import json
from contextlib import asynccontextmanager

import httpx
import pytest
from tests.server.server_stage import eventually, stage
from tests.telemetry.records import lookup

from teller.server import live
from teller.server.limits import Lines
from teller.telemetry import Telemetry

TOKEN = "a-token-of-some-length"


class Viewer:
    """The events of one answer, one by one."""

    def __init__(self, answer):
        self.status, self.headers = answer.status_code, answer.headers
        self._lines = answer.aiter_lines()

    async def event(self):
        """The next one: its name and what it carries; None at the end."""
        name = None
        async with asyncio.timeout(10):
            async for line in self._lines:
                field, _, value = line.partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    return name, json.loads(value)
        return None


@asynccontextmanager
async def watching(st, token=""):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with (
        httpx.AsyncClient(base_url=st.url, trust_env=False, timeout=20) as web,
        web.stream("GET", "/api/live", headers=headers) as answer,
    ):
        yield Viewer(answer)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(live, "_EVERY_S", 0.02)


@pytest.mark.usefixtures("quick")
async def test_a_viewer_is_sent_the_history_and_then_the_numbers_as_they_change():
    telemetry = Telemetry()
    async with stage(telemetry=telemetry, max_calls=7) as st, watching(st) as viewer:
        assert viewer.headers["content-type"].startswith("text/event-stream")
        assert viewer.headers["cache-control"] == "no-store"
        assert (await viewer.event())[0] == "history"
        name, first = await viewer.event()
        assert (name, first["calls"]) == ("now", {"active": 0, "free": 7})
        telemetry.recorder.lookup_finished(lookup())
        seen = [first["cache"]["hits"]]
        while seen[-1] == 0:
            seen.append((await viewer.event())[1]["cache"]["hits"])
    assert seen[-1] == 1


async def test_the_numbers_want_the_token_and_the_page_does_not():
    async with stage(telemetry=Telemetry(), token=TOKEN) as st:
        async with watching(st) as stranger:
            assert stranger.status == 401
        async with watching(st, TOKEN) as viewer:
            assert viewer.status == 200
        async with httpx.AsyncClient(base_url=st.url, trust_env=False) as web:
            page = await web.get("/dashboard")
            assert page.status_code == 200
            assert "default-src 'self'" in page.headers["content-security-policy"]


async def test_without_telemetry_there_is_no_live_page():
    async with stage() as st, httpx.AsyncClient(base_url=st.url, trust_env=False) as web:
        assert (await web.get("/dashboard")).status_code == 404
        assert (await web.get("/api/live")).status_code == 404


@pytest.mark.usefixtures("quick")
async def test_too_many_viewers_are_told_to_come_back_and_a_place_is_free_again_when_one_leaves(monkeypatch):
    monkeypatch.setattr(live, "MOST_VIEWERS", 1)
    async with stage(telemetry=Telemetry()) as st:
        async with watching(st) as viewer:
            await viewer.event()
            async with watching(st) as other:
                assert other.status == 503
        statuses = []
        async with asyncio.timeout(10):
            while 200 not in statuses:
                async with watching(st) as again:
                    statuses.append(again.status)


@pytest.mark.usefixtures("quick")
async def test_the_stream_says_goodbye_when_the_server_drains():
    async with stage(telemetry=Telemetry()) as st, watching(st) as viewer:
        await viewer.event()
        st.server.should_exit = True
        names = []
        while event := await viewer.event():
            names.append(event[0])
        assert names[-1] == "bye"
        await eventually(lambda: st.lines.stopping.is_set())


@pytest.mark.usefixtures("quick")
async def test_a_viewer_who_does_not_read_is_dropped():
    lines = Lines(3)
    feed = live.Live(Telemetry(), lines, send_timeout_s=0.05)
    answer = await feed.stream()
    never, sent = asyncio.Event(), []

    async def send(message):
        sent.append(message)
        if len(sent) > 3:
            await never.wait()

    async with asyncio.timeout(10):
        await answer({"type": "http"}, never.wait, send)
    assert feed.viewers == 0
    assert len(sent) == 4
    await lines.drain(1.0)
