"""Nearest neighbours with FAISS, from ten vectors to millions, without a training pause or a rebuild.

Up to `flat_to` vectors the search is exhaustive and exact. From there on vectors are kept as 8-bit codes in inverted
lists, and a search scans those whose centres are nearest: up to 25,000 vectors all of them. A list that is full is
halved by two-means among its own members, which takes about a millisecond; so the lists grow with the data, removing
takes microseconds and bulk loading seconds. The newest vectors wait beside the lists, searched exhaustively, until
there are `_FRESH` of them: adding one takes microseconds. Figures: `python -m benchmarks.vector_index`.

Not here: locks (the caller keeps writers and searches apart), the vectors' texts.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from teller.errors import InputError
from teller.ports import Vectors
from teller.stores.index_file import CHUNK_BYTES, opened_index_file, write_index_file

Ids = NDArray[np.int64]

_FLAT_LIMIT = 4_096
_PROBES = 48  # lists scanned in a search among this many vectors and more:
_PROBES_FROM = 95_000
_PROBES_POWER = 1.5  # among fewer, more: all up to 25,000, where ways of asking about one bank lie in too many lists
_FRESH = 64  # vectors that wait beside the lists; taking them up takes a few milliseconds
_SPARE_FOUND = 8  # neighbours more than asked for, because FAISS's order is not quite the true one
_AT_ONCE = 1_024  # vectors whose lists are looked for together
_NEIGHBOURS = 32  # lists around a parted one that its members may move to
_LISTS = 4_096  # the most lists; an empty one takes 150 bytes; beyond 3 million vectors full lists grow
_MIN_LIST, _MAX_LIST = 128, 4_096  # vectors in a full list; powers of two, because lists grow by doubling
_PACK_AFTER, _SPARE = 1.1, 1.15  # times the vectors of the last packing
_ZERO = 128  # the byte that stands for 0


class FaissIndex:
    """A VectorIndex on FAISS; about 650 bytes for a vector of 384 dimensions beyond 4,096 of them, 1,600 before.

    Args:
        dim: dimensions of every vector.
        threads: for adding many vectors at once; a search runs on its caller's thread alone.
        flat_to: most vectors that are searched exhaustively; 10,000 take about half a millisecond.

    Raises:
        InputError: if dim or threads is below 1.
    """

    def __init__(self, dim: int, *, threads: int = 1, flat_to: int = _FLAT_LIMIT) -> None:
        if dim < 1 or threads < 1:
            raise InputError(f"an index has at least 1 dimension and 1 thread, got {dim} and {threads}")
        self.dim = dim
        self._threads = threads
        self._flat_to = flat_to
        self._held: _Flat | _Lists = _Flat.empty(dim)
        self._fresh = _Fresh(dim)
        self._newest = -1  # greatest id so far: ids mostly ascend, so nothing need be looked up to know a new one
        self._found: tuple[Ids, Vectors] | None = None  # by the last search: what `vectors` is mostly asked for

    def __len__(self) -> int:
        return int(self._held.index.ntotal) + len(self._fresh)

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """As `VectorIndex.add`.

        Raises:
            InputError: if an id is negative, there already or comes twice, shapes differ, or a number is not finite.
        """
        if ids.ndim != 1 or vectors.shape != (len(ids), self.dim):
            raise InputError(f"ids of {ids.shape} need vectors of ({len(ids)}, {self.dim}), got {vectors.shape}")
        if not len(ids):
            return
        if not np.isfinite(vectors).all():
            raise InputError("a vector holds a number that is not finite")
        least, greatest = int(ids.min()), int(ids.max())
        if least < 0:
            raise InputError(f"ids are not negative, got {least}")
        ids, vectors = np.ascontiguousarray(ids, dtype=np.int64), np.ascontiguousarray(vectors, dtype=np.float32)
        if (len(ids) > 1 and len(np.unique(ids)) < len(ids)) or (least <= self._newest and self._holds_any(ids)):
            raise InputError("an id is there already: remove it first")
        self._found, self._newest = None, max(self._newest, greatest)
        if isinstance(self._held, _Lists) and len(self._fresh) + len(ids) < _FRESH:
            self._fresh.add(ids, vectors)
            return
        faiss.omp_set_num_threads(self._threads)  # counts for the calling thread only
        if isinstance(self._held, _Flat) and len(self) + len(ids) <= self._flat_to:
            self._held.add(ids, vectors)
        else:
            self._take_up(ids, vectors)

    def _holds_any(self, ids: Ids) -> bool:
        return self._held.holds_any(ids) or self._fresh.holds_any(ids)

    def _take_up(self, ids: Ids, vectors: Vectors) -> None:
        """Bring these and what waits into the lists."""
        waiting = self._fresh if isinstance(self._held, _Lists) else self._held
        waiting_ids, waiting_vectors = waiting.everything()
        ids, vectors = np.concatenate([waiting_ids, ids]), np.concatenate([waiting_vectors, vectors])
        held = self._held if isinstance(self._held, _Lists) else _Lists.trained_on(vectors)
        held.add(ids, vectors)
        self._held, self._fresh = held, _Fresh(self.dim)

    def remove(self, ids: Ids) -> None:
        """As `VectorIndex.remove`."""
        self._found = None
        if len(ids):
            ids = np.unique(ids)
            self._held.remove(ids)
            self._fresh.remove(ids)

    def search(self, vector: Vectors, k: int) -> tuple[Vectors, Ids]:
        """As `VectorIndex.search`; beyond `flat_to` vectors it may miss a neighbour now and then."""
        if vector.shape != (self.dim,):
            raise InputError(f"a search takes one vector of ({self.dim},), got {vector.shape}")
        if k < 1 or not len(self):
            return np.zeros(0, dtype=np.float32), np.zeros(0, dtype=np.int64)
        row = np.ascontiguousarray(vector, dtype=np.float32)[None]
        if isinstance(self._held, _Flat):
            return self._held.search(row, min(k, len(self)))
        similarities, ids, vectors = self._held.search(row, min(k, max(1, self._held.index.ntotal)))
        near, near_ids, near_vectors = self._fresh.above(row[0], similarities[-1] if len(ids) == k else -np.inf)
        if len(near):
            joined = np.concatenate([similarities, near])
            order = np.argsort(-joined, kind="stable")[:k]
            vectors = np.concatenate([vectors, near_vectors])[order]
            similarities, ids = joined[order], np.concatenate([ids, near_ids])[order]
        self._found = (ids, vectors)
        return similarities, ids

    def vectors(self, ids: Ids) -> Vectors:
        """As `VectorIndex.vectors`; beyond `flat_to` vectors each coordinate is good to about 0.001."""
        found = self._found
        if found is not None and np.array_equal(ids, found[0]):
            return found[1]
        rows = np.zeros((len(ids), self.dim), dtype=np.float32)
        waits = self._fresh.has(ids)
        try:
            if waits.any():
                rows[waits] = self._fresh.vectors(ids[waits])
            if not waits.all():
                rows[~waits] = self._held.index.reconstruct_batch(ids[~waits])
        except RuntimeError as exc:
            raise InputError("an id is not there") from exc
        return _unit(rows)

    def save(self, path: Path) -> None:
        """As `VectorIndex.save`.

        Raises:
            StoreError: if it cannot be written.
        """
        if len(self._fresh):
            self._take_up(np.zeros(0, dtype=np.int64), np.zeros((0, self.dim), dtype=np.float32))
        index, scale = self._held.index, float(self._held.scale) if isinstance(self._held, _Lists) else 0.0

        def write(keep: Callable[[bytes], int]) -> None:
            faiss.write_index(index, faiss.PyCallbackIOWriter(keep, CHUNK_BYTES))  # type: ignore[attr-defined]

        write_index_file(path, self.dim, scale, write)

    def load(self, path: Path) -> None:
        """As `VectorIndex.load`; the checksum is verified before FAISS sees a byte."""
        with opened_index_file(path, self.dim) as (scale, file):
            index: Any = faiss.read_index(faiss.PyCallbackIOReader(file.read, CHUNK_BYTES))  # type: ignore[attr-defined]
            held = _Flat(index) if isinstance(index, faiss.IndexIDMap2) else _Lists(index, scale)
        self._held, self._fresh, self._found = held, _Fresh(self.dim), None
        self._newest = held.newest()


class _Flat:
    """Every vector as it is, searched exhaustively."""

    def __init__(self, index: Any) -> None:
        self.index = index  # faiss.IndexIDMap2 over IndexFlatIP

    @staticmethod
    def empty(dim: int) -> _Flat:
        return _Flat(faiss.IndexIDMap2(faiss.IndexFlatIP(dim)))

    def has(self, ids: Ids) -> NDArray[np.bool_]:
        return np.isin(ids, self._ids()) if self.index.ntotal else np.zeros(len(ids), dtype=bool)

    def holds_any(self, ids: Ids) -> bool:
        return bool(self.has(ids).any())

    def newest(self) -> int:
        return int(self._ids().max(initial=-1))

    def add(self, ids: Ids, vectors: Vectors) -> None:
        self.index.add_with_ids(vectors, ids)

    def remove(self, ids: Ids) -> None:
        self.index.remove_ids(ids)

    def search(self, row: Vectors, k: int) -> tuple[Vectors, Ids]:
        similarities, ids = self.index.search(row, k)
        there = ids[0] >= 0
        return similarities[0][there], ids[0][there]

    def everything(self) -> tuple[Ids, Vectors]:
        count, flat = self.index.ntotal, faiss.downcast_index(self.index.index)
        return self._ids(), flat.reconstruct_n(0, count) if count else np.zeros((0, self.index.d), dtype=np.float32)

    def _ids(self) -> Ids:
        ids: Ids = faiss.vector_to_array(self.index.id_map)
        return ids


class _Fresh:
    """The newest vectors until the lists take them up; FAISS's flat index works ten times as long for each."""

    def __init__(self, dim: int) -> None:
        self._ids = np.zeros(_FRESH, dtype=np.int64)
        self._rows = np.zeros((_FRESH, dim), dtype=np.float32)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def has(self, ids: Ids) -> NDArray[np.bool_]:
        return np.isin(ids, self._ids[: self._count])

    def holds_any(self, ids: Ids) -> bool:
        return bool(self._count and self.has(ids).any())

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Add fewer than there is room for."""
        end = self._count + len(ids)
        self._ids[self._count : end], self._rows[self._count : end] = ids, vectors
        self._count = end

    def remove(self, ids: Ids) -> None:
        kept = np.flatnonzero(~np.isin(self._ids[: self._count], ids))
        self._ids[: len(kept)], self._rows[: len(kept)] = self._ids[kept], self._rows[kept]
        self._count = len(kept)

    def above(self, vector: Vectors, least: float) -> tuple[Vectors, Ids, Vectors]:
        """Similarities over `least`, with ids and vectors, in no order."""
        similarities = self._rows[: self._count] @ vector
        there = np.flatnonzero(similarities > least)
        return similarities[there], self._ids[there], self._rows[there]

    def vectors(self, ids: Ids) -> Vectors:
        """Of ids that are here."""
        order = np.argsort(self._ids[: self._count])
        rows: Vectors = self._rows[order[np.searchsorted(self._ids[: self._count], ids, sorter=order)]]
        return rows

    def everything(self) -> tuple[Ids, Vectors]:
        return self._ids[: self._count], self._rows[: self._count]


class _Lists:
    """8-bit codes in inverted lists that are halved when they are full.

    Attributes:
        scale: what a coordinate is multiplied by to be a code.
    """

    def __init__(self, index: Any, scale: float) -> None:
        self.index = index  # faiss.IndexIVFScalarQuantizer
        self.scale = np.float32(scale)
        self._centres: Any = faiss.downcast_index(index.quantizer)
        self._packed_at = int(index.ntotal)
        self._aim()

    def _aim(self) -> None:
        times = (_PROBES_FROM / max(1, int(self.index.ntotal))) ** _PROBES_POWER
        self.index.nprobe = max(1, min(int(_PROBES * max(1.0, times)), int(self._centres.ntotal)))

    @staticmethod
    def trained_on(vectors: Vectors) -> _Lists:
        """No vectors yet, and codes that fit these and others.

        The codes are whole numbers that FAISS multiplies as such, which takes two thirds of the time that 8-bit codes
        with a range for each dimension do.
        """
        dim = vectors.shape[1]
        centres = faiss.IndexFlatIP(dim)
        kind = faiss.ScalarQuantizer.QT_8bit_direct_signed
        index = faiss.IndexIVFScalarQuantizer(centres, dim, _LISTS, kind, faiss.METRIC_INNER_PRODUCT, False)
        index.is_trained = True
        by_id = faiss.DirectMap.Hashtable  # type: ignore[attr-defined]
        index.set_direct_map_type(by_id)  # removes in microseconds
        return _Lists(index, 127 / _reach(vectors))

    def holds_any(self, ids: Ids) -> bool:
        return any(self._list_of(one) is not None for one in ids.tolist())

    def newest(self) -> int:
        return max((int(self._members_ids(at).max(initial=-1)) for at in range(self._centres.ntotal)), default=-1)

    def add(self, ids: Ids, vectors: Vectors) -> None:
        if not self._centres.ntotal:
            self._open_list(_direction(vectors))
        lists = self._nearest(vectors)
        touched, counts = np.unique(lists, return_counts=True)
        full = self._full_at(self.index.ntotal + len(ids))
        sizes = np.array([self.index.invlists.list_size(int(at)) for at in touched])
        crowded = touched[sizes + counts > full]
        fits = ~np.isin(lists, crowded)
        self._insert(ids[fits], vectors[fits], lists[fits])
        for at in crowded.tolist():
            here = lists == at
            self._spread(at, ids[here], vectors[here], full)
        if self.index.ntotal > _PACK_AFTER * self._packed_at:
            self._pack()
        self._aim()

    def _nearest(self, vectors: Vectors) -> Ids:
        """The list of each vector; NumPy multiplies matrices in a third of the time that FAISS takes."""
        centres = self._all_centres().T
        lists = np.zeros(len(vectors), dtype=np.int64)
        for start in range(0, len(vectors), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            lists[part] = np.argmax(vectors[part] @ centres, axis=1)
        return lists

    def _pack(self) -> None:
        """Copy every list to just the memory that it needs: growing by doubling has left a third of it empty."""
        held = self.index.invlists
        packed = faiss.ArrayInvertedLists(held.nlist, held.code_size)
        for at in range(self._centres.ntotal):
            size = held.list_size(at)
            packed.resize(at, int(_SPARE * size))  # a list that is never shrunk keeps the room that it was given
            packed.resize(at, 0)
            if size:
                packed.add_entries(at, size, held.get_ids(at), held.get_codes(at))
        self.index.replace_invlists(packed, True)
        packed.this.disown()  # type: ignore[attr-defined]  # it is the index's now
        self._packed_at = int(self.index.ntotal)

    def remove(self, ids: Ids) -> None:
        there = {one: at for one in ids.tolist() if (at := self._list_of(one)) is not None}
        self._take_out(np.array(list(there), dtype=np.int64))
        few = self._full_at(self.index.ntotal) // 8
        # From the last one down, because closing a list renumbers the last one.
        thinned = [at for at in sorted(set(there.values()), reverse=True) if self.index.invlists.list_size(at) < few]
        strays = [self._close_list(at) for at in thinned]
        left = [(ids, vectors) for ids, vectors in strays if len(ids)]
        if left:
            self.add(np.concatenate([ids for ids, _ in left]), np.concatenate([vectors for _, vectors in left]))

    def search(self, row: Vectors, k: int) -> tuple[Vectors, Ids, Vectors]:
        """Similarities, best first, ids, and the vectors with these ids."""
        _, all_ids, all_codes = self.index.search_and_return_codes(self._codes(row), k + _SPARE_FOUND)
        ids, codes = all_ids[0], all_codes[0]
        if ids[-1] < 0:
            ids, codes = ids[ids >= 0], codes[ids >= 0]
        vectors = _unit(codes.astype(np.float32) - _ZERO)
        # FAISS multiplied with the question in whole numbers too: near enough to find, not to compare.
        similarities = vectors @ row[0]
        order = (-similarities).argsort(kind="stable")[:k]
        return similarities[order], ids[order], vectors[order]

    def _codes(self, vectors: Vectors) -> Vectors:
        """Whole numbers from -127 to 127, as float32: what FAISS keeps in a byte."""
        codes: Vectors = np.rint(np.clip(vectors * self.scale, -127, 127))
        return codes

    def _spread(self, at: int, ids: Ids, vectors: Vectors, full: int) -> None:
        """Add to a list that becomes too full: its members and the new ones are parted into it and new lists.

        Halving alone leaves members nearer to a neighbouring list's centre, where a search would look for them; they
        move there. That list may become too full by it and is parted with its next vector.
        """
        held_ids, held_vectors = self._members(at)
        self._take_out(held_ids)
        ids, vectors = np.concatenate([held_ids, ids]), np.concatenate([held_vectors, vectors])
        first, *others = [
            _direction(vectors[part]) for part in _parts(vectors, full, _LISTS - self._centres.ntotal + 1)
        ]
        self._centre(at)[:] = first
        for centre in others:
            self._open_list(centre)
        around = np.unique(self._centres.search(np.stack([first, *others]), _NEIGHBOURS)[1])
        around = around[around >= 0]
        near = faiss.IndexFlatIP(self.index.d)
        near.add(np.stack([self._centre(int(one)) for one in around]))
        self._insert(ids, vectors, around[near.search(vectors, 1)[1][:, 0]])

    def _insert(self, ids: Ids, vectors: Vectors, lists: Ids) -> None:
        ids, codes = np.ascontiguousarray(ids), self._codes(vectors)
        pointers = (faiss.swig_ptr(array) for array in (codes, ids, lists))
        if len(ids):
            self.index.add_core(len(ids), *pointers)

    def _take_out(self, ids: Ids) -> None:
        if len(ids):
            self.index.remove_ids(faiss.IDSelectorArray(ids))

    def _members(self, at: int) -> tuple[Ids, Vectors]:
        ids = self._members_ids(at).copy()
        lists, size, code_size = self.index.invlists, len(ids), self.index.code_size
        if not size:
            return ids, np.zeros((0, self.index.d), dtype=np.float32)
        codes = faiss.rev_swig_ptr(lists.get_codes(at), size * code_size).reshape(size, code_size)
        return ids, self.index.sq.decode(codes.copy()) / self.scale  # encoding again gives the same code

    def _members_ids(self, at: int) -> Ids:
        """A view: good until the list changes."""
        size = self.index.invlists.list_size(at)
        ids: Ids = faiss.rev_swig_ptr(self.index.invlists.get_ids(at), size) if size else np.zeros(0, dtype=np.int64)
        return ids

    def _open_list(self, centre: Vectors) -> int:
        self._centres.add(centre[None])
        return int(self._centres.ntotal) - 1

    def _close_list(self, at: int) -> tuple[Ids, Vectors]:
        """Give up a list and its members; the last list takes its number."""
        members, last = self._members(at), int(self._centres.ntotal) - 1
        self._take_out(members[0])
        if at != last:
            ids, vectors = self._members(last)
            self._take_out(ids)
            self._centre(at)[:] = self._centre(last)
            self._insert(ids, vectors, np.full(len(ids), at, dtype=np.int64))
        self._centres.remove_ids(np.array([last]))
        return members

    def _centre(self, at: int) -> Vectors:
        """The centre of a list, to be written to."""
        centre: Vectors = self._all_centres()[at]
        return centre

    def _all_centres(self) -> Vectors:
        """A view: good until a list is opened or closed."""
        count = int(self._centres.ntotal)
        centres: Vectors = faiss.rev_swig_ptr(self._centres.get_xb(), count * self.index.d).reshape(count, -1)
        return centres

    def _list_of(self, one: int) -> int | None:
        try:
            return int(self.index.direct_map.get(one)) >> 32  # FAISS packs list and place into one number
        except RuntimeError:
            return None

    def _full_at(self, count: int) -> int:
        """Size of a full list: about half the root of the count, so that centres and lists take like time to scan."""
        return min(max(1 << int(np.sqrt(count) / 2).bit_length(), _MIN_LIST), _MAX_LIST)


def _reach(vectors: Vectors) -> float:
    """The greatest value of a coordinate that a code tells apart.

    Six standard deviations of a random unit vector's coordinate, however narrow these vectors are: those to come may
    be of other subjects. More where these have it, as some models do in a few dimensions. With MiniLM a similarity is
    then good to 0.003; with four deviations it is a little better on average and 0.01 off at worst.
    """
    return min(max(float(np.abs(vectors).max()), 6 / float(np.sqrt(vectors.shape[1]))), 1.0)


def _unit(rows: Vectors) -> Vectors:
    """The rows themselves, made unit vectors in place."""
    rows /= np.sqrt(np.einsum("nd,nd->n", rows, rows))[:, None]
    return rows


def _direction(vectors: Vectors) -> Vectors:
    """Unit vector of the mean; the first vector if they cancel out."""
    mean: Vectors = vectors.mean(axis=0)
    norm = float(np.linalg.norm(mean))
    return mean / np.float32(norm) if norm > 0 else vectors[0]


def _parts(vectors: Vectors, full: int, most: int) -> list[Ids]:
    """Part vectors into at most `most` groups that are near each other, as far as possible none larger than `full`."""
    large, small = [np.arange(len(vectors))], list[Ids]()
    while large:
        group = large.pop()
        if len(group) > full and len(large) + len(small) + 1 < most:
            side = _halves(vectors[group])
            large += [group[side], group[~side]]
        else:
            small.append(group)
    return small


def _halves(vectors: Vectors) -> NDArray[np.bool_]:
    """Part vectors by two-means into two groups, of which none is below a third."""
    sample = vectors[:: max(1, len(vectors) // 1_024)]
    first = sample[np.argmin(sample @ _direction(sample))]
    axis = sample[np.argmin(sample @ first)] - first
    for _ in range(5):
        side = sample @ axis > 0
        if side.all() or not side.any():
            break
        axis = _direction(sample[side]) - _direction(sample[~side])
    heights = vectors @ axis
    ranks = np.argsort(np.argsort(heights, kind="stable"), kind="stable")
    cut = min(max(int(np.sum(heights <= 0)), len(vectors) // 3), len(vectors) - len(vectors) // 3)
    return ranks >= cut
