"""What a partition's entries teach goes through the log: the same in every process, after restarts and compactions."""

import numpy as np
import pytest
from tests.cache.cache_stage import ALICE, BASIS, SCOPE, Stage, approved, own

from teller.cache.events import Kind, write
from teller.cache.keeping import Offer
from teller.cache.migration import migrate
from teller.cache.verdict import Accept
from teller.engines.scripted import ScriptedEmbedder, ScriptedLog
from teller.errors import StoreCorrupt
from teller.stores.snapshots import FileSnapshots
from teller.turn import Question, Scope

SUBJECTS = [
    "mortgage",
    "card",
    "loan",
    "savings",
    "pension",
    "transfer",
    "statement",
    "branch",
    "cheque",
    "overdraft",
    "refund",
    "pin",
]
FILLERS = [
    "please",
    "quickly",
    "today",
    "maybe",
    "someday",
    "kindly",
    "again",
    "now",
    "later",
    "soon",
    "really",
    "ever",
    "exactly",
    "simply",
    "perhaps",
]


class Watching:
    """A judge that remembers the metric it was given and serves the nearest."""

    name, neighbours, wants_tokens = "watching", 8, False

    def __init__(self) -> None:
        self.seen = []

    def sketch(self, *_):
        return b""

    def judge(self, probe):
        self.seen.append(probe.metric)
        return Accept(probe.neighbours[0].entry_id, 1, 1.0)


def asks(rounds: int, scope: Scope = SCOPE):
    """Twelve answers, each asked for in fifteen ways a round."""
    return [
        Offer(Question(f"{filler} the {subject} {number}"), approved(f"About a {subject}.", f"about.{subject}"), scope)
        for number in range(rounds)
        for subject in SUBJECTS
        for filler in FILLERS
    ]


async def filled(stage: Stage, rounds: int = 2):
    cache = await stage.open()
    await cache.offer_all(asks(rounds))
    return cache


async def metric_of(cache, scope: Scope = SCOPE):
    judge = cache.judge
    await cache.lookup(Question("what about my mortgage then"), scope)
    return judge.seen[-1]


async def lessons(log) -> int:
    return sum(event.kind == Kind.METRIC for event in await log.read(0))


async def test_a_partition_that_has_grown_teaches_once_and_every_process_hears_it():
    log = ScriptedLog()
    first, second = Stage(log, judge=Watching()), Stage(log, judge=Watching())
    cache, other = await filled(first), await second.open()
    assert await metric_of(cache) is None
    await cache.upkeep.tend()
    await cache.upkeep.tend()
    await other.upkeep.tend()
    assert await lessons(log) == 1
    taught = await metric_of(cache)
    assert taught.learned_from == 360
    assert np.array_equal(taught.directions, (await metric_of(other)).directions)


async def test_few_entries_teach_nothing():
    stage = Stage(judge=Watching())
    cache = await filled(stage, rounds=1)
    await cache.upkeep.tend()
    assert await metric_of(cache) is None


async def test_a_partition_learns_nothing_from_another():
    stage = Stage(judge=Watching())
    cache = await filled(stage)
    theirs = Scope("other", "en-GB")
    await cache.offer_all(asks(1, theirs))
    await cache.upkeep.tend()
    assert await metric_of(cache, theirs) is None
    assert await metric_of(cache) is not None


async def test_customers_own_answers_teach_nothing():
    stage = Stage(private_log=ScriptedLog(), judge=Watching())
    cache = await stage.open()
    offers = [Offer(one.question, own(one.answer.text), ALICE) for one in asks(2)]
    await cache.offer_all(offers)
    assert await cache.private_upkeep.learn() == 0
    assert await lessons(stage.private_log) == 0


async def test_what_was_taught_is_there_after_a_restart_with_and_without_a_snapshot(tmp_path):
    stage = Stage(judge=Watching(), snapshots=FileSnapshots(tmp_path))
    cache = await filled(stage)
    await cache.upkeep.tend()
    taught = await metric_of(cache)
    await cache.close()
    for snapshots in (stage.snapshots, None):
        again = await Stage(stage.log, judge=Watching(), snapshots=snapshots).open()
        assert np.array_equal((await metric_of(again)).directions, taught.directions)
        assert await again.upkeep.learn() == 0


async def test_a_compaction_keeps_the_newest_lesson_alone(tmp_path):
    stage = Stage(judge=Watching(), snapshots=FileSnapshots(tmp_path))
    cache = await filled(stage)
    await cache.upkeep.tend()
    await cache.close()
    again = await stage.open()
    await again.offer_all(asks(3))
    await again.upkeep.tend()
    assert await lessons(stage.log) == 2
    taught = await metric_of(again)
    assert taught.learned_from == 540
    await again.upkeep.compact()
    assert await lessons(stage.log) == 1
    fresh = await Stage(stage.log, judge=Watching()).open()
    assert np.array_equal((await metric_of(fresh)).directions, taught.directions)


async def test_a_lesson_for_a_partition_that_is_gone_is_passed_over():
    stage = Stage(judge=Watching())
    cache = await filled(stage)
    await cache.upkeep.tend()
    lesson = next(event for event in await stage.log.read(0) if event.kind == Kind.METRIC)
    await stage.log.append([write(Kind.METRIC, 0.0, p="00" * 16, n=400, m="AAAA" * 512)])
    assert await metric_of(cache) is not None
    assert lesson.seq not in cache._shared.state.disposable


@pytest.mark.parametrize("body", [{}, {"p": "zz", "n": 1, "m": ""}, {"p": "00", "n": 1, "m": "AAAA"}])
async def test_a_broken_lesson_is_an_error_not_a_guess(body):
    stage = Stage(judge=Watching())
    cache = await stage.open()
    await stage.log.append([write(Kind.METRIC, 0.0, **body)])
    with pytest.raises(StoreCorrupt, match="metric"):
        await cache.catch_up()


async def test_another_embedder_takes_no_lesson_over():
    stage = Stage(judge=Watching())
    cache = await filled(stage)
    await cache.upkeep.tend()
    fresh = ScriptedEmbedder(dim=64)
    await migrate(stage.log, fresh, cache.judge, stage.clock)
    moved = await Stage(stage.log, judge=Watching(), embedder=fresh).open()
    assert await lessons(stage.log) == 0
    assert await metric_of(moved) is None
    await moved.upkeep.tend()
    assert (await metric_of(moved)).directions.shape[0] == 64


async def test_another_basis_begins_without_lessons():
    stage = Stage(judge=Watching())
    cache = await filled(stage)
    await cache.upkeep.tend()
    tuned = cache.basis_with(("sha256:aa",))
    await cache.offer_all([Offer(one.question, one.answer, SCOPE, tuned) for one in asks(1)])
    assert tuned != BASIS
    await cache.lookup(Question("what about my mortgage then"), SCOPE, basis=tuned)
    assert cache.judge.seen[-1] is None
