"""Which region is in force, and what a running bot's judge learns from its misses."""

from __future__ import annotations

import numpy as np
import pytest
from tests.cache.cache_stage import Stage

from teller.cache.calibration import Record, calibrate, calibration_body
from teller.cache.entries import Text
from teller.cache.live_regions import LiveRegions
from teller.cache.regions import LearningJudge, RiskRegions
from teller.cache.standing import read_standing
from teller.cache.verdict import Accept, Neighbour, Probe, Reject
from teller.engines.scripted import ScriptedLog
from teller.stores.snapshots import FileSnapshots
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
    near = Neighbour(
        1, Text("how do I freeze my card", (), b""), "cards.freeze", similarity, 0.7, 0.0, DataClass.PUBLIC, vector
    )
    return Probe(Question(question), vector, None, (near,), "public")


def test_a_judge_learns_from_what_was_answered_where_it_served_nothing():
    found = regions()
    judge = LearningJudge(found)
    before = found.region("public")

    for n in range(64):
        assert isinstance(judge.judge(_probe(f"question {n} about cards", 0.8)), Reject)
        judge.answered(f"question {n} about cards", "cards.lost")
    assert found.region("public") == before

    found.learn(found.untold())

    assert found.untold() == {}
    assert found.region("public") != before
    judge.answered("never asked", "cards.lost")


def taught(found, rng, answers):
    for odds in rng.normal(3.0, 2.0, answers):
        found.answered("public", float(1 / (1 + np.exp(-odds))), bool(rng.random() < 1 / (1 + np.exp(-odds))))


async def test_a_second_process_and_a_restarted_one_have_the_regions_that_the_cache_had(tmp_path):
    log, first, second = ScriptedLog(), regions(), regions()
    snapshots, rng = FileSnapshots(tmp_path), np.random.default_rng(3)
    cache = await Stage(log=log, monitor=first, snapshots=snapshots).open()
    other = await Stage(log=log, monitor=second).open()
    for _ in range(5):
        taught(first, rng, 70)
        taught(second, rng, 30)
        await cache.upkeep.tend()
        await other.upkeep.tend()
    await cache.catch_up()

    assert first.region("public") == second.region("public") != regions().region("public")

    for step in ("read whole", "compacted", "from a snapshot", "compacted again"):
        if step.startswith("compacted"):
            taught(first, rng, 100)
            await cache.upkeep.tend()
            assert await cache.upkeep.compact() > 0
        if step == "from a snapshot":
            await cache.upkeep.snapshot()
            assert snapshots.load() is not None
        restarted, alone = regions(), regions()
        await Stage(log=log, monitor=restarted, snapshots=snapshots).open()
        await read_standing(log, alone)
        assert restarted.region("public") == alone.region("public") == first.region("public"), step
        assert restarted.dump() == first.dump()


async def test_what_another_judge_learned_is_not_taken_over():
    log, old, new = ScriptedLog(), regions("judge-1"), regions("judge-2")
    taught(old, np.random.default_rng(3), 200)
    cache = await Stage(log=log, monitor=old).open()
    await cache.upkeep.tend()
    await Stage(log=log, monitor=new).open()
    assert new.region("public") == regions().region("public")
    await cache.upkeep.compact()
    await Stage(log=log, monitor=(new := regions("judge-2"))).open()
    assert new.region("public") == regions().region("public") != old.region("public")


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
