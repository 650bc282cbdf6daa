"""A canary that does worse is found soon, one that does not is left alone, whoever looks how often."""

from __future__ import annotations

import asyncio
import random

import pytest
from tests.adapters.adapter_stage import TESTER, AdapterHome, eventually, new_host

from teller.adapters.canary import CanaryTrial, Comparison
from teller.adapters.watch import CanaryWatch
from teller.errors import InputError
from teller.turn import Answer, Question, Scope, Source, Toggle, TurnRecord

LIVE, CANARY = "bank@1", "bank@2"


def turn(adapter, *, grounded=True, pieces=5, spent_ms=100.0, **changes):
    fields = {
        "turn_id": "t",
        "call_id": "c",
        "started_at": 1.0,
        "scope": Scope("bank", "en-GB"),
        "question": Question("q"),
        "answer": Answer("a", Source.MODEL, "a"),
        "timings_ms": {"generate": spent_ms},
        "grounded": grounded,
        "adapter": adapter,
        "pieces": pieces,
    } | changes
    return TurnRecord(**fields)


def canary_turns(dice, live_share, canary_share, *, most, drop=0.1, of_calls=0.1):
    """Turns of the canary until it is withdrawn, None if it is not within `most`; by grounding alone."""
    found, turns = Comparison(drop, 0.95), 0
    while turns < most:
        is_canary = dice.random() < of_calls
        found.add(is_canary=is_canary, good=dice.random() < (canary_share if is_canary else live_share))
        turns += is_canary
        if is_canary and found.evidence > 4.96:  # ln(1 / 0.01 / 0.7): as the trial weighs it
            return turns
    return None


@pytest.mark.parametrize("share", [0.99, 0.95, 0.8])
def test_of_canaries_that_are_no_worse_at_most_one_in_a_hundred_is_withdrawn(share):
    dice = random.Random(7)
    withdrawn = sum(canary_turns(dice, share, share, most=250) is not None for _ in range(200))
    assert withdrawn <= 2  # 1 % of 200


@pytest.mark.parametrize(("live", "canary", "typical"), [(0.99, 0.89, 60), (0.97, 0.67, 30), (0.95, 0.65, 35)])
def test_a_canary_that_does_worse_is_withdrawn_soon(live, canary, typical):
    dice = random.Random(7)
    turns = sorted(canary_turns(dice, live, canary, most=1_000) or 1_000 for _ in range(100))
    assert turns[50] <= typical
    assert turns[95] < 1_000


def test_where_nothing_is_ever_right_on_either_side_nothing_is_decided():
    found = Comparison(0.1, 0.95)
    for number in range(5_000):
        found.add(is_canary=number % 10 == 0, good=False)
    assert found.evidence < 1.0


def test_a_canary_that_does_better_is_never_withdrawn():
    dice = random.Random(7)
    assert not any(canary_turns(dice, 0.8, 0.9, most=250) for _ in range(100))


def test_failures_of_the_canary_alone_end_it_and_failures_of_both_do_not():
    for live_fails, ends in ((False, True), (True, False)):
        trial, dice = CanaryTrial(CANARY, LIVE), random.Random(1)
        found = None
        for number in range(2_000):
            is_canary = number % 10 == 0
            fails = dice.random() < 0.5 and (is_canary or live_fails)
            made = turn(CANARY if is_canary else LIVE, grounded=not fails, pieces=0 if fails else 5)
            found = found or trial.turn(made)
        assert (found is not None) is ends
        if found:
            assert found.what == "answered"
            assert found.turns < 60


def test_a_canary_that_is_slow_is_ended_and_one_that_is_a_little_slower_is_not():
    for spent_ms, ends in ((260.0, True), (160.0, False)):
        trial, dice = CanaryTrial(CANARY, LIVE), random.Random(1)
        found = None
        for number in range(1_500):
            is_canary = number % 10 == 0
            wobble = dice.uniform(0.8, 1.2)
            made = turn(CANARY if is_canary else LIVE, spent_ms=wobble * (spent_ms if is_canary else 100.0))
            found = found or trial.turn(made)
        assert (found is not None) is ends
        if found:
            assert found.what == "in time"


def test_turns_without_a_generation_and_calls_on_other_versions_say_nothing():
    trial = CanaryTrial(CANARY, None)
    for _ in range(200):
        assert trial.turn(turn(CANARY, grounded=None)) is None
        assert trial.turn(turn("bank@0", grounded=False)) is None
    assert trial.evidence == pytest.approx(1.0)


def test_without_live_calls_to_compare_with_nothing_is_decided():
    trial = CanaryTrial(CANARY, LIVE)
    assert not any(trial.turn(turn(CANARY, grounded=False)) for _ in range(200))


@pytest.mark.parametrize("fields", [{"drop": 0.0}, {"drop": 0.9}, {"false_withdrawals": 0.0}])
def test_numbers_outside_their_range_are_refused(fields):
    with pytest.raises(InputError):
        CanaryTrial(CANARY, LIVE, **fields)


async def test_a_server_withdraws_a_canary_that_does_worse_and_the_record_says_why(tmp_path):
    home = AdapterHome(tmp_path)
    one, two = home.install(seed=1), home.install(seed=2)
    async with home.server(new_host()) as server:
        await home.control().enable(one.served, TESTER)
        await home.control().canary(two.served, 0.5, TESTER)
        watch = CanaryWatch(server.ledger, drop=0.1, false_withdrawals=0.01)
        turns = 0
        for number in range(1_000):
            if watch._withdrawing is not None:
                break
            served = server.serves(f"call-{number}")
            turns += served == two.served
            watch.turn_finished(turn(served, grounded=served == one.served or number % 2 == 0))

        await eventually(lambda: server.ledger.now().canary is None)
        record = home.ledger().history()[-1]
        assert (record.kind, record.body["who"]) == (Toggle.WITHDRAW, "teller")
        assert "grounded" in record.body["why"]
        assert record.body["facts"]["compared"] == "grounded"
        assert server.ledger.live.version == one
        assert turns < 100


async def test_a_canary_that_somebody_else_has_ended_is_not_withdrawn_again(tmp_path):
    home = AdapterHome(tmp_path)
    one, two = home.install(seed=1), home.install(seed=2)
    control = home.control(new_host())
    await control.enable(one.served, TESTER)
    await control.canary(two.served, 0.5, TESTER)
    behind = home.ledger()
    behind.now()
    await control.disable(TESTER)
    watch = CanaryWatch(behind, drop=0.1, false_withdrawals=0.01)
    for number in range(400):
        watch.turn_finished(turn(one.served if number % 2 else two.served, grounded=bool(number % 2)))
        await asyncio.sleep(0)
    await eventually(lambda: watch._withdrawing is not None and watch._withdrawing.done())
    assert home.ledger().history()[-1].kind == Toggle.DISABLE
