"""How an answer comes into the cache: weighed, embedded, written, and looked at again once the log has it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from teller.cache.canonical import exact_text
from teller.cache.events import Kind, Put, write
from teller.cache.partition import Basis, Partition, partition_of
from teller.cache.replica import Replica
from teller.cache.rules import CacheRules, Offered, Outcome, is_trusted
from teller.cache.verdict import Judge
from teller.ports import Clock, Embedder, Vectors
from teller.turn import Answer, DataClass, Question, Scope
from teller.values.figures import in_figures

_KNOWN_PARTITIONS = 8_192


@dataclass(frozen=True, slots=True)
class Offer:
    """An answer to be kept, as `SemanticCache.offer` takes it."""

    question: Question
    answer: Answer
    scope: Scope
    basis: Basis | None = None
    cost_ms: float = 0.0


class Partitions:
    """Partitions with their digests, which take longer to compute than everything else on the exact tier."""

    def __init__(self) -> None:
        self.of = lru_cache(maxsize=_KNOWN_PARTITIONS)(_with_digest)


class Reader:
    """What one pass of the embedder gives for questions, as the judge wants it.

    Attributes:
        judge: also makes the sketches.
    """

    def __init__(self, embedder: Embedder, judge: Judge) -> None:
        self.judge = judge
        self._embedder = embedder

    async def read(self, question: Question) -> tuple[Vectors, Vectors | None]:
        """Sentence vector and, if the judge wants them, token vectors.

        Raises:
            EngineError: if the embedder fails.
        """
        if self.judge.wants_tokens:
            return await self._embedder.embed_tokens(in_figures(question))
        return (await self._embedder.embed([in_figures(question)]))[0], None

    async def read_all(self, questions: Sequence[Question]) -> list[tuple[Vectors, Vectors | None]]:
        """`read` of many, together where that is possible.

        Raises:
            EngineError: if the embedder fails.
        """
        if self.judge.wants_tokens:
            return [await self.read(question) for question in questions]
        vectors = await self._embedder.embed([in_figures(question) for question in questions])
        return [(vector, None) for vector in vectors]


class Keeper:
    """Keeps what is offered, in the shared log or the private one."""

    def __init__(
        self,
        shared: Replica,
        private: Replica | None,
        *,
        rules: CacheRules,
        reader: Reader,
        partitions: Partitions,
        basis: Callable[[], Basis],
        clock: Clock,
    ) -> None:
        self._shared, self._private = shared, private
        self._rules = rules
        self._reader = reader
        self._partitions = partitions
        self._basis = basis
        self._clock = clock

    async def keep(self, offers: Sequence[Offer]) -> list[Offered]:
        """As `SemanticCache.offer_all`; the replicas have caught up."""
        present = self._basis()
        offers = [replace(offer, basis=offer.basis or present) for offer in offers]
        outcomes = [self._weigh(offer) for offer in offers]
        wanted = [place for place, found in enumerate(outcomes) if found.outcome is Outcome.KEPT]
        embedded = await self._reader.read_all([offers[place].question for place in wanted])
        puts = {place: self._put(offers[place], *one) for place, one in zip(wanted, embedded, strict=True)}
        for replica in filter(None, (self._shared, self._private)):
            mine = [place for place in wanted if self._replica_of(offers[place].answer) is replica]
            found = await self._write(replica, [puts[place] for place in mine])
            for place, outcome in zip(mine, found, strict=True):
                outcomes[place] = outcome
        return outcomes

    def _replica_of(self, answer: Answer) -> Replica | None:
        return self._private if answer.data_class is DataClass.CUSTOMER else self._shared

    def _weigh(self, offer: Offer) -> Offered:
        """Whether an offer may be kept, as far as can be said before it is embedded."""
        answer, basis = offer.answer, offer.basis
        refused = self._rules.why_not_keep(offer.question, answer, offer.scope)
        if refused is not None:
            return Offered(refused)
        replica = self._replica_of(answer)
        if replica is None or basis is None:
            return Offered(Outcome.NOT_ELIGIBLE)
        partition, digest = self._partitions.of(offer.scope, answer.data_class, basis)
        if replica.state.orders.forbid(answer.stamps, partition):
            return Offered(Outcome.STALE)
        same = self._same(replica, digest, offer)
        return Offered(Outcome.SAME, same) if same is not None else Offered(Outcome.KEPT)

    def _same(self, replica: Replica, digest: bytes, offer: Offer) -> int | None:
        """An entry that says the same on the same asking and has half its life before it."""
        entries, shelf = replica.state.entries, replica.state.shelves.get(digest)
        if shelf is None:
            return None
        row = entries.exact(digest, shelf.place, offer.question, exact_text(offer.question))
        if row < 0 or entries.column("state")[row] or entries.answer(row) != replace(offer.answer, evidence=None):
            return None
        left_s = entries.column("expires_at")[row] - self._clock.now()
        return int(entries.column("id")[row]) if left_s > self._rules.ttl_s[offer.answer.data_class] / 2 else None

    def _put(self, offer: Offer, vector: Vectors, tokens: Vectors | None) -> tuple[Partition, Put]:
        judge, data_class = self._reader.judge, offer.answer.data_class
        partition, digest = self._partitions.of(offer.scope, data_class, offer.basis or self._basis())
        put = Put(
            digest,
            offer.question,
            vector,
            offer.answer,
            expires_at=self._clock.now() + self._rules.ttl_s[data_class],
            trusted=is_trusted(offer.answer),
            cost_ms=offer.cost_ms,
            judge=judge.name,
            sketch=judge.sketch(offer.question, vector, tokens),
        )
        return partition, put

    async def _write(self, replica: Replica, puts: Sequence[tuple[Partition, Put]]) -> list[Offered]:
        """Write puts, each partition's key before its first one."""
        if not puts:
            return []
        now = self._clock.now()
        new = {put.partition: key for key, put in puts if put.partition not in replica.state.shelves}
        opening = [write(Kind.PARTITION, now, **partition.parts()) for partition in new.values()]
        last = await replica.append([*opening, *(put.event(now) for _, put in puts)])
        found = [_became(replica, entry_id) for entry_id in range(last - len(puts) + 1, last + 1)]
        stale = [one.entry_id for one in found if one.outcome is Outcome.STALE and one.entry_id]
        if stale:  # purged, erased or replaced while it was written: nothing of it stays
            await replica.append([], forget=stale)
        return [one if one.outcome is not Outcome.STALE else Offered(Outcome.STALE) for one in found]


def _became(replica: Replica, entry_id: int) -> Offered:
    """What became of a put, now that the log has been applied."""
    if entry_id in replica.state.held:
        return Offered(Outcome.HELD, entry_id)
    return Offered(Outcome.KEPT if replica.state.entries.row_of(entry_id) >= 0 else Outcome.STALE, entry_id)


def _with_digest(scope: Scope, data_class: DataClass, basis: Basis) -> tuple[Partition, bytes]:
    partition = partition_of(scope, data_class, basis)
    return partition, partition.digest
