import asyncio
import json
import random
import socket

import numpy as np
import pytest
from tests.server.server_stage import INVITATION, NOTICE, Line, ScriptedTurns, StageBot, eventually, said, stage, tone
from websockets.exceptions import ConnectionClosed, InvalidStatus

from teller.errors import EngineError, EngineTimeout, EngineUnavailable, StoreCorrupt
from teller.turn import Sound


async def forever(_: str) -> None:
    await asyncio.Event().wait()


def silence(seconds: float) -> bytes:
    return np.zeros(round(seconds * 16_000), dtype=np.int16).tobytes()


async def test_a_call_begins_with_the_greeting_and_listens() -> None:
    async with stage() as st, st.call() as caller:
        assert caller.kinds() == ["ready", "state"]
        assert "automated assistant" in caller.seen[0]["greeting"]
        assert caller.seen[1]["state"] == "listening"


async def test_small_messages_are_not_held_back_to_be_sent_together() -> None:
    async with stage() as st, st.call():
        sockets = [one.transport.get_extra_info("socket") for one in st.server.server_state.connections]
        assert [one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for one in sockets] == [1]


async def test_a_typed_question_is_answered_in_words_and_sound() -> None:
    async with stage() as st, st.call() as caller:
        await caller.say(type="ask", text="What are your opening hours?")
        done = await caller.until("done")
        await caller.until("state")
        assert caller.kinds()[2:] == ["state", "heard", "said", "state", "sound", "done", "state"]
        assert [m["state"] for m in caller.seen if m["type"] == "state"] == [
            "listening",
            "thinking",
            "speaking",
            "listening",
        ]
        assert caller.seen[4]["text"] == "You asked: What are your opening hours?"
        assert caller.sound == 2 * tone().samples.astype("<i2").tobytes()
        assert set(done["timings_ms"]) == {"redact", "cache", "speak"}


async def test_what_was_held_is_the_question() -> None:
    async with stage() as st, st.call() as caller:
        await caller.say(type="listen_start", mode="hold")
        await stream(caller, silence(2.0) + hum(1.0) + silence(1.5), 3_200)
        await caller.say(type="listen_end")
        await caller.until("done")
        (speech,) = st.bot.orchestrator.speech
        assert speech.pcm.duration_s == pytest.approx(1.5, abs=0.04)  # with pre-roll and tail, without the rest


async def test_a_button_held_in_silence_asks_with_no_sound_at_all() -> None:
    async with stage() as st, st.call() as caller:
        await spoken_question(caller)
        await caller.until("done")
        assert [len(speech.pcm.samples) for speech in st.bot.orchestrator.speech] == [0]


async def test_a_new_question_over_an_answer_ends_it() -> None:
    bot = StageBot({"long": Line(said("On and on."), pieces=10_000, pause_s=0.01)})
    async with stage(bot) as st, st.call() as caller:
        await caller.say(type="ask", text="long")
        await caller.until("sound")
        await caller.say(type="ask", text="short")
        stopped = await caller.until("stopped")
        assert stopped["turn"] == 1
        caller.sound = b""
        await caller.until("done")
        assert caller.seen[-1]["turn"] == 2
        assert len(caller.sound) == 2 * len(tone().samples) * 2  # nothing of the first answer came after `stopped`
        assert bot.orchestrator.broken_off == 1


async def test_stop_ends_the_answer_and_the_call_goes_on() -> None:
    bot = StageBot({"stall": Line(said("never"), act=forever)})
    async with stage(bot) as st, st.call() as caller:
        await caller.say(type="ask", text="stall")
        await caller.until("heard")
        await caller.say(type="stop")
        await caller.until("stopped")
        assert (await caller.until("state"))["state"] == "listening"
        await caller.say(type="ask", text="again")
        await caller.until("done")


async def test_pressing_the_button_over_an_answer_ends_it_and_stop_drops_what_was_held() -> None:
    bot = StageBot({"long": Line(said("On and on."), pieces=10_000, pause_s=0.01)})
    async with stage(bot) as st, st.call() as caller:
        await caller.say(type="ask", text="long")
        await caller.until("sound")
        await caller.say(type="listen_start", mode="hold")
        await caller.until("stopped")
        await caller.socket.send(silence(1.0))
        await caller.say(type="stop")
        await caller.say(type="listen_end")
        await caller.say(type="ask", text="typed")
        await caller.until("done")
        assert bot.orchestrator.heard == ["long", "typed"]


