"""Records for tests of what is made of them."""

import uuid

from teller.turn import Answer, DataClass, Evidence, LookupRecord, Question, Scope, Source, Tier, TurnRecord

SECRET = "Wilhelmina asked about 12,345 pounds"  # stands for anything that was said


def turn(call_id="", *, source=Source.CACHE, **changes) -> TurnRecord:
    """A cache hit unless a test wants something else."""
    evidence = Evidence(Tier.EXACT, 7, SECRET) if source is Source.CACHE else None
    facts = {
        "turn_id": uuid.uuid4().hex,
        "call_id": call_id or uuid.uuid4().hex,
        "started_at": 1_750_000_000.0,
        "scope": Scope("bank", "en-GB", customer="customer-4711"),
        "question": Question(SECRET),
        "answer": Answer(SECRET, source, f"tool:{SECRET}", evidence=evidence),
        "timings_ms": {"redact": 0.05, "cache": 0.2, "speak": 2.0},
        "answered_ms": 0.4,
    }
    return TurnRecord(**facts | changes)


def lookup(outcome=Tier.EXACT, *, tenant="bank", spent_ms=0.2) -> LookupRecord:
    data_class = DataClass.PUBLIC if isinstance(outcome, Tier) else None
    return LookupRecord(1_750_000_000.0, tenant, outcome, data_class, 1.0, spent_ms)
