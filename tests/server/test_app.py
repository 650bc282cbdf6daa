import asyncio
import base64
import json
from contextlib import suppress

import httpx
import pytest
from tests.server.server_stage import Line, StageBot, eventually, said, stage, tone
from websockets.exceptions import InvalidStatus

from teller.errors import ConfigError, EngineError, EngineUnavailable, KnowledgeError
from teller.server.draining import make_server
from teller.server.limits import ServerLimits
from teller.turn import MissReason

TOKEN = "a-token-of-some-length"


def client(st, **headers) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=st.url, headers=headers, trust_env=False, timeout=20)


def failing(error: Exception):
    async def act(_: str) -> None:
        raise error

    return act


async def stall(_: str) -> None:
    await asyncio.Event().wait()


async def test_a_question_over_http_is_answered_with_its_evidence() -> None:
    bot = StageBot(
        {
            "My card is 4111": Line(
                said("Call us."), heard="My card is [card]", redacted=("card",), miss_reason=MissReason.TOO_FAR
            )
        }
    )
    async with stage(bot) as st, client(st) as web:
        answer = await web.post("/api/ask", json={"text": "My card is 4111"})
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        body = answer.json()
        assert set(body) == {
            "turn_id", "heard", "redacted", "answer", "source", "reason", "citations", "evidence", "miss_reason",
            "similarity", "grounded", "adapter", "timings_ms", "call", "audio_url",
        }  # fmt: skip
        assert body["heard"] == "My card is [card]"
        assert body["redacted"] == ["card"]
        assert body["miss_reason"] == "too_far"
        assert body["audio_url"] is None


async def test_a_call_goes_on_with_its_token_and_a_wrong_token_is_told() -> None:
    async with stage() as st, client(st) as web:
        first = (await web.post("/api/ask", json={"text": "one"})).json()["call"]
        second = (await web.post("/api/ask", json={"text": "two"}, headers={"Teller-Call": first})).json()["call"]
        assert second == first
        assert len(st.bot.calls) == 1
        wrong = await web.post("/api/ask", json={"text": "three"}, headers={"Teller-Call": "x" * 32})
        assert wrong.status_code == 404
        assert wrong.json()["error"]["code"] == "not_found"


async def test_one_call_takes_one_question_at_a_time() -> None:
    bot = StageBot({"stall": Line(said("never"), act=stall)})
    async with stage(bot, max_turn_s=0.5) as st, client(st) as web:
        token = (await web.post("/api/ask", json={"text": "one"})).json()["call"]
        held = asyncio.create_task(web.post("/api/ask", json={"text": "stall"}, headers={"Teller-Call": token}))
        await eventually(lambda: bot.orchestrator.running == 1)
        both = await web.post("/api/ask", json={"text": "two"}, headers={"Teller-Call": token})
        assert (both.status_code, both.json()["error"]["code"]) == (409, "call_busy")
        late = await held
        assert (late.status_code, late.json()["error"]["code"]) == (504, "turn_timeout")
        again = await web.post("/api/ask", json={"text": "three"}, headers={"Teller-Call": token})
        assert again.status_code == 200


async def test_the_spoken_answer_can_be_fetched_as_a_wav() -> None:
    async with stage() as st, client(st) as web:
        body = (await web.post("/api/ask?speak=true", json={"text": "one"})).json()
        sound = await web.get(body["audio_url"])
        assert sound.headers["content-type"] == "audio/wav"
        assert len(sound.content) == 44 + 2 * len(tone().samples) * 2
        gone = await web.get("/api/sounds/never-was")
        assert (gone.status_code, gone.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("query", "spoken"),
    [("speak=True", True), ("speak=on", True), ("speak=0", False), ("speak=NO", False), ("x=1", False)],
)
async def test_whether_an_answer_is_spoken_may_be_said_as_in_any_form(query, spoken) -> None:
    async with stage() as st, client(st) as web:
        body = (await web.post(f"/api/ask?{query}", json={"text": "one"})).json()
        assert bool(body["audio_url"]) is spoken


async def test_a_sound_file_is_a_question() -> None:
    wav = tone(1.0, 16_000).to_wav()
    async with stage() as st, client(st) as web:
        answer = await web.post("/api/ask", content=wav, headers={"Content-Type": "audio/wav"})
        assert answer.status_code == 200
        assert st.bot.orchestrator.speech[0].pcm.duration_s == pytest.approx(1.0)


