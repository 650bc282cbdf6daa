"""A base model with LoRA matrices beside its projections, and nothing else to train."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from peft import LoraConfig, get_peft_model
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from teller.adapters.proof import base_tensor_name, check_config, check_trained
from teller.errors import EngineUnavailable, InputError
from teller.training.recipe import PROJECTIONS, Recipe

NANO = "teller-nano"
_ARCHITECTURES = ("mistral", "llama")  # their decoder and head are called apart; another one may scale in between
_FILES = ("*.json", "*.safetensors", "*.jinja", "tokenizer*")
_WITHOUT = ("consolidated*",)  # the same weights again, in Mistral's own format


@dataclass(frozen=True, slots=True)
class Base:
    """A base model in memory, as its folder has it or in 4 bits; `name` is what it was asked for."""

    name: str
    folder: Path
    model: Any
    tokenizer: Any

    @property
    def context(self) -> int:
        """Longest sequence in tokens."""
        return int(self.model.config.max_position_embeddings)

    @property
    def ends(self) -> frozenset[int]:
        """Ids that end an answer."""
        own = self.model.generation_config.eos_token_id
        ids = own if isinstance(own, list) else [own]
        return frozenset(each for each in [*ids, self.tokenizer.eos_token_id] if each is not None)


def find_base(name: str, *, allow_downloads: bool = False) -> Path:
    """The folder of a base model: teller-nano's own, a folder of that name, or the hub's, on this machine or fetched.

    Raises:
        EngineUnavailable: if it is not on this machine and may not, or cannot, be fetched.
    """
    if name == NANO:
        return Path(__file__).parents[1] / "data" / "nano"
    if Path(name).is_dir():
        return Path(name)
    try:
        found = snapshot_download(
            name, local_files_only=not allow_downloads, allow_patterns=[*_FILES], ignore_patterns=[*_WITHOUT]
        )
    except (LocalEntryNotFoundError, HFValidationError, HfHubHTTPError, OSError) as exc:
        raise EngineUnavailable(
            f"the base model {name!r} is neither a folder nor on this machine: name a folder with its weights, "
            "or allow downloads"
        ) from exc
    return Path(found)


def load_base(
    name: str, *, dtype: str = "auto", device: str = "cpu", quantised: bool = False, allow_downloads: bool = False
) -> Base:
    """Load a base model and its tokenizer; safetensors only, and no code of the model's is run.

    Args:
        name: "teller-nano", a folder, or a name on the hub.
        dtype: as `Recipe.dtype`.
        device: "cpu" or "cuda".
        quantised: in 4 bits: NF4, doubly quantised.
        allow_downloads: whether the hub may be asked for what is not on this machine.

    Raises:
        EngineUnavailable: if weights or a package are missing or cannot be read.
        InputError: if it is no model that can be trained here.
    """
    folder = find_base(name, allow_downloads=allow_downloads)
    kind = torch.bfloat16 if dtype == "bfloat16" or (dtype == "auto" and device != "cpu") else torch.float32
    options: dict[str, Any] = {"quantization_config": _four_bits(kind)} if quantised else {}
    if device != "cpu" or quantised:
        options["device_map"] = {"": device}
    try:
        kind_of_model = AutoConfig.from_pretrained(folder, local_files_only=True).model_type
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=kind, use_safetensors=True, local_files_only=True, **options
        )
    except ImportError as exc:
        raise EngineUnavailable("training in 4 bits needs bitsandbytes: pip install 'teller[qlora]'") from exc
    except (OSError, ValueError, RuntimeError) as exc:
        raise EngineUnavailable(f"the base model {name!r} cannot be loaded from its folder: {str(exc)[:200]}") from exc
    if kind_of_model not in _ARCHITECTURES:
        raise InputError(f"the base model {name!r} is a {kind_of_model}; wanted {' or '.join(_ARCHITECTURES)}")
    if quantised:
        _keep_packing(model)
    model.name_or_path = folder.name if Path(name).is_dir() else name  # PEFT writes it down; the path is no one's
    return Base(name, folder, model, tokenizer)


def attach_lora(base: Base, recipe: Recipe) -> Any:
    """Put new LoRA matrices beside the base model's projections, seeded; everything else is frozen.

    Raises:
        InputError: if the recipe's configuration could train anything else than LoRA, or PEFT would not train just
            what it names.
    """
    config = lora_config(base, recipe)
    base.model.requires_grad_(requires_grad=False)
    torch.manual_seed(recipe.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PEFT asks transformers for an attribute's old name
        model = get_peft_model(base.model, config)
    check_trained(trainable(model), expected_modules(base, config))
    return model


def lora_config(base: Base, recipe: Recipe) -> LoraConfig:
    """PEFT's configuration of a recipe.

    Raises:
        InputError: if it is not among those that are allowed.
    """
    options: dict[str, Any] = {
        "task_type": "CAUSAL_LM",
        "r": recipe.rank,
        "lora_alpha": recipe.alpha,
        "lora_dropout": recipe.dropout,
        "use_rslora": recipe.rslora,
        "target_modules": sorted(recipe.targets),
        "base_model_name_or_path": base.model.name_or_path,
    }
    try:
        config = LoraConfig(**{**options, **recipe.config})
    except (TypeError, ValueError) as exc:
        raise InputError(f"recipe: config: {str(exc)[:200]}") from exc
    expected_modules(base, config)
    return config


def plain_config(config: LoraConfig) -> dict[str, Any]:
    """A configuration as adapter_config.json has it."""
    content: dict[str, Any] = cast(Any, config).to_dict()
    plain = {key: sorted(value) if isinstance(value, set) else value for key, value in content.items()}
    return plain | {"inference_mode": True, "peft_type": str(content["peft_type"].value)}


def expected_modules(base: Base, config: LoraConfig) -> tuple[str, ...]:
    """Names, as in the base model, of the modules that this configuration gives LoRA matrices.

    Raises:
        InputError: if the configuration is not allowed.
    """
    return check_config(plain_config(config), int(base.model.config.num_hidden_layers))


def trainable(model: Any) -> dict[str, torch.nn.Parameter]:
    """The parameters that require gradients, by name, in the model's order."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def base_tensors(model: Any) -> dict[str, Tensor]:
    """Every tensor of the base model by its own name, tied ones once, LoRA matrices left out.

    In 4 bits, a weight is its packed bytes, and what undoes the packing follows as `<name>.absmax` and the like.
    """
    every, once = (dict(model.named_parameters(remove_duplicate=same)).keys() for same in (False, True))
    found: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        own = base_tensor_name(name)
        if own is not None and name not in every - once:
            found[own] = tensor
    return found


def load_lora_model(base_model_name: str, r: int = 8, *, allow_downloads: bool = False) -> Any:
    """A base model with fresh LoRA matrices of rank `r` beside all its projections, ready to be trained.

    Args:
        base_model_name: "teller-nano", a folder, or a name on the hub.
        r: rank; the matrices are scaled as with alpha = 2 r.
        allow_downloads: whether the hub may be asked.

    Returns:
        PEFT's PeftModel, on a GPU in bfloat16 if there is one, else on the CPU in float32. At first it says what its
        base says, and just the LoRA matrices require gradients.

    Raises:
        EngineUnavailable: if weights or a package are missing.
        InputError: if the rank is less than 1 or the model is no Mistral or Llama.
    """
    here = Path()
    recipe = Recipe(name="lora", base=base_model_name, data=here, output=here, rank=r, alpha=2 * r, targets=PROJECTIONS)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return attach_lora(load_base(base_model_name, device=device, allow_downloads=allow_downloads), recipe)


def _four_bits(compute: torch.dtype) -> Any:
    return cast(Any, BitsAndBytesConfig)(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute,
    )


def _keep_packing(model: Any) -> None:
    """Some processors have a faster order of the packed bytes, into which bitsandbytes brings them between two uses."""
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
