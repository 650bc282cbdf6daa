"""How much of what it should say a teller-nano says, to the letter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teller.errors import InputError
from teller.prompts import UNKNOWN
from teller.training.nano_text import Turn, held_out, messages
from teller.training.nano_tokens import torch_and_transformers

_BATCH = 64


def open_nano(folder: Path) -> tuple[Any, Any]:
    """Model, in single precision, and tokenizer of a folder.

    Raises:
        InputError: if there is no model in it.
        EngineUnavailable: if PyTorch or transformers is missing.
    """
    torch, transformers = torch_and_transformers()
    if not (folder / "config.json").is_file():  # a name that is no folder would be looked for on the model hub
        raise InputError(f"{folder}: there is no model in it; `teller nano build` makes one")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    return model.eval(), transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)


def say(
    model: Any, tokenizer: Any, questions: Sequence[str], titles: Sequence[str] = (), *, longest: int = 160
) -> list[str]:
    """What is said to each question, alone, the likeliest token each time; `titles` as knowledge found them."""
    torch, _ = torch_and_transformers()
    order = sorted(range(len(questions)), key=lambda at: len(questions[at]))
    said = [""] * len(questions)
    for start in range(0, len(order), _BATCH):
        places = order[start : start + _BATCH]
        chats = [messages((Turn(questions[at], "", titles[at] if titles else ""),))[:-1] for at in places]
        given = tokenizer.apply_chat_template(
            chats, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
        )
        with torch.inference_mode():
            tokens = model.generate(
                input_ids=given["input_ids"], attention_mask=given["attention_mask"], max_new_tokens=longest
            )
        spoken = tokenizer.batch_decode(tokens[:, given["input_ids"].shape[1] :], skip_special_tokens=True)
        for at, text in zip(places, spoken, strict=True):
            said[at] = text
    return said


@dataclass(frozen=True, slots=True)
class Score:
    """Shares of questions.

    Attributes:
        right: asks answered with their approved text, to the letter.
        other: asks answered with another approved text, to the letter.
        refused: asks that were refused.
        off_topic_refused: off-topic questions that were refused.
    """

    asks: int
    right: float
    other: float
    refused: float
    off_topic: int
    off_topic_refused: float


def score(model: Any, tokenizer: Any, *, titled: bool = True) -> Score:
    """On the asks and off-topic questions that development keeps back; of no worth for a model trained on all.

    Args:
        model: as `open_nano` gives it.
        tokenizer: likewise.
        titled: whether asks come with the title of their answer, as if knowledge never erred.
    """
    asks, off_topic = held_out()
    texts = {one.text for _, one in asks}
    said = say(model, tokenizer, [ask for ask, _ in asks], [one.title for _, one in asks] if titled else ())
    pairs = [(one.text, text) for (_, one), text in zip(asks, said, strict=True)]
    declined = [text == UNKNOWN for text in say(model, tokenizer, off_topic)]
    return Score(
        asks=len(asks),
        right=sum(wanted == text for wanted, text in pairs) / len(pairs),
        other=sum(wanted != text and text in texts for wanted, text in pairs) / len(pairs),
        refused=sum(text == UNKNOWN for _, text in pairs) / len(pairs),
        off_topic=len(off_topic),
        off_topic_refused=sum(declined) / len(declined),
    )
