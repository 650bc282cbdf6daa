"""What every Synthesizer keeps."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from teller.audio import Pcm
from teller.engines.espeak import Espeak
from teller.engines.scripted import ScriptedSynthesizer
from teller.engines.spoken_cache import SpokenCache
from teller.errors import InputError
from teller.ports import Synthesizer

ENGINES = [
    pytest.param(lambda _: ScriptedSynthesizer(), id="scripted"),
    pytest.param(lambda folder: SpokenCache(ScriptedSynthesizer(), folder), id="cached"),
    pytest.param(lambda _: Espeak(), id="espeak", marks=pytest.mark.engine),
]

TEXT = "Your card is on its way. It takes five working days, and costs nothing."


@pytest.fixture(params=ENGINES)
async def synthesizer(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Synthesizer]:
    make: Callable[[Path], Synthesizer] = request.param
    engine = make(tmp_path)
    yield engine
    if isinstance(engine, Espeak):
        await engine.aclose()


async def spoken(synthesizer: Synthesizer, text: str = TEXT) -> list[Pcm]:
    return [piece async for piece in synthesizer.speak(text)]


async def test_a_text_becomes_sound_in_pieces_of_one_rate(synthesizer):
    pieces = await spoken(synthesizer)
    assert len(pieces) > 1
    assert len({piece.rate_hz for piece in pieces}) == 1
    assert all(len(piece.samples) for piece in pieces)
    assert max(piece.rms for piece in pieces) > 0.01


async def test_more_words_take_longer(synthesizer):
    short, long = [sum(piece.duration_s for piece in await spoken(synthesizer, text)) for text in ("Yes.", TEXT)]
    assert long > 2 * short


@pytest.mark.parametrize("text", ["", "  \n "])
async def test_an_empty_text_is_refused(synthesizer, text):
    with pytest.raises(InputError):
        await spoken(synthesizer, text)


async def test_the_same_text_comes_in_the_same_pieces_again(synthesizer):
    first, second = [[piece.duration_s for piece in await spoken(synthesizer)] for _ in range(2)]
    assert first == pytest.approx(second, rel=0.02)  # the breath in a voice may differ


async def test_stopping_early_leaves_it_able_to_speak(synthesizer):
    stream = synthesizer.speak(TEXT)
    await anext(stream)
    await stream.aclose()
    assert len(await spoken(synthesizer)) > 1


def test_the_name_identifies_it(synthesizer):
    assert synthesizer.name
    assert not set(synthesizer.name) & set("/\\ :")
