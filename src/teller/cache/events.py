"""What can happen to the cache, and how it is written in the log: JSON, but for a put a record of its parts.

A put's record holds its texts just as `Entries` keeps them, so that a process takes over what others wrote without
reading JSON, while a caller waits. Older logs hold puts as JSON with the vector behind it; they are read too.

Every change is one of these; `replica.Replica` applies them in the log's order and nothing else changes its state, so
every process that has read the same events holds the same entries. Formats are plain data, never pickles. An unknown
kind is kept and passed over: a newer program may share the log.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from teller.cache.canonical import CANONICAL, exact_key, exact_text
from teller.errors import InputError, StoreCorrupt
from teller.ports import Event, Vectors
from teller.turn import Answer, Citation, DataClass, Question, Source, Value, ValueKind

Manner = tuple[Source, DataClass, tuple[str, ...]]  # what many answers have in common: source, class of data, stamps

# format, form of exact texts, trusted, partition, exact key, expires_at, cost_ms, lengths: judge, manner, text, answer
_RECORD = struct.Struct("<BBB16sqddHIII")
_FORMAT = 1  # the first byte; JSON begins with "{"


class Kind(StrEnum):
    """What an event is about."""

    EMBEDDER = "embedder"  # which weights the vectors that follow come from
    PARTITION = "partition"  # a partition's key in words, before its first put
    PUT = "put"
    VERIFY = "verify"  # a hit was checked: right or wrong
    HITS = "hits"  # how often entries were served, counted by one process for a while
    EVICT = "evict"  # entries by number, held ones too
    PURGE = "purge"  # entries by what they rest on
    ERASE = "erase"  # everything of one customer
    CALIBRATE = "calibrate"  # the judge's business: kept, newest of each name, and handed on
    METRIC = "metric"  # what a partition's entries taught about likeness: newest of each partition
    LEARNED = "learned"  # what one process's judge learned from its misses, for a while
    COMPACTED = "compacted"  # older events were folded into this one


class PurgeBy(StrEnum):
    """What a purge selects by."""

    STAMP = "stamp"  # this very stamp, "rate:loan@3": now and ever after
    CURRENT = "current"  # every other version than this stamp's, until another is named
    ADAPTER = "adapter"  # this adapter digest: now and ever after
    ANSWER = "answer"  # entries that carry this answer id now
    PARTITION = "partition"  # entries of this partition (hex digest) now
    TENANT = "tenant"  # entries of this tenant now


LASTING = frozenset({PurgeBy.STAMP, PurgeBy.CURRENT, PurgeBy.ADAPTER})


@dataclass(frozen=True, slots=True)
class Put:
    """A new entry; its number is the event's.

    Attributes:
        partition: digest.
        vector: (dim,) float32 unit vector of the question.
        expires_at: Unix time in seconds; never moved.
        trusted: served at once; otherwise it waits in quarantine until it is put again as trusted.
        cost_ms: what making the answer took.
        judge: name of the judge that made the sketch.
    """

    partition: bytes
    question: Question
    vector: Vectors
    answer: Answer
    expires_at: float
    trusted: bool = True
    cost_ms: float = 0.0
    judge: str = ""
    sketch: bytes = b""

    def record(self) -> Record:
        """As it is written and kept."""
        return Record(
            self.partition,
            exact_key(self.partition, exact_text(self.question)),
            self.expires_at,
            self.trusted,
            round(self.cost_ms, 1),
            self.judge,
            manner_out((self.answer.source, self.answer.data_class, self.answer.stamps)),
            pack_text(self.question, self.sketch),
            pack_answer(self.answer),
            pack_vector(self.vector),
        )

    def event(self, at: float) -> Event:
        """As written in the log."""
        return Event(Kind.PUT, self.record().packed(), at)

    @staticmethod
    def read(event: Event) -> Put:
        """The put of a log's event.

        Raises:
            StoreCorrupt: if it is not one.
        """
        record = Record.read(event)
        try:
            return record.put()
        except (KeyError, ValueError, TypeError, IndexError) as exc:
            raise _no_put(event, exc) from exc


class Record(NamedTuple):
    """A put, its texts in the bytes that `Entries` keeps.

    Attributes:
        key: of the exact tier.
        manner: JSON of a `Manner`.
        text: question, sketch and values.
        answer: id, text and citations.
        vector: as `pack_vector` gives it.
    """

    partition: bytes
    key: int
    expires_at: float
    trusted: bool
    cost_ms: float
    judge: str
    manner: bytes
    text: bytes
    answer: bytes
    vector: bytes

    @staticmethod
    def read(event: Event) -> Record:
        """The record of a put's event; that its texts can be read is known by the log's checksum alone.

        Raises:
            StoreCorrupt: if it has no such parts.
        """
        try:
            return _unpacked(event.body) if event.body[0] == _FORMAT else _put_of_json(event.body).record()
        except (KeyError, ValueError, TypeError, IndexError, struct.error, InputError) as exc:
            raise _no_put(event, exc) from exc

    def packed(self) -> bytes:
        """As an event's body."""
        judge = _encoded(self.judge)
        lengths = len(judge), len(self.manner), len(self.text), len(self.answer)
        numbers = self.partition, self.key, self.expires_at, self.cost_ms
        head = _RECORD.pack(_FORMAT, CANONICAL, self.trusted, *numbers, *lengths)
        return b"".join((head, judge, self.manner, self.text, self.answer, self.vector))

    def question(self) -> Question:
        """What was asked.

        Raises:
            ValueError: if it cannot be read.
        """
        text, values, _ = unpack_text(self.text, 0, len(self.text))
        return Question(text, values)

    def put(self) -> Put:
        """With everything read.

        Raises:
            ValueError, KeyError, TypeError, IndexError: if a part cannot be read.
        """
        answer = unpack_answer(self.answer, manner_in(self.manner))
        return Put(
            self.partition,
            self.question(),
            unpack_vector(self.vector),
            answer,
            self.expires_at,
            self.trusted,
            self.cost_ms,
            self.judge,
            unpack_text(self.text, 0, len(self.text))[2],
        )

    def without_sketch(self) -> Record:
        """The same without the sketch."""
        return self._replace(text=pack_text(self.question(), b""))


