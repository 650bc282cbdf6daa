import asyncio
import sys
import threading
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from teller.audio import Pcm
from teller.engines.kokoro import Kokoro
from teller.errors import EngineError, EngineUnavailable, InputError
from teller.ports import Synthesizer

TEXT = "Your card is on its way. It takes five working days. It costs nothing."


@dataclass
class Result:
    """As `KPipeline.Result`: has the audio, and unpacks."""

    graphemes: str
    phonemes: str
    audio: object

    def __iter__(self) -> Iterator[object]:
        yield from (self.graphemes, self.phonemes, self.audio)


class Tone:
    """A pipeline of the shape of `kokoro.KPipeline`: 1,200 samples of a tone for each character."""

    def __init__(self):
        self.said = []

    def __call__(self, text, voice=None):
        self.said.append((text, voice))
        yield Result(text, text, self.audio(text))

    def audio(self, text):
        return (0.5 * np.sin(np.arange(1_200 * len(text)) / 20)).astype(np.float32)


class Given(Tone):
    """Gives these, one result for each, for every clause."""

    def __init__(self, *audios):
        super().__init__()
        self.audios = audios

    def __call__(self, text, voice=None):
        self.said.append((text, voice))
        for audio in self.audios:
            if isinstance(audio, Exception):
                raise audio
            yield Result(text, text, audio)


def open_tone(pipeline=None) -> Kokoro:
    return Kokoro(voice="bf_emma", pipeline=pipeline or Tone())


async def speak(engine: Synthesizer, text: str = TEXT) -> list[Pcm]:
    return [piece async for piece in engine.speak(text)]


async def test_each_sentence_is_a_piece_at_24_khz():
    pipeline = Tone()
    pieces = await speak(open_tone(pipeline))
    assert [text for text, _ in pipeline.said] == [sentence + "." for sentence in TEXT.rstrip(".").split(". ")]
    assert [len(piece.samples) for piece in pieces] == [1_200 * len(text) for text, _ in pipeline.said]
    assert {piece.rate_hz for piece in pieces} == {24_000}


async def test_the_first_piece_comes_before_the_second_is_made():
    pipeline = Tone()
    stream = open_tone(pipeline).speak(TEXT)
    await anext(stream)
    assert len(pipeline.said) == 1
    await stream.aclose()
    assert len(pipeline.said) == 1


async def test_text_is_read_as_it_is_said():
    pipeline = Tone()
    await speak(open_tone(pipeline), "£188.71")
    assert pipeline.said == [("188 pounds 71", "bf_emma")]


async def test_samples_are_full_scale_at_1_and_clipped_beyond():
    (piece,) = await speak(open_tone(Given(np.array([0, 0.5, 1, -1, 1.5, -3], dtype=np.float32))), "Hello.")
    assert piece.samples.tolist() == [0, 16384, 32767, -32767, 32767, -32767]


@pytest.mark.engine
async def test_a_torch_tensor_is_taken_too():
    import torch

    (piece,) = await speak(open_tone(Given(torch.tensor([0.0, 1.0]))), "Hello.")
    assert piece.samples.tolist() == [0, 32767]


async def test_several_results_for_a_clause_are_one_piece():
    one = np.full(3, 0.5, dtype=np.float32)
    assert [len(piece.samples) for piece in await speak(open_tone(Given(one, one)), "Hello.")] == [6]


async def test_a_silent_piece_is_kept_and_an_empty_one_left_out():
    class Quiet(Tone):
        def audio(self, text):
            return {"One.": np.zeros(240, np.float32), "Two.": np.zeros(0, np.float32), "Three.": None}.get(
                text, np.ones(5, np.float32)
            )

    assert [len(piece.samples) for piece in await speak(open_tone(Quiet()), "One. Two. Three. Four.")] == [240, 5]


@pytest.mark.parametrize("audios", [(), (None,), (np.zeros(0, np.float32),)])
async def test_a_text_that_gives_no_sound_at_all_is_an_error(audios):
    with pytest.raises(EngineError, match="no sound"):
        await speak(open_tone(Given(*audios)), "Hello.")


async def test_sound_that_is_not_a_number_is_an_error():
    with pytest.raises(EngineError, match="no valid sound"):
        await speak(open_tone(Given(np.array([0, np.nan], dtype=np.float32))))


