"""What every Transcriber keeps."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest

from teller.audio import Pcm
from teller.engines.scripted import ScriptedTranscriber
from teller.engines.sphinx import Sphinx
from teller.ports import Transcriber
from teller.turn import Speech


def _whisper_ct2(folder: Path) -> Transcriber:
    from teller.engines.whisper_ct2 import FasterWhisper

    pytest.importorskip("faster_whisper")
    tiny = pytest.importorskip("tests.tiny_whisper").tiny_whisper(folder / "tiny-whisper")
    return FasterWhisper(str(tiny / "ct2"), device="cpu", threads=1)


def _whisper_hf(folder: Path) -> Transcriber:
    from teller.engines.whisper_hf import TransformersWhisper

    tiny = pytest.importorskip("tests.tiny_whisper").tiny_whisper(folder / "tiny-whisper")
    return TransformersWhisper(str(tiny / "hf"), device="cpu")


ENGINES = [
    pytest.param(lambda _: ScriptedTranscriber(["said"] * 10), id="scripted"),
    pytest.param(lambda folder: Sphinx(["block my card"], folder / "sphinx"), id="sphinx", marks=pytest.mark.engine),
    pytest.param(_whisper_ct2, id="faster-whisper", marks=pytest.mark.engine),
    pytest.param(_whisper_hf, id="transformers", marks=pytest.mark.engine),
]


@pytest.fixture(params=ENGINES)
async def transcriber(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Transcriber]:
    make: Callable[[Path], Transcriber] = request.param
    engine = make(tmp_path_factory.getbasetemp())
    yield engine
    if not isinstance(engine, ScriptedTranscriber):
        await engine.aclose()


def buzz() -> Pcm:
    seconds = np.arange(24_000) / 16_000
    voice = sum(np.sin(2 * np.pi * 120 * n * seconds) / n for n in range(1, 20))
    return Pcm((5_000 * voice).astype(np.int16), 16_000)


@pytest.mark.parametrize("duration_s", [0, 0.02, 2])
async def test_silence_is_an_empty_text(transcriber, duration_s):
    assert (await transcriber.transcribe(Speech(Pcm.silence(duration_s)))).text == ""


async def test_a_confidence_lies_between_0_and_1(transcriber):
    heard = await transcriber.transcribe(Speech(buzz()))
    assert 0 <= heard.confidence <= 1


async def test_the_same_sound_is_heard_alike_by_itself_and_among_others(transcriber):
    alone = await transcriber.transcribe(Speech(buzz()))
    among = await asyncio.gather(*(transcriber.transcribe(Speech(buzz())) for _ in range(3)))
    assert {heard.text for heard in among} == {alone.text}


async def test_the_sound_is_left_as_it_was(transcriber):
    pcm = buzz()
    before = pcm.samples.copy()
    await transcriber.transcribe(Speech(pcm))
    np.testing.assert_array_equal(pcm.samples, before)


def test_the_name_identifies_it(transcriber):
    assert transcriber.name
    assert not set(transcriber.name) & set("/\\ :")
