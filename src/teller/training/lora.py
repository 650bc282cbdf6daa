"""Train a LoRA adapter: the way in. PyTorch and its family are loaded when a function here is called."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from teller.errors import EngineUnavailable
from teller.training.recipe import Recipe, Trained
from teller.turn import TrainingRecord

__all__ = ["Recipe", "Trained", "load_lora_model", "train"]


def train(recipe: Recipe, *, told: Callable[[TrainingRecord], None] = lambda _: None) -> Trained:
    """Train an adapter, prove that only LoRA matrices changed, and write its folder.

    What was interrupted, by Ctrl-C or kill -9 or a full disk, is gone on with by the same call; on a CPU the adapter
    then is the same, bit for bit. Under `torchrun` or `accelerate launch` every process calls this, and the first one
    tells and writes.

    Args:
        recipe: what to train on what.
        told: called after every step.

    Raises:
        InputError: if data (each bad line is named), configuration or base model cannot be used; if anything but LoRA
            matrices changed; if the output is there already or another recipe's run is unfinished there.
        EngineUnavailable: if the base model or a package is missing.
        EngineError: if the loss stops being a number.
        StoreError: if the disk is full or fails; the last checkpoint is kept.
        BusyError: if another process trains into the same output.
    """
    trained: Trained = _loaded("lora_session").train_here(recipe, told)
    return trained


def load_lora_model(base_model_name: str, r: int = 8, *, allow_downloads: bool = False) -> Any:
    """A base model with fresh LoRA matrices of rank `r` beside all its projections, ready to be trained.

    Args:
        base_model_name: "teller-nano", a folder, or a name on the hub.
        r: rank; the matrices are scaled as with alpha = 2 r.
        allow_downloads: whether the hub may be asked for what is not on this machine.

    Returns:
        PEFT's PeftModel, on a GPU in bfloat16 if there is one, else on the CPU in float32. At first it says what its
        base says, and just the LoRA matrices require gradients.

    Raises:
        EngineUnavailable: if weights or a package are missing.
        InputError: if the rank is out of range or the model is neither a Mistral nor a Llama.
    """
    return _loaded("lora_model").load_lora_model(base_model_name, r, allow_downloads=allow_downloads)


def _loaded(module: str) -> Any:
    try:
        return importlib.import_module(f"teller.training.{module}")
    except ImportError as exc:
        raise EngineUnavailable("training needs PyTorch, transformers and PEFT: pip install 'teller[lora]'") from exc