async def test_an_engine_that_does_not_give_up_is_left_behind_and_its_late_sound_is_dropped(monkeypatch) -> None:
    released = asyncio.Event()

    async def stubborn(_: str) -> None:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue

    monkeypatch.setattr("teller.server.line._CANCEL_S", 0.05)
    bot = StageBot({"stubborn": Line(said("too late"), act=stubborn, pieces=5)})
    async with stage(bot) as st, st.call() as caller:
        await caller.say(type="ask", text="stubborn")
        await caller.until("heard")
        await caller.say(type="stop")
        await caller.until("stopped")
        released.set()
        await eventually(lambda: not bot.orchestrator.running)
        await caller.say(type="ask", text="next")
        done = await caller.until("done")
        assert done["turn"] == 2
        assert [m["text"] for m in caller.seen if m["type"] == "said"] == ["You asked: next"]
        assert len(caller.sound) == 2 * len(tone().samples) * 2


@pytest.mark.parametrize(
    ("error", "code", "shown"),
    [
        (EngineError("the transcriber failed on 2.0 s of speech"), "engine_failed", "the transcriber failed"),
        (EngineTimeout("the model was silent for 8 s"), "engine_timeout", "silent for 8 s"),
        (StoreCorrupt("/var/lib/teller/cache.db cannot be read"), "internal", "quote"),
        (RuntimeError("password=hunter2 at /etc/shadow"), "internal", "quote"),
    ],
)
async def test_a_turn_that_fails_says_so_without_secrets_and_the_call_goes_on(error, code, shown, caplog) -> None:
    async def fail(_: str) -> None:
        raise error

    async with stage(StageBot({"fail": Line(said("never"), act=fail)})) as st, st.call() as caller:
        await caller.say(type="ask", text="fail")
        told = await caller.until("error")
        assert told["code"] == code
        assert shown in told["message"]
        assert told["turn"] == 1
        await caller.until("stopped")
        assert not any(word in json.dumps(caller.seen) for word in ("hunter2", "/etc", "/var", "Traceback"))
        assert "hunter2" not in caplog.text
        assert "Traceback" not in caplog.text
        if code == "internal":
            fault_id = told["message"].split("quote ")[1].split()[0]
            assert fault_id in caplog.text
        await caller.say(type="ask", text="fine")
        await caller.until("done")


async def test_a_turn_that_takes_too_long_is_given_up() -> None:
    bot = StageBot({"stall": Line(said("never"), act=forever)})
    async with stage(bot, max_turn_s=0.1) as st, st.call() as caller:
        await caller.say(type="ask", text="stall")
        assert (await caller.until("error"))["code"] == "turn_timeout"
        await caller.until("stopped")
        assert bot.orchestrator.running == 0


BROKEN = {
    "": "not JSON",
    "{": "not JSON",
    "\x00": "not JSON",
    "[" * 5_000: "not JSON",
    "[]": "JSON object",
    "null": "JSON object",
    "{}": "'type'",
    '{"type":"<script>"}': "'type' is none of",
    '{"type":7}': "'type' is none of",
    '{"type":"ask"}': "missing",
    '{"type":"ask","text":""}': "empty",
    '{"type":"ask","text":"   "}': "empty",
    '{"type":"ask","text":5}': "string",
    '{"type":"ask","text":"x","customer":"4111111111111111"}': "does not have",
    '{"type":"listen_start","mode":"shout"}': "'mode'",
    json.dumps({"type": "ask", "text": "y" * 1_001}): "longer than 1000",
}


@pytest.mark.parametrize("text", BROKEN)
async def test_a_broken_message_is_explained_without_echo_and_the_socket_lives_on(text) -> None:
    async with stage() as st, st.call() as caller:
        await caller.socket.send(text)
        told = await caller.until("error")
        assert told["code"] == "bad_input"
        assert BROKEN[text] in told["message"]
        assert "<script>" not in told["message"]
        assert "4111" not in told["message"]
        await caller.say(type="ask", text="fine")
        await caller.until("done")


async def test_thousands_of_garbage_messages_leave_a_call_that_works() -> None:
    chance = random.Random(4)
    valid = json.dumps({"type": "listen_start", "mode": "hold"})
    async with stage() as st, st.call() as caller:

        async def read() -> None:
            await caller.until("done", within_s=60)

        reader = asyncio.create_task(read())
        for _ in range(4_000):
            kind = chance.random()
            if kind < 0.3:
                await caller.socket.send(chance.randbytes(chance.randrange(1, 400)))
            elif kind < 0.6:
                at = chance.randrange(len(valid))
                await caller.socket.send(valid[:at] + chr(chance.randrange(32, 0x3000)) + valid[at + 1 :])
            elif kind < 0.9:
                await caller.socket.send("".join(chr(chance.randrange(1, 0xD000)) for _ in range(chance.randrange(60))))
            else:
                await caller.socket.send(valid[: chance.randrange(len(valid))])
        await caller.say(type="stop")
        await caller.say(type="ask", text="still there?")
        await reader
        assert caller.kinds().count("error") > 2_000
        assert st.lines.active == 1


