"""One log, one truth: however a process came to its state, it is the same state."""

import random

import pytest
from tests.cache.cache_stage import ALICE, FEE, SCOPE, Stage, approved, generated, own, served

from teller.cache.events import Kind, PurgeBy, write
from teller.cache.sealed import SealedLog
from teller.cache.semantic import SemanticCache
from teller.engines.scripted import ScriptedLog
from teller.errors import BusyError, StoreCorrupt
from teller.ports import Event
from teller.stores.cipher import AesGcm
from teller.stores.snapshots import FileSnapshots
from teller.stores.sqlite_log import SqliteLog
from teller.turn import DataClass, Question, Scope


async def state_of(cache: SemanticCache) -> list[tuple]:
    """Everything that an operator could see of the entries, and whether index and entries agree."""
    assert await cache.upkeep.disagreements() == []
    return [
        (one.id, one.partition, one.question, one.answer, one.hits, one.right, one.wrong, one.held)
        for one in await cache.upkeep.entries()
    ]


async def offer(cache: SemanticCache, draw: random.Random) -> None:
    stamps = (f"rate:{draw.randrange(3)}@{draw.randrange(4)}",) if draw.random() < 0.5 else ()
    answer = approved(f"answer {draw.randrange(6)}", f"id.{draw.randrange(6)}", stamps=stamps)
    if draw.random() < 0.2:
        answer = generated(f"guess {draw.random()}", cites="")
    await cache.offer(question(draw), answer, Scope(draw.choice(["bank", "other"]), "en-GB"))


async def change_one(cache: SemanticCache, draw: random.Random) -> None:
    entries = list(await cache.upkeep.entries())
    if not entries:
        return
    chosen = draw.choice(entries)
    if chosen.held and draw.random() < 0.5:
        await cache.upkeep.release(chosen.id)
    elif draw.random() < 0.5:
        await cache.upkeep.evict([chosen.id, 999])
    else:
        await cache.upkeep.verify(chosen.id, right=draw.random() < 0.8, by="operator")


async def purge(cache: SemanticCache, draw: random.Random) -> None:
    stamp = f"rate:{draw.randrange(3)}@{draw.randrange(4)}"
    choices = [(PurgeBy.STAMP, stamp), (PurgeBy.CURRENT, stamp), (PurgeBy.ANSWER, f"id.{draw.randrange(6)}")]
    await cache.upkeep.purge(*draw.choice(choices))


def question(draw: random.Random) -> Question:
    return Question(f"question {draw.randrange(20)} about {draw.choice(['cards', 'loans', 'fees'])}")


async def anything(cache: SemanticCache, stage: Stage, draw: random.Random) -> None:
    """One of the things that can happen to a cache."""
    what = draw.random()
    if what < 0.45:
        await offer(cache, draw)
    elif what < 0.55:
        await served(cache, question(draw))
    elif what < 0.85:
        await change_one(cache, draw)
    elif what < 0.93:
        await purge(cache, draw)
    else:
        stage.clock.advance(draw.random() * 3_000)
        await cache.upkeep.tend()


@pytest.mark.parametrize("seed", range(12))
async def test_live_replayed_compacted_and_thawed_states_are_the_same(seed, tmp_path):
    draw = random.Random(seed)
    stage = Stage(snapshots=FileSnapshots(tmp_path / "snapshots"))
    one, other = await stage.open(), await Stage(log=stage.log, clock=stage.clock).open()
    for _ in range(150):
        cache = draw.choice([one, other])
        await anything(cache, stage, draw)
        if draw.random() < 0.05:
            await cache.upkeep.compact()
        if draw.random() < 0.05:
            await one.upkeep.snapshot()
    for cache in (one, other):
        await cache.close()
    truth = await state_of(one)
    assert await state_of(other) == truth
    replayed = await Stage(log=stage.log, clock=stage.clock).open()
    assert await state_of(replayed) == truth
    thawed = await Stage(log=stage.log, clock=stage.clock, snapshots=stage.snapshots).open()
    assert await state_of(thawed) == truth
    await thawed.upkeep.compact()
    assert await state_of(await Stage(log=stage.log, clock=stage.clock).open()) == truth
    assert await state_of(other) == truth


async def test_compaction_forgets_what_no_longer_matters_and_keeps_the_counts():
    stage = Stage()
    cache = await stage.open()
    offered = await cache.offer(FEE, approved(), SCOPE)
    for _ in range(40):
        await served(cache, FEE)
        await cache.upkeep.tend()
        await cache.upkeep.verify(offered.entry_id, right=True, by="operator")
    assert await cache.upkeep.compact() == 80
    assert len(await stage.log.read(0)) < 10
    entry = await (await Stage(log=stage.log).open()).upkeep.entry(offered.entry_id)
    assert (entry.hits, entry.right, entry.wrong) == (40, 41, 0)


async def test_a_process_that_slept_through_a_compaction_reads_the_log_anew():
    stage = Stage()
    one, sleeper = await stage.open(), await Stage(log=stage.log).open()
    kept = await one.offer(FEE, approved(), SCOPE)
    assert await served(sleeper, FEE) == "It is 3 percent."
    gone = await one.offer(Question("opening hours"), approved("At nine.", "hours"), SCOPE)
    await one.upkeep.verify(kept.entry_id, right=True, by="operator")
    await one.upkeep.evict([gone.entry_id])
    await one.upkeep.compact()
    assert await served(sleeper, "opening hours") == "too_far"
    assert (await sleeper.upkeep.entry(kept.entry_id)).right == 2


