"""Changes of what is live, each in two phases: everything that could fail, and then one record in the audit log.

A version becomes live only once signature, manifest, content and gate evidence were checked here, and every server
that is up has it loaded and proven. The record is the flip: a kill at any point leaves what was live before it, or
after it. What is refused is on record too, and changes nothing. To disable asks no engine and waits for none.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from teller.adapters.audit import Record
from teller.adapters.evidence import EvidenceStore, check_evidence
from teller.adapters.ledger import Change, Ledger, Live, Version
from teller.adapters.live import Checked, Residence, Waits, proven
from teller.adapters.registry import Registry
from teller.adapters.roster import Roster
from teller.errors import EngineError, EngineTimeout, InputError, StoreError, TellerError
from teller.ports import Clock, Signer
from teller.turn import Toggle

_LOOK_EVERY_S = 0.02  # for a server's report
_MAX_SHARE = 0.5  # above it there are too few calls to compare with


@dataclass(frozen=True, slots=True)
class Asked:
    """Who wants a change, and why.

    Attributes:
        override: go past the gate's evidence; needs a reason.
    """

    who: str
    why: str
    override: bool = False


@dataclass(frozen=True, slots=True)
class Flipped:
    """A change that is in force.

    Attributes:
        servers: that had the version loaded and proven before it.
        proven_here: no server was up, so this process opened the host itself.
        old: the live version that calls got before.
    """

    record: Record
    live: Live
    old: Version | None
    servers: tuple[str, ...] = ()
    proven_here: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """What is kept of adapters in a home, and what reads it."""

    ledger: Ledger
    registry: Registry
    evidence: EvidenceStore
    roster: Roster
    signer: Signer
    clock: Clock

    def check(self, version: Version, base_digest: str = "") -> Checked:
        """A version whose content, signature and every matrix are sound; it blocks.

        Raises:
            InputError, StoreError: with the reason, if it must not be served.
        """
        installed = self.registry.find(f"{version.name}@{version.digest}")
        facts = self.registry.verify(installed, self.signer, base_digest=base_digest)
        if facts.manifest is None:
            raise InputError(f"{version.served} has no manifest")
        return Checked(installed.folder, facts.manifest)


class Control:
    """Enable, disable, roll back, canary.

    Args:
        store: of the home.
        open_host: opens the host that the settings name, for a proof while no server is up; None if they name none.
        cases_sha256: of the gate's cases today; asked only where evidence is demanded.
        max_age_s: of evidence.
        load_s: longest wait for a server to load and prove a version.
    """

    def __init__(
        self,
        store: Store,
        open_host: Callable[[], AbstractAsyncContextManager[Residence]] | None,
        *,
        cases_sha256: Callable[[], str],
        max_age_s: float,
        load_s: float,
    ) -> None:
        self._store = store
        self._open_host = open_host
        self._cases_sha256 = cases_sha256
        self._max_age_s = max_age_s
        self._load_s = load_s

    async def enable(self, reference: str, asked: Asked) -> Flipped:
        """Make a version live for every new call; a canary that is under way ends.

        Raises:
            TellerError: with the reason, which is on record; what was live still is.
        """
        version = self._find(reference)
        async with self._on_record(Toggle.ENABLE, version, asked) as seen:
            facts = await self._admit(version, asked)
            servers = await self._get_ready(version)
            change = Change(toggle=Toggle.ENABLE, after=version, who=asked.who, why=asked.why, facts=facts)
            return self._flipped(change, seen, servers)

    async def disable(self, asked: Asked, name: str = "") -> Flipped | None:
        """Give every new call the base model, at once; None if it has it already.

        Args:
            asked: who and why.
            name: "name" or "name@sha": only if such a version is live or the canary; a canary alone is withdrawn.

        Raises:
            InputError: if another version is live than was named.
            StoreError: if the record cannot be written.
        """
        live = self._store.ledger.now()
        if not live.versions:
            return None
        meant, _, prefix = name.partition("@")
        named = [one for one in live.versions if not name or (one.name == meant and one.digest.startswith(prefix))]
        if not named:
            raise InputError(f"{live.served or 'the base model'} is live, not {name[:100]}: nothing was changed")
        if live.version not in named and name:
            return await self.withdraw(asked)
        change = Change(toggle=Toggle.DISABLE, after=None, who=asked.who, why=asked.why)
        return self._flipped(change, None, (), old=live.version)

    async def rollback(self, asked: Asked) -> Flipped:
        """Undo the last change: end the canary if there is one, else go back to the version before.

        To go back to the base model asks no engine.

        Raises:
            InputError: if there is nothing to go back to.
            TellerError: with the reason, which is on record, if that version can no longer be served: disable then.
        """
        live = self._store.ledger.now()
        if live.canary is not None:
            return await self.withdraw(asked)
        if not live.earlier:
            raise InputError("nothing was live before: there is nothing to roll back to")
        version = live.earlier[-1]
        change = Change(toggle=Toggle.ROLLBACK, after=version, who=asked.who, why=asked.why)
        if version is None:
            return self._flipped(change, live, (), old=live.version)
        async with self._on_record(Toggle.ROLLBACK, version, asked) as seen:
            await asyncio.to_thread(self._store.check, version)
            return self._flipped(change, seen, await self._get_ready(version))

    async def canary(self, reference: str, share: float, asked: Asked) -> Flipped:
        """Give a share of new calls another version than the live one.

        Args:
            reference: name, or name@sha.
            share: of new calls, above 0 to 0.5: with more there would be too few to compare with.
            asked: who and why.

        Raises:
            TellerError: with the reason, which is on record; nothing has changed.
        """
        if not 0 < share <= _MAX_SHARE:
            raise InputError(f"a canary's share is above 0 to {_MAX_SHARE:g}, got {share:g}")
        version = self._find(reference)
        async with self._on_record(Toggle.CANARY, version, asked) as seen:
            if version == seen.version:
                raise InputError(f"{version.served} is live already: a canary is another version")
            facts = await self._admit(version, asked)
            servers = await self._get_ready(version)
            change = Change(
                toggle=Toggle.CANARY,
                after=seen.version,
                canary=version,
                share=share,
                who=asked.who,
                why=asked.why,
                facts=facts,
            )
            return self._flipped(change, seen, servers)

    async def promote(self, asked: Asked) -> Flipped:
        """Make the canary the live version.

        Raises:
            InputError: if there is no canary.
            TellerError: with the reason, which is on record; nothing has changed.
        """
        version = self._canary()
        async with self._on_record(Toggle.PROMOTE, version, asked) as seen:
            facts = await self._admit(version, asked)
            servers = await self._get_ready(version)
            change = Change(toggle=Toggle.PROMOTE, after=version, who=asked.who, why=asked.why, facts=facts)
            return self._flipped(change, seen, servers)

    async def withdraw(self, asked: Asked) -> Flipped:
        """End the canary: its share of new calls gets the live version again, at once.

        Raises:
            InputError: if there is no canary.
        """
        self._canary()
        live = self._store.ledger.live
        change = Change(toggle=Toggle.WITHDRAW, after=live.version, who=asked.who, why=asked.why)
        return self._flipped(change, live, (), old=live.canary)

    def _find(self, reference: str) -> Version:
        installed = self._store.registry.find(reference)
        return Version(installed.name, installed.digest)

    def _canary(self) -> Version:
        canary = self._store.ledger.now().canary
        if canary is None:
            raise InputError("there is no canary: `adapter-control canary NAME --share 0.1` begins one")
        return canary

    @asynccontextmanager
    async def _on_record(self, toggle: Toggle, version: Version, asked: Asked) -> AsyncIterator[Live]:
        """What is live as the work begins; an error of the work is put on record and goes on."""
        try:
            yield self._store.ledger.now()
        except TellerError as exc:
            with suppress(StoreError):  # the error itself says more
                self._store.ledger.refuse(toggle, version, who=asked.who, why=str(exc))
            raise

    async def _admit(self, version: Version, asked: Asked) -> dict[str, Any]:
        """Whether a version may be served to callers; gives the facts for the record.

        Raises:
            TellerError: with the reason why not.
        """
        checked = await asyncio.to_thread(self._store.check, version)
        if asked.override:
            if not asked.why.strip():
                raise InputError("--override goes on record with its --reason: give one")
            return {"override": True, "base_digest": checked.manifest.base_digest}
        evidence = check_evidence(
            await asyncio.to_thread(self._store.evidence.find, version.digest),
            version,
            base_digest=checked.manifest.base_digest,
            cases_sha256=self._cases_sha256(),
            now=self._store.clock.now(),
            max_age_s=self._max_age_s,
        )
        return {
            "override": False,
            "base_digest": evidence.base_digest,
            "evidence": {"cases_sha256": evidence.cases_sha256, "at": evidence.at, "signature": evidence.signature},
        }

    async def _get_ready(self, version: Version) -> tuple[str, ...]:
        """Have every server that is up load and prove a version; without any, prove it here. Gives the servers.

        Raises:
            EngineError: if one of them cannot, or does not say so in time.
        """
        deadline = self._store.clock.now() + self._load_s
        asked: set[str] = set()
        ready: list[str] = []
        while fresh := [seat for seat in self._store.roster.present() if seat not in asked]:
            asked.update(fresh)
            said = await asyncio.gather(*(self._readied(seat, version, deadline) for seat in fresh))
            ready += [seat for seat, is_ready in zip(fresh, said, strict=True) if is_ready]
        if not ready:
            await self._prove_here(version)
        return tuple(ready)

    async def _readied(self, seat: str, version: Version, deadline: float) -> bool:
        """Wait until a server has the version ready; False if it is gone.

        Raises:
            EngineError: if it cannot, or says nothing in time.
        """
        roster = self._store.roster
        order = roster.order(seat, version, deadline)
        try:
            async with asyncio.timeout(self._load_s):
                while (report := roster.report(seat, order)) is None:
                    if seat not in roster.present():
                        return False  # it ended, and its calls with it
                    await asyncio.sleep(_LOOK_EVERY_S)
        except TimeoutError:
            what = f"did not load and prove {version.served} within {self._load_s:g} s"
            raise EngineTimeout(f"server {seat} {what}") from None
        finally:
            roster.withdraw(seat, order)
        if report.problem:
            raise EngineError(f"server {seat}: {report.problem}")
        return True

    async def _prove_here(self, version: Version) -> None:
        if self._open_host is None:
            raise InputError(
                "engines.generator names no host for adapters, so no version could be proven: set it to 'local', or to "
                "'openai' with engines.adapter_host = 'vllm'"
            )
        async with self._open_host() as residence, proven(residence, version, Waits(load_s=self._load_s)):
            return

    def _flipped(
        self, change: Change, seen: Live | None, servers: tuple[str, ...], old: Version | None = None
    ) -> Flipped:
        """Write the record; from here on the change is in force."""
        record = self._store.ledger.write(change, seen=seen)
        proven_here = not servers and change.toggle in (Toggle.ENABLE, Toggle.CANARY, Toggle.PROMOTE, Toggle.ROLLBACK)
        before = old if old is not None or seen is None else seen.version
        return Flipped(record, self._store.ledger.now(), before, servers, proven_here and change.after is not None)