async def test_sound_that_was_not_announced_is_dropped_with_one_word() -> None:
    async with stage() as st, st.call() as caller:
        for _ in range(50):
            await caller.socket.send(silence(0.02))
        await caller.say(type="ask", text="fine")
        await caller.until("done")
        assert [m["code"] for m in caller.seen if m["type"] == "error"] == ["not_listening"]


@pytest.mark.parametrize(
    ("sound", "limits", "shown"),
    [(silence(2.0), {"max_audio_s": 1.0}, "at most 1 s"), (b"\x00" * 31, {}, "even number")],
)
async def test_sound_that_is_too_long_or_odd_ends_the_listening_only(sound, limits, shown) -> None:
    async with stage(**limits) as st, st.call() as caller:
        await caller.say(type="listen_start", mode="hold")
        await caller.socket.send(sound)
        assert shown in (await caller.until("error"))["message"]
        await caller.say(type="listen_end")
        await caller.say(type="ask", text="fine")
        await caller.until("done")
        assert st.bot.orchestrator.speech == []


async def test_a_button_that_was_only_tapped_asks_nothing() -> None:
    async with stage() as st, st.call() as caller:
        await caller.say(type="listen_start", mode="hold")
        await caller.socket.send(silence(0.1))
        await caller.say(type="listen_end")
        assert "hold the button" in (await caller.until("error"))["message"]
        assert st.bot.orchestrator.heard == []


def hum(seconds: float) -> bytes:
    return tone(seconds, 16_000).samples.astype("<i2").tobytes()


async def stream(caller, sound: bytes, piece_bytes: int = 1_280) -> None:
    for at in range(0, len(sound), piece_bytes):
        await caller.socket.send(sound[at : at + piece_bytes])


async def test_hands_free_a_pause_ends_the_question() -> None:
    async with stage() as st, st.call() as caller:
        await caller.say(type="listen_start", mode="hands_free")
        await stream(caller, silence(0.5) + hum(1.0) + silence(1.0))
        await caller.until("done")
        await stream(caller, hum(0.6) + silence(0.8))
        await caller.until("done")
        assert caller.kinds().count("speech_started") == 2
        lengths = [speech.pcm.duration_s for speech in st.bot.orchestrator.speech]
        assert lengths == [pytest.approx(1.5, abs=0.1), pytest.approx(1.1, abs=0.1)]


async def test_hands_free_speech_over_an_answer_ends_it() -> None:
    bot = StageBot({"(spoken)": Line(said("On and on."), pieces=10_000, pause_s=0.01)})
    async with stage(bot) as st, st.call() as caller:
        await caller.say(type="listen_start", mode="hands_free")
        await stream(caller, hum(0.5) + silence(0.8))
        await caller.until("sound")
        await stream(caller, hum(0.5))
        await caller.until("speech_started")
        assert caller.kinds()[-3:] == ["stopped", "state", "speech_started"]
        assert bot.orchestrator.broken_off == 1
        await caller.say(type="stop")  # what is half heard is dropped
        await stream(caller, silence(0.8))
        await caller.say(type="listen_end")
        await caller.say(type="ask", text="typed")
        await caller.until("done")
        assert bot.orchestrator.heard == ["(spoken)", "typed"]


class DeafBot(StageBot):
    def open_detector(self):
        raise EngineUnavailable("the voice detector's weights are missing")


async def test_without_a_voice_detector_hands_free_is_refused_and_the_call_goes_on() -> None:
    async with stage(DeafBot()) as st, st.call() as caller:
        await caller.say(type="listen_start", mode="hands_free")
        assert (await caller.until("error"))["code"] == "engine_unavailable"
        await caller.say(type="ask", text="fine")
        await caller.until("done")


@pytest.mark.parametrize(
    ("pieces", "shown"),
    [([silence(1.5)], "at most 1 s"), ([silence(0.9)] * 13, "no faster than"), ([b"123"], "even number")],
)
async def test_hands_free_sound_that_no_microphone_gives_ends_the_listening_only(pieces, shown) -> None:
    async with stage() as st, st.call() as caller:
        await caller.say(type="listen_start", mode="hands_free")
        for piece in pieces:
            await caller.socket.send(piece)
        assert shown in (await caller.until("error"))["message"]
        await caller.say(type="ask", text="fine")
        await caller.until("done")


