"""What every Detector keeps."""

import numpy as np
import pytest

from teller.engines.scripted import ScriptedDetector
from teller.engines.silero import SileroVad
from teller.errors import InputError
from teller.ports import Detector

ENGINES = [
    pytest.param(ScriptedDetector, id="scripted"),
    pytest.param(lambda: SileroVad().open_stream(), id="silero", marks=pytest.mark.engine),
]


@pytest.fixture(params=ENGINES)
def detector(request: pytest.FixtureRequest) -> Detector:
    return request.param()


def test_silence_is_no_speech(detector):
    frame = np.zeros(detector.frame_samples, np.int16)
    assert max(detector.probability(frame) for _ in range(50)) < 0.3


def test_it_gives_probabilities(detector):
    noise = np.random.default_rng(0).integers(-32768, 32768, (20, detector.frame_samples)).astype(np.int16)
    for frame in noise:
        probability = detector.probability(frame)
        assert isinstance(probability, float)
        assert 0 <= probability <= 1


def test_a_stream_that_was_forgotten_starts_anew(detector):
    noise = np.random.default_rng(1).integers(-9_000, 9_000, (10, detector.frame_samples)).astype(np.int16)
    first = [detector.probability(frame) for frame in noise]
    detector.reset()
    assert [detector.probability(frame) for frame in noise] == first


@pytest.mark.parametrize("samples", [0, 1, 511, 1024])
def test_a_frame_of_another_length_is_refused(detector, samples):
    with pytest.raises(InputError, match="a frame has 512"):
        detector.probability(np.zeros(samples, np.int16))
