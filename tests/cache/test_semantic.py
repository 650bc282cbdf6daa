import asyncio
from dataclasses import replace

import pytest
from tests.cache.cache_stage import ALICE, BASIS, BOB, FEE, SCOPE, Stage, approved, generated, money, own, served

from teller.cache.events import PurgeBy
from teller.cache.rules import CacheRules, Outcome
from teller.cache.verdict import Accept, ExactOnly, MinSimilarity, Probe, Reject
from teller.engines.scripted import ScriptedEmbedder, ScriptedLog
from teller.errors import ConfigError, EngineError, InputError, StoreError
from teller.turn import DataClass, Hit, Miss, MissReason, Question, Scope, Source, Tier


async def test_the_second_asking_is_a_hit_with_its_evidence():
    cache = await Stage().open()
    assert await served(cache, FEE) == "empty"
    offered = await cache.offer(FEE, approved(), SCOPE)
    assert offered.outcome is Outcome.KEPT
    found = await cache.lookup(Question("What's the fee, um, for paying abroad?"), SCOPE)
    assert isinstance(found, Hit)
    assert found.answer.source is Source.CACHE
    assert found.answer.answer_id == "fees.abroad"
    evidence = found.answer.evidence
    assert (evidence.tier, evidence.entry_id, evidence.matched) == (Tier.EXACT, offered.entry_id, FEE.text)


async def test_the_exact_tier_embeds_nothing():
    stage = Stage()
    cache = await stage.open()
    await cache.offer(FEE, approved(), SCOPE)
    asked = len(stage.embedder.asked)
    assert await served(cache, FEE) == "It is 3 percent."
    assert len(stage.embedder.asked) == asked


async def test_a_near_question_is_a_semantic_hit():
    cache = await Stage().open()
    await cache.offer(FEE, approved(), SCOPE)
    found = await cache.lookup(Question("what is the fee for paying when abroad"), SCOPE)
    assert isinstance(found, Hit)
    assert found.answer.evidence.tier is Tier.SEMANTIC
    assert 0.8 <= found.answer.evidence.similarity < 1


async def test_a_far_question_is_a_miss_that_says_how_far():
    cache = await Stage().open()
    await cache.offer(FEE, approved(), SCOPE)
    found = await cache.lookup(Question("my card was stolen"), SCOPE)
    assert isinstance(found, Miss)
    assert found.reason is MissReason.TOO_FAR
    assert found.nearest < 0.5


async def test_other_values_are_never_the_same_asking():
    cache = await Stage(judge=MinSimilarity(-1.0)).open()
    text = "what does a loan of this size cost"
    await cache.offer(money("1000.00 GBP", text), approved("20 pounds a month."), SCOPE)
    assert await served(cache, money("1000.00 GBP", text)) == "20 pounds a month."
    assert await served(cache, money("2000.00 GBP", text)) == "values_differ"


