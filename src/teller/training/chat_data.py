"""Conversations to train on, read line by line from JSONL or CSV, with every bad line named.

JSONL: one `{"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}` a line; an
optional system message comes first, then user and assistant take turns, and an assistant has the last word. Other keys
beside "messages" are ignored. CSV: a header with `question` and `answer`. UTF-8; blank lines are passed over. A file
may be of any size: one line is held at a time.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from teller.errors import InputError
from teller.ports import Message

MAX_LINE_BYTES = 1 << 20
_NAMED = 50  # bad lines that are named
_MAX_BAD = 1_000  # bad lines after which reading ends


@dataclass(frozen=True, slots=True)
class Conversation:
    """One example; `place` is its file and line."""

    place: str
    messages: tuple[Message, ...]


class Problems:
    """Collects what is wrong with data, so that all of it is told at once."""

    def __init__(self) -> None:
        self._named: list[str] = []
        self._count = 0

    def add(self, place: str, why: str) -> None:
        """Note a bad line.

        Raises:
            InputError: if there are a thousand of them.
        """
        self._count += 1
        if len(self._named) < _NAMED:
            self._named.append(f"{place}: {why}")
        if self._count >= _MAX_BAD:
            self.check()

    def check(self) -> None:
        """End if anything was noted.

        Raises:
            InputError: naming the first fifty lines, each with its reason.
        """
        if self._count:
            rest = self._count - len(self._named)
            more = [f"and {rest} more"] if rest else []
            raise InputError(f"{self._count} bad lines:\n  " + "\n  ".join(self._named + more))


class ChatFile:
    """A file of conversations.

    Attributes:
        sha256: of the file, once all of it was read.

    Raises:
        InputError: if the file's name ends in neither .jsonl nor .csv.
    """

    def __init__(self, path: Path) -> None:
        self.sha256 = ""
        self._path = path
        self._readers = {".jsonl": self._jsonl, ".ndjson": self._jsonl, ".csv": self._csv}
        if path.suffix.lower() not in self._readers:
            raise InputError(f"{path.name}: wanted a file of conversations, .jsonl or .csv")

    def conversations(self, problems: Problems) -> Iterator[Conversation]:
        """Conversations in order; bad lines are noted in `problems` and left out.

        Raises:
            InputError: if the file cannot be read, or holds no conversation and no bad line.
        """
        found = 0
        try:
            with self._path.open("rb") as file:
                lines = _Lines(file, self._path.name, problems)
                for place, messages in self._readers[self._path.suffix.lower()](lines):
                    found += 1
                    why = _fault(messages)
                    if why:
                        problems.add(place, why)
                    else:
                        yield Conversation(place, tuple(Message(each["role"], each["content"]) for each in messages))
        except OSError as exc:
            raise InputError(f"{self._path.name}: cannot be read ({exc.strerror})") from exc
        if not found:
            problems.check()
            raise InputError(f"{self._path.name}: holds no conversation")
        self.sha256 = lines.sha256.hexdigest()

    def _jsonl(self, lines: _Lines) -> Iterator[tuple[str, Any]]:
        for place, line in lines:
            if not line.strip():
                continue
            try:
                content = json.loads(line)
            except (ValueError, RecursionError) as exc:
                lines.problems.add(place, f"not JSON ({str(exc)[:80]})")
                continue
            if not isinstance(content, dict) or "messages" not in content:
                lines.problems.add(place, 'wanted an object with "messages"')
            else:
                yield place, content["messages"]

    def _csv(self, lines: _Lines) -> Iterator[tuple[str, Any]]:
        rows = csv.reader((line for _, line in lines), strict=True)
        columns: dict[str, int] = {}
        while True:
            try:
                row = next(rows, None)
            except csv.Error as exc:
                lines.problems.add(lines.place, f"not CSV ({str(exc)[:80]})")
                continue
            if row is None:
                return
            if not columns:
                columns = self._columns(row)
            elif any(cell.strip() for cell in row):
                if len(row) <= max(columns.values()):
                    lines.problems.add(lines.place, f"{len(row)} fields; the header has more")
                    continue
                yield (
                    lines.place,
                    [
                        {"role": "user", "content": row[columns["question"]]},
                        {"role": "assistant", "content": row[columns["answer"]]},
                    ],
                )

    def _columns(self, header: list[str]) -> dict[str, int]:
        names = [name.strip().lower() for name in header]
        if names.count("question") != 1 or names.count("answer") != 1:
            raise InputError(f"{self._path.name}:1: wanted a header with the columns question and answer")
        return {name: names.index(name) for name in ("question", "answer")}


class _Lines:
    """Decoded lines of a file with their places, one at a time; what is no text is noted and left out."""

    def __init__(self, file: BinaryIO, name: str, problems: Problems) -> None:
        self._file, self._name = file, name
        self.problems = problems
        self.sha256 = hashlib.sha256()
        self.place = name

    def __iter__(self) -> Iterator[tuple[str, str]]:
        number = 0
        while data := self._file.readline(MAX_LINE_BYTES):
            self.sha256.update(data)
            number += 1
            self.place = f"{self._name}:{number}"
            if len(data) == MAX_LINE_BYTES and not data.endswith(b"\n"):
                self._pass_over()
                self.problems.add(self.place, f"a line of more than {MAX_LINE_BYTES} bytes")
                continue
            try:
                yield self.place, data.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as exc:
                self.problems.add(self.place, f"not UTF-8 at byte {exc.start} of the line")

    def _pass_over(self) -> None:
        while data := self._file.readline(MAX_LINE_BYTES):
            self.sha256.update(data)
            if data.endswith(b"\n"):
                return


def _fault(messages: Any) -> str:
    """Why these are no messages to train on; "" if they are."""
    if not isinstance(messages, list) or not messages:
        return '"messages" is no list, or empty'
    for at, message in enumerate(messages, 1):
        why = _fault_of_one(message)
        if why:
            return f"message {at}: {why}"
    roles = [message["role"] for message in messages]
    if "assistant" not in roles:
        return "no assistant's turn: nothing to learn from it"
    turns = roles[1:] if roles[0] == "system" else roles
    if turns != ["user", "assistant"] * (len(turns) // 2) or not turns:
        return f"turns in the order {', '.join(roles[:6])}; wanted user and assistant in turn, an assistant last"
    return ""


def _fault_of_one(message: Any) -> str:
    if not isinstance(message, Mapping):
        return "no object"
    if "role" not in message or "content" not in message:
        return "no role or no content"
    if message.keys() - {"role", "content"}:
        return f"keys that are not known: {', '.join(sorted(map(str, message.keys() - {'role', 'content'})))[:80]}"
    if message["role"] not in ("system", "user", "assistant"):
        return "a role that is not system, user or assistant"
    if not isinstance(message["content"], str) or not message["content"].strip():
        return "content that is no text, or empty"
    return ""
