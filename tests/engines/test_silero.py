import asyncio
import subprocess
import sys

import numpy as np
import pytest

from teller.audio import Pcm
from teller.endpointing import Endpointer, Endpointing, SpeechBegan, SpeechEnded, trim
from teller.engines.espeak import Espeak
from teller.engines.silero import SileroDetector, SileroVad
from teller.engines.sound_files import resample
from teller.errors import EngineUnavailable, InputError

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def vad() -> SileroVad:
    return SileroVad()


@pytest.fixture(scope="module")
def sentence() -> Pcm:
    """A spoken sentence at 16 kHz."""

    async def speak() -> list[Pcm]:
        engine = Espeak()
        pieces = [piece async for piece in engine.speak("I would like to open a savings account please")]
        await engine.aclose()
        return pieces

    (piece,) = asyncio.run(speak())
    return resample(piece, 16_000)


def padded(*parts: Pcm) -> np.ndarray:
    samples = np.concatenate([part.samples for part in parts])
    return samples[: len(samples) // 512 * 512].reshape(-1, 512)


def probabilities(detector: SileroDetector, frames: np.ndarray) -> np.ndarray:
    return np.array([detector.probability(frame) for frame in frames])


def test_speech_is_told_from_the_silence_around_it(vad, sentence):
    frames = padded(Pcm.silence(1), sentence, Pcm.silence(1))
    heard = probabilities(vad.open_stream(), frames)
    assert heard[:28].max() < 0.3
    assert heard[-20:].max() < 0.3
    assert np.median(heard[35:-40]) > 0.9


@pytest.mark.parametrize("kind", ["white noise", "hum", "clicks"])
def test_noise_begins_no_utterance(vad, kind):
    generator = np.random.default_rng(2)
    time = np.arange(16_000 * 4) / 16_000
    sound = {
        "white noise": generator.normal(0, 1_500, len(time)),
        "hum": 4_000 * np.sin(2 * np.pi * 50 * time),
        "clicks": np.where(generator.random(len(time)) < 0.0005, 20_000, 0),
    }[kind]
    endpointer, detector = Endpointer(Endpointing()), vad.open_stream()
    frames = padded(Pcm(sound.astype(np.int16), 16_000))
    assert [event for frame in frames for event in endpointer.feed(frame, detector.probability(frame))] == []


def test_two_sentences_in_a_stream_are_two_utterances(vad, sentence):
    endpointer, detector = Endpointer(Endpointing()), vad.open_stream()
    frames = padded(Pcm.silence(0.5), sentence, Pcm.silence(1.2), sentence, Pcm.silence(1.2))
    events = [event for frame in frames for event in endpointer.feed(frame, detector.probability(frame))]
    assert [type(event) for event in events] == [SpeechBegan, SpeechEnded] * 2
    for event in events[1::2]:
        assert event.speech.pcm.duration_s == pytest.approx(sentence.duration_s + 0.4, abs=0.5)


def test_a_held_recording_is_trimmed_to_its_speech(vad, sentence):
    frames = padded(Pcm.silence(3), sentence, Pcm.silence(3))
    pcm = Pcm(frames.reshape(-1), 16_000)
    cut = trim(pcm, list(probabilities(vad.open_stream(), frames)), 512, Endpointing())
    assert sentence.duration_s - 0.3 < cut.duration_s < sentence.duration_s + 0.8


def test_streams_do_not_disturb_one_another(vad, sentence):
    frames = padded(Pcm.silence(0.3), sentence)
    alone = probabilities(vad.open_stream(), frames)
    streams = [vad.open_stream() for _ in range(5)]
    together = np.array([[stream.probability(frame) for stream in streams] for frame in frames])
    for heard in together.T:
        np.testing.assert_array_equal(heard, alone)


async def test_streams_may_run_in_threads(vad, sentence):
    frames = padded(sentence)
    alone = probabilities(vad.open_stream(), frames)
    heard = await asyncio.gather(*(asyncio.to_thread(probabilities, vad.open_stream(), frames) for _ in range(4)))
    for one in heard:
        np.testing.assert_array_equal(one, alone)


def test_frames_of_another_type_are_refused(vad):
    with pytest.raises(InputError, match="int16"):
        vad.open_stream().probability(np.zeros(512, np.float32))


def test_neither_pytorch_nor_the_package_is_imported():
    code = (
        "import sys\n"
        "from teller.engines.silero import SileroVad\n"
        "SileroVad().open_stream()\n"
        "assert not {'torch', 'silero_vad'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_file_that_is_missing_is_unavailable(tmp_path):
    with pytest.raises(EngineUnavailable, match=r"none\.onnx cannot be read"):
        SileroVad(tmp_path / "none.onnx")


def test_a_file_that_is_no_model_is_unavailable(tmp_path):
    path = tmp_path / "text.onnx"
    path.write_text("no model")
    with pytest.raises(EngineUnavailable, match="not an ONNX model"):
        SileroVad(path)


def test_a_model_of_something_else_is_unavailable(tmp_path):
    onnx = pytest.importorskip("onnx")
    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    y = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "g", [x], [y])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 16)], ir_version=8)
    (tmp_path / "other.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(EngineUnavailable, match="not a Silero VAD"):
        SileroVad(tmp_path / "other.onnx")


def test_a_wheel_that_is_missing_says_what_to_install(monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(EngineUnavailable, match=r"pip install --no-deps .silero-vad"):
        SileroVad()
