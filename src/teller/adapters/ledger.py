"""What is live, as it follows from the audit log: the versions, the canary, and the way back.

Every process folds the same records into the same state; nothing else holds it, so a kill between any two instructions
leaves the state before a record or the one after it. Not here: whether a change is allowed (control.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from teller.adapters.audit import AuditLog, Record
from teller.errors import BusyError, StoreCorrupt
from teller.ports import Clock
from teller.turn import Toggle, ToggleRecord

_TRIES = 100  # of a flip that others outrun; a record takes a millisecond or two
_FLIPS = frozenset({Toggle.ENABLE, Toggle.DISABLE, Toggle.ROLLBACK, Toggle.PROMOTE})


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an adapter: its name and the SHA-256 of its folder."""

    name: str
    digest: str

    @property
    def served(self) -> str:
        """Name under which hosts serve it: "banking-lora@3f2a91c0b7de"."""
        return f"{self.name}@{self.digest[:12]}"


@dataclass(frozen=True, slots=True)
class Live:
    """What new calls get.

    Attributes:
        version: None for the base model.
        canary: given to `share` of new calls instead; None for no canary.
        earlier: what a rollback goes back to, newest last.
        position: in the log, behind the record that this follows from.
    """

    version: Version | None = None
    canary: Version | None = None
    share: float = 0.0
    earlier: tuple[Version | None, ...] = ()
    position: int = 0

    @property
    def served(self) -> str | None:
        """Served name of the live version."""
        return self.version.served if self.version else None

    @property
    def versions(self) -> tuple[Version, ...]:
        """Live version and canary, those that there are."""
        return tuple(one for one in (self.version, self.canary) if one is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change that was decided on, and who answers for it.

    Attributes:
        after: live version from now on.
        who: the operator, or "teller" where a rule acted.
        facts: what the decision rests on, for the record: plain data.
    """

    toggle: Toggle
    after: Version | None
    who: str
    why: str
    canary: Version | None = None
    share: float = 0.0
    facts: Mapping[str, Any] | None = None


def fold(live: Live, record: Record) -> Live:
    """The state after a record; kinds that are none of a toggle's are passed over: a newer program may write here.

    Raises:
        StoreCorrupt: if the record is not one that `Ledger` writes.
    """
    live = replace(live, position=record.position)
    if record.kind not in (*_FLIPS, Toggle.CANARY, Toggle.WITHDRAW):
        return live
    try:
        after, canary = _version(record.body["after"]), _version(record.body["canary"])
        share = float(record.body["share"])
    except (KeyError, TypeError, ValueError) as exc:
        raise StoreCorrupt(f"audit record {record.seq} does not say what is live: restore the log from a copy") from exc
    if record.kind == Toggle.ROLLBACK:
        earlier = live.earlier[:-1]
    elif record.kind in _FLIPS and after != live.version:
        earlier = (*live.earlier, live.version)
    else:
        earlier = live.earlier
    return Live(after, canary, share, earlier, record.position)


def toggle_of(record: Record) -> ToggleRecord | None:
    """A record as the observer is told of it; None if it is of another kind, or not as `Ledger` writes it."""
    body = record.body
    try:
        before, after, canary = (_version(body[key]) for key in ("before", "after", "canary"))
        return ToggleRecord(
            at=record.at,
            toggle=Toggle(record.kind),
            before=before.served if before else None,
            after=after.served if after else None,
            who=str(body["who"]),
            why=str(body["why"]),
            canary=canary.served if canary else None,
            share=float(body["share"]),
        )
    except (KeyError, TypeError, ValueError):
        return None


class Ledger:
    """The audit log of a home, and the state that follows from it.

    `catch_up` belongs to one thread; writing leaves the followed state alone and may happen in another.
    """

    def __init__(self, log: AuditLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._live = Live()
        self._given = 0  # position behind the last record that was given
        self._damage: tuple[int, StoreCorrupt] | None = None  # what was found, and at which head

    def catch_up(self) -> tuple[Record, ...]:
        """Records since the last time; one `stat` if there are none.

        Raises:
            StoreCorrupt: if the log is damaged: then nothing is live but the base model, until it is mended. It is read
                again once it has another length.
            StoreError: if it cannot be asked; the state stays as it was.
        """
        head = self._log.head()
        if head == self._live.position:
            return ()
        if self._damage is not None and self._damage[0] == head:
            raise self._damage[1]
        try:
            records = self._log.read(self._live.position)
            live = self._live
            for record in records:
                live = fold(live, record)
        except StoreCorrupt as exc:
            self._live, self._damage = Live(), (head, exc)
            raise
        self._live, self._damage = live, None
        fresh = tuple(record for record in records if record.position > self._given)
        self._given = max(self._given, live.position)
        return fresh

    @property
    def live(self) -> Live:
        """As of the last `catch_up`."""
        return self._live

    def now(self) -> Live:
        """The present state; as `catch_up`."""
        self.catch_up()
        return self._live

    def history(self) -> tuple[Record, ...]:
        """Every record, oldest first; raises as `catch_up`."""
        return self._log.read()

    def verify(self) -> int:
        """Check the whole chain and its head; gives the number of records; raises as `catch_up`."""
        return self._log.verify()

    def write(self, change: Change, *, seen: Live | None = None) -> Record:
        """Record a change; when this returns it is in force for every new call, and survives kill -9.

        Args:
            change: what to do.
            seen: the state that the decision rests on; None for a change that is right whatever is live.

        Raises:
            BusyError: if another version is live, or another canary, than was seen; nothing is changed.
            StoreError: if it cannot be written; nothing is changed.
        """
        follower = self._follower()
        for _ in range(_TRIES):
            live = follower.now()
            if seen is not None and (live.version, live.canary) != (seen.version, seen.canary):
                raise BusyError(
                    f"{live.served or 'the base model'} has become live meanwhile, so nothing was changed: look again"
                )
            try:
                return self._log.append(
                    change.toggle.value, _body(change, live), at=self._clock.now(), only_at=live.position
                )
            except BusyError:
                continue
        raise BusyError("the audit log is written to all the time: try again")

    def refuse(self, asked: Toggle, version: Version | None, *, who: str, why: str) -> Record:
        """Record that something was asked for and not done.

        Raises:
            StoreError: if it cannot be written.
        """
        live = self.now()
        change = Change(
            toggle=Toggle.REFUSE, after=live.version, who=who, why=why, canary=live.canary, share=live.share
        )
        body = _body(change, live) | {"asked": asked.value, "version": _fields(version)}
        return self._log.append(Toggle.REFUSE.value, body, at=self._clock.now())

    def _follower(self) -> Ledger:
        other = Ledger(self._log, self._clock)
        other._live = self._live if self._damage is None else Live()
        return other


def versions_in(records: Iterable[Record]) -> dict[str, Version]:
    """Every version that was ever live or a canary, by digest."""
    found = (_version(record.body.get(key)) for record in records for key in ("before", "after", "canary"))
    return {one.digest: one for one in found if one is not None}


def _body(change: Change, live: Live) -> dict[str, Any]:
    return {
        "before": _fields(live.version),
        "after": _fields(change.after),
        "canary": _fields(change.canary),
        "share": change.share,
        "who": change.who,
        "why": change.why,
        "facts": dict(change.facts or {}),
    }


def _fields(version: Version | None) -> dict[str, str] | None:
    return {"name": version.name, "digest": version.digest} if version else None


def _version(fields: Any) -> Version | None:
    return Version(str(fields["name"]), str(fields["digest"])) if fields is not None else None
