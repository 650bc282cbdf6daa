"""A map of 63-bit keys to row numbers in two flat arrays: about 18 bytes per key, where a dict takes 130.

Open addressing with linear probing by the key's size (Knuth, TAOCP 3, 6.4 algorithm L), without wrap-around: sorted
keys then lie in table order, so that growing is one sort instead of a loop.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_KEY_BITS = 63
_EMPTY = -1
_TAIL = 256  # room behind the last slot for clusters that begin there
_LOAD, _MAX_LOAD = 0.6, 0.8  # after growing, and before


class KeyTable:
    """Keys are from a good hash, 0 <= key < 2**63; the last row set for a key wins; nothing is removed one by one."""

    def __init__(self) -> None:
        self._fill(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int32))

    def __len__(self) -> int:
        return self._count

    def get(self, key: int) -> int:
        """The key's row, -1 if it has none."""
        at = self._find(key)
        return int(self._rows[at]) if self._keys[at] == key else -1

    def set(self, key: int, row: int) -> None:
        """Give the key this row."""
        at = self._find(key)
        if self._keys[at] == _EMPTY:
            if self._count >= self._limit or at >= len(self._keys) - 2:
                self._grow()
                at = self._find(key)
            self._keys[at] = key
            self._count += 1
        self._rows[at] = row

    def replace_all(self, keys: NDArray[np.int64], rows: NDArray[np.int32]) -> None:
        """Hold just these (n,) keys; of equal ones the last wins."""
        order = np.argsort(keys, kind="stable")
        keys, rows = keys[order], rows[order]
        last = np.append(keys[1:] != keys[:-1], True) if len(keys) else np.zeros(0, dtype=bool)
        self._fill(keys[last], rows[last])

    def items(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Keys and their rows, in no useful order."""
        full = self._keys != _EMPTY
        return self._keys[full], self._rows[full]

    def _find(self, key: int) -> int:
        """Where the key is, or the empty slot where it would be."""
        keys = self._keys
        at = key * self._slots >> _KEY_BITS
        while (there := keys[at]) != key and there != _EMPTY:
            at += 1
        return at

    def _grow(self) -> None:
        self.replace_all(*self.items())

    def _fill(self, keys: NDArray[np.int64], rows: NDArray[np.int32]) -> None:
        """Lay out sorted, different keys in a table with room for a third more."""
        self._slots = max(256, int(len(keys) / _LOAD))
        ranks = np.arange(len(keys))
        at = np.maximum.accumulate(_homes(keys, self._slots) - ranks) + ranks if len(keys) else ranks
        size = max(self._slots, int(at[-1]) + 1 if len(at) else 0) + _TAIL
        self._keys = np.full(size, _EMPTY, dtype=np.int64)
        self._rows = np.zeros(size, dtype=np.int32)
        self._keys[at], self._rows[at] = keys, rows
        self._count = len(keys)
        self._limit = int(_MAX_LOAD * self._slots)


def _homes(keys: NDArray[np.int64], slots: int) -> NDArray[np.int64]:
    """`key * slots >> 63` of each key, in halves so that no product needs more than 63 bits."""
    high, low = keys >> 31, keys & ((1 << 31) - 1)
    homes: NDArray[np.int64] = (high * slots + (low * slots >> 31)) >> 32
    return homes