@pytest.mark.parametrize("failure", [RuntimeError("x"), AssertionError(), TypeError("x"), IndexError("x")])
async def test_a_failure_after_some_of_a_clause_is_an_engine_error_that_does_not_repeat_the_words(failure):
    with pytest.raises(EngineError, match=r"failed on a clause of 24 characters") as caught:
        await speak(open_tone(Given(np.ones(5, np.float32), failure)))
    assert caught.value.__cause__ is failure


async def test_a_failure_half_way_keeps_what_was_spoken_and_the_next_text_is_spoken():
    class Failing(Tone):
        def audio(self, text):
            if text.startswith("It costs"):
                raise RuntimeError("out of memory")
            return super().audio(text)

    engine = open_tone(Failing())
    stream = engine.speak(TEXT)
    heard = [await anext(stream), await anext(stream)]
    with pytest.raises(EngineError):
        await anext(stream)
    assert [len(piece.samples) // 1_200 for piece in heard] == [24, 27]
    assert len(await speak(engine, "Hello.")) == 1


class Gate(Tone):
    """Waits in every clause until it is let on."""

    def __init__(self):
        super().__init__()
        self.started, self.open = threading.Event(), threading.Event()

    def audio(self, text):
        self.started.set()
        assert self.open.wait(30)
        return super().audio(text)


async def test_a_turn_that_is_cancelled_stops_after_its_clause_and_leaves_the_loop_free():
    pipeline = Gate()
    engine = open_tone(pipeline)
    turn, waiting = asyncio.create_task(speak(engine)), asyncio.create_task(speak(engine, "Never said."))
    await asyncio.to_thread(pipeline.started.wait, 30)
    for task in (turn, waiting):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    pipeline.open.set()
    (piece,) = await speak(engine, "Next.")
    assert len(piece.samples) == 1_200 * len("Next.")
    assert [text for text, _ in pipeline.said] == ["Your card is on its way.", "Next."]


async def test_calls_at_once_take_turns_and_get_their_own_words():
    class Alone(Tone):
        busy = False

        def audio(self, text):
            assert not self.busy
            self.busy = True
            sound = super().audio(text)
            self.busy = False
            return sound

    engine, texts = open_tone(Alone()), ["Hello" + " and hello" * n for n in range(10)]
    spoken = await asyncio.gather(*(speak(engine, text) for text in texts))
    assert [len(piece.samples) for (piece,) in spoken] == [1_200 * len(text) for text in texts]


@pytest.mark.parametrize("text", ["", " \n", "...", "👍 !?"])
async def test_a_text_without_words_is_refused(text):
    pipeline = Tone()
    with pytest.raises(InputError, match="no words"):
        await speak(open_tone(pipeline), text)
    assert pipeline.said == []


async def test_a_text_without_an_end_is_refused():
    with pytest.raises(InputError, match="too long to speak"):
        await speak(open_tone(), "word " * 5_000)


async def test_one_endless_word_is_spoken_in_parts():
    assert [len(piece.samples) // 1_200 for piece in await speak(open_tone(), "a" * 900)] == [400, 400, 100]


@pytest.mark.parametrize(("configured", "own"), [("en-gb", "bf_emma"), ("en-us", "af_heart"), ("am_adam", "am_adam")])
async def test_a_voice_of_espeak_stands_for_one_of_kokoro(configured, own):
    pipeline = Tone()
    engine = Kokoro(voice=configured, pipeline=pipeline)
    await speak(engine, "Hello.")
    assert pipeline.said == [("Hello.", own)]
    assert engine.name == f"kokoro-given-{own}"


@pytest.mark.parametrize("voice", ["", "en-gb+f3", "ff_siwis", "bf_../emma", "bf_emma,bf_alice"])
def test_a_voice_that_is_not_an_english_one_is_unavailable(voice):
    with pytest.raises(EngineUnavailable, match="no English voice"):
        Kokoro(voice=voice, pipeline=Tone())


def test_a_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "kokoro", None)
    with pytest.raises(EngineUnavailable, match=r"pip install 'teller\[kokoro\]'"):
        Kokoro(voice="bf_emma")


class Model:
    def __init__(self, *, repo_id, config, model):
        if not Path(config).read_bytes() or not Path(model).read_bytes():
            raise EOFError("Ran out of input")
        self.repo_id = repo_id

    def to(self, device):
        self.device = device
        return self

    def eval(self):
        return self


class LoadedTone(Tone):
    def __init__(self, *, lang_code, repo_id, model):
        super().__init__()
        if model.repo_id != repo_id or not model.device:
            raise SystemExit(1)
        self.lang_code, self.voices = lang_code, {}

    def load_single_voice(self, voice):
        self.voices[voice] = Path(voice).read_bytes()

    def audio(self, text):
        return super().audio(text) if self.said[-1][1] in self.voices else None


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> types.ModuleType:
    """A package of the shape of kokoro, with an empty hub cache and no language model."""
    package = types.ModuleType("kokoro")
    package.__version__, package.KModel, package.KPipeline = "0.9.4", Model, LoadedTone
    torch = types.ModuleType("torch")
    torch.cuda = types.SimpleNamespace(is_available=lambda: False)
    monkeypatch.setitem(sys.modules, "kokoro", package)
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # a test that would download fails
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(tmp_path)
    return package


def write_weights(hub: Path, *names: str, revision: str = "f3ff3571791e39611d31") -> None:
    for name in names or ("config.json", "kokoro-v1_0.pth", "voices/bf_emma.pt"):
        path = hub / "models--hexgrad--Kokoro-82M" / "snapshots" / revision / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"weights")


