import asyncio
import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from teller.audio import Pcm
from teller.engines.espeak import Espeak
from teller.engines.sound_files import read_sound, resample
from teller.engines.sphinx import _LAYOUT, Sphinx
from teller.errors import EngineTimeout, EngineUnavailable, InputError
from teller.phrases import caller_sentences
from teller.turn import Speech, Transcript

pytestmark = pytest.mark.engine

QUESTIONS = (
    "How do I block my debit card?",
    "I've lost my card",
    "What is the interest rate on a personal loan?",
    "What's the APR?",
    "Open a savings account",
    "How do I make a complaint?",
    "Is my money safe?",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture
async def engine(folder):
    engine = Sphinx(QUESTIONS, folder)
    yield engine
    await engine.aclose()


@pytest.fixture
def say(tmp_path):
    """Speaks with a voice that recognisers understand."""
    if shutil.which("flite") is None:
        pytest.skip("flite is not installed")

    def speak(text: str, voice: str = "slt") -> Pcm:
        path = tmp_path / "said.wav"
        subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(path)], check=True)
        said = read_sound(path.read_bytes(), max_duration_s=60).samples
        return Pcm(np.concatenate([np.zeros(4_000, np.int16), said, np.zeros(4_000, np.int16)]), 16_000)

    return speak


def test_other_sentences_made_of_the_questions_need_another_layout():
    sentences = json.dumps(list(caller_sentences(["What's the APR?"])))

    assert (_LAYOUT, hashlib.sha256(sentences.encode()).hexdigest()[:16]) == (2, "8b1e93be1982a0f9")


async def hear(engine: Sphinx, pcm: Pcm) -> Transcript:
    return await engine.transcribe(Speech(pcm))


@pytest.mark.parametrize("voice", ["slt", "rms", "awb"])
@pytest.mark.parametrize("text", ["how do i block my debit card", "what is the interest rate on a personal loan"])
async def test_a_question_on_file_is_heard_word_for_word(engine, say, text, voice):
    heard = await hear(engine, say(text, voice))
    assert heard.text == text
    assert heard.confidence > 0.8


async def test_words_that_no_question_has_are_heard_too(engine, say):
    heard = await hear(engine, say("somebody has taken money from my account"))
    assert heard.text == "somebody has taken money from my account"


async def test_amounts_are_written_in_words(engine, say):
    heard = await hear(engine, say("what is the monthly payment on five thousand pounds over three years"))
    assert "five thousand pounds over three years" in heard.text


async def test_an_abbreviation_is_one_word(engine, say):
    assert (await hear(engine, say("what's the A P R"))).text == "what's the apr"


async def test_other_readings_come_with_the_best_one(engine, say):
    heard = await hear(engine, say("is my money safe"))
    assert 1 <= len(heard.alternatives) <= 3
    assert heard.text not in heard.alternatives
    assert len(set(heard.alternatives)) == len(heard.alternatives)


async def test_it_is_less_sure_of_other_subjects(engine, say):
    asked = await hear(engine, say("how do i make a complaint"))
    other = await hear(engine, say("she painted the kitchen walls a pale shade of green", "rms"))
    assert asked.confidence > 0.8 > 0.5 > other.confidence


@pytest.mark.parametrize("kind", ["silence", "white", "brown", "hum", "tone", "clicks"])
async def test_what_holds_no_words_is_heard_as_nothing(engine, kind):
    chance, seconds = np.random.default_rng(0), np.arange(32_000) / 16_000
    sound = {
        "silence": np.zeros(32_000),
        "white": chance.normal(0, 2_000, 32_000),
        "brown": np.cumsum(chance.normal(0, 50, 32_000)) % 8_000 - 4_000,
        "hum": 3_000 * np.sin(2 * np.pi * 50 * seconds),
        "tone": 6_000 * np.sin(2 * np.pi * 440 * seconds),
        "clicks": np.where(chance.random(32_000) < 0.0005, 20_000, 0),
    }[kind]
    assert (await hear(engine, Pcm(sound.astype(np.int16), 16_000))).text == ""


async def test_another_language_is_heard_as_nothing_or_with_doubt(engine):
    speaker = Espeak(voice="de")
    (said,) = [piece async for piece in speaker.speak("Das Wetter ist heute wirklich sehr schön am Meer")]
    await speaker.aclose()
    assert (await hear(engine, resample(said, 16_000))).confidence < 0.3


