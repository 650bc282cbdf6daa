"""Spoken answers kept on disk, in front of any synthesizer: what was said once is played, not spoken again.

One file for each text and voice, named by a hash of both, so that the folder holds no words. A file is written whole or
not at all, carries its own checksum, and is ignored and removed when it does not hold. Only complete sound is kept:
a turn that is stopped, or a synthesizer that fails half-way, leaves nothing behind. The least recently played go first.

Everything that is spoken through it is kept: what is one caller's own goes to the synthesizer itself.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import struct
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from pathlib import Path

import numpy as np

from teller.audio import Pcm
from teller.errors import InputError
from teller.ports import Synthesizer
from teller.spoken import for_speech

_log = logging.getLogger("teller.engines.spoken_cache")

_FORMAT = 1  # part of every key: files of another format are never looked at
_CHECKSUM_BYTES = 32
_LEFT_AFTER_EVICTION = 0.9  # of max_bytes, so that not every new file evicts
_ABANDONED_S = 3_600.0  # a half-written file of a process that died


class SpokenCache:
    """A Synthesizer that remembers.

    The key is `synthesizer.name`, which must name engine, version, voice and speed, with the text as it is written and
    as it is said: sound from before a change of `spoken` is not played.

    Args:
        synthesizer: speaks what is not there.
        folder: made if it is missing; for this alone.
        max_bytes: size of all files together.
        max_age_s: a file that was not played for so long is removed when this process first keeps one, and on eviction.
    """

    def __init__(
        self,
        synthesizer: Synthesizer,
        folder: Path,
        *,
        max_bytes: int = 512 * 1024 * 1024,
        max_age_s: float = 30 * 86_400.0,
    ) -> None:
        self.name = synthesizer.name
        self._synthesizer = synthesizer
        self._folder = folder
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._bytes = -1  # of all files, as far as this process knows; -1 before the first look

    async def speak(self, text: str) -> AsyncIterator[Pcm]:
        """Play the text, or have it spoken and keep it; the pieces are the same both times.

        Raises:
            InputError, EngineError: as the synthesizer.
        """
        path = self._folder / self._file_name(text)
        kept = await asyncio.to_thread(_read, path)
        if kept is not None:
            for piece in kept:
                yield piece
            return
        pieces: list[Pcm] = []
        stream = self._synthesizer.speak(text)
        try:
            async for piece in stream:
                pieces.append(piece)
                yield piece
        finally:
            if isinstance(stream, AsyncGenerator):
                await stream.aclose()
        if pieces:
            await asyncio.to_thread(self._keep, path, pieces)

    async def warm(self) -> None:
        """Have the synthesizer behind it get ready, if it has something to prepare.

        Raises:
            EngineError: as the synthesizer's own `warm`.
        """
        if (warm := getattr(self._synthesizer, "warm", None)) is not None:
            await warm()

    async def clear(self) -> int:
        """Remove every file; gives how many."""
        return await asyncio.to_thread(self._remove_all)

    def _file_name(self, text: str) -> str:
        key = json.dumps([_FORMAT, self.name, " ".join(text.split()), for_speech(text)])
        return f"{hashlib.sha256(key.encode()).hexdigest()}.pcm"

    def _keep(self, path: Path, pieces: Sequence[Pcm]) -> None:
        """A full disk or a folder that is gone costs the speed-up, never the turn."""
        try:
            data = _pack(pieces)
            if len(data) > self._max_bytes:
                return
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write_whole(path, data)
            is_first = self._bytes < 0
            self._bytes += len(data)
            if is_first or self._bytes > self._max_bytes:
                self._evict()
        except (OSError, InputError) as exc:
            _log.warning("a spoken answer could not be kept: %s", exc)

    def _evict(self) -> None:
        """Look at what is there, other processes' files too, and remove the least recently played."""
        left = 0
        now = time.time()
        for played_at, size, path in sorted(self._files(), reverse=True):
            is_old = now - played_at > self._max_age_s
            if is_old or left + size > self._max_bytes * _LEFT_AFTER_EVICTION:
                path.unlink(missing_ok=True)
            else:
                left += size
        self._bytes = left

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        """(last played, bytes, path) of every file; half-written ones that nobody will finish are removed."""
        with os.scandir(self._folder) as entries:
            for entry in entries:
                try:
                    stat = entry.stat()
                except FileNotFoundError:  # another process was faster
                    continue
                if entry.name.endswith(".pcm"):
                    yield stat.st_mtime, stat.st_size, Path(entry.path)
                elif entry.name.endswith(".part") and time.time() - stat.st_mtime > _ABANDONED_S:
                    Path(entry.path).unlink(missing_ok=True)

    def _remove_all(self) -> int:
        paths = [path for _, _, path in self._files()] if self._folder.is_dir() else []
        for path in paths:
            path.unlink(missing_ok=True)
        self._bytes = 0
        return len(paths)


def _pack(pieces: Sequence[Pcm]) -> bytes:
    rates = {piece.rate_hz for piece in pieces}
    if len(rates) != 1:
        raise InputError(f"one text was spoken at several rates: {sorted(rates)}")
    lengths = [len(piece.samples) for piece in pieces]
    head = struct.pack(f"<II{len(lengths)}I", rates.pop(), len(lengths), *lengths)
    body = head + b"".join(piece.samples.astype("<i2").tobytes() for piece in pieces)
    return hashlib.sha256(body).digest() + body


def _write_whole(path: Path, data: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
        try:
            file.write(data)
            file.flush()
            Path(file.name).replace(path)
        except OSError:
            Path(file.name).unlink(missing_ok=True)
            raise


def _read(path: Path) -> list[Pcm] | None:
    """The pieces, None if there is no such file or it does not hold; marks it as played."""
    try:
        data = path.read_bytes()
        body = data[_CHECKSUM_BYTES:]
        if hashlib.sha256(body).digest() != data[:_CHECKSUM_BYTES]:
            path.unlink(missing_ok=True)
            return None
        os.utime(path)
    except OSError:
        return None
    rate_hz, count = struct.unpack_from("<II", body)
    lengths = struct.unpack_from(f"<{count}I", body, 8)
    samples = np.frombuffer(body, dtype="<i2", offset=8 + 4 * count).astype(np.int16)
    return [Pcm(piece, rate_hz) for piece in np.split(samples, np.cumsum(lengths)[:-1])]
