"""The entries of one cache as columns: what is known of each but its vector, which is in its partition's index.

Numbers are in flat arrays, one row per entry in the order of their ids; texts are packed bytes; an answer that many
questions share is held once. About 250 bytes per entry and its texts. Rows of removed entries stay, without text, until
`squeeze`; ids (numbers of put events) are never used again. Not here: what changes the entries (replica.py).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teller.cache.canonical import exact_key, exact_text
from teller.cache.events import Put, answer_in, answer_out, values_in, values_out
from teller.cache.keytable import KeyTable
from teller.errors import StoreCorrupt
from teller.turn import Answer, Question, Value

Rows = NDArray[np.intp]


class State(IntEnum):
    """What has become of a row."""

    LIVE = 0
    GONE = 1  # evicted, replaced or erased
    STALE = 2  # something that it rests on changed


COLUMNS: Mapping[str, type] = {
    "id": np.int64,
    "key": np.int64,  # exact tier
    "at": np.float64,
    "expires_at": np.float64,
    "last_hit": np.uint32,  # whole Unix seconds, 0 for never
    "hits": np.uint32,
    "right": np.uint32,
    "wrong": np.uint32,
    "cost_ms": np.float32,
    "answer": np.int32,
    "partition": np.int32,
    "state": np.int8,
}
_OBJECT_BYTES = 41  # a bytes object and its place in a list, beside its content
ROW_BYTES = sum(np.dtype(kind).itemsize for kind in COLUMNS.values()) + 2 * _OBJECT_BYTES + 40


@dataclass(frozen=True, slots=True)
class Text:
    """What was asked for an entry, and the judge's sketch of it."""

    question: str
    values: tuple[Value, ...]
    sketch: bytes