def write_language_model(tmp_path: Path) -> None:
    (tmp_path / "en_core_web_sm-3.8.0.dist-info").mkdir()
    (tmp_path / "en_core_web_sm-3.8.0.dist-info" / "METADATA").write_text("Name: en_core_web_sm\nVersion: 3.8.0\n")


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("variable", "value", "hub"),
    [
        ("XDG_CACHE_HOME", "a", "a/huggingface/hub"),
        ("HF_HOME", "b", "b/hub"),
        ("HUGGINGFACE_HUB_CACHE", "c", "c"),
        ("HF_HUB_CACHE", "d, e", "d, e"),
    ],
)
async def test_weights_in_the_hub_cache_are_handed_over_as_files(monkeypatch, tmp_path, variable, value, hub):
    monkeypatch.setenv(variable, str(tmp_path / value))
    write_weights(tmp_path / hub)
    write_language_model(tmp_path)
    engine = Kokoro(voice="en-gb")
    assert engine.name == "kokoro-0.9.4-f3ff3571-bf_emma"
    assert len(await speak(engine)) == 3
    assert engine._pipeline.lang_code == "b"


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("names", [["config.json"], ["config.json", "kokoro-v1_0.pth", "voices/af_heart.pt"]])
def test_weights_that_are_not_all_there_are_not_fetched(tmp_path, names):
    write_weights(tmp_path / "cache/huggingface/hub", *names)
    write_weights(tmp_path / "cache/huggingface/hub", "voices/bf_emma.pt", revision="another")
    with pytest.raises(EngineUnavailable, match=r"not on this machine: hf download hexgrad/Kokoro-82M .*bf_emma\.pt"):
        Kokoro(voice="bf_emma")


@pytest.mark.usefixtures("package")
def test_a_language_model_that_is_not_there_is_not_fetched(tmp_path):
    write_weights(tmp_path / "cache/huggingface/hub")
    with pytest.raises(EngineUnavailable, match="python -m spacy download en_core_web_sm"):
        Kokoro(voice="bf_emma")


def test_missing_weights_are_fetched_if_that_is_allowed(package, monkeypatch, tmp_path):
    hub = types.ModuleType("huggingface_hub")

    def download(repo_id, filename):
        write_weights(tmp_path, filename)
        return str(tmp_path / f"models--{repo_id.replace('/', '--')}" / "snapshots/f3ff3571791e39611d31" / filename)

    hub.hf_hub_download = download
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    engine = Kokoro(voice="bf_emma", allow_downloads=True)
    assert engine.name == f"kokoro-{package.__version__}-f3ff3571-bf_emma"


@pytest.mark.usefixtures("package")
def test_weights_that_cannot_be_fetched_are_unavailable(monkeypatch):
    hub = types.ModuleType("huggingface_hub")

    def refuse(repo_id, filename):
        raise FileNotFoundError(f"{repo_id} {filename}")

    hub.hf_hub_download = refuse
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    with pytest.raises(EngineUnavailable, match="cannot be fetched"):
        Kokoro(voice="bf_emma", allow_downloads=True)


@pytest.mark.parametrize("failure", [EOFError("Ran out of input"), SystemExit(1), RuntimeError("size mismatch")])
def test_a_package_that_cannot_load_is_unavailable(package, tmp_path, failure):
    def fail(**_):
        raise failure

    package.KPipeline = fail
    write_weights(tmp_path / "cache/huggingface/hub")
    write_language_model(tmp_path)
    with pytest.raises(EngineUnavailable, match="cannot be loaded with the voice bf_emma"):
        Kokoro(voice="bf_emma")
