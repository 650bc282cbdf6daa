import numpy as np
import pytest

from teller.audio import Pcm
from teller.engines.whisper_hf import TransformersWhisper
from teller.errors import EngineUnavailable
from teller.turn import Speech

pytest.importorskip("transformers")
tiny_whisper = pytest.importorskip("tests.tiny_whisper")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_whisper.tiny_whisper(tmp_path_factory.getbasetemp() / "tiny-whisper") / "hf"


@pytest.fixture(scope="module")
def engine(folder):
    return TransformersWhisper(str(folder), device="cpu")


@pytest.mark.engine
async def test_more_than_one_window_is_heard_to_its_end(engine):
    said = tiny_whisper.sound().samples
    long = np.concatenate([said, np.zeros(28 * 16_000, np.int16), said])
    heard = await engine.transcribe(Speech(Pcm(long, 16_000)))
    assert heard.text == f"{tiny_whisper.TEXT} {tiny_whisper.TEXT}"


@pytest.mark.engine
def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(EngineUnavailable):
        TransformersWhisper(str(tmp_path))
