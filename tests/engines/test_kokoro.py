"""Kokoro's own package is too heavy for every test run: these hold the engine against a package of the same shape.

The calls are those of kokoro 0.9.4: KModel(repo_id=, config=, model=) and KPipeline(lang_code=, repo_id=, model=), that
is called with (text, voice tensor, speed=, split_pattern=) and gives results with `audio`.
"""

import subprocess
import sys
from contextlib import aclosing

import pytest

from teller.engines.kokoro import Kokoro
from teller.errors import EngineError, EngineUnavailable, InputError

torch = pytest.importorskip("torch")

PACKAGE = """
import json
from pathlib import Path
import torch

class KModel(torch.nn.Module):
    def __init__(self, *, repo_id, config, model):
        super().__init__()
        json.loads(Path(config).read_text())
        torch.load(model, weights_only=True)

class Result:
    def __init__(self, audio):
        self.audio = audio

class KPipeline:
    said = []

    def __init__(self, *, lang_code, repo_id, model):
        assert isinstance(model, KModel) and not model.training
        self.lang_code = lang_code

    def __call__(self, text, voice, *, speed, split_pattern):
        assert isinstance(voice, torch.FloatTensor) and voice.shape == (510, 1, 256) and split_pattern is None
        if "fail" in text:
            raise RuntimeError("no memory")
        KPipeline.said.append((self.lang_code, text))
        yield Result(None)
        for _ in range(2):
            yield Result(torch.full((int(2_400 / speed),), 0.5))
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package `kokoro` and spaCy's model, to be found first."""
    site = tmp_path / "site"
    for name, code in (("kokoro", PACKAGE), ("en_core_web_sm", "")):
        (site / name).mkdir(parents=True)
        (site / name / "__init__.py").write_text(code)
    (site / "kokoro-0.9.4.dist-info").mkdir()
    (site / "kokoro-0.9.4.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: kokoro\nVersion: 0.9.4\n")
    monkeypatch.syspath_prepend(str(site))
    for name in ("kokoro", "en_core_web_sm"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return site


@pytest.fixture
def weights(tmp_path):
    folder = tmp_path / "weights"
    (folder / "voices").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    torch.save({}, folder / "kokoro-v1_0.pth")
    torch.save(torch.zeros(510, 1, 256), folder / "voices" / "bf_emma.pt")
    return folder


async def speak(engine: Kokoro, text: str = "The APR is 6.5%. It costs £5."):
    try:
        return [piece async for piece in engine.speak(text)]
    finally:
        await engine.aclose()


@pytest.mark.usefixtures("installed")
async def test_clauses_are_spoken_one_by_one_at_24_khz(weights):
    pieces = await speak(Kokoro(folder=weights))
    assert [(piece.rate_hz, len(piece.samples), piece.samples[0]) for piece in pieces] == [(24_000, 2_400, 16_384)] * 4
    assert sys.modules["kokoro"].KPipeline.said == [("b", "The A-P-R is 6.5 percent."), ("b", "It costs 5 pounds.")]


@pytest.mark.usefixtures("installed")
async def test_speed_is_passed_on(weights):
    assert len((await speak(Kokoro(folder=weights, speed=2)))[0].samples) == 1_200


@pytest.mark.usefixtures("installed")
async def test_nothing_is_loaded_before_the_first_text(weights):
    engine = Kokoro(folder=weights)
    assert "kokoro" not in sys.modules
    await engine.warm()
    assert "kokoro" in sys.modules
    await engine.aclose()


@pytest.mark.usefixtures("installed")
async def test_stopping_early_leaves_it_able_to_speak(weights):
    engine = Kokoro(folder=weights)
    async with aclosing(engine.speak("One. Two. Three.")) as stream:
        await anext(stream)
    assert len(await speak(engine)) == 4


@pytest.mark.usefixtures("installed")
async def test_a_clause_that_fails_is_an_engine_error(weights):
    with pytest.raises(EngineError, match="Kokoro failed on a clause of 9 characters"):
        await speak(Kokoro(folder=weights), "fail now.")


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("name", ["config.json", "kokoro-v1_0.pth", "voices/bf_emma.pt"])
async def test_a_folder_that_lacks_a_file_is_unavailable(weights, name):
    (weights / name).unlink()
    with pytest.raises(EngineUnavailable, match=f"lacks {name}"):
        await speak(Kokoro(folder=weights))


@pytest.mark.usefixtures("installed")
async def test_damaged_weights_are_unavailable(weights):
    (weights / "config.json").write_text("{")
    with pytest.raises(EngineUnavailable, match="cannot be loaded on cpu"):
        await speak(Kokoro(folder=weights, device="cpu"))


@pytest.mark.usefixtures("installed")
async def test_weights_that_are_not_here_are_not_fetched(tmp_path, monkeypatch):
    pytest.importorskip("huggingface_hub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(EngineUnavailable, match="TELLER_ENGINES__ALLOW_DOWNLOADS"):
        await speak(Kokoro())


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("text", ["", " \n", "..."])
async def test_a_text_without_words_is_refused_before_anything_is_loaded(text):
    with pytest.raises(InputError, match="no words"):
        await speak(Kokoro(), text)
    assert "kokoro" not in sys.modules


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(("voice", "name"), [("en-gb", "bf_emma"), ("en-us", "af_heart"), ("bm_george", "bm_george")])
def test_a_voice_may_be_named_as_a_language(voice, name):
    assert Kokoro(voice=voice).name == f"kokoro-0.9.4-{name}-1x"


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("options", [{"voice": "jf_alpha"}, {"voice": "b/../x"}, {"voice": ""}, {"speed": 3}])
def test_what_it_cannot_speak_with_is_refused(options):
    with pytest.raises(InputError):
        Kokoro(**options)


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(EngineUnavailable, match=r"pip install 'teller\[kokoro\]'"):
        Kokoro()


def test_without_spacys_model_nothing_is_fetched(installed):
    (installed / "en_core_web_sm" / "__init__.py").unlink()
    (installed / "en_core_web_sm").rmdir()
    with pytest.raises(EngineUnavailable, match="python -m spacy download en_core_web_sm"):
        Kokoro()


def test_importing_the_engine_imports_none_of_its_packages():
    code = "import sys, teller.engines.kokoro; assert not {'torch', 'kokoro', 'spacy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
