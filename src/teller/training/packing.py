"""Which conversations are trained on when, and how they lie in rows: decided by seed and epoch alone.

Several conversations share a row, so that little of it is padding; the positions of each begin at 0, which is how the
model keeps them apart (a conversation attends to itself alone).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from teller.training.chat_encoding import Encoded
from teller.training.token_file import TokenFile

_WINDOW = 256  # conversations that are fitted into rows together
_MULTIPLE = 8  # a batch's length is one of this
FEWEST = 10  # distinct conversations of which some are held out
_MOST_HELD_OUT = 500

Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rows:
    """Conversations in rows: row `r` holds `order[starts[r] : starts[r + 1]]`."""

    order: Places
    starts: Places

    def __len__(self) -> int:
        return len(self.starts) - 1

    def row(self, at: int) -> Places:
        """Places of the conversations of a row."""
        return self.order[self.starts[at] : self.starts[at + 1]]


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows as the model takes them.

    Attributes:
        ids, positions: (rows, length); padding is a conversation of its own that nothing is learnt from.
        at: (m,) flat places in `ids` whose next token is learnt.
        next: (m,) those next tokens.
        tokens: without padding.
    """

    ids: NDArray[np.int64]
    positions: NDArray[np.int64]
    at: Places
    next: NDArray[np.int64]
    tokens: int


@dataclass(frozen=True, slots=True)
class Pool:
    """All conversations of a run: those of `data`, then those of `replay`, and which are held out.

    Attributes:
        trained, held_out: places of conversations of `data`.
        lengths, learnt: of every conversation, as in `TokenFile`.
    """

    data: TokenFile
    replay: TokenFile | None
    replay_share: float
    trained: Places
    held_out: Places
    lengths: NDArray[np.int32]
    learnt: NDArray[np.int32]

    @classmethod
    def split(
        cls, data: TokenFile, replay: TokenFile | None, *, replay_share: float, held_out_share: float, seed: int
    ) -> Pool:
        """Hold out a share of the distinct conversations, 500 at most, equal ones together.

        Nothing is held out of fewer than 10 distinct conversations: half of them could not say when to stop.
        """
        distinct = np.unique(data.digests)
        count = min(_MOST_HELD_OUT, max(1, round(len(distinct) * held_out_share)))
        if len(distinct) < FEWEST or not held_out_share:
            count = 0
        chosen = np.random.default_rng([seed, 0]).permutation(distinct)[:count]
        held_out = np.isin(data.digests, chosen)
        files = [data, replay] if replay else [data]
        return cls(
            data,
            replay,
            replay_share if replay else 0.0,
            np.flatnonzero(~held_out),
            np.flatnonzero(held_out),
            np.concatenate([file.lengths for file in files]),
            np.concatenate([file.learnt for file in files]),
        )

    def epoch(self, number: int, *, seed: int, row_tokens: int) -> Rows:
        """The rows of one epoch, each trained conversation once and fresh draws of replay among them."""
        rng = np.random.default_rng([seed, 1, number])
        wanted = round(len(self.trained) * self.replay_share / (1 - self.replay_share))
        known = len(self.replay) if self.replay else 0
        drawn = rng.permutation(known)[:wanted] if wanted <= known else rng.integers(0, known, wanted)
        order = rng.permutation(np.concatenate([self.trained, drawn + len(self.data)]))
        rows = _fit(order, self.lengths[order], row_tokens)
        shuffled = rng.permutation(len(rows))
        return _lay([rows[at] for at in shuffled.tolist()])

    def held_out_rows(self, row_tokens: int) -> Rows:
        """What is held out, in rows."""
        return _lay(_fit(self.held_out, self.lengths[self.held_out], row_tokens))

    def batch(self, rows: Sequence[Places], *, pad: int) -> Batch:
        """Lay rows beside one another, padded to a common length."""
        found = [[self._encoded(place) for place in row.tolist()] for row in rows]
        sums = [sum(len(each.ids) for each in row) for row in found]
        length = -(-max(sums) // _MULTIPLE) * _MULTIPLE
        ids = np.full((len(rows), length), pad, np.int64)
        positions = np.zeros((len(rows), length), np.int64)
        learnt = np.zeros((len(rows), length), np.bool_)  # whether a token is learnt, that is, from the one before
        for at, row in enumerate(found):
            begin = 0
            for each in row:
                end = begin + len(each.ids)
                ids[at, begin:end], positions[at, begin:end] = each.ids, np.arange(end - begin)
                learnt[at, begin + 1 : end] = each.said[1:]
                begin = end
            positions[at, begin:] = np.arange(length - begin)
        flat = np.flatnonzero(learnt)
        return Batch(ids, positions, flat - 1, ids.reshape(-1)[flat], sum(sums))

    def count_learnt(self, rows: Sequence[Places]) -> int:
        """Tokens that are learnt from rows."""
        return int(self.learnt[np.concatenate(rows)].sum())

    def _encoded(self, place: int) -> Encoded:
        if place < len(self.data):
            return self.data[place]
        assert self.replay is not None
        return self.replay[place - len(self.data)]


def _fit(order: Places, lengths: NDArray[np.int32], row_tokens: int) -> list[list[int]]:
    """First fit, longest first, within windows of the order."""
    rows: list[list[int]] = []
    for begin in range(0, len(order), _WINDOW):
        window = slice(begin, begin + _WINDOW)
        places, sizes = order[window].tolist(), lengths[window].tolist()
        room: list[int] = []
        first = len(rows)
        for at in sorted(range(len(places)), key=lambda at: (-sizes[at], at)):
            for row, left in enumerate(room):
                if sizes[at] <= left:
                    rows[first + row].append(places[at])
                    room[row] -= sizes[at]
                    break
            else:
                rows.append([places[at]])
                room.append(row_tokens - sizes[at])
    return rows


def _lay(rows: list[list[int]]) -> Rows:
    starts = np.cumsum([0, *(len(row) for row in rows)])
    return Rows(np.array([place for row in rows for place in row], np.int64), starts.astype(np.int64))
