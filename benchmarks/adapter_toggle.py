"""Whether toggling adapters on a live model drops an answer, mixes two versions in one, or makes callers wait.

    nice -n 15 python -m benchmarks.adapter_toggle [--requests 10000] [--toggles 100] [--callers 24] [--json]
    nice -n 15 python -m benchmarks.adapter_toggle --vllm [--requests 2000]
    nice -n 15 python -m benchmarks.adapter_toggle --vllm http://127.0.0.1:8000/v1 --vllm-base FOLDER

Callers hold calls of four questions, one after another; a call is pinned to the version that is live at its first. All
the while the live version is changed: the next one is loaded cold, the audit log gets its record, and the old one is
unloaded when no call holds it. What each version says to each question is taken down beforehand, one at a time; every
answer of the crowd must be one of its own version, to the letter. The model is a tiny Mistral with three adapters, each
of which makes it say its own sentence. The other side is PEFT as most examples use it: one thread for each caller, and
`set_adapter` before each answer. `--vllm` does the same on a real vLLM that serves the tiny Mistral as "base": the one
that `make test-vllm` installs, started on the CPU for the run, or a server elsewhere.

`switch` is what the first call after a flip waits for, `flip` the operator's record and that.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from benchmarks.cache_parts import SystemTime, machine, report
from teller.adapters.audit import AuditLog
from teller.adapters.ledger import Change, Ledger, Version
from teller.engines.openai_chat import OpenAiChat
from teller.engines.peft_host import LocalModel
from teller.engines.vllm_host import VllmHost, Waits
from teller.errors import EngineError
from teller.ports import AdapterHost, Generator, Message, Prompt
from teller.streams import Limits
from teller.turn import Toggle

TURNS = 4  # questions of a call
QUESTIONS = ("Hours?", "How do I freeze my card?", "What does the account cost me?", "Who closes an account?")
_INSTALLED = "installed"
PATIENT = Limits(first_s=120.0, stall_s=60.0, attempts=1)
TARGETS = {"dropped": 0, "wrong": 0, "switch_p99_ms": 2.0, "cold_load_p99_ms": 150.0, "vllm.flip_p99_ms": 100.0}


class Serving(AdapterHost, Generator, Protocol):
    """A host that writes answers."""


@dataclass(slots=True)
class Seen:
    """What a run showed."""

    outcomes: Counter[str] = field(default_factory=Counter)
    records_ms: list[float] = field(default_factory=list)
    switches_ms: list[float] = field(default_factory=list)
    loads_ms: list[float] = field(default_factory=list)
    gaps_ms: list[float] = field(default_factory=list)
    gaps_in_loads_ms: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def figures(self) -> dict[str, Any]:
        """For the report."""
        return {
            "requests": self.outcomes.total(),
            "toggles": len(self.switches_ms),
            "right": self.outcomes["right"],
            "wrong": self.outcomes["wrong"],
            "dropped": self.outcomes["dropped"],
            "requests_per_s": round(self.outcomes.total() / self.seconds, 1),
            **quantiles("record", self.records_ms),
            **quantiles("switch", self.switches_ms),
            **quantiles("flip", [sum(both) for both in zip(self.records_ms, self.switches_ms, strict=True)]),
            **quantiles("cold_load", self.loads_ms),
            **quantiles("token_gap", self.gaps_ms),
            **quantiles("token_gap_while_loading", self.gaps_in_loads_ms),
        }


def quantiles(name: str, values_ms: Sequence[float]) -> dict[str, float]:
    if not values_ms:
        return {}
    middle, high = np.percentile(values_ms, [50, 99])
    return {
        f"{name}_p50_ms": round(float(middle), 3),
        f"{name}_p99_ms": round(float(high), 3),
        f"{name}_max_ms": round(max(values_ms), 3),
    }


def asking(question: str) -> Prompt:
    return Prompt((Message("system", "Answer in one sentence."), Message("user", question)), ())


class Traffic:
    """Callers and an operator on one host."""

    def __init__(self, host: Serving, folders: Mapping[Version, Path], home: Path, *, seed: int) -> None:
        self.seen = Seen()
        self._host = host
        self._folders = folders
        self._operator = Ledger(AuditLog(home / "audit.jsonl"), SystemTime())
        self._server = Ledger(AuditLog(home / "audit.jsonl"), SystemTime())
        self._random = random.Random(seed)
        self._held: Counter[str | None] = Counter()
        self._released = asyncio.Condition()
        self._says: dict[tuple[str | None, str], str] = {}
        self._loading = 0
        self._toggled = False

    async def learn(self) -> None:
        """Take down what each version says, alone."""
        for version in (None, *self._folders):
            if version:
                await self._host.load(version.served, self._folders[version])
            for question in QUESTIONS:
                served = version.served if version else None
                self._says[served, question] = await self._said(served, question)
            if version:
                await self._host.unload(version.served)
        if len(set(self._says.values())) != 1 + len(self._folders):
            sys.exit(f"the versions do not say {1 + len(self._folders)} sentences: {set(self._says.values())}")

    async def run(self, *, requests: int, toggles: int, callers: int) -> Seen:
        """Let callers and operator loose; the callers go on until the last toggle is made."""
        began = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(callers):
                tasks.create_task(self._call(requests))
            tasks.create_task(self._toggle(requests, toggles))
        self.seen.seconds = time.perf_counter() - began
        return self.seen

    async def _said(self, served: str | None, question: str) -> str:
        pieces, last = [], 0.0
        async for piece in self._host.generate(asking(question), adapter=served):
            now = time.perf_counter()
            if last:
                (self.seen.gaps_in_loads_ms if self._loading else self.seen.gaps_ms).append((now - last) * 1e3)
            pieces.append(piece)
            last = now
        return "".join(pieces)

    async def _call(self, requests: int) -> None:
        while self.seen.outcomes.total() < requests or not self._toggled:
            served = self._server.now().served
            self._held[served] += 1
            for _ in range(TURNS):
                question = self._random.choice(QUESTIONS)
                try:
                    said = await self._said(served, question)
                    outcome = "right" if said == self._says[served, question] else "wrong"
                except EngineError:
                    outcome = "dropped"
                self.seen.outcomes[outcome] += 1
            async with self._released:
                self._held[served] -= 1
                self._released.notify_all()

    async def _toggle(self, requests: int, toggles: int) -> None:
        leaving: set[asyncio.Task[None]] = set()
        async with asyncio.TaskGroup() as tasks:
            for n in range(toggles):
                async with self._released:
                    await self._released.wait_for(
                        lambda due=n * requests // toggles: self.seen.outcomes.total() >= due  # type: ignore[misc]
                    )
                old = self._server.now().version
                new = self._random.choice([version for version in (None, *self._folders) if version != old])
                if new:
                    leaving = {task for task in leaving if not task.done()}
                    await asyncio.gather(*(task for task in leaving if task.get_name() == new.served))
                    await self._load(new)
                self._flip(new)
                if old:
                    leaving.add(tasks.create_task(self._let_go(old), name=old.served))
            self._toggled = True

    async def _load(self, version: Version) -> None:
        self._loading += 1
        began = time.perf_counter()
        await self._host.load(version.served, self._folders[version])
        self.seen.loads_ms.append((time.perf_counter() - began) * 1e3)
        self._loading -= 1

    def _flip(self, new: Version | None) -> None:
        """The operator's record, durable on disk, and then the look at it with which the next call begins."""
        began = time.perf_counter()
        toggle = Toggle.ENABLE if new else Toggle.DISABLE
        self._operator.write(Change(toggle=toggle, after=new, who="benchmark", why="toggle"))
        written = time.perf_counter()
        if self._server.now().version != new:
            sys.exit("a flip was not seen by the next call")
        self.seen.records_ms.append((written - began) * 1e3)
        self.seen.switches_ms.append((time.perf_counter() - written) * 1e3)

    async def _let_go(self, version: Version) -> None:
        async with self._released:
            await self._released.wait_for(lambda: not self._held[version.served])
        await self._host.unload(version.served)


