"""What one process serves: pins, drains, failures of its host or of the log; and never an answer of another version."""

from __future__ import annotations

import asyncio
import gc
import random
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.adapters.adapter_stage import QUICK, TESTER, AdapterHome, eventually, new_call, new_host
from tests.bots import FREEZE, QUESTION, ScriptedBot

from teller.adapters.applied import difference
from teller.adapters.ledger import Change, Version
from teller.call import Call, CallEvent, Pin
from teller.engines.scripted import Fault, ScriptedAdapterHost, ScriptedLog
from teller.engines.scripted_surroundings import ScriptedObserver
from teller.errors import EngineError
from teller.ports import Fingerprint, Prompt
from teller.turn import Scope, Source, Toggle

PROMPT = Prompt((), (FREEZE,))


@pytest.fixture
def home(tmp_path) -> AdapterHome:
    return AdapterHome(tmp_path)


@pytest.fixture
def one(home):
    return home.install(seed=1)


@pytest.fixture
def two(home, one):  # noqa: ARG001  installed after it
    return home.install(seed=2)


async def test_a_call_keeps_its_version_through_enable_disable_and_rollback_and_new_calls_do_not(home, one, two):
    async with home.server(new_host()) as server:
        control, calls, served = home.control(), {}, []
        for step in (
            lambda: control.enable(one.served, TESTER),
            lambda: control.enable(two.served, TESTER),
            lambda: control.disable(TESTER),
            lambda: control.rollback(TESTER),
            lambda: control.rollback(TESTER),
        ):
            await step()
            calls[len(calls)] = call = new_call()
            call.pin = server.live.pin(call)
            served.append(call.pin.served)
        assert served == [one.served, two.served, None, two.served, one.served]
        assert [call.pin.served for call in calls.values()] == served


async def test_a_version_is_unloaded_once_its_last_call_has_ended_and_not_before(home, one):
    async with home.server(new_host()) as server:
        await home.control().enable(one.served, TESTER)
        calls = [new_call(), new_call()]
        for call in calls:
            call.pin = server.live.pin(call)
        await home.control().disable(TESTER)
        await asyncio.sleep(0.3)
        assert await server.host.resident() == (one.served,)

        calls[0].advance(CallEvent.HUNG_UP)
        del calls[1], call  # a call that is forgotten rather than ended
        gc.collect()

        await eventually(lambda: not server.host._weights)
        assert server.live.ready == {}


async def test_after_the_deadline_a_version_is_unloaded_though_a_call_holds_it(home, one):
    async with home.server(new_host(), waits=replace(QUICK, drain_s=0.1)) as server:
        await home.control().enable(one.served, TESTER)
        call = new_call()
        call.pin = server.live.pin(call)

        await home.control().disable(TESTER)

        await eventually(lambda: not server.host._weights)
        assert call.pin.served == one.served


async def test_what_was_prepared_and_never_became_live_is_unloaded(home, one):
    other = new_host()
    async with home.server(new_host()) as good, home.server(other):
        other.faults["load"] = Fault(error=EngineError("no"))
        with pytest.raises(EngineError):
            await home.control(load_s=0.4).enable(one.served, TESTER)
        await eventually(lambda: not good.host._weights)


async def test_a_host_that_hangs_on_unload_is_left_alone_and_asked_again(home, one, two):
    async with home.server(new_host()) as server:
        await home.control().enable(one.served, TESTER)
        server.host.faults["unload"] = Fault()
        await home.control().enable(two.served, TESTER)
        assert server.serves() == two.served
        await asyncio.sleep(0.5)
        await home.control().disable(TESTER)
        assert server.serves() is None

        del server.host.faults["unload"]
        await eventually(lambda: not server.host._weights)


async def test_a_server_that_cannot_load_what_is_live_answers_with_the_base_model_says_so_and_tries_again(home, one):
    await home.control(new_host()).enable(one.served, TESTER)
    host = new_host()
    host.faults["load"] = Fault(error=EngineError("out of memory"))
    async with home.server(host) as server:
        assert server.serves() is None
        record = home.ledger().history()[-1]
        assert (record.kind, record.body["asked"]) == (Toggle.REFUSE, Toggle.ENABLE)
        assert server.id in record.body["who"]
        assert "out of memory" in record.body["why"]
        await eventually(lambda: [toggle.toggle for toggle in server.observer.toggles] == [Toggle.REFUSE])

        del host.faults["load"]
        await eventually(lambda: server.serves() == one.served)
        assert [record.kind for record in home.ledger().history()].count(Toggle.REFUSE) == 1


