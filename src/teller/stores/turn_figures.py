"""What logged turns amount to for the cache: how often it answered, where it did not and why, what it saved.

Exact, for whoever shows it; a million turns take a fraction of a second. How fast turns were is in `turn_speed`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from teller.stores.turn_reader import Span, Tally, TurnReader
from teller.turn import MissReason, Source

_NEVER_LOOKED_UP = (MissReason.NOT_ELIGIBLE, MissReason.NO_IDENTITY, MissReason.DISABLED)
_COMPOSED = (Source.MODEL, Source.APPROVED)
_Z = 1.96  # of 95 % of a normal distribution


@dataclass(slots=True)
class ClassHits:
    """Hits and misses of one class of answers.

    Attributes:
        hit_ms: mean time from question to answer of a hit; None without hits.
        composed_ms: the same of a miss for which an answer was composed; None without any.
        composed_pieces: mean pieces that the generator streamed for one.
    """

    hits: int = 0
    misses: int = 0
    by_tier: Counter[str] = field(default_factory=Counter)
    hit_ms: float | None = None
    composed_ms: float | None = None
    composed_pieces: float = 0.0

    @property
    def hit_rate(self) -> float | None:
        """Hits / lookups; None without lookups."""
        return share(self.hits, self.hits + self.misses)

    @property
    def saved_s(self) -> float | None:
        """Seconds that callers did not wait: hits x (mean of composing - mean of a hit); None if nothing tells."""
        if not self.hits:
            return 0.0
        if self.hit_ms is None or self.composed_ms is None:
            return None
        return self.hits * (self.composed_ms - self.hit_ms) / 1_000

    @property
    def saved_tokens(self) -> float:
        """Pieces that the generator would have streamed."""
        return self.hits * self.composed_pieces


@dataclass(frozen=True, slots=True)
class CacheHits:
    """How often the cache answered in a time range.

    Attributes:
        turns: that were answered, whether the cache was asked or not.
        unfinished: lookups whose turn was broken off before its answer; they count as hits and misses.
        never_looked_up: misses that the bank's policy or the settings keep away from the cache.
        by_class: also "unknown", for misses whose turn was broken off.
        hits_by_slot, lookups_by_slot: over the range in equal slots.
    """

    span: Span
    turns: int
    unfinished: int
    never_looked_up: int
    by_class: Mapping[str, ClassHits]
    by_reason: Mapping[str, int]
    by_source: Mapping[str, int]
    hits_by_slot: Sequence[int]
    lookups_by_slot: Sequence[int]

    @property
    def hits(self) -> int:
        """Answers that the cache gave."""
        return sum(one.hits for one in self.by_class.values())

    @property
    def misses(self) -> int:
        """Lookups that gave nothing."""
        return sum(one.misses for one in self.by_class.values())

    @property
    def hit_rate(self) -> float | None:
        """Hits / lookups; None without lookups."""
        return share(self.hits, self.hits + self.misses)

    @property
    def hit_rate_eligible(self) -> float | None:
        """Hits / lookups of what the cache may answer."""
        return share(self.hits, self.hits + self.misses - self.never_looked_up)

    @property
    def saved_s(self) -> float | None:
        """Sum over the classes of which it is known; None if it is known of none that has hits."""
        known = [one.saved_s for one in self.by_class.values() if one.hits and one.saved_s is not None]
        return sum(known) if known or not self.hits else None

    @property
    def saved_tokens(self) -> float:
        """Sum over the classes."""
        return sum(one.saved_tokens for one in self.by_class.values())


def cache_hits(reader: TurnReader, span: Span, slots: int = 40) -> CacheHits:
    """Count hits and misses of a range."""
    tallies, lone = reader.tallies(span, slots), reader.lone_lookups(span, slots)
    asked = [one for one in [*tallies, *lone] if one.kind.outcome]
    answered = [one for one in tallies if one.kind.source != Source.BROKEN_OFF]
    by_class: dict[str, list[Tally]] = {}
    for one in asked:
        by_class.setdefault(one.kind.data_class or "unknown", []).append(one)
    reasons: Counter[str] = Counter()
    sources: Counter[str] = Counter()
    for one in tallies:
        sources[one.kind.source] += one.turns
    for one in asked:
        if one.kind.is_miss:
            reasons[one.kind.outcome] += one.turns
    return CacheHits(
        span,
        turns=_turns(answered),
        unfinished=_turns(one for one in asked if one.kind.source in ("", Source.BROKEN_OFF)),
        never_looked_up=sum(reasons[reason] for reason in _NEVER_LOOKED_UP),
        by_class={name: _class_hits(by_class[name]) for name in sorted(by_class)},
        by_reason=dict(sorted(reasons.items(), key=lambda one: (-one[1], one[0]))),
        by_source=dict(sorted(sources.items(), key=lambda one: (-one[1], one[0]))),
        hits_by_slot=_by_slot((one for one in asked if one.kind.is_hit), slots),
        lookups_by_slot=_by_slot(asked, slots),
    )


def share(part: float, whole: float) -> float | None:
    """A part of a whole, None of nothing."""
    return part / whole if whole else None


def share_limits(part: int, whole: int) -> tuple[float, float] | None:
    """The score interval of a share at 95 % confidence (Wilson 1927); None of nothing."""
    if not whole:
        return None
    centre, spread = part + _Z**2 / 2, _Z * math.sqrt(part * (whole - part) / whole + _Z**2 / 4)
    return max(0.0, (centre - spread) / (whole + _Z**2)), min(1.0, (centre + spread) / (whole + _Z**2))


def _class_hits(rows: Sequence[Tally]) -> ClassHits:
    hits = [one for one in rows if one.kind.is_hit]
    timed = [one for one in hits if one.kind.source]  # a lookup without its turn says nothing of the rest of it
    composed = [one for one in rows if one.kind.is_miss and one.kind.source in _COMPOSED]
    found = ClassHits(
        hits=_turns(hits),
        misses=_turns(rows) - _turns(hits),
        hit_ms=share(sum(one.answer_ms for one in timed), _turns(timed)),
        composed_ms=share(sum(one.answer_ms for one in composed), _turns(composed)),
        composed_pieces=share(sum(one.pieces for one in composed), _turns(composed)) or 0.0,
    )
    for one in hits:
        found.by_tier[one.kind.outcome] += one.turns
    return found


def _turns(rows: Iterable[Tally]) -> int:
    return sum(one.turns for one in rows)


def _by_slot(rows: Iterable[Tally], slots: int) -> list[int]:
    found = [0] * slots
    for one in rows:
        found[one.slot] += one.turns
    return found
