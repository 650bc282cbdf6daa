"""Trains the bank's encoder: LoRA matrices on MiniLM that bring nearer what asks for the same answer.

    python -m teller.training.encoder [--check]

MiniLM was trained on everything; here it learns how this bank's callers ask. Each way of asking, itself left out, has
to find its answer among all ways of asking and all answers; questions that have no answer here have to find none. The
keys are remembered vectors, as in a memory bank (Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance
Discrimination", 2018), so that a step costs one small batch. Only LoRA matrices train. What two runs from different
beginnings add to the weights is averaged, for each errs in its own way (as in Wortsman et al., "Model soups", 2022).
Written to data/bank/encoder.safetensors; `--check` trains on five sixths of each answer's asks and prints how many of
the others find their answer. Needs PyTorch and PEFT (`pip install 'teller[lora]'`); fifteen minutes of one core.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, get_peft_model
from safetensors.numpy import save_file
from torch.nn import functional
from transformers import AutoModel, AutoTokenizer

from teller.bank_files import bank_folder, read_bank, read_near_topic, read_off_topic
from teller.banking.knowledge import Approved
from teller.banking.retrieval import SHARPNESS, TEXT_WEIGHT
from teller.config import load
from teller.engines.minilm import WEIGHTS_SHA256, weights_folder

SEEDS = (7, 9)  # one run each
EPOCHS = 2  # a third brought half a point of the held-out asks
RANK = 16  # of a run; what is written has the sum, for halved to 16 again it loses what the average gains
BATCH = 64
OFF_TOPIC_BATCH = 8
LEARNING_RATE = 5e-4
SMOOTHING = 0.05
FOLDS = 6
_MODULES = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)
_LAYERS = 6
_LONGEST = 80  # word pieces; an approved answer has about 60

Rows = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Lesson:
    """What the encoder learns from.

    Attributes:
        asks: ways of asking, and titles.
        answer_of: (asks,) number of the answer that each asks for.
        texts: what each answer says, title first.
        off_topic: questions that have no answer here.
    """

    asks: Sequence[str]
    answer_of: NDArray[np.int64]
    texts: Sequence[str]
    off_topic: Sequence[str]


def lesson_of(approved: Sequence[Approved], off_topic: Sequence[str]) -> Lesson:
    """The lesson of what the bank has approved."""
    rows = [(ask, number) for number, entry in enumerate(approved) for ask in (*entry.asks, entry.title)]
    texts = [f"{entry.title}. {entry.text}" for entry in approved]
    return Lesson([ask for ask, _ in rows], np.array([number for _, number in rows]), texts, off_topic)


class Encoder:
    """MiniLM with trainable LoRA matrices."""

    def __init__(self, rank: int = RANK) -> None:
        folder = weights_folder()
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        names = [f"encoder.layer.{layer}.{module}" for layer in range(_LAYERS) for module in _MODULES]
        lora = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules=names, bias="none")
        plain = AutoModel.from_pretrained(folder, local_files_only=True)
        self.model: Any = get_peft_model(plain, lora).eval()  # dropout takes a third of the time and gains nothing

    def embed(self, texts: Sequence[str]) -> torch.Tensor:
        """(n, 384) unit vectors, with gradients if they are asked for."""
        batch = self._tokenizer(list(texts), padding=True, truncation=True, max_length=_LONGEST, return_tensors="pt")
        states = self.model(**batch).last_hidden_state
        kept = batch["attention_mask"][..., None].to(states.dtype)
        return functional.normalize((states * kept).sum(1) / kept.sum(1), dim=-1)

    def embed_all(self, texts: Sequence[str]) -> torch.Tensor:
        """The same for many, without gradients."""
        vectors = torch.zeros(len(texts), 384)
        by_length = np.argsort([len(text) for text in texts], kind="stable")
        with torch.no_grad():
            for places in np.array_split(by_length, math.ceil(len(texts) / BATCH)):
                vectors[places] = self.embed([texts[at] for at in places])
        return vectors

    def matrices(self) -> dict[str, NDArray[np.float16]]:
        """The LoRA matrices as `MiniLm` reads them: for each module `lora_A` (r, in) and `lora_B` (out, r), scaled."""
        found = {}
        for name, weight in self.model.state_dict().items():
            for half, scale in (("lora_A", 1.0), ("lora_B", 2.0)):
                if name.endswith(f".{half}.default.weight"):
                    module = name.removeprefix("base_model.model.").removesuffix(f".{half}.default.weight")
                    found[f"{module}.{half}"] = (weight * scale).numpy().astype(np.float16)
        return found


def train(lesson: Lesson, told: Callable[[str], None], *, epochs: int = EPOCHS) -> Encoder:
    """Train once from each seed and average; `told` hears of each epoch.

    The same lesson gives the same matrices on the same machine.
    """
    return averaged([_train_once(lesson, seed, epochs, told) for seed in SEEDS])


def averaged(encoders: Sequence[Encoder]) -> Encoder:
    """One encoder to whose weights is added what the others add on average: their matrices side by side."""
    states = [encoder.model.state_dict() for encoder in encoders]
    downs = [name for name in states[0] if ".lora_A." in name]
    stacked = {}
    for down in downs:
        up = down.replace(".lora_A.", ".lora_B.")
        stacked[down] = torch.cat([state[down] for state in states])
        stacked[up] = torch.cat([state[up] for state in states], dim=1) / len(states)
    whole = Encoder(sum(len(state[downs[0]]) for state in states))
    whole.model.load_state_dict(stacked, strict=False)
    return whole


def _train_once(lesson: Lesson, seed: int, epochs: int, told: Callable[[str], None]) -> Encoder:
    torch.manual_seed(seed)
    encoder = Encoder()
    matrices = [weight for weight in encoder.model.parameters() if weight.requires_grad]
    nothing = torch.nn.Parameter(torch.tensor(-3.0))  # how easily a question finds no answer
    optimiser = torch.optim.AdamW(
        [
            {"params": matrices, "lr": LEARNING_RATE, "weight_decay": 0.01},
            {"params": [nothing], "lr": 1e-2, "weight_decay": 0.0},
        ]
    )
    steps = epochs * math.ceil(len(lesson.asks) / BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min(1, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / steps))
    )
    memory = _Memory(lesson, encoder, nothing)
    for epoch in range(epochs):
        memory.read_texts(encoder)
        losses = []
        for places, others in _batches(lesson, (seed, epoch)):
            vectors = encoder.embed([lesson.asks[at] for at in places] + [lesson.off_topic[at] for at in others])
            loss = memory.loss(vectors, torch.from_numpy(places), torch.from_numpy(others))
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(matrices, 1.0)
            optimiser.step()
            schedule.step()
            memory.remember(vectors.detach(), places, others)
            losses.append(loss.item())
        told(f"seed {seed}, epoch {epoch + 1} of {epochs}: loss {np.mean(losses):.3f}")
    return encoder


class _Memory:
    """Vectors of everything: of asks as they were when last trained on, of answers as of the epoch's beginning."""

    def __init__(self, lesson: Lesson, encoder: Encoder, nothing: torch.Tensor) -> None:
        self._asks, self._off_topic = encoder.embed_all(lesson.asks), encoder.embed_all(lesson.off_topic)
        self._answers_said, self._texts = lesson.texts, torch.empty(0)
        self._answers = torch.from_numpy(lesson.answer_of)
        self._belongs = functional.one_hot(self._answers, len(lesson.texts)).float()
        self._nothing = nothing

    def read_texts(self, encoder: Encoder) -> None:
        """Embed the answers anew."""
        self._texts = encoder.embed_all(self._answers_said)

    def loss(self, vectors: torch.Tensor, places: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        """Cross-entropy over all answers and none; a text is never its own key."""
        asked, elsewhere = vectors[: len(places)], vectors[len(places) :]
        right = functional.cross_entropy(
            self._scores(asked, places, None), self._answers[places], label_smoothing=SMOOTHING
        )
        none = torch.full((len(others),), self._belongs.shape[1])
        return right + 0.5 * functional.cross_entropy(self._scores(elsewhere, None, others), none)

    def remember(self, vectors: torch.Tensor, places: NDArray[np.int64], others: NDArray[np.int64]) -> None:
        """Keep the fresh vectors."""
        self._asks[places] = vectors[: len(places)]
        self._off_topic[others] = vectors[len(places) :]

    def _scores(self, probes: torch.Tensor, places: torch.Tensor | None, others: torch.Tensor | None) -> torch.Tensor:
        near, far = probes @ self._asks.T, probes @ self._off_topic.T
        if places is not None:
            near = near.scatter(1, places[:, None], -1.0)
        if others is not None:
            far = far.scatter(1, others[:, None], -1.0)
        votes = torch.log(torch.exp(SHARPNESS * (near - 1)) @ self._belongs + 1e-12)
        by_text = SHARPNESS * TEXT_WEIGHT * (probes @ self._texts.T)
        none = torch.logsumexp(SHARPNESS * (far - 1), 1) + 0.5 * SHARPNESS * TEXT_WEIGHT
        none = torch.logaddexp(self._nothing.expand(len(probes)), none)
        return torch.cat([votes + by_text, none[:, None]], dim=1)


def _batches(lesson: Lesson, seed: tuple[int, int]) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Places of asks, of like length in a batch so that little is padded, and of off-topic questions beside them."""
    random = np.random.default_rng(seed)
    shuffled = random.permutation(len(lesson.asks))
    batches = []
    for start in range(0, len(shuffled), 8 * BATCH):
        window = sorted(shuffled[start : start + 8 * BATCH].tolist(), key=lambda at: len(lesson.asks[at]))
        batches += [np.array(window[at : at + BATCH], dtype=np.int64) for at in range(0, len(window), BATCH)]
    few = min(OFF_TOPIC_BATCH, len(lesson.off_topic))
    return [
        (batches[at], random.choice(len(lesson.off_topic), few, replace=False))
        for at in random.permutation(len(batches))
    ]


def save(encoder: Encoder, path: Path) -> None:
    """Write the matrices with what they belong to."""
    save_file(encoder.matrices(), path, metadata={"base_sha256": WEIGHTS_SHA256})


def first_is_right(encoder: Encoder, lesson: Lesson, held_out: NDArray[np.bool_]) -> float:
    """Share of the held-out asks that find their own answer by votes of the others and the answer's text."""
    vectors, texts = encoder.embed_all(lesson.asks).numpy(), encoder.embed_all(lesson.texts).numpy()
    probes, keys = vectors[held_out], vectors[~held_out]
    belongs = np.eye(len(texts), dtype=np.float32)[lesson.answer_of[~held_out]]
    votes = np.log(np.exp(SHARPNESS * (probes @ keys.T - 1)) @ belongs + 1e-12) / SHARPNESS
    return float(((votes + TEXT_WEIGHT * (probes @ texts.T)).argmax(axis=1) == lesson.answer_of[held_out]).mean())


def without(lesson: Lesson, held_out: NDArray[np.bool_]) -> Lesson:
    """The lesson without some of the asks."""
    kept = [ask for ask, out in zip(lesson.asks, held_out, strict=True) if not out]
    return Lesson(kept, lesson.answer_of[~held_out], lesson.texts, lesson.off_topic)


def held_out_of(approved: Sequence[Approved], fold: int) -> NDArray[np.bool_]:
    """Which rows of `lesson_of` are held out in a fold; titles never are."""
    return np.array([at % FOLDS == fold and at < len(e.asks) for e in approved for at in range(len(e.asks) + 1)])


def main() -> int:
    """Train and write, or check."""
    parser = argparse.ArgumentParser(prog="python -m teller.training.encoder", description=__doc__)
    parser.add_argument("--check", action="store_true", help="measure on asks left out instead of writing")
    check = parser.parse_args().check
    torch.set_num_threads(1)  # sums in another order would give other weights
    approved = read_bank(load().settings).approved
    lesson = lesson_of(approved, [*read_off_topic(), *read_near_topic()])
    told: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True)  # noqa: E731, T201
    if check:
        held_out = held_out_of(approved, 0)
        before = first_is_right(Encoder(), lesson, held_out)
        after = first_is_right(train(without(lesson, held_out), told), lesson, held_out)
        sys.stdout.write(f"{before:.3f} before, {after:.3f} after\n")
        return 0
    save(train(lesson, told), bank_folder() / "encoder.safetensors")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
