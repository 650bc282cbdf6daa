"""Reading safetensors files by their header alone, and their tensors in pieces: no model library, no whole file.

The format: 8 bytes of header length (little-endian), a JSON object of tensors with dtype, shape and offsets, then the
data without gaps (https://github.com/huggingface/safetensors#format). Every claim of the header is checked against the
size of the file before a byte of data is looked at.
"""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from teller.adapters.manifest import parse_json, tensor_digest
from teller.errors import InputError, StoreError

_ITEM_BYTES: Mapping[str, int] = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64"), 8),
}
_FLOATS: Mapping[str, str] = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}  # what `TensorFile.array` reads
_BLOCK_BYTES = 1 << 20
_MAX_DIMENSIONS = 8


@dataclass(frozen=True, slots=True)
class Limits:
    """What a file may claim before it is refused unread.

    Attributes:
        file_bytes: of the whole file. An adapter of rank 64 for 70 B parameters has about 1.7 GB in bfloat16.
        header_bytes: safetensors itself reads up to 100 MB; 1,000 tensors need about 150 kB.
        tensors: how many.
        array_bytes: of one tensor that is read into memory.
    """

    file_bytes: int = 4 << 30
    header_bytes: int = 8 << 20
    tensors: int = 20_000
    array_bytes: int = 256 << 20


LIMITS = Limits()
BASE_LIMITS = Limits(file_bytes=1 << 40, header_bytes=64 << 20, tensors=200_000)


@dataclass(frozen=True, slots=True)
class Tensor:
    """Where a tensor is in a file: `start` and `end` in bytes from the file's beginning."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


class TensorFile:
    """A safetensors file that is open for reading; a context manager.

    Args:
        path: a regular file, no symlink.
        limits: that its header is held to.

    Attributes:
        tensors: by name.
        remarks: the header's __metadata__, which says nothing about the tensors.

    Raises:
        InputError: naming the file and what is wrong, if it is not such a file from the first byte to the last.
    """

    def __init__(self, path: Path, limits: Limits = LIMITS) -> None:
        self._limits = limits
        self._file = open_regular(path, max_bytes=limits.file_bytes)
        try:
            self.tensors, self.remarks = _read_header(self._file, path.name, limits)
        except BaseException:
            self._file.close()
            raise
        self._name = path.name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def digest(self, name: str) -> str:
        """SHA-256 of a tensor, as `tensor_digest`; read in pieces of 1 MB."""
        tensor = self.tensors[name]
        return tensor_digest(tensor.dtype, tensor.shape, self._pieces(tensor))

    def digests(self) -> dict[str, str]:
        """SHA-256 of every tensor."""
        return {name: self.digest(name) for name in self.tensors}

    def array(self, name: str) -> NDArray[np.float32]:
        """A tensor of F32, F16 or BF16 as float32.

        Raises:
            InputError: if it is of another type, or larger than one tensor may be.
        """
        tensor = self.tensors[name]
        if tensor.dtype not in _FLOATS:
            raise InputError(f"{self._name}: {name[:200]} is {tensor.dtype}; wanted {', '.join(_FLOATS)}")
        if tensor.end - tensor.start > self._limits.array_bytes:
            raise InputError(f"{self._name}: {name[:200]} has more than {self._limits.array_bytes} bytes")
        raw = np.frombuffer(b"".join(self._pieces(tensor)), dtype=_FLOATS[tensor.dtype])
        if tensor.dtype == "BF16":  # the upper half of a float32
            raw = (raw.astype("<u4") << 16).view("<f4")
        return raw.astype(np.float32).reshape(tensor.shape)

    def _pieces(self, tensor: Tensor) -> Iterator[bytes]:
        self._file.seek(tensor.start)
        left = tensor.end - tensor.start
        while left:
            piece = self._file.read(min(left, _BLOCK_BYTES))
            if not piece:
                raise InputError(f"{self._name}: became shorter while it was read")
            left -= len(piece)
            yield piece


def open_regular(path: Path, *, max_bytes: int) -> BufferedReader:
    """Open a file for reading if it is a regular one; a symlink, a pipe or a device is refused and never waited for.

    Raises:
        InputError: naming the file and what it is, if it is none, is too large or is not there.
        StoreError: if the disk fails.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as exc:
        if path.is_symlink():
            raise InputError(f"{path.name}: a symlink; wanted the file itself") from exc
        if isinstance(exc, FileNotFoundError | PermissionError | NotADirectoryError):
            raise InputError(f"{path.name}: {exc.strerror}") from exc
        raise StoreError(f"{path.name}: cannot be opened: {exc.strerror}") from exc
    state = os.fstat(handle)
    if not stat.S_ISREG(state.st_mode) or state.st_size > max_bytes:
        os.close(handle)
        found = f"{state.st_size} bytes" if stat.S_ISREG(state.st_mode) else "no regular file"
        raise InputError(f"{path.name}: {found}; wanted a file of at most {max_bytes} bytes")
    return os.fdopen(handle, "rb")