def _unpacked(body: bytes) -> Record:
    _, form, trusted, partition, key, expires_at, cost_ms, *lengths = _RECORD.unpack_from(body)
    places = [_RECORD.size]
    for length in lengths:
        places.append(places[-1] + length)
    if places[-1] + 4 >= len(body):
        raise ValueError("it is too short")
    judge, manner, text, answer = (body[start:end] for start, end in pairwise(places))
    if not _holds_parts(text) or not _holds_parts(answer):
        raise ValueError("its parts do not fit")
    record = Record(
        partition, key, expires_at, bool(trusted), cost_ms, _decoded(judge), manner, text, answer, body[places[-1] :]
    )
    if form == CANONICAL:
        return record
    return record._replace(key=exact_key(partition, exact_text(record.question())))


def _holds_parts(record: bytes) -> bool:
    """Whether two counted parts fit."""
    end = 3 + count_at(record, 0)
    return end + 3 <= len(record) and end + 3 + count_at(record, end) <= len(record)


def _put_of_json(body: bytes) -> Put:
    """A put as older logs hold it."""
    text, _, rest = body.partition(b"\0")
    head = json.loads(text)
    return Put(
        bytes.fromhex(head["p"]),
        Question(head["q"], values_in(head["v"])),
        unpack_vector(rest[head["s"] :]),
        answer_in(head["a"]),
        float(head["x"]),
        bool(head["t"]),
        float(head["c"]),
        str(head["j"]),
        rest[: head["s"]],
    )


def _no_put(event: Event, exc: Exception) -> StoreCorrupt:
    return StoreCorrupt(f"event {event.seq} of the cache's log is not an entry ({exc})")


def write(kind: Kind, at: float, **body: Any) -> Event:
    """An event without a vector."""
    return Event(kind, _json(body), at)


def body_of(event: Event) -> dict[str, Any]:
    """The JSON of an event without a vector.

    Raises:
        StoreCorrupt: if it is none.
    """
    try:
        body = json.loads(event.body)
    except ValueError as exc:
        raise StoreCorrupt(f"event {event.seq} ({event.kind}) of the cache's log cannot be read") from exc
    if not isinstance(body, dict):
        raise StoreCorrupt(f"event {event.seq} ({event.kind}) of the cache's log is not an object")
    return body


def pack_vector(vector: Vectors) -> bytes:
    """Scale (float32), then one signed byte per dimension: 4 + dim bytes; cosines keep three digits.

    Raises:
        InputError: if the vector is not finite or has no direction.
    """
    codes, scales = quantize(vector[None, :])
    return scales.tobytes() + codes.tobytes()


def unpack_vector(packed: bytes) -> Vectors:
    """The unit vector of `pack_vector`; packing it again gives the same bytes but for the scale."""
    codes = np.frombuffer(packed, dtype=np.int8, offset=4).astype(np.float32)
    norm = math.sqrt(codes @ codes)
    if not norm:
        raise ValueError("a vector without direction")
    return codes / np.float32(norm)


