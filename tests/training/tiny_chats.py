"""A Mistral of 40,000 parameters with its own tokenizer, and little conversations for it."""

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import MistralConfig, MistralForCausalLM, PreTrainedTokenizerFast

LAYERS = 2
TOPICS = ["card", "loan", "fee", "rate", "account", "transfer", "limit", "branch", "app", "pin", "mortgage", "cheque"]
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + '[/INST]' }}{% elif message['role'] == 'assistant' %}"
    "{% generation %}{{ ' ' + message['content'] + eos_token }}{% endgeneration %}{% endif %}{% endfor %}"
)


def chat(question: str, answer: str) -> dict[str, list[dict[str, str]]]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def conversations(count: int, *, about: str = "my") -> list[dict]:
    asked = ["where is", "what about", "how do I find", "tell me of"]
    return [
        chat(f"{asked[at % 4]} {about} {TOPICS[at % 12]} {at}?", f"Your {TOPICS[at % 12]} is at desk {at % 12}.")
        for at in range(count)
    ]


def write_jsonl(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def tiny_mistral(
    folder: Path, *, template: str | None = TEMPLATE, seed: int = 0, dtype: torch.dtype = torch.float32
) -> Path:
    """The folder of a random model; made if it is not there."""
    if not folder.exists():
        tokenizer = _tokenizer(template)
        torch.manual_seed(seed)
        config = MistralConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=LAYERS,
            num_attention_heads=4,
            num_key_value_heads=2,
            sliding_window=None,
            max_position_embeddings=128,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=2,
            tie_word_embeddings=True,
        )
        MistralForCausalLM(config).to(dtype).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder


def _tokenizer(template: str | None) -> PreTrainedTokenizerFast:
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    special = ["<s>", "</s>", "<pad>", "[INST]", "[/INST]"]
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    text = [message["content"] for row in conversations(60) for message in row["messages"]]
    inner.train_from_iterator(text, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        additional_special_tokens=["[INST]", "[/INST]"],
    )
    tokenizer.chat_template = template
    return tokenizer
