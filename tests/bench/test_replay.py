"""Replaying a stream, in this process and against a server, and what is made of the replies."""

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from tests.bots import FREEZE, QUESTION, ScriptedBot

from teller.bench.arms import Arm, arms_of
from teller.bench.figures import figures_of, gain_of
from teller.bench.replay import InProcess, Reply, Served, replay
from teller.bench.traffic import Ask
from teller.errors import InputError


class Watching:
    """A target that takes a while and keeps who was asked when."""

    def __init__(self, *, wait_s: float = 0.0) -> None:
        self.asked: list[str] = []
        self.most = self.now = 0
        self._wait_s = wait_s

    async def ask(self, ask: Ask) -> Reply:
        self.now += 1
        self.most = max(self.most, self.now)
        self.asked.append(ask.question)
        await asyncio.sleep(self._wait_s)
        self.now -= 1
        return Reply(1.0, "approved")


async def test_no_more_questions_are_under_way_than_allowed_and_none_is_lost():
    target = Watching(wait_s=0.001)
    stream = [Ask(f"q{at}", f"c{at}") for at in range(100)]
    heard = []

    replies, seconds = await replay(stream, target, concurrency=7, told=heard.append)

    assert (len(replies), target.most, sorted(heard)) == (100, 7, list(range(1, 101)))
    assert seconds > 0


async def test_one_callers_questions_keep_their_order_and_never_overlap():
    target = Watching(wait_s=0.001)

    await replay([Ask(f"q{at}", "ann") for at in range(20)], target, concurrency=8)

    assert target.asked == [f"q{at}" for at in range(20)]
    assert target.most == 1


async def test_a_bot_is_replayed_with_a_call_for_each_caller_and_hits_are_judged_by_their_labels():
    bot = ScriptedBot()
    target = InProcess(bot.orchestrator, bot.call)
    stream = [Ask(QUESTION, "ann", 0, FREEZE.answer_id), Ask(QUESTION, "bob", 0, FREEZE.answer_id)]
    stream += [Ask(QUESTION, "eve", 0, "another.answer"), Ask("what about the moon", "eve")]

    replies, _ = await replay(stream, target, concurrency=1)

    assert [reply.source for reply in replies] == ["approved", "cache", "cache", "refused"]
    assert [reply.wrong for reply in replies] == [False, False, True, None]
    assert [reply.model_called for reply in replies] == [True, False, False, False]
    assert replies[0].pieces > 1


@pytest.fixture
def server():
    """A server of the wire's shape: it answers, is busy, breaks, and gives each call a token."""

    class Desk(BaseHTTPRequestHandler):
        calls: list = []  # noqa: RUF012

        def do_POST(self):
            text = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"]
            self.calls.append((text, self.headers.get("Teller-Call"), self.headers.get("Authorization")))
            status = {"busy": 503, "broken": 500}.get(text, 200)
            turn = {
                "call": "token-1",
                "source": "cache",
                "citations": [{"id": "cards.freeze"}],
                "timings_ms": {"cache": 1},
            }
            body = json.dumps(turn).encode() if text != "garbled" else b"{"
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Desk) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running, Desk.calls
        running.shutdown()
        thread.join()


async def test_a_server_is_asked_in_one_call_for_each_caller_and_its_failures_are_counted(server):
    running, calls = server
    target = Served(f"http://127.0.0.1:{running.server_port}", token="t" * 16)
    stream = [Ask(text, "ann", 0, "cards.freeze") for text in ("hello", "again", "busy", "broken", "garbled")]

    try:
        replies, _ = await replay(stream, target, concurrency=2)
    finally:
        target.close()

    assert [reply.source for reply in replies] == ["cache", "cache", "busy", "error", "error"]
    assert replies[0].wrong is False
    assert calls[0] == ("hello", None, f"Bearer {'t' * 16}")
    assert calls[1][1] == "token-1"


async def test_a_server_that_is_not_there_is_an_error_of_each_question_and_no_traceback():
    target = Served("http://127.0.0.1:9", connections=1)
    try:
        assert (await target.ask(Ask("hello", "ann"))).source == "error"
    finally:
        target.close()
    with pytest.raises(InputError, match="address is like"):
        Served("localhost:8080")


def test_figures_count_hits_calls_tokens_and_what_they_cost():
    replies = [Reply(100.0, "model", True, 40, False)] * 6 + [Reply(2.0, "cache", wrong=False)] * 3
    found = figures_of([*replies, Reply(2.0, "cache", wrong=True)], 2.0, price_per_1k=0.5)

    assert (found.turns, found.turns_per_s, found.hits, found.hit_rate) == (10, 5.0, 4, 0.4)
    assert (found.model_calls, found.tokens, found.cost) == (6, 240, 0.12)
    assert (found.labelled_hits, found.wrong_hits) == (4, 1)
    assert (found.hit_ms["p50"], found.miss_ms["p50"]) == (2.0, 100.0)
    assert found.by_source == {"cache": 4, "model": 6}


def test_a_gain_has_an_interval_that_holds_it_and_narrows_with_more_questions():
    random = np.random.default_rng(1)

    def compared(count):
        first = [Reply(float(ms), "model", True, 10) for ms in random.gamma(4, 25, count)]
        other = [Reply(2.0, "cache") if random.random() < 0.6 else one for one in first]
        figures = figures_of(first, sum(one.ms for one in first)), figures_of(other, sum(one.ms for one in other))
        return gain_of(first, other, *figures)

    few, many = compared(50), compared(5000)

    for gain in (few, many):
        assert gain.low < gain.work < gain.high
        assert gain.throughput == pytest.approx(gain.work)
    assert many.high - many.low < few.high - few.low
    assert many.low > 2
    assert many.hit > 20
    assert many.model_calls_saved == pytest.approx(3000, abs=150)


def test_arms_are_every_combination_and_a_name_that_is_none_is_refused():
    assert arms_of(["off", "semantic"], ["off", "on"]) == (
        Arm("off", False),
        Arm("semantic", False),
        Arm("off", True),
        Arm("semantic", True),
    )
    for caches, adapters in ((["warm"], ["off"]), (["off"], ["maybe"]), (["off", "off"], ["off"])):
        with pytest.raises(InputError):
            arms_of(caches, adapters)