def quantize(vectors: Vectors) -> tuple[np.ndarray[Any, np.dtype[np.int8]], Vectors]:
    """(n, dim) float32 to signed bytes (n, dim) and their scales (n,): vectors are about codes * scales.

    Raises:
        InputError: if one is not finite or has no direction.
    """
    peaks = np.abs(vectors).max(axis=1, initial=0.0)
    if not np.isfinite(vectors).all() or not (peaks > 0).all():
        raise InputError("a vector is zero or not finite: the embedder is broken")
    scales = (peaks / 127).astype(np.float32)
    return np.rint(vectors / scales[:, None]).astype(np.int8), scales


def answer_out(answer: Answer) -> list[Any]:
    """JSON form of an answer; evidence and reason are not the entry's."""
    citations = [[citation.id, citation.title, citation.version] for citation in answer.citations]
    return [
        answer.answer_id,
        answer.text,
        answer.source.value,
        answer.data_class.value,
        list(answer.stamps),
        citations,
    ]


def answer_in(fields: Sequence[Any]) -> Answer:
    """The answer of its JSON form."""
    answer_id, text, source, data_class, stamps, citations = fields
    cited = tuple(Citation(*citation) for citation in citations)
    return Answer(text, Source(source), answer_id, DataClass(data_class), cited, tuple(stamps))


def values_out(values: Sequence[Value]) -> list[list[Any]]:
    """JSON form of typed values."""
    return [[value.kind.value, value.canonical, value.start, value.end] for value in values]


def values_in(fields: Sequence[Sequence[Any]]) -> tuple[Value, ...]:
    """The typed values of their JSON form."""
    return tuple(Value(ValueKind(kind), canonical, start, end) for kind, canonical, start, end in fields)


def pack_text(question: Question, sketch: bytes) -> bytes:
    """A question with its values and the judge's sketch of it: both counted, then JSON of the values."""
    values = json.dumps(values_out(question.values), ensure_ascii=False).encode() if question.values else b""
    return _counted(_encoded(question.text)) + _counted(sketch) + values


def unpack_text(record: bytes | bytearray, start: int, end: int) -> tuple[str, tuple[Value, ...], bytes]:
    """A question's text, its values and its sketch, of a `pack_text` that begins and ends there.

    Raises:
        ValueError: if it is none.
    """
    sketch = start + 3 + count_at(record, start)
    values = sketch + 3 + count_at(record, sketch)
    found = values_in(json.loads(record[values:end].decode())) if values < end else ()
    return record[start + 3 : sketch].decode("utf-8", "surrogatepass"), found, bytes(record[sketch + 3 : values])


def manner_out(manner: Manner) -> bytes:
    """JSON of a `Manner`; always the same bytes for the same one."""
    return _encoded(json.dumps(manner, ensure_ascii=False, separators=(",", ":")))


def manner_in(manner: bytes) -> Manner:
    """The `Manner` of its JSON.

    Raises:
        ValueError, TypeError: if it is none.
    """
    source, data_class, stamps = json.loads(_decoded(manner))
    return Source(source), DataClass(data_class), tuple(stamps)


def pack_answer(answer: Answer) -> bytes:
    """Id and text, both counted, then JSON of the citations; the rest of an answer is its `Manner`."""
    cited = [[citation.id, citation.title, citation.version] for citation in answer.citations]
    citations = _encoded(json.dumps(cited, ensure_ascii=False, separators=(",", ":"))) if cited else b""
    return _counted(_encoded(answer.answer_id)) + _counted(_encoded(answer.text)) + citations


def unpack_answer(record: bytes, manner: Manner) -> Answer:
    """The answer of a `pack_answer`.

    Raises:
        ValueError, TypeError: if it is none.
    """
    source, data_class, stamps = manner
    text = 3 + count_at(record, 0)
    citations = text + 3 + count_at(record, text)
    cited = tuple(Citation(*one) for one in json.loads(_decoded(record[citations:]))) if citations < len(record) else ()
    return Answer(_decoded(record[text + 3 : citations]), source, _decoded(record[3:text]), data_class, cited, stamps)


def count_at(record: bytes | bytearray, at: int) -> int:
    """How many bytes the counted part at a place has, after the three that say so."""
    return record[at] | record[at + 1] << 8 | record[at + 2] << 16


def answer_head(answer_id: str) -> bytes:
    """How the `pack_answer` of every answer with this id begins."""
    return _counted(_encoded(answer_id))


def _counted(part: bytes) -> bytes:
    return len(part).to_bytes(3, "little") + part


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "surrogatepass")


def _json(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode("utf-8", "surrogatepass")
