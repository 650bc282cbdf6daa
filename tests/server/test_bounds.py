"""What the server remembers of callers is bounded in number and in time."""

from contextlib import suppress

import pytest
from tests.server.server_stage import StageBot

from teller.call import State
from teller.engines.scripted_surroundings import ScriptedClock
from teller.errors import BusyError
from teller.server import calls as calls_module
from teller.server import limits as limits_module
from teller.server.app import make_app
from teller.server.calls import Calls, Sounds
from teller.server.limits import Lines, RateLimit, ServerLimits, caller_key


def test_a_rate_is_spent_and_comes_back_evenly() -> None:
    clock = ScriptedClock()
    rate = RateLimit(6, clock.monotonic)
    assert [rate.take("a") for _ in range(6)] == [0.0] * 6
    assert rate.take("a") == pytest.approx(10.0)
    assert rate.take("b") == 0.0
    clock.advance(10.1)
    assert rate.take("a") == 0.0
    assert rate.take("a") > 0
    clock.advance(3600)
    assert [rate.take("a") == 0.0 for _ in range(7)] == [True] * 6 + [False]


def test_the_rates_of_many_callers_take_a_bounded_room(monkeypatch) -> None:
    monkeypatch.setattr(limits_module, "_MAX_CALLERS", 3)
    rate = RateLimit(1, ScriptedClock().monotonic)
    assert rate.take("first") == 0.0
    assert [rate.take(str(number)) for number in range(3)] == [0.0] * 3
    assert rate.take("first") == 0.0  # forgotten


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("testclient", "testclient"),
        (None, "unknown"),
    ],
)
def test_a_caller_is_an_address_or_a_network_of_ipv6(host, key) -> None:
    assert caller_key(host) == key


def test_a_line_is_free_again_after_an_error() -> None:
    lines = Lines(1)
    with suppress(RuntimeError), lines.hold():
        assert lines.free == 0
        raise RuntimeError
    assert lines.free == 1


async def test_a_stopping_house_takes_nobody() -> None:
    lines = Lines(5)
    await lines.drain(0.1)
    assert lines.free == 0
    with pytest.raises(BusyError, match="stopping"), lines.hold():
        pass


def test_a_call_is_resumed_until_it_is_idle_for_too_long() -> None:
    bot, clock = StageBot(), ScriptedClock()
    calls = Calls(bot.new_call, ServerLimits(idle_timeout_s=60, max_call_s=1_000), clock.monotonic)
    kept = calls.begin()
    clock.advance(59)
    assert calls.resume(kept.token) is kept
    clock.advance(59)
    assert calls.resume(kept.token) is kept
    clock.advance(61)
    assert calls.resume(kept.token) is None
    assert kept.call.state is State.ENDED
    assert len(calls) == 0


def test_a_call_is_not_resumed_when_it_has_lasted_too_long() -> None:
    bot, clock = StageBot(), ScriptedClock()
    calls = Calls(bot.new_call, ServerLimits(idle_timeout_s=60, max_call_s=100), clock.monotonic)
    kept = calls.begin()
    for _ in range(2):
        clock.advance(50)
        assert calls.resume(kept.token) is kept
    clock.advance(50)
    assert calls.resume(kept.token) is None
    assert kept.call.state is State.ENDED


def test_calls_and_sounds_take_a_bounded_room(monkeypatch) -> None:
    monkeypatch.setattr(calls_module, "_MAX_KEPT", 2)
    monkeypatch.setattr(calls_module, "_MAX_SOUNDS", 2)
    calls = Calls(StageBot().new_call, ServerLimits(), ScriptedClock().monotonic)
    first, *rest = [calls.begin() for _ in range(3)]
    assert calls.resume(first.token) is None
    assert all(calls.resume(one.token) is one for one in rest)
    sounds = Sounds()
    names = [sounds.keep(bytes([number])) for number in range(3)]
    assert [sounds.get(name) for name in names] == [None, b"\x01", b"\x02"]


def test_no_two_calls_have_the_same_token() -> None:
    calls = Calls(StageBot().new_call, ServerLimits(), ScriptedClock().monotonic)
    assert len({calls.begin().token for _ in range(100)}) == 100


async def test_under_another_server_the_application_drains_itself() -> None:
    app = make_app(StageBot(), ServerLimits())
    async with app.router.lifespan_context(app):
        assert app.state.lines.free > 0
    assert app.state.lines.free == 0
