"""Traffic to replay: a JSONL file of questions, callers and times, or a made-up stream with a few common subjects.

A line is {"question": ..., "caller": ..., "at": seconds, "label": ...}; all but the question may be left out. Files are
read line by line.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teller.errors import InputError

_MOST_BYTES = 100_000  # of a line
_FIELDS = frozenset({"question", "caller", "at", "label"})


@dataclass(frozen=True, slots=True)
class Ask:
    """One question of a stream.

    Attributes:
        caller: whose; one caller's questions are asked one after another, in one call.
        at: seconds after the stream's beginning.
        label: id of the answer that is right, empty if nobody said.
    """

    question: str
    caller: str
    at: float = 0.0
    label: str = ""


def read_traffic(path: Path) -> Iterator[Ask]:
    """The questions of a file, in its order.

    Raises:
        InputError: naming file and line, if one cannot be read, or times go back, or there is none.
    """
    before, count = 0.0, 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(_MOST_BYTES + 1), b""), 1):
                if not line.strip():
                    continue
                count += 1
                ask = _read_line(line, f"{path.name}:{number}", number)
                if ask.at < before:
                    raise InputError(f"{path.name}:{number}: 'at' goes back from {before:g} to {ask.at:g}: sort it")
                before = ask.at
                yield ask
    except OSError as exc:
        raise InputError(f"{path}: cannot be read: {exc.strerror or type(exc).__name__}") from exc
    if not count:
        raise InputError(f'{path.name}: there is no question in it; a line is {{"question": "..."}}')


def _read_line(line: bytes, where: str, number: int) -> Ask:
    if len(line) > _MOST_BYTES:
        raise InputError(f"{where}: the line is longer than {_MOST_BYTES} bytes")
    try:
        fields: Any = json.loads(line)
    except (UnicodeDecodeError, json.JSONDecodeError) as exc:
        raise InputError(f"{where}: not JSON in UTF-8: {exc}") from exc
    if not isinstance(fields, dict):
        raise InputError(f"{where}: an object was expected")
    if unknown := sorted(fields.keys() - _FIELDS):
        raise InputError(f"{where}: there is no field '{unknown[0]}'; there are {', '.join(sorted(_FIELDS))}")
    question, caller = fields.get("question"), fields.get("caller", f"caller-{number}")
    at, label = fields.get("at", 0.0), fields.get("label", "")
    if not isinstance(question, str) or not question.strip():
        raise InputError(f"{where}: 'question' is missing or empty")
    if not isinstance(caller, str) or not caller or not isinstance(label, str):
        raise InputError(f"{where}: 'caller' and 'label' are texts, and a caller is not empty")
    if isinstance(at, bool) or not isinstance(at, int | float) or not math.isfinite(at) or at < 0:
        raise InputError(f"{where}: 'at' is a number of seconds from 0 on")
    return Ask(question, caller, float(at), label)


def zipf_traffic(
    pool: Sequence[tuple[str, str]], turns: int, *, callers: int = 1000, exponent: float = 1.0, seed: int = 0
) -> list[Ask]:
    """A stream in which the k-th most common subject is asked k^-exponent times as often as the first.

    So are a subject's ways of asking among themselves: a few wordings are common and most are rare.

    Args:
        pool: (question, label) of every way of asking; those with one label are one subject.
        turns: questions of the stream.
        callers: how many callers share them.
        exponent: of Zipf's law, 0 for all alike.
        seed: the same seed gives the same stream.

    Raises:
        InputError: if the pool is empty or a number is out of range.
    """
    if not pool or turns < 1 or callers < 1 or not 0 <= exponent <= 5:
        raise InputError("a stream needs questions, at least 1 turn and 1 caller, and an exponent from 0 to 5")
    random = np.random.default_rng(seed)
    by_subject: dict[str, list[str]] = {}
    for question, label in pool:
        by_subject.setdefault(label, []).append(question)
    subjects = list(by_subject)
    random.shuffle(subjects)
    drawn = np.searchsorted(_zipf(len(subjects), exponent), random.random(turns))
    chances, whose = random.random(turns), random.integers(callers, size=turns)
    ways = {label: _zipf(len(asks), exponent) for label, asks in by_subject.items()}
    stream = []
    for at in range(turns):
        label = subjects[drawn[at]]
        way = int(np.searchsorted(ways[label], chances[at]))
        stream.append(Ask(by_subject[label][way], f"caller-{whose[at]}", 0.0, label))
    return stream


def _zipf(count: int, exponent: float) -> NDArray[np.float64]:
    """Cumulative chances of the first, second, ... of so many; the last is 1."""
    weights = np.arange(1, count + 1, dtype=np.float64) ** -exponent
    summed: NDArray[np.float64] = np.cumsum(weights) / weights.sum()
    summed[-1] = 1.0
    return summed