@pytest.mark.parametrize("samples", [0, 1, 100, 500])
async def test_the_shortest_sounds_are_heard_as_nothing(engine, samples):
    assert (await hear(engine, Pcm(np.full(samples, 9_000, np.int16), 16_000))).text == ""


async def test_many_are_heard_at_once_as_each_alone(engine, say):
    texts = ["i've lost my card", "open a savings account", "is my money safe"] * 2
    sounds = [say(text) for text in texts]
    together = await asyncio.gather(*(hear(engine, sound) for sound in sounds))
    assert [heard.text for heard in together] == texts


async def test_a_turn_that_is_cancelled_leaves_it_able_to_hear(engine, say):
    sound = say("is my money safe")
    for _ in range(4):
        turn = asyncio.create_task(hear(engine, sound))
        await asyncio.sleep(0.01)
        turn.cancel()
    assert (await hear(engine, sound)).text == "is my money safe"


async def test_a_process_that_was_killed_is_replaced(engine, say):
    await engine.warm()
    for worker in engine._workers:
        os.kill(worker.pid, signal.SIGKILL)
    assert (await hear(engine, say("is my money safe"))).text == "is my money safe"


async def test_a_process_that_hangs_is_a_timeout_and_the_next_utterance_is_heard(folder, say):
    engine = Sphinx(QUESTIONS, folder, decoders=1, timeout_s=2.0)
    await engine.warm()
    os.kill(engine._workers[0].pid, signal.SIGSTOP)
    with pytest.raises(EngineTimeout, match="within 2 s"):
        await hear(engine, say("is my money safe"))
    assert (await hear(engine, say("is my money safe"))).text == "is my money safe"
    await engine.aclose()


@pytest.fixture
def forgetful(tmp_path):
    """An engine whose dictionary went away after it was opened."""
    engine = Sphinx(QUESTIONS, tmp_path)
    Path(engine.files[2]).unlink()
    return engine


async def test_a_model_that_is_gone_is_unavailable(forgetful):
    with pytest.raises(EngineUnavailable, match="speech model cannot be loaded"):
        await forgetful.warm()


async def test_another_rate_is_refused(engine):
    with pytest.raises(InputError, match="16000 Hz, got 8000 Hz"):
        await hear(engine, Pcm.silence(1, 8_000))


def test_words_that_cannot_be_pronounced_are_named(folder):
    assert Sphinx(["what is a zyxwvutq account"], folder).unknown_words == ("zyxwvutq",)


def test_the_bank_s_own_words_are_pronounced(folder):
    engine = Sphinx(["Larkfield cashpoint, unfreeze my ISA, FSCS, authorise the remortgage at the cafés"], folder)
    assert engine.unknown_words == ()


def test_a_trained_model_is_kept_and_used_again(engine, folder):
    made = Path(engine.files[1]).stat().st_mtime_ns
    again = Sphinx(QUESTIONS, folder)
    assert again.name == engine.name
    assert Path(again.files[1]).stat().st_mtime_ns == made


def test_other_questions_make_another_model(engine, folder):
    assert Sphinx([*QUESTIONS, "one more"], folder).name != engine.name


@pytest.mark.parametrize(("name", "left"), [("model.arpa", 0.4), ("sha256.txt", 0)])
def test_a_damaged_model_is_trained_again(tmp_path, name, left):
    path = Path(Sphinx(["block my card"], tmp_path).files[1]).parent / name
    whole = path.read_bytes()
    path.write_bytes(whole[: int(left * len(whole))])
    Sphinx(["block my card"], tmp_path)
    assert path.read_bytes() == whole


def test_only_the_models_that_were_used_last_are_kept(tmp_path):
    for age in range(6):
        old = tmp_path / f"sphinx-{age}"
        old.mkdir()
        os.utime(old, (time.time() - 100 - age,) * 2)
    (tmp_path / ".sphinx-abandoned").mkdir()
    os.utime(tmp_path / ".sphinx-abandoned", (time.time() - 7_200,) * 2)
    engine = Sphinx(["block my card"], tmp_path)
    used = Path(engine.files[1]).parent.name
    assert {path.name for path in tmp_path.iterdir()} == {used, "sphinx-0", "sphinx-1", "sphinx-2"}


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path):
    (tmp_path / "models").write_text("a file where the folder should be")
    with pytest.raises(EngineUnavailable, match="cannot be kept"):
        Sphinx(["block my card"], tmp_path / "models")
