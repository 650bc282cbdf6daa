"""What an operator asks of adapters beyond the flip: is one better, is it sound, how do two differ.

Not here: how any of it is printed (cli/adapter_control.py), and what may become live (adapters/control.py).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from teller.adapter_wiring import adapter_store, residence_of
from teller.adapters.cases import Case, cases_digest
from teller.adapters.control import Control, Store
from teller.adapters.evidence import Evidence
from teller.adapters.gate import Verdict, compare, read_gate
from teller.adapters.ledger import Version
from teller.adapters.live import Residence, Waits, proven
from teller.adapters.manifest import MAX_MANIFEST_BYTES, Manifest, read_manifest
from teller.adapters.proof import CONFIG_FILE
from teller.adapters.registry import Installed, check_signature
from teller.adapters.tensors import open_regular, tensor_digests
from teller.adapters.weights import MANIFEST_FILE, MODEL_FILE, AdapterFacts, check_files
from teller.bank_files import bank_folder, nano_folder, read_bank
from teller.banking.filled import FilledIn
from teller.cache.events import PurgeBy
from teller.config import Settings
from teller.engine_wiring import open_serving
from teller.errors import ConfigError, EngineError, InputError, TellerError
from teller.ports import Generator, Prompt
from teller.stores.home import Home, open_home
from teller.wiring import SystemClock, open_cache, open_prompts

_AT_ONCE = 8  # generations; a local model batches them
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Desk:
    """The adapters of a home, and what changes which is live."""

    settings: Settings
    home: Home
    store: Store
    control: Control

    def version(self, reference: str) -> Version:
        """The version of "name" or "name@sha".

        Raises:
            InputError: if there is none, or more than one.
        """
        installed = self.store.registry.find(reference)
        return Version(installed.name, installed.digest)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that `prove` looks at; `right` is None where it could not be looked at here."""

    name: str
    right: bool | None
    found: str


def open_desk(settings: Settings) -> Desk:
    """The desk of a home.

    Raises:
        StoreError: if the home cannot be used.
    """
    home = open_home(settings.home)
    store = adapter_store(home, SystemClock())

    @asynccontextmanager
    async def opened() -> AsyncIterator[Residence]:
        async with open_serving(settings) as (_, host):
            if host is None:
                raise _no_host(settings)
            yield residence_of(settings, home, store, host)

    control = Control(
        store,
        opened,
        cases_sha256=lambda: cases_digest(gate_cases(settings)),
        max_age_s=settings.adapters.gate_max_age_days * _DAY_S,
        load_s=settings.adapters.load_timeout_s,
    )
    return Desk(settings, home, store, control)


def gate_cases(settings: Settings) -> tuple[Case, ...]:
    """The cases that the gate asks, with the bank's rates of today.

    Raises:
        InputError, KnowledgeError: naming the file that cannot be used.
    """
    folder = settings.adapters.gate_cases or bank_folder().parent / "gate"
    return read_gate(folder, {rate.key: rate.spoken for rate in read_bank(settings).rates})


def install(desk: Desk, folder: Path, name: str | None = None, *, sign: bool = False) -> Installed:
    """Check an adapter's folder and install a read-only copy of it.

    Args:
        desk: of the home.
        folder: with adapter_config.json, adapter_model.safetensors and manifest.json.
        name: that the manifest must have; None for whatever it has.
        sign: sign the manifest with this installation's key, in place of the signature that it has.

    Raises:
        InputError: with the reason, for an adapter that must not be loaded, or whose signature is not trusted here.
        StoreError: if it cannot be copied; nothing is installed.
    """
    signer = desk.store.signer
    try:
        check_files(folder, (CONFIG_FILE, MODEL_FILE, MANIFEST_FILE))
        with open_regular(folder / MANIFEST_FILE, max_bytes=MAX_MANIFEST_BYTES) as file:
            manifest = read_manifest(file.read())
        if not sign:
            check_signature(manifest, signer)
        return desk.store.registry.import_folder(folder, name or manifest.name, sign_with=signer if sign else None)
    except InputError as exc:
        raise InputError(f"{folder.absolute()} is not installed: {exc}") from exc