class VllmPair(VllmHost):
    """vLLM's adapters, and its answers."""

    def __init__(self, url: str, base_folder: Path) -> None:
        super().__init__(model="base", base_url=url, api_key=None, base_folder=base_folder, waits=Waits(ask_s=120.0))
        self._chat = OpenAiChat(model="base", base_url=url, api_key=None, limits=PATIENT)
        self.name = self._chat.name

    def generate(self, prompt: Prompt, *, adapter: str | None = None) -> AsyncIterator[str]:
        """As `Generator.generate`."""
        return self._chat.generate(prompt, adapter=adapter)

    async def aclose(self) -> None:
        """Close the connections of both."""
        await self._chat.aclose()
        await super().aclose()


def naive(base: Path, folders: Mapping[Version, Path], *, requests: int, callers: int, seed: int) -> dict[str, Any]:
    """PEFT with `set_adapter` before each answer, a thread for each caller, calls pinned and toggled alike."""
    peft, transformers, torch = (importlib.import_module(name) for name in ("peft", "transformers", "torch"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(base, local_files_only=True)
    plain = transformers.AutoModelForCausalLM.from_pretrained(base, local_files_only=True)
    model: Any = None
    for version, folder in folders.items():
        if model is None:
            model = peft.PeftModel.from_pretrained(plain, folder, adapter_name=version.name)
        else:
            model.load_adapter(folder, version.name)
    model.eval()

    def said(version: Version | None, question: str) -> str:
        if version:
            model.base_model.enable_adapter_layers()
            model.set_adapter(version.name)
        else:
            model.base_model.disable_adapter_layers()
        chat = [{"role": message.role, "content": message.content} for message in asking(question).messages]
        read = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        with torch.inference_mode():
            written = model.generate(**read, do_sample=False, max_new_tokens=40)
        return str(tokenizer.decode(written[0, read["input_ids"].shape[1] :], skip_special_tokens=True))

    says = {(version, question): said(version, question) for version in (None, *folders) for question in QUESTIONS}
    outcomes: Counter[str] = Counter()
    counting, draw, live = threading.Lock(), random.Random(seed), [next(iter(folders))]

    def call(_: int) -> None:
        version: Version | None = live[0]
        for _ in range(TURNS):
            question = draw.choice(QUESTIONS)
            try:
                outcome = "right" if said(version, question) == says[version, question] else "wrong"
            except (RuntimeError, ValueError, KeyError):
                outcome = "dropped"
            with counting:
                outcomes[outcome] += 1
                if outcomes.total() % 25 == 0:
                    live[0] = draw.choice([other for other in folders if other != live[0]])

    with ThreadPoolExecutor(callers) as threads:
        list(threads.map(call, range(requests // TURNS)))
    return {"requests": outcomes.total(), **{name: outcomes[name] for name in ("right", "wrong", "dropped")}}


def _started(stack: ExitStack, base: Path, home: Path, toggles: int) -> str:
    """Address of a vLLM that is up until the stack is closed, "" where none is installed."""
    real: Any = importlib.import_module("tests.real_vllm")
    python = os.environ.get("TELLER_VLLM_PYTHON") or str(Path(sys.prefix) / "vllm" / "bin" / "python")
    if not Path(python).exists():
        return ""
    slots = toggles + 8  # its CPU build frees none, and the last must stay empty
    return str(stack.enter_context(real.serving(python, base, home / "vllm.log", slots=slots)))


async def main(options: argparse.Namespace) -> dict[str, Any]:
    tiny: Any = importlib.import_module("tests.tiny_mistral")
    found: dict[str, Any] = {"machine": machine(), "targets": TARGETS}
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = str(options.vllm or "")
        base = options.vllm_base or tiny.base(home / "base")
        if options.vllm == _INSTALLED:
            url = _started(stack, base, home, options.toggles)
            if not url:
                return {**found, "vllm": "skipped: vLLM is not installed; `make test-vllm` does that (3.5 GB)"}
        folders = {}
        for n, says in enumerate(tiny.SAYS):
            folders[Version(f"bank-{n}", f"{n + 1:064x}"[::-1])] = tiny.adapter(home / f"{n}", base, says, seed=n + 1)
        host: LocalModel | VllmPair
        host = VllmPair(url, base) if url else LocalModel(base, device="cpu", limits=PATIENT)
        traffic = Traffic(host, folders, home, seed=options.seed)
        await traffic.learn()
        traffic.seen = Seen()
        seen = await traffic.run(requests=options.requests, toggles=options.toggles, callers=options.callers)
        found["vllm" if url else "local_model"] = seen.figures()
        await host.aclose()
        if not url:
            found["naive_set_adapter"] = naive(
                base, folders, requests=options.naive_requests, callers=4, seed=options.seed
            )
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--toggles", type=int, default=100)
    parser.add_argument("--callers", type=int, default=24)
    parser.add_argument("--naive-requests", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--vllm", metavar="URL", nargs="?", const=_INSTALLED, help="a server; without URL the one that is installed"
    )
    parser.add_argument("--vllm-base", type=Path, metavar="FOLDER", help="the folder that it was started with")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    report(asyncio.run(main(given)), as_json=given.json)
