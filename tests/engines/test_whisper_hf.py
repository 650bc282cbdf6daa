import subprocess
import sys

import numpy as np
import pytest

from teller.audio import Pcm
from teller.engines.whisper_hf import TransformersWhisper
from teller.errors import EngineUnavailable, InputError
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
async def test_what_was_said_is_heard_with_its_confidence(engine):
    heard = await engine.transcribe(Speech(tiny_whisper.sound()))
    assert heard.text == tiny_whisper.TEXT
    assert 0.5 < heard.confidence <= 1


@pytest.mark.engine
@pytest.mark.parametrize("pcm", [Pcm.silence(0), Pcm.silence(1), Pcm.silence(35)])
async def test_silence_is_heard_as_nothing(engine, pcm):
    heard = await engine.transcribe(Speech(pcm))
    assert (heard.text, heard.confidence) == ("", 0)


@pytest.mark.engine
async def test_more_than_one_window_is_heard_to_its_end(engine):
    said = tiny_whisper.sound().samples
    long = np.concatenate([said, np.zeros(28 * 16_000, np.int16), said])
    heard = await engine.transcribe(Speech(Pcm(long, 16_000)))
    assert heard.text == f"{tiny_whisper.TEXT} {tiny_whisper.TEXT}"


@pytest.mark.engine
async def test_another_rate_is_refused(engine):
    with pytest.raises(InputError, match="16000 Hz, got 8000 Hz"):
        await engine.transcribe(Speech(Pcm.silence(1, 8_000)))


@pytest.mark.engine
def test_the_name_says_version_and_weights_but_no_path(engine):
    assert engine.name.endswith("-hf")
    assert "/" not in engine.name


@pytest.mark.engine
@pytest.mark.parametrize("model", ["small", "nobody/no-such-model"])
def test_weights_that_are_not_here_are_not_fetched(model, tmp_path, monkeypatch, no_network):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(EngineUnavailable, match="TELLER_ENGINES__ALLOW_DOWNLOADS"):
        TransformersWhisper(model)
    assert no_network == []


@pytest.mark.engine
@pytest.mark.parametrize("allow_downloads", [False, True])
def test_a_local_folder_asks_no_network(folder, no_network, allow_downloads):
    TransformersWhisper(str(folder), device="cpu", allow_downloads=allow_downloads)
    assert no_network == []


@pytest.mark.engine
def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(EngineUnavailable):
        TransformersWhisper(str(tmp_path))


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(EngineUnavailable, match=r"pip install 'teller\[transformers\]'"):
        TransformersWhisper("small")


def test_importing_the_engine_imports_none_of_its_packages():
    code = "import sys, teller.engines.whisper_hf; assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
