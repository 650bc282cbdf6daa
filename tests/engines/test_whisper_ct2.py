from types import SimpleNamespace

import numpy as np
import pytest

from teller.audio import Pcm
from teller.engines.whisper_ct2 import FasterWhisper, transcript_of
from teller.errors import EngineUnavailable
from teller.turn import Speech

pytest.importorskip("faster_whisper")
tiny_whisper = pytest.importorskip("tests.tiny_whisper")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_whisper.tiny_whisper(tmp_path_factory.getbasetemp() / "tiny-whisper") / "ct2"


@pytest.fixture(scope="module")
def engine(folder):
    return FasterWhisper(str(folder), device="cpu", threads=1)


@pytest.mark.engine
async def test_noise_is_heard_as_nothing(engine):
    noise = np.random.default_rng(0).normal(0, 500, 48_000).astype(np.int16)
    assert (await engine.transcribe(Speech(Pcm(noise, 16_000)))).text == ""


@pytest.mark.engine
@pytest.mark.parametrize("missing", ["tokenizer.json", "model.bin", "config.json"])
def test_a_folder_that_lacks_a_file_is_refused_before_the_hub_is_asked(folder, tmp_path, missing):
    for path in folder.iterdir():
        if path.name != missing:
            (tmp_path / path.name).symlink_to(path)
    with pytest.raises(EngineUnavailable, match=f"lacks {missing}"):
        FasterWhisper(str(tmp_path))


@pytest.mark.engine
def test_damaged_weights_are_refused(folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes()[: 1_000 if path.name == "model.bin" else None])
    with pytest.raises(EngineUnavailable, match="cannot be loaded on cpu") as refused:
        FasterWhisper(str(tmp_path), device="cpu")
    assert "/" not in str(refused.value)


def test_a_folder_that_is_not_there_is_told_without_its_path(tmp_path):
    with pytest.raises(EngineUnavailable, match="of Whisper 'nowhere' are not") as refused:
        FasterWhisper(str(tmp_path / "nowhere"))
    assert str(tmp_path) not in str(refused.value)


def segment(text: str, *, logprob: float = -0.2, silent: float = 0.01, compression: float = 1.2, tokens: int = 4):
    return SimpleNamespace(
        text=text, tokens=[0] * tokens, avg_logprob=logprob, no_speech_prob=silent, compression_ratio=compression
    )


def test_segments_are_joined_and_their_confidence_is_weighted_by_length():
    heard = transcript_of([segment(" Block  my", logprob=-0.1, tokens=3), segment(" card.", logprob=-0.5, tokens=1)])
    assert heard.text == "Block my card."
    assert heard.confidence == pytest.approx(np.exp(-0.2))


@pytest.mark.parametrize(
    "invented",
    [
        segment(" Thank you for watching!", logprob=-0.8, silent=0.9),
        segment(" you you you you you you", compression=6.0),
        segment(" ", tokens=1),
    ],
)
def test_what_the_model_invented_is_dropped(invented):
    assert transcript_of([invented]).text == ""
    assert transcript_of([invented, segment(" Block my card")]).text == "Block my card"


@pytest.mark.parametrize("said", [segment(" Yes.", silent=0.9, logprob=-0.1), segment(" Yes.", logprob=-1.5)])
def test_one_doubt_alone_drops_nothing(said):
    assert transcript_of([said]).text == "Yes."


def test_no_segments_are_an_empty_text():
    assert transcript_of([]).text == ""
