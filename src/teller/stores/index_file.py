"""An index in a file: a header with a checksum, then what the engine wrote; whole or not at all.

Not here: what the engine's bytes mean. They are verified before the engine sees one of them.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from teller.errors import StoreCorrupt, StoreError

CHUNK_BYTES = 1 << 20
_MAGIC = b"TELLERIX"
_HEADER = struct.Struct("<8sII4s32s")  # magic, format version, dimension, scale of the codes, sha256 of scale and rest
_SCALE = struct.Struct("<f")
_FORMAT = 2


def write_index_file(path: Path, dim: int, scale: float, write: Callable[[Callable[[bytes], int]], None]) -> None:
    """Write what `write` gives to the function that it is called with, and put it in the file's place when it is whole.

    Args:
        path: of the file; an older one is replaced.
        dim: dimensions of the vectors.
        scale: of the codes; 0 if there are none.
        write: writes the engine's part.

    Raises:
        StoreError: if it cannot be written; the older file is as it was.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with partial.open("wb") as file:
            _write(file, dim, _SCALE.pack(scale), write)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as exc:
        partial.unlink(missing_ok=True)
        raise StoreError(f"the index cannot be written: {exc.strerror}") from exc


@contextmanager
def opened_index_file(path: Path, dim: int) -> Iterator[tuple[float, BinaryIO]]:
    """The scale of a file's codes, and the file, to be read from where the engine's part begins.

    Raises:
        StoreCorrupt: if it is not such a file, of other dimensions, damaged, or the engine cannot read it.
    """
    try:
        with path.open("rb") as file:
            yield _verified(file, dim), file
    except (OSError, RuntimeError) as exc:  # engines raise RuntimeError
        raise StoreCorrupt(f"{path.name} cannot be read as an index: delete it, it is rebuilt from the log") from exc


def _write(file: BinaryIO, dim: int, scale: bytes, write: Callable[[Callable[[bytes], int]], None]) -> None:
    file.write(bytes(_HEADER.size))
    digest = hashlib.sha256(scale)

    def keep(data: bytes) -> int:
        digest.update(data)
        return file.write(data)

    write(keep)
    file.seek(0)
    file.write(_HEADER.pack(_MAGIC, _FORMAT, dim, scale, digest.digest()))


def _verified(file: BinaryIO, dim: int) -> float:
    """The scale; the file is placed behind its header."""
    header = file.read(_HEADER.size)
    scale = header[-36:-32]
    if len(scale) < _SCALE.size or header != _HEADER.pack(_MAGIC, _FORMAT, dim, scale, header[-32:]):
        raise StoreCorrupt(f"not an index of {dim} dimensions in format {_FORMAT}: delete it, it is rebuilt")
    digest = hashlib.sha256(scale)
    while chunk := file.read(CHUNK_BYTES):
        digest.update(chunk)
    if digest.digest() != header[-32:]:
        raise StoreCorrupt("the index does not match its checksum: delete it, it is rebuilt from the log")
    file.seek(_HEADER.size)
    return float(_SCALE.unpack(scale)[0])
