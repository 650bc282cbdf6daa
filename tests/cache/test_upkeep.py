import asyncio
from dataclasses import replace

import pytest
from tests.cache.cache_stage import ALICE, BASIS, BOB, FEE, SCOPE, Stage, approved, generated, own, served

from teller.cache.events import PurgeBy
from teller.cache.rules import CacheRules
from teller.cache.sealed import SealedLog
from teller.cache.shadow import SameAnswer, ShadowChecks
from teller.engines.scripted import ScriptedEmbedder, ScriptedLog
from teller.errors import EngineError, InputError
from teller.stores.cipher import AesGcm
from teller.stores.sqlite_log import SqliteLog
from teller.turn import DataClass, Question, Scope, Source, Value, ValueKind


async def test_a_new_entry_has_two_thirds_and_checks_move_it():
    cache = await Stage().open()
    offered = await cache.offer(FEE, approved(), SCOPE)
    assert (await cache.upkeep.entry(offered.entry_id)).accuracy == pytest.approx(2 / 3)
    await cache.upkeep.verify(offered.entry_id, right=True, by="feedback")
    assert (await cache.upkeep.entry(offered.entry_id)).accuracy == pytest.approx(3 / 4)
    await cache.upkeep.verify(offered.entry_id, right=False, by="feedback")
    assert (await cache.upkeep.entry(offered.entry_id)).accuracy == pytest.approx(3 / 5)


async def test_evicting_below_an_accuracy_takes_the_wrong_ones_only():
    cache = await Stage().open()
    good = await cache.offer(FEE, approved(), SCOPE)
    bad = await cache.offer(Question("opening hours"), approved("At noon.", "hours"), SCOPE)
    await cache.upkeep.verify(bad.entry_id, right=False, by="operator")
    below = await cache.upkeep.below(0.6)
    assert [entry.id for entry in below] == [bad.entry_id]
    assert await cache.upkeep.evict([entry.id for entry in below]) == 1
    assert [entry.id for entry in await cache.upkeep.entries()] == [good.entry_id]


@pytest.mark.parametrize("limit", [float("nan"), -0.1, 1.1])
async def test_an_accuracy_that_is_none_is_refused(limit):
    with pytest.raises(InputError):
        await (await Stage().open()).upkeep.below(limit)


async def test_an_unknown_entry_is_an_error():
    cache = await Stage().open()
    for ask in (cache.upkeep.entry(99), cache.upkeep.verify(99, right=True, by="x"), cache.upkeep.release(99)):
        with pytest.raises(InputError, match="99"):
            await ask
    assert await cache.upkeep.evict([99]) == 0


async def fill(cache) -> None:
    tuned = replace(BASIS, adapters=("sha256:aa",))
    await cache.offer(FEE, approved(stamps=("rate:loan@3", "fees@1")), SCOPE)
    await cache.offer(Question("loan rate"), approved("6 percent.", "loan", stamps=("rate:loan@4",)), SCOPE)
    await cache.offer(Question("opening hours"), approved("At nine.", "hours"), SCOPE)
    await cache.offer(Question("tuned hours"), approved("At nine!", "hours"), SCOPE, basis=tuned)
    await cache.offer(Question("their hours"), approved("At ten.", "other"), Scope("other", "en-GB"))
    await cache.offer(Question("held hours"), generated("Never.", cites=""), SCOPE)


@pytest.mark.parametrize(
    ("by", "what", "taken"),
    [
        (PurgeBy.STAMP, "rate:loan@3", {FEE.text}),
        (PurgeBy.STAMP, "rate:loan", set()),
        (PurgeBy.CURRENT, "rate:loan@4", {FEE.text}),
        (PurgeBy.CURRENT, "rate:loan@5", {FEE.text, "loan rate"}),
        (PurgeBy.ADAPTER, "sha256:aa", {"tuned hours"}),
        (PurgeBy.ANSWER, "hours", {"opening hours", "tuned hours"}),
        (PurgeBy.TENANT, "other", {"their hours"}),
        (PurgeBy.TENANT, "bank", {FEE.text, "loan rate", "opening hours", "tuned hours", "held hours"}),
        (PurgeBy.PARTITION, "00" * 16, set()),
    ],
)
async def test_a_purge_takes_what_it_says_and_the_preview_says_what_it_takes(by, what, taken):
    cache = await Stage().open()
    await fill(cache)
    before = {entry.question for entry in await cache.upkeep.entries()}
    assert {entry.question for entry in await cache.upkeep.preview(by, what)} == taken
    assert {entry.question for entry in await cache.upkeep.entries()} == before
    assert await cache.upkeep.purge(by, what) == len(taken)
    assert {entry.question for entry in await cache.upkeep.entries()} == before - taken
    assert await cache.upkeep.disagreements() == []


