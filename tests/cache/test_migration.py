import pytest
from tests.cache.cache_stage import ALICE, FEE, SCOPE, Stage, approved, generated, own, served

from teller.cache.events import PurgeBy
from teller.cache.migration import migrate
from teller.cache.sealed import SealedLog
from teller.engines.scripted import ScriptedEmbedder, ScriptedLog
from teller.errors import BusyError, ConfigError, EngineError, StoreError
from teller.stores.cipher import AesGcm
from teller.turn import Question

OTHER = ScriptedEmbedder(dim=128)


async def filled(stage: Stage):
    cache = await stage.open()
    kept = await cache.offer(FEE, approved(stamps=("rate:loan@4",)), SCOPE)
    await served(cache, FEE)
    await cache.upkeep.verify(kept.entry_id, right=True, by="operator")
    await cache.offer(Question("gone"), approved("x", "gone"), SCOPE)
    await cache.upkeep.purge(PurgeBy.ANSWER, "gone")
    await cache.upkeep.purge(PurgeBy.CURRENT, "rate:loan@4")
    await cache.offer(Question("held"), generated("?", cites=""), SCOPE)
    await cache.upkeep.tend()
    return cache


async def moved(stage: Stage, log) -> int:
    return await migrate(log, OTHER, stage.judge, stage.clock)


async def test_everything_but_the_vectors_is_carried_over():
    stage = Stage()
    await filled(stage)
    assert await moved(stage, stage.log) == 2
    cache = await Stage(log=stage.log, embedder=OTHER, clock=stage.clock).open()
    kept, held = await cache.upkeep.entries()
    assert (kept.question, kept.hits, kept.right, kept.wrong, kept.held) == (FEE.text, 1, 2, 0, False)
    assert (held.question, held.held) == ("held", True)
    assert await served(cache, "what is the fee for paying when abroad") == "It is 3 percent."
    assert (await cache.offer(Question("q"), approved("y", stamps=("rate:loan@3",)), SCOPE)).outcome == "stale"
    assert await cache.upkeep.disagreements() == []


async def test_nothing_of_the_old_vectors_stays_and_a_second_time_does_nothing():
    stage = Stage()
    await filled(stage)
    before = stage.log.head()
    await moved(stage, stage.log)
    assert (await stage.log.read(0))[0].seq == before + 1
    assert await moved(stage, stage.log) == 0
    assert await migrate(ScriptedLog(), OTHER, stage.judge, stage.clock) == 0


async def test_a_process_with_the_old_embedder_is_told():
    stage = Stage()
    cache = await filled(stage)
    await moved(stage, stage.log)
    with pytest.raises(StoreError, match="migrated"):
        await served(cache, FEE)
    with pytest.raises(ConfigError):
        await Stage(log=stage.log).open()


async def test_private_entries_stay_sealed():
    raw = ScriptedLog()
    stage = Stage(private_log=SealedLog(raw, AesGcm(bytes(32))))
    await (await stage.open()).offer(FEE, own(), ALICE)
    await moved(stage, stage.log)
    assert await moved(stage, stage.private_log) == 1
    assert not any(b"alice" in event.body for event in await raw.read(0))
    again = Stage(log=stage.log, private_log=stage.private_log, embedder=OTHER)
    assert await served(await again.open(), FEE, ALICE) == "Your fee is 1 percent."


async def test_a_migration_that_fails_changes_nothing():
    stage = Stage()
    cache = await filled(stage)
    before = await stage.log.read(0)
    with pytest.raises(EngineError):
        await migrate(stage.log, ScriptedEmbedder(dim=64, fault=EngineError("away")), stage.judge, stage.clock)

    class Late(ScriptedEmbedder):
        async def embed(self, texts):
            await cache.upkeep.purge(PurgeBy.STAMP, "x@1")
            return await super().embed(texts)

    with pytest.raises(BusyError):
        await migrate(stage.log, Late(dim=64), stage.judge, stage.clock)
    assert (await stage.log.read(0))[: len(before)] == before
    assert await served(cache, FEE) == "It is 3 percent."
