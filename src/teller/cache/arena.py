"""Many short texts in a few large blocks: a text costs its bytes and three more, not an object of its own."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from teller.errors import InputError, StoreCorrupt

_BITS = 20
_BLOCK = 1 << _BITS  # bytes; no record crosses from one block into the next
_HEAD = 3  # bytes that say how long a record is


class Arena:
    """Records are found by the place that `put` gave; dropping one wipes it.

    Attributes:
        live_bytes: of records that were not dropped.
    """

    def __init__(self) -> None:
        self._blocks: list[bytearray] = []
        self._end = 0  # where the next record goes, counted over all blocks
        self.live_bytes = 0

    def put(self, record: bytes) -> int:
        """Keep a record; gives its place.

        Raises:
            InputError: if it has a megabyte or more.
        """
        size = _HEAD + len(record)
        if size > _BLOCK:
            raise InputError(f"a text of {len(record)} bytes is too long for the cache")
        if self._end + size > len(self._blocks) << _BITS:
            self._end = len(self._blocks) << _BITS
            self._blocks.append(bytearray(_BLOCK))
        place, at = self._end, self._end & (_BLOCK - 1)
        self._blocks[place >> _BITS][at : at + size] = len(record).to_bytes(_HEAD, "little") + record
        self._end += size
        self.live_bytes += size
        return place

    def get(self, place: int) -> bytes:
        """The record at a place."""
        block, start, end = self.within(place)
        return bytes(block[start:end])

    def get_all(self, places: Iterable[int]) -> list[bytes]:
        """The records at many places, in their order; written out because every lookup reads dozens."""
        blocks, found = self._blocks, []
        for place in places:
            block, at = blocks[place >> _BITS], place & (_BLOCK - 1)
            end = at + _HEAD + (block[at] | block[at + 1] << 8 | block[at + 2] << 16)
            found.append(bytes(block[at + _HEAD : end]))
        return found

    def get_heads(self, places: Iterable[int]) -> list[bytes]:
        """Of records that begin with a length of their own, in as many bytes, what it counts."""
        blocks, found = self._blocks, []
        for place in places:
            block, at = blocks[place >> _BITS], (place & (_BLOCK - 1)) + 2 * _HEAD
            found.append(bytes(block[at : at + (block[at - 3] | block[at - 2] << 8 | block[at - 1] << 16)]))
        return found

    def within(self, place: int) -> tuple[bytearray, int, int]:
        """The block that holds a record, and where in it the record begins and ends: reading without copying."""
        block, at = self._blocks[place >> _BITS], place & (_BLOCK - 1)
        start = at + _HEAD
        return block, start, start + (block[at] | block[at + 1] << 8 | block[at + 2] << 16)

    def size(self, place: int) -> int:
        """Bytes that the record at a place takes."""
        block, at = self._blocks[place >> _BITS], place & (_BLOCK - 1)
        return _HEAD + int.from_bytes(block[at : at + _HEAD], "little")

    def sizes(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """`size` of many places."""
        found = np.zeros(len(places), dtype=np.int64)
        numbers, within = places >> _BITS, places & (_BLOCK - 1)
        for number in np.unique(numbers).tolist():
            here = numbers == number
            block, at = np.frombuffer(self._blocks[number], dtype=np.uint8), within[here]
            low, middle, high = (block[at + byte].astype(np.int64) for byte in range(_HEAD))
            found[here] = _HEAD + (low | middle << 8 | high << 16)
        return found

    def drop(self, place: int) -> None:
        """Wipe the record at a place; the room is won back by `squeezed`."""
        size, at = self.size(place), place & (_BLOCK - 1)
        self._blocks[place >> _BITS][at : at + size] = bytes(size)
        self.live_bytes -= size

    def squeezed(self, places: NDArray[np.int64]) -> tuple[Arena, NDArray[np.int64]]:
        """An arena with just the records at these places, and where they are in it; itself while most of it is used."""
        if self._end < 2 * self.live_bytes + _BLOCK:
            return self, places
        fresh = Arena()
        moved = [fresh.put(self.get(place)) for place in places.tolist()]
        return fresh, np.array(moved, dtype=np.int64)

    def dump(self) -> NDArray[np.uint8]:
        """All blocks, one after the other; places stay good."""
        blocks = [np.frombuffer(block, dtype=np.uint8) for block in self._blocks]
        return np.concatenate(blocks)[: self._end] if blocks else np.zeros(0, dtype=np.uint8)

    @staticmethod
    def load(data: NDArray[np.uint8], live_bytes: int) -> Arena:
        """The arena of a dump."""
        arena = Arena()
        arena._end, arena.live_bytes = len(data), live_bytes
        for start in range(0, len(data), _BLOCK):
            block = bytearray(_BLOCK)
            part = data[start : start + _BLOCK].tobytes()
            block[: len(part)] = part
            arena._blocks.append(block)
        return arena

    def check(self, places: NDArray[np.int64]) -> None:
        """Make sure that every place lies within.

        Raises:
            StoreCorrupt: if one does not.
        """
        if len(places) and (places.min() < 0 or places.max() >= max(1, self._end)):
            raise StoreCorrupt("a snapshot names texts that it does not hold")
