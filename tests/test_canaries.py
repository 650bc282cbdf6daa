"""Personal data that a caller says reaches no sink: cache, log, model, embedder, knowledge, records."""

import pytest
from tests.bots import FREEZE, ScriptedBot
from tests.test_orchestrator import SPEECH

from teller.engines.scripted import ScriptedTranscriber
from teller.turn import Speech

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
}


def sinks(bot, events) -> str:
    stored = b"".join(event.body if isinstance(event.body, bytes) else event.body.encode() for event in bot.log._events)
    return "\n".join(
        [
            repr(events),
            repr(bot.observer.turns),
            repr(bot.generator.asked),
            repr(bot.embedder.asked),
            repr(bot.synthesizer.spoken),
            stored.decode("latin-1"),
        ]
    ).casefold()


@pytest.mark.parametrize(("secret", "said"), CANARIES.items())
async def test_a_secret_that_is_spoken_reaches_no_sink(secret, said):
    # Knowledge covers whatever the redacted question is, so generator and cache see all that they ever could.
    bot = ScriptedBot(transcriber=ScriptedTranscriber([said]), otherwise=(FREEZE,))
    events = [event async for event in bot.orchestrator.turn(Speech(SPEECH.pcm), bot.call())]

    found = sinks(bot, events)

    assert bot.generator.asked or events[1].answer.source.value in ("tool", "refused", "handoff")
    assert secret.casefold() not in found
    assert secret.replace(" ", "").replace("-", "").casefold() not in found.replace(" ", "").replace("-", "")