@pytest.mark.parametrize("message", [b"\x00" * 3_000, "x" * 3_000, "\u20ac" * 1_000])
@pytest.mark.parametrize("server_bytes", [2_000, 1_000_000])  # the server software's own limit, and ours behind it
async def test_an_oversize_message_closes_with_1009(message, server_bytes) -> None:
    async with stage(max_message_bytes=2_000) as st:
        st.server.config.ws_max_size = server_bytes
        async with st.call() as caller:
            await caller.socket.send(message)
            assert await caller.close_code() == 1009
            await eventually(lambda: st.lines.active == 0)


async def test_questions_over_the_rate_are_refused_and_the_socket_lives_on() -> None:
    async with stage(requests_per_minute=3) as st, st.call() as caller:  # the connection itself is one of the three
        for number in range(3):
            await caller.say(type="ask", text=f"question {number}")
            await caller.until("done" if number < 2 else "error")
        assert caller.seen[-1]["code"] == "rate_limited"
        assert caller.seen[-1]["retryable"]
        await caller.say(type="stop")


async def test_a_silent_call_is_ended() -> None:
    async with stage(idle_timeout_s=0.2) as st, st.call() as caller:
        assert await caller.close_code() == 1000
        assert [m["code"] for m in caller.seen if m["type"] == "error"] == ["call_idle"]
        assert caller.seen[-1] == {"type": "state", "state": "ended"}
        await eventually(lambda: st.lines.active == 0)


async def test_a_call_is_not_idle_while_its_answer_is_spoken() -> None:
    bot = StageBot({"long": Line(said("On and on."), pieces=30, pause_s=0.02)})
    async with stage(bot, idle_timeout_s=0.2) as st, st.call() as caller:
        await caller.say(type="ask", text="long")
        await caller.until("done")


async def test_a_call_that_lasts_too_long_is_ended_with_its_turn() -> None:
    bot = StageBot({"stall": Line(said("never"), act=forever)})
    async with stage(bot, max_call_s=0.3) as st, st.call() as caller:
        await caller.say(type="ask", text="stall")
        assert await caller.close_code() == 1000
        assert caller.seen[-2]["code"] == "call_too_long"
        assert bot.orchestrator.running == 0
        assert bot.calls[0].state == "ended"


@pytest.mark.parametrize("leave", ["close", "abort"])
@pytest.mark.parametrize("question", ["stall", "long"])
async def test_a_caller_who_leaves_half_way_leaves_nothing_behind(leave, question) -> None:
    bot = StageBot(
        {
            "stall": Line(said("never"), act=forever),
            "long": Line(said("On and on."), pieces=100_000, pause_s=0.001),
        }
    )
    async with stage(bot) as st:
        before = len(asyncio.all_tasks())
        async with st.call() as caller:
            await caller.say(type="ask", text=question)
            await caller.until("heard")
            if leave == "abort":
                caller.socket.transport.abort()
        await eventually(lambda: bot.orchestrator.running == 0)
        await eventually(lambda: st.lines.active == 0)
        assert bot.calls[0].state == "ended"
        assert bot.orchestrator.broken_off == 1
        await eventually(lambda: len(asyncio.all_tasks()) <= before)


async def test_a_caller_who_does_not_read_is_cut_off(monkeypatch) -> None:
    monkeypatch.setattr("teller.server.draining._LINGER_S", 0.3)
    bot = StageBot({"flood": Line(said("On and on."), pieces=10_000_000)})
    async with stage(bot, send_timeout_s=0.3) as st, st.call() as caller:
        caller.socket.transport.pause_reading()
        await caller.say(type="ask", text="flood")
        await eventually(lambda: bot.orchestrator.broken_off == 1)
        await eventually(lambda: st.lines.active == 0)
        await eventually(lambda: not st.server.server_state.connections)
        caller.socket.transport.abort()


async def test_a_full_house_refuses_with_503_and_takes_the_next_when_a_line_is_free(caplog) -> None:
    async with stage(max_calls=2) as st:
        async with st.call(), st.call():
            with pytest.raises(InvalidStatus) as refused:
                async with st.call():
                    pass
            response = refused.value.response
            assert response.status_code == 503
            assert response.headers["Retry-After"] == "5"
            assert json.loads(response.body)["error"]["code"] == "busy"
        await eventually(lambda: st.lines.active == 0)
        async with st.call():
            pass
    assert caplog.text == ""


async def test_a_hundred_calls_in_a_row_leave_nothing_behind() -> None:
    async with stage(max_calls=4) as st:
        before = len(asyncio.all_tasks())
        for number in range(100):
            async with st.call() as caller:
                await caller.say(type="ask", text=f"question {number}")
                await caller.until("heard" if number % 2 else "done")
            await eventually(lambda: st.lines.active == 0)
        await eventually(lambda: len(asyncio.all_tasks()) <= before)
        assert st.bot.orchestrator.running == 0
        assert {call.state for call in st.bot.calls} == {"ended"}


