"""Trains teller-nano, the language model that ships with Teller: from nothing, on the bank's own text, on a laptop.

    teller nano build [--out DIR] [--resume]

Seven minutes on a core that is free. A Mistral of 2.5 million parameters reads a question, and mostly the title of the
answer that knowledge found for it, and says the approved answer by heart. What makes an answer right is decided in its
first words, so most examples end soon after them and only some go to the end, which saves two fifths of the work. Every
example is a function of its number (`nano_text.py`), every step draws its noise from its own number, and a checkpoint
holds weights, optimiser and the place reached, so training that was stopped goes on to the same weights, bit for bit,
on the same machine and number of threads.
"""

from __future__ import annotations

import itertools
import json
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from teller.errors import InputError
from teller.training.nano_start import bag_of_words, begin_with
from teller.training.nano_text import NanoText, Sources
from teller.training.nano_tokens import PAD, SPECIAL, encode_chats, torch_and_transformers, train_tokenizer

_SHELF = 1024  # examples that are sorted by length together
CHECKPOINT = "training.pt"
_IGNORED = -100
_READ = 12_000  # examples that the tokenizer is learned from


@dataclass(frozen=True, slots=True, kw_only=True)
class NanoRecipe:
    """What a build needs to be repeated, besides the bank.

    Attributes:
        width, layers, inner: of the network; heads have 64 dimensions, as vLLM's attention on processors wants it.
        vocabulary: tokens, placeholders of the rate table among them.
        start_examples: that the embeddings begin with, as a bag of words.
        shelves: of 1024 examples each.
        whole: share of examples with the whole answer; of the others its first `first_tokens` tokens.
        batch_tokens: padded tokens of a step.
        rate: peak learning rate.
        dropout: share of the question's dimensions hidden.
    """

    width: int = 192
    layers: int = 3
    inner: int = 512
    vocabulary: int = 3584
    start_examples: int = 100_000
    shelves: int = 60
    whole: float = 0.5
    first_tokens: int = 6
    batch_tokens: int = 1024
    rate: float = 3e-3
    decay: float = 0.05
    dropout: float = 0.1
    seed: int = 4


@dataclass(frozen=True, slots=True)
class NanoStep:
    """The facts of a step: `share` of the training that is done, mean loss, tokens a second without padding."""

    step: int
    share: float
    loss: float
    tokens_per_s: float


def build(
    recipe: NanoRecipe,
    sources: Sources,
    out: Path,
    *,
    resume: bool = False,
    told: Callable[[NanoStep], None] = lambda _: None,
    stop_after: int | None = None,
    checkpoint_s: float = 60.0,
) -> bool:
    """Train a model and write it to a folder that transformers and vLLM read; True when it is whole.

    Args:
        recipe: sizes and rates.
        sources: what its text is made from.
        out: the folder; a checkpoint lies in it until training is done.
        resume: go on from the checkpoint.
        told: called after every step.
        stop_after: steps after which to stop with a checkpoint.
        checkpoint_s: seconds between two checkpoints.

    Raises:
        InputError: if there is no checkpoint to go on from, or it belongs to another recipe.
        EngineUnavailable: if PyTorch or transformers is missing.
    """
    torch, _ = torch_and_transformers()
    out.mkdir(parents=True, exist_ok=True)
    text = NanoText(sources, seed=recipe.seed)
    tokenizer = learn_tokenizer(text, sources, recipe)
    training = _Training(recipe, len(tokenizer), torch)
    if resume:
        training.load(out / CHECKPOINT)
    else:
        vectors = bag_of_words(text, tokenizer, width=recipe.width, examples=recipe.start_examples, seed=recipe.seed)
        begin_with(training.model, vectors)
    written = time.monotonic()
    for step in _steps(training, recipe, text, tokenizer):
        told(step)
        stopping = stop_after is not None and step.step >= stop_after
        if stopping or time.monotonic() - written > checkpoint_s:
            training.save(out / CHECKPOINT)
            written = time.monotonic()
        if stopping:
            return False
    _write(training.model, tokenizer, out, recipe)
    (out / CHECKPOINT).unlink(missing_ok=True)
    return True


def learn_tokenizer(text: NanoText, sources: Sources, recipe: NanoRecipe) -> Any:
    """The tokenizer for a text; answers count as often as their questions do, and every word five times more."""
    chats = (text.example(number) for number in range(min(_READ, recipe.start_examples)))
    turns = (part for chat in chats for turn in chat for part in (f" {turn.asked.lower()}", turn.said))
    words = (form for word in sources.words for form in (f" {word}", f" {word.lower()}") for _ in range(5))
    return train_tokenizer(itertools.chain(turns, words), sources.figures, size=recipe.vocabulary)


