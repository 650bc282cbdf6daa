"""What can happen to the cache, and how it is written in the log: JSON, and for a put its vector behind it.

Every change is one of these; `replica.Replica` applies them in the log's order and nothing else changes its state, so
every process that has read the same events holds the same entries. Formats are plain data, never pickles. An unknown
kind is kept and passed over: a newer program may share the log.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from teller.errors import InputError, StoreCorrupt
from teller.ports import Event, Vectors
from teller.turn import Answer, Citation, DataClass, Question, Source, Value, ValueKind


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

    def event(self, at: float) -> Event:
        """As written in the log."""
        head = {
            "p": self.partition.hex(),
            "q": self.question.text,
            "v": values_out(self.question.values),
            "a": answer_out(self.answer),
            "x": self.expires_at,
            "t": self.trusted,
            "c": round(self.cost_ms, 1),
            "j": self.judge,
            "s": len(self.sketch),
        }
        return Event(Kind.PUT, _json(head) + b"\0" + self.sketch + pack_vector(self.vector), at)

    @staticmethod
    def read(event: Event) -> Put:
        """The put of a log's event.

        Raises:
            StoreCorrupt: if it is not one.
        """
        try:
            text, _, rest = event.body.partition(b"\0")
            head = json.loads(text)
            question = Question(head["q"], values_in(head["v"]))
            return Put(
                bytes.fromhex(head["p"]),
                question,
                unpack_vector(rest[head["s"] :]),
                answer_in(head["a"]),
                float(head["x"]),
                bool(head["t"]),
                float(head["c"]),
                str(head["j"]),
                rest[: head["s"]],
            )
        except (KeyError, ValueError, TypeError, IndexError) as exc:
            raise StoreCorrupt(f"event {event.seq} of the cache's log is not an entry ({exc})") from exc


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
    norm = float(np.sqrt(codes @ codes))
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


def _json(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode("utf-8", "surrogatepass")
