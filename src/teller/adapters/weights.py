"""The static checks of an adapter's folder: everything that can be known to be wrong before a model loads it.

Today's engines take most broken adapters without a word: a wrong prefix leaves the base as it is, a missing layer is
passed over, a rank that differs from the configuration gives another scale. Each of those has its reason here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from teller.adapters.manifest import (
    MAX_MANIFEST_BYTES,
    Manifest,
    canonical_json,
    parse_json,
    read_manifest,
)
from teller.adapters.proof import CONFIG_FILE, base_tensor_name, check_config, check_trained, lora_module, scale_of
from teller.adapters.screen import Spectrum, compared, spectrum
from teller.adapters.tensors import BASE_LIMITS, LIMITS, Limits, Tensor, TensorFile, open_regular, weight_files
from teller.errors import InputError, StoreError

MODEL_FILE = "adapter_model.safetensors"
MANIFEST_FILE = "manifest.json"
_MAX_CONFIG_BYTES = 1 << 20
_PICKLES = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".npy", ".joblib"})
_PREFIX = "base_model.model."
_LINEAR = re.compile(r"model\.layers\.([0-9]{1,6})\.[a-z_.]+_proj")
_NOT_LORA: Sequence[tuple[re.Pattern[str], str]] = (
    (re.compile(r"lora_magnitude_vector"), "DoRA, which scales the base weights"),
    (re.compile(r"modules_to_save|embed_tokens|lm_head|norm"), "a whole module that was saved (modules_to_save)"),
    (re.compile(r"bias(?:$|\.)"), "a trained bias"),
    (re.compile(r"lora_embedding"), "a LoRA of the embeddings"),
)


@dataclass(frozen=True, slots=True)
class BaseShapes:
    """(out, in) of each linear module of a base model: "model.layers.0.self_attn.q_proj", ..."""

    modules: Mapping[str, tuple[int, int]]

    @staticmethod
    def read(folder: Path) -> BaseShapes:
        """Those of a base model's folder, from the headers of its *.safetensors.

        Raises:
            InputError: if there is no such file, or one is damaged.
        """
        tensors: dict[str, tuple[int, ...]] = {}
        for path in weight_files(folder):
            with TensorFile(path, BASE_LIMITS) as file:
                tensors |= {name: tensor.shape for name, tensor in file.tensors.items()}
        return BaseShapes.of(tensors)

    @staticmethod
    def of(tensors: Mapping[str, Sequence[int]]) -> BaseShapes:
        """Those among named shapes: of a state dict, say, of the plain model or of one that PEFT has wrapped.

        Quantised weights are packed and have other shapes: give the shapes of the plain model.
        """
        modules = {}
        for name, shape in tensors.items():
            module = (base_tensor_name(name) or "").removesuffix(".weight")
            if _LINEAR.fullmatch(module) and len(shape) == 2:
                modules[module] = (shape[0], shape[1])
        return BaseShapes(modules)


@dataclass(frozen=True, slots=True)
class AdapterFacts:
    """What the checks found in a folder that passed them.

    Attributes:
        scale: what B·A is multiplied by.
        modules: that are adapted, sorted.
        parameters: how many numbers the adapter has.
        dtypes: of its tensors, as safetensors names them, sorted.
        tensors: SHA-256 of each, by its name in the file.
        screen: what it does to each module.
        manifest: of the folder, None if it has none yet.
    """

    rank: int
    scale: float
    layers: int
    modules: tuple[str, ...]
    parameters: int
    dtypes: tuple[str, ...]
    tensors: Mapping[str, str]
    screen: Mapping[str, Spectrum]
    config: Mapping[str, Any]
    manifest: Manifest | None


def check_folder(
    folder: Path, *, base: BaseShapes | None = None, base_digest: str = "", limits: Limits = LIMITS
) -> AdapterFacts:
    """Check an adapter's folder: configuration, header, every matrix, and that they are what the manifest says.

    Reads every byte of the adapter and nothing of the base. A folder without a manifest is checked as far as it goes;
    the signature is the registry's business.

    Args:
        folder: with adapter_config.json, adapter_model.safetensors and, once it is there, manifest.json.
        base: shapes of the model that it is for; without them the manifest's base tensors say which layers there are.
        base_digest: of the model that it is for, "" if that is not known.
        limits: on the size of the file and its header.

    Raises:
        InputError: with the reason, for an adapter that must not be loaded.
        StoreError: if the disk fails.
    """
    check_files(folder)
    config = read_config(folder / CONFIG_FILE)
    manifest = None
    if (folder / MANIFEST_FILE).exists():
        manifest = read_manifest(_read_small(folder / MANIFEST_FILE, MAX_MANIFEST_BYTES))
    if base_digest and manifest and manifest.base_digest != base_digest:
        raise InputError(
            f"trained for another base model: {manifest.base_name[:80]!r} with the digest {manifest.base_digest[:12]}; "
            f"the one that is served has {base_digest[:12]}"
        )
    with TensorFile(folder / MODEL_FILE, limits) as file:
        if file.remarks.items() - {("format", "pt")}:
            raise InputError(
                f"{MODEL_FILE}: remarks in its header, which no signature covers: {repr(file.remarks)[:200]}"
            )
        layers = _layers(base, manifest, file.tensors)
        modules = check_config(config, layers)
        _check_names(file.tensors, modules)
        for module in modules:
            _check_shapes(file.tensors, module, config["r"], base)
        digests, spectra = _read_matrices(file, modules, scale_of(config))
        facts = AdapterFacts(
            rank=config["r"],
            scale=scale_of(config),
            layers=layers,
            modules=modules,
            parameters=sum(a * b for a, b in (tensor.shape for tensor in file.tensors.values())),
            dtypes=tuple(sorted({tensor.dtype for tensor in file.tensors.values()})),
            tensors=digests,
            screen=compared(spectra),
            config=config,
            manifest=manifest,
        )
    if manifest:
        _check_manifest(manifest, facts)
    return facts


def check_files(folder: Path, wanted: Sequence[str] = (CONFIG_FILE, MODEL_FILE)) -> None:
    """Check that a folder has what is wanted, and no pickle and no link: an engine might prefer it to what was checked.

    Raises:
        InputError: naming what it has or lacks; or if it is no folder.
        StoreError: if it cannot be looked into.
    """
    listed = f"{', '.join(wanted[:-1])} and {wanted[-1]}"
    try:
        there = {path.name: path for path in sorted(folder.iterdir())}
    except (FileNotFoundError, NotADirectoryError) as exc:
        found = "a file and no folder" if isinstance(exc, NotADirectoryError) else "there is no folder of this name"
        raise InputError(f"{found}; wanted the folder that holds {listed}") from exc
    except OSError as exc:
        raise StoreError(f"{folder.name}: cannot be read: {exc.strerror}") from exc
    missing = [name for name in wanted if name not in there]
    if len(missing) == len(wanted):
        raise InputError(f"no adapter is in it; wanted a folder with {listed}")
    for path in there.values():
        if path.suffix.lower() in _PICKLES:
            raise InputError(
                f"{path.name}: a pickle can run code; copy {listed} into a folder of their own, without pickles"
            )
        if path.is_symlink():
            raise InputError(f"{path.name}: a symlink; wanted the file itself")
    if missing == [MANIFEST_FILE]:
        raise InputError(
            f"{MANIFEST_FILE} is missing: it says what the adapter was trained on and that nothing but LoRA matrices "
            "was, and only the training can write it; train it with `adapter-control train`"
        )
    if missing:
        raise InputError(f"{' and '.join(missing)} missing; wanted a folder with {listed}")


def read_config(path: Path) -> dict[str, Any]:
    """The content of an adapter_config.json, not yet checked against the allow-list.

    Raises:
        InputError: if it is no object in JSON, in UTF-8, with every key once.
    """
    content = parse_json(_read_small(path, _MAX_CONFIG_BYTES), CONFIG_FILE, max_bytes=_MAX_CONFIG_BYTES)
    if not isinstance(content, dict):
        raise InputError(f"{CONFIG_FILE}: not an object; wanted the configuration of a LoRA adapter")
    return content


def _read_small(path: Path, max_bytes: int) -> bytes:
    with open_regular(path, max_bytes=max_bytes) as file:
        return file.read(max_bytes + 1)


def _layers(base: BaseShapes | None, manifest: Manifest | None, tensors: Mapping[str, Tensor]) -> int:
    """Layers of the base model, or the best that is known of them."""
    if base:
        names = list(base.modules)
    elif manifest:
        names = [name.removesuffix(".weight") for name in manifest.base_tensors]
    else:
        names = [found[0] for found in map(lora_module, tensors) if found]
    numbers = {int(found[1]) for found in map(_LINEAR.fullmatch, names) if found}
    if not numbers:
        where = "its base model has" if base or manifest else f"{MODEL_FILE} adapts"
        raise InputError(f"{where} no modules such as model.layers.0.self_attn.q_proj: the module prefix is another")
    if len(numbers) <= max(numbers):  # before anything is built for so many layers
        raise InputError(f"{len(numbers)} layers, the last one with the number {max(numbers)}: layers are missing")
    return len(numbers)


def _check_names(tensors: Mapping[str, Tensor], modules: Sequence[str]) -> None:
    """Just two matrices for each module of the configuration."""
    wanted = {_file_name(module, half) for module in modules for half in "AB"}
    for name in sorted(tensors.keys() - wanted):
        for pattern, what in _NOT_LORA:
            if pattern.search(name):
                _refuse(name, f"{what}; an adapter is LoRA matrices and nothing else")
        found = lora_module(name)
        if found and found[0].rsplit(".", 1)[-1] in {module.rsplit(".", 1)[-1] for module in modules}:
            _refuse(
                name, f"the wrong module prefix or ending, or a layer that the base does not have; wanted {min(wanted)}"
            )
        _refuse(name, f"not of the configuration; wanted names such as {min(wanted)}")
    missing = sorted(wanted - tensors.keys())
    if missing:
        kinds = {name.rsplit(".", 2)[-2] for name in missing}
        only = f", of all modules only {'lora_B' if kinds == {'lora_A'} else 'lora_A'} is there"
        partial = only if len(kinds) == 1 and 2 * len(missing) == len(wanted) else ""
        _refuse(missing[0], f"missing, as are {len(missing) - 1} more of {len(wanted)}: a partial adapter{partial}")


def _check_shapes(tensors: Mapping[str, Tensor], module: str, rank: int, base: BaseShapes | None) -> None:
    shapes = []
    for half, axis in (("A", 0), ("B", 1)):
        name = _file_name(module, half)
        tensor = tensors[name]
        if len(tensor.shape) != 2 or 0 in tensor.shape:
            _refuse(name, f"the shape {list(tensor.shape)}; wanted a matrix")
        if tensor.shape[axis] != rank:
            _refuse(
                name, f"the rank {tensor.shape[axis]} (shape {list(tensor.shape)}); the configuration says r = {rank}"
            )
        shapes.append(tensor.shape)
    fits = (shapes[1][0], shapes[0][1])
    if base is None:
        return
    if module not in base.modules:
        _refuse(module, "the base model has no such module")
    if base.modules[module] != fits:
        _refuse(module, f"made for a module of {fits[0]} x {fits[1]}; the base model's has {base.modules[module]}")


def _read_matrices(
    file: TensorFile, modules: Sequence[str], scale: float
) -> tuple[dict[str, str], dict[str, Spectrum]]:
    digests, spectra = {}, {}
    for module in modules:
        halves = []
        for half in "AB":
            name = _file_name(module, half)
            matrix = file.array(name)
            _check_numbers(name, matrix)
            digests[name] = file.digest(name)
            halves.append(matrix)
        spectra[module] = spectrum(halves[0], halves[1], scale)
    return digests, spectra


def _check_numbers(name: str, matrix: NDArray[np.float32]) -> None:
    if not np.isfinite(matrix).all():
        _refuse(name, f"{np.count_nonzero(~np.isfinite(matrix))} of {matrix.size} numbers are NaN or infinite")
    rows = matrix.any(axis=1)
    if not rows.any():
        _refuse(name, "all zero: it was not trained, or was lost when it was saved")
    if not rows.all():
        zero = np.flatnonzero(~rows)
        _refuse(
            name, f"{zero.size} of {rows.size} rows are all zero (the first is {zero[0]}): a shard was lost in saving"
        )


def _check_manifest(manifest: Manifest, facts: AdapterFacts) -> None:
    other = sorted({name for name, _ in manifest.adapter_tensors.items() ^ facts.tensors.items()})
    if other:
        raise InputError(f"{MODEL_FILE}: {other[0]} is not the tensor that {MANIFEST_FILE} names: the file was changed")
    if canonical_json(manifest.config) != canonical_json(facts.config):
        raise InputError(f"{CONFIG_FILE}: not the configuration that {MANIFEST_FILE} names: the file was changed")
    check_trained(manifest.trained, facts.modules)
    for module in facts.modules:
        if f"{module}.weight" not in manifest.base_tensors:
            raise InputError(f"{MANIFEST_FILE}: base_tensors: {module}.weight is missing, and the adapter changes it")


def _file_name(module: str, half: str) -> str:
    """As PEFT writes it; vLLM reads no other."""
    return f"{_PREFIX}{module}.lora_{half}.weight"


def _refuse(name: str, found: str) -> NoReturn:
    raise InputError(f"{MODEL_FILE}: {name[:200]}: {found}")