REFUSED = [
    ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 400, "bad_input"),
    ({"json": {"text": ""}}, 400, "bad_input"),
    ({"json": {"text": "x" * 1_001}}, 400, "bad_input"),
    ({"json": {"text": "x", "customer": "someone"}}, 400, "bad_input"),
    ({"json": []}, 400, "bad_input"),
    ({"content": b"\xff\xfe{}", "headers": {"Content-Type": "application/json"}}, 400, "bad_input"),
    ({"content": b"hello", "headers": {"Content-Type": "text/plain"}}, 415, "unsupported_media"),
    ({"content": b"hello"}, 415, "unsupported_media"),
    ({"content": b"not sound", "headers": {"Content-Type": "audio/wav"}}, 400, "bad_input"),
    ({"content": tone(3.0, 16_000).to_wav(), "headers": {"Content-Type": "audio/wav"}}, 413, "too_large"),
    ({"content": b"x" * 200_001, "headers": {"Content-Type": "audio/wav"}}, 413, "too_large"),
    ({"params": {"speak": "perhaps"}, "json": {"text": "x"}}, 400, "bad_input"),
]


@pytest.mark.parametrize(("request_parts", "status", "code"), REFUSED)
async def test_a_question_that_cannot_be_used_is_refused_in_the_one_shape(request_parts, status, code) -> None:
    async with stage(max_audio_s=2.0, max_message_bytes=200_000) as st, client(st) as web:
        answer = await web.post("/api/ask", **request_parts)
        assert answer.status_code == status
        assert set(answer.json()) == {"error"}
        assert set(answer.json()["error"]) == {"code", "message"}
        assert answer.json()["error"]["code"] == code
        assert (await web.post("/api/ask", json={"text": "fine"})).status_code == 200