@pytest.mark.parametrize("by", PurgeBy)
async def test_a_purge_of_nothing_named_is_refused(by):
    with pytest.raises(InputError, match="wildcard"):
        await (await Stage().open()).upkeep.purge(by, " ")


async def test_a_purged_adapter_stays_purged_for_answers_under_way():
    cache = await Stage().open()
    await cache.upkeep.purge(PurgeBy.ADAPTER, "sha256:aa")
    offered = await cache.offer(FEE, approved(), SCOPE, basis=replace(BASIS, adapters=("sha256:aa",)))
    assert offered.outcome == "stale"


async def test_a_partition_can_be_purged_by_its_digest():
    cache = await Stage().open()
    await fill(cache)
    entry = next(iter(await cache.upkeep.entries()))
    assert await cache.upkeep.purge(PurgeBy.PARTITION, entry.partition.digest.hex()) == 4


async def test_above_the_limit_the_least_worth_go():
    cache = await Stage(rules=CacheRules(eligible=lambda *_: None, max_entries=10)).open()
    popular = await cache.offer(FEE, approved(), SCOPE)
    for _ in range(5):
        await served(cache, FEE)
    await cache.upkeep.tend()
    for at in range(30):
        await cache.offer(Question(f"question {at}"), approved(f"answer {at}", f"id {at}"), SCOPE)
    assert (await cache.upkeep.totals()).entries <= 10
    assert (await cache.upkeep.entry(popular.entry_id)).hits == 5


async def test_the_limit_on_bytes_is_kept():
    cache = await Stage(rules=CacheRules(eligible=lambda *_: None, max_bytes=150_000)).open()
    for at in range(60):
        await cache.offer(Question(f"question {at}"), approved(f"answer {at} " * 500, f"id {at}"), SCOPE)
    totals = await cache.upkeep.totals()
    assert totals.memory_bytes <= 150_000 + 20_000
    assert totals.entries > 5


async def test_sweeping_removes_what_is_over():
    stage = Stage()
    cache = await stage.open()
    await cache.offer(FEE, approved(data_class=DataClass.PRODUCT), SCOPE)
    await cache.offer(Question("held"), generated("x", cites=""), SCOPE)
    await cache.offer(Question("opening hours"), approved("At nine.", "hours"), SCOPE)
    stage.clock.advance(29 * 86_400)
    assert await cache.upkeep.sweep() == 1
    stage.clock.advance(86_400)
    assert await cache.upkeep.sweep() == 2
    assert (await cache.upkeep.totals()).entries == 0


async def test_a_calibration_needs_a_name_and_the_newest_counts():
    told = []

    class Monitor:
        def calibrate(self, body):
            told.append(body["limit"])

        def observe(self, *_):
            pass

        def untold(self):
            return {}

        def learn(self, body):
            pass

        def dump(self):
            return {}

        def load(self, body):
            pass

    stage = Stage(monitor=Monitor())
    cache = await stage.open()
    with pytest.raises(InputError):
        await cache.upkeep.calibrate({"limit": 1})
    await cache.upkeep.calibrate({"name": "public", "limit": 1})
    await cache.upkeep.calibrate({"name": "public", "limit": 2})
    await cache.upkeep.compact()
    told.clear()
    await Stage(log=stage.log, monitor=Monitor()).open()
    assert told == [2]


async def test_the_monitor_hears_every_check_once_also_after_compaction():
    class Counting:
        def __init__(self):
            self.seen = []

        def calibrate(self, body):
            pass

        def observe(self, risk_class, right, probability):
            self.seen.append([risk_class, right, probability])

        def untold(self):
            return {}

        def learn(self, body):
            pass

        def dump(self):
            return {"seen": self.seen}

        def load(self, body):
            self.seen = list(body.get("seen", []))

    stage = Stage(monitor=Counting())
    cache = await stage.open()
    offered = await cache.offer(FEE, approved(), SCOPE)
    for right in (True, True, False):
        await cache.upkeep.verify(offered.entry_id, right=right, by="shadow", risk_class="public", probability=0.9)
    await cache.upkeep.compact()
    await cache.upkeep.verify(offered.entry_id, right=True, by="operator")
    fresh = Counting()
    await Stage(log=stage.log, monitor=fresh).open()
    assert fresh.seen == stage.monitor.seen == [["public", right, 0.9] for right in (True, True, False)]


