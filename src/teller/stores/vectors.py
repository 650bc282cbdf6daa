"""Embedders that remember: on disk what the bank has written, in memory what was asked a moment ago.

Both fit the Embedder port around another embedder. A caller's words never reach the file.
"""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from teller.errors import StoreError
from teller.ports import Embedder, Vectors

_DIGEST_BYTES = 16


class KeptVectors:
    """Vectors of fixed texts in one append-only file: records of digest and float16 vector.

    The file is named after the embedder, so another model never reads it. A record that a crash cut off is ignored and
    written over; several processes may append at once, each batch in one write.

    Raises:
        StoreError: if the file cannot be read or written.
    """

    def __init__(self, embedder: Embedder, folder: Path) -> None:
        self.name, self.dim = embedder.name, embedder.dim
        self._embedder = embedder
        safe = hashlib.sha256(embedder.name.encode()).hexdigest()[:16]
        self._path = folder / f"vectors-{safe}-{embedder.dim}.f16"
        self._record = np.dtype([("key", f"V{_DIGEST_BYTES}"), ("vector", np.float16, (embedder.dim,))])
        self._rows = self._read()

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """As `Embedder.embed`; what was embedded before is read back, good to 0.0005 in each number."""
        keys = [self._key(text) for text in texts]
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._rows}
        if missing:
            vectors = await self._embedder.embed(list(missing.values()))
            self._write(list(missing), vectors)
            self._rows.update(zip(missing, vectors.astype(np.float16), strict=True))
        rows = np.array([self._rows[key] for key in keys], dtype=np.float32).reshape(len(keys), self.dim)
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        return np.asarray(rows / np.where(norms > 0, norms, 1), dtype=np.float32)

    async def embed_tokens(self, text: str) -> tuple[Vectors, Vectors]:
        """As `Embedder.embed_tokens`; token vectors are not kept."""
        return await self._embedder.embed_tokens(text)

    @staticmethod
    def _key(text: str) -> bytes:
        return hashlib.sha256(text.encode()).digest()[:_DIGEST_BYTES]

    def _read(self) -> dict[bytes, np.ndarray[tuple[int], np.dtype[np.float16]]]:
        try:
            data = self._path.read_bytes() if self._path.exists() else b""
        except OSError as exc:
            raise StoreError(f"{self._path.name} in the knowledge folder cannot be read ({exc.strerror})") from exc
        whole = len(data) - len(data) % self._record.itemsize
        records = np.frombuffer(data[:whole], dtype=self._record)
        sound = np.abs(np.linalg.norm(records["vector"].astype(np.float32), axis=1) - 1) < 0.01
        return {bytes(record["key"]): record["vector"] for record in records[sound]}

    def _write(self, keys: Sequence[bytes], vectors: Vectors) -> None:
        records = np.zeros(len(keys), dtype=self._record)
        records["key"] = np.frombuffer(b"".join(keys), dtype=f"V{_DIGEST_BYTES}")
        records["vector"] = vectors.astype(np.float16)
        try:
            with self._path.open("ab") as file:
                if torn := file.tell() % self._record.itemsize:
                    os.ftruncate(file.fileno(), file.tell() - torn)
                file.write(records.tobytes())
        except OSError as exc:
            raise StoreError(f"{self._path.name} in the knowledge folder cannot be written ({exc.strerror})") from exc


class RecentVectors:
    """The last `keep` texts in memory: one question is embedded once, however many parts of a turn need its vector."""

    def __init__(self, embedder: Embedder, keep: int = 1024) -> None:
        self.name, self.dim = embedder.name, embedder.dim
        self._embedder = embedder
        self._keep = keep
        self._recent: OrderedDict[str, tuple[Vectors, Vectors | None]] = OrderedDict()

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """As `Embedder.embed`; only single texts are remembered."""
        if len(texts) != 1:
            return await self._embedder.embed(texts)
        found = self._recent.get(texts[0])
        if found is None:
            found = (await self._embedder.embed(texts))[0], None
        self._remember(texts[0], found)
        return found[0][None, :]

    async def embed_tokens(self, text: str) -> tuple[Vectors, Vectors]:
        """As `Embedder.embed_tokens`."""
        vector, tokens = self._recent.get(text, (None, None))
        if vector is None or tokens is None:
            vector, tokens = await self._embedder.embed_tokens(text)
        self._remember(text, (vector, tokens))
        return vector, tokens

    def _remember(self, text: str, found: tuple[Vectors, Vectors | None]) -> None:
        self._recent[text] = found
        self._recent.move_to_end(text)
        while len(self._recent) > self._keep:
            self._recent.popitem(last=False)
