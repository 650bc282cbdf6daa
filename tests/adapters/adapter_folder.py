"""Adapter folders for tests, written with numpy alone: a right one, to be spoiled in one way by each test."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from teller.adapters.manifest import Manifest, digest_of, signed, tensor_digest
from teller.adapters.weights import MODEL_FILE, BaseShapes
from teller.ports import Fingerprint, Signer

LAYERS, WIDTH, RANK = 2, 16, 4
TARGETS = ("q_proj", "v_proj")
OUT = {"q_proj": 16, "v_proj": 8}
BASE = BaseShapes(
    {
        f"model.layers.{n}.{place}": (OUT.get(place.split(".")[1], WIDTH), WIDTH)
        for n in range(LAYERS)
        for place in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj")
    }
)
BASE_TENSORS = {
    f"{module}.weight": tensor_digest("F32", shape, module.encode()) for module, shape in BASE.modules.items()
}
BASE_DIGEST = digest_of(BASE_TENSORS)
NUMPY = {"F32": "<f4", "F16": "<f2", "BF16": "<u2", "F64": "<f8", "I32": "<i4"}


def config(**changes: Any) -> dict[str, Any]:
    """As PEFT writes it, shortened."""
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "teller-nano",
        "bias": "none",
        "init_lora_weights": True,
        "inference_mode": True,
        "lora_alpha": 8,
        "lora_dropout": 0.0,
        "modules_to_save": None,
        "rank_pattern": {},
        "r": RANK,
        "target_modules": list(TARGETS),
        "use_dora": False,
    } | changes


def matrices(seed: int = 1) -> dict[str, np.ndarray]:
    """A and B of each module, none zero."""
    rng = np.random.default_rng(seed)
    found = {}
    for n in range(LAYERS):
        for target in TARGETS:
            stem = f"base_model.model.model.layers.{n}.self_attn.{target}.lora_"
            found[f"{stem}A.weight"] = rng.standard_normal((RANK, WIDTH)).astype(np.float32)
            found[f"{stem}B.weight"] = rng.standard_normal((OUT[target], RANK)).astype(np.float32)
    return found


def encode(array: np.ndarray, dtype: str) -> bytes:
    """Raw bytes in a dtype of safetensors."""
    if dtype == "BF16":
        return (array.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
    return array.astype(NUMPY[dtype]).tobytes()


def pack(tensors: Mapping[str, np.ndarray], dtype: str = "F32") -> bytes:
    """A safetensors file."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, array in tensors.items():
        raw = encode(array, dtype)
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    return with_header(header, data)


def with_header(header: Any, data: bytes) -> bytes:
    """A file with this header, an object or the text itself, before this data."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def manifest_of(
    tensors: Mapping[str, np.ndarray], settings: Mapping[str, Any], *, name: str = "banking-lora", dtype: str = "F32"
) -> Manifest:
    """A manifest that fits these matrices, not signed."""
    said = Fingerprint((("Your", " card"),), ((-0.5, -0.25),))
    return Manifest(
        name=name,
        base_name="teller-nano",
        base_digest=BASE_DIGEST,
        base_tensors=BASE_TENSORS,
        adapter_tensors={key: tensor_digest(dtype, one.shape, encode(one, dtype)) for key, one in tensors.items()},
        trained=tuple(key.replace(".weight", ".default.weight") for key in tensors),
        config=dict(settings),
        data_sha256="d" * 64,
        code_version="0.1.0",
        seed=7,
        recipe={"steps": 10, "rate": 1e-3},
        parent=None,
        metrics={"held_out_loss": 0.25},
        seconds=12.5,
        made_at=1.7e9,
        fingerprint_questions=("How do I block my card?",),
        fingerprint_base=said,
        fingerprint_on=replace(said, logprobs=((-0.75, -0.25),)),
    )


def write_adapter(
    folder: Path,
    *,
    tensors: Mapping[str, np.ndarray] | None = None,
    settings: Mapping[str, Any] | None = None,
    name: str = "banking-lora",
    dtype: str = "F32",
    signer: Signer | None = None,
    with_manifest: bool = True,
) -> Path:
    """Write a folder that passes every check, or would but for the tensors and settings given."""
    tensors = matrices() if tensors is None else tensors
    settings = config() if settings is None else settings
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps(settings, indent=2))
    (folder / MODEL_FILE).write_bytes(pack(tensors, dtype))
    if with_manifest:
        manifest = manifest_of(tensors, settings, name=name, dtype=dtype)
        (folder / "manifest.json").write_bytes((signed(manifest, signer) if signer else manifest).to_json())
    return folder
