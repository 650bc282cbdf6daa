"""What every Clock keeps."""

import time

import pytest

from teller.engines.scripted_surroundings import ScriptedClock
from teller.ports import Clock
from teller.wiring import SystemClock


@pytest.fixture(params=[ScriptedClock, SystemClock])
def clock(request: pytest.FixtureRequest) -> Clock:
    return request.param()


def test_monotonic_time_never_goes_back(clock):
    times = [clock.monotonic() for _ in range(100)]
    assert times == sorted(times)


def test_now_is_in_seconds_of_this_century(clock):
    assert time.mktime((2020, 1, 1, 0, 0, 0, 0, 0, 0)) < clock.now() < time.mktime((2100, 1, 1, 0, 0, 0, 0, 0, 0))
