"""What both Whispers keep; what only one does is in test_whisper_ct2.py and test_whisper_hf.py."""

import importlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from teller.audio import Pcm
from teller.engines.whisper_ct2 import FasterWhisper
from teller.engines.whisper_hf import TransformersWhisper
from teller.errors import EngineUnavailable, InputError
from teller.ports import Transcriber
from teller.turn import Speech


@dataclass(frozen=True)
class Kind:
    """One way of running Whisper: its weights' folder, its package and the extra that brings it."""

    new: Callable[..., Transcriber]
    weights: str
    package: str
    extra: str
    name_ends: str


KINDS = (
    Kind(FasterWhisper, "ct2", "faster_whisper", "whisper", "-ct2-default"),
    Kind(TransformersWhisper, "hf", "transformers", "transformers", "-hf"),
)


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.weights)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def folder(kind, tmp_path_factory):
    pytest.importorskip(kind.package)
    tiny_whisper = pytest.importorskip("tests.tiny_whisper")
    return tiny_whisper.tiny_whisper(tmp_path_factory.getbasetemp() / "tiny-whisper") / kind.weights


@pytest.fixture(scope="module")
def engine(kind, folder):
    return kind.new(str(folder), device="cpu")


@pytest.mark.engine
async def test_what_was_said_is_heard_with_its_confidence(engine):
    tiny_whisper = importlib.import_module("tests.tiny_whisper")
    heard = await engine.transcribe(Speech(tiny_whisper.sound()))
    assert heard.text == tiny_whisper.TEXT
    assert 0.5 < heard.confidence <= 1


@pytest.mark.engine
@pytest.mark.parametrize("seconds", [0, 0.01, 3, 35])
async def test_silence_is_heard_as_nothing(engine, seconds):
    heard = await engine.transcribe(Speech(Pcm.silence(seconds)))
    assert (heard.text, heard.confidence) == ("", 0)


@pytest.mark.engine
async def test_another_rate_is_refused(engine):
    with pytest.raises(InputError, match="16000 Hz, got 8000 Hz"):
        await engine.transcribe(Speech(Pcm.silence(1, 8_000)))


@pytest.mark.engine
def test_the_name_says_version_and_weights_but_no_path(kind, engine):
    assert engine.name.endswith(kind.name_ends)
    assert "/" not in engine.name


@pytest.mark.engine
@pytest.mark.usefixtures("folder")  # the package is there
@pytest.mark.parametrize("model", ["small", "nobody/no-such-model", "no-such-size"])
def test_weights_that_are_not_here_are_not_fetched(kind, model, tmp_path, monkeypatch, no_network):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(EngineUnavailable, match="TELLER_ENGINES__ALLOW_DOWNLOADS"):
        kind.new(model)
    assert no_network == []


@pytest.mark.engine
@pytest.mark.parametrize("allow_downloads", [False, True])
def test_a_local_folder_asks_no_network(kind, folder, no_network, allow_downloads):
    kind.new(str(folder), device="cpu", allow_downloads=allow_downloads)
    assert no_network == []


def test_without_the_package_it_says_what_to_install(kind, monkeypatch):
    monkeypatch.setitem(sys.modules, kind.package, None)
    with pytest.raises(EngineUnavailable, match=rf"pip install 'teller\[{kind.extra}\]'"):
        kind.new("small")


def test_importing_the_engine_imports_none_of_its_packages(kind):
    heavy = {"faster_whisper", "ctranslate2", "torch", "transformers"}
    code = f"import sys, {kind.new.__module__}; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
