"""A causal language model and the LoRA adapters beside it: forward passes of rows that do not touch one another.

An answer is the same to the last bit whoever else is answered. A matrix product on a CPU rounds differently with the
number of its rows, but not with what the other rows hold. So a prompt is read alone, and every product of a writing
step, the LoRA matrices' too, has just `ROWS` rows; keys and values begin at the same place in every row, so that
attention adds them up in the same order. Measured with MKL's kernels for SSE4.2, AVX2 and AVX-512 on 160 shapes of 4
to 4,096: it holds on all of them with 1 or 2 threads, and with 4 or 6 too but for 4 small shapes on AVX2.
"""

from __future__ import annotations

import importlib
import itertools
import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from teller.adapters.proof import CONFIG_FILE, check_config
from teller.adapters.weights import MODEL_FILE, read_config
from teller.errors import EngineError, EngineUnavailable, InputError
from teller.ports import Message

ROWS = 24  # answers that are written at once. With 8, 16 or 32 the place of a row matters more often (AVX2)
_BLOCK = 128  # keys and values are kept in so many tokens at a time
_ARCHITECTURES = ("mistral", "llama")  # all that a row reads is its own keys: no experts that others fill
_CONFIG = ("r", "lora_alpha", "use_rslora", "target_modules")  # all of a configuration that changes what is said


