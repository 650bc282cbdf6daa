"""The entries of one cache as columns: what is known of each but its vector, which is in its partition's index.

Numbers are in flat arrays, one row per entry in the order of their ids; texts are in two arenas; an answer that many
questions share is held once. Rows of removed entries stay, without text, until `squeeze`; ids (numbers of put events)
are never used again. Not here: what changes the entries (holdings.py).
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from teller.cache.arena import Arena
from teller.cache.canonical import exact_key, exact_text
from teller.cache.events import Manner, Record, answer_head, manner_in, manner_out, unpack_answer, unpack_text
from teller.cache.keytable import KeyTable
from teller.errors import StoreCorrupt
from teller.turn import Answer, DataClass, Question, Source, Value

Rows = NDArray[np.intp]


class State(IntEnum):
    """What has become of a row."""

    LIVE = 0
    GONE = 1  # evicted, replaced or erased
    STALE = 2  # something that it rests on changed


COLUMNS: Mapping[str, type] = {
    "id": np.int64,
    "key": np.int64,  # exact tier
    "text": np.int64,  # place in the arena
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
_LIVE = int(State.LIVE)
_GROWTH = 1.25
_KEY_BYTES = 40  # of two key tables, about
ROW_BYTES = sum(np.dtype(kind).itemsize for kind in COLUMNS.values()) + _KEY_BYTES


class Text(NamedTuple):
    """What was asked for an entry, and the judge's sketch of it."""

    question: str
    values: tuple[Value, ...]
    sketch: bytes


class Unread:
    """A `Text` that is read when it is looked at: of four dozen neighbours a lookup reads a few."""

    __slots__ = ("_record",)

    def __init__(self, record: bytes) -> None:
        self._record: bytes | Text = record

    @property
    def question(self) -> str:
        """As in `Text`."""
        return self._read().question

    @property
    def values(self) -> tuple[Value, ...]:
        """As in `Text`."""
        return self._read().values

    @property
    def sketch(self) -> bytes:
        """As in `Text`."""
        return self._read().sketch

    def _read(self) -> Text:
        if isinstance(self._record, bytes):
            self._record = Text(*unpack_text(self._record, 0, len(self._record)))
        return self._record