async def test_what_a_host_has_lost_is_loaded_again(home, one):
    async with home.server(new_host()) as server:
        await home.control().enable(one.served, TESTER)
        server.host._weights.clear()  # as a server that was started anew

        await eventually(lambda: server.host._weights and server.serves() == one.served)


async def test_every_process_tells_its_observer_of_every_change_and_of_none_from_before_its_start(home, one, two):
    await home.control(new_host()).enable(one.served, TESTER)
    async with home.server(new_host()) as first, home.server(new_host()) as second:
        await home.control().enable(two.served, TESTER)
        await home.control().canary(one.served, 0.2, TESTER)
        await home.control().disable(TESTER)

        for server in (first, second):
            await eventually(lambda server=server: len(server.observer.toggles) == 3)
            told = server.observer.toggles
            assert [record.toggle for record in told] == [Toggle.ENABLE, Toggle.CANARY, Toggle.DISABLE]
            assert [(record.before, record.after) for record in told] == [
                (one.served, two.served),
                (two.served, two.served),
                (two.served, None),
            ]
            assert (told[1].canary, told[1].share, told[1].who) == (one.served, 0.2, "tester")


async def test_with_a_log_that_was_tampered_with_new_calls_get_the_base_model(home, one, caplog):
    async with home.server(new_host()) as server:
        await home.control().enable(one.served, TESTER)
        assert server.serves() == one.served
        path = home.root / "audit.jsonl"
        path.write_bytes(path.read_bytes() + b'{"seq":2,"at":1,"kind":"enable","body":{}}\n')

        assert server.serves() is None
        assert "audit log" in caplog.text

        path.write_bytes(path.read_bytes().rpartition(b'{"seq":2')[0])  # mended
        assert server.serves() == one.served
        assert [toggle.toggle for toggle in server.observer.toggles] == [Toggle.ENABLE]  # not told again


async def test_a_host_that_two_processes_share_keeps_a_version_until_the_last_one_lets_go(home, one):
    shared = new_host()
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(home.server(shared, is_shared=True))
        second = await stack.enter_async_context(home.server(shared, is_shared=True))
        await home.control().enable(one.served, TESTER)
        call = new_call()
        call.pin = second.live.pin(call)

        await home.control().disable(TESTER)
        await eventually(lambda: not first.live.ready)
        await asyncio.sleep(0.2)
        assert await shared.resident() == (one.served,)

        call.advance(CallEvent.HUNG_UP)
        await eventually(lambda: not shared._weights)


async def test_a_process_without_a_host_serves_the_base_model_whatever_is_live(home, one):
    from teller.adapters.live import LiveAdapters

    await home.control(new_host()).enable(one.served, TESTER)
    live = LiveAdapters(home.ledger(), None, seat=None, observer=ScriptedObserver(), clock=home.clock, waits=QUICK)
    await live.open()
    assert live.pin(new_call()).served is None


async def test_calls_that_begin_while_versions_are_toggled_get_one_of_them_and_answers_never_mix(home, one, two):
    host = ScriptedAdapterHost(
        lambda _, adapter: f"said by {adapter}", base_digest=new_host().base_digest, delay_s=0.001
    )
    async with home.server(host) as server:
        control, wrong, count, is_over = home.control(), [], 0, False

        async def caller(number: int) -> None:
            nonlocal count
            while not is_over:
                call = new_call(f"{number}-{count}")
                call.pin = server.live.pin(call)
                for _ in range(2):
                    said = "".join([piece async for piece in host.generate(PROMPT, adapter=call.pin.served)])
                    count += 1
                    if said != f"said by {call.pin.served}":
                        wrong.append(said)

        callers = [asyncio.create_task(caller(number)) for number in range(8)]
        for _ in range(6):
            await control.enable(one.served, TESTER)
            await control.enable(two.served, TESTER)
            await control.rollback(TESTER)
            await control.disable(TESTER)
        is_over = True
        await asyncio.gather(*callers)
        assert wrong == []
        assert count > 500


