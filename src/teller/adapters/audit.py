"""The audit log: who changed which adapter is live, why, and on what evidence. What is live follows from it alone.

One JSON object a line, each with the SHA-256 of the one before it: a record cannot be changed, taken out, put in or
moved unless every hash after it is made anew. Beside the log, `.head` holds number and hash of the newest record,
signed where there is a signer: it shows that records were cut off the end, or that the whole chain was made anew.

A line is `{"seq":1,"at":...,"kind":...,"body":{...},"prev":"<64>","hash":"<64>"}`; the hash is over all of its bytes
before `,"hash"`. So `verify` reads no JSON, and 100,000 records take a quarter of a second of a processor.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, NoReturn

from teller.adapters.durable import flush_folder, write_flushed
from teller.adapters.manifest import canonical_json, parse_json
from teller.errors import BusyError, InputError, StoreCorrupt, StoreError
from teller.ports import Signer

MAX_LINE_BYTES = 1 << 20
_START = "0" * 64  # what the first record names as the hash before it
_HASH_KEY, _LINE_END = b',"hash":"', b'"}\n'
_HASH_BYTES = len(_HASH_KEY) + len(_START) + len(_LINE_END)
_TAIL_BYTES = 1 << 14  # of the log, read at first to find its last record
_HEAD_MAX_BYTES = 4096
_MEND = "Restore log and head from a copy; moving both away begins a new log, with no adapter live"
_LOCK_S = 5.0
_LOOK_S = 0.005


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the log.

    Attributes:
        seq: from 1, without gaps.
        at: Unix time in seconds.
        kind: what was done.
        body: the facts.
        hash: of this record; the next one carries it.
        position: `AuditLog.head()` as it was after this record.
    """

    seq: int
    at: float
    kind: str
    body: Mapping[str, Any]
    hash: str
    position: int


class _Link(NamedTuple):
    """How far a chain goes: number and hash of its last record, the hash before that one, and where it ends."""

    seq: int = 0
    hash: str = _START
    before: str = ""
    position: int = 0