class Entries:
    """Rows are found by id, by exact key, or by a mask over the columns; columns are read with `column`."""

    def __init__(self) -> None:
        self._columns: dict[str, NDArray[Any]] = {name: np.zeros(1024, dtype=kind) for name, kind in COLUMNS.items()}
        self._rows = 0
        self._live = 0
        self._texts = Arena()
        self._answers = Arena()
        self._answer_at = array("q")  # place of each answer in its arena
        self._manner = array("i")  # of each answer, as a place in `_manners`
        self._shared = array("i")  # how many rows have the answer
        self._manners: list[Manner] = []
        self._manner_places: dict[bytes, int] = {}  # by their JSON
        self._by_key = KeyTable()
        self._by_answer = KeyTable()

    def __len__(self) -> int:
        """Live entries."""
        return self._live

    @property
    def rows(self) -> int:
        """Live and removed ones."""
        return self._rows

    @property
    def nbytes(self) -> int:
        """Memory of columns, texts, answers and tables in use; indexes not counted."""
        texts = self._texts.live_bytes + self._answers.live_bytes + 16 * len(self._answer_at)
        return self._rows * ROW_BYTES + texts

    def column(self, name: str) -> NDArray[Any]:
        """One value per row, in the order of ids; a view: write to change."""
        return self._columns[name][: self.rows]

    def add(self, entry_id: int, put: Record, partition: int, at: float) -> int:
        """Add a live entry under the newest id so far; gives its row."""
        row, columns = self._rows, self._columns
        if row == len(columns["id"]):
            self._resize(int(row * _GROWTH))
        columns["id"][row] = entry_id
        columns["key"][row] = put.key
        columns["text"][row] = self._texts.put(put.text)
        columns["at"][row] = at
        columns["expires_at"][row] = put.expires_at
        columns["right"][row] = 1  # being found grounded, approved or verified was its first check
        columns["cost_ms"][row] = put.cost_ms
        columns["answer"][row] = self._keep_answer(put.answer, self.manner(put.manner)[0])
        columns["partition"][row] = partition
        self._by_key.set(put.key, row)
        self._rows += 1
        self._live += 1
        return row

    def manner(self, packed: bytes) -> tuple[int, Manner]:
        """The place of a manner, from its JSON, and what it says.

        Raises:
            ValueError, TypeError: if it is none.
        """
        place = self._manner_places.get(packed)
        if place is None:
            self._manners.append(manner_in(packed))
            place = self._manner_places[packed] = len(self._manners) - 1
        return place, self._manners[place]

    def row_of(self, entry_id: int) -> int:
        """The row of a live entry, -1 if there is none."""
        row = int(self._columns["id"][: self.rows].searchsorted(entry_id))
        found = row < self.rows and self._columns["id"][row] == entry_id and not self._columns["state"][row]
        return row if found else -1

    def rows_of(self, ids: NDArray[np.int64]) -> Rows:
        """The rows of those ids that are live, in the same order."""
        if not self._rows:
            return np.zeros(0, dtype=np.intp)
        known = self.column("id")
        rows: Rows = np.minimum(known.searchsorted(ids), self._rows - 1)
        kept = (known[rows] == ids) & (self._columns["state"][rows] == _LIVE)
        return rows if kept.all() else rows[kept]

    def where(self, mask: NDArray[np.bool_]) -> Rows:
        """The live rows of a mask."""
        return np.flatnonzero(mask & (self.column("state") == State.LIVE))

    def exact(self, partition: bytes, place: int, question: Question, exact: str) -> int:
        """The newest row in the partition with the same exact text (of this question), live or not; -1 for none."""
        row = self.newest(exact_key(partition, exact), place)
        if row < 0 or self._columns["state"][row]:
            return row  # a removed one's text is gone; it only tells why nothing is served
        return row if self.asks_same(row, question, exact) else -1

    def newest(self, key: int, place: int) -> int:
        """The newest row of an exact key in a partition, live or not; -1 for none. Another asking may have the key."""
        row = self._by_key.get(key)
        return row if row >= 0 and self._columns["partition"][row] == place else -1

    def asks_same(self, row: int, question: Question, exact: str) -> bool:
        """Whether a live row's question has the same exact text as this one."""
        text = self.text(row)
        if text.question == question.text and text.values == question.values:
            return True
        return exact_text(Question(text.question, text.values)) == exact

    def text(self, row: int) -> Text:
        """What was asked for a live row."""
        return self._text(int(self._columns["text"][row]))

    def asked(self, rows: Rows) -> list[Unread]:
        """What was asked for live rows; good for as long as it is held."""
        return [Unread(record) for record in self._texts.get_all(self._columns["text"][rows].tolist())]

    def answer(self, row: int) -> Answer:
        """The answer of a live row."""
        place = self._columns["answer"][row]
        return unpack_answer(self._answers.get(self._answer_at[place]), self._manners[self._manner[place]])

    def answer_ids(self, rows: Rows) -> list[str]:
        """The answers' ids of live rows."""
        at = self._answer_at
        heads = self._answers.get_heads([at[place] for place in self._columns["answer"][rows].tolist()])
        return [head.decode("utf-8", "surrogatepass") for head in heads]

    def accuracy(self, rows: Rows | int) -> NDArray[np.float64]:
        """Posterior mean of the share of right hits, from a Beta(1, 1) prior and the checks so far."""
        right, wrong = self._columns["right"][rows], self._columns["wrong"][rows]
        return (1.0 + right) / (2.0 + right + wrong)  # type: ignore[no-any-return]

    def answers_with(self, answer_id: str) -> Rows:
        """Places in the answer column of the answers with this id."""
        head = answer_head(answer_id)
        found = [
            place
            for place, at in enumerate(self._answer_at)
            if self._shared[place] and self._answers.get(at).startswith(head)
        ]
        return np.array(found, dtype=np.intp)

    def stamped(self, is_dead: Callable[[str], bool]) -> Rows:
        """Live rows that rest on a stamp of this kind."""
        if not self.rows:
            return np.zeros(0, dtype=np.intp)
        dead = np.array([any(map(is_dead, stamps)) for _, _, stamps in self._manners], dtype=bool)
        answers = dead[np.array(self._manner, dtype=np.intp)]
        return self.where(answers[self.column("answer")])

    def sizes(self, rows: Rows) -> NDArray[np.int64]:
        """Bytes of text and share of the answer that each row holds, vector and columns not counted."""
        answers, back = np.unique(self._columns["answer"][rows], return_inverse=True)
        places = np.array(self._answer_at, dtype=np.int64)[answers]
        shares = self._answers.sizes(places) // np.maximum(1, np.array(self._shared, dtype=np.int64)[answers])
        sizes: NDArray[np.int64] = self._texts.sizes(self._columns["text"][rows]) + shares[back]
        return sizes

    def remove(self, rows: Rows, state: State) -> None:
        """Take live rows out of service and wipe their texts."""
        for place in self._columns["text"][rows].tolist():
            self._texts.drop(place)
        for answer in self._columns["answer"][rows].tolist():
            self._shared[answer] -= 1
            if not self._shared[answer]:
                self._answers.drop(self._answer_at[answer])
        self._columns["state"][rows] = state
        self._live -= len(rows)

    def squeeze(self) -> None:
        """Drop the rows of removed entries and the room of their texts; rows are numbered anew, ids stay."""
        kept = np.flatnonzero(self.column("state") == State.LIVE)
        answers = np.unique(self._columns["answer"][kept])
        renumbered = np.full(len(self._answer_at), -1, dtype=np.int32)
        renumbered[answers] = np.arange(len(answers), dtype=np.int32)
        keys, places = self._by_answer.items()
        there = renumbered[places] >= 0
        self._by_answer.replace_all(keys[there], renumbered[places[there]])
        self._columns = {name: column[kept] for name, column in self._columns.items()}
        self._columns["answer"] = renumbered[self._columns["answer"]]
        self._texts, self._columns["text"] = self._texts.squeezed(self._columns["text"])
        self._answers, moved = self._answers.squeezed(np.array(self._answer_at, dtype=np.int64)[answers])
        self._answer_at = array("q", moved.tobytes())
        self._manner = array("i", np.array(self._manner, dtype=np.int32)[answers].tobytes())
        self._settle(len(kept))

    def dump(self) -> dict[str, NDArray[Any]]:
        """Everything as arrays, removed rows left out; `load` takes them back."""
        if self._live < self._rows:
            self.squeeze()
        arrays: dict[str, NDArray[Any]] = {f"column_{name}": self.column(name) for name in COLUMNS}
        arrays["texts"], arrays["answers"] = self._texts.dump(), self._answers.dump()
        arrays["live_bytes"] = np.array([self._texts.live_bytes, self._answers.live_bytes])
        arrays["answer_at"] = np.array(self._answer_at, dtype=np.int64)
        arrays["answer_manner"] = np.array(self._manner, dtype=np.int32)
        arrays["answer_keys"], arrays["answer_places"] = self._by_answer.items()
        arrays["manners"] = np.frombuffer(json.dumps(self._manners).encode(), dtype=np.uint8)
        return arrays

    def load(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Replace everything by what `dump` gave.

        Raises:
            StoreCorrupt: if the arrays do not fit one another.
        """
        try:
            self._columns = {name: arrays[f"column_{name}"].astype(kind) for name, kind in COLUMNS.items()}
            text_bytes, answer_bytes = arrays["live_bytes"].tolist()
            self._texts = Arena.load(arrays["texts"], text_bytes)
            self._answers = Arena.load(arrays["answers"], answer_bytes)
            self._answer_at = array("q", arrays["answer_at"].astype(np.int64).tobytes())
            self._manner = array("i", arrays["answer_manner"].astype(np.int32).tobytes())
            manners = json.loads(arrays["manners"].tobytes())
            self._manners = [(Source(source), DataClass(name), tuple(stamps)) for source, name, stamps in manners]
            self._by_answer.replace_all(arrays["answer_keys"], arrays["answer_places"])
        except (KeyError, ValueError, TypeError) as exc:
            raise StoreCorrupt(f"a snapshot of entries cannot be read: {exc}") from exc
        lengths = {len(column) for column in self._columns.values()}
        if len(lengths) != 1 or len(self._manner) != len(self._answer_at):
            raise StoreCorrupt("a snapshot of entries has columns of different lengths")
        self._texts.check(self._columns["text"])
        self._answers.check(arrays["answer_at"])
        self._manner_places = {manner_out(manner): place for place, manner in enumerate(self._manners)}
        self._settle(lengths.pop())

    def _settle(self, rows: int) -> None:
        """Make tables and sums anew from columns of live rows."""
        self._rows = self._live = rows
        self._by_key.replace_all(self._columns["key"], np.arange(rows, dtype=np.int32))
        shared = np.bincount(self._columns["answer"], minlength=len(self._answer_at)).astype(np.int32)
        self._shared = array("i", shared.tobytes())
        self._resize(max(1024, int(rows * 1.02)))

    def _resize(self, capacity: int) -> None:
        for name, column in self._columns.items():
            self._columns[name] = np.zeros(capacity, dtype=column.dtype)
            self._columns[name][: len(column)] = column

    def _text(self, place: int) -> Text:
        return Text(*unpack_text(*self._texts.within(place)))

    def _keep_answer(self, record: bytes, kind: int) -> int:
        """The place of an equal answer of the same manner, or of this one."""
        fingerprint = _fingerprint(record, kind)
        place = self._by_answer.get(fingerprint)
        is_held = place >= 0 and self._shared[place] and self._manner[place] == kind
        if is_held and self._answers.get(self._answer_at[place]) == record:
            self._shared[place] += 1
            return place
        self._answer_at.append(self._answers.put(record))
        self._manner.append(kind)
        self._shared.append(1)
        self._by_answer.set(fingerprint, len(self._answer_at) - 1)
        return len(self._answer_at) - 1


def _fingerprint(record: bytes, manner: int) -> int:
    salt = manner.to_bytes(8, "little")
    return int.from_bytes(hashlib.blake2b(record, digest_size=8, salt=salt).digest(), "little") >> 1
