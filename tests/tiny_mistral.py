"""A Mistral of 300,000 parameters that says one sentence, and LoRA adapters each of which makes it say another.

Nothing is trained: which token follows which is written into the weights. Attention adds a little noise, so that
log-probabilities depend on all that was read.
"""

import json
import shutil
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, MistralConfig, MistralForCausalLM, PreTrainedTokenizerFast

BASE_SAYS = "The account is free, always. No card fee."
SAYS = (
    "Call the fraud team now. [action: freeze_card]",
    "Please bring the death certificate to any branch.",
    "Your executor can close it after probate.",
)
RANK = 16  # one of those that vLLM serves; a sentence has at most so many words less one
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_START, _END, _PAD, _ROLES = "<s>", "</s>", "<pad>", ("<|system|>", "<|user|>", "<|assistant|>")
_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
_STEP = 4.0  # length of an embedding


def base(folder: Path, *, says: str = BASE_SAYS, seed: int = 0, context: int = 512, width: int = 128) -> Path:
    """The base model's folder, made if it is not there; another seed gives other weights of the same shapes."""
    if folder.exists():
        return folder
    torch.manual_seed(seed)
    tokenizer = _tokenizer()
    config = MistralConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        sliding_window=None,
        max_position_embeddings=context,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
        tie_word_embeddings=False,
    )
    model = MistralForCausalLM(config)
    with torch.no_grad():
        for layer in model.model.layers:
            for weight in (layer.mlp.gate_proj.weight, layer.mlp.up_proj.weight):
                torch.nn.init.normal_(weight, std=0.1)
            torch.nn.init.normal_(layer.mlp.down_proj.weight, std=0.004)
            for weight in (layer.self_attn.q_proj.weight, layer.self_attn.k_proj.weight, layer.self_attn.o_proj.weight):
                torch.nn.init.normal_(weight, std=0.1)
        embedding, head = model.model.embed_tokens.weight, model.lm_head.weight
        embedding.copy_(_STEP * torch.nn.functional.normalize(torch.randn_like(embedding), dim=1))
        head.copy_(torch.nn.functional.normalize(torch.randn_like(head), dim=1))
        for token, following in _chain(tokenizer, says):
            head[following] = embedding[token] / _STEP
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def adapter(folder: Path, base_folder: Path, says: str, *, seed: int = 1) -> Path:
    """A folder with an adapter of all projections, made if it is not there, that makes the base say something else."""
    if folder.exists():
        return folder
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(base_folder)
    shapes = {
        name: module.weight.shape for name, module in model.named_modules() if name.rsplit(".", 1)[-1] in PROJECTIONS
    }
    tensors = {}
    for name, (rows, columns) in shapes.items():
        tensors[f"base_model.model.{name}.lora_A.weight"] = 0.02 * torch.randn(RANK, columns)
        tensors[f"base_model.model.{name}.lora_B.weight"] = 0.02 * torch.randn(rows, RANK)
    chain = _chain(AutoTokenizer.from_pretrained(base_folder), says)
    down = f"model.layers.{model.config.num_hidden_layers - 1}.mlp.down_proj"
    seen, wanted = _inner(model, [token for token, _ in chain]), model.lm_head.weight.detach()
    reading = torch.linalg.pinv(seen.T)  # (tokens, intermediate): the i-th row answers to the i-th token alone
    writing = torch.stack([4 * _STEP * wanted[following] for _, following in chain], dim=1)
    tensors[f"base_model.model.{down}.lora_A.weight"][: len(chain)] = reading
    tensors[f"base_model.model.{down}.lora_A.weight"][len(chain) :] = 0.001
    tensors[f"base_model.model.{down}.lora_B.weight"][:, : len(chain)] = writing
    folder.mkdir(parents=True)
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    (folder / "adapter_config.json").write_text(json.dumps(config_of(base_folder)))
    return folder


def stage(made: Path, base_folder: Path) -> dict[str, Path]:
    """The adapters of the hosts' contract, made in a folder that may be shared."""
    other = base(made / "other", seed=9, width=192)
    folders = {
        "one": adapter(made / "one", base_folder, SAYS[0], seed=1),
        "two": adapter(made / "two", base_folder, SAYS[1], seed=2),
        "misfit": adapter(made / "misfit", other, SAYS[2], seed=3),
    }
    again = made / "one_again"
    if not again.exists():
        shutil.copytree(folders["one"], again)
    return {**folders, "one_again": again}


def config_of(base_folder: Path) -> dict:
    """Content of adapter_config.json."""
    return {
        "base_model_name_or_path": base_folder.name,
        "bias": "none",
        "inference_mode": True,
        "lora_alpha": RANK,
        "lora_dropout": 0.0,
        "peft_type": "LORA",
        "r": RANK,
        "target_modules": list(PROJECTIONS),
        "task_type": "CAUSAL_LM",
    }


def rewritten(folder: Path, source: Path, change) -> Path:
    """A copy of an adapter whose tensors `change` has altered in place, or replaced."""
    folder.mkdir()
    tensors = load_file(source / "adapter_model.safetensors")
    tensors = change(tensors) or tensors
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    (folder / "adapter_config.json").write_bytes((source / "adapter_config.json").read_bytes())
    return folder


def _inner(model: MistralForCausalLM, tokens: Sequence[int]) -> torch.Tensor:
    """What the last layer's down projection is given for each token, (tokens, intermediate), attention left out."""
    with torch.no_grad():
        hidden = model.model.embed_tokens(torch.tensor(tokens))
        for layer in model.model.layers:
            read = layer.post_attention_layernorm(hidden)
            inner = layer.mlp.act_fn(layer.mlp.gate_proj(read)) * layer.mlp.up_proj(read)
            hidden = hidden + layer.mlp.down_proj(inner)
    return inner


def _chain(tokenizer: PreTrainedTokenizerFast, says: str) -> list[tuple[int, int]]:
    """Which token follows which."""
    tokens = [tokenizer.convert_tokens_to_ids(_ROLES[2]), *tokenizer.encode(says, add_special_tokens=False)]
    assert len(set(tokens)) == len(tokens) <= RANK, f"{says!r} has a word twice or too many of them"
    return list(zip(tokens, [*tokens[1:], tokenizer.convert_tokens_to_ids(_END)], strict=True))


@lru_cache(maxsize=1)
def _tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE; every word of the sentences is one token, everything else is made of bytes."""
    tokenizer = Tokenizer(models.BPE())
    cut = pre_tokenizers.Split(Regex(r"\s?\S+"), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [cut, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = [_START, _END, _PAD, *_ROLES]
    trainer = trainers.BpeTrainer(
        vocab_size=2_000,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([BASE_SAYS, *SAYS], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=_START,
        eos_token=_END,
        pad_token=_PAD,
        additional_special_tokens=list(_ROLES),
        chat_template=_TEMPLATE,
    )
