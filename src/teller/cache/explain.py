"""What a lookup would say and why, step by step, for an operator: nothing is served and no hit is counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from teller.cache.guards import Guards
from teller.cache.judge import CertifiedJudge, Opinion, Region
from teller.cache.semantic import SemanticCache
from teller.cache.verdict import Neighbour, Probe, Verdict
from teller.ports import Vectors
from teller.turn import Hit, MissReason, Question, Scope, Tier

_NEVER_LOOKED_UP = {
    MissReason.NOT_ELIGIBLE: "the bank's policy keeps such questions out of the cache",
    MissReason.NO_IDENTITY: "it needs a verified customer",
    MissReason.LOW_CONFIDENCE: "the transcript is too unsure",
    MissReason.DISABLED: "the cache is off (cache.mode)",
}


class Said(StrEnum):
    """What a step came to."""

    PASSED = "passed"
    SERVED = "served"
    ENDED = "ended"  # a miss, here


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a lookup."""

    name: str
    said: Said
    found: str


@dataclass(frozen=True, slots=True)
class Near:
    """A neighbour and what a guard says of it; `guard` is empty if none forbids its answer."""

    entry_id: int
    answer_id: str
    question: str
    similarity: float
    accuracy: float
    guard: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Every step of a lookup.

    Attributes:
        verdict: "hit", or the reason of the miss.
        entry_id: of the entry that would be served, None for a miss.
        probability: that the likeliest answer is right; None if the judge was not asked.
        min_probability: smallest that is served in the risk class; None if it was not asked or the class is closed.
    """

    question: Question
    verdict: str
    steps: tuple[Step, ...]
    neighbours: tuple[Near, ...] = ()
    entry_id: int | None = None
    answer: str = ""
    risk_class: str = ""
    probability: float | None = None
    min_probability: float | None = None


async def explain(
    cache: SemanticCache,
    question: Question,
    scope: Scope,
    *,
    guards: Guards,
    region: Callable[[str], Region | None],
) -> Explanation:
    """Explain one lookup.

    Args:
        cache: opened for this alone: its judge is watched meanwhile, and what it counts is not to reach the log.
        question: redacted.
        scope: on whose behalf.
        guards: the bank's, to say of each neighbour what forbids it.
        region: of a risk class, in force.

    Raises:
        InputError, EngineError, StoreError: as `SemanticCache.lookup`.
    """
    refused = cache.rules.why_not(question, scope)
    if refused is not None:
        why = _NEVER_LOOKED_UP.get(refused, "longer than cache rules allow")
        return Explanation(question, refused.value, (Step("eligibility", Said.ENDED, why),))
    judge, witness = cache.judge, _Witness(cache.judge) if isinstance(cache.judge, CertifiedJudge) else None
    cache.judge = witness or judge
    try:
        found = await cache.lookup(question, scope)
    finally:
        cache.judge = judge
    steps = [Step("eligibility", Said.PASSED, "may be looked up")]
    hit = found.answer if isinstance(found, Hit) else None
    evidence = hit.evidence if hit else None
    verdict = "hit" if hit else found.reason.value if not isinstance(found, Hit) else ""
    if evidence is not None and evidence.tier is Tier.EXACT:
        steps.append(Step("exact", Said.SERVED, f"asked in the same words: {evidence.matched!r}"))
        return Explanation(question, verdict, tuple(steps), entry_id=evidence.entry_id, answer=hit.text if hit else "")
    if witness is None or witness.probe is None or witness.opinion is None:
        steps.append(Step("exact", Said.ENDED, _NOTHING_NEAR.get(verdict, verdict)))
        return Explanation(question, verdict, tuple(steps))
    probe, opinion = witness.probe, witness.opinion
    in_force = region(probe.risk_class)
    near = tuple(_near(guards, question, neighbour) for neighbour in probe.neighbours)
    steps += _judged(probe, opinion, in_force, served=hit is not None, verdict=verdict)
    return Explanation(
        question,
        verdict,
        tuple(steps),
        near,
        entry_id=evidence.entry_id if evidence else None,
        answer=hit.text if hit else "",
        risk_class=probe.risk_class,
        probability=opinion.probability,
        min_probability=in_force.min_probability if in_force else None,
    )


_NOTHING_NEAR = {
    MissReason.EMPTY.value: "nobody asked in these words, and nothing is stored for this bank, model and policy",
    MissReason.CLASS_CLOSED.value: "nobody asked in these words, and cache.mode allows no others",
    MissReason.EXPIRED.value: "asked in these words, but the entry's time is over",
    MissReason.STALE.value: "asked in these words, but something that the answer rests on has changed",
    MissReason.UNCERTAIN.value: "asked in these words, but the entry was found wrong too often",
}


def _judged(probe: Probe, opinion: Opinion, region: Region | None, *, served: bool, verdict: str) -> list[Step]:
    near, best = probe.neighbours, opinion.best
    guard = f"{opinion.difference.rule}: {opinion.difference.found}" if opinion.difference else opinion.checks["guards"]
    limit = "the class is closed" if region is None else f"at least {region.min_probability:.4f} is wanted"
    if region is not None:
        certified = f"certified: at most {region.bound:.2%} of hits wrong" if region.bound is not None else ""
        limit += f" ({certified or 'an estimate from what misses taught'})"
    others = "; ".join(
        f"{name}: {said}" for name, said in opinion.checks.items() if name in ("consensus", "pair", "same words")
    )
    return [
        Step("exact", Said.PASSED, "nobody asked in these words"),
        Step("neighbours", Said.PASSED, f"{len(near)}, the nearest at {near[0].similarity:.3f}: {near[0].question!r}"),
        Step("consensus", Said.PASSED, f"{best.answer_id}; {others}; {_likeness(probe)}"),
        Step("guards", Said.ENDED if opinion.difference else Said.PASSED, guard),
        Step(
            "probability",
            Said.SERVED if served else Said.ENDED,
            f"{opinion.probability:.4f} in class {probe.risk_class!r}; {limit}; verdict: {verdict}",
        ),
    ]


def _likeness(probe: Probe) -> str:
    if probe.metric is None:
        return "likeness is the embedder's: the partition has too few entries to teach more"
    return f"half of the likeness is what {probe.metric.learned_from:,} entries taught"


def _near(guards: Guards, asked: Question, neighbour: Neighbour) -> Near:
    stored = guards.read(Question(neighbour.question, neighbour.values))
    difference = guards.difference(guards.read(asked), stored)
    return Near(
        neighbour.entry_id,
        neighbour.answer_id,
        neighbour.question,
        neighbour.similarity,
        neighbour.accuracy,
        f"{difference.rule}: {difference.found}" if difference else "",
    )


@dataclass(slots=True)
class _Witness:
    """The judge, remembering what it was shown and what it thought."""

    judge_in_force: CertifiedJudge
    probe: Probe | None = field(default=None)
    opinion: Opinion | None = field(default=None)
    neighbours: int = CertifiedJudge.neighbours

    @property
    def wants_tokens(self) -> bool:
        return self.judge_in_force.wants_tokens

    @property
    def name(self) -> str:
        return self.judge_in_force.name

    def sketch(self, question: Question, vector: Vectors, tokens: Vectors | None) -> bytes:
        return self.judge_in_force.sketch(question, vector, tokens)

    def judge(self, probe: Probe) -> Verdict:
        self.probe, self.opinion = probe, self.judge_in_force.opine(probe)
        return self.judge_in_force.judge(probe)
