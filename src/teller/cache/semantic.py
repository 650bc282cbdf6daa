"""The semantic cache: an earlier answer for a question that means the same, or the reason why not.

`lookup` goes down eight steps, each of which can end it: eligibility, partition, exact text, neighbours, judgement,
expiry, accuracy, evidence. `offer` puts an answer in if it may be given again. Everything that changes goes through the
log, so several processes on one log see one cache, and what one of them has purged no other serves.

For one event loop: searches and changes run on its thread and never meet (see replica.py). Not here: whether two
questions mean the same (the judge), and which may be looked up (the bank's policy).
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from teller.cache.canonical import exact_text
from teller.cache.entries import State
from teller.cache.erasure import Erasure, erase
from teller.cache.flight import Flights
from teller.cache.holdings import Making, Shelf
from teller.cache.keeping import Keeper, Offer, Partitions, Reader
from teller.cache.neighbours import near
from teller.cache.partition import Basis
from teller.cache.replica import Replica
from teller.cache.rules import CacheRules, Offered
from teller.cache.shadow import ShadowChecks
from teller.cache.upkeep import Upkeep
from teller.cache.verdict import ClassMonitor, Judge, Probe, Reject
from teller.errors import InputError
from teller.ports import CacheLog, Clock, Embedder, Snapshots, VectorIndex, Vectors
from teller.turn import Answer, DataClass, Evidence, Hit, Miss, MissReason, Question, Scope, Source, Tier

_Place = tuple[Replica, Shelf]


@dataclass(frozen=True, slots=True)
class PlainUse:
    """For `check_cache` and `add_to_cache`: on whose behalf, and how a text becomes a redacted question."""

    scope: Scope
    read: Callable[[str], Question]


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStore:
    """Where a cache is kept.

    Attributes:
        log: of the shared classes of data.
        make_index: gives an empty index; each partition has its own.
        snapshots: of the shared log's state, to start fast.
        private_log: of customers' own answers, encrypted; without it they are not kept.
        monitor: is told calibrations and checked hits, those of other processes too.
    """

    log: CacheLog
    make_index: Callable[[], VectorIndex]
    snapshots: Snapshots | None = None
    monitor: ClassMonitor | None = None
    private_log: CacheLog | None = None


class SemanticCache:
    """Lookup and offer over one shared log, and one private log if customers' own answers are kept.

    Args:
        basis: what answers are made from at present.
        plain: needed for `check_cache` and `add_to_cache` only.

    Attributes:
        upkeep: of the shared entries.
        private_upkeep: of customers' own; None if they are not kept.
        shadow: is told of every hit; set it once the bot that answers anew is there.
    """

    def __init__(
        self,
        store: CacheStore,
        embedder: Embedder,
        judge: Judge,
        *,
        basis: Callable[[], Basis],
        rules: CacheRules,
        clock: Clock,
        plain: PlainUse | None = None,
    ) -> None:
        self.rules = rules
        self.judge = judge
        self.shadow: ShadowChecks | None = None
        self._basis = basis
        self._clock = clock
        self._snapshots = store.snapshots
        self._plain = plain
        making = Making(store.make_index, embedder.name, embedder.dim, judge.name)
        self._shared = Replica(store.log, replace(making, monitor=store.monitor))
        self._private = Replica(store.private_log, making) if store.private_log is not None else None
        self.upkeep = Upkeep(self._shared, rules, clock, snapshots=store.snapshots)
        self.private_upkeep = Upkeep(self._private, rules, clock) if self._private is not None else None
        self._flights = Flights()
        self._partitions = Partitions()
        self._reader = Reader(embedder, judge)
        self._keeper = Keeper(
            self._shared,
            self._private,
            rules=rules,
            reader=self._reader,
            partitions=self._partitions,
            basis=basis,
            clock=clock,
        )

    async def open(self) -> None:
        """Read snapshot and logs; call once, before anything else.

        Raises:
            ConfigError: if the cache was filled with another embedder.
            StoreCorrupt: if a log cannot be read.
        """
        await self._shared.open(self._snapshots)
        if self._private is not None:
            await self._private.open()

    async def close(self) -> None:
        """Tell the logs what they have not been told, and keep a snapshot. The logs stay open: they are their owner's.

        Raises:
            StoreError: if that cannot be written; nothing that was acknowledged is lost.
        """
        for replica in self._replicas():
            await replica.tell(self._clock.now())
        if self._snapshots is not None:
            self._shared.save(self._snapshots)

    async def catch_up(self) -> None:
        """Read what other processes have written since the last look.

        Raises:
            StoreError: if a log cannot be read.
        """
        for replica in self._replicas():
            await replica.catch_up()

    async def lookup(self, question: Question, scope: Scope, *, basis: Basis | None = None) -> Hit | Miss:
        """An earlier answer that may be given to this question, or why there is none.

        Args:
            question: redacted.
            scope: on whose behalf, as the channel verified it.
            basis: what this call's answers are made from, if that differs from the present.

        Raises:
            InputError: if the question is empty, or a part of the partition is missing.
            EngineError: if the question cannot be embedded.
            StoreError: if the log cannot be read.
        """
        reason = self.rules.why_not(question, scope)
        if reason is not None:
            return Miss(reason)
        basis = basis or self._basis()
        await self.catch_up()
        shelves = self._shelves(scope, basis)
        found = self._exact(question, shelves)
        if isinstance(found, Hit):
            self._tell_shadow(question, scope, found, risk_class="")
            return found
        if not any(len(shelf.index) for _, shelf in shelves):
            return found
        if not self.judge.neighbours:
            return Miss(MissReason.CLASS_CLOSED if found.reason is MissReason.EMPTY else found.reason)
        embedded = await self._reader.read(question)
        await self.catch_up()  # what was purged meanwhile is not served
        decided, risk_class = self._decide(question, embedded, self._shelves(scope, basis), found)
        if isinstance(decided, Hit):
            self._tell_shadow(question, scope, decided, risk_class)
        return decided

    async def offer(
        self, question: Question, answer: Answer, scope: Scope, *, basis: Basis | None = None, cost_ms: float = 0.0
    ) -> Offered:
        """Keep a whole, checked answer to be given again, if the rules allow it.

        An approved answer, and a generated one that was found to agree with what it cites, is served at once; any other
        waits in quarantine. What is said to be kept survives kill -9.

        Args:
            question: redacted.
            answer: whole, not a part of a stream.
            scope: on whose behalf, as the channel verified it.
            basis: what the answer was made from, if that differs from the present.
            cost_ms: what making it took; dearer ones are evicted later.

        Raises:
            InputError: if question or answer is empty, or a part of the partition is missing.
            EngineError: if the question cannot be embedded.
            StoreError: if the log cannot be written.
        """
        return (await self.offer_all([Offer(question, answer, scope, basis, cost_ms)]))[0]

    async def offer_all(self, offers: Sequence[Offer]) -> list[Offered]:
        """`offer` many at once: embedded together, and written all or none (the customers' own apart).

        Raises:
            InputError: if one of them cannot be read; none is kept.
            EngineError, StoreError: as `offer`.
        """
        await self.catch_up()
        kept = await self._keeper.keep(offers)
        await self.upkeep.relieve()
        return kept

    def basis_with(self, adapters: tuple[str, ...]) -> Basis:
        """What the answers of a call with these adapter digests are made from at present."""
        present = self._basis()
        return present if present.adapters == adapters else replace(present, adapters=adapters)

    async def flight(
        self,
        question: Question,
        scope: Scope,
        make: Callable[[], Awaitable[Answer]],
        *,
        basis: Basis | None = None,
    ) -> Answer:
        """The answer of `make`; askings of the same text, scope and basis while it is made share it.

        Cancelling one caller does not disturb the others. An error of `make` reaches all who wait.
        """
        return await self._flights.join((scope, basis or self._basis(), exact_text(question)), make)

    async def erase(self, customer: str) -> Erasure | None:
        """Erase everything of a customer, with proof; None if customers' own answers are not kept.

        Raises:
            InputError: if no customer is named.
            StoreError: if it could not be done.
        """
        if self._private is None:
            return None
        return await erase(self._private, customer, self._clock)

    async def check_cache(self, query: str) -> str | None:
        """An earlier answer's text, or None.

        Raises:
            InputError: (a ValueError) if the query is empty.
        """
        plain = self._plain_use(query)
        found = await self.lookup(plain.read(query), plain.scope)
        return found.answer.text if isinstance(found, Hit) else None

    async def add_to_cache(self, query: str, response: str) -> None:
        """Keep an answer that the caller vouches for.

        Raises:
            InputError: (a ValueError) if query or response is empty, or the rules do not allow to keep it.
        """
        plain = self._plain_use(query, response)
        digest = hashlib.sha256(response.strip().encode("utf-8", "surrogatepass")).hexdigest()
        answer = Answer(response.strip(), Source.APPROVED, f"text:{digest[:32]}")
        offered = await self.offer(plain.read(query), answer, plain.scope)
        if offered.entry_id is None:
            raise InputError(f"this answer cannot be kept: {offered.outcome}")

    def _replicas(self) -> list[Replica]:
        return [self._shared] if self._private is None else [self._private, self._shared]

    def _sign(self, replica: Replica) -> int:
        """The two logs number their entries alike; outside, a customer's own have numbers below 0."""
        return -1 if replica is self._private else 1

    def _shelves(self, scope: Scope, basis: Basis) -> list[_Place]:
        """Partitions whose answers this scope may be given, the customer's own first."""
        own = self._private if scope.customer is not None else None
        places = [(own, DataClass.CUSTOMER), (self._shared, DataClass.PRODUCT), (self._shared, DataClass.PUBLIC)]
        found = []
        for replica, data_class in places:
            if replica is not None:
                shelf = replica.state.shelves.get(self._partitions.of(scope, data_class, basis)[1])
                found += [(replica, shelf)] if shelf is not None else []
        return found

    def _exact(self, question: Question, shelves: list[_Place]) -> Hit | Miss:
        exact, reason = exact_text(question), MissReason.EMPTY
        for replica, shelf in shelves:
            entries = replica.state.entries
            row = entries.exact(shelf.digest, shelf.place, question, exact)
            if row < 0:
                continue
            state = int(entries.column("state")[row])  # NumPy's own integers are slow to compare with an enum's
            if state != State.LIVE:
                reason = MissReason.STALE if state == State.STALE else reason
            elif entries.column("expires_at")[row] <= self._clock.now():
                reason = MissReason.EXPIRED
            elif entries.accuracy(row) < self.rules.min_accuracy:
                reason = MissReason.UNCERTAIN
            else:
                entry_id = self._sign(replica) * int(entries.column("id")[row])
                return _serve(replica, row, Evidence(Tier.EXACT, entry_id, entries.text(row).question))
        return Miss(reason)

    def _decide(
        self, question: Question, embedded: tuple[Vectors, Vectors | None], shelves: list[_Place], missed: Miss
    ) -> tuple[Hit | Miss, str]:
        """The judge's verdict on the neighbours and their risk class; `missed` is what the exact tier said."""
        vector, tokens = embedded
        now, wanted, min_accuracy = self._clock.now(), self.judge.neighbours, self.rules.min_accuracy
        found = [
            (neighbour, replica)
            for replica, shelf in shelves
            for neighbour in near(
                replica, shelf, vector, wanted=wanted, now=now, min_accuracy=min_accuracy, sign=self._sign(replica)
            )
        ]
        if not found:
            return missed, ""
        found.sort(key=lambda one: (-one[0].similarity, one[0].entry_id))
        neighbours = tuple(neighbour for neighbour, _ in found[: self.judge.neighbours])
        risk_class = self.rules.risk_class(question, neighbours[0].data_class)
        taught = [shelf.metric for _, shelf in shelves if shelf.metric is not None]
        metric = max(taught, key=lambda one: one.learned_from, default=None)
        verdict = self.judge.judge(Probe(question, vector, tokens, neighbours, risk_class, metric))
        if isinstance(verdict, Reject):
            reason = verdict.reason if missed.reason is MissReason.EMPTY else missed.reason
            return Miss(reason, neighbours[0].similarity), risk_class
        served, replica = next(one for one in found if one[0].entry_id == verdict.entry_id)
        evidence = Evidence(
            Tier.SEMANTIC,
            served.entry_id,
            served.question,
            served.similarity,
            verdict.votes,
            len(neighbours),
            verdict.probability,
            verdict.bound,
            dict(verdict.checks),
        )
        return _serve(replica, replica.state.entries.row_of(abs(served.entry_id)), evidence), risk_class

    def _tell_shadow(self, question: Question, scope: Scope, hit: Hit, risk_class: str) -> None:
        """A customer's own answer is not made again behind their back."""
        if self.shadow is not None and hit.answer.data_class is not DataClass.CUSTOMER:
            self.shadow.consider(question, scope, hit.answer, risk_class)

    def _plain_use(self, *texts: str) -> PlainUse:
        if not all(isinstance(text, str) and text.strip() for text in texts):
            raise InputError("query and response are texts that are not empty")
        if self._plain is None:
            raise InputError("this cache was built without `plain`: it does not know on whose behalf to look")
        return self._plain


def _serve(replica: Replica, row: int, evidence: Evidence) -> Hit:
    replica.served[abs(evidence.entry_id)] += 1
    return Hit(replace(replica.state.entries.answer(row), source=Source.CACHE, evidence=evidence))
