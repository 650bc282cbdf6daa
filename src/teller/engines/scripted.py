"""A scripted engine for every port: small, deterministic, without weights; for tests of Teller and of what uses it.

They keep the contracts of `ports.py` (tests/contracts runs on them and on every real engine alike) and add what a test
needs: what was asked of them is kept, and a `Fault` makes them fail or stall at a chosen place. Not here: quality, and
what is around the engines (scripted_surroundings.py).
"""

from __future__ import annotations

import asyncio
import bisect
import hashlib
import io
import json
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from teller.audio import SPEECH_RATE_HZ, Pcm
from teller.errors import BusyError, EngineError, InputError, StoreCorrupt, StoreError, TellerError
from teller.ports import Asked, Event, Fingerprint, Passage, Prompt, Vectors
from teller.turn import Question, Speech, Transcript

_WORD = re.compile(r"\w+")
_SILENCE_RMS = 0.003  # under this a sound holds no words


@dataclass(frozen=True, slots=True)
class Fault:
    """Where a stream breaks.

    Attributes:
        after: pieces that still come.
        error: raised then; None stalls for ever, until cancelled.
    """

    after: int = 0
    error: TellerError | None = None

    async def strike(self) -> None:
        """Fail or stall."""
        if self.error is not None:
            raise self.error
        await asyncio.Event().wait()


async def _broken(pieces: Sequence[str], fault: Fault | None) -> AsyncIterator[str]:
    """The pieces in order, cut short by the fault."""
    for at, piece in enumerate(pieces):
        if fault is not None and at == fault.after:
            await fault.strike()
        yield piece
    if fault is not None and fault.after >= len(pieces):
        await fault.strike()


class ScriptedTranscriber:
    """Hears what the script says, one line for each utterance; silence is heard as an empty text and uses no line.

    Attributes:
        heard: every utterance so far, in order.
    """

    name = "scripted"

    def __init__(self, script: Sequence[str | Transcript | TellerError] = (), *, delay_s: float = 0.0) -> None:
        self.heard: list[Speech] = []
        self._script = list(script)
        self._delay_s = delay_s

    async def transcribe(self, speech: Speech) -> Transcript:
        """The next line of the script; an error in it is raised.

        Raises:
            EngineError: if the script is used up.
        """
        self.heard.append(speech)
        await asyncio.sleep(self._delay_s)
        if speech.pcm.rms < _SILENCE_RMS:
            return Transcript("", confidence=0.0)
        if not self._script:
            raise EngineError("the script of the transcriber is used up: give it a line for each utterance")
        line = self._script.pop(0)
        if isinstance(line, TellerError):
            raise line
        return line if isinstance(line, Transcript) else Transcript(line)


class ScriptedDetector:
    """Takes every loud frame for speech: 1 from `min_rms` of full scale on, 0 below."""

    def __init__(self, *, frame_samples: int = 512, min_rms: float = 0.01) -> None:
        self.frame_samples = frame_samples
        self._min_rms = min_rms

    def probability(self, frame: NDArray[np.int16]) -> float:
        """1.0 or 0.0.

        Raises:
            InputError: if the frame has another length.
        """
        if frame.shape != (self.frame_samples,):
            raise InputError(f"a frame has {self.frame_samples} samples, got {frame.shape}")
        return 1.0 if Pcm(frame, SPEECH_RATE_HZ).rms >= self._min_rms else 0.0

    def reset(self) -> None:
        """Nothing to forget."""


class ScriptedSynthesizer:
    """Speaks every word as a tone of `word_s`, one piece for each word.

    Attributes:
        spoken: every text so far, in order.
    """

    name = "scripted"

    def __init__(
        self, *, rate_hz: int = SPEECH_RATE_HZ, word_s: float = 0.1, delay_s: float = 0.0, fault: Fault | None = None
    ) -> None:
        self.spoken: list[str] = []
        self._rate_hz = rate_hz
        self._word_s = word_s
        self._delay_s = delay_s
        self._fault = fault

    async def speak(self, text: str) -> AsyncIterator[Pcm]:
        """A tone for each word, `delay_s` before each.

        Raises:
            InputError: if the text is empty.
        """
        words = text.split()
        if not words:
            raise InputError("there is nothing to speak: the text is empty")
        self.spoken.append(text)
        async for word in _broken(words, self._fault):
            await asyncio.sleep(self._delay_s)
            yield self._tone(word)

    def _tone(self, word: str) -> Pcm:
        pitch_hz = 200 + zlib.crc32(word.encode()) % 400
        seconds = np.arange(round(self._word_s * self._rate_hz)) / self._rate_hz
        return Pcm((8_000 * np.sin(2 * np.pi * pitch_hz * seconds)).astype(np.int16), self._rate_hz)


