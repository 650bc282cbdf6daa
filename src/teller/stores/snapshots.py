"""Snapshots of what a cache derives from its log, in a folder of their own.

A snapshot is a folder: `state.npz` (arrays, and the plain data as JSON) and one file per large index. It is written
beside, flushed, and renamed into place; `seal.json`, written last, holds the checksum of every file. What does not
agree with its seal is passed over: the log has everything, a snapshot only saves time.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import time
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teller.errors import StoreError
from teller.ports import Snapshot, VectorIndex

_PREFIX, _PARTIAL, _SEAL = "snapshot-", ".partial-", "seal.json"
_BLOCK = 1 << 20
_ABANDONED_S = 3_600.0  # nobody takes an hour to write a snapshot


class FileSnapshots:
    """As `Snapshots`, in a private folder that is made if missing; several processes may share it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(
        self, meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], indexes: Mapping[str, VectorIndex]
    ) -> None:
        """As `Snapshots.save`."""
        partial = self._folder / f"{_PARTIAL}{secrets.token_hex(8)}"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            partial.mkdir(mode=0o700)
            self._write(partial, meta, arrays, indexes)
            older = self._publish(partial)
            for folder in [*older, *self._abandoned()]:
                shutil.rmtree(folder, ignore_errors=True)
        except OSError as exc:
            shutil.rmtree(partial, ignore_errors=True)
            raise StoreError(f"a snapshot of the cache could not be written ({exc.strerror})") from exc

    def load(self) -> Snapshot | None:
        """As `Snapshots.load`."""
        for folder in self._newest_first():
            try:
                return self._read(folder)
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
                continue
        return None

    def discard(self) -> None:
        """As `Snapshots.discard`."""
        for folder in [*self._newest_first(), *self._folder.glob(f"{_PARTIAL}*")]:
            shutil.rmtree(folder, ignore_errors=True)

    def _publish(self, partial: Path) -> list[Path]:
        """Give a whole snapshot the next number; gives the older ones."""
        while True:
            older = self._newest_first()
            number = 1 + int(older[0].name.removeprefix(_PREFIX)) if older else 1
            try:
                partial.rename(self._folder / f"{_PREFIX}{number:012d}")
            except OSError as exc:
                if exc.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                continue  # another process has just taken the number
            return older

    def _abandoned(self) -> list[Path]:
        """What processes that were killed have left behind."""
        return [path for path in self._folder.glob(f"{_PARTIAL}*") if _age_s(path) > _ABANDONED_S]

    def _newest_first(self) -> list[Path]:
        found = [path for path in self._folder.glob(f"{_PREFIX}*") if path.name.removeprefix(_PREFIX).isdigit()]
        return sorted(found, key=lambda path: int(path.name.removeprefix(_PREFIX)), reverse=True)

    def _write(
        self,
        folder: Path,
        meta: Mapping[str, Any],
        arrays: Mapping[str, NDArray[Any]],
        indexes: Mapping[str, VectorIndex],
    ) -> None:
        text = np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)
        with (folder / "state.npz").open("wb") as file:
            named: dict[str, Any] = {f"array_{name}": array for name, array in arrays.items()}
            np.savez(file, meta=text, **named)
        for name, index in indexes.items():
            index.save(folder / f"index-{name}")
        sums = {path.name: _checksum(path) for path in sorted(folder.iterdir())}
        (folder / _SEAL).write_text(json.dumps(sums))
        for path in folder.iterdir():
            path.chmod(0o600)
            _flush(path)
        _flush(folder)

    def _read(self, folder: Path) -> Snapshot:
        sums = json.loads((folder / _SEAL).read_text())
        if {path.name for path in folder.iterdir()} != {*sums, _SEAL}:
            raise ValueError("files are missing or added")
        for name, checksum in sums.items():
            if name != "state.npz" and _checksum(folder / name) != checksum:  # a zip file has checksums of its own
                raise ValueError(f"{name} is damaged")
        with (folder / "state.npz").open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        meta = json.loads(arrays.pop("meta").tobytes())
        indexes = {name.removeprefix("index-"): folder / name for name in sums if name.startswith("index-")}
        return Snapshot(meta, {name.removeprefix("array_"): array for name, array in arrays.items()}, indexes)


def _age_s(path: Path) -> float:
    """Seconds since a folder was last written to; 0 if it is gone."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _checksum(path: Path) -> int:
    total = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            total = zlib.crc32(block, total)
    return total


def _flush(path: Path) -> None:
    """Have what was written to a file or folder on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
