"""A bot that is open can hear and speak at once: its engines are warm. A closed one has ended them."""

import asyncio

import pytest

from teller import wiring
from teller.config import load
from teller.engines.scripted import ScriptedTranscriber
from teller.errors import EngineUnavailable
from teller.turn import Sound, Source, Transcript

KNOWLEDGE = """
[[answer]]
id = "hours"
version = 1
title = "Opening hours"
asks = ["when are you open"]
text = "From nine to five."
"""


class Ear(ScriptedTranscriber):
    """Tells what was asked of it; `warm` fails if it is told to."""

    def __init__(self, fault: Exception | None = None) -> None:
        super().__init__()
        self.told: list[str] = []
        self._fault = fault

    async def warm(self) -> None:
        self.told.append("warm")
        if self._fault is not None:
            raise self._fault

    async def aclose(self) -> None:
        self.told.append("close")


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "bank.toml").write_text(KNOWLEDGE)
    return load(
        environ={"TELLER_HOME": str(tmp_path / "home"), "TELLER_KNOWLEDGE__PATH": str(tmp_path / "bank.toml")}
    ).settings


@pytest.mark.engine
async def test_an_open_bot_has_its_recogniser_and_its_voice_ready(settings, monkeypatch):
    ear = Ear()  # training the real one's language model takes a minute
    monkeypatch.setattr(wiring, "open_transcriber", lambda *_: ear)

    async with wiring.open_bot(settings) as bot:
        voice = bot.orchestrator.synthesizer._synthesizer._worker
        assert voice.pid
        assert ear.told == ["warm"]
        assert set((await bot.ready()).values()) == {"ok"}

    assert voice.pid is None
    assert ear.told == ["warm", "close"]


@pytest.mark.engine
async def test_a_recogniser_that_cannot_get_ready_is_closed_and_the_bot_does_not_open(settings, monkeypatch):
    ear = Ear(EngineUnavailable("no ear today"))
    monkeypatch.setattr(wiring, "open_transcriber", lambda *_: ear)

    with pytest.raises(EngineUnavailable, match="no ear today"):
        async with wiring.open_bot(settings):
            pass

    assert ear.told == ["warm", "close"]


@pytest.mark.engine
async def test_the_greeting_is_kept_so_that_no_call_waits_for_it_and_a_tools_answer_is_not(settings, monkeypatch):
    monkeypatch.setattr(wiring, "open_transcriber", lambda *_: Ear())
    kept = settings.home / "audio"

    async with wiring.open_bot(settings) as bot:
        async with asyncio.timeout(30):
            while len(list(kept.glob("*.pcm"))) < len(bot.greeting()):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        voice = bot.orchestrator.private_synthesizer
        monkeypatch.setattr(voice, "speak", None)  # whatever is said from here on comes from the disk
        for line in bot.greeting():
            assert [sound async for sound in bot.orchestrator.say(line)]
        monkeypatch.undo()
        loan = Transcript("what would a loan of 10,000 over five years at 6.5% cost me")
        events = [event async for event in bot.orchestrator.turn(loan, bot.new_call())]
        assert any(isinstance(event, Sound) for event in events)
        assert events[-1].record.answer.source is Source.TOOL

    assert len(list(kept.glob("*.pcm"))) == len(bot.greeting())
