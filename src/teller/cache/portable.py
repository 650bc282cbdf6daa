"""Entries as lines of JSON, to look at, to keep and to put into another cache.

Plain data, one entry a line, vectors left out: whoever takes them in embeds the questions anew, so a file outlives an
embedder. Not in it: quarantine, customers' own answers, checks and hits: trust is not carried in a file.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from teller.cache.events import Kind, Put, answer_in, answer_out, values_in, values_out, write
from teller.cache.partition import Partition
from teller.cache.upkeep import Entry
from teller.cache.verdict import Judge
from teller.errors import InputError, KnowledgeError
from teller.ports import CacheLog, Embedder
from teller.turn import Answer, DataClass, Question
from teller.values.figures import in_figures

_MAX_LINE = 200_000  # characters
_BATCH = 256


@dataclass(frozen=True, slots=True)
class Carried:
    """An entry that was read from a line."""

    partition: Partition
    question: Question
    answer: Answer
    at: float
    expires_at: float
    cost_ms: float


def to_line(entry: Entry) -> str:
    """An entry as one line of JSON, without its end."""
    fields = {
        "question": entry.question,
        "values": values_out(entry.values),
        "answer": answer_out(entry.answer),
        "partition": entry.partition.parts(),
        "at": entry.at,
        "expires_at": entry.expires_at,
        "cost_ms": round(entry.cost_ms, 1),
        "accuracy": round(entry.accuracy, 4),
        "hits": entry.hits,
    }
    return json.dumps(fields, ensure_ascii=False)


def write_lines(path: Path, lines: Iterable[str]) -> int:
    """Write lines to a new file that only its owner can read, whole or not at all; gives how many.

    Raises:
        InputError: if the file is there already or cannot be written.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    count = 0
    try:
        if path.exists():
            raise InputError(f"{path} is there already: name another file")
        with os.fdopen(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
            for line in lines:
                file.write(line + "\n")
                count += 1
        partial.rename(path)
    except OSError as exc:
        partial.unlink(missing_ok=True)
        raise InputError(f"{path}: cannot be written: {exc.strerror or type(exc).__name__}") from exc
    return count


def read_lines(path: Path) -> Iterator[Carried]:
    """The entries of a file, line by line; it may be larger than the memory.

    Raises:
        KnowledgeError: naming file and line: for what is not such an entry.
        InputError: if the file cannot be read.
    """
    try:
        with path.open(encoding="utf-8") as file:
            number = 0
            while line := file.readline(_MAX_LINE + 1):
                number += 1
                if line.strip():
                    yield _carried(line, f"{path.name}:{number}")
    except UnicodeDecodeError as exc:
        raise KnowledgeError(f"{path.name}: not UTF-8 text; wanted what `cache-manager export` writes") from exc
    except OSError as exc:
        raise InputError(f"{path}: cannot be read: {exc.strerror or type(exc).__name__}") from exc


async def take_in(
    carried: Iterable[Carried],
    log: CacheLog,
    embedder: Embedder,
    judge: Judge,
    *,
    now: float,
    taken: Callable[[int], None] = lambda _: None,
) -> tuple[int, int]:
    """Write entries to a log that was begun; gives how many, and how many were left out because their time is over.

    Every entry keeps its own end of life. A batch is written whole or not at all.

    Raises:
        EngineError: if a question cannot be embedded.
        StoreError: if the log cannot be written.
    """
    kept, expired = 0, 0
    rest = iter(carried)
    while batch := list(islice(rest, _BATCH)):
        alive = [one for one in batch if one.expires_at > now]
        expired += len(batch) - len(alive)
        await _write(alive, log, embedder, judge, now)
        kept += len(alive)
        taken(kept)
    return kept, expired


async def _write(batch: Sequence[Carried], log: CacheLog, embedder: Embedder, judge: Judge, now: float) -> None:
    partitions = {one.partition.digest: one.partition for one in batch}
    events = [write(Kind.PARTITION, now, **partition.parts()) for partition in partitions.values()]
    for one in batch:
        vector, tokens = await embedder.embed_tokens(in_figures(one.question))
        put = Put(
            one.partition.digest,
            one.question,
            vector,
            one.answer,
            one.expires_at,
            cost_ms=one.cost_ms,
            judge=judge.name,
            sketch=judge.sketch(one.question, vector, tokens if judge.wants_tokens else None),
        )
        events.append(put.event(one.at))
    if batch:
        await log.append(events)


def _wrong(exc: Exception) -> str:
    if isinstance(exc, json.JSONDecodeError):
        return "it is not JSON"
    return f"{exc} is missing" if isinstance(exc, KeyError) else str(exc)[:100] or type(exc).__name__


def _carried(line: str, where: str) -> Carried:
    if len(line) > _MAX_LINE:
        raise KnowledgeError(f"{where}: longer than {_MAX_LINE} characters; wanted one entry a line")
    try:
        fields: dict[str, Any] = json.loads(line)
        partition = Partition.read(fields["partition"])
        answer = answer_in(fields["answer"])
        question = Question(str(fields["question"]), values_in(fields["values"]))
        times = [float(fields[name]) for name in ("at", "expires_at", "cost_ms")]
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as exc:
        raise KnowledgeError(
            f"{where}: not an entry; wanted what `cache-manager export` writes ({_wrong(exc)})"
        ) from exc
    if DataClass.CUSTOMER in (partition.data_class, answer.data_class):
        raise KnowledgeError(f"{where}: a customer's own answer; only shared entries are taken in")
    if partition.data_class is not answer.data_class or not question.text.strip() or not answer.text.strip():
        raise KnowledgeError(f"{where}: question or answer is empty, or the answer is of another class than its place")
    return Carried(partition, question, answer, *times)
