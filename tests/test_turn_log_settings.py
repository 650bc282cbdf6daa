"""What the settings say of the turn log is what a bot opens."""

from contextlib import AsyncExitStack

from tests.stores.turn_stage import composed

from teller.config import load
from teller.stores.home import Home
from teller.stores.turn_reader import TurnReader
from teller.wiring import open_turn_log


async def logged(tmp_path, **flags):
    settings = load(
        None, {"home": str(tmp_path)} | {f"log.{name}": value for name, value in flags.items()}, {}
    ).settings
    async with AsyncExitStack() as stack:
        log = open_turn_log(settings, Home(tmp_path), stack)
        if log is None:
            return None
        log.turn_finished(composed())
    with TurnReader(Home(tmp_path).turns) as reader:  # closing the stack has written it
        return reader.page()[0].question


async def test_turns_are_logged_with_their_texts_unless_said_otherwise(tmp_path):
    assert await logged(tmp_path / "a") == "how do I freeze my card"
    assert await logged(tmp_path / "b", keep_text="false") is None


async def test_no_log_is_made_where_none_is_wanted(tmp_path):
    assert await logged(tmp_path, turns="false") is None
    assert not Home(tmp_path).turns.exists()
