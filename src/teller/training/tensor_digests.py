"""SHA-256 of tensors in memory, as `adapters.manifest` defines it for tensors on disk."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

from teller.adapters.manifest import tensor_digest
from teller.adapters.tensors import weight_files
from teller.errors import StoreCorrupt

_NAMES = {  # as safetensors has them
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_THREADS = 4  # hashing lets go of the interpreter


def digests(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """SHA-256 of each tensor. Where they are shared out over processes, every process must ask."""
    here = {name: tensor for name, tensor in tensors.items() if not isinstance(tensor, DTensor)}
    with ThreadPoolExecutor(_THREADS) as threads:
        found = dict(zip(here, threads.map(_digest, here.values()), strict=True))
    # One whole tensor at a time: a model is shared out because one process cannot hold it.
    return found | {name: _digest(whole(tensor)) for name, tensor in tensors.items() if name not in here}


def whole(tensor: Tensor) -> Tensor:
    """The whole of a tensor that may be shared out over processes; every process must ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def shared_out(tensor: Tensor, like: Tensor) -> Tensor:
    """The whole of a tensor, shared out over processes as another one is."""
    if isinstance(like, DTensor):
        return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements)
    return tensor.to(like.device)


def check_as_stored(tensors: Mapping[str, Tensor], folder: Path) -> None:
    """Check that what was loaded is what is stored in a base model's folder, each tensor rounded to the loaded dtype.

    Raises:
        StoreCorrupt: naming the tensors that differ or are on one side alone.
    """
    odd = set(tensors)
    for path in weight_files(folder):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118
                loaded = tensors.get(name)
                if loaded is not None and torch.equal(loaded.cpu(), file.get_tensor(name).to(loaded.dtype)):
                    odd.discard(name)
                else:
                    odd.add(name)
    if odd:
        raise StoreCorrupt(
            f"{len(odd)} tensors of the base model are in memory not what is stored ({', '.join(sorted(odd)[:3])}): "
            "its folder changed while it was read, or holds other weights beside"
        )


def _digest(tensor: Tensor) -> str:
    shape = tuple(tensor.shape)
    raw = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return tensor_digest(_NAMES[tensor.dtype], shape, raw.numpy().data)