async def test_compaction_gives_way_to_writers():
    class Contested(ScriptedLog):
        async def append(self, events, *, forget=(), only_at=None):
            if only_at is not None:
                await super().append([write(Kind.HITS, 0.0, n=[])])
            return await super().append(events, forget=forget, only_at=only_at)

    cache = await Stage(log=Contested()).open()
    await cache.upkeep.evict([(await cache.offer(FEE, approved(), SCOPE)).entry_id])
    with pytest.raises(BusyError, match="quieter"):
        await cache.upkeep.compact()


async def test_a_snapshot_that_a_compaction_overtook_is_not_kept(tmp_path):
    class Overtaken(FileSnapshots):
        overtake = None

        def load(self):
            found = super().load()
            if self.overtake:
                with pytest.raises(StopIteration):
                    self.overtake.send(None)  # on a scripted log nothing waits
                self.overtake = None
            return found

    stage = Stage(snapshots=Overtaken(tmp_path))
    cache, other = await stage.open(), await Stage(log=stage.log).open()
    gone = await cache.offer(FEE, approved(), SCOPE)
    await cache.upkeep.snapshot()
    await cache.upkeep.evict([gone.entry_id])
    stage.snapshots.overtake = other.upkeep.compact()
    await cache.upkeep.snapshot()
    assert stage.snapshots.overtake is None
    again = await Stage(log=stage.log, snapshots=FileSnapshots(tmp_path)).open()
    assert await served(again, FEE) == "empty"
    assert (await again.upkeep.totals()).entries == 0


async def test_a_snapshot_of_another_log_is_not_used(tmp_path):
    snapshots = FileSnapshots(tmp_path)
    first = await Stage(snapshots=snapshots).open()
    await first.offer(FEE, approved(), SCOPE)
    await first.close()
    other = await Stage(snapshots=snapshots).open()
    assert await served(other, FEE) == "empty"


async def test_a_snapshot_of_another_judge_is_not_used(tmp_path):
    stage = Stage(snapshots=FileSnapshots(tmp_path))
    await (await stage.open()).offer(FEE, approved(), SCOPE)
    await (await stage.open()).close()
    from teller.cache.verdict import ExactOnly

    cache = await Stage(log=stage.log, snapshots=stage.snapshots, judge=ExactOnly()).open()
    assert await served(cache, FEE) == "It is 3 percent."


async def test_an_event_of_an_unknown_kind_is_passed_over():
    stage = Stage()
    cache = await stage.open()
    await stage.log.append([Event("telepathy", b"\xff", 0.0)])
    await cache.offer(FEE, approved(), SCOPE)
    assert await served(cache, FEE) == "It is 3 percent."


async def test_a_broken_event_is_an_error_and_not_a_silent_gap():
    stage = Stage()
    cache = await stage.open()
    await stage.log.append([Event(Kind.PUT, b"{}", 0.0)])
    with pytest.raises(StoreCorrupt, match="event 2"):
        await served(cache, FEE)


async def test_a_log_that_went_back_is_an_error():
    log = ScriptedLog()
    cache = await Stage(log=log).open()
    await cache.offer(FEE, approved(), SCOPE)
    log.__init__()
    with pytest.raises(StoreCorrupt, match="went back"):
        await served(cache, FEE)


async def test_a_restart_on_a_real_log_serves_what_was_kept(tmp_path):
    log = SqliteLog(tmp_path / "log.sqlite")
    await (await Stage(log=log).open()).offer(FEE, approved(), SCOPE)
    log.close()
    log = SqliteLog(tmp_path / "log.sqlite")
    assert await served(await Stage(log=log).open(), FEE) == "It is 3 percent."
    log.close()


async def test_private_entries_are_unreadable_on_disk(tmp_path):
    log = SqliteLog(tmp_path / "private.sqlite")
    stage = Stage(private_log=SealedLog(log, AesGcm(bytes(32))))
    cache = await stage.open()
    await cache.offer(FEE, own("Your secret fee is 1 percent."), ALICE)
    assert await served(cache, FEE, ALICE) == "Your secret fee is 1 percent."
    log.close()
    for file in tmp_path.iterdir():
        for word in (b"secret", b"alice", FEE.text.encode()):
            assert word not in file.read_bytes()


async def test_private_entries_are_in_no_snapshot(tmp_path):
    stage = Stage(private_log=ScriptedLog(), snapshots=FileSnapshots(tmp_path))
    cache = await stage.open()
    await cache.offer(FEE, own("Your secret fee is 1 percent."), ALICE)
    await cache.close()
    assert not any(b"secret" in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    again = await Stage(log=stage.log, private_log=stage.private_log, snapshots=stage.snapshots).open()
    assert await served(again, FEE, ALICE) == "Your secret fee is 1 percent."


async def test_large_partitions_are_thawed_with_their_index(tmp_path, monkeypatch):
    monkeypatch.setattr("teller.cache.freezing._OWN_FILE_FROM", 3)
    stage = Stage(snapshots=FileSnapshots(tmp_path))
    cache = await stage.open()
    for at in range(5):
        await cache.offer(Question(f"question {at}"), approved(f"answer {at}"), SCOPE)
    await cache.offer(FEE, approved(data_class=DataClass.PRODUCT), SCOPE)
    await cache.close()
    assert sum(1 for _ in tmp_path.rglob("index-*")) == 1
    again = await Stage(log=stage.log, snapshots=stage.snapshots).open()
    assert await state_of(again) == await state_of(cache)
    assert await served(again, "question 3") == "answer 3"