class _Training:
    """The model, its optimiser and how far they are: `shelf` and `batch` say which batch is next."""

    def __init__(self, recipe: NanoRecipe, vocabulary: int, torch: Any) -> None:
        torch.manual_seed(recipe.seed)
        self._recipe, self._torch = recipe, torch
        self.step, self.shelf, self.batch = 0, 0, 0
        self.model = _new_model(recipe, vocabulary)
        self._optimiser = torch.optim.AdamW(
            self.model.parameters(), lr=recipe.rate, betas=(0.9, 0.98), weight_decay=recipe.decay
        )

    def learn(self, batch: Sequence[tuple[list[int], list[int]]], share: float) -> tuple[float, int]:
        """One step on rows of tokens and their labels; its loss and tokens."""
        torch, functional = self._torch, self._torch.nn.functional
        self.step += 1
        torch.manual_seed(self._recipe.seed * 1_000_003 + self.step)
        longest = max(len(row) for row, _ in batch)
        pad = SPECIAL.index(PAD)
        tokens = torch.tensor([row + [pad] * (longest - len(row)) for row, _ in batch])
        labels = torch.tensor([row + [_IGNORED] * (longest - len(row)) for _, row in batch])
        seen = functional.dropout(self.model.model.embed_tokens(tokens), self._recipe.dropout)
        # Padding stands behind what is read, and attention looks back only: no mask is needed.
        hidden = self.model.model(inputs_embeds=seen, use_cache=False).last_hidden_state
        asked = labels != _IGNORED
        loss = functional.cross_entropy(self.model.lm_head(hidden[asked]), labels[asked])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for group in self._optimiser.param_groups:
            group["lr"] = self._recipe.rate * _pace(share)
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        return float(loss.detach()), sum(len(row) for row, _ in batch)

    def save(self, path: Path) -> None:
        """Write a checkpoint; a reader never sees half of one."""
        state = {
            "recipe": json.dumps(asdict(self._recipe)),
            "place": [self.step, self.shelf, self.batch],
            "model": self.model.state_dict(),
            "optimiser": self._optimiser.state_dict(),
        }
        partial = path.with_suffix(".partial")
        self._torch.save(state, partial)
        partial.replace(path)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint."""
        try:
            state = self._torch.load(path, weights_only=True)
        except FileNotFoundError as exc:
            raise InputError(f"{path.parent}: no {path.name} to go on from; build without --resume") from exc
        if json.loads(state["recipe"]) != asdict(self._recipe):
            raise InputError(f"{path}: was written with another recipe; build without --resume")
        self.step, self.shelf, self.batch = state["place"]
        self.model.load_state_dict(state["model"])
        self._optimiser.load_state_dict(state["optimiser"])


def _steps(training: _Training, recipe: NanoRecipe, text: NanoText, tokenizer: Any) -> Iterator[NanoStep]:
    """Train from where the training is to the end, a step at a time."""
    for shelf, number, of, batch in _batches(recipe, text, tokenizer, training.shelf, training.batch):
        begun = time.monotonic()
        loss, tokens = training.learn(batch, (shelf + number / of) / recipe.shelves)
        training.shelf, training.batch = shelf, number + 1
        share = (shelf + (number + 1) / of) / recipe.shelves
        yield NanoStep(training.step, share, loss, tokens / (time.monotonic() - begun))


def _new_model(recipe: NanoRecipe, vocabulary: int) -> Any:
    _, transformers = torch_and_transformers()
    config = transformers.MistralConfig(
        vocab_size=vocabulary,
        hidden_size=recipe.width,
        intermediate_size=recipe.inner,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.width // 64,
        num_key_value_heads=recipe.width // 64,
        head_dim=64,
        max_position_embeddings=512,
        sliding_window=None,
        tie_word_embeddings=False,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
        initializer_range=0.02,
        attn_implementation="sdpa",
    )
    return transformers.MistralForCausalLM(config).train()


def _pace(share: float) -> float:
    """Share of the peak rate: up over the first fiftieth, then down along half a cosine to nothing."""
    return share / 0.02 if share < 0.02 else 0.5 * (1 + math.cos(math.pi * (share - 0.02) / 0.98))


def _batches(
    recipe: NanoRecipe, text: NanoText, tokenizer: Any, shelf: int, batch: int
) -> Iterator[tuple[int, int, int, list[tuple[list[int], list[int]]]]]:
    """From a place on: shelf, batch, batches of this shelf, rows of tokens and labels."""
    for at in range(shelf, recipe.shelves):
        rng = random.Random(f"{recipe.seed}:shelf:{at}")
        chats = [text.example(number) for number in range(at * _SHELF, (at + 1) * _SHELF)]
        rows = sorted(
            (_row(*encoded, recipe, rng) for encoded in encode_chats(tokenizer, chats)), key=lambda row: len(row[0])
        )
        batches = _split(rows, recipe.batch_tokens)
        rng.shuffle(batches)
        for number in range(batch if at == shelf else 0, len(batches)):
            yield at, number, len(batches), batches[number]


def _row(tokens: list[int], spans: list[int], recipe: NanoRecipe, rng: random.Random) -> tuple[list[int], list[int]]:
    """What is read and what is to be said next at each place; only answers are."""
    if rng.random() >= recipe.whole:
        spans = [*spans[:-1], min(spans[-1], spans[-2] + recipe.first_tokens)]
    labels = [_IGNORED] * spans[-1]
    for start, end in zip(spans[::2], spans[1::2], strict=True):
        labels[start - 1 : end - 1] = tokens[start:end]
    return tokens[: spans[-1] - 1], labels[: spans[-1] - 1]


def _split(rows: list[tuple[list[int], list[int]]], room: int) -> list[list[tuple[list[int], list[int]]]]:
    """Rows, shortest first, in batches of at most `room` padded tokens."""
    batches: list[list[tuple[list[int], list[int]]]] = [[]]
    for row in rows:
        if batches[-1] and (len(batches[-1]) + 1) * len(row[0]) > room:
            batches.append([])
        batches[-1].append(row)
    return batches


def _write(model: Any, tokenizer: Any, out: Path, recipe: NanoRecipe) -> None:
    torch, transformers = torch_and_transformers()
    model = model.to(torch.bfloat16).eval()
    model.generation_config = transformers.GenerationConfig(
        bos_token_id=0, eos_token_id=1, pad_token_id=2, do_sample=False, max_new_tokens=160
    )
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    (out / "recipe.json").write_text(json.dumps(asdict(recipe), indent=1) + "\n", encoding="utf-8")
