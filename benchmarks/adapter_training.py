"""How fast adapters are trained, beside transformers' Trainer and TRL's SFTTrainer, and what the proof costs.

    python -m benchmarks.adapter_training [--json] [--conversations N] [--rounds N] [--threads N]
                                          [--device cpu|cuda] [--size nano|1b|7b]

One base model with random weights, one file of the bank's conversations, one LoRA configuration (rank 8, all
projections), assistant-only loss, one epoch, about as many tokens in a step. The systems take turns, so that what else
the machine does falls on all of them alike; the median of the rounds counts. Tokens are those that are no padding. A
rival that is not installed is reported as skipped. Needs `teller[lora]`; TRL is optional.

Two more rows: the processor time of hashing and proving beside that of training (a run of any length is proved in the
same time), and whether a run that was interrupted gives the same losses and the same bytes as one that was not. On a
GPU, weights are bfloat16 and peak memory is reported.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import json
import platform
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from transformers import MistralConfig, MistralForCausalLM, TrainerCallback

from teller.adapters.weights import MODEL_FILE
from teller.training.chat_encoding import ChatEncoder
from teller.training.lora import Recipe, train
from teller.training.lora_model import attach_lora, load_base
from teller.training.nano_text import NanoText, messages, shipped_sources
from teller.training.nano_tokens import train_tokenizer
from teller.training.token_file import TokenFile, encode_file
from teller.turn import TrainingRecord

SIZES = {  # width, inner, layers, heads, key-value heads, vocabulary
    "nano": (256, 768, 3, 4, 4, 3072),
    "1b": (2048, 5632, 22, 32, 4, 32_768),
    "7b": (4096, 14_336, 32, 32, 8, 32_768),
}
ROW_TOKENS = 256
ROWS = 4
TARGETS = {"tokens/s against TRL": ">= 1.15", "tokens/s against Trainer": ">= 1.00", "proof, share of time": "< 1 %"}


class Clock(TrainerCallback):
    """Wall and processor seconds between the first step and the last of a Trainer."""

    def on_train_begin(self, *_: Any, **__: Any) -> None:  # noqa: D102
        self.begun = time.perf_counter(), time.process_time()

    def on_train_end(self, *_: Any, **__: Any) -> None:  # noqa: D102
        self.spent = time.perf_counter() - self.begun[0], time.process_time() - self.begun[1]


class Stage:
    """The base model, the data and the recipe that all systems share."""

    def __init__(self, folder: Path, *, conversations: int, size: str, device: str) -> None:
        text = NanoText(shipped_sources(kept_back=False), seed=1)
        chats = [text.example(number) for number in range(conversations)]
        data, replay = folder / "data.jsonl", folder / "none.jsonl"
        data.write_text("".join(json.dumps({"messages": messages(chat)}) + "\n" for chat in chats))
        self.base = folder / "base"
        tokenizer = train_tokenizer(
            (part for chat in islice(chats, 400) for turn in chat for part in turn), [], size=3072
        )
        tokenizer.save_pretrained(self.base)
        width, inner, layers, heads, pairs, vocabulary = SIZES[size]
        torch.manual_seed(0)
        with torch.device(device):
            model = MistralForCausalLM(
                MistralConfig(
                    vocab_size=vocabulary,
                    hidden_size=width,
                    intermediate_size=inner,
                    num_hidden_layers=layers,
                    num_attention_heads=heads,
                    num_key_value_heads=pairs,
                    max_position_embeddings=512,
                    sliding_window=None,
                    bos_token_id=0,
                    eos_token_id=1,
                    pad_token_id=2,
                )
            )
        self.parameters = sum(parameter.numel() for parameter in model.parameters())
        kept: Any = model.to(torch.bfloat16) if device != "cpu" else model  # type: ignore[arg-type]
        kept.save_pretrained(self.base)
        del model, kept
        self.recipe = Recipe(
            name="bench",
            base=str(self.base),
            data=data,
            output=folder / "out",
            replay=replay,
            replay_share=0.0,
            held_out_share=0.0,
            epochs=1,
            row_tokens=ROW_TOKENS,
            rows_per_step=ROWS,
            rows_at_once=ROWS,
            checkpoint_steps=10**6,
            learning_rate=1e-3,
            device=device,
        )
        loaded = load_base(str(self.base))
        encoder = ChatEncoder(loaded.tokenizer, ends=loaded.ends, context=loaded.context)
        self.tokens, _ = encode_file(data, encoder, folder / "tokens")
        self.chats = chats
        self.together = max(1, round(ROWS * ROW_TOKENS / float(self.tokens.lengths.mean())))

    @property
    def count(self) -> int:
        """Tokens of the data, without padding."""
        return int(self.tokens.lengths.sum())

    def model(self) -> tuple[Any, Any]:
        """A fresh model with LoRA, and the tokenizer."""
        base = load_base(str(self.base), device=self.recipe.device or "cpu")
        return attach_lora(base, self.recipe), base.tokenizer

    def arguments(self, where: Path) -> dict[str, Any]:
        """What Trainer and SFTTrainer are told alike."""
        return {
            "output_dir": str(where),
            "per_device_train_batch_size": self.together,
            "num_train_epochs": 1,
            "learning_rate": 1e-3,
            "lr_scheduler_type": "cosine",
            "warmup_steps": 5,
            "save_strategy": "no",
            "logging_steps": 50,
            "report_to": [],
            "disable_tqdm": True,
            "use_cpu": self.recipe.device == "cpu",
            "bf16": self.recipe.device != "cpu",
            "gradient_checkpointing": False,
            "dataloader_pin_memory": self.recipe.device != "cpu",
        }


def teller(stage: Stage, where: Path) -> dict[str, float]:
    spent: list[tuple[float, float]] = []

    def told(_: TrainingRecord) -> None:
        spent.append((time.perf_counter(), time.process_time()))

    trained = train(replace(stage.recipe, output=where), told=told)
    steps = len(spent)
    scale = steps / (steps - 1)  # the first step's beginning is not told
    facts = trained.manifest.metrics
    return {
        "wall_s": trained.manifest.seconds,
        "cpu_s": (spent[-1][1] - spent[0][1]) * scale,
        "tokens": facts["tokens"],
        "proof_cpu_s": facts["proof_cpu_s"],
    }


def transformers_trainer(stage: Stage, where: Path) -> dict[str, float]:
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

    model, tokenizer = stage.model()
    clock = Clock()
    Trainer(
        model=model,
        args=TrainingArguments(**stage.arguments(where)),
        train_dataset=_labelled(stage.tokens),
        data_collator=DataCollatorForSeq2Seq(tokenizer, padding=True),
        callbacks=[clock],
    ).train()
    return {"wall_s": clock.spent[0], "cpu_s": clock.spent[1], "tokens": stage.count}


def trl(stage: Stage, where: Path, *, packing: bool = False) -> dict[str, float]:
    from datasets import Dataset

    trl_package: Any = importlib.import_module("trl")

    model, tokenizer = stage.model()
    clock = Clock()
    told = stage.arguments(where) | ({"per_device_train_batch_size": ROWS, "max_length": ROW_TOKENS} if packing else {})
    trl_package.SFTTrainer(
        model=model,
        args=trl_package.SFTConfig(**({"max_length": 512} | told), assistant_only_loss=True, packing=packing),
        train_dataset=Dataset.from_list([{"messages": messages(chat)} for chat in stage.chats]),
        processing_class=tokenizer,
        callbacks=[clock],
    ).train()
    return {"wall_s": clock.spent[0], "cpu_s": clock.spent[1], "tokens": stage.count}


def trl_packed(stage: Stage, where: Path) -> dict[str, float]:
    return trl(stage, where, packing=True)


SYSTEMS: dict[str, tuple[str, Callable[[Stage, Path], dict[str, float]]]] = {
    "teller": ("torch", teller),
    "transformers Trainer": ("transformers", transformers_trainer),
    "TRL SFTTrainer": ("trl", trl),
    "TRL SFTTrainer, packing": ("trl", trl_packed),
}


def _labelled(tokens: TokenFile) -> list[dict[str, list[int]]]:
    rows = [tokens[at] for at in range(len(tokens))]
    return [
        {
            "input_ids": row.ids.tolist(),
            "labels": [one if said else -100 for one, said in zip(row.ids.tolist(), row.said, strict=True)],
        }
        for row in rows
    ]


def measure(stage: Stage, folder: Path, rounds: int) -> dict[str, dict[str, Any]]:
    found: dict[str, list[dict[str, float]]] = {name: [] for name in SYSTEMS}
    skipped: dict[str, str] = {}
    for number in range(rounds):
        for name, (package, system) in SYSTEMS.items():
            if importlib.util.find_spec(package) is None:
                skipped[name] = f"{package} is not installed"
                continue
            if stage.recipe.device == "cuda":
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
            with contextlib.redirect_stdout(sys.stderr):  # both Trainers print
                row = system(stage, folder / f"{number}-{name.replace(' ', '-')}")
            if stage.recipe.device == "cuda":
                row["peak_gib"] = torch.cuda.max_memory_allocated() / 2**30
            found[name].append(row)
    results: dict[str, dict[str, Any]] = {name: {"skipped": why} for name, why in skipped.items()}
    for name, rows in found.items():
        if rows:
            results[name] = {
                "tokens_per_s": round(statistics.median(row["tokens"] / row["wall_s"] for row in rows)),
                "tokens_per_cpu_s": round(statistics.median(row["tokens"] / row["cpu_s"] for row in rows)),
            } | {
                key: round(statistics.median(row[key] for row in rows), 4)
                for key in ("cpu_s", "proof_cpu_s", "peak_gib")
                if key in rows[0]
            }
    own = results["teller"]
    own["proof_share"] = round(own["proof_cpu_s"] / (own["proof_cpu_s"] + own["cpu_s"]), 5)
    for name, result in results.items():
        if "tokens_per_s" in result and name != "teller":
            result["teller_is_times"] = round(own["tokens_per_s"] / result["tokens_per_s"], 2)
            result["teller_is_times_by_cpu"] = round(own["tokens_per_cpu_s"] / result["tokens_per_cpu_s"], 2)
    return results


def resume_curve(stage: Stage, folder: Path) -> dict[str, Any]:
    """A run that is interrupted three times, beside one that is not."""
    recipe = replace(stage.recipe, checkpoint_steps=3, epochs=1, dropout=0.1, held_out_share=0.05)
    whole = train(replace(recipe, output=folder / "whole"))
    stops = iter([len(whole.losses) * part // 4 for part in (1, 2, 3)])

    def told(at: int, record: TrainingRecord) -> None:
        if record.step == at:
            raise KeyboardInterrupt

    broken = replace(recipe, output=folder / "broken")
    for stop in stops:
        try:
            train(broken, told=partial(told, stop))
        except KeyboardInterrupt:
            continue
    mended = train(broken)
    return {
        "steps": len(whole.losses),
        "interruptions": 3,
        "losses_equal": mended.losses == whole.losses and mended.held_out == whole.held_out,
        "bytes_equal": (mended.folder / MODEL_FILE).read_bytes() == (whole.folder / MODEL_FILE).read_bytes(),
        "largest_difference": max(abs(a - b) for a, b in zip(mended.losses, whole.losses, strict=True)),
    }


def show(results: dict[str, Any]) -> None:
    size = f"{results['parameters'] / 1e6:.1f} M parameters, {results['conversations']} conversations"
    print(
        f"{size}, {results['tokens']} tokens, {results['device']}, {results['threads']} threads, "
        f"median of {results['rounds']}"
    )
    print(f"{'':26}{'tokens/s':>10}{'by CPU s':>10}{'teller is':>11}{'by CPU':>8}{'GiB':>8}")
    for name, row in results["systems"].items():
        if "skipped" in row:
            print(f"{name:26}skipped: {row['skipped']}")
            continue
        times = row.get("teller_is_times", ""), row.get("teller_is_times_by_cpu", "")
        print(
            f"{name:26}{row['tokens_per_s']:>10}{row['tokens_per_cpu_s']:>10}"
            f"{times[0]:>11}{times[1]:>8}{row.get('peak_gib', ''):>8}"
        )
    own, resume = results["systems"]["teller"], results["resume"]
    print(f"proof: {own['proof_cpu_s']:.3f} s of CPU beside {own['cpu_s']:.1f} s of training, {own['proof_share']:.2%}")
    print(
        f"resume: {resume['interruptions']} interruptions in {resume['steps']} steps: losses equal "
        f"{resume['losses_equal']}, bytes equal {resume['bytes_equal']}"
    )
    print("targets: " + "; ".join(f"{name} {wanted}" for name, wanted in TARGETS.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--conversations", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--size", choices=tuple(SIZES), default="nano")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stage = Stage(folder, conversations=args.conversations, size=args.size, device=args.device)
        results = {
            "parameters": stage.parameters,
            "conversations": args.conversations,
            "tokens": stage.count,
            "device": torch.cuda.get_device_name() if args.device == "cuda" else platform.processor() or "cpu",
            "threads": args.threads,
            "rounds": args.rounds,
            "torch": torch.__version__,
            "systems": measure(stage, folder, args.rounds),
            "resume": resume_curve(stage, folder),
        }
    if args.json:
        print(json.dumps(results, indent=1))
    else:
        show(results)


if __name__ == "__main__":
    main()
