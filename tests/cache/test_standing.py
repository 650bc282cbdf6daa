"""What is read of a log alone is what the cache on it knows."""

from tests.cache.cache_stage import FEE, SCOPE, Stage, approved
from tests.cache.test_regions import body, regions

from teller.cache.standing import read_standing
from teller.engines.scripted import ScriptedLog


async def stand(log):
    found = regions()
    return await read_standing(log, found), found


async def test_a_new_log_has_no_checks_and_live_regions():
    checks, found = await stand(ScriptedLog())
    assert checks.checked.total() == 0
    assert found.region("public").bound is None


async def test_checks_and_bounds_are_those_of_the_cache_also_after_a_compaction():
    log, known = ScriptedLog(), regions()
    cache = await Stage(log=log, monitor=known).open()
    entry = (await cache.offer(FEE, approved(), SCOPE)).entry_id
    await cache.upkeep.calibrate(body())
    for right in [True] * 30 + [False]:
        await cache.upkeep.verify(entry, right=right, by="shadow", risk_class="public", probability=0.999)
    await cache.upkeep.verify(entry, right=True, by="operator")

    checks, found = await stand(log)
    assert (checks.checked, checks.wrong) == ({"public": 31, "": 1}, {"public": 1, "": 0})
    assert found.bound("public") == known.bound("public") < 1
    assert found.region("public") == known.region("public")

    await cache.upkeep.compact()
    await cache.upkeep.verify(entry, right=True, by="shadow", risk_class="public", probability=0.999)
    checks, found = await stand(log)
    assert (checks.checked["public"], checks.wrong["public"]) == (32, 1)
    assert found.bound("public") == known.bound("public")
    assert found.region("product") is None


async def test_a_withdrawn_calibration_is_withdrawn_here_too():
    log = ScriptedLog()
    cache = await Stage(log=log, monitor=regions()).open()
    await cache.upkeep.calibrate(body())
    assert (await stand(log))[1].calibration is not None
    await cache.upkeep.calibrate({"name": "regions", "withdrawn": True})
    assert (await stand(log))[1].calibration is None
