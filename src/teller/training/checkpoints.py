"""A training run's state on disk: one file, written whole or not at all, so that a run can be killed at any time."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from teller.errors import StoreCorrupt, StoreError

_STATE = "state"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a run needs to go on as if it had never stopped.

    Attributes:
        state: plain data: recipe, digests, steps done, losses so far.
        tensors: LoRA matrices, the optimizer's moments and the best matrices so far, by name.
    """

    state: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint; the one before stays until this one is safely on the disk.

    Raises:
        StoreError: if it cannot be written; the one before is as it was.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
    write_whole(path, save(tensors, metadata={_STATE: json.dumps(checkpoint.state)}))


def read_checkpoint(path: Path) -> Checkpoint | None:
    """The checkpoint; None if there is none.

    Raises:
        StoreCorrupt: if it cannot be read.
    """
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return Checkpoint(json.loads(file.metadata()[_STATE]), tensors)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as exc:
        raise StoreCorrupt(f"{path} is no checkpoint; remove {path.parent} to begin anew") from exc


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        StoreError: if it cannot be written; what was there stays.
    """
    new = path.with_name(path.name + ".new")
    try:
        with new.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        sync_folder(path.parent)
    except OSError as exc:
        new.unlink(missing_ok=True)
        raise StoreError(
            f"{path.name} cannot be written ({exc.strerror}); the last checkpoint is kept: "
            "make room, then run the same command again"
        ) from exc


def sync_folder(folder: Path) -> None:
    """Make names in a folder survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
