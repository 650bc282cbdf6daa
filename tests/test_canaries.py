"""Personal data that a caller says reaches no sink: cache, log, model, embedder, knowledge, records."""

import pytest
from tests.bots import FREEZE, ScriptedBot
from tests.test_orchestrator import SPEECH

from teller.config import load
from teller.engines.scripted import ScriptedTranscriber
from teller.turn import Speech, Transcript
from teller.wiring import open_bot

CANARIES = {
    "5500 0055 5555 5559": "my card 5500 0055 5555 5559 was declined, why",
    "2223000048400011": "why was card 2223000048400011 refused",
    "four one one one": "my card is four one one one one one one one one one one one one one one one what now",
    "GB82 WEST 1234 5698 7654 32": "is GB82 WEST 1234 5698 7654 32 a good iban to use",
    "12-34-56": "what is my sort code 12-34-56 and account 12345678 used for",
    "12345678": "what is account number 12345678 for",
    "jane.doe@example.com": "can you write to jane.doe@example.com about my card",
    "07700 900123": "why did you call 07700 900123",
    "14/02/1961": "my date of birth is 14/02/1961, what can I open",
    "493817": "my one time code is 493817 why does it not work",
    "Wilhelmina": "my name is Wilhelmina Stonebridge, how do I freeze my card",
    "p r i y a": "my name is p r i y a, how do I freeze my card",
    "hunter2": "my password is hunter2, how do I freeze my card",
    "Tiddles": "the answer to my security question is Tiddles, how do I freeze my card",
    "elm drive": "i live at forty elm drive, can you freeze my card",
    "94107": "my zip code is 94107, how do I freeze my card",
    "QQ 12 34 56 C": "my ni number is QQ 12 34 56 C, how do I freeze my card",
}
ORDINARY = "where is the zebra crossing by the branch"


def sinks(bot, call, events) -> dict[str, str]:
    """All that a turn leaves behind, by where it is."""
    stored = b"".join(event.body if isinstance(event.body, bytes) else event.body.encode() for event in bot.log._events)
    return {
        "events": repr(events),
        "records": repr((bot.observer.turns, bot.observer.lookups)),
        "model": repr(bot.generator.asked),
        "embedder": repr(bot.embedder.asked),
        "voice": repr(bot.synthesizer.spoken),
        "memory": repr(call.memory),
        "cache": stored.decode("latin-1"),
    }


async def left_behind(said) -> dict[str, str]:
    # Knowledge covers whatever the redacted question is, so generator and cache see all that they ever could.
    bot = ScriptedBot(transcriber=ScriptedTranscriber([said]), otherwise=(FREEZE,))
    call = bot.call()
    events = [event async for event in bot.orchestrator.turn(Speech(SPEECH.pcm), call)]

    assert bot.generator.asked or events[1].answer.source.value in ("tool", "refused", "handoff")
    return sinks(bot, call, events)


@pytest.mark.parametrize(("secret", "said"), CANARIES.items())
async def test_a_secret_that_is_spoken_reaches_no_sink(secret, said):
    found = "\n".join((await left_behind(said)).values()).casefold()

    assert secret.casefold() not in found
    assert secret.replace(" ", "").replace("-", "").casefold() not in found.replace(" ", "").replace("-", "")


async def test_what_is_no_secret_reaches_every_sink_but_the_voice():
    found = await left_behind(ORDINARY)

    assert {name for name, told in found.items() if "zebra" not in told} == {"voice"}


@pytest.mark.engine
async def test_no_file_of_a_bots_home_has_a_secret(tmp_path):
    (tmp_path / "cards.md").write_text("# Cards\n\n## Freezing a card\n\nOpen our app and tap Freeze.\n")
    home = tmp_path / "home"
    settings = load(flags={"home": str(home), "knowledge.path": str(tmp_path / "cards.md")}).settings
    async with open_bot(settings, speech=False) as bot:
        call = bot.new_call()
        for said in (*CANARIES.values(), ORDINARY):
            async for _ in bot.orchestrator.turn(Transcript(said), call, speak=False):
                pass

    files = {file.relative_to(home): file.read_bytes().lower() for file in home.rglob("*") if file.is_file()}
    assert any(b"zebra" in stored for file, stored in files.items() if file.parts[0] == "log")
    for file, stored in files.items():
        by_chance = file.parts[0] not in {"log", "cache"}  # a model's weights have any five letters somewhere
        told = [secret for secret in CANARIES if secret.lower().encode() in stored]
        assert not [secret for secret in told if not by_chance or len(secret) > 7], file