async def test_an_erased_customer_is_nowhere(tmp_path):
    log = SqliteLog(tmp_path / "private.sqlite")
    stage = Stage(private_log=SealedLog(log, AesGcm(bytes(32))))
    cache, other = await stage.open(), await Stage(log=stage.log, private_log=stage.private_log).open()
    for at in range(3):
        await cache.offer(Question(f"my fee {at}"), own(), ALICE)
    await cache.offer(FEE, own("Bob's."), BOB)
    await cache.offer(FEE, approved(), ALICE)
    assert await served(other, "my fee 1", ALICE) == "Your fee is 1 percent."
    ciphertexts = [event.body for event in await log.read(0)]
    proof = await cache.erase("alice")
    assert (proof.partitions, proof.entries, proof.events) == (1, 3, 4)
    assert (proof.left_in_log, proof.left_in_memory) == (0, 0)
    assert await served(other, "my fee 1", ALICE) == "too_far"
    assert await served(other, FEE, BOB) == "Bob's."
    files = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert sum(body in files for body in ciphertexts) == len(ciphertexts) - 4
    assert (await cache.offer(Question("my fee 1"), own("Anew."), ALICE)).outcome == "kept"
    assert await served(other, "my fee 1", ALICE) == "Anew."
    log.close()


async def test_an_entry_that_comes_in_during_an_erasure_is_not_left_behind():
    log = ScriptedLog()
    stage = Stage(private_log=log)
    cache, other = await stage.open(), await Stage(log=stage.log, private_log=log).open()
    await cache.offer(FEE, own(), ALICE)
    late = [asyncio.ensure_future(other.offer(Question(f"late {at}"), own(), ALICE)) for at in range(3)]
    proof = await cache.erase("alice")
    assert proof.left_in_log == proof.left_in_memory == 0
    await asyncio.gather(*late)


async def test_erasing_needs_a_customer_and_a_private_log():
    assert await (await Stage().open()).erase("alice") is None
    with pytest.raises(InputError):
        await (await Stage(private_log=ScriptedLog()).open()).erase(" ")


def values(text: str) -> tuple[Value, ...]:
    return tuple(
        Value(ValueKind.PERCENT, word, 0, 1) for word in text.split() if word.rstrip(".").replace(".", "").isdigit()
    )


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (approved("Anything.", "fees.abroad"), True),
        (approved("It is 3 percent.", "another"), True),
        (approved("It is 3 percent of it.", "another"), True),
        (approved("It is 4 percent.", "another"), False),
        (approved("We open 3 shops.", "another"), False),
    ],
)
async def test_answers_are_the_same_by_id_or_by_values_and_meaning(other, same):
    compare = SameAnswer(ScriptedEmbedder(), values, min_similarity=0.8)
    assert await compare(approved(), other) is same


async def shadowed(stage: Stage, remade, *, share: float = 1.0):
    cache = await stage.open()
    offered = await cache.offer(FEE, approved(), SCOPE)

    async def remake(_question, _scope):
        if isinstance(remade, Exception):
            raise remade
        return remade

    cache.shadow = ShadowChecks(
        cache.upkeep, share=share, remake=remake, same=SameAnswer(stage.embedder, values), max_waiting=2
    )
    return cache, offered.entry_id


@pytest.mark.parametrize(("remade", "right"), [(approved(), True), (approved("It is 4 percent.", "new"), False)])
async def test_a_shadow_check_moves_the_accuracy(remade, right):
    cache, entry_id = await shadowed(Stage(), remade)
    await served(cache, FEE)
    assert await cache.shadow.check_next() is right
    entry = await cache.upkeep.entry(entry_id)
    assert (entry.right, entry.wrong) == ((2, 0) if right else (1, 1))
    assert await served(cache, FEE) == ("It is 3 percent." if right else "uncertain")


@pytest.mark.parametrize("remade", [approved(source=Source.REFUSED), EngineError("away")])
async def test_a_check_that_finds_nothing_out_changes_nothing(remade):
    cache, entry_id = await shadowed(Stage(), remade)
    await served(cache, FEE)
    assert await cache.shadow.check_next() is None
    assert (await cache.upkeep.entry(entry_id)).right == 1


async def test_only_a_share_is_checked_and_the_queue_stays_short():
    cache, _ = await shadowed(Stage(), approved(), share=0.0)
    await served(cache, FEE)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await cache.shadow.check_next()
    cache, _ = await shadowed(Stage(), approved())
    for _ in range(9):
        await served(cache, FEE)
    assert [await cache.shadow.check_next() for _ in range(2)] == [True, True]


async def test_customers_own_answers_are_not_made_again():
    cache, _ = await shadowed(Stage(private_log=ScriptedLog()), approved())
    await cache.offer(Question("my fee"), own(), ALICE)
    await served(cache, "my fee", ALICE)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await cache.shadow.check_next()


@pytest.mark.parametrize("share", [float("nan"), -1, 1.5])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(InputError):
        ShadowChecks(None, share=share, remake=None, same=None)


async def test_an_entry_that_nobody_checked_is_no_checked_hit():
    cache = await Stage().open()
    kept = await cache.offer(FEE, approved(), SCOPE)
    before = await cache.upkeep.totals()
    for right in (True, False):
        await cache.upkeep.verify(kept.entry_id, right=right, by="operator")
    after = await cache.upkeep.totals()

    assert (before.right, before.wrong) == (0, 0)
    assert (after.right, after.wrong) == (1, 1)
