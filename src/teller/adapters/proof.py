"""Proof that training changed LoRA matrices and nothing else: what a configuration may ask for, and what came of it.

Two halves, for neither is enough alone. The allow-list refuses what would train or rewrite base weights by design
(biases, whole modules, initialisations that put part of the base into the adapter). The digests show that no base
tensor changed, whatever the reason.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from teller.adapters.manifest import digest_of
from teller.errors import InputError

CONFIG_FILE = "adapter_config.json"
_PLACES = {
    "q_proj": "self_attn",
    "k_proj": "self_attn",
    "v_proj": "self_attn",
    "o_proj": "self_attn",
    "gate_proj": "mlp",
    "up_proj": "mlp",
    "down_proj": "mlp",
}
_LORA = re.compile(r"(?P<module>.+)\.lora_(?P<half>[AB])(?:\.(?P<adapter>[^.]+))?\.weight")
_WRAPPER = "base_model.model."


@dataclass(frozen=True, slots=True)
class LoraRules:
    """What an adapter's configuration may ask for.

    Attributes:
        max_rank: vLLM serves 1, 8, 16, 32, 64, 128, 256, 320 and 512 as `--max-lora-rank`.
        targets: linear modules that may be adapted.
        inits: `init_lora_weights` that leave the base as it is; PiSSA, OLoRA, CorDA and LoftQ rewrite it.
    """

    max_rank: int = 64
    targets: frozenset[str] = frozenset(_PLACES)
    inits: tuple[bool | str, ...] = (True, "gaussian", "orthogonal")


RULES = LoraRules()

# Keys with a choice of values. Every other key of a configuration must be empty, whatever it is called: a setting that
# a later PEFT brings is refused until it is known here.
_CHOICES: Mapping[str, tuple[bool | str, ...]] = {
    "peft_type": ("LORA",),
    "task_type": ("CAUSAL_LM",),
    "bias": ("none",),
    "use_rslora": (True, False),
    "inference_mode": (True, False),
    "megatron_core": ("megatron.core",),  # written always; used only with megatron_config, which must be empty
}
_NUMBERED = frozenset({"r", "lora_alpha", "lora_dropout", "target_modules", "init_lora_weights"})
_REMARKS = frozenset({"base_model_name_or_path", "revision", "peft_version", "qalora_group_size"})
_REASONS: Mapping[str, str] = {
    "modules_to_save": "it trains whole modules",
    "trainable_token_indices": "it trains embeddings",
    "target_parameters": "it adapts parameters that are not linear modules",
    "layer_replication": "it makes another model of the base",
    "lora_bias": "it trains biases",
    "use_dora": "DoRA scales the base weights, and vLLM refuses it",
    "rank_pattern": "every module has the rank `r`",
    "alpha_pattern": "every module has the scale of `lora_alpha`",
    "layers_to_transform": "every layer is adapted, or the exact count of modules proves nothing",
    "auto_mapping": "it names code to import; set task_type to CAUSAL_LM instead",
}


def check_config(config: Mapping[str, Any], layers: int, rules: LoraRules = RULES) -> tuple[str, ...]:
    """Check a LoRA configuration against the allow-list: as in `adapter_config.json`, or as PEFT's `to_dict` gives it.

    Args:
        config: all of it; a key that is missing counts as empty.
        layers: of the base model.
        rules: limits.

    Returns:
        The modules that it adapts, just those: "model.layers.0.self_attn.q_proj", ..., layers x targets, sorted.

    Raises:
        InputError: naming the key, what was found, and why it is refused.
    """
    for key, value in config.items():
        if key in _CHOICES:
            _want_choice(key, value, _CHOICES[key])
        elif key not in _NUMBERED | _REMARKS and not _is_empty(value):
            _refuse(key, value, _REASONS.get(key, "this setting is not on the list of what is known to be safe"))
    for key in ("peft_type", "r", "lora_alpha", "target_modules"):
        if key not in config:
            _refuse(key, None, "it is missing")
    _want_choice("init_lora_weights", config.get("init_lora_weights", True), rules.inits)
    _check_rank(config, rules)
    base = config.get("base_model_name_or_path") or ""
    if not isinstance(base, str) or ".." in re.split(r"[/\\]", base) or not base.isprintable():
        _refuse("base_model_name_or_path", base, "wanted a name, or a path without '..'")
    if layers < 1:
        raise InputError(f"a base model of {layers} layers; wanted at least one")
    targets = _targets(config["target_modules"], rules)
    return tuple(sorted(f"model.layers.{n}.{_PLACES[target]}.{target}" for n in range(layers) for target in targets))


def scale_of(config: Mapping[str, Any]) -> float:
    """What B·A is multiplied by: alpha / r, or alpha / sqrt(r) for rsLoRA (Kalajdzievski 2023)."""
    rank = config["r"]
    return float(config["lora_alpha"]) / (math.sqrt(rank) if config.get("use_rslora") else rank)


@dataclass(frozen=True, slots=True)
class Proof:
    """What training did to a model.

    Attributes:
        base_tensors: SHA-256 of every base tensor afterwards, by its name in the plain base model.
        changed: base tensors whose digest is another than before.
        missing: base tensors that were there before and are not now.
        added: tensors that are there now, were not before, and are no LoRA matrices.
        trained: names of the parameters that were trained.
        foreign: those among them that are no LoRA matrices of a module that may be adapted.
    """

    base_tensors: Mapping[str, str]
    changed: tuple[str, ...]
    missing: tuple[str, ...]
    added: tuple[str, ...]
    trained: tuple[str, ...]
    foreign: tuple[str, ...]

    @property
    def base_digest(self) -> str:
        """Of `base_tensors`."""
        return digest_of(self.base_tensors)

    @property
    def holds(self) -> bool:
        """Whether only LoRA matrices were trained, and something was."""
        flaws = self.changed or self.missing or self.added or self.foreign
        return bool(self.base_tensors and self.trained) and not flaws

    def demand(self) -> None:
        """Refuse what the proof does not hold for.

        Raises:
            InputError: naming the first tensors of each kind of flaw.
        """
        if self.holds:
            return
        flaws = {
            "base tensors that changed": self.changed,
            "base tensors that are missing": self.missing,
            "tensors that were added": self.added,
            "trained parameters that are no LoRA matrices": self.foreign,
        }
        told = [f"{len(names)} {flaw} ({', '.join(names[:3])})" for flaw, names in flaws.items() if names]
        if not self.base_tensors or not self.trained:
            told.append(f"{len(self.base_tensors)} base tensors and {len(self.trained)} trained ones were looked at")
        raise InputError(f"not only LoRA matrices changed: {'; '.join(told)}")


def prove(before: Mapping[str, str], after: Mapping[str, str], trained: Iterable[str]) -> Proof:
    """Compare a model's tensors before and after training.

    Args:
        before: SHA-256 of every base tensor (buffers and quantisation state too), by its name in the plain model or in
            one that PEFT has wrapped; LoRA matrices are passed over.
        after: the same, afterwards.
        trained: names of the parameters that were trained.

    Raises:
        InputError: if two tensors have one name.
    """
    old, new, names = _plain_names(before), _plain_names(after), tuple(sorted(trained))
    return Proof(
        base_tensors=new,
        changed=tuple(sorted(name for name in old.keys() & new.keys() if old[name] != new[name])),
        missing=tuple(sorted(old.keys() - new.keys())),
        added=tuple(sorted(new.keys() - old.keys())),
        trained=names,
        foreign=tuple(name for name in names if not _is_allowed_lora(name)),
    )


def base_tensor_name(name: str) -> str | None:
    """The name that a tensor has in the plain base model, of its name in a model that PEFT has wrapped.

    None for a LoRA matrix. A name that PEFT has not touched stays as it is.
    """
    if _LORA.fullmatch(name):
        return None
    return name.removeprefix(_WRAPPER).replace(".base_layer.", ".", 1)


def lora_module(name: str) -> tuple[str, str] | None:
    """Module and half ("A" or "B") of a LoRA matrix: of its name in a file, or in a model (where the adapter is named).

    None for what is no LoRA matrix.
    """
    found = _LORA.fullmatch(name)
    return (found["module"].removeprefix(_WRAPPER), found["half"]) if found else None


def check_trained(trained: Iterable[str], modules: Iterable[str]) -> None:
    """Check that what was trained is both matrices of each of these modules, and nothing else.

    Raises:
        InputError: naming what is missing or too much.
    """
    found: set[tuple[str, str]] = set()
    for name in trained:
        matrix = lora_module(name)
        if matrix is None:
            raise InputError(f"trained: {name[:200]!r} is no LoRA matrix")
        found.add(matrix)
    wanted = {(module, half) for module in modules for half in "AB"}
    for module, half in sorted(wanted ^ found):
        state = "was not trained" if (module, half) in wanted else "was trained, and is not of the configuration"
        raise InputError(f"trained: lora_{half} of {module[:200]} {state}")


def _check_rank(config: Mapping[str, Any], rules: LoraRules) -> None:
    rank, alpha, dropout = config["r"], config["lora_alpha"], config.get("lora_dropout", 0.0)
    if isinstance(rank, bool) or not isinstance(rank, int) or not 1 <= rank <= rules.max_rank:
        _refuse("r", rank, f"wanted a rank of 1 to {rules.max_rank}")
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 < alpha < math.inf:
        _refuse("lora_alpha", alpha, "wanted a number above 0")
    if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        _refuse("lora_dropout", dropout, "wanted a share, 0 to below 1")


def _targets(value: Any, rules: LoraRules) -> list[str]:
    if not isinstance(value, list | tuple | set | frozenset) or not value:
        _refuse("target_modules", value, "wanted a list of module names")
    targets = list(value)
    for target in targets:
        if not isinstance(target, str) or target not in rules.targets:
            _refuse("target_modules", target, f"wanted names out of {', '.join(sorted(rules.targets))}")
    if len(set(targets)) != len(targets):
        _refuse("target_modules", targets, "a name is there twice")
    return targets


def _want_choice(key: str, value: Any, allowed: tuple[bool | str, ...]) -> None:
    """1 is not True here: a configuration that needs luck to be read is refused."""
    if not any(value == one and isinstance(value, type(one)) for one in allowed):
        _refuse(key, value, f"wanted {' or '.join(map(repr, allowed))}")


def _is_empty(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(_is_empty(one) for one in value.values())
    return value is None or value is False or (isinstance(value, str | list | tuple | set) and not value)


def _is_allowed_lora(name: str) -> bool:
    found = lora_module(name)
    return found is not None and found[0].rsplit(".", 1)[-1] in _PLACES


def _plain_names(digests: Mapping[str, str]) -> dict[str, str]:
    plain: dict[str, str] = {}
    for name, digest in digests.items():
        base = base_tensor_name(name)
        if base is None:
            continue
        if base in plain:
            raise InputError(f"two base tensors have the name {base!r}")
        plain[base] = digest
    return plain


def _refuse(key: str, value: Any, why: str) -> NoReturn:
    raise InputError(f"{CONFIG_FILE}: {key if key.isprintable() else ascii(key)} is {str(value)[:100]!r}: {why}")
