"""A cache on scripted parts, for tests of the cache."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from teller.cache.partition import Basis
from teller.cache.rules import CacheRules
from teller.cache.semantic import CacheStore, PlainUse, SemanticCache
from teller.cache.verdict import Judge, MinSimilarity
from teller.engines.scripted import ScriptedEmbedder, ScriptedIndex, ScriptedLog
from teller.engines.scripted_surroundings import ScriptedClock
from teller.ports import CacheLog, Snapshots
from teller.turn import Answer, Citation, DataClass, Hit, Question, Scope, Source, Value, ValueKind

SCOPE = Scope("bank", "en-GB")
ALICE = Scope("bank", "en-GB", customer="alice")
BOB = Scope("bank", "en-GB", customer="bob")
BASIS = Basis("model-1", "prompt-1", "policy-1", "knowledge-1")
FEE = Question("what is the fee for paying abroad")


@dataclass
class Stage:
    """Parts that several caches may share: give two stages one log and they are two processes."""

    log: CacheLog = field(default_factory=ScriptedLog)
    private_log: CacheLog | None = None
    clock: ScriptedClock = field(default_factory=ScriptedClock)
    embedder: ScriptedEmbedder = field(default_factory=ScriptedEmbedder)
    judge: Judge = field(default_factory=lambda: MinSimilarity(0.8))
    rules: CacheRules = field(default_factory=lambda: CacheRules(eligible=lambda *_: None))
    snapshots: Snapshots | None = None
    basis: Basis = BASIS
    monitor: object = None

    async def open(self) -> SemanticCache:
        """A cache that has read its logs."""
        store = CacheStore(
            log=self.log,
            make_index=lambda: ScriptedIndex(self.embedder.dim),
            snapshots=self.snapshots,
            private_log=self.private_log,
            monitor=self.monitor,
        )
        cache = SemanticCache(
            store,
            self.embedder,
            self.judge,
            basis=lambda: self.basis,
            rules=self.rules,
            clock=self.clock,
            plain=PlainUse(SCOPE, Question),
        )
        await cache.open()
        return cache


def approved(text: str = "It is 3 percent.", answer_id: str = "fees.abroad", **changes: object) -> Answer:
    """An approved answer."""
    return replace(Answer(text, Source.APPROVED, answer_id), **changes)


def generated(text: str = "Three percent.", *, cites: str = "fees.abroad") -> Answer:
    """A generated answer; without a citation it is not grounded."""
    citations = (Citation(cites, "Fees", "1"),) if cites else ()
    return Answer(text, Source.MODEL, cites or "hash:1", citations=citations)


def own(text: str = "Your fee is 1 percent.") -> Answer:
    """A customer's own answer."""
    return approved(text, "own.fee", data_class=DataClass.CUSTOMER)


def money(canonical: str, text: str) -> Question:
    """A question with an amount in it."""
    return Question(text, (Value(ValueKind.MONEY, canonical, 0, 1),))


async def served(cache: SemanticCache, question: Question | str, scope: Scope = SCOPE) -> str:
    """What is answered, or why nothing is."""
    asked = Question(question) if isinstance(question, str) else question
    found = await cache.lookup(asked, scope)
    return found.answer.text if isinstance(found, Hit) else found.reason.value
