"""Labelled questions asked of a cache that begins empty."""

from __future__ import annotations

from dataclasses import replace

from teller.cache.live_regions import LiveRegions
from teller.cache.regions import LearningJudge, RiskRegions
from teller.cache.replay import Labelled, replay
from teller.engines.scripted import ScriptedEmbedder, ScriptedIndex
from teller.turn import DataClass, Question

CARDS = [Labelled(Question(f"how do I freeze my {kind} card"), "cards.freeze") for kind in ("debit", "credit", "gold")]
PIN = [Labelled(Question(f"where can I see the pin of my {kind} card"), "cards.pin") for kind in ("debit", "gold")]


async def asked(labelled):
    judge = LearningJudge(RiskRegions(LiveRegions(), lambda: "test"))
    return await replay(labelled, judge, ScriptedEmbedder(dim=384), lambda: ScriptedIndex(384), max_false_hits=0.01)


async def test_every_question_but_the_first_is_judged_before_its_answer_is_stored():
    found = await asked([*CARDS, *PIN])

    assert (found.asked, len(found.records), found.labels.total()) == (5, 4, 5)
    assert not all(
        record.right for record in found.records
    )  # the first question on a subject has nobody to be right with


async def test_the_order_of_the_file_changes_nothing():
    assert (await asked([*CARDS, *PIN])).records == (await asked([*reversed(PIN), *reversed(CARDS)])).records


async def test_the_exact_tier_takes_the_same_words_and_contradictions_are_counted():
    found = await asked([*CARDS, *CARDS, replace(CARDS[0], answer_id="cards.lost")])

    assert (found.exact, found.contradictory) == (4, 1)
    assert len(found.records) == 2


async def test_what_may_not_be_kept_is_never_stored_and_every_hit_on_it_is_wrong():
    found = await asked([*CARDS, replace(PIN[0], kept=False), replace(PIN[1], kept=False)])

    assert [record.right for record in found.records if record.answer_class == "cards.pin"] in ([False] * 2, [False])
    assert not any(record.right and record.answer_class == "cards.pin" for record in found.records)


async def test_the_class_of_a_record_is_that_of_what_would_be_served():
    product = [replace(one, data_class=DataClass.PRODUCT) for one in CARDS]

    assert {record.risk_class for record in (await asked(product)).records} == {"product"}
