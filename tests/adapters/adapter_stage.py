"""A home with installed adapters for a scripted host, and processes that serve them, for tests of the toggle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.adapters.adapter_folder import BASE_DIGEST, config, manifest_of, matrices, write_adapter

from teller.adapters.audit import AuditLog
from teller.adapters.control import Asked, Control, Store
from teller.adapters.evidence import Evidence, EvidenceStore
from teller.adapters.ledger import Ledger, Version
from teller.adapters.live import LiveAdapters, Residence, Waits
from teller.adapters.manifest import signed
from teller.adapters.registry import Registry
from teller.adapters.roster import Roster, Usage
from teller.call import Call
from teller.engines.scripted import ScriptedAdapterHost
from teller.engines.scripted_surroundings import ScriptedObserver
from teller.stores.signing import Ed25519Signer
from teller.turn import Scope
from teller.wiring import SystemClock

CASES = "c" * 64
DAY_S = 86_400
TESTER = Asked("tester", "to see")
QUESTIONS = ("How do I block my card?", "Who is the executor of a will?")
QUICK = Waits(load_s=5.0, unload_s=0.2, drain_s=60.0, retry_s=0.2)


def new_host(**options: float) -> ScriptedAdapterHost:
    return ScriptedAdapterHost(base_digest=BASE_DIGEST, **options)


def new_call(call_id: str = "call-1") -> Call:
    return Call(id=call_id, scope=Scope("bank", "en-GB"))


@dataclass
class AdapterHome:
    """The adapters' part of a home folder; two of them on one folder are two processes."""

    path: Path
    clock: SystemClock = field(default_factory=SystemClock)

    def __post_init__(self) -> None:
        self.signer = Ed25519Signer(self.path / "keys")
        self.root = self.path / "adapters"
        self.store = Store(
            ledger=self.ledger(),
            registry=Registry(self.root),
            evidence=EvidenceStore(self.root / "evidence", self.signer),
            roster=Roster(self.root / "servers"),
            signer=self.signer,
            clock=self.clock,
        )

    def ledger(self) -> Ledger:
        return Ledger(AuditLog(self.root / "audit.jsonl", self.signer), self.clock)

    def install(self, name: str = "banking-lora", seed: int = 1, *, passed: bool | None = True, said=None) -> Version:
        """Make an adapter for the scripted host and install it; `passed` None leaves it without evidence.

        `said` gives, for a folder, the fingerprints of base and adapter at another host.
        """
        folder = self.path / f"{name}-{seed}"
        settings, weights = config(base_model_name_or_path="scripted"), matrices(seed)
        write_adapter(folder, tensors=weights, settings=settings, with_manifest=False)
        with ThreadPoolExecutor(1) as thread:  # also from a test that runs in a loop
            base, on = thread.submit(lambda: asyncio.run((said or _said)(folder))).result()
        manifest = replace(
            manifest_of(weights, settings, name=name),
            fingerprint_questions=QUESTIONS,
            fingerprint_base=base,
            fingerprint_on=on,
        )
        (folder / "manifest.json").write_bytes(signed(manifest, self.signer).to_json())
        installed = self.store.registry.import_folder(folder, name)
        version = Version(installed.name, installed.digest)
        if passed is not None:
            self.judge(version, passed=passed)
        return version

    def judge(self, version: Version, **changes: object) -> None:
        """Leave the gate's word on a version."""
        fields = {
            "adapter": version.digest,
            "base_digest": BASE_DIGEST,
            "cases_sha256": CASES,
            "passed": True,
            "reasons": (),
            "verdict": {},
            "at": self.clock.now(),
            "by": "tester",
        } | changes
        self.store.evidence.keep(Evidence(**fields))

    def control(self, host: ScriptedAdapterHost | None = None, *, load_s: float = 5.0) -> Control:
        @asynccontextmanager
        async def opened() -> AsyncIterator[Residence]:
            yield self.residence(host)

        return Control(
            self.store,
            opened if host else None,
            cases_sha256=lambda: CASES,
            max_age_s=30 * DAY_S,
            load_s=load_s,
        )

    def residence(self, host: ScriptedAdapterHost, *, is_shared: bool = False) -> Residence:
        return Residence(
            host=host,
            check=lambda version: self.store.check(version, host.base_digest),
            tolerance=1e-3,
            usage=Usage(self.root / "servers") if is_shared else None,
        )

    @asynccontextmanager
    async def server(
        self, host: ScriptedAdapterHost, *, waits: Waits = QUICK, is_shared: bool = False
    ) -> AsyncIterator[Server]:
        """A process that serves: seated, opened, and running until the block is left."""
        seat, observer, ledger = self.store.roster.take_seat(), ScriptedObserver(), self.ledger()
        live = LiveAdapters(
            ledger,
            self.residence(host, is_shared=is_shared),
            seat=seat,
            observer=observer,
            clock=self.clock,
            waits=waits,
        )
        await live.open()
        running = asyncio.create_task(live.run())
        try:
            yield Server(live, host, observer, ledger, seat.id)
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            seat.leave()


@dataclass
class Server:
    live: LiveAdapters
    host: ScriptedAdapterHost
    observer: ScriptedObserver
    ledger: Ledger
    id: str

    def serves(self, call_id: str = "call-1") -> str | None:
        """What a new call gets; it ends at once."""
        return self.live.pin(new_call(call_id)).served


async def eventually(fact, within_s: float = 5.0) -> None:
    """Wait until something is so that no event tells of."""
    async with asyncio.timeout(within_s):
        while not fact():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def _said(folder: Path):
    host = new_host()
    await host.load("it", folder)
    return await host.fingerprint(QUESTIONS), await host.fingerprint(QUESTIONS, "it")
