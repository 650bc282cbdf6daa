"""Whether the cache ever gives an answer to somebody whose it is not.

    python -m benchmarks.cache_leaks [--lookups 1000000] [--seed 0] [--json]

Every answer says for whom it was made: tenant, locale, class of data, customer, model, adapters and versions. Askers
are drawn at random, many with names that were chosen to be confused (a blank, a wildcard, another's name with a
separator in it), while answers are added, evicted, purged and erased and the log is compacted. The judge accepts the
nearest answer whatever it is, so that only the partitions stand between one asker and another's answer. An asker
without a name must be refused. GPTCache, if it is installed, keeps the same customers apart by its sessions.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.cache_parts import RULES, SystemTime, machine, report
from teller.cache.events import PurgeBy
from teller.cache.partition import Basis
from teller.cache.sealed import SealedLog
from teller.cache.semantic import CacheStore, SemanticCache
from teller.cache.verdict import MinSimilarity
from teller.engines.faiss_index import FaissIndex
from teller.engines.scripted import ScriptedEmbedder
from teller.errors import InputError
from teller.stores.cipher import AesGcm
from teller.stores.sqlite_log import SqliteLog
from teller.turn import Answer, DataClass, Hit, Question, Scope, Source

TENANTS = ("bank", "bank2", "Bank", "bank:en-GB", '"bank"')
LOCALES = ("en-GB", "en-US", "*")
CUSTOMERS = ("alice", "alice2", "Alice", "al", "ice", "*", "%", "alice|bob", "bob", "null", "None", "0", "[]", "%00")
NAMELESS = ("", " ", "\t", "\u200b", "a b", "alice\n", "alice\0")
TEXTS = tuple(f"what is the {what} of {which}" for what in ("fee", "rate", "limit") for which in ("a", "b", "c", "d"))
CHANGE_EVERY = 40  # lookups for one change


def bases() -> list[Basis]:
    plain = Basis("model-1", "prompt-1", "policy-1", "knowledge-1")
    return [
        plain,
        replace(plain, base_model="model-2"),
        replace(plain, adapters=("sha256:a",)),
        replace(plain, adapters=("sha256:a", "sha256:b")),
        replace(plain, adapters=("sha256:ab",)),
        replace(plain, prompt="prompt-2"),
        replace(plain, policy="policy-2"),
        replace(plain, knowledge="knowledge-2"),
    ]


class Attack:
    """Random askers, and what they were given."""

    def __init__(self, cache: SemanticCache, seed: int) -> None:
        self.cache = cache
        self.draw = random.Random(seed)
        self.bases = bases()
        self.counts: Counter[str] = Counter()

    def scope(self) -> Scope:
        """A random asker; three in ten are not identified."""
        named = self.draw.random() < 0.7
        return Scope(
            self.draw.choice(TENANTS), self.draw.choice(LOCALES), self.draw.choice(CUSTOMERS) if named else None
        )

    async def look_up(self) -> None:
        """Ask as a random asker, and count what comes back."""
        scope, basis = self.scope(), self.draw.choice(self.bases)
        if self.draw.random() < 0.02:
            await self.nameless(scope, basis)
            return
        asked = Question(self.draw.choice(TEXTS) + self.draw.choice(("", " now", " today then")))
        found = await self.cache.lookup(asked, scope, basis=basis)
        self.counts["lookups"] += 1
        if isinstance(found, Hit):
            self.counts["hits"] += 1
            self.counts[f"hits_{found.answer.data_class}"] += 1
            self.counts["crossings"] += found.answer.text != made_for(found.answer.data_class, scope, basis)

    async def nameless(self, scope: Scope, basis: Basis) -> None:
        """Ask with a part of the key missing; that must be an error."""
        part = self.draw.choice(("tenant", "locale", "customer"))
        broken = replace(scope, **{part: self.draw.choice(NAMELESS)})
        self.counts["nameless"] += 1
        try:
            await self.cache.lookup(Question(self.draw.choice(TEXTS)), broken, basis=basis)
        except InputError:
            self.counts["nameless_refused"] += 1

    async def change(self) -> None:
        """Add, purge, erase or compact."""
        what, scope, basis = self.draw.random(), self.scope(), self.draw.choice(self.bases)
        if what < 0.9:
            data_class = self.draw.choice([DataClass.PUBLIC, DataClass.PRODUCT, DataClass.CUSTOMER, DataClass.CUSTOMER])
            if data_class is DataClass.CUSTOMER and scope.customer is None:
                return
            text = made_for(data_class, scope, basis)
            kept = Answer(text, Source.APPROVED, text, data_class=data_class, stamps=("sheet@1",))
            await self.cache.offer(Question(self.draw.choice(TEXTS)), kept, scope, basis=basis)
        elif what < 0.95:
            await self.cache.upkeep.purge(PurgeBy.TENANT, scope.tenant)
        elif what < 0.98 and scope.customer is not None:
            await self.cache.erase(scope.customer)
        else:
            await self.cache.upkeep.compact()


def made_for(data_class: DataClass, scope: Scope, basis: Basis) -> str:
    own = scope.customer if data_class is DataClass.CUSTOMER else None
    return repr((data_class.value, scope.tenant, scope.locale, own, basis))


async def teller(folder: Path, lookups: int, seed: int) -> dict[str, Any]:
    log, private = SqliteLog(folder / "log.sqlite"), SqliteLog(folder / "private.sqlite")
    embedder = ScriptedEmbedder(dim=32)
    store = CacheStore(
        log=log, make_index=lambda: FaissIndex(embedder.dim), private_log=SealedLog(private, AesGcm(bytes(32)))
    )
    cache = SemanticCache(
        store, embedder, MinSimilarity(-1.0), basis=lambda: bases()[0], rules=RULES, clock=SystemTime()
    )
    await cache.open()
    attack = Attack(cache, seed)
    for at in itertools.count():
        if attack.counts["lookups"] >= lookups:
            break
        if at % CHANGE_EVERY == 0 or at < 2_000:
            await attack.change()
        embedder.asked.clear()
        await attack.look_up()
    log.close()
    private.close()
    upper = 3 / attack.counts["hits"] if not attack.counts["crossings"] else None
    return {**dict(sorted(attack.counts.items())), "crossings": attack.counts["crossings"], "upper_95_of_hits": upper}


def gptcache(folder: Path, seed: int) -> dict[str, Any] | str:
    """Customers ask in sessions of their own; counts answers that were another's, and own ones that were refused."""
    try:
        from gptcache import Cache, Config
        from gptcache.adapter.api import get, init_similar_cache, put
        from gptcache.manager import manager_factory
        from gptcache.processor.post import first
        from gptcache.session import Session
        from gptcache.similarity_evaluation import SearchDistanceEvaluation
    except ImportError:
        return "skipped: gptcache is not installed"
    folder.mkdir()
    embedder, cache, draw = ScriptedEmbedder(dim=32), Cache(), random.Random(seed)

    class Embedding:
        dimension = embedder.dim

        @staticmethod
        def to_embeddings(text: str, **_: Any) -> Any:
            return asyncio.run(embedder.embed([text]))[0]

    manager = manager_factory("sqlite,faiss", data_dir=str(folder), vector_params={"dimension": embedder.dim})
    init_similar_cache(
        cache_obj=cache,
        embedding=Embedding,
        data_manager=manager,
        post_func=first,
        evaluation=SearchDistanceEvaluation(),
        config=Config(similarity_threshold=0.8),
    )
    counts: Counter[str] = Counter(lookups=0, hits=0, crossings=0, own_answers_refused=0)
    for customer in ("alice", "bob", "carol"):
        for text in TEXTS:
            put(text, f"for {customer}", cache_obj=cache, session=Session(name=customer, data_manager=manager))
    for _ in range(300):
        customer = draw.choice(("alice", "bob", "carol"))
        session = Session(name=f"{customer}", data_manager=manager)
        found = get(draw.choice(TEXTS), cache_obj=cache, session=session)
        counts["lookups"] += 1
        counts["hits"] += found is not None
        counts["crossings"] += found is not None and found != f"for {customer}"
        counts["own_answers_refused"] += found is None
    return dict(counts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lookups", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ours = asyncio.run(teller(Path(folder) / "teller", asked.lookups, asked.seed))
        rival = gptcache(Path(folder) / "gptcache", asked.seed)
    report({"teller": ours, "rivals": {"gptcache": rival}, "machine": machine()}, as_json=asked.json)


if __name__ == "__main__":
    main()
