"""What an operator asks of the cache beyond its upkeep: why a question is answered as it is, and how far it is trusted.

Not here: how any of it is printed (cli/cache_manager.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from teller.bank_files import Bank, read_bank
from teller.banking import policy
from teller.banking.tools import Toolbox
from teller.cache.calibration import Certificate, Record, calibrate, calibration_body, check_share, upper_bound
from teller.cache.explain import Explanation, Said, Step, explain
from teller.cache.guards import Guards
from teller.cache.replay import Labelled, Replayed, read_labelled, replay
from teller.cache_wiring import OpenCache
from teller.call import Memory
from teller.config import Settings
from teller.errors import InputError
from teller.redaction import redact
from teller.turn import DataClass, Question, Transcript
from teller.wiring import open_cache

SHARED = (DataClass.PUBLIC, DataClass.PRODUCT)  # the classes that have semantic hits


@dataclass(frozen=True, slots=True)
class Evidence:
    """Labelled questions, and whether they speak for one class of data each or for all of them.

    Attributes:
        source: what they come from, for people to read.
        left_out: questions that the bank's policy never looks up.
    """

    source: str
    labelled: tuple[Labelled, ...]
    left_out: int
    for_every_class: bool = False


@dataclass(frozen=True, slots=True)
class WhatIf:
    """One class at one limit: what a replay of labelled questions comes to.

    Attributes:
        limit: "asked" or "in force".
        min_probability: smallest that is served; None for a class that is closed.
        questions: that had a neighbour and were not the exact tier's.
        upper_95: exact upper limit on the share of wrong hits.
    """

    risk_class: str
    limit: str
    min_probability: float | None
    questions: int
    hits: int
    wrong: int
    upper_95: float

    @property
    def hit_rate(self) -> float:
        """Hits / questions."""
        return self.hits / max(1, self.questions)

    @property
    def wrong_share(self) -> float:
        """Wrong hits / hits."""
        return self.wrong / max(1, self.hits)


async def explain_question(settings: Settings, text: str) -> Explanation:
    """What would become of a question, from its redaction on.

    Raises:
        InputError: if the question is empty or too long.
        TellerError: if the cache or a part that it needs cannot be opened.
    """
    bank = await asyncio.to_thread(read_bank, settings)
    question = _reader(bank)(text)
    if taken := _before_the_cache(bank, question):
        return Explanation(question, "not asked", (Step("before the cache", Said.ENDED, taken),))
    async with open_cache(settings, whole=True) as opened:
        guards = Guards(bank.opposites)
        return await explain(opened.cache, question, opened.scope, guards=guards, region=opened.regions.region)


def gather(settings: Settings, data: Path | None, *, text: str, label: str, sample: int | None = None) -> Evidence:
    """Labelled questions of a file, or, without one, the bank's own ways of asking, each labelled with its answer.

    Args:
        settings: which bank.
        data: CSV file with a header.
        text: name of the questions' column.
        label: name of the column with what is equal for questions with the same answer.
        sample: how many to take at most.

    Raises:
        KnowledgeError: naming file and line: if the file cannot be used.
    """
    bank = read_bank(settings)
    read = _reader(bank)
    if data is None:
        labelled = _own_questions(bank, read)
        source = f"the bank's own ways of asking, {len(labelled):,} for {len(bank.approved)} answers"
        for_every_class = False
    else:
        classes = {entry.id: entry.data_class for entry in bank.approved}
        labelled = read_labelled(
            data, text=text, label=label, read=read, data_class=lambda name: classes.get(name, DataClass.PUBLIC)
        )
        source = f"{data.name}, {len(labelled):,} questions"
        for_every_class = not any(one.answer_id in classes for one in labelled)
    eligible = [one for one in labelled if policy.cannot_be_cached(one.question, Memory()) is None]
    left_out = len(labelled) - len(eligible)
    if sample is not None:
        eligible = eligible[:: max(1, len(eligible) // max(1, sample))][:sample]
    return Evidence(source, tuple(eligible), left_out, for_every_class)


async def ask_all(
    opened: OpenCache, evidence: Evidence, *, max_false_hits: float, asked: Callable[[int], None] = lambda _: None
) -> Replayed:
    """Replay the evidence with the judge and the embedder that serve.

    Raises:
        EngineError: if a question cannot be embedded.
    """
    found = await replay(
        evidence.labelled,
        opened.judge,
        opened.embedder,
        opened.make_index,
        max_false_hits=max_false_hits,
        asked=asked,
    )
    if evidence.for_every_class:
        found.records = [replace(record, risk_class=name.value) for name in SHARED for record in found.records]
    return found


def certify(records: Sequence[Record], *, max_false_hits: float, confidence: float) -> dict[str, Certificate]:
    """A certificate for each shared class, also for those without any evidence: they are closed.

    Raises:
        InputError: if a limit is not between 0 and 1, or no class has any evidence.
    """
    check_share("--max-false-hits", max_false_hits)
    check_share("--confidence", confidence)
    found = calibrate(records, max_false_hits=max_false_hits, confidence=confidence)
    for name in SHARED:
        nothing = Certificate(name.value, None, 0, 0, 0, 1.0, (), "no evidence: no question of this class was labelled")
        found.setdefault(name.value, nothing)
    return found


async def put_in_force(
    opened: OpenCache,
    certificates: Mapping[str, Certificate],
    evidence: Evidence,
    *,
    max_false_hits: float,
    confidence: float,
) -> None:
    """Write a calibration to the log: every process on it uses it from its next lookup on.

    Raises:
        StoreError: if it cannot be written; the one before stays in force.
    """
    body = calibration_body(certificates, max_false_hits=max_false_hits, confidence=confidence)
    closed = {name: found.reason for name, found in certificates.items() if found.region is None}
    at = datetime.fromtimestamp(opened.clock.now(), UTC).isoformat(timespec="seconds")
    about = {"made_with": opened.regions.made_with, "evidence": evidence.source, "closed": closed, "made_at": at}
    await opened.cache.upkeep.calibrate({**body, **about})


def what_if(opened: OpenCache, records: Sequence[Record], min_probability: float) -> list[WhatIf]:
    """Hits and wrong hits of some records at a limit, and at the one in force.

    Raises:
        InputError: if the limit is not from 0 to 1.
    """
    if not 0.0 <= min_probability <= 1.0:
        raise InputError(f"--threshold is a probability from 0 to 1, got {min_probability}")
    found = []
    for name in sorted({record.risk_class for record in records}):
        region = opened.regions.region(name)
        of_class = [record for record in records if record.risk_class == name]
        for limit, least in (("asked", min_probability), ("in force", region.min_probability if region else None)):
            served = [record for record in of_class if least is not None and 0 < record.probability >= least]
            wrong = sum(not record.right for record in served)
            upper = upper_bound(wrong, len(served), 0.95)
            found.append(WhatIf(name, limit, least, len(of_class), len(served), wrong, upper))
    return found


def certificate_view(found: Certificate) -> dict[str, object]:
    """A certificate as JSON, its curve too."""
    return asdict(found)


def _reader(bank: Bank) -> Callable[[str], Question]:
    return lambda text: redact(Transcript(text), bank.catalogue).question


def _own_questions(bank: Bank, read: Callable[[str], Question]) -> list[Labelled]:
    return [
        Labelled(read(ask), entry.id, entry.data_class, kept=not (entry.tool or entry.handoff or entry.sensitive))
        for entry in bank.approved
        if entry.spoken_whole
        for ask in entry.asks
    ]


def _before_the_cache(bank: Bank, question: Question) -> str:
    """What answers a question before the cache is asked; empty if nothing does."""
    if answer := policy.first_word(question):
        return f"the bank's own rule {answer.reason or answer.answer_id!r} answers it"
    if reply := Toolbox(bank.rates).handle(question, Memory()):
        return f"a calculation answers it: {reply.answer.answer_id}"
    return ""
