"""The seams: what the core asks of the outside world.

Each is a Protocol; engines and stores fit by shape and need not import this file. Every port has a scripted engine in
`engines/scripted.py` and one contract test that runs on it and on every real engine. Ports are async, except where a
call takes microseconds and a thread would cost more than the work (VectorIndex, CacheLog.head, Observer, Clock).

Every engine raises EngineUnavailable when its package, weights or key is missing (on construction or on `warm`), and
EngineError or EngineTimeout on use.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from teller.audio import Pcm
from teller.turn import DataClass, LookupRecord, Question, Speech, ToggleRecord, TrainingRecord, Transcript, TurnRecord

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat prompt; `role` is "system", "user" or "assistant"."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Passage:
    """An approved answer or a part of a document that knowledge found for a question.

    Attributes:
        text: what may be said, its rates and fees filled in.
        stamps: what it depends on, as in `turn.Answer`.
        score: 0 to 1, how surely it answers the question.
        handoff: a person takes over after it is said.
        sensitive: never kept in the cache.
        tool: the calculation that answers better than the text, empty if none does.
    """

    answer_id: str
    title: str
    text: str
    version: str
    data_class: DataClass
    stamps: tuple[str, ...]
    score: float
    handoff: bool = False
    sensitive: bool = False
    tool: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """The question before in a call, redacted, and the id of what answered it."""

    text: str
    answer_id: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a generator is given: the messages, and the passages they were made from (best first, never empty)."""

    messages: tuple[Message, ...]
    passages: tuple[Passage, ...]


class Transcriber(Protocol):
    """Speech to text."""

    name: str

    async def transcribe(self, speech: Speech) -> Transcript:
        """Hear one utterance; sound without words gives an empty text, never an invented one.

        Raises:
            EngineError: if the engine fails.
        """
        ...


class Detector(Protocol):
    """Voice activity in a stream of sound; one instance for each stream."""

    frame_samples: int

    def probability(self, frame: NDArray[np.int16]) -> float:
        """Probability, 0 to 1, that this frame, (frame_samples,) at 16 kHz, is speech; frames come in order."""
        ...

    def reset(self) -> None:
        """Forget the stream so far."""
        ...


class Synthesizer(Protocol):
    """Text to speech."""

    name: str

    def speak(self, text: str) -> AsyncIterator[Pcm]:
        """Speak a text in pieces, in order, all at one rate; the first as soon as it is ready.

        Raises:
            InputError: if the text is empty.
            EngineError: if the engine fails.
        """
        ...


class Embedder(Protocol):
    """Text to vectors."""

    name: str  # identity of weights and precision: part of what is stored beside vectors
    dim: int

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Embed (n,) texts to (n, dim) float32, each row of unit L2 norm; (0, dim) for none.

        Raises:
            EngineError: if the engine fails.
        """
        ...

    async def embed_tokens(self, text: str) -> tuple[Vectors, Vectors]:
        """Embed one text to its (dim,) unit vector and its (tokens, dim) unit token vectors, from one pass.

        Special tokens are left out.
        """
        ...


class VectorIndex(Protocol):
    """Nearest neighbours by inner product. Not thread-safe: the caller keeps writers and searches apart."""

    dim: int

    def __len__(self) -> int: ...

    def add(self, ids: NDArray[np.int64], vectors: Vectors) -> None:
        """Add (n,) new ids with their (n, dim) unit vectors.

        Raises:
            InputError: if an id is there already, or the shapes differ.
        """
        ...

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Remove ids; those that are not there are ignored."""
        ...

    def search(self, vector: Vectors, k: int) -> tuple[Vectors, NDArray[np.int64]]:
        """The at most k nearest of a (dim,) vector: similarities (m,), best first, and their ids (m,)."""
        ...

    def vectors(self, ids: NDArray[np.int64]) -> Vectors:
        """The (n, dim) unit vectors of (n,) ids, as precise as they are kept.

        Raises:
            InputError: if an id is not there.
        """
        ...

    def save(self, path: Path) -> None:
        """Write the index to a file, whole or not at all."""
        ...

    def load(self, path: Path) -> None:
        """Replace the index by what `save` wrote.

        Raises:
            StoreCorrupt: if the file is not such an index.
        """
        ...


class Generator(Protocol):
    """Writes an answer from a prompt."""

    name: str  # identity of the base model: part of the cache's partition

    def generate(self, prompt: Prompt, *, adapter: str | None = None) -> AsyncIterator[str]:
        """Stream the answer's text in pieces; adapter is a served LoRA name, None for the base model.

        Raises:
            EngineError, EngineTimeout: if the engine fails or stalls; what came before is not an answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a model says to fixed questions, greedily: equal for the same weights, different where an adapter applies.

    Attributes:
        tokens: the first tokens of each answer, as text; one tuple for each question.
        logprobs: their natural log-probabilities, in the same shape; equal to about 1e-3 between engines at float32,
            to about 0.1 at bfloat16.
    """

    tokens: tuple[tuple[str, ...], ...]
    logprobs: tuple[tuple[float, ...], ...]


