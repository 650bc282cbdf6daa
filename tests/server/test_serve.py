"""`serve` as a process: it opens the real bot, answers, and closes it when it is told to stop."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from teller.config import load
from teller.errors import ConfigError
from teller.server.serve import limits_of, serve

PROGRAM = "from teller.config import load; from teller.server.serve import serve; serve(load().settings, print)"

KNOWLEDGE = """
[[answer]]
id = "hours"
version = 1
title = "Opening hours"
asks = ["when are you open"]
text = "From nine to five."
"""


@pytest.mark.engine
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_served_bot_answers_and_ends_well_when_it_is_stopped(tmp_path, stop) -> None:
    (tmp_path / "bank.toml").write_text(KNOWLEDGE)
    environment = {
        "PATH": os.environ["PATH"],
        "TELLER_HOME": str(tmp_path / "home"),
        "TELLER_KNOWLEDGE__PATH": str(tmp_path / "bank.toml"),
        "TELLER_SERVER__PORT": "0",
        "TELLER_ENGINES__TRANSCRIBER": "none",
        "TELLER_ENGINES__SYNTHESIZER": "none",
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": "1",
    }
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            line = process.stdout.readline()
            assert line.startswith("Teller listens on http://127.0.0.1:")
            url = line.split()[3]
            body = json.dumps({"text": "How much would a 10,000 pound loan over five years cost a month?"}).encode()
            question = urllib.request.Request(f"{url}/api/ask", body, {"Content-Type": "application/json"})
            with urllib.request.urlopen(question, timeout=60) as answer:
                assert json.load(answer)["source"] == "tool"
            process.send_signal(stop)
            process.send_signal(stop)  # twice, as people do
            assert process.wait(30) == 0
            assert "Traceback" not in process.stderr.read()
        finally:
            process.kill()


@pytest.mark.engine
def test_a_served_bot_tells_its_operator_in_metrics_and_json_and_nobody_else_what_was_said(tmp_path) -> None:
    (tmp_path / "bank.toml").write_text(KNOWLEDGE)
    environment = {
        "PATH": os.environ["PATH"],
        "TELLER_HOME": str(tmp_path / "home"),
        "TELLER_KNOWLEDGE__PATH": str(tmp_path / "bank.toml"),
        "TELLER_SERVER__PORT": "0",
        "TELLER_SERVER_TOKEN": "a-token-of-some-length",
        "TELLER_ENGINES__TRANSCRIBER": "none",
        "TELLER_TELEMETRY__LOG_FORMAT": "json",
        "OMP_NUM_THREADS": "1",
    }
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            url = json.loads(process.stderr.readline())["message"].split()[3]
            with urllib.request.urlopen(_asked(f"{url}/readyz"), timeout=60) as answer:
                ready = json.load(answer)
            for _ in range(2):
                body = json.dumps({"text": "when are you open please, says Wilhelmina"}).encode()
                with urllib.request.urlopen(_asked(f"{url}/api/ask?speak=true", body), timeout=60) as answer:
                    call = json.load(answer)
            with urllib.request.urlopen(_asked(f"{url}/metrics"), timeout=60) as answer:
                metrics = answer.read().decode()
            process.send_signal(signal.SIGTERM)
            lines = [json.loads(line) for line in process.stderr.read().splitlines()]
            assert process.wait(30) == 0
        finally:
            process.kill()
    assert ready["ready"]
    assert ready["engines"]["cache"] == "ok"
    assert "teller_turn_log_shed_total 0.0" in metrics
    assert 'teller_cache_class_open{risk_class="public"} 1.0' in metrics
    assert "teller_cache_false_hit_limit_ratio 0.01" in metrics
    assert 'teller_first_sound_seconds_count{source="approved"}' in metrics
    turns = [line for line in lines if line["logger"] == "teller.turns"]
    assert [line["turn_id"] for line in turns][-1] == call["turn_id"]
    assert len({line["trace_id"] for line in turns}) == 2
    said = (metrics + json.dumps(lines)).casefold()
    assert "wilhelmina" not in said
    assert "when are you open" not in said
    assert "nine to five" not in said


def _asked(url: str, body: bytes | None = None) -> urllib.request.Request:
    headers = {"Content-Type": "application/json", "Authorization": "Bearer a-token-of-some-length"}
    return urllib.request.Request(url, body, headers)


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = load(environ={"TELLER_SERVER__PORT": str(port)}).settings
        with pytest.raises(ConfigError, match=f"127.0.0.1, port {port}: .*--port"):
            serve(settings, print)


def test_every_setting_of_the_server_reaches_its_limit() -> None:
    environ = {
        "TELLER_SERVER_TOKEN": "a-token-of-some-length",
        "TELLER_SERVER__ALLOWED_ORIGINS": "https://a.example, https://b.example",
        "TELLER_SERVER__MAX_CALLS": "7",
        "TELLER_SERVER__MAX_CALL_S": "70",
        "TELLER_SERVER__IDLE_TIMEOUT_S": "17",
        "TELLER_SERVER__REQUESTS_PER_MINUTE": "27",
        "TELLER_SERVER__MAX_MESSAGE_BYTES": "3700",
        "TELLER_SERVER__MAX_AUDIO_S": "47",
        "TELLER_SERVER__MAX_TURN_S": "57",
        "TELLER_SERVER__DRAIN_S": "3",
        "TELLER_SERVER__PUBLIC_HOST": "bank.example",
    }
    limits = limits_of(load(environ=environ).settings)
    assert limits.token == "a-token-of-some-length"
    assert limits.allowed_origins == ("https://a.example", "https://b.example")
    assert (limits.max_calls, limits.max_call_s, limits.idle_timeout_s) == (7, 70, 17)
    assert (limits.requests_per_minute, limits.max_message_bytes, limits.max_audio_s) == (27, 3700, 47)
    assert (limits.max_turn_s, limits.drain_s, limits.public_host) == (57, 3, "bank.example")