class AuditLog:
    """An append-only file that several processes share.

    Args:
        path: of the log, in a private folder that is made if missing; `<path>.head` is beside it.
        signer: signs the head, and checks that a trusted key signed it; without one the chain still shows every change
            that does not make the whole of it anew.
    """

    def __init__(self, path: Path, signer: Signer | None = None) -> None:
        self._path = path
        self._head_path = path.with_name(f"{path.name}.head")
        self._signer = signer

    def head(self) -> int:
        """How far the log goes, 0 for a new one: microseconds, so that it can be asked before every call.

        It grows with every record. After kill -9 it may count a torn line, until the next append mends it.

        Raises:
            StoreError: if the file cannot be asked.
        """
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0
        except OSError as exc:
            raise StoreError(f"{self._path}: cannot be read: {exc.strerror}") from exc

    def read(self, after: int = 0) -> tuple[Record, ...]:
        """The records after a position, oldest first: 0 for all of them, else `Record.position` of the last one seen.

        A line that is still being written, or was torn by a kill, is left out. Takes no lock.

        Raises:
            StoreCorrupt: naming the line, if one was changed, removed, moved or put in since `after`; or if the log is
                shorter than `after`.
            StoreError: if it cannot be read.
        """
        if not after and not self.head():
            return ()
        with self._open(os.O_RDONLY) as file:
            chain = self._chain(file, self._link_at(file, after))
            return tuple(_record(line, link, self._path.name) for line, link in chain)

    def append(self, kind: str, body: Mapping[str, Any], *, at: float, only_at: int | None = None) -> Record:
        """Add a record; when this returns it survives kill -9 and loss of power.

        Args:
            kind: what was done.
            body: plain data, less than 1 MB of JSON.
            at: Unix time in seconds.
            only_at: write only if the last record's position is this (0: if there is none).

        Raises:
            InputError: if the body is not plain data, or too much.
            BusyError: if another record was added after `only_at`; nothing was written.
            StoreCorrupt: if the last record is damaged or records are missing at the end; nothing was written.
            StoreError: if it cannot be written (disk full, say), or another process holds the log for more than 5 s; it
                is as it was.
        """
        with self._open(os.O_RDWR | os.O_CREAT) as file:
            self._lock(file)
            last = self._last(file)
            self._check_head(last)
            if only_at is not None and only_at != last.position:
                raise BusyError("another change of the adapters came first; look at what is live now and ask again")
            line = _line(last, at, kind, body)
            link = _Link(last.seq + 1, _hash_in(line), last.hash, last.position + len(line))
            self._write(file.fileno(), line, link)
            return _record(line, link, self._path.name)

    def verify(self) -> int:
        """Check the whole chain and its head; gives the number of records. Writers wait for it.

        Raises:
            StoreCorrupt: naming the line and what is wrong with it.
            StoreError: if it cannot be read.
        """
        last = _Link()
        if not self._path.exists():
            self._check_head(last)
            return 0
        with self._open(os.O_RDONLY) as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            for _, link in self._chain(file, _Link()):
                last = link
            self._check_head(last)
        return last.seq

    def _open(self, flags: int) -> BinaryIO:
        try:
            if flags & os.O_CREAT:
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self._path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
            return os.fdopen(handle, "r+b" if flags & os.O_RDWR else "rb")
        except OSError as exc:  # also of a folder, which can be opened and not be read
            raise StoreError(f"{self._path}: cannot be opened: {exc.strerror}") from exc

    def _chain(self, file: BinaryIO, link: _Link) -> Iterator[tuple[bytes, _Link]]:
        """The whole lines after a link, each checked against the one before it, with the link that it makes."""
        seq, before, position = link.seq, link.hash.encode(), link.position
        file.seek(position)
        while line := file.readline(MAX_LINE_BYTES + 1):
            seq += 1
            if line[-1:] != b"\n":
                if len(line) > MAX_LINE_BYTES:
                    self._broken(seq, "it is longer than a record can be")
                return  # torn, or still being written
            mine = hashlib.sha256(line[:-_HASH_BYTES]).hexdigest().encode()
            if line[-_HASH_BYTES:] != _HASH_KEY + mine + _LINE_END:
                self._broken(seq, "it was changed: its hash is of another content")
            if line[: -_HASH_BYTES - 1][-64:] != before or not line.startswith(b'{"seq":%d,' % seq):
                self._broken(seq, _out_of_place(line, seq))
            position += len(line)
            yield line, _Link(seq, mine.decode(), before.decode(), position)
            before = mine

    def _link_at(self, file: BinaryIO, position: int) -> _Link:
        """The link that the record before a position makes, checked by itself."""
        if not position:
            return _Link()
        if position > os.fstat(file.fileno()).st_size:
            raise StoreCorrupt(f"{self._path.name}: shorter than it was: records were removed at its end")
        for reach in (_TAIL_BYTES, MAX_LINE_BYTES + 1):
            start = max(0, position - reach)
            file.seek(start)
            tail = file.read(position - start)
            if tail.count(b"\n") > 1:
                break
        line = tail[tail.rfind(b"\n", 0, -1) + 1 :]
        if hashlib.sha256(line[:-_HASH_BYTES]).hexdigest() != _hash_in(line) or not line.endswith(b'"}\n'):
            raise StoreCorrupt(f"{self._path.name}: the record that ends at byte {position} was changed or moved")
        return _Link(_seq_in(line), _hash_in(line), line[: -_HASH_BYTES - 1][-64:].decode(), position)

    def _lock(self, file: BinaryIO) -> None:
        """Wait for the other writers, but not for one that was stopped in the middle: to disable must not hang."""
        until = time.monotonic() + _LOCK_S
        while True:
            try:
                return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > until:
                    raise StoreError(f"{self._path}: another process has held it for {_LOCK_S:g} s; end it") from None
                time.sleep(_LOOK_S)

    def _last(self, file: BinaryIO) -> _Link:
        """The link of the last whole record."""
        size = os.fstat(file.fileno()).st_size
        end, start = 0, size
        while start and not end:
            start = max(0, start - _TAIL_BYTES)
            file.seek(start)
            end = start + 1 + file.read(_TAIL_BYTES).rfind(b"\n")
            end = end if end > start else 0
            if size - start > MAX_LINE_BYTES + _TAIL_BYTES:
                raise StoreCorrupt(f"{self._path.name}: its last line is longer than a record can be")
        return self._link_at(file, end)

    def _write(self, handle: int, line: bytes, link: _Link) -> None:
        """The new head beside the old one, the line, then the head in its place: a kill in between loses nothing.

        What an earlier kill left after the last record is cut off first. The folder is flushed before the line, so the
        head on disk is never more than one record behind; putting the new one in its place is the last thing to fail.
        """
        partial = self._head_path.with_name(f"{self._head_path.name}.part")
        before = link.position - len(line)
        try:
            write_flushed(partial, self._head_json(link))
            flush_folder(self._path.parent)
            os.ftruncate(handle, before)
            at = before
            while at < link.position:
                at += os.pwrite(handle, line[at - before :], at)
            os.fsync(handle)
            partial.replace(self._head_path)
        except OSError as exc:
            with suppress(OSError):
                os.ftruncate(handle, before)
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise StoreError(f"{self._path}: nothing was recorded: {exc.strerror}") from exc

    def _head_json(self, link: _Link) -> bytes:
        content = {"seq": link.seq, "hash": link.hash, "public_key": "", "signature": ""}
        if self._signer:
            content["public_key"] = self._signer.public_key.hex()
            content["signature"] = self._signer.sign(_head_body(link.seq, link.hash)).hex()
        return canonical_json(content)

    def _check_head(self, last: _Link) -> None:
        """That the log ends where its head says; a kill may have left the head one record behind."""
        try:
            with self._head_path.open("rb") as file:
                data = file.read(_HEAD_MAX_BYTES + 1)
        except FileNotFoundError:
            if last.seq > 1:
                raise StoreCorrupt(
                    f"{self._head_path.name}: missing, beside a log of {last.seq} records. {_MEND}"
                ) from None
            return
        except OSError as exc:
            raise StoreError(f"{self._head_path}: cannot be read: {exc.strerror}") from exc
        try:
            head = parse_json(data, self._head_path.name, max_bytes=_HEAD_MAX_BYTES)
            seq, digest = int(head["seq"]), str(head["hash"])
            key, signature = bytes.fromhex(head["public_key"]), bytes.fromhex(head["signature"])
        except (KeyError, TypeError, ValueError) as exc:
            raise StoreCorrupt(f"{self._head_path.name}: not what this log writes ({exc}). {_MEND}") from exc
        if self._signer and not self._signer.verify(_head_body(seq, digest), signature, key):
            raise StoreCorrupt(
                f"{self._head_path.name}: not signed by a key that is trusted here, or changed. If the key is another "
                f"now, put the old one's .pub file into the keys folder. {_MEND}"
            )
        if seq > last.seq:
            self._broken(last.seq + 1, f"missing: records {last.seq + 1} to {seq} were removed at the end")
        if (seq, digest) not in {(last.seq, last.hash), (last.seq - 1, last.before)}:
            self._broken(last.seq, f"not the record that {self._head_path.name} names: the log was made anew")

    def _broken(self, line: int, why: str) -> NoReturn:
        raise StoreCorrupt(f"{self._path.name}: line {line}: {why}. {_MEND}")


