"""The turn log: what was asked, what was answered and why, in one SQLite file that servers may share.

An `Observer` that is never waited for: a record is put in a queue (under a microsecond), and a thread of its own writes
what has come together twice a second, in one transaction, in order. What is written survives kill -9. A disk that is
slow or full makes the queue run over: records are shed then, counted in `shed`, and the log says how many were lost as
soon as it can be written again. A call never notices. `turn_reader` reads it, `turn_schema` has the tables.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from teller.errors import StoreCorrupt, StoreError
from teller.stores.turn_erasure import empty_journal, erase_step
from teller.stores.turn_rows import Kind, LookupRow, TurnRow, lookup_row, toggle_row, training_row, turn_row
from teller.stores.turn_schema import open_writable, translated
from teller.turn import LookupRecord, ToggleRecord, TrainingRecord, TurnRecord

_log = logging.getLogger("teller.turn_log")

Record = TurnRecord | LookupRecord | ToggleRecord | TrainingRecord
_Lookup = tuple[str, float]  # tenant and time spent, to the last bit: what a lookup and its turn have in common
_BATCH_S = 0.5
_GROUP = 1_000  # records in one transaction at most
_SLICE = 16  # records that are made into rows before a call gets its turn: a third of a millisecond
_LONGEST_TURN_S = 300.0  # a lookup whose turn has not ended by then stands alone
_PENDING = 4_096  # lookups that wait for the end of their turn
_RETRY_S = (0.5, 1.0, 2.0, 5.0)
_PRUNE_EVERY_S = 60.0
_DAY_S = 86_400.0


class TurnLog:
    """As `Observer`; open it once per process, after every fork.

    Args:
        path: of the file; made with its folder if missing, readable by its owner alone.
        keep_text: whether questions and answers are kept, redacted as they are. The answers to identified customers
            about their own affairs never are.
        keep_days: age at which everything about a turn is deleted.
        most_waiting: records that may wait to be written before they are shed.
        busy_timeout_s: how long another process may hold the write lock before a batch is tried again.
        clock: Unix time in seconds.

    Attributes:
        shed: records that were lost so far because the log could not be written.

    Raises:
        StoreCorrupt: if the file is no turn log or cannot be read; it is left as it is.
        StoreError: if a newer version wrote it, or it cannot be opened.
    """

    def __init__(
        self,
        path: Path,
        *,
        keep_text: bool = True,
        keep_days: float = 90.0,
        most_waiting: int = 20_000,
        busy_timeout_s: float = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._keep_text = keep_text
        self._keep_s = keep_days * _DAY_S
        self._most = most_waiting
        self._clock = clock
        self._opened = clock() - time.monotonic()
        self._connection = open_writable(path, busy_timeout_s=busy_timeout_s)
        self._waiting: deque[Record] = deque()
        self._lock = threading.Lock()  # guards `shed`; held for an addition
        self.shed = 0
        self._shed_said = 0
        self._lone = _LoneLookups()
        self._kinds: dict[Kind, int] = {}
        self._failures = 0
        self._next_prune = time.monotonic() + _PRUNE_EVERY_S
        self._closing = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="turn-log", daemon=True)
        self._thread.start()

    def turn_finished(self, record: TurnRecord) -> None:
        """As `Observer.turn_finished`."""
        self._take(record)

    def lookup_finished(self, record: LookupRecord) -> None:
        """As `Observer.lookup_finished`."""
        self._take(record)

    def adapter_toggled(self, record: ToggleRecord) -> None:
        """As `Observer.adapter_toggled`."""
        self._take(record)

    def training_advanced(self, record: TrainingRecord) -> None:
        """As `Observer.training_advanced`."""
        self._take(record)

    @property
    def waiting(self) -> int:
        """Records that are not written yet; 0 when the log has caught up."""
        return len(self._waiting)

    def close(self, within_s: float = 5.0) -> None:
        """Write what waits and close the file; what cannot be written in time is lost. Again does nothing."""
        self._closing = True
        self._wake.set()
        self._thread.join(within_s)

    def _take(self, record: Record) -> None:
        if len(self._waiting) < self._most:
            self._waiting.append(record)
        else:
            self._lose(1, "it cannot be written fast enough")

    def _lose(self, count: int, why: str) -> None:
        with self._lock:
            first = self.shed == self._shed_said
            self.shed += count
        if first:
            _log.warning("the turn log %s loses records: %s", self._path.name, why)

    def _run(self) -> None:
        """The writing thread."""
        while not self._closing:
            self._wake.wait(_RETRY_S[min(self._failures, len(_RETRY_S)) - 1] if self._failures else _BATCH_S)
            if self._write_waiting():
                self._prune()
        if not self._write_waiting(last=True):
            self._lose(len(self._waiting), f"it was closed with {len(self._waiting)} unwritten")
        self._connection.close()

    def _write_waiting(self, *, last: bool = False) -> bool:
        """Write everything that waits; False if the log cannot be written: then it waits on, in its order."""
        most, rest = _GROUP, len(self._waiting)  # what comes meanwhile is for the next time
        while True:
            group = [self._waiting[place] for place in range(min(rest, most))]
            lost = self.shed - self._shed_said
            try:
                self._lone.settle(group)
                alone = self._lone.due(everything=last and len(group) == rest)
                if not (group or alone or lost):
                    return True
                self._write(group, alone, lost)
            except (StoreCorrupt, TypeError, ValueError, OverflowError) as exc:
                if len(group) != 1:
                    most = 1  # one of them cannot be a row: the others one by one
                    if group:
                        continue
                    return False
                self._lose(1, f"one cannot be written ({exc})")
            except StoreError as exc:
                self._say_failed(exc)
                return False
            else:
                self._shed_said += lost
                self._lone.forget(alone)
            for _ in group:
                self._waiting.popleft()
            rest -= len(group)

    def _say_failed(self, exc: StoreError) -> None:
        if not self._failures:
            _log.warning("%s; it will be tried again", exc)
        self._failures += 1

    def _write(self, group: Sequence[Record], alone: Mapping[_Lookup, LookupRow], lost: int) -> None:
        with translated("write", self._path):
            self._transact(group, alone, lost)
        if self._failures:
            _log.warning("the turn log %s can be written again", self._path.name)
        self._failures = 0

    def _transact(self, group: Sequence[Record], alone: Mapping[_Lookup, LookupRow], lost: int) -> None:
        turns = self._turn_rows(record for record in group if isinstance(record, TurnRecord))
        toggles = [toggle_row(record) for record in group if isinstance(record, ToggleRecord)]
        training = [training_row(record) for record in group if isinstance(record, TrainingRecord)]
        run, many = self._connection.execute, self._connection.executemany
        run("BEGIN IMMEDIATE")
        try:
            kinds = self._kinds_of({row.kind for row in turns} | {kind for kind, _ in alone.values()})
            row = run("SELECT seq FROM sqlite_sequence WHERE name = 'turn'").fetchone()
            numbered = list(enumerate(turns, 1 + (row[0] if row else 0)))
            many(
                "INSERT INTO turn VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                ((number, *row.turn, kinds[row.kind], *row.numbers) for number, row in numbered),
            )
            many("INSERT INTO said VALUES (?, ?, ?, ?)", ((number, *row.said) for number, row in numbered))
            many(
                "INSERT INTO lookup (kind, at, similarity, spent_ms) VALUES (?, ?, ?, ?)",
                ((kinds[kind], *row) for kind, row in alone.values()),
            )
            many("INSERT OR IGNORE INTO toggle VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)", toggles)
            many("INSERT INTO training VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)", training)
            if lost:
                run("INSERT INTO shed (at, records) VALUES (?, ?)", (self._clock(), lost))
            run("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                run("ROLLBACK")
            raise
        self._kinds |= kinds

    def _turn_rows(self, records: Iterable[TurnRecord]) -> list[TurnRow]:
        """The rows of turns; between them calls get their turn."""
        rows: list[TurnRow] = []
        for record in records:
            rows.append(turn_row(record, keep_text=self._keep_text))
            if len(rows) % _SLICE == 0:
                time.sleep(0)
        return rows

    def _kinds_of(self, wanted: Iterable[Kind]) -> dict[Kind, int]:
        """The numbers of kinds, new ones given one; known to this process only once they are committed."""
        found = {}
        names = ", ".join(Kind._fields)
        marks = ", ".join("?" * len(Kind._fields))
        same = " AND ".join(f"{name} = ?" for name in Kind._fields)
        for kind in wanted:
            if kind not in self._kinds:
                self._connection.execute(f"INSERT OR IGNORE INTO kind ({names}) VALUES ({marks})", kind)  # noqa: S608
            # The columns are the fields' names.
            find = f"SELECT id FROM kind WHERE {same}"  # noqa: S608
            found[kind] = self._kinds.get(kind) or self._connection.execute(find, kind).fetchone()[0]
        return found

    def _prune(self) -> None:
        """Delete a few of the turns that are too old; at leisure again once none is left.

        Age is told by the clock as it was when the log was opened: one that jumps ahead does not empty the log.
        """
        if time.monotonic() < self._next_prune:
            return
        now = min(self._clock(), self._opened + time.monotonic())
        try:
            with translated("prune", self._path):
                if not erase_step(self._connection, before=now - self._keep_s):
                    self._next_prune = time.monotonic() + _PRUNE_EVERY_S
                    empty_journal(self._connection)
        except StoreError as exc:
            _log.warning("%s; it will be tried again", exc)
            self._next_prune = time.monotonic() + _PRUNE_EVERY_S


class _LoneLookups:
    """Lookups that wait for the end of their turn, which says the same; what is left over had no end."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[_Lookup, tuple[float, LookupRow]] = OrderedDict()

    def settle(self, group: Iterable[Record]) -> None:
        """Take up new lookups and drop those whose turn has ended; the same group again changes nothing."""
        now = time.monotonic()
        for record in group:
            if isinstance(record, LookupRecord):
                self._waiting[record.tenant, record.spent_ms] = (now, lookup_row(record))
            elif isinstance(record, TurnRecord) and "cache" in record.timings_ms:
                self._waiting.pop((record.scope.tenant, record.timings_ms["cache"]), None)

    def due(self, *, everything: bool) -> dict[_Lookup, LookupRow]:
        """Those that have waited longer than any turn takes, and the oldest of too many."""
        before = time.monotonic() - _LONGEST_TURN_S
        spare = len(self._waiting) - _PENDING
        found = {}
        for place, (name, (since, row)) in enumerate(self._waiting.items()):
            if not (everything or since < before or place < spare):
                break
            found[name] = row
        return found

    def forget(self, lookups: Iterable[_Lookup]) -> None:
        """These have been written."""
        for name in lookups:
            self._waiting.pop(name, None)
