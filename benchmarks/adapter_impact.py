"""What an adapter gains and costs: the gate's held-out questions with the base model, the adapter on, and it off again.

    python -m benchmarks.adapter_impact --adapter FOLDER [--base FOLDER] [--families] [--wrong] [--json] [--plot FILE]

Each question is put as a running bot would put it. Shares have 95 % intervals of the paired bootstrap. "Off" is asked
with the adapter resident, in the same batches as "on", and must equal what the base said before it was loaded, to the
byte; the first tokens' log-probabilities must be equal too, as floating-point numbers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from teller.adapters.cases import Case, judge, read_gate
from teller.adapters.gate import Row, Verdict, compare
from teller.bank_files import bank_folder, nano_folder, read_bank
from teller.banking.filled import FilledIn
from teller.config import load
from teller.engines.peft_host import LocalModel
from teller.errors import EngineError
from teller.ports import Generator, Prompt
from teller.wiring import open_prompts

_SEED = 1
_SERVED = "banking-lora@000000000000"  # any served name does: one adapter is loaded
_AT_ONCE = 16
_TARGETS = {"edge": "< 20 % -> >= 85 %", "general": "loses <= 2 points"}


@dataclass(frozen=True, slots=True)
class Said:
    """What was said to every case, in order, and how it compares."""

    base: list[str]
    on: list[str]
    off: list[str]
    same_logprobs: bool
    seconds: float

    @property
    def is_off_equal(self) -> bool:
        """Whether the adapter, when off, leaves no trace."""
        return self.base == self.off and self.same_logprobs


async def say_all(generator: Generator, prompts: Sequence[Prompt], adapters: Sequence[str | None]) -> list[str]:
    """What is said to each prompt with its adapter; nothing where the engine fails."""
    room = asyncio.Semaphore(_AT_ONCE)

    async def say(prompt: Prompt, adapter: str | None) -> str:
        async with room:
            try:
                return "".join([piece async for piece in generator.generate(prompt, adapter=adapter)])
            except EngineError as exc:
                return f"({exc})"

    return list(await asyncio.gather(*map(say, prompts, adapters)))


async def run(base: Path, adapter: Path, cases: Sequence[Case]) -> Said:
    """Ask every case of the base, then of adapter and base in turn."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as home:
        settings = load(flags={"home": home}).settings
        async with open_prompts(settings) as prompt:
            prompts = [await prompt(case.question) for case in cases]
    model = await asyncio.to_thread(LocalModel, base)
    try:
        filled = FilledIn(model, read_bank(settings).rates)
        probes = [case.question for case in cases[::10]]
        before = await model.fingerprint(probes)
        alone = await say_all(filled, prompts, [None] * len(cases))
        await model.load(_SERVED, adapter)
        both = await say_all(filled, [one for one in prompts for _ in "12"], [_SERVED, None] * len(cases))
        after = await model.fingerprint(probes)
    finally:
        await model.aclose()
    return Said(alone, both[::2], both[1::2], before == after, time.perf_counter() - started)


def report(said: Said, verdict: Verdict) -> dict[str, Any]:
    """Everything that is measured, targets beside."""
    return {
        "rows": [asdict(row) for row in verdict.rows],
        "families": [asdict(row) for row in verdict.families],
        "targets": _TARGETS,
        "off_equals_base": said.is_off_equal,
        "passed": verdict.passed,
        "reasons": verdict.reasons,
        "regressions": verdict.regressions,
        "seconds": round(said.seconds, 1),
        "machine": f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
    }


def show(said: Said, verdict: Verdict, *, families: bool) -> None:
    """Print the tables in words."""
    table = verdict.table()
    lines = [(*line, "target" if not at else _TARGETS.get(line[0], "")) for at, line in enumerate(table)]
    _columns(lines)
    print(
        f"\nadapter off equals base, to the byte and in its log-probabilities: {'yes' if said.is_off_equal else 'NO'}"
    )
    print(f"verdict: {'passed' if verdict.passed else '; '.join(verdict.reasons)}")
    print(f"{said.seconds:.0f} s for {3 * len(said.base)} answers")
    if families:
        print()
        header = ("set", "family", "cases", "base %", "adapter %")
        _columns([header, *map(_family_line, verdict.families)])


def _family_line(row: Row) -> tuple[str, ...]:
    shares = (f"{100 * share.value:.0f}" for share in (row.before, row.after))
    return (row.set, row.family, str(row.cases), *shares)


def _columns(lines: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    for line in lines:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def show_wrong(cases: Sequence[Case], said: Mapping[str, Sequence[str]]) -> None:
    """Print what is wrong, with the reason."""
    for name, texts in said.items():
        for case, text, outcome in zip(cases, texts, judge(cases, texts), strict=True):
            if not outcome.right:
                print(name, case.id, case.answer, case.question, outcome.why, text, sep="\t")


def plot(verdict: Verdict, path: Path) -> None:
    """Draw the families of edge cases before and after."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    rows = sorted((row for row in verdict.families if row.set == "edge"), key=lambda row: row.after.value)
    figure, axes = pyplot.subplots(figsize=(8, 0.28 * len(rows) + 1), layout="constrained")
    for at, row in enumerate(rows):
        axes.plot([100 * row.before.value, 100 * row.after.value], [at, at], color="0.75", zorder=1)
    for color, label, share in (("0.5", "base", "before"), ("tab:blue", "adapter on", "after")):
        axes.scatter([100 * getattr(row, share).value for row in rows], range(len(rows)), color=color, label=label)
    axes.set_yticks(range(len(rows)), [f"{row.family} ({row.cases})" for row in rows], fontsize=8)
    axes.set_xlim(-3, 103)
    axes.set_xlabel("right answers, %")
    axes.legend(loc="lower right")
    figure.savefig(path)
    pyplot.close(figure)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adapter_impact", description=__doc__)
    parser.add_argument("--adapter", type=Path, required=True, help="folder with adapter_config.json and the weights")
    parser.add_argument("--base", type=Path, default=nano_folder(), help="folder of the base model; teller-nano")
    parser.add_argument("--every", type=int, default=1, help="ask only every so many-th case; for a quick look")
    parser.add_argument("--families", action="store_true", help="also by family")
    parser.add_argument("--wrong", action="store_true", help="list what was answered wrong, and why")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--plot", type=Path, help="write a picture of the edge cases by family")
    given = parser.parse_args()
    rates = read_bank(load(flags={}).settings).rates
    cases = read_gate(bank_folder().parent / "gate", {rate.key: rate.spoken for rate in rates})[:: given.every]
    said = asyncio.run(run(given.base, given.adapter.resolve(), cases))
    verdict = compare(cases, said.base, said.on, seed=_SEED)
    if given.wrong:
        show_wrong(cases, {"base": said.base, "on": said.on})
    if given.plot:
        plot(verdict, given.plot)
    if given.json:
        print(json.dumps(report(said, verdict), indent=2))
    else:
        show(said, verdict, families=given.families)


if __name__ == "__main__":
    main()
