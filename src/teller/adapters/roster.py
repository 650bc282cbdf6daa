"""Which servers are up, and how a command has each of them get a version ready before it becomes live.

A server takes a seat: a file that it holds locked (flock), so a seat whose lock can be had belongs to nobody, however
its server ended. A command leaves an order beside a seat, the server does it and leaves its report; both are written
whole or not at all. An order that is older than its deadline is nobody's business any more.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teller.adapters.ledger import Version
from teller.errors import StoreError

_SEAT, _ORDER, _REPORT = ".seat", ".order", ".report"
_MAX_BYTES = 1 << 16
_TRIES = 10


@dataclass(frozen=True, slots=True)
class Order:
    """To get a version ready.

    Attributes:
        deadline: Unix time in seconds; nobody waits for the report after it.
    """

    id: str
    version: Version
    deadline: float


@dataclass(frozen=True, slots=True)
class Report:
    """What became of an order; `problem` is empty if the version is ready and proven."""

    problem: str = ""


class Seat:
    """A server's place in the roster; left with `leave`, or with the process.

    Attributes:
        id: names the server in reports and in the audit log.
    """

    def __init__(self, folder: Path, seat_id: str, handle: int) -> None:
        self.id = seat_id
        self._folder = folder
        self._handle = handle

    def orders(self) -> list[Order]:
        """Orders that wait for this server, each given once.

        Raises:
            StoreError: if the folder cannot be read.
        """
        found = []
        for path in _files(self._folder, f"{self.id}.", _ORDER):
            content = _read(path)
            try:
                path.unlink(missing_ok=True)
            except OSError as exc:
                raise StoreError(f"{path}: cannot be removed: {exc.strerror}") from exc
            with suppress(KeyError, TypeError, ValueError):
                version = Version(str(content["name"]), str(content["digest"]))
                found.append(Order(path.name.split(".")[1], version, float(content["deadline"])))
        return found

    def report(self, order: Order, report: Report) -> None:
        """Tell who gave the order.

        Raises:
            StoreError: if it cannot be written.
        """
        _write(self._folder / f"{self.id}.{order.id}{_REPORT}", {"problem": report.problem})

    def leave(self) -> None:
        """Give the seat up, and clear away what lies beside it."""
        for path in (*_files(self._folder, f"{self.id}.", ""), self._folder / f"{self.id}{_SEAT}"):
            path.unlink(missing_ok=True)
        os.close(self._handle)


class Roster:
    """The seats of a home; the folder is made when the first one is taken."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def take_seat(self) -> Seat:
        """A seat for this process, to be taken before it looks at what is live.

        Raises:
            StoreError: if it cannot be made.
        """
        for _ in range(_TRIES):
            seat_id = f"{os.getpid()}-{secrets.token_hex(4)}"
            path = self._folder / f"{seat_id}{_SEAT}"
            try:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
            except OSError as exc:
                raise StoreError(f"{path}: cannot be made: {exc.strerror}") from exc
            if _locked(handle, fcntl.LOCK_EX) and _is_at(handle, path):
                return Seat(self._folder, seat_id, handle)
            os.close(handle)  # a command that looks for abandoned seats was faster, and has taken it away
        raise StoreError(f"{self._folder}: no seat could be had in {_TRIES} tries")

    def present(self) -> tuple[str, ...]:
        """Seats of the servers that are up, sorted; what the others have left is cleared away.

        Raises:
            StoreError: if the folder cannot be read.
        """
        found = []
        for path in _files(self._folder, "", _SEAT):
            seat_id = path.name.removesuffix(_SEAT)
            if _is_held(path):
                found.append(seat_id)
            else:
                for left in _files(self._folder, f"{seat_id}.", ""):
                    left.unlink(missing_ok=True)
        return tuple(found)

    def order(self, seat_id: str, version: Version, deadline: float) -> Order:
        """Have a server get a version ready.

        Raises:
            StoreError: if the order cannot be written.
        """
        order = Order(secrets.token_hex(8), version, deadline)
        content = {"name": version.name, "digest": version.digest, "deadline": deadline}
        _write(self._folder / f"{seat_id}.{order.id}{_ORDER}", content)
        return order

    def report(self, seat_id: str, order: Order) -> Report | None:
        """What became of an order, once; None if nothing yet.

        Raises:
            StoreError: if it cannot be read.
        """
        path = self._folder / f"{seat_id}.{order.id}{_REPORT}"
        if not path.exists():
            return None
        content = _read(path)
        path.unlink(missing_ok=True)
        return Report(str(content.get("problem", "its report cannot be read")))

    def withdraw(self, seat_id: str, order: Order) -> None:
        """Nobody waits for this order any more."""
        for kind in (_ORDER, _REPORT):
            with suppress(OSError):
                (self._folder / f"{seat_id}.{order.id}{kind}").unlink(missing_ok=True)


class Usage:
    """Which processes use a version of a host that they share: the last one to let go of it unloads it.

    A process that uses a version holds a file of that name locked together with the others; to unload takes the whole
    lock. So a process that was killed uses nothing any more.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._handles: dict[str, int] = {}

    def begin(self, served: str) -> bool:
        """Use a version from now on; False if somebody is unloading it: try again in a moment.

        Raises:
            StoreError: if its file cannot be made.
        """
        if served in self._handles:
            return True
        return self._hold(served, fcntl.LOCK_SH)

    def end(self, served: str) -> bool:
        """Use it no more; True if nobody else does: unload it, and call `free` whatever comes of it.

        Raises:
            StoreError: if its file cannot be made.
        """
        return self._hold(served, fcntl.LOCK_EX)

    def _hold(self, served: str, how: int) -> bool:
        path = self._folder / f"{served}.use"
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = self._handles.pop(served, None) or os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as exc:
            raise StoreError(f"{path}: cannot be made: {exc.strerror}") from exc
        if not _locked(handle, how):
            os.close(handle)
            return False
        self._handles[served] = handle
        return True

    def free(self, served: str) -> None:
        """Let others use it again."""
        if (handle := self._handles.pop(served, None)) is not None:
            os.close(handle)


def _files(folder: Path, prefix: str, suffix: str) -> Iterator[Path]:
    try:
        names = sorted(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return
    except OSError as exc:
        raise StoreError(f"{folder}: cannot be read: {exc.strerror}") from exc
    yield from (folder / name for name in names if name.startswith(prefix) and name.endswith(suffix))


def _is_held(path: Path) -> bool:
    """Whether somebody holds the lock; the file is removed if nobody does."""
    try:
        handle = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        if not _locked(handle, fcntl.LOCK_EX):
            return True
        path.unlink(missing_ok=True)  # under its lock: whoever made it looks again once it has the lock
        return False
    finally:
        os.close(handle)


def _locked(handle: int, how: int) -> bool:
    """Whether the lock could be had at once; a lock that was held before is given up if not."""
    try:
        fcntl.flock(handle, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _read(path: Path) -> Mapping[str, Any]:
    try:
        with path.open("rb") as file:
            content = json.loads(file.read(_MAX_BYTES))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write(path: Path, content: Mapping[str, Any]) -> None:
    beside = path.with_name(f"_{secrets.token_hex(8)}")
    try:
        beside.write_text(json.dumps(content))
        beside.replace(path)
    except OSError as exc:
        raise StoreError(f"{path}: cannot be written: {exc.strerror}") from exc