async def test_a_stopping_server_lets_the_turn_end_and_refuses_new_calls() -> None:
    bot = StageBot({"long": Line(said("On and on."), pieces=40, pause_s=0.02)})
    async with stage(bot) as st, st.call() as caller:
        await caller.say(type="ask", text="long")
        await caller.until("sound")
        st.server.should_exit = True
        await eventually(lambda: st.lines.stopping.is_set())
        with pytest.raises((InvalidStatus, ConnectionClosed, OSError)) as refused:
            async with st.call():
                pass
        if isinstance(refused.value, InvalidStatus):
            assert refused.value.response.status_code == 503
        await caller.until("done")
        assert await caller.close_code() == 1012
        assert len(caller.sound) == 40 * len(tone().samples) * 2


async def test_a_stopping_server_waits_no_longer_than_it_may() -> None:
    bot = StageBot({"stall": Line(said("never"), act=forever)})
    async with stage(bot, drain_s=0.3) as st, st.call() as caller:
        await caller.say(type="ask", text="stall")
        await caller.until("heard")
        st.server.should_exit = True
        assert await caller.close_code() == 1012
        assert bot.orchestrator.running == 0


LOUD = np.full(16_000, 9_000, dtype=np.int16).tobytes()  # a second that the scripted detector takes for speech


async def spoken_question(caller) -> None:
    await caller.say(type="listen_start", mode="hold")
    await caller.socket.send(silence(0.5))
    await caller.say(type="listen_end")


def sounds_of(caller) -> list[int]:
    return [message["turn"] for message in caller.seen if message["type"] == "sound"]


async def test_a_typed_call_has_the_notice_in_writing_alone() -> None:
    async with stage() as st, st.call() as caller:
        await caller.say(type="ask", text="typed")
        await caller.until("done")
        assert caller.seen[0]["greeting"] == f"{NOTICE} {INVITATION}"
        assert st.bot.orchestrator.said == []


async def test_the_first_answer_to_speech_comes_after_the_spoken_notice_and_the_second_without() -> None:
    bot = StageBot()
    bot.orchestrator.line_s = 0.0  # heard at once
    async with stage(bot) as st, st.call() as caller:
        for _ in range(2):
            await spoken_question(caller)
            await caller.until("done")
        assert sounds_of(caller) == [0, 1, 2]
        assert st.bot.orchestrator.said == [NOTICE]


async def test_hands_free_begins_with_the_whole_greeting() -> None:
    bot = StageBot()
    bot.orchestrator.line_s = 0.0
    async with stage(bot) as st, st.call() as caller:
        await caller.say(type="listen_start", mode="hands_free")
        await caller.until("sound")
        await eventually(lambda: st.bot.orchestrator.said == [NOTICE, INVITATION])
        await caller.say(type="listen_start", mode="hands_free")
        await caller.say(type="ask", text="typed")
        await caller.until("done")
        assert sounds_of(caller) == [0, 1]
        assert st.bot.orchestrator.said == [NOTICE, INVITATION]


async def test_a_caller_who_speaks_over_the_notice_silences_it_and_hears_it_before_the_answer() -> None:
    bot = StageBot()
    bot.orchestrator.line_s = 60.0
    async with stage(bot) as st, st.call() as caller:
        await caller.say(type="listen_start", mode="hands_free")
        await eventually(lambda: len(bot.orchestrator.said) == 2)
        await caller.socket.send(LOUD)
        await caller.until("speech_started")
        await caller.socket.send(silence(1.0))
        await caller.until("done")
        assert st.bot.orchestrator.said == [NOTICE, INVITATION, NOTICE]
        assert sounds_of(caller) == [0, 0, 1]


async def test_speech_over_a_greeting_that_is_still_being_made_ends_it() -> None:
    class Slow(ScriptedTurns):
        async def say(self, text):
            self.said.append(text)
            await asyncio.Event().wait()
            yield Sound(tone())

    bot = StageBot()
    bot.orchestrator = Slow({})
    async with stage(bot) as st, st.call() as caller:
        for said in (1, 2):  # nobody has heard a word of the first
            await caller.say(type="listen_start", mode="hands_free")
            await eventually(lambda said=said: bot.orchestrator.said == said * [NOTICE])
            await caller.socket.send(LOUD)
            assert (await caller.until("stopped"))["turn"] == 0
            await caller.until("speech_started")