def _line(last: _Link, at: float, kind: str, body: Mapping[str, Any]) -> bytes:
    fields = {"at": at, "kind": kind, "body": body, "prev": last.hash}
    parts = b",".join(b'"%b":%b' % (name.encode(), canonical_json(value)) for name, value in fields.items())
    content = b'{"seq":%d,%b' % (last.seq + 1, parts)
    line = content + b',"hash":"%b"}\n' % hashlib.sha256(content).hexdigest().encode()
    if len(line) > MAX_LINE_BYTES:
        raise InputError(f"an audit record of {len(line)} bytes; wanted at most {MAX_LINE_BYTES}")
    return line


def _record(line: bytes, link: _Link, source: str) -> Record:
    try:
        fields = parse_json(line, f"{source}: line {link.seq}", max_bytes=MAX_LINE_BYTES)
        return Record(
            link.seq, float(fields["at"]), str(fields["kind"]), dict(fields["body"]), link.hash, link.position
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise StoreCorrupt(f"{source}: line {link.seq}: not an audit record ({exc})") from exc


def _hash_in(line: bytes) -> str:
    return line[-_HASH_BYTES:][9:73].decode("ascii", "replace")


def _seq_in(line: bytes) -> int:
    number = line[7 : line.find(b",")]
    return int(number) if number.isdigit() else 0


def _out_of_place(line: bytes, seq: int) -> str:
    found = _seq_in(line)
    if found > seq:
        return f"record {found} stands where {seq} should: records were removed or moved"
    if found < seq:
        return f"record {found} stands where {seq} should: it was moved here or put in"
    return "it does not follow from the line before: one of the two was put in or replaced"


def _head_body(seq: int, digest: str) -> bytes:
    return b"teller audit head\n" + canonical_json([seq, digest])
