"""What every Observer keeps."""

import pytest

from teller.engines.scripted import ScriptedObserver
from teller.ports import Observer
from teller.turn import Answer, Question, Scope, Source, TurnRecord
from teller.wiring import Unobserved

RECORD = TurnRecord("t1", "c1", 0.0, Scope("bank", "en-GB"), Question("hi"), Answer("Hello.", Source.REFUSED, "a"), {})


@pytest.fixture(params=[ScriptedObserver, Unobserved])
def observer(request: pytest.FixtureRequest) -> Observer:
    return request.param()


def test_it_takes_a_record_and_says_nothing(observer):
    assert observer.turn_finished(RECORD) is None


def test_the_scripted_one_keeps_what_it_is_told_in_order():
    observer = ScriptedObserver()
    observer.turn_finished(RECORD)
    assert observer.turns == [RECORD]
