"""What a training run of a LoRA adapter is told: one frozen recipe, checked when it is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from teller.adapters.manifest import Manifest, check_name
from teller.adapters.proof import RULES
from teller.errors import InputError

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_PLACES = ("data", "replay", "output", "parent")  # where things are is no part of what was done


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How one adapter is trained. The same recipe and data give the same adapter, byte for byte, on one kind of CPU.

    Attributes:
        name: of the adapter.
        base: "teller-nano", a folder with safetensors weights, or a name on the hub.
        data: chat-format JSONL or CSV of question and answer, as `training.chat_data` reads it.
        output: folder that gets the adapter; beside it, `<output>.work` holds the checkpoint until the run is done.
        replay: conversations of general skill that are mixed in, in the same formats; None: teller-nano's own corpus,
            for any other base a share above 0 then is an error.
        replay_share: of the conversations of an epoch that come from `replay`. Without any, a tiny Mistral that learnt
            banking intents fell from 91.5 % to 0.2 % right on what it had known; with 20 to 25 % it kept 83 %.
        rank, alpha, rslora, dropout, targets: of the LoRA matrices, as PEFT means them.
        config: further options of PEFT's LoraConfig; whatever could train something else than LoRA is refused.
        quantised: the base in 4 bits (NF4, doubly quantised): QLoRA.
        learning_rate: at the top of the schedule; None: `schedule.usual_rate` of the base model's size.
        warmup_share: of the steps in which the rate climbs.
        weight_decay: on LoRA matrices, decoupled (AdamW).
        row_tokens: conversations are packed into rows of at most this many tokens.
        rows_per_step: rows that one step of the optimizer sees, over all processes. With 2 rows of 512 tokens
            teller-nano learnt in three epochs what it had not learnt with 8 (held-out loss 2.3, against 5.0).
        rows_at_once: rows that one process puts through the model at once; the rest of a step is accumulated.
        clip_norm: longest gradient, L2.
        held_out_share: of the distinct conversations of `data` that are not trained on.
        measurements_per_epoch: of the loss on what was held out.
        patience: measurements without a better loss before it stops.
        checkpoint_steps: steps between two checkpoints.
        checkpoint_activations: trade time for memory.
        dtype: of the base model's weights: "float32", "bfloat16", or "auto": bfloat16 on a GPU, float32 on a CPU.
        device: "cpu" or "cuda"; None: a GPU if there is one.
        shard: under torchrun, FSDP2 (the base split over the processes) in place of DDP.
        parent: folder of an installed version that is trained further; same base, rank and targets.
        questions: asked before and after, for the fingerprints in the manifest; empty: the first 4 of `data`.
        allow_downloads: whether a hub name may be fetched from the hub.

    Raises:
        InputError: if a number is out of its range or the name is none.
    """

    name: str
    base: str
    data: Path
    output: Path
    replay: Path | None = None
    replay_share: float = 0.2
    rank: int = 8
    alpha: int = 16
    rslora: bool = False
    dropout: float = 0.0
    targets: tuple[str, ...] = PROJECTIONS
    config: Mapping[str, Any] = field(default_factory=dict)
    quantised: bool = False
    epochs: int = 6
    learning_rate: float | None = None
    warmup_share: float = 0.05
    weight_decay: float = 0.0
    row_tokens: int = 512
    rows_per_step: int = 2
    rows_at_once: int = 2
    clip_norm: float = 1.0
    held_out_share: float = 0.05
    measurements_per_epoch: int = 2
    patience: int = 4
    checkpoint_steps: int = 50
    checkpoint_activations: bool = False
    seed: int = 1
    dtype: str = "auto"
    device: str | None = None
    shard: bool = False
    parent: Path | None = None
    questions: tuple[str, ...] = ()
    allow_downloads: bool = False

    def __post_init__(self) -> None:
        check_name(self.name)
        for name in ("rank", "alpha", "epochs", "row_tokens", "rows_per_step", "rows_at_once", "patience"):
            _want(name, getattr(self, name) >= 1, getattr(self, name), "1 or more")
        _want("rank", self.rank <= RULES.max_rank, self.rank, f"at most {RULES.max_rank}")
        for name in ("checkpoint_steps", "measurements_per_epoch"):
            _want(name, getattr(self, name) >= 1, getattr(self, name), "1 or more")
        for name, value in (("learning_rate", self.learning_rate), ("clip_norm", self.clip_norm)):
            _want(name, value is None or value > 0, value, "more than 0")
        for name in ("replay_share", "warmup_share", "held_out_share", "dropout"):
            _want(name, 0 <= getattr(self, name) < 0.9, getattr(self, name), "0 to less than 0.9")
        _want("weight_decay", 0 <= self.weight_decay < 1, self.weight_decay, "0 to less than 1")
        _want("seed", 0 <= self.seed < 2**32, self.seed, "0 to 4294967295")
        _want("targets", bool(self.targets), self.targets, "at least one projection")
        _want("dtype", self.dtype in ("auto", "float32", "bfloat16"), self.dtype, "auto, float32 or bfloat16")
        _want("shard", not (self.shard and self.quantised), True, "no FSDP2 with a base in 4 bits")

    @property
    def work(self) -> Path:
        """Where the run keeps its checkpoint and tokens; gone when it is done."""
        return self.output.with_name(self.output.name + ".work")

    def repeatable(self) -> dict[str, Any]:
        """Plain data of all that decides what is learnt, places left out; of the manifest and of a checkpoint."""
        content = {name: value for name, value in asdict(self).items() if name not in _PLACES}
        return content | {"targets": sorted(self.targets), "questions": list(self.questions)}


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of a training run.

    Attributes:
        folder: with adapter_config.json, adapter_model.safetensors and manifest.json, not signed.
        losses: of each step, from the first, those before an interruption too.
        held_out: (step, loss) of each measurement on what was held out; step 0 is the base model.
        resumed_at: steps that were done before, 0 if it began anew.
        stopped_early: whether patience ended it.
        warnings: what the operator should know.
    """

    folder: Path
    manifest: Manifest
    losses: tuple[float, ...]
    held_out: tuple[tuple[int, float], ...]
    resumed_at: int
    stopped_early: bool
    warnings: tuple[str, ...]


def _want(name: str, right: bool, found: object, wanted: str) -> None:
    if not right:
        raise InputError(f"recipe: {name}: found {found!r}; wanted {wanted}")
