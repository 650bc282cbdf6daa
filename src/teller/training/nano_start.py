"""Where the weights of teller-nano begin: at a bag of words, learned in a minute, instead of at noise.

What a question asks for is mostly in its words, whatever their order. A linear classifier over the mean of normalised
word vectors learns that four thousand times as fast as the network would. Its vectors become the network's embeddings,
and the first layer's attention, which starts out even, begins as that mean: value and output are the identity.
"""

from __future__ import annotations

import itertools
from typing import Any

from teller.training.nano_text import NanoText
from teller.training.nano_tokens import SPECIAL, encode_chats, torch_and_transformers

_BATCH = 512
_RATE = 0.03  # 0.01 was still learning after as many examples
_DECAY = 0.01
_DROPOUT = 0.2
_SPREAD = 0.3  # standard deviation of a vector's entries at the start


def bag_of_words(text: NanoText, tokenizer: Any, *, width: int, examples: int, seed: int) -> Any:
    """(vocabulary, width) token vectors whose mean tells which answer a question asks for."""
    torch, _ = torch_and_transformers()
    functional = torch.nn.functional
    draw = torch.Generator().manual_seed(seed)
    vectors = (torch.randn(len(tokenizer), width, generator=draw) * _SPREAD).requires_grad_()
    classes: dict[str, int] = {}
    chats = [text.example(number)[-1:] for number in range(examples)]
    for chat in chats:
        classes.setdefault(chat[0].said, len(classes))
    readout = (torch.randn(len(classes), width, generator=draw) / width**0.5).requires_grad_()
    optimiser = torch.optim.AdamW([vectors, readout], lr=_RATE, weight_decay=_DECAY)
    batches = range(0, examples - _BATCH + 1, _BATCH)
    for start in batches:
        batch = chats[start : start + _BATCH]
        words = [
            [token for token in tokens[: spans[0]] if token >= len(SPECIAL)]
            for tokens, spans in encode_chats(tokenizer, [(chat[0]._replace(said=""),) for chat in batch])
        ]
        ends = list(itertools.accumulate((len(row) for row in words[:-1]), initial=0))
        normal = functional.rms_norm(vectors, (width,))
        flat = torch.tensor([token for row in words for token in row])
        mean = functional.embedding_bag(flat, normal, torch.tensor(ends), mode="mean")
        kept = torch.bernoulli(torch.full_like(mean, 1 - _DROPOUT), generator=draw) / (1 - _DROPOUT)
        wanted = torch.tensor([classes[chat[0].said] for chat in batch])
        loss = functional.cross_entropy((mean * kept) @ readout.T, wanted)
        for group in optimiser.param_groups:
            group["lr"] = _RATE * (1 - start / examples)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return vectors.detach()


def begin_with(model: Any, vectors: Any) -> None:
    """Put the vectors into a fresh model and let its first layer take their mean."""
    torch, _ = torch_and_transformers()
    attention = model.model.layers[0].self_attn
    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(vectors)
        for projection in (attention.v_proj, attention.o_proj):
            torch.nn.init.eye_(projection.weight)