def tensor_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every tensor of a base model's folder, over all of its *.safetensors; streamed.

    They are the digests of the weights as the files have them; a model that was loaded in another dtype has others.

    Raises:
        InputError: if there is no such file, one is damaged, or two files hold a tensor of one name.
    """
    found: dict[str, str] = {}
    for path in weight_files(folder):
        with TensorFile(path, BASE_LIMITS) as file:
            twice = found.keys() & file.tensors.keys()
            if twice:
                raise InputError(f"{path.name}: {min(twice)[:200]} is in another file too")
            found |= file.digests()
    return found


def weight_files(folder: Path) -> list[Path]:
    """The *.safetensors of a base model's folder, by name. Links are followed: model hubs keep their files by content.

    Raises:
        InputError: if there is none.
    """
    files = sorted(path.resolve() for path in folder.glob("*.safetensors"))
    if not files:
        raise InputError(f"{folder}: no *.safetensors; wanted the folder of a base model")
    return files


def _read_header(file: BinaryIO, name: str, limits: Limits) -> tuple[dict[str, Tensor], dict[str, str]]:
    size = os.fstat(file.fileno()).st_size
    lead = file.read(8)
    if lead[:2] in {b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"}:
        _refuse(name, "a pickle under another name; wanted safetensors, which cannot carry code")
    length = int.from_bytes(lead, "little")
    if len(lead) < 8 or length < 2:
        _refuse(
            name, f"{size} bytes with a header of {length}; wanted a safetensors file, this one is cut off or empty"
        )
    if length > limits.header_bytes:
        _refuse(name, f"a header of {length} bytes; wanted at most {limits.header_bytes}")
    if 8 + length > size:
        _refuse(name, f"a header of {length} bytes in a file of {size}: it is cut off")
    header = parse_json(file.read(length), f"{name}: header", max_bytes=limits.header_bytes)
    if not isinstance(header, dict):
        _refuse(name, "a header that is no object")
    remarks = header.pop("__metadata__", {})
    if not isinstance(remarks, dict) or not all(isinstance(value, str) for value in remarks.values()):
        _refuse(name, "a __metadata__ that is not texts by name")
    if len(header) > limits.tensors:
        _refuse(name, f"{len(header)} tensors; wanted at most {limits.tensors}")
    tensors = {key: _tensor(key, entry, 8 + length, name) for key, entry in header.items()}
    _check_layout(tensors, 8 + length, size, name)
    return tensors, remarks


def _tensor(key: str, entry: Any, data_start: int, name: str) -> Tensor:
    if not key.isprintable():
        _refuse(name, f"a tensor named {key[:200]!r}; wanted a name that can be printed")
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        _refuse(name, f"{key[:200]}: no dtype, shape and data_offsets, or more than these")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _ITEM_BYTES:
        _refuse(name, f"{key[:200]}: the dtype {repr(dtype)[:40]}; wanted {', '.join(_ITEM_BYTES)}")
    if not _are_counts(shape) or len(shape) > _MAX_DIMENSIONS:
        _refuse(name, f"{key[:200]}: the shape {repr(shape)[:80]}; wanted up to {_MAX_DIMENSIONS} whole numbers")
    if (
        not _are_counts(offsets)
        or len(offsets) != 2
        or offsets[1] - offsets[0] != math.prod(shape) * _ITEM_BYTES[dtype]
    ):
        _refuse(
            name, f"{key[:200]}: the data_offsets {repr(offsets)[:80]}; wanted the bytes of {dtype} {repr(shape)[:80]}"
        )
    return Tensor(dtype, tuple(shape), data_start + offsets[0], data_start + offsets[1])


def _check_layout(tensors: Mapping[str, Tensor], data_start: int, size: int, name: str) -> None:
    """Every byte after the header belongs to just one tensor."""
    at = data_start
    for key, tensor in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)):
        if tensor.end > size:
            _refuse(
                name, f"{key[:200]}: data out of range: it ends {tensor.end - size} bytes after the end of the file"
            )
        if tensor.start != at:
            _refuse(
                name,
                f"{key[:200]}: data that {'overlaps' if tensor.start < at else 'leaves a gap after'} the one before",
            )
        at = tensor.end
    if at != size:
        _refuse(name, f"{size - at} bytes after the last tensor, which nobody claims")


def _are_counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 1 << 62 for value in values)


def _refuse(name: str, found: str) -> NoReturn:
    raise InputError(f"{name}: {found}")
