import asyncio
import os
import signal
import subprocess
import sys
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from teller.engines.espeak import Espeak
from teller.errors import EngineTimeout, EngineUnavailable, InputError

pytestmark = pytest.mark.engine


@asynccontextmanager
async def open_espeak(**options):
    engine = Espeak(**options)
    try:
        yield engine
    finally:
        await engine.aclose()


async def speak(engine: Espeak, text: str = "Hello there.") -> list[float]:
    """Seconds of each piece; espeak-ng's noise, and a few samples of length, differ from time to time."""
    return [piece.duration_s async for piece in engine.speak(text)]


def alike(pieces: list[float]) -> object:
    return pytest.approx(pieces, rel=0.02)


def process_of(engine: Espeak) -> int:
    assert engine._worker.pid is not None
    return engine._worker.pid


def is_running(pid: int) -> bool:
    """Neither gone nor a zombie."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"


async def test_each_sentence_is_a_piece_at_22_khz():
    async with open_espeak() as engine:
        pieces = [piece async for piece in engine.speak("One sentence. Another one! A third?")]
    assert [piece.rate_hz for piece in pieces] == [22_050] * 3
    assert all(0.3 < piece.duration_s < 3 for piece in pieces)


async def test_the_library_is_never_loaded_into_this_process():
    code = (
        "import asyncio, sys\n"
        "from teller.engines.espeak import Espeak\n"
        "async def main():\n"
        "    engine = Espeak()\n"
        "    await engine.warm()\n"
        "    await engine.aclose()\n"
        "asyncio.run(main())\n"
        "assert 'espeakng_loader' not in sys.modules\n"
        "assert 'espeak' not in open('/proc/self/maps').read()\n"
    )
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code], check=True)


async def test_money_takes_as_long_as_its_words():
    async with open_espeak() as engine:
        assert await speak(engine, "£188.71") == alike(await speak(engine, "188 pounds 71"))
        assert await speak(engine, "£188.71") != alike(await speak(engine, "188.71"))


async def test_a_higher_speed_takes_less_time():
    async with open_espeak(words_per_minute=150) as slow, open_espeak(words_per_minute=300) as fast:
        assert (await speak(fast))[0] < 0.7 * (await speak(slow))[0]


async def test_a_voice_may_be_a_language_with_a_variant():
    for voice in ("en-us", "en-gb-scotland", "en-gb+f3"):
        async with open_espeak(voice=voice) as engine:
            assert await speak(engine)


async def test_a_voice_that_does_not_exist_is_unavailable():
    async with open_espeak(voice="xx-none") as engine:
        with pytest.raises(EngineUnavailable, match="no voice 'xx-none'"):
            await engine.warm()


async def test_a_process_that_was_killed_is_replaced_and_nothing_is_lost():
    async with open_espeak() as engine:
        whole = await speak(engine, "One. Seventeen. Three hundred and three.")
        async with aclosing(engine.speak("One. Seventeen. Three hundred and three.")) as stream:
            pieces = [(await anext(stream)).duration_s]
            os.kill(process_of(engine), signal.SIGKILL)
            pieces += [piece.duration_s async for piece in stream]
        assert pieces == alike(whole)


async def test_a_process_that_hangs_is_a_timeout_and_the_next_text_is_spoken():
    async with open_espeak(timeout_s=3.0) as engine:
        await engine.warm()
        stuck = process_of(engine)
        os.kill(stuck, signal.SIGSTOP)
        with pytest.raises(EngineTimeout, match=r"within 3 s"):
            await speak(engine)
        assert not is_running(stuck)
        assert await speak(engine)


async def test_a_turn_that_is_cancelled_while_it_waits_leaves_no_reply_for_the_next():
    async with open_espeak() as engine:
        expected = await speak(engine, "The next one is a good deal longer.")
        os.kill(process_of(engine), signal.SIGSTOP)
        turn = asyncio.create_task(speak(engine, "The first one."))
        await asyncio.sleep(0.05)
        turn.cancel()
        with pytest.raises(asyncio.CancelledError):
            await turn
        assert await speak(engine, "The next one is a good deal longer.") == alike(expected)


async def test_many_calls_speak_at_once_and_get_their_own_words():
    texts = ["Hello" + ", and hello again" * n for n in range(10)]
    async with open_espeak() as engine:
        alone = [await speak(engine, text) for text in texts]
        together = await asyncio.gather(*(speak(engine, text) for text in texts))
    assert [sum(pieces) for pieces in together] == alike([sum(pieces) for pieces in alone])


async def test_closing_ends_the_process_and_speaking_starts_another():
    async with open_espeak() as engine:
        await engine.warm()
        first = process_of(engine)
        await engine.aclose()
        assert not is_running(first)
        assert await speak(engine)
        assert process_of(engine) != first


async def test_the_process_ends_when_the_one_that_started_it_is_killed():
    code = (
        "import asyncio, os, signal\n"
        "from teller.engines.espeak import Espeak\n"
        "async def main():\n"
        "    engine = Espeak()\n"
        "    await engine.warm()\n"
        "    print(engine._worker.pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code], capture_output=True, check=False)
    child = int(parent.stdout)
    for _ in range(100):
        if not is_running(child):
            return
        await asyncio.sleep(0.05)
    pytest.fail("the process is still there")


@pytest.mark.parametrize("text", ["", " \n", "...", "👍 !?"])
async def test_a_text_without_words_is_refused_before_any_process_starts(text):
    async with open_espeak() as engine:
        with pytest.raises(InputError, match="no words"):
            await speak(engine, text)
        assert engine._worker.pid is None


async def test_a_text_without_an_end_is_refused():
    async with open_espeak() as engine:
        with pytest.raises(InputError, match="too long to speak"):
            await speak(engine, "word " * 5_000)


async def test_one_endless_word_is_spoken_in_parts():
    async with open_espeak() as engine:
        assert len(await speak(engine, "a" * 900)) == 3


@pytest.mark.parametrize("text", ["a\0b", "naïve café", "你好 hello", "<speak>hello</speak>", "\ud800 hello"])
async def test_odd_characters_are_spoken_or_skipped(text):
    async with open_espeak() as engine:
        assert await speak(engine, text)
