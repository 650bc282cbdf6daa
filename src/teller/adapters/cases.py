"""The questions of the gate, and whether what a model said to one is right.

A case names words that must be said and words that must not, the amounts, rates and times, and the action at the end.
Checks are on words and typed values rather than on likeness of meaning: "you can keep it" and "you cannot keep it" are
alike. Comparing two models on all cases is in `gate.py`.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from teller.errors import InputError
from teller.prompts import spoken_part
from teller.turn import ValueKind
from teller.values import Catalogue, find_values

SETS = ("edge", "general", "refuse", "regulatory")
_FILES = ("checks.toml", "actions.toml", *(f"{name}.jsonl" for name in SETS))
_LISTS = ("must_say", "must_not_say", "values", "may_say")
_TEXTS = ("id", "set", "family", "question", "answer", "action")
_NEEDED = ("id", "set", "family", "question")
_KINDS = (ValueKind.MONEY, ValueKind.PERCENT, ValueKind.DURATION)
_PLACEHOLDER = re.compile(r"\{([a-z0-9_]+)\}")
_NO_NAMES = Catalogue()
_MAX_FILE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One question and what a right answer to it has.

    Attributes:
        set: one of SETS.
        family: the kind of question, for tables.
        must_say: each must occur; "|" parts alternatives, "*" ends a word of which only the beginning counts.
        must_not_say: none may occur; written likewise.
        values: canonical money, percentages and durations that must be told.
        may_say: canonical values that may be told; others than these, `values` and the question's own may not.
        answer: id of the expected answer, "refusal" for a refusal; empty if any answer that passes the checks will do,
            whatever values and action it has.
        action: the code that must end it; with an `answer`, empty means that none may.
    """

    id: str
    set: str
    family: str
    question: str
    must_say: tuple[str, ...] = ()
    must_not_say: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    may_say: tuple[str, ...] = ()
    answer: str = ""
    action: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether an answer is right, and if not, the first thing that is wrong with it."""

    right: bool
    why: str = ""


# Judging


def check(case: Case, said: str) -> Outcome:
    """Judge what a model said to a case's question, its action code still at the end."""
    text, action = spoken_part(said.strip())
    words = _plain(text)
    if not words:
        return Outcome(False, "nothing was said")
    if found := _PLACEHOLDER.search(text):
        return Outcome(False, f"the placeholder {found[0]} is not filled")
    if action != case.action and (case.answer or case.action):
        return Outcome(False, f"the action is '{action or 'none'}', wanted '{case.action or 'none'}'")
    if missing := next((one for one in case.must_say if not _occurs(one, words)), None):
        return Outcome(False, f"does not say '{missing}'")
    if wrong := next((one for one in case.must_not_say if _occurs(one, words)), None):
        return Outcome(False, f"says '{wrong}'")
    return _check_values(case, text)


def judge(cases: Sequence[Case], said: Sequence[str]) -> tuple[Outcome, ...]:
    """`check` of each case with the answer at the same place.

    Raises:
        InputError: if they are not equally many.
    """
    if len(cases) != len(said):
        raise InputError(f"{len(cases)} cases but {len(said)} answers; give one answer to each case, in order")
    return tuple(check(case, text) for case, text in zip(cases, said, strict=True))


def _check_values(case: Case, text: str) -> Outcome:
    told = _values(text)
    if missing := [value for value in case.values if value not in told]:
        return Outcome(False, f"does not tell {missing[0]}")
    if not case.answer:
        return Outcome(True)
    known = {*case.values, *case.may_say, *_values(case.question)}
    if added := [value for value in told if value not in known]:
        return Outcome(False, f"adds {added[0]}")
    return Outcome(True)


def _values(text: str) -> tuple[str, ...]:
    return tuple(value.canonical for value in find_values(text, _NO_NAMES) if value.kind in _KINDS)


def _plain(text: str) -> str:
    """Words in lower case with single spaces; apostrophes go, other signs part words."""
    return " ".join(re.findall(r"\w+", re.sub(r"['’]", "", text.casefold()).replace("_", " ")))


def _occurs(alternatives: str, words: str) -> bool:
    return any(re.search(_pattern(phrase), words) for phrase in alternatives.split("|"))


def _pattern(phrase: str) -> str:
    """The pattern of a phrase over `_plain` words: "lower* payments" finds "lowering payments"."""
    words = (word for word in phrase.split() if _plain(word))
    parts = (re.escape(_plain(word)) + (r"\w*" if word.endswith("*") else "") for word in words)
    return rf"\b{' '.join(parts)}\b"


# Reading


def read_cases(text: str, source: str, *, checks: Mapping[str, Mapping[str, Any]] | None = None) -> tuple[Case, ...]:
    """Read cases, a JSON object a line with the fields of `Case`.

    Args:
        text: the lines.
        source: the file's name, for messages.
        checks: what `read_checks` gives; a case with an `answer` that is among them takes on its checks too.

    Raises:
        InputError: naming file and line.
    """
    found: dict[str, Case] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        case = _case(line, f"{source}:{number}", checks or {})
        if case.id in found:
            raise InputError(f"{source}:{number}: the id '{case.id}' is used already; give each case its own")
        found[case.id] = case
    if not found:
        raise InputError(f"{source}: no case in it; write one JSON object a line")
    return tuple(found.values())


