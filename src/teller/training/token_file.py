"""Encoded conversations on disk, read through a memory map: data may be larger than memory."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from teller.errors import InputError, StoreError
from teller.training.chat_data import ChatFile, Conversation, Problems
from teller.training.chat_encoding import ChatEncoder, Encoded

_TOGETHER = 256  # conversations that are encoded at once


class TokenFile:
    """Token ids of conversations, each with its mark, one after the other in one file.

    A token takes four bytes: its id times two, and one if the assistant says it. In memory there are 24 bytes for a
    conversation.

    Attributes:
        lengths: (n,) tokens of each conversation.
        learnt: (n,) tokens of each that are learnt: those that the assistant says.
        digests: (n,) 64 bits of a hash of each: equal for equal conversations.

    Raises:
        StoreError: if it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._starts = array("q", [0])
        self._learnt, self._digests = array("i"), array("Q")
        self.lengths: NDArray[np.int32] = np.zeros(0, np.int32)
        self.learnt: NDArray[np.int32] = np.zeros(0, np.int32)
        self.digests: NDArray[np.uint64] = np.zeros(0, np.uint64)
        try:
            self._file = path.open("wb")
        except OSError as exc:
            raise _not_written(exc) from exc

    def __enter__(self) -> TokenFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seal()

    def __len__(self) -> int:
        return len(self.lengths)

    def add(self, encoded: Encoded) -> None:
        """Append one conversation.

        Raises:
            StoreError: if it cannot be written.
        """
        tokens = encoded.ids * 2 + encoded.said
        try:
            self._file.write(tokens.tobytes())
        except OSError as exc:
            raise _not_written(exc) from exc
        self._starts.append(self._starts[-1] + len(tokens))
        self._learnt.append(int(encoded.said[1:].sum()))
        self._digests.append(int.from_bytes(hashlib.blake2b(tokens.tobytes(), digest_size=8).digest(), "little"))

    def seal(self) -> None:
        """End writing, begin reading.

        Raises:
            StoreError: if what was added cannot be written.
        """
        try:
            self._file.close()
        except OSError as exc:
            raise _not_written(exc) from exc
        starts = np.frombuffer(self._starts, np.int64)
        self.lengths = np.diff(starts).astype(np.int32)
        self.learnt = np.frombuffer(self._learnt, np.int32) if self._learnt else self.learnt
        self.digests = np.frombuffer(self._digests, np.uint64) if self._digests else self.digests
        self._tokens = np.memmap(self._path, np.int32, "r") if starts[-1] else np.zeros(0, np.int32)

    def __getitem__(self, at: int) -> Encoded:
        tokens = np.asarray(self._tokens[self._starts[at] : self._starts[at + 1]])
        return Encoded(tokens >> 1, (tokens & 1).astype(np.bool_))


def encode_file(path: Path, encoder: ChatEncoder, kept: Path) -> tuple[TokenFile, str]:
    """Encode a whole file of conversations into `kept`; the tokens, and the SHA-256 of the file that was read.

    Raises:
        InputError: naming every bad line.
        StoreError: if the tokens cannot be written.
    """
    source, problems = ChatFile(path), Problems()
    with TokenFile(kept) as tokens:
        for conversations in _groups(source.conversations(problems)):
            for conversation, result in zip(conversations, encoder.encode(conversations), strict=True):
                if isinstance(result, str):
                    problems.add(conversation.place, result)
                else:
                    tokens.add(result)
    problems.check()
    if not len(tokens):
        raise InputError(f"{path.name}: holds no conversation")
    return tokens, source.sha256


def _groups(conversations: Iterator[Conversation]) -> Iterator[list[Conversation]]:
    while group := list(islice(conversations, _TOGETHER)):
        yield group


def _not_written(exc: OSError) -> StoreError:
    return StoreError(f"the tokens cannot be written ({exc.strerror}): make room, then run the same command again")