class AdapterHost(Protocol):
    """Where LoRA adapters are resident beside one base model; a Generator serves them by name.

    A version is named `name@sha12` and never changes. Loading and unloading disturb neither the base model, nor another
    adapter, nor an answer that is being written.
    """

    base_digest: str  # SHA-256 of the base weights, as `adapters.manifest` makes it; "" where it cannot be known

    async def load(self, served: str, folder: Path) -> None:
        """Make a version resident; nothing happens if it is.

        Args:
            served: as in "banking-lora@3f2a91c0b7de".
            folder: absolute, with adapter_config.json and adapter_model.safetensors, already checked.

        Raises:
            InputError: if the adapter does not fit the base model: a module is missing or left over, a shape differs.
            EngineError, EngineTimeout: if the engine refuses or does not answer; the version is not resident.
        """
        ...

    async def unload(self, served: str) -> None:
        """Let a version go, once the answers that use it are written; nothing happens if it is not resident.

        Raises:
            EngineError, EngineTimeout: if the engine refuses or does not answer in its time.
        """
        ...

    async def resident(self) -> tuple[str, ...]:
        """Served names of the versions that are resident, sorted.

        Raises:
            EngineError, EngineTimeout: if the engine does not answer.
        """
        ...

    async def fingerprint(self, questions: Sequence[str], adapter: str | None = None) -> Fingerprint:
        """The first 8 tokens that are said to each question, sampled greedily; `adapter` None for the base model.

        Raises:
            EngineError, EngineTimeout: if the engine fails, or another model answered than was asked.
        """
        ...


class KnowledgeIndex(Protocol):
    """Finds what the bank has approved on a question."""

    version: str  # changes whenever any text, rate or way of asking changes

    async def search(self, question: Question, *, limit: int = 5, after: Asked | None = None) -> tuple[Passage, ...]:
        """Passages, best first; none if nothing covers the question.

        `after` is given for a question that points back ("and how do I undo that?"): what was asked before it.
        """
        ...


@dataclass(frozen=True, slots=True)
class Event:
    """One change in a log.

    Attributes:
        kind: what happened ("put", "verify", "evict", "purge", "calibrate", ...).
        body: the change, as `cache.events` writes it; the log does not look inside.
        seq: place in the log, from 1, given by the log and never given again; 0 before.
        at: Unix time in seconds.
    """

    kind: str
    body: bytes
    at: float
    seq: int = 0


class CacheLog(Protocol):
    """An append-only log shared by processes: the one truth of the semantic cache (a SQLite table, a Redis stream)."""

    def head(self) -> int:
        """The newest sequence number ever given, 0 for a new log; microseconds, safe to ask before every lookup.

        Raises:
            StoreError: if the log cannot be asked.
        """
        ...

    async def append(self, events: Sequence[Event], *, forget: Sequence[int] = (), only_at: int | None = None) -> int:
        """Write events in order and drop the old ones numbered in `forget`, all or none; gives the head after it.

        When this returns, the events survive kill -9, and what was forgotten can no longer be read, here or on disk.
        Numbers that are not there are ignored.

        Raises:
            BusyError: if the head is no longer `only_at`; nothing has changed.
            StoreError: if they could not be written; nothing has changed.
        """
        ...

    async def read(self, after: int, limit: int = 10_000) -> list[Event]:
        """Events with a number above `after`, in order, at most `limit`; numbers of forgotten events are left out.

        Raises:
            StoreCorrupt: if the log cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Derived state as it was kept: plain data, arrays, and files for `VectorIndex.load`."""

    meta: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]
    indexes: Mapping[str, Path]


class Snapshots(Protocol):
    """Keeps the newest snapshot of what was derived from a log; losing it costs time, never data. Blocking."""

    def save(
        self, meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], indexes: Mapping[str, VectorIndex]
    ) -> None:
        """Keep this one, whole or not at all, and forget the others.

        Raises:
            StoreError: if it cannot be written.
        """
        ...

    def load(self) -> Snapshot | None:
        """The newest one; None if there is none or it is damaged."""
        ...

    def discard(self) -> None:
        """Remove every snapshot."""
        ...


class Cipher(Protocol):
    """Encrypts what is private, and notices every change to it."""

    def seal(self, plain: bytes, context: bytes) -> bytes:
        """Encrypt; `context` is not hidden, but must be the same to open."""
        ...

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Decrypt.

        Raises:
            StoreCorrupt: if key or context are others, or a bit was changed.
        """
        ...


class Signer(Protocol):
    """Signs for this installation, and knows whose signatures it trusts."""

    @property
    def public_key(self) -> bytes:
        """The key that this signer's signatures are checked with, 32 bytes; trusted here.

        Raises:
            StoreError: if the keys cannot be read or made.
        """
        ...

    def sign(self, data: bytes) -> bytes:
        """A signature of 64 bytes; the same for the same data.

        Raises:
            StoreError: if the keys cannot be read or made.
        """
        ...

    def verify(self, data: bytes, signature: bytes, public_key: bytes) -> bool:
        """Whether the key is trusted here and made this signature of this data; never raises for wrong bytes.

        Raises:
            StoreError: if the keys cannot be read.
        """
        ...

    def trusts(self, public_key: bytes) -> bool:
        """Whether signatures by this key are accepted here.

        Raises:
            StoreError: if the keys cannot be read.
        """
        ...


class Observer(Protocol):
    """Is told facts; never raises, never blocks."""

    def turn_finished(self, record: TurnRecord) -> None:
        """A turn has ended."""
        ...

    def lookup_finished(self, record: LookupRecord) -> None:
        """The cache was asked."""
        ...

    def adapter_toggled(self, record: ToggleRecord) -> None:
        """The live adapter was changed, or a change was refused."""
        ...

    def training_advanced(self, record: TrainingRecord) -> None:
        """A training step is done."""
        ...


class Clock(Protocol):
    """Time, so that tests can turn it."""

    def now(self) -> float:
        """Unix time in seconds."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, for durations."""
        ...