BASE, ONE, TWO = Pin(), Pin("bank@1", ("1" * 64,)), Pin("bank@2", ("2" * 64,))
_WORDS = {
    None: "Open the app, then tap Freeze.",
    "bank@1": "Tap Freeze: open the app and tap Freeze.",
    "bank@2": "Please open the app and tap Freeze.",
}
_STEPS = st.lists(
    st.one_of(
        st.sampled_from([BASE, ONE, TWO]).map(lambda pin: ("flip", pin)),
        st.sampled_from(range(4)).map(lambda number: ("ask", number)),
        st.just(("ask all", None)),
        st.sampled_from(range(4)).map(lambda number: ("hang up", number)),
        st.sampled_from(["1" * 64, "2" * 64]).map(lambda digest: ("purge", digest)),
    ),
    max_size=25,
)


@given(_STEPS, st.integers(0, 2**32))
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
async def test_whatever_is_toggled_no_call_is_answered_by_another_version_than_its_own(steps, seed):
    from teller.cache.events import PurgeBy
    from teller.engines.scripted import ScriptedGenerator

    dice = random.Random(seed)
    bot = ScriptedBot(
        generator=ScriptedGenerator(lambda _, adapter: _WORDS[adapter]), otherwise=(FREEZE,), log=ScriptedLog()
    )
    live = [BASE]
    bot.orchestrator = replace(bot.orchestrator, pin=lambda _: Pin(live[0].served, live[0].adapters))
    calls: dict[int, Call] = {}
    pinned: dict[str, str | None] = {}
    purged: set[str] = set()

    async def ask(number: int) -> None:
        call = calls.setdefault(number, Call(f"{number}-{dice.random()}", Scope("bank", "en-GB")))
        expected = pinned.setdefault(call.id, live[0].served)
        record = await bot.record(dice.choice([QUESTION, "and what of my card", "freeze"]), call)
        assert record.adapter == expected
        assert record.answer.text == _WORDS[expected]
        if record.answer.source is Source.CACHE:
            assert not purged & set(call.pin.adapters)

    for what, value in steps:
        if what == "flip":
            live[0] = value
        elif what == "ask":
            await ask(value)
        elif what == "ask all":
            await asyncio.gather(*map(ask, range(4)))
        elif what == "purge":
            purged.add(value)
            await bot.cache.upkeep.purge(PurgeBy.ADAPTER, value)
        elif value in calls:
            calls.pop(value).advance(CallEvent.HUNG_UP)


def print_of(*rows):
    return Fingerprint(tuple(tuple(t for t, _ in row) for row in rows), tuple(tuple(p for _, p in row) for row in rows))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (print_of([("a", -0.1)]), print_of([("a", -0.1)]), 0.0),
        (print_of([("a", -0.1)]), print_of([("a", -0.15)]), 0.05),
        (print_of([("a", -0.1), ("b", -2.0)]), print_of([("a", -0.1), ("c", -2.01)]), 0.01),  # nearly a tie
        (print_of([("a", -0.1), ("b", -0.2)]), print_of([("a", -0.1), ("c", -0.2)]), float("inf")),
        (print_of([("a", -0.1)]), print_of([("a", -0.1), ("b", -0.1)]), float("inf")),
        (print_of([("a", -0.1)]), print_of(), float("inf")),
        (print_of(), print_of(), 0.0),
    ],
)
def test_fingerprints_differ_by_their_largest_log_probability_until_they_part(one, other, expected):
    assert difference(one, other) == pytest.approx(expected)


async def test_state_follows_from_the_records_in_their_order_alone(home):
    first, second = Version("a", "1" * 64), Version("b", "2" * 64)
    ledger = home.ledger()

    def flip(toggle, after, **more):
        ledger.write(Change(toggle=toggle, after=after, who="t", why="", **more))
        return ledger.now()

    assert flip(Toggle.ENABLE, first).earlier == (None,)
    assert flip(Toggle.ENABLE, first).earlier == (None,)  # again the same: nothing to go back to
    assert flip(Toggle.CANARY, first, canary=second, share=0.1).canary == second
    live = flip(Toggle.PROMOTE, second)
    assert (live.version, live.canary, live.earlier) == (second, None, (None, first))
    assert flip(Toggle.DISABLE, None).earlier == (None, first, second)
    assert flip(Toggle.ROLLBACK, second).earlier == (None, first)
    assert home.ledger().now() == ledger.live
