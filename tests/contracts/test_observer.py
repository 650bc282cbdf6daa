"""What every Observer keeps."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from teller.engines.scripted_surroundings import ScriptedObserver
from teller.observers import Observers, Unobserved
from teller.ports import Observer
from teller.stores.turn_log import TurnLog
from teller.telemetry.facts import Facts
from teller.telemetry.json_logs import TurnLines
from teller.telemetry.recorder import Recorder
from teller.telemetry.series import Series
from teller.turn import (
    Answer,
    LookupRecord,
    MissReason,
    Question,
    Scope,
    Source,
    Toggle,
    ToggleRecord,
    TrainingRecord,
    TurnRecord,
)

RECORD = TurnRecord("t1", "c1", 0.0, Scope("bank", "en-GB"), Question("hi"), Answer("Hello.", Source.REFUSED, "a"), {})


@pytest.fixture(
    params=[ScriptedObserver, Unobserved, Observers, lambda: Recorder(()), lambda: Facts(Series()), TurnLines, TurnLog]
)
def observer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Observer]:
    if request.param is not TurnLog:
        yield request.param()
        return
    log = TurnLog(tmp_path / "turns.sqlite")
    yield log
    log.close()


LOOKUP = LookupRecord(0.0, "bank", MissReason.EMPTY, None, None, 0.1)
TOGGLE = ToggleRecord(0.0, Toggle.ENABLE, None, "banking-lora@0123456789ab", "ann", "released")
TRAINING = TrainingRecord(0.0, "banking-lora", 1, 10, 2.5, 1000.0)


def test_it_takes_a_record_and_says_nothing(observer):
    assert observer.turn_finished(RECORD) is None
    assert observer.lookup_finished(LOOKUP) is None
    assert observer.adapter_toggled(TOGGLE) is None
    assert observer.training_advanced(TRAINING) is None


def test_several_are_told_everything_in_order():
    first, second = ScriptedObserver(), ScriptedObserver()
    both = Observers((first, second))
    both.turn_finished(RECORD)
    both.lookup_finished(LOOKUP)
    both.adapter_toggled(TOGGLE)
    both.training_advanced(TRAINING)
    for one in (first, second):
        assert (one.turns, one.lookups, one.toggles, one.training) == ([RECORD], [LOOKUP], [TOGGLE], [TRAINING])
