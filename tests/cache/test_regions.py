"""Which region is in force, and what a running bot's judge learns from its misses."""

from __future__ import annotations

import numpy as np
import pytest

from teller.cache.calibration import LiveRegions, Record, calibrate, calibration_body
from teller.cache.regions import LearningJudge, RiskRegions
from teller.cache.verdict import Accept, Neighbour, Probe, Reject
from teller.turn import DataClass, MissReason, Question


def regions(made_with="judge-1"):
    return RiskRegions(LiveRegions(max_false_hits=0.01), lambda: made_with)


def body(made_with="judge-1"):
    records = [Record("public", 0.995, right=True, answer_class=f"a{n}") for n in range(2_000)]
    return {**calibration_body(calibrate(records), max_false_hits=0.01, confidence=0.95), "made_with": made_with}


def test_live_regions_decide_until_a_calibration_is_in_the_log():
    found = regions()
    assert found.region("public") == found.region("product") != None  # noqa: E711

    found.calibrate(body())

    assert found.region("public").bound <= 0.01
    assert found.region("product") is None


def test_a_calibration_of_another_judge_closes_every_class():
    found = regions("judge-2")

    found.calibrate(body("judge-1"))

    assert found.is_foreign
    assert found.region("public") is None


def test_a_withdrawn_calibration_gives_way_to_live_regions():
    found = regions()
    found.calibrate(body())

    found.calibrate({"name": "regions", "withdrawn": True})

    assert found.region("public").bound is None


def test_wrong_hits_close_a_certified_class():
    found = regions()
    found.calibrate(body())

    for _ in range(20):
        found.observe("public", right=False, probability=0.9999)

    assert found.region("public") is None
    restarted = regions()
    restarted.calibrate(body())
    restarted.load(found.dump())
    assert restarted.region("public") is None


def _probe(question, similarity):
    vector = np.eye(1, 384, dtype=np.float32)[0]
    near = Neighbour(1, "how do I freeze my card", (), "cards.freeze", similarity, 0.7, 0.0, DataClass.PUBLIC, vector)
    return Probe(Question(question), vector, None, (near,), "public")


def test_a_judge_learns_from_what_was_answered_where_it_served_nothing():
    found = regions()
    judge = LearningJudge(found)
    before = found.region("public")

    for n in range(64):
        assert isinstance(judge.judge(_probe(f"question {n} about cards", 0.8)), Reject)
        judge.answered(f"question {n} about cards", "cards.lost")

    assert found.region("public") != before
    judge.answered("never asked", "cards.lost")


def test_the_same_words_are_served_and_a_closed_class_is_not():
    found = regions()
    judge = LearningJudge(found)
    assert isinstance(judge.judge(_probe("how do I freeze my card", 1.0)), Accept)

    found.calibrate(body("another"))

    verdict = judge.judge(_probe("how do I freeze my card", 1.0))
    assert (type(verdict), verdict.reason) == (Reject, MissReason.CLASS_CLOSED)


@pytest.mark.parametrize("broken", [{"regions": {}}, {"max_false_hits": 2, "confidence": 0.95, "regions": {}}])
def test_a_calibration_that_cannot_be_read_certifies_nothing(broken):
    found = regions()
    found.calibrate(body())

    with pytest.raises(ValueError, match=r"calibrat|max_false_hits"):
        found.calibrate({"name": "regions", "made_with": "judge-1", **broken})

    assert found.region("public") is None
