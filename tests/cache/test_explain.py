"""What an operator is told of a lookup."""

from __future__ import annotations

from tests.cache.cache_stage import SCOPE, Stage, approved, money

from teller.cache.explain import explain
from teller.cache.guards import Guards
from teller.cache.live_regions import LiveRegions
from teller.cache.regions import LearningJudge, RiskRegions
from teller.cache.rules import CacheRules
from teller.engines.scripted import ScriptedEmbedder
from teller.turn import Hit, MissReason, Question

FREEZE = Question("how do I freeze my card")


async def opened(**parts):
    regions = RiskRegions(LiveRegions(max_false_hits=0.01), lambda: "test")
    stage = Stage(embedder=ScriptedEmbedder(dim=384), judge=LearningJudge(regions), **parts)
    return await stage.open(), regions, stage


async def explained(cache, regions, question):
    return await explain(cache, question, SCOPE, guards=Guards(()), region=regions.region)


async def test_each_step_is_told_and_the_guard_that_forbids_is_named():
    cache, regions, _ = await opened()
    await cache.offer(money("100.00 GBP", "what does a transfer of 100 pounds cost"), approved(), SCOPE)

    found = await explained(cache, regions, money("250.00 GBP", "what does a transfer of 250 pounds cost"))

    assert (found.verdict, found.entry_id, found.risk_class) == (MissReason.VALUES_DIFFER, None, "public")
    assert [step.name for step in found.steps] == [
        "eligibility",
        "exact",
        "neighbours",
        "consensus",
        "guards",
        "probability",
    ]
    assert "250.00 GBP" in found.neighbours[0].guard
    assert (found.probability, found.min_probability) == (0.0, 0.99)


async def test_what_is_explained_is_what_a_lookup_says():
    cache, regions, _ = await opened()
    kept = await cache.offer(FREEZE, approved("In the app."), SCOPE)

    for text in ("how do I freeze my card?", "how do I freeze my card today", "where is the nearest branch"):
        found, looked_up = await explained(cache, regions, Question(text)), await cache.lookup(Question(text), SCOPE)

        assert found.verdict == ("hit" if isinstance(looked_up, Hit) else looked_up.reason)
        assert found.entry_id == (kept.entry_id if isinstance(looked_up, Hit) else None)


async def test_it_is_told_that_words_are_not_compared_where_no_verifier_reads_the_embedder():
    cache, regions, _ = await opened()
    await cache.offer(FREEZE, approved("In the app."), SCOPE)

    found = await explained(cache, regions, Question("how do I freeze my card today"))

    assert "no verifier for this embedder" in next(step.found for step in found.steps if step.name == "consensus")


async def test_a_closed_class_still_tells_what_would_have_been_likely():
    cache, regions, _ = await opened()
    await cache.offer(FREEZE, approved(), SCOPE)
    regions.calibrate({"name": "regions", "made_with": "another"})

    found = await explained(cache, regions, Question("how do I freeze my card now"))

    assert found.verdict == MissReason.CLASS_CLOSED
    assert found.probability is not None
    assert found.min_probability is None
    assert "closed" in found.steps[-1].found


async def test_what_is_never_looked_up_and_what_nobody_asked_end_early():
    refusing, regions, _ = await opened(rules=CacheRules(eligible=lambda *_: MissReason.NOT_ELIGIBLE))
    assert [step.name for step in (await explained(refusing, regions, FREEZE)).steps] == ["eligibility"]

    empty, regions, _ = await opened()
    assert (await explained(empty, regions, FREEZE)).verdict == MissReason.EMPTY


async def test_the_judge_is_its_own_again_afterwards():
    cache, regions, stage = await opened()
    await cache.offer(FREEZE, approved(), SCOPE)

    await explained(cache, regions, Question("how do I thaw my card"))

    assert cache.judge is stage.judge
