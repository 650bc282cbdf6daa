"""What a model in memory says first to fixed questions: evidence that an adapter is applied."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch

from teller.ports import Fingerprint

_TOKENS = 8


def fingerprint(
    model: Any, tokenizer: Any, template: str, questions: Sequence[str], ends: Collection[int]
) -> Fingerprint:
    """As `AdapterHost.fingerprint`: the first 8 tokens said to each question, greedily, and their log-probabilities.

    An answer that ends sooner has fewer; what ends it is counted as a token.
    """
    rows = [_say(model, tokenizer, template, question, ends) for question in questions]
    return Fingerprint(tuple(tokens for tokens, _ in rows), tuple(logprobs for _, logprobs in rows))


def _say(
    model: Any, tokenizer: Any, template: str, question: str, ends: Collection[int]
) -> tuple[tuple[str, ...], tuple[float, ...]]:
    ids: list[int] = tokenizer.apply_chat_template(
        [{"role": "user", "content": question}],
        chat_template=template,
        add_generation_prompt=True,
        return_dict=False,
    )
    tokens, logprobs = [], []
    device = next(model.parameters()).device
    with torch.inference_mode():
        for _ in range(_TOKENS):
            logits = model(input_ids=torch.tensor([ids], device=device), use_cache=False).logits[0, -1]
            best = int(logits.argmax())
            tokens.append(str(tokenizer.decode([best])))
            logprobs.append(float(logits.float().log_softmax(-1)[best]))
            if best in ends:
                break
            ids = [*ids, best]
    return tuple(tokens), tuple(logprobs)