@pytest.mark.parametrize(
    "change",
    [
        {"base_model": "model-2"},
        {"adapters": ("sha256:1",)},
        {"prompt": "prompt-2"},
        {"policy": "policy-2"},
        {"knowledge": "knowledge-2"},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_an_answer_is_not_served_on_another_basis(change):
    cache = await Stage(judge=MinSimilarity(-1.0)).open()
    await cache.offer(FEE, approved(), SCOPE)
    found = await cache.lookup(FEE, SCOPE, basis=replace(BASIS, **change))
    assert found == Miss(MissReason.EMPTY)


@pytest.mark.parametrize("scope", [Scope("other", "en-GB"), Scope("bank", "fr-FR")])
async def test_an_answer_is_not_served_to_another_tenant_or_locale(scope):
    cache = await Stage(judge=MinSimilarity(-1.0)).open()
    await cache.offer(FEE, approved(), SCOPE)
    assert await served(cache, FEE, scope) == "empty"


@pytest.mark.parametrize("scope", [Scope("", "en-GB"), Scope("bank", ""), Scope("bank", "en-GB", customer="")])
async def test_an_empty_part_of_the_partition_is_an_error_and_no_wildcard(scope):
    cache = await Stage(private_log=ScriptedLog()).open()
    await cache.offer(FEE, approved(), SCOPE)
    with pytest.raises(InputError):
        await cache.lookup(FEE, scope)


async def test_product_answers_are_found_beside_public_ones():
    cache = await Stage().open()
    await cache.offer(FEE, approved(data_class=DataClass.PRODUCT), SCOPE)
    await cache.offer(Question("where is the branch"), approved("In the High Street.", "branch"), SCOPE)
    assert await served(cache, FEE) == "It is 3 percent."
    assert await served(cache, "where is the branch") == "In the High Street."


async def test_customers_own_answers_are_not_kept_without_a_private_log():
    cache = await Stage().open()
    assert (await cache.offer(FEE, own(), ALICE)).outcome is Outcome.NOT_ELIGIBLE
    assert (await cache.offer(FEE, own(), SCOPE)).outcome is Outcome.NO_IDENTITY


async def test_a_customers_own_answer_is_theirs_alone():
    cache = await Stage(private_log=ScriptedLog(), judge=MinSimilarity(-1.0)).open()
    await cache.offer(FEE, own(), ALICE)
    assert await served(cache, FEE, ALICE) == "Your fee is 1 percent."
    assert await served(cache, FEE, BOB) == "empty"
    assert await served(cache, FEE, SCOPE) == "empty"


async def test_a_customers_own_entry_and_a_shared_one_with_the_same_number_are_told_apart():
    class Farthest(ExactOnly):
        def judge(self, probe):
            return Accept(probe.neighbours[-1].entry_id, 1, 1.0)

    cache = await Stage(private_log=ScriptedLog(), judge=Farthest(neighbours=2)).open()
    mine = await cache.offer(Question("fee for paying abroad"), own(), ALICE)
    shared = await cache.offer(Question("fee for cards in shops"), approved(), SCOPE)
    assert mine.entry_id == shared.entry_id
    assert await served(cache, "the fee for paying abroad", ALICE) == "It is 3 percent."
    found = await cache.lookup(Question("fee for paying abroad"), ALICE)
    assert found.answer.evidence.entry_id == -mine.entry_id
    await cache.private_upkeep.tend()
    assert (await cache.private_upkeep.entry(mine.entry_id)).hits == 1


async def test_a_shared_answer_is_served_to_every_customer():
    cache = await Stage(private_log=ScriptedLog()).open()
    await cache.offer(FEE, approved(), ALICE)
    assert await served(cache, FEE, BOB) == "It is 3 percent."


async def test_a_question_that_is_not_eligible_is_neither_looked_up_nor_kept():
    stage = Stage(rules=CacheRules(eligible=lambda *_: MissReason.NOT_ELIGIBLE))
    cache = await stage.open()
    assert (await cache.offer(FEE, approved(), SCOPE)).outcome is Outcome.NOT_ELIGIBLE
    assert await served(cache, FEE) == "not_eligible"
    assert stage.embedder.asked == []


async def test_a_disabled_cache_says_so():
    cache = await Stage(rules=CacheRules(eligible=lambda *_: None, enabled=False)).open()
    assert (await cache.offer(FEE, approved(), SCOPE)).outcome is Outcome.DISABLED
    assert await served(cache, FEE) == "disabled"


async def test_a_prompt_stuffed_question_is_not_looked_up():
    cache = await Stage().open()
    assert await served(cache, "ignore that " * 200) == "not_eligible"


async def test_a_computed_answer_is_never_kept():
    cache = await Stage().open()
    computed = approved("188 pounds a month.", source=Source.TOOL)
    assert (await cache.offer(FEE, computed, SCOPE)).outcome is Outcome.TEMPLATE
    assert await served(cache, FEE) == "empty"


@pytest.mark.parametrize("source", [Source.CACHE, Source.REFUSED, Source.HANDOFF])
async def test_what_is_not_an_answer_is_not_kept(source):
    cache = await Stage().open()
    assert (await cache.offer(FEE, approved(source=source), SCOPE)).outcome is Outcome.NOT_AN_ANSWER


async def test_an_ungrounded_answer_waits_in_quarantine_until_it_is_released():
    cache = await Stage(judge=MinSimilarity(-1.0)).open()
    offered = await cache.offer(FEE, generated("Send your PIN to 1.2.3.4", cites=""), SCOPE)
    assert offered.outcome is Outcome.HELD
    assert await served(cache, FEE) == "empty"
    released = await cache.upkeep.release(offered.entry_id)
    assert released != offered.entry_id
    assert await served(cache, FEE) == "Send your PIN to 1.2.3.4"


async def test_a_grounded_answer_is_served_at_once():
    cache = await Stage().open()
    assert (await cache.offer(FEE, generated(), SCOPE)).outcome is Outcome.KEPT


async def test_an_ungrounded_answer_does_not_replace_an_approved_one():
    cache = await Stage().open()
    await cache.offer(FEE, approved(), SCOPE)
    await cache.offer(FEE, generated("It is free!", cites=""), SCOPE)
    assert await served(cache, FEE) == "It is 3 percent."


async def test_a_new_answer_to_the_same_asking_replaces_the_old_one():
    cache = await Stage().open()
    await cache.offer(FEE, approved(), SCOPE)
    await cache.offer(FEE, approved("It is 4 percent."), SCOPE)
    assert await served(cache, FEE) == "It is 4 percent."
    assert (await cache.upkeep.totals()).entries == 1


async def test_the_same_answer_is_not_kept_twice_while_it_is_fresh():
    stage = Stage()
    cache = await stage.open()
    first = await cache.offer(FEE, approved(), SCOPE)
    again = await cache.offer(FEE, approved(), SCOPE)
    assert (again.outcome, again.entry_id) == (Outcome.SAME, first.entry_id)
    stage.clock.advance(16 * 86_400)
    assert (await cache.offer(FEE, approved(), SCOPE)).outcome is Outcome.KEPT


async def test_life_is_absolute_and_hits_do_not_prolong_it():
    stage = Stage()
    cache = await stage.open()
    await cache.offer(FEE, approved(data_class=DataClass.PRODUCT), SCOPE)
    stage.clock.advance(86_399)
    assert await served(cache, FEE) == "It is 3 percent."
    stage.clock.advance(1)
    assert await served(cache, FEE) == "expired"
    assert await served(cache, "what is the fee for paying when abroad") == "empty"


async def test_expired_neighbours_do_not_hide_a_good_one():
    stage = Stage()
    cache = await stage.open()
    for at in range(30):
        asked = Question(f"what is the fee for paying abroad {'now ' * at}")
        await cache.offer(asked, approved(data_class=DataClass.PRODUCT), SCOPE)
    stage.clock.advance(80_000)
    await cache.offer(Question("what is the fee for paying in a shop abroad"), approved("2 percent."), SCOPE)
    stage.clock.advance(10_000)
    assert await served(cache, "what is the fee for paying abroad in a shop") == "2 percent."


async def test_an_entry_found_wrong_is_no_longer_served():
    cache = await Stage().open()
    offered = await cache.offer(FEE, approved(), SCOPE)
    await cache.upkeep.verify(offered.entry_id, right=False, by="operator")
    assert await served(cache, FEE) == "uncertain"
    assert await served(cache, "what is the fee for paying when abroad") == "empty"


async def test_an_answer_made_before_a_purge_is_not_kept_after_it():
    cache = await Stage().open()
    await cache.upkeep.purge(PurgeBy.STAMP, "rate:loan@3")
    offered = await cache.offer(FEE, approved(stamps=("rate:loan@3",)), SCOPE)
    assert offered.outcome is Outcome.STALE
    assert (await cache.offer(FEE, approved(stamps=("rate:loan@4",)), SCOPE)).outcome is Outcome.KEPT


async def test_a_purged_answer_is_stale():
    cache = await Stage().open()
    await cache.offer(FEE, approved(stamps=("rate:loan@3",)), SCOPE)
    assert await cache.upkeep.purge(PurgeBy.CURRENT, "rate:loan@4") == 1
    assert await served(cache, FEE) == "stale"


async def test_a_purge_while_the_question_is_embedded_is_obeyed():
    class Interrupted(ScriptedEmbedder):
        other = None

        async def embed(self, texts):
            if self.other is not None:
                await self.other.upkeep.purge(PurgeBy.STAMP, "rate:loan@3")
            return await super().embed(texts)

    stage = Stage(embedder=Interrupted())
    cache = await stage.open()
    await cache.offer(FEE, approved(stamps=("rate:loan@3",)), SCOPE)
    stage.embedder.other = await Stage(log=stage.log).open()
    assert await served(cache, "what is the fee for paying when abroad") == "empty"


async def test_an_answer_purged_while_it_is_embedded_is_not_kept_and_leaves_nothing_in_the_log():
    class Interrupted(ScriptedEmbedder):
        other = None

        async def embed(self, texts):
            if self.other is not None:
                await self.other.upkeep.purge(PurgeBy.STAMP, "rate:loan@3")
            return await super().embed(texts)

    stage = Stage(embedder=Interrupted())
    cache = await stage.open()
    stage.embedder.other = await Stage(log=stage.log).open()
    assert (await cache.offer(FEE, approved(stamps=("rate:loan@3",)), SCOPE)).outcome is Outcome.STALE
    assert not any(event.kind == "put" for event in await stage.log.read(0))


async def test_two_processes_on_one_log_see_each_others_changes_at_once():
    stage = Stage()
    one, other = await stage.open(), await Stage(log=stage.log).open()
    offered = await one.offer(FEE, approved(), SCOPE)
    assert await served(other, FEE) == "It is 3 percent."
    await other.upkeep.evict([offered.entry_id])
    assert await served(one, FEE) == "empty"


async def test_concurrent_identical_misses_make_one_answer():
    cache = await Stage().open()
    made = []

    async def make():
        made.append(1)
        await asyncio.sleep(0)
        return approved()

    answers = await asyncio.gather(*(cache.flight(FEE, SCOPE, make) for _ in range(50)))
    assert len(made) == 1
    assert set(answers) == {approved()}


async def test_different_scopes_do_not_share_a_flight():
    cache = await Stage().open()
    made = []

    async def make():
        made.append(1)
        await asyncio.sleep(0)
        return approved()

    await asyncio.gather(*(cache.flight(FEE, scope, make) for scope in (SCOPE, ALICE, BOB)))
    assert len(made) == 3


async def test_exact_only_closes_the_semantic_tier():
    cache = await Stage(judge=ExactOnly()).open()
    await cache.offer(FEE, approved(), SCOPE)
    assert await served(cache, FEE) == "It is 3 percent."
    assert await served(cache, "what is the fee for paying when abroad") == "class_closed"


async def test_the_judge_sees_the_neighbours_best_first_with_their_sketches():
    seen: list[Probe] = []

    class Recorder:
        name, neighbours, wants_tokens = "recorder", 3, True

        def sketch(self, question, _vector, tokens):
            return f"{len(question.text)},{len(tokens)}".encode()

        def judge(self, probe):
            seen.append(probe)
            return Accept(
                probe.neighbours[1].entry_id, votes=2, probability=0.97, bound=0.01, checks={"values": "same"}
            )

    stage = Stage(judge=Recorder())
    cache = await stage.open()
    for text in ("fee for cards", "fee for cards abroad", "lost card", "branch hours"):
        await cache.offer(Question(text), approved(text, text), SCOPE)
    found = await cache.lookup(Question("the fee for cards abroad"), SCOPE)
    probe = seen[0]
    assert len(probe.neighbours) == 3
    assert [n.similarity for n in probe.neighbours] == sorted((n.similarity for n in probe.neighbours), reverse=True)
    assert probe.neighbours[0].question == "fee for cards abroad"
    assert probe.neighbours[0].sketch == b"20,4"
    assert probe.neighbours[0].vector @ probe.vector == pytest.approx(probe.neighbours[0].similarity, abs=0.01)
    assert probe.tokens.shape == (5, stage.embedder.dim)
    assert probe.risk_class == "public"
    evidence = found.answer.evidence
    assert found.answer.text == probe.neighbours[1].answer_id
    assert (evidence.votes, evidence.neighbours, evidence.probability, evidence.bound) == (2, 3, 0.97, 0.01)
    assert evidence.checks == {"values": "same"}


async def test_a_rejection_gives_the_judges_reason():
    class No(ExactOnly):
        neighbours = 1

        def judge(self, _probe):
            return Reject(MissReason.POLARITY_DIFFERS)

    cache = await Stage(judge=No(neighbours=1)).open()
    await cache.offer(FEE, approved(), SCOPE)
    assert await served(cache, "never mind the fee abroad") == "polarity_differs"


async def test_an_engine_that_fails_is_told_and_harms_nothing():
    stage = Stage()
    cache = await stage.open()
    await cache.offer(FEE, approved(), SCOPE)
    stage.embedder.fault = EngineError("away")
    with pytest.raises(EngineError):
        await cache.lookup(Question("something else"), SCOPE)
    assert await served(cache, FEE) == "It is 3 percent."


async def test_a_log_that_cannot_be_written_keeps_nothing():
    log = ScriptedLog()
    cache = await Stage(log=log).open()
    log.fault = StoreError("disk full")
    with pytest.raises(StoreError):
        await cache.offer(FEE, approved(), SCOPE)
    log.fault = None
    assert await served(cache, FEE) == "empty"


async def test_another_embedder_on_the_same_log_is_refused_with_the_way_out():
    stage = Stage()
    await stage.open()
    with pytest.raises(ConfigError, match="cache-manager migrate"):
        await Stage(log=stage.log, embedder=type(stage.embedder)(dim=128)).open()


async def test_the_plain_forms_keep_and_find():
    cache = await Stage().open()
    assert await cache.check_cache("What is the fee abroad?") is None
    await cache.add_to_cache("What is the fee abroad?", "It is 3 percent.")
    assert await cache.check_cache("what's the fee abroad") == "It is 3 percent."


@pytest.mark.parametrize(("query", "response"), [("", "x"), ("  ", "x"), ("x", ""), ("x", "\n"), (None, "x")])
async def test_the_plain_forms_refuse_what_is_empty(query, response):
    cache = await Stage().open()
    with pytest.raises(ValueError, match="empty"):
        await cache.add_to_cache(query, response)
    if not query or not query.strip():
        with pytest.raises(ValueError, match="empty"):
            await cache.check_cache(query)


async def test_an_empty_question_or_answer_is_an_error():
    cache = await Stage().open()
    with pytest.raises(InputError):
        await cache.lookup(Question("  "), SCOPE)
    with pytest.raises(InputError):
        await cache.offer(FEE, approved("  "), SCOPE)
    with pytest.raises(InputError):
        await cache.offer(FEE, approved(answer_id=""), SCOPE)


@pytest.mark.parametrize(
    "wrong",
    [{"min_accuracy": 1.0}, {"min_accuracy": float("nan")}, {"max_entries": 0}, {"ttl_s": {DataClass.PUBLIC: 1.0}}],
)
def test_rules_that_make_no_sense_are_refused(wrong):
    with pytest.raises(InputError):
        CacheRules(eligible=lambda *_: None, **wrong)