class ScriptedEmbedder:
    """Feature hashing of words and their letter trigrams: texts that share words or stems are near, others are not.

    Attributes:
        asked: every text so far, in order.
    """

    def __init__(self, *, dim: int = 256, fault: TellerError | None = None) -> None:
        if dim < 1:
            raise InputError(f"vectors have at least one dimension, got {dim}")
        self.dim = dim
        self.name = f"scripted-{dim}"
        self.asked: list[str] = []
        self.fault = fault

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """As `Embedder.embed`; raises `fault` if one is set."""
        self.asked.extend(texts)
        if self.fault is not None:
            raise self.fault
        rows = [self._sum(_WORD.findall(text.casefold())) for text in texts]
        return np.stack(rows) if rows else np.zeros((0, self.dim), dtype=np.float32)

    async def embed_tokens(self, text: str) -> tuple[Vectors, Vectors]:
        """As `Embedder.embed_tokens`; a token is a word."""
        vector = (await self.embed([text]))[0]
        words = [self._sum([word]) for word in _WORD.findall(text.casefold())]
        return vector, np.stack(words) if words else np.zeros((0, self.dim), dtype=np.float32)

    def _sum(self, words: Sequence[str]) -> Vectors:
        total = np.zeros(self.dim, dtype=np.float32)
        total[0] = 1e-3  # so that a text without words has a direction too
        for word in words:
            padded = f"<{word}>"
            for feature in (padded, *(padded[at : at + 3] for at in range(len(padded) - 2))):
                code = zlib.crc32(feature.encode())
                total[code % self.dim] += 1.0 if code >> 16 & 1 else -1.0
        norm = np.linalg.norm(total)
        return (total / norm).astype(np.float32) if norm else np.eye(1, self.dim, dtype=np.float32)[0]