def read_checks(
    text: str, source: str, *, actions: Mapping[str, str], spoken: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """Read the checks of approved answers: TOML, a table of `must_say`, `must_not_say`, `values`, `may_say` by id.

    Args:
        text: the TOML.
        source: the file's name, for messages.
        actions: action code by answer id, as `read_actions` gives.
        spoken: the rate table, key to value as it is said; fills `{key}`.

    Raises:
        InputError: naming the answer, for an unknown field or rate, or a value that is none.
    """
    checks: dict[str, dict[str, Any]] = {}
    for answer, fields in _toml(text, source).items():
        where = f"{source}: [{answer}]"
        if not isinstance(fields, dict) or not _are_lists(fields):
            raise InputError(f"{where}: wanted lists of words named {', '.join(_LISTS)}")
        filled = {name: tuple(_filled(one, spoken, where) for one in items) for name, items in fields.items()}
        for name in ("values", "may_say"):
            filled[name] = tuple(_canonical(one, where) for one in filled.get(name, ()))
        checks[answer] = {**filled, "action": actions.get(answer, "")}
    return checks


def read_actions(text: str, source: str) -> dict[str, str]:
    """Read the table of action codes: TOML, code by answer id.

    Raises:
        InputError: for text that is not TOML, or a code that is not in snake_case.
    """
    actions = _toml(text, source)
    for answer, code in actions.items():
        if not isinstance(code, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", code):
            raise InputError(f"{source}: the action of '{answer}' is {code!r}; wanted a code such as freeze_card")
    return actions


def read_gate(folder: Path, spoken: Mapping[str, str]) -> tuple[Case, ...]:
    """All cases of a folder: `<set>.jsonl` for each of SETS, with `checks.toml` and `actions.toml` beside them.

    Args:
        folder: such as the package's `data/gate`.
        spoken: the rate table, key to value as it is said.

    Raises:
        InputError: for a file that is missing or broken, and an id in two files.
    """
    actions = read_actions(_read(folder / "actions.toml"), "actions.toml")
    checks = read_checks(_read(folder / "checks.toml"), "checks.toml", actions=actions, spoken=spoken)
    names = [f"{name}.jsonl" for name in SETS]
    cases = [case for name in names for case in read_cases(_read(folder / name), name, checks=checks)]
    if len({case.id for case in cases}) != len(cases):
        raise InputError(f"{folder.name}: an id is used in two files; give each case its own")
    return tuple(cases)


def read_edge_ids(text: str) -> dict[str, str]:
    """The ids of `edge_ids.txt` in order, each with its family."""
    families: dict[str, str] = {}
    family = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("# family:"):
            family = line.removeprefix("# family:").strip()
        elif line and not line.startswith("#"):
            families[line] = family
    return families


def cases_digest(cases: Iterable[Case]) -> str:
    """SHA-256 of the cases, whatever their order; changes with any word of any check."""
    lines = sorted(json.dumps(asdict(case), sort_keys=True) for case in cases)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _case(line: str, where: str, checks: Mapping[str, Mapping[str, Any]]) -> Case:
    try:
        fields = json.loads(line)
    except json.JSONDecodeError as exc:
        raise InputError(f"{where}: not JSON: {exc.msg} at column {exc.colno}") from exc
    if not isinstance(fields, dict) or fields.keys() - {*_TEXTS, *_LISTS}:
        raise InputError(f"{where}: wanted an object with fields from {', '.join((*_TEXTS, *_LISTS))}")
    texts = {name: fields.get(name, "") for name in _TEXTS}
    if not all(isinstance(value, str) for value in texts.values()) or not all(texts[name].strip() for name in _NEEDED):
        raise InputError(f"{where}: wanted text in {', '.join(_NEEDED)}")
    if texts["set"] not in SETS:
        raise InputError(f"{where}: the set is '{texts['set']}'; known are {', '.join(SETS)}")
    lists: dict[str, Any] = {name: fields.get(name, []) for name in _LISTS}
    if not _are_lists(lists):
        raise InputError(f"{where}: wanted lists of words in {', '.join(_LISTS)}")
    known = checks.get(texts["answer"], {})
    texts["action"] = texts["action"] or known.get("action", "")
    lists = {name: (*known.get(name, ()), *lists[name]) for name in _LISTS}
    case = Case(**texts, **lists)
    if case.answer and not case.must_say and not case.values:
        raise InputError(f"{where}: nothing to check for '{case.answer}'; give it must_say or values")
    return case


def _are_lists(fields: Mapping[str, Any]) -> bool:
    return not fields.keys() - set(_LISTS) and all(
        isinstance(items, list) and all(isinstance(one, str) and _has_words(one) for one in items)
        for items in fields.values()
    )


def _has_words(one: str) -> bool:
    return all(map(_plain, one.split("|")))


def _filled(text: str, spoken: Mapping[str, str], where: str) -> str:
    if unknown := next((key for key in _PLACEHOLDER.findall(text) if key not in spoken), None):
        raise InputError(f"{where}: there is no rate '{unknown}'")
    return _PLACEHOLDER.sub(lambda match: spoken[match[1]], text)


def _canonical(text: str, where: str) -> str:
    values = _values(text)
    if len(values) != 1:
        raise InputError(f"{where}: '{text}' must be one amount, percentage or duration; {len(values)} are in it")
    return values[0]


def _toml(text: str, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise InputError(f"{source}: not TOML: {exc}") from exc


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise InputError(f"{path.name}: larger than {_MAX_FILE_BYTES >> 20} MB; ask fewer questions")
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as exc:
        raise InputError(
            f"{path}: there is no such file; adapters.gate_cases names a folder with {', '.join(_FILES)}"
        ) from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise InputError(f"{path.name}: cannot be read as UTF-8 text ({type(exc).__name__})") from exc
