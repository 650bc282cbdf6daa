"""What every Transcriber keeps."""

import numpy as np
import pytest

from teller.audio import Pcm
from teller.engines.scripted import ScriptedTranscriber
from teller.ports import Transcriber
from teller.turn import Speech

ENGINES = [pytest.param(lambda: ScriptedTranscriber(["block my card"] * 9), id="scripted")]


@pytest.fixture(params=ENGINES)
def transcriber(request: pytest.FixtureRequest) -> Transcriber:
    return request.param()


@pytest.mark.parametrize("length_s", [0.0, 0.01, 1.0])
async def test_silence_holds_no_words(transcriber, length_s):
    assert (await transcriber.transcribe(Speech(Pcm.silence(length_s)))).text == ""


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 48_000])
async def test_a_transcript_has_a_text_and_a_confidence_between_0_and_1(transcriber, rate_hz):
    noise = np.random.default_rng(0).integers(-9_000, 9_000, rate_hz, dtype=np.int16)
    transcript = await transcriber.transcribe(Speech(Pcm(noise, rate_hz)))
    assert isinstance(transcript.text, str)
    assert 0 <= transcript.confidence <= 1


def test_the_name_identifies_it(transcriber):
    assert transcriber.name