async def evaluate(
    desk: Desk, reference: str, *, by: str, told: Callable[[int, int], None] = lambda *_: None
) -> tuple[Verdict, Evidence]:
    """Ask base and adapter every case through the host of the settings, and keep the gate's verdict, signed.

    Args:
        desk: of the home.
        reference: name, or name@sha.
        by: who wants it evaluated.
        told: how many generations are done, of how many.

    Raises:
        TellerError: if the version cannot be served, or a model answers nothing at all.
    """
    settings, version, cases = desk.settings, desk.version(reference), gate_cases(desk.settings)
    rates = read_bank(settings).rates
    async with open_prompts(settings) as prompt, open_serving(settings) as (generator, host):
        if host is None:
            raise _no_host(settings)
        residence = residence_of(settings, desk.home, desk.store, host)
        async with proven(residence, version, _waits(settings)) as checked:
            prompts = [await prompt(case.question) for case in cases]
            done = _Counter(2 * len(cases), told)
            filled = FilledIn(generator, rates)
            base = await _say_all(filled, prompts, None, done)
            tuned = await _say_all(filled, prompts, version.served, done)
    base_digest = checked.manifest.base_digest
    verdict = await asyncio.to_thread(
        compare, cases, base, tuned, seed=1, adapter_digest=version.digest, base_digest=base_digest
    )
    evidence = Evidence(
        adapter=version.digest,
        base_digest=base_digest,
        cases_sha256=verdict.cases,
        passed=verdict.passed,
        reasons=verdict.reasons,
        verdict=json.loads(verdict.to_json()),
        at=desk.store.clock.now(),
        by=by,
    )
    return verdict, desk.store.evidence.keep(evidence)


class _Counter:
    def __init__(self, total: int, told: Callable[[int, int], None]) -> None:
        self._done, self._total, self._told = 0, total, told

    def count(self) -> None:
        self._done += 1
        self._told(self._done, self._total)


async def _say_all(generator: Generator, prompts: Sequence[Prompt], adapter: str | None, done: _Counter) -> list[str]:
    """What is said to each prompt; nothing where the engine fails.

    Raises:
        EngineError: the last one, if it failed on every prompt.
    """
    room, failures = asyncio.Semaphore(_AT_ONCE), list[EngineError]()

    async def say(prompt: Prompt) -> str:
        async with room:
            try:
                return "".join([piece async for piece in generator.generate(prompt, adapter=adapter)])
            except EngineError as exc:
                failures.append(exc)
                return ""
            finally:
                done.count()

    said = await asyncio.gather(*map(say, prompts))
    if len(failures) == len(prompts):
        raise failures[-1]
    return list(said)


async def prove(desk: Desk, reference: str, *, applied: bool) -> list[Step]:
    """Check again that only LoRA matrices changed, that nothing was altered since, and, if asked, that it is applied.

    Raises:
        InputError: if there is no such version.
        StoreError: if it cannot be read.
    """
    installed = desk.store.registry.find(reference)
    steps: list[Step] = []
    try:
        facts = await asyncio.to_thread(desk.store.registry.verify, installed, desk.store.signer)
    except TellerError as exc:
        return [Step("content, signature and matrices", False, str(exc))]
    manifest = facts.manifest
    assert manifest is not None  # `verify` wants one
    steps += [
        Step("content", True, f"its digest is {installed.digest}"),
        Step("signature", True, f"Ed25519, by the trusted key {manifest.public_key[:16]}..."),
        Step("only LoRA", True, _only_lora(facts)),
        await asyncio.to_thread(_base_step, desk.settings, manifest),
    ]
    if applied:
        steps.append(await _applied_step(desk, Version(installed.name, installed.digest)))
    return steps


def _only_lora(facts: AdapterFacts) -> str:
    return (
        f"{facts.parameters:,} numbers in {len(facts.tensors)} matrices of rank {facts.rank} on {len(facts.modules)} "
        f"modules of {facts.layers} layers; nothing else was trained or is in the file"
    )