class Entries:
    """Rows are found by id, by exact key, or by a mask over the columns; columns are read with `column`."""

    def __init__(self) -> None:
        self._columns: dict[str, NDArray[Any]] = {name: np.zeros(1024, dtype=kind) for name, kind in COLUMNS.items()}
        self._texts: list[bytes] = []
        self._answers: list[bytes] = []
        self._stamps: list[int] = []  # of each answer, as a place in `_stamp_sets`
        self._shared: list[int] = []  # how many rows have the answer
        self._stamp_sets: list[tuple[str, ...]] = [()]
        self._stamp_places: dict[tuple[str, ...], int] = {(): 0}
        self._by_key = KeyTable()
        self._by_answer = KeyTable()
        self._live = 0
        self._text_bytes = 0

    def __len__(self) -> int:
        """Live entries."""
        return self._live

    @property
    def rows(self) -> int:
        """Live and removed ones."""
        return len(self._texts)

    @property
    def nbytes(self) -> int:
        """Memory of columns, texts, answers and tables; indexes not counted."""
        objects = _OBJECT_BYTES * (len(self._texts) + len(self._answers)) + 16 * len(self._answers)
        columns = sum(column.itemsize for column in self._columns.values()) * self.rows
        return columns + objects + self._text_bytes + self._by_key.nbytes + self._by_answer.nbytes

    def column(self, name: str) -> NDArray[Any]:
        """One value per row, in the order of ids; a view: write to change."""
        return self._columns[name][: self.rows]

    def add(self, entry_id: int, put: Put, partition: int, at: float) -> int:
        """Add a live entry under the newest id so far; gives its row."""
        exact = exact_text(put.question)
        fields = {
            "id": entry_id,
            "key": exact_key(put.partition, exact),
            "at": at,
            "expires_at": put.expires_at,
            "cost_ms": put.cost_ms,
            "right": 1,  # being found grounded, approved or verified was its first check
            "answer": self._keep_answer(put.answer),
            "partition": partition,
        }
        row = self.rows
        if row == len(self._columns["id"]):
            self._columns = {
                name: np.concatenate([column, np.zeros_like(column)]) for name, column in self._columns.items()
            }
        for name, value in fields.items():
            self._columns[name][row] = value
        self._texts.append(_pack(put.question, put.sketch))
        self._text_bytes += len(self._texts[-1])
        self._by_key.set(int(fields["key"]), row)
        self._live += 1
        return row

    def row_of(self, entry_id: int) -> int:
        """The row of a live entry, -1 if there is none."""
        row = int(self._columns["id"][: self.rows].searchsorted(entry_id))
        found = row < self.rows and self._columns["id"][row] == entry_id and not self._columns["state"][row]
        return row if found else -1

    def rows_of(self, ids: NDArray[np.int64]) -> Rows:
        """The rows of those ids that are live, in the same order."""
        if not self.rows:
            return np.zeros(0, dtype=np.intp)
        rows: Rows = np.minimum(self.column("id").searchsorted(ids), self.rows - 1)
        kept: Rows = rows[(self.column("id")[rows] == ids) & (self.column("state")[rows] == State.LIVE)]
        return kept

    def where(self, mask: NDArray[np.bool_]) -> Rows:
        """The live rows of a mask."""
        return np.flatnonzero(mask & (self.column("state") == State.LIVE))

    def exact(self, partition: bytes, place: int, question: Question, exact: str) -> int:
        """The newest row in the partition with the same exact text (of this question), live or not; -1 for none."""
        row = self._by_key.get(exact_key(partition, exact))
        if row < 0 or self._columns["partition"][row] != place:
            return -1
        if self._columns["state"][row]:
            return row  # its text is gone; it only tells why nothing is served
        text = self.text(row)
        if text.question == question.text and text.values == question.values:
            return row
        return row if exact_text(Question(text.question, text.values)) == exact else -1

    def text(self, row: int) -> Text:
        """What was asked for a live row."""
        return _unpack(self._texts[row])

    def answer(self, row: int) -> Answer:
        """The answer of a live row."""
        answer_id, rest = _cut(self._answers[self._columns["answer"][row]])
        return answer_in([answer_id.decode("utf-8", "surrogatepass"), *json.loads(rest)])

    def answer_id(self, row: int) -> str:
        """The answer's id of a live row."""
        return _cut(self._answers[self._columns["answer"][row]])[0].decode("utf-8", "surrogatepass")

    def accuracy(self, rows: Rows | int) -> NDArray[np.float64]:
        """Posterior mean of the share of right hits, from a Beta(1, 1) prior and the checks so far."""
        right, wrong = self._columns["right"][rows], self._columns["wrong"][rows]
        return (1.0 + right) / (2.0 + right + wrong)  # type: ignore[no-any-return]

    def answers_with(self, answer_id: str) -> Rows:
        """Places in the answer column of the answers with this id."""
        head = _counted(answer_id.encode("utf-8", "surrogatepass"))
        return np.array([place for place, blob in enumerate(self._answers) if blob.startswith(head)], dtype=np.intp)

    def stamped(self, is_dead: Callable[[str], bool]) -> Rows:
        """Live rows that rest on a stamp of this kind."""
        if not self.rows:
            return np.zeros(0, dtype=np.intp)
        sets = np.array([any(map(is_dead, stamps)) for stamps in self._stamp_sets], dtype=bool)
        answers = sets[np.array(self._stamps, dtype=np.intp)]
        return self.where(answers[self.column("answer")])

    def sizes(self, rows: Rows) -> NDArray[np.int64]:
        """Bytes of text and share of the answer that each row holds, vector and columns not counted."""
        places = self._columns["answer"][rows].tolist()
        own = (len(self._texts[row]) for row in rows.tolist())
        shares = (len(self._answers[place]) // max(1, self._shared[place]) for place in places)
        return np.array([text + share for text, share in zip(own, shares, strict=True)], dtype=np.int64)

    def remove(self, rows: Rows, state: State) -> None:
        """Take live rows out of service and drop their texts."""
        for row in rows.tolist():
            self._text_bytes -= len(self._texts[row])
            self._texts[row] = b""
            place = self._columns["answer"][row]
            self._shared[place] -= 1
            if not self._shared[place]:
                self._text_bytes -= len(self._answers[place])
                self._answers[place] = b""
        self._columns["state"][rows] = state
        self._live -= len(rows)

    def squeeze(self) -> None:
        """Drop the rows of removed entries; rows are numbered anew, ids stay."""
        kept = np.flatnonzero(self.column("state") == State.LIVE)
        answers = np.unique(self._columns["answer"][kept])
        renumbered = np.zeros(len(self._answers), dtype=np.int32)
        renumbered[answers] = np.arange(len(answers), dtype=np.int32)
        self._columns = {name: column[kept] for name, column in self._columns.items()}
        self._columns["answer"] = renumbered[self._columns["answer"]]
        self._texts = [self._texts[row] for row in kept.tolist()]
        self._answers = [self._answers[place] for place in answers.tolist()]
        self._stamps = [self._stamps[place] for place in answers.tolist()]
        self._shared = [self._shared[place] for place in answers.tolist()]
        self._retable()

    def dump(self) -> dict[str, NDArray[Any]]:
        """Everything as arrays, removed rows left out; `load` takes them back."""
        self.squeeze()
        arrays: dict[str, NDArray[Any]] = {f"column_{name}": self.column(name) for name in COLUMNS}
        arrays["texts"], arrays["text_ends"] = _join(self._texts)
        arrays["answers"], arrays["answer_ends"] = _join(self._answers)
        arrays["answer_stamps"] = np.array(self._stamps, dtype=np.int32)
        arrays["stamp_sets"] = np.frombuffer(json.dumps(self._stamp_sets).encode(), dtype=np.uint8)
        return arrays

    def load(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Replace everything by what `dump` gave.

        Raises:
            StoreCorrupt: if the arrays do not fit one another.
        """
        try:
            self._columns = {name: arrays[f"column_{name}"].astype(kind) for name, kind in COLUMNS.items()}
            self._texts = _split(arrays["texts"], arrays["text_ends"])
            self._answers = _split(arrays["answers"], arrays["answer_ends"])
            self._stamps = arrays["answer_stamps"].tolist()
            self._stamp_sets = [tuple(stamps) for stamps in json.loads(arrays["stamp_sets"].tobytes())]
        except (KeyError, ValueError, TypeError) as exc:
            raise StoreCorrupt(f"a snapshot of entries cannot be read: {exc}") from exc
        lengths = {len(column) for column in self._columns.values()}
        if lengths != {len(self._texts)} or len(self._stamps) != len(self._answers):
            raise StoreCorrupt("a snapshot of entries has columns of different lengths")
        self._stamp_places = {stamps: place for place, stamps in enumerate(self._stamp_sets)}
        self._shared = np.bincount(self.column("answer"), minlength=len(self._answers)).tolist()
        self._retable()

    def _retable(self) -> None:
        """Make the tables and sums anew from the columns."""
        self._live = int((self.column("state") == State.LIVE).sum())
        self._text_bytes = sum(map(len, self._texts)) + sum(map(len, self._answers))
        self._by_key.replace_all(self.column("key"), np.arange(self.rows, dtype=np.int32))
        prints = np.array([_fingerprint(blob) for blob in self._answers], dtype=np.int64)
        self._by_answer.replace_all(prints, np.arange(len(self._answers), dtype=np.int32))
        spare = max(1024, self.rows // 8) if self.rows == len(self._columns["id"]) else 0
        if spare:
            self._columns = {
                name: np.concatenate([column, np.zeros(spare, column.dtype)]) for name, column in self._columns.items()
            }

    def _keep_answer(self, answer: Answer) -> int:
        """The place of an equal answer, or of this one."""
        answer_id, *rest = answer_out(answer)
        fields = json.dumps(rest, ensure_ascii=False, separators=(",", ":"))
        blob = _counted(answer_id.encode("utf-8", "surrogatepass")) + fields.encode("utf-8", "surrogatepass")
        fingerprint = _fingerprint(blob)
        place = self._by_answer.get(fingerprint)
        if place >= 0 and self._answers[place] == blob:
            self._shared[place] += 1
            return place
        stamps = self._stamp_places.setdefault(answer.stamps, len(self._stamp_sets))
        if stamps == len(self._stamp_sets):
            self._stamp_sets.append(answer.stamps)
        self._answers.append(blob)
        self._stamps.append(stamps)
        self._shared.append(1)
        self._text_bytes += len(blob)
        self._by_answer.set(fingerprint, len(self._answers) - 1)
        return len(self._answers) - 1


def _pack(question: Question, sketch: bytes) -> bytes:
    text = question.text.encode("utf-8", "surrogatepass")
    values = json.dumps(values_out(question.values), ensure_ascii=False).encode() if question.values else b""
    return _counted(text) + _counted(sketch) + values


def _unpack(blob: bytes) -> Text:
    text, rest = _cut(blob)
    sketch, values = _cut(rest)
    return Text(text.decode("utf-8", "surrogatepass"), values_in(json.loads(values)) if values else (), sketch)


def _counted(part: bytes) -> bytes:
    return len(part).to_bytes(3, "little") + part


def _cut(blob: bytes) -> tuple[bytes, bytes]:
    """A counted part, and what is behind it."""
    end = 3 + int.from_bytes(blob[:3], "little")
    return blob[3:end], blob[end:]


def _fingerprint(blob: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(blob, digest_size=8).digest(), "little") >> 1


def _join(blobs: Sequence[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    ends = np.cumsum([len(blob) for blob in blobs], dtype=np.int64)
    return np.frombuffer(b"".join(blobs), dtype=np.uint8), ends


def _split(joined: NDArray[np.uint8], ends: NDArray[np.int64]) -> list[bytes]:
    if len(ends) and ends[-1] != len(joined):
        raise ValueError(f"texts of {len(joined)} bytes end at {ends[-1]}")
    whole = joined.tobytes()
    starts = [0, *ends[:-1].tolist()] if len(ends) else []
    return [whole[start:end] for start, end in zip(starts, ends.tolist(), strict=True)]