class ScriptedIndex:
    """Exact search over a dictionary of vectors."""

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self._rows: dict[int, Vectors] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, ids: NDArray[np.int64], vectors: Vectors) -> None:
        """As `VectorIndex.add`; nothing is added if one id is refused."""
        if vectors.shape != (len(ids), self.dim):
            raise InputError(f"{len(ids)} ids need vectors of ({len(ids)}, {self.dim}), got {vectors.shape}")
        fresh = dict(zip(ids.tolist(), np.array(vectors, dtype=np.float32), strict=True))
        if len(fresh) != len(ids) or not self._rows.keys().isdisjoint(fresh):
            raise InputError("an id is there already: remove it first")
        self._rows |= fresh

    def remove(self, ids: NDArray[np.int64]) -> None:
        """As `VectorIndex.remove`."""
        for one in ids.tolist():
            self._rows.pop(one, None)

    def search(self, vector: Vectors, k: int) -> tuple[Vectors, NDArray[np.int64]]:
        """As `VectorIndex.search`."""
        if vector.shape != (self.dim,):
            raise InputError(f"a search takes one vector of ({self.dim},), got {vector.shape}")
        if not self._rows or k < 1:
            return np.zeros(0, dtype=np.float32), np.zeros(0, dtype=np.int64)
        similarities = np.stack(list(self._rows.values())) @ vector
        best = np.argsort(-similarities, kind="stable")[:k]
        return similarities[best], np.array(list(self._rows), dtype=np.int64)[best]

    def vectors(self, ids: NDArray[np.int64]) -> Vectors:
        """As `VectorIndex.vectors`."""
        try:
            rows = [self._rows[one] for one in ids.tolist()]
        except KeyError as exc:
            raise InputError(f"id {exc} is not in the index") from exc
        return np.array(rows, dtype=np.float32).reshape(-1, self.dim)

    def save(self, path: Path) -> None:
        """As `VectorIndex.save`: a .npz file."""
        body = io.BytesIO()
        vectors = np.array(list(self._rows.values()), dtype=np.float32).reshape(-1, self.dim)
        np.savez(body, ids=np.array(list(self._rows), dtype=np.int64), vectors=vectors)
        beside = path.with_name(f".{path.name}.partial")
        beside.write_bytes(body.getvalue())
        beside.replace(path)

    def load(self, path: Path) -> None:
        """As `VectorIndex.load`."""
        try:
            with np.load(io.BytesIO(path.read_bytes())) as file:
                ids, vectors = file["ids"], file["vectors"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as exc:
            raise StoreCorrupt(f"{path.name} is not an index: rebuild it") from exc
        if vectors.shape != (len(ids), self.dim):
            raise StoreCorrupt(f"{path.name} holds vectors of {vectors.shape}, wanted ({len(ids)}, {self.dim})")
        self._rows = dict(zip(ids.tolist(), vectors, strict=True))


class ScriptedGenerator:
    """Writes what a rule says, word by word; without a rule, the best passage's text.

    Attributes:
        asked: (prompt, adapter) of every call so far, in order.
        fault: where the next streams break; None for whole ones.
    """

    name = "scripted"

    def __init__(
        self,
        rule: Callable[[Prompt, str | None], str] | None = None,
        *,
        delay_s: float = 0.0,
        fault: Fault | None = None,
    ) -> None:
        self.asked: list[tuple[Prompt, str | None]] = []
        self.fault = fault
        self._rule = rule
        self._delay_s = delay_s

    async def generate(self, prompt: Prompt, *, adapter: str | None = None) -> AsyncIterator[str]:
        """As `Generator.generate`; the pieces together are the rule's text to the letter."""
        self.asked.append((prompt, adapter))
        await asyncio.sleep(self._delay_s)
        text = self._rule(prompt, adapter) if self._rule else prompt.passages[0].text
        async for piece in _broken(re.findall(r"\S+\s*|^\s+", text), self.fault):
            yield piece


class ScriptedAdapterHost:
    """Generator and AdapterHost in one: what a version says follows from the bytes of its weights file.

    A version fits if its adapter_config.json names this host as base_model_name_or_path.

    Attributes:
        asked: (prompt, adapter) of every generation so far, in order.
        faults: by method ("load", "unload", "resident", "fingerprint", "generate"): where it breaks.
        blind: versions are loaded, and then not applied.
    """

    name = "scripted"

    def __init__(
        self, rule: Callable[[Prompt, str | None], str] | None = None, *, base_digest: str = "", delay_s: float = 0.0
    ) -> None:
        self.base_digest = base_digest
        self.asked: list[tuple[Prompt, str | None]] = []
        self.faults: dict[str, Fault] = {}
        self.blind = False
        self._rule = rule
        self._delay_s = delay_s
        self._weights: dict[str, bytes] = {}
        self._writing: Counter[str | None] = Counter()

    async def load(self, served: str, folder: Path) -> None:
        """As `AdapterHost.load`, after `delay_s`."""
        await self._meet("load")
        if served in self._weights:
            return
        try:
            made_for = json.loads((folder / "adapter_config.json").read_bytes())["base_model_name_or_path"]
            weights = (folder / "adapter_model.safetensors").read_bytes()
        except (OSError, ValueError, KeyError) as exc:
            raise InputError(f"{served}: its folder is not that of an adapter") from exc
        if made_for != self.name:
            raise InputError(f"{served} is for {made_for}, this host has {self.name}")
        self._weights[served] = hashlib.sha256(weights).digest()

    async def unload(self, served: str) -> None:
        """As `AdapterHost.unload`, after `delay_s`."""
        await self._meet("unload")
        while self._writing[served]:  # noqa: ASYNC110  answers end in many ways, and some are just dropped
            await asyncio.sleep(0.001)
        self._weights.pop(served, None)

    async def resident(self) -> tuple[str, ...]:
        """As `AdapterHost.resident`."""
        await self._meet("resident")
        return tuple(sorted(self._weights))

    async def fingerprint(self, questions: Sequence[str], adapter: str | None = None) -> Fingerprint:
        """As `AdapterHost.fingerprint`: eight words for each question, drawn by the weights."""
        await self._meet("fingerprint")
        weights = b"" if self.blind else self._of(adapter)
        rows = [hashlib.sha256(weights + one.encode()).digest() for one in questions]
        tokens = tuple(tuple(f"w{byte % 97}" for byte in row[:8]) for row in rows)
        return Fingerprint(tokens, tuple(tuple(-byte / 100 for byte in row[8:16]) for row in rows))

    async def generate(self, prompt: Prompt, *, adapter: str | None = None) -> AsyncIterator[str]:
        """As `Generator.generate`: what the rule says, or the best passage's text, word by word."""
        self.asked.append((prompt, adapter))
        self._of(adapter)
        self._writing[adapter] += 1
        try:
            await asyncio.sleep(self._delay_s)
            text = self._rule(prompt, adapter) if self._rule else prompt.passages[0].text
            async for piece in _broken(re.findall(r"\S+\s*|^\s+", text), self.faults.get("generate")):
                yield piece
        finally:
            self._writing[adapter] -= 1

    def _of(self, adapter: str | None) -> bytes:
        if adapter not in (None, *self._weights):
            raise EngineError(f"{adapter} is not resident: load it first")
        return self._weights.get(adapter or "", b"")

    async def _meet(self, what: str) -> None:
        await asyncio.sleep(self._delay_s)
        if what in self.faults:
            await self.faults[what].strike()


class ScriptedKnowledge:
    """Finds the passages filed under exactly this question (case does not count), else those of `otherwise`.

    A question that leans on another is looked for as "another > question" first.
    """

    def __init__(
        self,
        filed: Mapping[str, Sequence[Passage]] = MappingProxyType({}),
        *,
        otherwise: Sequence[Passage] = (),
        version: str = "1",
        fault: TellerError | None = None,
    ) -> None:
        self.version = version
        self.fault = fault
        self.delay_s = 0.0
        self._filed = {text.casefold(): tuple(passages) for text, passages in filed.items()}
        self._otherwise = tuple(otherwise)

    async def search(
        self,
        question: Question,
        *,
        limit: int = 5,
        after: Asked | None = None,
    ) -> tuple[Passage, ...]:
        """As `KnowledgeIndex.search`, after `delay_s`; raises `fault` if one is set."""
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if self.fault is not None:
            raise self.fault
        found = self._filed.get(question.text.casefold(), self._otherwise)
        if after is not None:
            found = self._filed.get(f"{after.text} > {question.text}".casefold(), found)
        return tuple(sorted(found, key=lambda passage: -passage.score)[:limit])


class ScriptedLog:
    """A log in memory; give one to several caches to have them share it.

    Attributes:
        fault: raised by the next appends; None for none.
    """

    def __init__(self, *, fault: StoreError | None = None) -> None:
        self.fault = fault
        self._events: list[Event] = []
        self._head = 0

    def head(self) -> int:
        """As `CacheLog.head`."""
        return self._head

    async def append(self, events: Sequence[Event], *, forget: Sequence[int] = (), only_at: int | None = None) -> int:
        """As `CacheLog.append`; of course nothing survives the process."""
        if self.fault is not None:
            raise self.fault
        if only_at not in (None, self._head):
            raise BusyError(f"the log is at {self._head}, no longer at {only_at}: catch up and try again")
        gone = set(forget)
        self._events = [event for event in self._events if event.seq not in gone] if gone else self._events
        self._events += [replace(event, seq=seq) for seq, event in enumerate(events, self._head + 1)]
        self._head += len(events)
        return self._head

    async def read(self, after: int, limit: int = 10_000) -> list[Event]:
        """As `CacheLog.read`."""
        first = bisect.bisect_right(self._events, after, key=lambda event: event.seq)
        return self._events[first : first + limit]