def _base_step(settings: Settings, manifest: Manifest) -> Step:
    """Whether the base model that is here is, tensor by tensor, the one that came out of the training."""
    folder, name = base_folder(settings), "base unchanged"
    if folder is None or not folder.is_dir():
        return Step(name, None, "the base model's weights are not on this machine")
    try:
        here = tensor_digests(folder)
    except InputError as exc:
        return Step(name, False, str(exc))
    differ = sorted(
        key for key in here.keys() | manifest.base_tensors.keys() if here.get(key) != manifest.base_tensors.get(key)
    )
    if differ and manifest.base_name != settings.engines.local_model:
        return Step(name, None, f"another base model is here; it was trained on {manifest.base_name}")
    if differ:
        return Step(
            name,
            False,
            f"{len(differ)} tensors are not those of the base model here, as {differ[0]}: one of the two was changed",
        )
    return Step(name, True, f"all {len(here)} tensors after training are those of the base model here")


async def _applied_step(desk: Desk, version: Version) -> Step:
    try:
        async with open_serving(desk.settings) as (_, host):
            if host is None:
                return Step("applied", None, str(_no_host(desk.settings)))
            residence = residence_of(desk.settings, desk.home, desk.store, host)
            async with proven(residence, version, _waits(desk.settings)) as checked:
                asked = len(checked.manifest.fingerprint_questions)
    except TellerError as exc:
        return Step("applied", False, str(exc))
    return Step("applied", True, f"says to {asked} questions what it said when it was made, and not what the base says")


def differences(desk: Desk, one: Installed, other: Installed) -> list[tuple[str, str, str]]:
    """(what, in the one, in the other) of two versions' manifests, where they differ."""
    left, right = (asdict(desk.store.registry.manifest(installed)) for installed in (one, other))
    rows = []
    for key in left:
        if key in ("signature", "public_key", "fingerprint_base", "fingerprint_on"):
            continue
        if key in ("config", "recipe", "metrics"):
            names = sorted(left[key].keys() | right[key].keys())
            rows += [(f"{key}.{name}", _plain(left[key].get(name)), _plain(right[key].get(name))) for name in names]
        elif key in ("base_tensors", "adapter_tensors"):
            changed = sum(left[key].get(name) != right[key].get(name) for name in left[key].keys() | right[key].keys())
            rows.append((key, f"{len(left[key])} tensors", f"{len(right[key])} tensors, {changed} differ"))
            if not changed:
                rows.pop()
        else:
            rows.append((key, _plain(left[key]), _plain(right[key])))
    return [row for row in rows if row[1] != row[2]]


async def purge(settings: Settings, digests: Sequence[str]) -> int:
    """Remove what was answered with these adapters from the cache, for good; gives how many entries.

    Answers made with them are not kept either from now on, also if one of them is enabled again.

    Raises:
        StoreError: if the cache's log cannot be read or written.
    """
    if not (open_home(settings.home).cache / "log.sqlite").exists():
        return 0  # a cache that was never filled
    count = 0
    async with open_cache(settings) as opened:
        for upkeep in (opened.cache.upkeep, opened.cache.private_upkeep):
            for digest in digests if upkeep is not None else ():
                count += await upkeep.purge(PurgeBy.ADAPTER, digest) if upkeep is not None else 0
    return count


def base_folder(settings: Settings) -> Path | None:
    """Where the base model's weights are on this machine; None if the settings do not say."""
    engines = settings.engines
    if engines.generator == "openai":
        return engines.adapter_base
    return nano_folder() if engines.local_model == "teller-nano" else Path(engines.local_model).expanduser()


def _waits(settings: Settings) -> Waits:
    return Waits(load_s=settings.adapters.load_timeout_s, unload_s=settings.adapters.unload_timeout_s)


def _no_host(settings: Settings) -> ConfigError:
    return ConfigError(
        f"engines.generator is {settings.engines.generator}, which has no adapters: set it to local, or to openai with "
        "engines.adapter_host = vllm"
    )


def _plain(value: Any) -> str:
    return "-" if value is None else value if isinstance(value, str) else json.dumps(value, sort_keys=True)
