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