async def post_raw(st, pieces) -> bytes:
    """Send the head of a chunked request and these pieces of its body; read until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", st.port)
    head = f"POST /api/ask HTTP/1.1\r\nHost: 127.0.0.1:{st.port}\r\nTransfer-Encoding: chunked\r\n"
    writer.write(head.encode() + b"Content-Type: application/json\r\n\r\n")
    try:
        for piece in pieces:
            writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            await writer.drain()
        return await reader.read()
    finally:
        writer.close()


async def test_a_body_is_refused_while_it_streams_not_when_it_ends() -> None:
    async with stage(max_message_bytes=200_000) as st, client(st) as web:
        answer = await post_raw(st, [b"x" * 65_536] * 4)  # and no end
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b'"code":"too_large"' in answer
        assert (await web.post("/api/ask", json={"text": "fine"})).status_code == 200


async def test_an_endless_body_ends_with_its_connection() -> None:
    sent = 0

    async def endless():
        nonlocal sent
        while True:
            sent += 65_536
            yield b"x" * 65_536

    async with stage(max_message_bytes=200_000) as st, client(st) as web:
        with suppress(httpx.TransportError):  # a client that goes on sending may miss the answer
            await web.post("/api/ask", content=endless(), headers={"Content-Type": "audio/wav"})
        assert sent < 50_000_000


async def test_a_body_that_trickles_in_is_given_up(monkeypatch) -> None:
    monkeypatch.setattr("teller.server.app._READ_S", 0.2)
    async with stage() as st:
        answer = await post_raw(st, [b"{"])
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"code":"too_slow"' in answer


@pytest.mark.parametrize("before", ["", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"])
@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: 12"])
async def test_a_head_that_never_ends_ends_the_connection(before, sent, monkeypatch) -> None:
    monkeypatch.setattr("teller.server.draining._HEAD_S", 0.2)
    async with stage() as st, client(st) as web:
        st.server.config.timeout_keep_alive = 1
        reader, writer = await asyncio.open_connection("127.0.0.1", st.port)
        if before:
            writer.write(before.encode())
            await reader.readuntil(b'"ok"}')
        writer.write(sent)
        with suppress(ConnectionResetError):
            async with asyncio.timeout(10):
                await reader.read()
        writer.close()
        assert (await web.get("/healthz")).status_code == 200


async def test_a_call_outlives_the_wait_for_a_head(monkeypatch) -> None:
    monkeypatch.setattr("teller.server.draining._HEAD_S", 0.1)
    async with stage() as st, st.call() as caller:
        await asyncio.sleep(0.3)
        await caller.say(type="ask", text="still there?")
        await caller.until("done")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (EngineError("the transcriber failed"), 502, "engine_failed"),
        (EngineUnavailable("faster-whisper is missing: pip install 'teller[whisper]'"), 503, "engine_unavailable"),
        (KnowledgeError("/srv/bank/answers.toml:3: broken"), 500, "internal"),
        (ConfigError("TELLER_HOME /srv is wrong"), 500, "internal"),
        (ValueError("password=hunter2 /srv/secret"), 500, "internal"),
    ],
)
async def test_a_failed_turn_is_an_error_without_paths_secrets_or_tracebacks(error, status, code, caplog) -> None:
    bot = StageBot({"fail": Line(said("never"), act=failing(error))})
    async with stage(bot) as st, client(st) as web:
        answer = await web.post("/api/ask", json={"text": "fail"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert not any(word in answer.text for word in ("/srv", "hunter2", "Traceback", "site-packages"))
        assert "hunter2" not in caplog.text
        assert "Traceback" not in caplog.text
        if code == "internal":
            fault_id = answer.json()["error"]["message"].split("quote ")[1].split()[0]
            assert fault_id in caplog.text
        assert (await web.post("/api/ask", json={"text": "fine"})).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/static/../app.py", 404),
        ("GET", "/static/%2e%2e/app.py", 404),
        ("GET", "/api/ask", 405),
        ("GET", "/docs", 404),
        ("GET", "/openapi.json", 404),
        ("DELETE", "/", 405),
    ],
)
async def test_what_is_not_there_is_refused_in_the_one_shape(method, path, status) -> None:
    async with stage() as st, client(st) as web:
        answer = await web.request(method, path)
        assert answer.status_code == status
        assert set(answer.json()["error"]) == {"code", "message"}


async def test_every_answer_carries_the_safe_headers() -> None:
    async with stage() as st, client(st) as web:
        for path in ("/", "/healthz", "/readyz", "/nothing", "/static/index.html"):
            headers = (await web.get(path)).headers
            assert "default-src 'self'" in headers["content-security-policy"]
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert "unsafe" not in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert "server" not in headers


async def test_readiness_tells_each_engine_and_the_free_lines() -> None:
    bot = StageBot()
    async with stage(bot, max_calls=3) as st, client(st) as web, st.call():
        ready = await web.get("/readyz")
        assert ready.status_code == 200
        assert ready.json() == {"ready": True, "engines": bot.engines, "calls": {"active": 1, "free": 2}}
        bot.engines = {"transcriber": "the model is missing"}
        broken = await web.get("/readyz")
        assert (broken.status_code, broken.json()["ready"]) == (503, False)
        assert (await web.get("/healthz")).json() == {"status": "ok"}


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz"])
async def test_a_monitor_may_ask_for_the_head_alone(path) -> None:
    async with stage() as st, client(st) as web:
        answer = await web.head(path)
        assert (answer.status_code, answer.content) == (200, b"")


async def test_requests_over_the_rate_are_told_when_to_come_back() -> None:
    async with stage(requests_per_minute=2) as st, client(st) as web:
        answers = [await web.post("/api/ask", json={"text": "x"}) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 30
        assert answers[-1].json()["error"]["code"] == "rate_limited"
        assert (await web.get("/healthz")).status_code == 200
        with pytest.raises(InvalidStatus, match="429"):
            async with st.call():
                pass


async def test_a_forwarded_address_does_not_make_another_caller() -> None:
    async with stage(requests_per_minute=1) as st, client(st) as web:
        statuses = [
            (await web.post("/api/ask", json={"text": "x"}, headers={"X-Forwarded-For": f"10.0.0.{n}"})).status_code
            for n in range(2)
        ]
        assert statuses == [200, 429]


async def test_a_full_house_answers_503_with_retry_after() -> None:
    async with stage(max_calls=1) as st, client(st) as web:
        async with st.call():
            busy = await web.post("/api/ask", json={"text": "x"})
            assert (busy.status_code, busy.json()["error"]["code"]) == (503, "busy")
            assert busy.headers["retry-after"] == "5"
        await eventually(lambda: st.lines.active == 0)
        assert (await web.post("/api/ask", json={"text": "x"})).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::1", "localhost@evil"]
)
async def test_another_host_name_is_refused(host) -> None:
    async with stage() as st, client(st) as web:
        answer = await web.get("/", headers={"Host": host})
        assert answer.status_code in (400, 421)
        if answer.status_code == 421:
            assert answer.json()["error"]["code"] == "wrong_host"


@pytest.mark.parametrize("host", ["localhost:{port}", "LOCALHOST", "[::1]:9", "127.0.0.1:{port}", "bank.example"])
async def test_the_servers_own_names_are_let_in(host) -> None:
    async with stage(public_host="bank.example") as st, client(st) as web:
        assert (await web.get("/", headers={"Host": host.format(port=st.port)})).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:1", "http://[", "file://"])
async def test_a_page_of_another_origin_may_neither_ask_nor_call(origin) -> None:
    async with stage() as st, client(st) as web:
        answer = await web.post("/api/ask", json={"text": "x"}, headers={"Origin": origin})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden_origin")
        with pytest.raises(InvalidStatus) as refused:
            async with st.call(origin=origin):
                pass
        assert refused.value.response.status_code == 403
        assert json.loads(refused.value.response.body)["error"]["code"] == "forbidden_origin"


async def test_its_own_pages_and_the_allowed_origins_may_ask_and_call() -> None:
    async with stage(allowed_origins=("https://bank.example",)) as st, client(st) as web:
        for origin in (st.url, "https://bank.example"):
            answer = await web.post("/api/ask", json={"text": "x"}, headers={"Origin": origin})
            assert answer.status_code == 200
            async with st.call(origin=origin):
                pass
        assert answer.headers["access-control-allow-origin"] == "https://bank.example"


async def test_where_a_token_is_set_nothing_but_the_page_goes_without_it() -> None:
    async with stage(token=TOKEN) as st, client(st) as web:
        for path in ("/", "/healthz"):
            assert (await web.get(path)).status_code == 200
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
            answer = await web.post("/api/ask", json={"text": "x"}, headers=headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized")
            assert answer.headers["www-authenticate"] == "Bearer"
            assert TOKEN not in answer.text
        assert (await web.get("/readyz")).status_code == 401
        allowed = await web.post("/api/ask", json={"text": "x"}, headers={"Authorization": f"Bearer {TOKEN}"})
        assert allowed.status_code == 200


async def test_a_websocket_shows_its_token_as_a_subprotocol_or_a_header_never_in_the_address() -> None:
    coded = base64.urlsafe_b64encode(TOKEN.encode()).decode().rstrip("=")
    async with stage(token=TOKEN) as st:
        async with st.call(subprotocols=["teller.v1", f"teller.bearer.{coded}"]) as caller:
            assert caller.socket.subprotocol == "teller.v1"
        async with st.call(additional_headers={"Authorization": f"Bearer {TOKEN}"}):
            pass
        for wrong in (
            {},
            {"subprotocols": ["teller.v1", "teller.bearer.d3Jvbmc"]},
            {"subprotocols": ["teller.bearer.!"]},
            {"subprotocols": ["teller.bearer._____w"]},
        ):
            with pytest.raises(InvalidStatus, match="401"):
                async with st.call(**wrong):
                    pass


async def test_a_server_that_others_can_reach_demands_a_token() -> None:
    with pytest.raises(ConfigError, match="token"):
        make_server(StageBot(), ServerLimits(), "0.0.0.0", 8080)


@pytest.mark.parametrize("wrong", [{"max_calls": 0}, {"idle_timeout_s": -1.0}, {"token": "short"}, {"token": "é" * 20}])
def test_limits_that_make_no_sense_are_refused(wrong) -> None:
    with pytest.raises(ConfigError):
        ServerLimits(**wrong)


def test_the_token_is_not_in_the_limits_words() -> None:
    assert TOKEN not in repr(ServerLimits(token=TOKEN))


async def test_silence_of_the_engines_is_a_timeout(monkeypatch) -> None:
    class Stuck(StageBot):
        async def ready(self):
            await asyncio.Event().wait()

    monkeypatch.setattr("teller.server.app._READY_S", 0.1)
    async with stage(Stuck()) as st, client(st) as web:
        assert (await web.get("/readyz")).status_code == 504