class Net:
    """The model: forward passes, and the adapters beside it. Used by one thread, but for `read_adapter`."""

    def __init__(self, folder: Path, device: str | None) -> None:
        try:
            self._torch = importlib.import_module("torch")
            self._peft = importlib.import_module("peft")
            self._read_tensors = importlib.import_module("safetensors.torch").load_file
            self._damaged = importlib.import_module("safetensors").SafetensorError
            transformers = importlib.import_module("transformers")
            templates = importlib.import_module("jinja2")
        except ImportError as exc:
            raise EngineUnavailable("PyTorch, transformers or PEFT is missing: pip install 'teller[lora]'") from exc
        self._device = device or ("cuda" if self._torch.cuda.is_available() else "cpu")
        self._untold = templates.TemplateError
        self._model, self._tokenizer = self._open(transformers, folder)
        self._wrapped: Any = None
        self._cache = Cache(self._torch)
        self._keys: dict[str, str] = {}
        self._numbers = itertools.count(1)
        self._row_keys: list[str] = []  # which adapter each row of the forward pass has, by its key
        self._hooked: set[Any] = set()

    @property
    def adapters(self) -> Mapping[str, str]:
        """PEFT's name of each version: all of one length, so that none is a part of another."""
        return self._keys

    @property
    def context(self) -> int:
        """Longest sequence in tokens."""
        return int(self._model.config.max_position_embeddings)

    @property
    def ends(self) -> frozenset[int]:
        """Tokens that end an answer."""
        own = self._model.generation_config.eos_token_id
        ids = [*(own if isinstance(own, list) else [own]), self._tokenizer.eos_token_id]
        return frozenset(one for one in ids if one is not None)

    def read(self, messages: Sequence[Message]) -> list[int]:
        """A prompt's tokens.

        Raises:
            EngineError: if the chat template refuses the messages, or they leave no room for an answer.
        """
        chat = [{"role": message.role, "content": message.content} for message in messages]
        try:
            read: list[int] = self._tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
        except (self._untold, ValueError, TypeError) as exc:
            raise EngineError("the model's chat template does not take these messages") from exc
        if len(read) >= self.context:
            raise EngineError(f"the prompt has {len(read)} tokens, the model reads {self.context}, answer included")
        return read

    def spell(self, tokens: Sequence[int]) -> str:
        """Their text, special tokens written out."""
        return str(self._tokenizer.decode(tokens, clean_up_tokenization_spaces=False))

    def say(self, tokens: Sequence[int]) -> str:
        """Their text, special tokens left out."""
        text = self._tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return str(text)

    def begin(self, row: int, read: Sequence[int], adapter: str | None) -> tuple[int, float]:
        """Read a prompt into a row, alone; the first token of the answer and its log-probability.

        Raises:
            EngineError: if the model cannot read it; the other rows are as they were.
        """
        torch = self._torch
        self._cache.open(row, len(read))
        mask = torch.ones(len(read), len(read), dtype=torch.bool, device=self._device).tril()[None, None]
        try:
            return self._forward([read], [range(len(read))], mask, [adapter])[0]
        except RuntimeError as exc:  # no memory, most of all
            raise EngineError(f"the local model failed on a prompt of {len(read)} tokens") from exc

    def go_on(
        self, tokens: Sequence[int], lengths: Sequence[int], adapters: Sequence[str | None]
    ) -> list[tuple[int, float]]:
        """Read the last token of every row, and what is next: one of `ROWS` each; an empty row is at length 0."""
        torch = self._torch
        at = torch.tensor(lengths, device=self._device)
        seen = self._cache.open_all(at, max(lengths) + 1)
        mask = (torch.arange(seen, device=self._device) <= at[:, None])[:, None, None]
        return self._forward([[token] for token in tokens], [[length] for length in lengths], mask, adapters)

    def read_adapter(self, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
        """Configuration and tensors of an adapter's folder, on the CPU; on any thread.

        Raises:
            InputError: if they cannot be read.
        """
        config = read_config(folder / CONFIG_FILE)
        check_config(config, self._layers)
        try:
            return config, self._read_tensors(folder / MODEL_FILE)
        except (OSError, self._damaged) as exc:
            raise InputError(f"{MODEL_FILE} cannot be read: {exc}") from exc

    def attach(self, served: str, config: Mapping[str, Any], tensors: Mapping[str, Any]) -> None:
        """Put an adapter's matrices beside the base model's.

        Raises:
            InputError: if they are not just those that its configuration says, or have other shapes; none is there.
        """
        key = f"version{next(self._numbers):09d}"
        options = {name: config[name] for name in _CONFIG if name in config}
        lora = self._peft.LoraConfig(**options, task_type="CAUSAL_LM", inference_mode=True, init_lora_weights=False)
        try:
            if self._wrapped is None:
                self._wrapped = self._wrap()
            self._wrapped.add_adapter(key, lora)
            result = self._peft.set_peft_model_state_dict(self._wrapped, dict(tensors), adapter_name=key)
            self._check_applied(key, config, result)
        except (InputError, RuntimeError, ValueError, KeyError) as exc:
            self._remove(key)
            told = str(exc).replace(f".{key}.", ".")[:300]
            raise InputError(f"{served} does not fit the base model: {told}") from exc
        finally:
            self._fix_rows(key)
        self._keys[served] = key

    def detach(self, served: str) -> None:
        """Take an adapter's matrices away."""
        self._remove(self._keys.pop(served))

    @property
    def _layers(self) -> int:
        return int(self._model.config.num_hidden_layers)

    def _open(self, transformers: Any, folder: Path) -> tuple[Any, Any]:
        """Model and tokenizer, from files of this machine alone."""
        if not (folder / "config.json").is_file():
            raise EngineUnavailable(f"there is no model in '{folder.name}': name a folder with config.json and weights")
        options = {"local_files_only": True}
        try:
            config = transformers.AutoConfig.from_pretrained(folder, **options)
            if config.model_type not in _ARCHITECTURES:
                raise EngineUnavailable(
                    f"the model in '{folder.name}' is a {config.model_type}; wanted {' or '.join(_ARCHITECTURES)}"
                )
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **options)
            model = transformers.AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=self._torch.float32 if self._device == "cpu" else self._torch.bfloat16,
                use_safetensors=True,
                attn_implementation="sdpa",
                **options,
            )
        except (OSError, ValueError, RuntimeError, self._damaged) as exc:
            raise EngineUnavailable(f"the model in '{folder.name}' cannot be loaded: {str(exc)[:200]}") from exc
        if not tokenizer.chat_template:
            raise EngineUnavailable(f"the model in '{folder.name}' has no chat template: put chat_template.jinja there")
        return model.to(self._device).eval().requires_grad_(requires_grad=False), tokenizer

    def _forward(
        self, tokens: Sequence[Sequence[int]], at: Sequence[Sequence[int]], mask: Any, adapters: Sequence[str | None]
    ) -> list[tuple[int, float]]:
        torch = self._torch
        self._row_keys = [self._keys[adapter] if adapter else "__base__" for adapter in adapters]
        with torch.inference_mode():
            output = self._model(
                input_ids=torch.tensor(tokens, device=self._device),
                position_ids=torch.tensor([[*one] for one in at], device=self._device),
                attention_mask=mask,
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=1,
            )
            logprobs = output.logits[:, -1].float().log_softmax(-1)
            best, chosen = logprobs.max(-1)
        return list(zip(chosen.tolist(), best.tolist(), strict=True))

    def _wrap(self) -> Any:
        """PEFT's model around ours, with an adapter that no row ever has: the one that PEFT takes for the active one.

        It moves to another with a warning when that one is deleted, and none of ours is ever to be active.
        """
        idle = self._peft.LoraConfig(r=1, target_modules=["q_proj"], task_type="CAUSAL_LM", inference_mode=True)
        return self._peft.get_peft_model(self._model, idle, adapter_name="idle")

    def _check_applied(self, key: str, config: Mapping[str, Any], result: Any) -> None:
        missing = [name for name in result.missing_keys if f".{key}." in name]
        if missing or result.unexpected_keys:
            raise InputError(
                f"{len(missing)} matrices are missing ({', '.join(missing[:2])}) and {len(result.unexpected_keys)} are "
                f"left over ({', '.join(result.unexpected_keys[:2])})"
            )
        adapted = {name for name, layer in self._lora_layers() if key in layer.lora_A}
        wanted = check_config(config, self._layers)
        if adapted != set(wanted):
            raise InputError(f"{len(adapted)} modules are adapted, the configuration says {len(wanted)}")

    def _remove(self, key: str) -> None:
        if key in self._wrapped.peft_config:
            self._wrapped.delete_adapter(key)

    def _fix_rows(self, key: str) -> None:
        """Have each LoRA layer told which adapter each row has, and each of its products made of `ROWS` rows.

        PEFT's own way, a hook on every module for each forward pass, takes longer than the pass of a small model.
        """
        for _, layer in self._lora_layers():
            if layer not in self._hooked:
                self._hooked.add(layer)
                layer.register_forward_pre_hook(self._name_rows, with_kwargs=True)
            for half in (layer.lora_A, layer.lora_B):
                if key in half:
                    half[key].forward = partial(_fixed_rows, self._torch.nn.functional, half[key])
        self._model.eval()

    def _lora_layers(self) -> list[tuple[str, Any]]:
        kind = self._peft.tuners.lora.LoraLayer
        return [(name, module) for name, module in self._model.named_modules() if isinstance(module, kind)]

    def _name_rows(self, _: Any, args: Any, options: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        return args, {**options, "adapter_names": self._row_keys}


class Cache:
    """Keys and values of `ROWS` rows, each from place 0 on, in the shape that transformers' attention asks for."""

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self._layers: list[tuple[Any, Any]] = []  # each (rows, heads, tokens, width)
        self._row: int | None = None  # that a prompt is read into; None: all rows are written to
        self._at: Any = None
        self._tokens = 0

    def open(self, row: int, tokens: int) -> None:
        """The next pass reads so many tokens into a row, from its beginning."""
        self._row, self._tokens = row, tokens
        self._grow()

    def open_all(self, at: Any, tokens: int) -> int:
        """The next pass reads one token into each row, at its place; gives how many places it then sees."""
        self._row, self._at, self._tokens = None, at, tokens
        self._grow()
        return math.ceil(tokens / _BLOCK) * _BLOCK

    def update(self, keys: Any, values: Any, layer: int, *_: Any, **__: Any) -> tuple[Any, Any]:
        """Called by each layer with what it has read; gives all that its attention sees."""
        room = math.ceil(self._tokens / _BLOCK) * _BLOCK
        if layer == len(self._layers):
            shape = (ROWS, keys.shape[1], room, keys.shape[3])
            self._layers.append((keys.new_zeros(shape), values.new_zeros(shape)))
        kept = self._layers[layer]
        if self._row is not None:
            for old, new in zip(kept, (keys, values), strict=True):
                old[self._row, :, : self._tokens] = new[0]
            return keys, values
        rows = self._torch.arange(ROWS, device=keys.device)
        for old, new in zip(kept, (keys, values), strict=True):
            old[rows, :, self._at] = new[:, :, 0]
        return kept[0][:, :, :room], kept[1][:, :, :room]

    def _grow(self) -> None:
        room = math.ceil(self._tokens / _BLOCK) * _BLOCK
        if self._layers and self._layers[0][0].shape[2] < room:
            pad = self._torch.nn.functional.pad
            self._layers = [
                (pad(keys, (0, 0, 0, room - keys.shape[2])), pad(values, (0, 0, 0, room - values.shape[2])))
                for keys, values in self._layers
            ]


def _fixed_rows(functional: Any, linear: Any, rows: Any) -> Any:
    """A linear layer of (rows, 1, in) as a product of just `ROWS` rows; of a prompt, (1, tokens, in), as it is."""
    if rows.shape[1] > 1 or len(rows) == ROWS:
        return functional.linear(rows, linear.weight)
    filled = functional.pad(rows, (0, 0, 0, 0, 0, ROWS - len(rows)))
    return functional.linear(filled, linear.weight)[: len(rows)]
