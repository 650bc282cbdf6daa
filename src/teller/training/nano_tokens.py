"""The tokenizer of teller-nano: byte-level pieces learned from its own text, and the chat template.

The template is where a question becomes what the model was trained on: lower case, without punctuation, one space
between words, so that typed and transcribed questions are one and no text of a caller is read as a mark of the
template. Of the system message it keeps the title of the first approved answer: the model knows its bank by heart, and
the title says which answer knowledge found.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

from teller.errors import EngineUnavailable
from teller.prompts import APPROVED
from teller.training.nano_text import Chat

BEGIN, END, PAD, USER, BOT, TITLE = "<s>", "</s>", "<pad>", "<|user|>", "<|bot|>", "<|title|>"
SPECIAL = (BEGIN, END, PAD, USER, BOT, TITLE)  # their ids are 0 to 5
_DROPPED = "'’"
_SPACED = '?!.,;:"“”()[]{}<>|-–—_/\\'
_WORD_OF_TEXT = r" ?[A-Za-z]+(?:'[a-z]+)?| ?[0-9]| ?[^\sA-Za-z0-9]+|\s+"


def torch_and_transformers() -> tuple[Any, Any]:
    """The two packages that teller-nano is built and asked with.

    Raises:
        EngineUnavailable: if one is missing.
    """
    try:
        return importlib.import_module("torch"), importlib.import_module("transformers")
    except ImportError as exc:
        raise EngineUnavailable(f"teller-nano needs the package {exc.name}: pip install 'teller[lora]'") from exc


def chat_template(*, marks: bool = True) -> str:
    """The Jinja template; with `marks` it says which tokens the assistant's are."""
    begin, end = ("{% generation %}", "{% endgeneration %}") if marks else ("", "")
    head = f"{APPROVED}- ".replace("\n", "\\n")
    return (
        f"{BEGIN}{{% for message in messages %}}{{% set text = message['content'] %}}"
        f"{{% if message['role'] == 'system' %}}{{% set found = text.split('{head}') %}}"
        f"{{% if found | length > 1 %}}{{% set title = found[1].split(':')[0] %}}{TITLE} {_plain('title')}{{% endif %}}"
        f"{{% elif message['role'] == 'user' %}}{USER} {_plain('text')}"
        f"{{% elif message['role'] == 'assistant' %}}{BOT}{begin}{{{{ text }}}}{END}{end}"
        f"{{% endif %}}{{% endfor %}}{{% if add_generation_prompt %}}{BOT}{{% endif %}}"
    )


def _plain(name: str) -> str:
    """Jinja for what `plain_question` makes of a variable."""
    made = f"{name} | lower" + "".join(f" | replace({mark!r}, '')" for mark in _DROPPED)
    made += "".join(f" | replace({mark!r}, ' ')" for mark in _SPACED)
    return f"{{{{ ({made}).split() | join(' ') }}}}"


def plain_question(text: str) -> str:
    """What the template makes of a question."""
    text = re.sub(f"[{re.escape(_SPACED)}]", " ", re.sub(f"[{_DROPPED}]", "", text.lower()))
    return " ".join(text.split())


def train_tokenizer(texts: Iterable[str], placeholders: Sequence[str], *, size: int) -> Any:
    """A `PreTrainedTokenizerFast` of `size` tokens; placeholders are tokens of their own.

    Raises:
        EngineUnavailable: if transformers is missing.
    """
    tokenizers = importlib.import_module("tokenizers")
    pre = tokenizers.pre_tokenizers
    learner = tokenizers.Tokenizer(tokenizers.models.BPE())
    split = pre.Split(tokenizers.Regex(_WORD_OF_TEXT), "isolated")
    learner.pre_tokenizer = pre.Sequence([split, pre.ByteLevel(add_prefix_space=False, use_regex=False)])
    learner.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size - len(placeholders),
        special_tokens=list(SPECIAL),
        initial_alphabet=pre.ByteLevel.alphabet(),
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer)
    learner.add_tokens([tokenizers.AddedToken(f"{{{key}}}", normalized=False) for key in placeholders])
    _, transformers = torch_and_transformers()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=learner,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[USER, BOT, TITLE],
        clean_up_tokenization_spaces=False,
        model_max_length=512,
        padding_side="left",
    )
    tokenizer.chat_template = chat_template()
    return tokenizer


def encode_chats(tokenizer: Any, chats: Sequence[Chat]) -> list[tuple[list[int], list[int]]]:
    """For each chat its tokens, and the place where the answer of its last turn begins with its length.

    The same tokens that the chat template gives, an order of magnitude faster.
    """
    texts = []
    for chat in chats:
        texts += [f" {plain_question(_headed(chat[0].title))}"] if chat[0].title else []
        texts += [part for turn in chat for part in (f" {plain_question(turn.asked)}", turn.said)]
    pieces = iter(tokenizer.backend_tokenizer.encode_batch_fast(texts, add_special_tokens=False))
    begin, end, _, user, bot, title = range(6)
    rows = []
    for chat in chats:
        row, answers = [begin], []
        if chat[0].title:
            row += [title, *next(pieces).ids]
        for _ in chat:
            row += [user, *next(pieces).ids, bot]
            start = len(row)
            row += [*next(pieces).ids, end]
            answers += [start, len(row)]
        rows.append((row, answers))
    return rows


def _headed(title: str) -> str:
    """As much of a title as the template takes."""
    return title.partition(":")[0]
