"""Turns for tests of the turn log and of what reads it."""

from __future__ import annotations

from dataclasses import replace

from teller.stores.turn_log import TurnLog
from teller.turn import (
    Answer,
    Citation,
    DataClass,
    Evidence,
    LookupRecord,
    MissReason,
    Question,
    Scope,
    Source,
    Tier,
    Toggle,
    ToggleRecord,
    TurnRecord,
)

SCOPE = Scope("bank", "en-GB")
START = 1_795_000_000.0  # November 2026
OLD, NEW = "banking-lora@0123456789ab", "banking-lora@ba9876543210"
ENABLED = ToggleRecord(START + 50, Toggle.ENABLE, OLD, NEW, "ann", "released")


def composed(number: int = 0, **changes) -> TurnRecord:
    """A miss that the generator answered, `number` seconds after START."""
    record = TurnRecord(
        turn_id=f"turn-{number}",
        call_id=f"call-{number // 2}",
        started_at=START + number,
        scope=SCOPE,
        question=Question("how do I freeze my card"),
        answer=Answer(
            "Tap Freeze.", Source.MODEL, "cards.freeze", citations=(Citation("cards.freeze", "Freezing", "1"),)
        ),
        timings_ms={"hear": 100.0, "redact": 1.0, "cache": 9.0 + number / 1000, "generate": 500.0, "speak": 50.0},
        miss_reason=MissReason.TOO_FAR,
        similarity=0.5,
        grounded=True,
        adapter=OLD,
        pieces=40,
    )
    return replace(record, **changes)


def hit(number: int = 0, tier: Tier = Tier.SEMANTIC, data_class: DataClass = DataClass.PUBLIC, **changes) -> TurnRecord:
    """A turn that the cache answered."""
    evidence = Evidence(tier, 7, "freeze my card", 0.97, 11, 12, 0.995, 0.008, {"values": "equal"})
    answer = Answer("Tap Freeze.", Source.CACHE, "cards.freeze", data_class, evidence=evidence)
    timings = {"hear": 100.0, "redact": 1.0, "cache": 4.0 + number / 1000, "speak": 50.0}
    return composed(
        number,
        **{
            "answer": answer,
            "timings_ms": timings,
            "miss_reason": None,
            "similarity": 0.97,
            "grounded": None,
            "pieces": 0,
        }
        | changes,
    )


def lookup_of(record: TurnRecord) -> LookupRecord:
    """What the cache told of a turn before it ended."""
    found = record.answer.evidence
    return LookupRecord(
        record.started_at,
        record.scope.tenant,
        found.tier if found else record.miss_reason,
        record.answer.data_class if found else None,
        record.similarity,
        record.timings_ms["cache"],
    )


def write(path, *records, **options) -> TurnLog:
    """Log records and close the log."""
    log = TurnLog(path, **options)
    tell(log, *records)
    log.close()
    return log


def tell(log, *records) -> None:
    """Tell an observer facts of any sort."""
    told = {TurnRecord: log.turn_finished, LookupRecord: log.lookup_finished, ToggleRecord: log.adapter_toggled}
    for record in records:
        told.get(type(record), log.training_advanced)(record)
