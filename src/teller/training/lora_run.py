"""One training run, step by step: a plain PyTorch loop that can be killed at any time and goes on bit for bit.

Everything that is random is a function of the seed and the step (the order of the data, dropout), so a checkpoint needs
no state of a random generator. Every step sees the same rows whatever the number of processes; each takes its share,
and gradients are averaged by DDP or, sharded, by FSDP2.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn import functional

from teller.errors import EngineError, InputError, StoreCorrupt
from teller.training.checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from teller.training.lora_model import Base, trainable
from teller.training.packing import Batch, Places, Pool, Rows
from teller.training.recipe import Recipe
from teller.training.schedule import Best, rate, usual_rate
from teller.training.tensor_digests import shared_out, whole
from teller.turn import TrainingRecord


@dataclass(slots=True)
class Progress:
    """How far a run is: all of it goes into the checkpoint.

    Attributes:
        losses: of each step.
        held_out: (step, loss) of each measurement; step 0 is the base model.
        tokens: that went through the model, padding left out.
        seconds: that the steps took.
    """

    losses: list[float] = field(default_factory=list)
    held_out: list[tuple[int, float]] = field(default_factory=list)
    best: Best = field(default_factory=Best)
    tokens: int = 0
    seconds: float = 0.0

    @property
    def step(self) -> int:
        """Steps that are done."""
        return len(self.losses)


class Objective(torch.nn.Module):
    """The summed loss of the tokens that are learnt; the vocabulary is computed for those alone."""

    def __init__(self, model: Any, *, autocast: bool) -> None:
        super().__init__()
        self.model = model
        self._autocast = autocast

    def forward(self, ids: Tensor, positions: Tensor, at: Tensor, wanted: Tensor) -> Tensor:
        """A scalar; arguments as in `Batch`."""
        causal = self.model.get_base_model()
        # Only without a cache does transformers read from the positions where a conversation begins; with one, those of
        # a row would see one another.
        with torch.autocast(ids.device.type, torch.bfloat16, enabled=self._autocast):
            hidden = causal.model(input_ids=ids, position_ids=positions, use_cache=False).last_hidden_state
            logits = causal.lm_head(hidden.reshape(-1, hidden.shape[-1])[at])
        return functional.cross_entropy(logits.float(), wanted, reduction="sum")


class Run:
    """The loop over one recipe.

    Args:
        recipe: what is trained.
        base: the base model; its LoRA matrices are in `model`.
        model: what `attach_lora` made of it.
        pool: encoded conversations.
        identity: digests of data and base: a checkpoint of another run is refused.

    Attributes:
        progress: how far it is.
        steps: that it has at most.
        top_rate: learning rate at the top of the schedule.

    Raises:
        InputError: if there is a checkpoint of another run.
        StoreCorrupt: if the checkpoint cannot be read.
    """

    def __init__(
        self, recipe: Recipe, base: Base, model: Any, pool: Pool, identity: dict[str, Any], accelerator: Accelerator
    ) -> None:
        self._recipe, self._base, self._pool, self._accelerator = recipe, base, pool, accelerator
        self._row_tokens = _row_tokens(recipe, base, pool)
        self._planned: tuple[int, Rows] | None = None  # an epoch and its rows
        counts = [len(self._epoch(number)) for number in range(recipe.epochs)]
        self._ends = np.cumsum([math.ceil(count / recipe.rows_per_step) for count in counts])
        self.steps = int(self._ends[-1])
        self._between = max(1, math.ceil(self.steps / recipe.epochs / recipe.measurements_per_epoch))
        self._held_out = pool.held_out_rows(self._row_tokens)
        self._identity = {"recipe": recipe.repeatable(), "steps": self.steps, **identity}
        self.model = model
        self._objective = self._prepare(model)
        self.learnt = trainable(model)
        self.top_rate = recipe.learning_rate or usual_rate(base.model.num_parameters())
        self.optimizer = torch.optim.AdamW(
            self.learnt.values(), lr=self.top_rate, weight_decay=recipe.weight_decay, fused=not recipe.shard
        )
        self.progress = Progress()
        self._best: dict[str, Tensor] = {}
        self._resume()

    @property
    def finished(self) -> bool:
        """Whether no step is left, or patience is at its end."""
        return self.progress.step >= self.steps or self.stopped_early

    @property
    def stopped_early(self) -> bool:
        """Whether patience is at its end."""
        return self.progress.best.since >= self._recipe.patience

    def advance(self) -> TrainingRecord:
        """Do one step, and what is due after it: a measurement, a checkpoint.

        Raises:
            EngineError: if the loss is no number any more.
            StoreError: if a checkpoint cannot be written; the one before is kept.
        """
        check_optimizer(self.optimizer, self.learnt)
        if not self.progress.step and len(self._held_out):
            self._note_measurement(0)
        begun = time.perf_counter()
        step = self.progress.step + 1
        loss, tokens = self._learn(step, self._rows_of(step))
        spent = time.perf_counter() - begun
        self.progress.losses.append(loss)
        self.progress.tokens += tokens
        self.progress.seconds += spent
        measured = None
        if len(self._held_out) and (step % self._between == 0 or step == self.steps):
            measured = self._note_measurement(step)
        if step % self._recipe.checkpoint_steps == 0 or self.finished:
            self.keep()
        return TrainingRecord(time.time(), self._recipe.name, step, self.steps, loss, tokens / spent, measured)

    def keep(self) -> None:
        """Write a checkpoint; every process must ask.

        Raises:
            StoreError: if it cannot be written; the one before is kept.
        """
        tensors: dict[str, Tensor] = {}
        for name, parameter in self.learnt.items():
            tensors[f"learnt.{name}"] = whole(parameter.data)
            for moment, value in self.optimizer.state[parameter].items():
                tensors[f"{moment}.{name}"] = whole(value)
        tensors |= {f"best.{name}": tensor for name, tensor in self._best.items()}
        if self._accelerator.is_main_process:
            done = self.progress
            best = [done.best.loss, done.best.step, done.best.since]
            state = {name: getattr(done, name) for name in ("losses", "held_out", "tokens", "seconds")}
            write_checkpoint(
                checkpoint_path(self._recipe), Checkpoint(self._identity | state | {"best": best}, tensors)
            )

    def take_best(self) -> dict[str, Tensor]:
        """Put the best matrices of the run into the model; the whole of each by name. Every process must ask."""
        for name, tensor in self._best.items():
            self.learnt[name].data.copy_(shared_out(tensor, self.learnt[name].data))
        return {name: whole(parameter.data).detach().clone() for name, parameter in self.learnt.items()}

    def _prepare(self, model: Any) -> Any:
        recipe, device = self._recipe, self._accelerator.device
        if recipe.checkpoint_activations:
            model.enable_input_require_grads()
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.train()
        # A base in bfloat16 has its LoRA matrices in float32, and computes in bfloat16 throughout.
        objective = Objective(model, autocast=self._base.model.dtype == torch.bfloat16)
        if not recipe.shard or self._accelerator.num_processes == 1:
            return self._accelerator.prepare_model(objective, device_placement=not recipe.quantised)
        objective.to(device)
        mesh = init_device_mesh(device.type, (self._accelerator.num_processes,))
        for layer in model.get_base_model().model.layers:
            fully_shard(layer, mesh=mesh)
        return fully_shard(objective, mesh=mesh)

    def _learn(self, step: int, rows: Sequence[Places]) -> tuple[float, int]:
        """One step of the optimizer: loss by token that is learnt, and tokens that went through."""
        processes, wanted = self._accelerator.num_processes, self._pool.count_learnt(rows)
        torch.manual_seed(_mixed(self._recipe.seed, step, self._accelerator.process_index))
        shares = list(self._shares(rows))
        total, tokens = torch.zeros((), device=self._accelerator.device), 0
        for at, (batch, counts) in enumerate(shares):
            more = at < len(shares) - 1
            with self._accelerator.no_sync(self._objective) if more and not self._recipe.shard else nullcontext():
                loss = self._loss(batch)
                # Both DDP and FSDP2 divide by the number of processes.
                self._accelerator.backward(loss * (counts * processes / wanted))
            total += loss.detach() * counts
            tokens += batch.tokens * counts
        both = self._accelerator.reduce(torch.tensor([total.item(), float(tokens)], device=total.device))
        mean = both[0].item() / wanted
        if not math.isfinite(mean):
            raise EngineError(f"the loss of step {step} is no number: lower the learning rate and begin anew")
        torch.nn.utils.clip_grad_norm_(self.learnt.values(), self._recipe.clip_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = rate(step, steps=self.steps, top=self.top_rate, warmup_share=self._recipe.warmup_share)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return mean, round(both[1].item())

    def _loss(self, batch: Batch) -> Tensor:
        arrays: tuple[NDArray[np.int64], ...] = (batch.ids, batch.positions, batch.at, batch.next)
        loss: Tensor = self._objective(*(torch.from_numpy(each).to(self._accelerator.device) for each in arrays))
        return loss

    def _shares(self, rows: Sequence[Places]) -> Iterator[tuple[Batch, int]]:
        """This process's batches; all processes get equally many, some of them a copy that counts 0 times."""
        processes, own = self._accelerator.num_processes, self._accelerator.process_index
        together = self._recipe.rows_at_once
        mine = rows[own::processes]
        pad = self._base.tokenizer.pad_token_id or 0
        for at in range(math.ceil(math.ceil(len(rows) / processes) / together)):
            some = mine[at * together : (at + 1) * together]
            yield self._pool.batch(some or rows[:1], pad=pad), int(bool(some))

    def _note_measurement(self, step: int) -> float:
        loss = self._measure()
        self.progress.held_out.append((step, loss))
        if step:
            self.progress.best = self.progress.best.after(loss, step)
        if step and self.progress.best.step == step:
            self._best = {name: whole(parameter.data).detach().clone() for name, parameter in self.learnt.items()}
        return loss

    def _measure(self) -> float:
        """Loss on what is held out, by token."""
        rows = [self._held_out.row(at) for at in range(len(self._held_out))]
        self._objective.eval()
        total = torch.zeros((), device=self._accelerator.device)
        with torch.no_grad():
            for begin in range(0, len(rows), self._recipe.rows_per_step):
                for batch, counts in self._shares(rows[begin : begin + self._recipe.rows_per_step]):
                    total += self._loss(batch) * counts
        self._objective.train()
        summed: Tensor = self._accelerator.reduce(total)
        return summed.item() / self._pool.count_learnt(rows)

    def _epoch(self, number: int) -> Rows:
        return self._pool.epoch(number, seed=self._recipe.seed, row_tokens=self._row_tokens)

    def _rows_of(self, step: int) -> list[Places]:
        """Rows of a step, from 1."""
        number = int(np.searchsorted(self._ends, step))
        first = int(step - 1 - (self._ends[number - 1] if number else 0))
        if self._planned is None or self._planned[0] != number:
            self._planned = (number, self._epoch(number))
        rows, size = self._planned[1], self._recipe.rows_per_step
        return [rows.row(at) for at in range(first * size, min(len(rows), (first + 1) * size))]

    def _resume(self) -> None:
        kept = read_checkpoint(checkpoint_path(self._recipe))
        if kept is None:
            return
        for key, value in self._identity.items():
            if kept.state.get(key) != value:
                other = _difference(kept.state.get(key), value, key)
                raise InputError(
                    f"{self._recipe.work.name} holds an unfinished run with another {other}: "
                    "repeat its command to finish it, or remove the folder to begin anew"
                )
        try:
            for name, parameter in self.learnt.items():
                parameter.data.copy_(shared_out(kept.tensors[f"learnt.{name}"], parameter.data))
                moments = {moment: kept.tensors[f"{moment}.{name}"] for moment in ("exp_avg", "exp_avg_sq")}
                self.optimizer.state[parameter] = {
                    "step": kept.tensors[f"step.{name}"].to(parameter.device if self._fused else "cpu"),
                    **{moment: shared_out(value, parameter.data) for moment, value in moments.items()},
                }
            self._best = {
                name.removeprefix("best."): tensor.to(self._accelerator.device)
                for name, tensor in kept.tensors.items()
                if name.startswith("best.")
            }
            self.progress = Progress(
                losses=list(kept.state["losses"]),
                held_out=[(step, loss) for step, loss in kept.state["held_out"]],
                best=Best(*kept.state["best"]),
                tokens=kept.state["tokens"],
                seconds=kept.state["seconds"],
            )
        except (KeyError, TypeError, ValueError, RuntimeError) as exc:
            raise StoreCorrupt(
                f"{checkpoint_path(self._recipe)} does not fit its run; remove its folder to begin anew"
            ) from exc

    @property
    def _fused(self) -> bool:
        return bool(self.optimizer.defaults["fused"])


def checkpoint_path(recipe: Recipe) -> Path:
    """Where a run keeps its checkpoint."""
    return recipe.work / "checkpoint.safetensors"


def check_optimizer(optimizer: torch.optim.Optimizer, learnt: dict[str, torch.nn.Parameter]) -> None:
    """Refuse an optimizer that moves anything else than these parameters: weight decay moves what has no gradient.

    Raises:
        InputError: if one is too much or missing.
    """
    moved = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    wanted = {id(parameter) for parameter in learnt.values()}
    if moved != wanted:
        raise InputError(
            f"the optimizer holds {len(moved - wanted)} parameters that are no LoRA matrices, "
            f"and lacks {len(wanted - moved)} that are"
        )


def _row_tokens(recipe: Recipe, base: Base, pool: Pool) -> int:
    return min(base.context, max(recipe.row_tokens, int(pool.lengths.max())))


def _mixed(*numbers: int) -> int:
    """A seed of several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _difference(before: Any, now: Any, key: str) -> str:
    if isinstance(before, dict) and isinstance(now, dict):
        for name in sorted(before.keys() | now.keys()):
            if before.get(name) != now.get(name):
                return f"{name} ({before.get(name)!r}, now {now.get(name)!r})"[:200]
    return key
