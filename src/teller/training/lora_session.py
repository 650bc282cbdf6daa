"""From a recipe to a finished adapter's folder: load, encode, hash, train, prove, write.

What is proved: the base model in memory is the one on disk, tensor by tensor; no tensor of it changed, by SHA-256
before and after; just the LoRA matrices of the configuration were trained. It is written down in manifest.json.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import json
import math
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from peft import PeftModel, set_peft_model_state_dict
from safetensors.torch import load_file, save
from torch import Tensor

import teller
from teller.adapters.manifest import Manifest, canonical_json, digest_of
from teller.adapters.proof import CONFIG_FILE, check_trained, prove
from teller.adapters.tensors import tensor_digests
from teller.adapters.weights import MANIFEST_FILE, MODEL_FILE, BaseShapes, check_folder
from teller.errors import BusyError, InputError, StoreError
from teller.training.chat_data import ChatFile, Problems
from teller.training.chat_encoding import ChatEncoder
from teller.training.checkpoints import write_whole
from teller.training.fingerprints import fingerprint
from teller.training.lora_model import (
    NANO,
    attach_lora,
    base_tensors,
    expected_modules,
    load_base,
    plain_config,
    trainable,
)
from teller.training.lora_run import Run, checkpoint_path
from teller.training.nano_text import replay
from teller.training.packing import FEWEST, Pool
from teller.training.recipe import Recipe, Trained
from teller.training.tensor_digests import check_as_stored, digests
from teller.training.token_file import TokenFile, encode_file
from teller.turn import TrainingRecord

_MOST_REPLAY = 4_000  # conversations of teller-nano's own corpus; each epoch draws some of them
_QUESTIONS = 4


class Session:
    """A training run with all that it needs, open until `close`.

    Args:
        recipe: what is trained. A checkpoint of the same recipe and data is gone on with.

    Attributes:
        run: the loop.
        model: PEFT's, with the base model inside.
        before: SHA-256 of every base tensor in memory before the first step.
        warnings: what the operator should know.
        is_main: whether this process is the one that writes.

    Raises:
        InputError, EngineUnavailable, StoreError, BusyError: as `lora.train`.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self._accelerator = _processes(recipe)
        self.is_main = self._accelerator.is_main_process
        self.warnings: list[str] = []
        self.proof_cpu_s = 0.0
        self._lock = _claim(recipe) if self.is_main else None
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        recipe = self.recipe
        self._accelerator.wait_for_everyone()
        self._base = load_base(
            recipe.base,
            dtype=recipe.dtype,
            device=self._device,
            quantised=recipe.quantised,
            allow_downloads=recipe.allow_downloads,
        )
        self._encoder = ChatEncoder(self._base.tokenizer, ends=self._base.ends, context=self._base.context)
        pool, identity = self._encode()
        self._stored, self.before = self._hash_base()
        self.model = attach_lora(self._base, recipe)
        self._parent = self._take_parent()
        identity |= {"base_digest": digest_of(self._stored), "parent": self._parent}
        self.run = Run(recipe, self._base, self.model, pool, identity, self._accelerator)
        self._identity, self._pool = identity, pool
        self.resumed_at = self.run.progress.step

    def close(self) -> None:
        """Let others train here; a run without a checkpoint leaves nothing behind."""
        if self._lock is not None:
            if not checkpoint_path(self.recipe).exists():
                shutil.rmtree(self.recipe.work, ignore_errors=True)
            self._unlock()

    def finish(self) -> Trained:
        """Prove what was trained, and write the folder; every process must ask.

        Raises:
            InputError: if anything but the LoRA matrices of the configuration changed; nothing is written.
            StoreError: if it cannot be written; the checkpoint stays.
        """
        done = self.run.progress
        if done.held_out and done.best.loss >= done.held_out[0][1]:
            self.warnings.append("on what was held out the adapter is no better than the base model")
        matrices = self.run.take_best()
        with self._timed():
            trained = trainable(self.model).keys() | self.run.learnt.keys()
            check_trained(trained, self._modules)
            prove(self.before, digests(base_tensors(self.model)), trained).demand()
        if self.is_main:
            self._write(matrices)
            shutil.rmtree(self.recipe.work)
            self._unlock()  # the folder's name is free for another run from here on
        self._accelerator.wait_for_everyone()
        manifest = check_folder(self.recipe.output).manifest
        assert manifest is not None
        self._accelerator.wait_for_everyone()  # the first process may move the folder away
        return Trained(
            folder=self.recipe.output,
            manifest=manifest,
            losses=tuple(done.losses),
            held_out=tuple(done.held_out),
            resumed_at=self.resumed_at,
            stopped_early=self.run.stopped_early,
            warnings=tuple(self.warnings),
        )

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def _device(self) -> str:
        device = self._accelerator.device
        return "cpu" if device.type == "cpu" else str(device)

    @property
    def _config(self) -> dict[str, Any]:
        return plain_config(self.model.peft_config["default"])

    @property
    def _modules(self) -> tuple[str, ...]:
        return expected_modules(self._base, self.model.peft_config["default"])

    def _encode(self) -> tuple[Pool, dict[str, Any]]:
        recipe, number = self.recipe, self._accelerator.process_index
        data, data_sha256 = encode_file(recipe.data, self._encoder, recipe.work / f"data-{number}.tokens")
        mixed, mixed_sha256 = self._encode_replay(number, len(data))
        pool = Pool.split(
            data,
            mixed,
            replay_share=recipe.replay_share,
            held_out_share=recipe.held_out_share,
            seed=recipe.seed,
        )
        if not len(pool.held_out):
            self.warnings.append(
                f"nothing is held out (fewer than {FEWEST} different conversations, or a share of 0): "
                "training cannot stop early, and no loss on unseen data is known"
            )
        identity = {"data_sha256": data_sha256, "replay_sha256": mixed_sha256}
        return pool, identity | {"template_sha256": self._encoder.template_sha256}

    def _encode_replay(self, number: int, conversations: int) -> tuple[TokenFile | None, str]:
        """General conversations, for as many of data; and their SHA-256."""
        recipe = self.recipe
        if not recipe.replay_share:
            self.warnings.append("no replay: what the base model knows otherwise may be lost while the adapter is on")
            return None, ""
        source = recipe.replay
        if source is None and recipe.base == NANO:
            source = recipe.work / f"replay-{number}.jsonl"
            wanted = math.ceil(conversations * recipe.replay_share / (1 - recipe.replay_share)) * recipe.epochs
            rows = islice(replay(recipe.seed), min(wanted, _MOST_REPLAY))
            write_whole(source, "".join(f"{json.dumps(row)}\n" for row in rows).encode())
        if source is None:
            raise InputError(
                f"recipe: replay: {recipe.replay_share:.0%} of what is trained on should be general conversations, and "
                "no file of them is named: name one, or set the share to 0 and lose general skill"
            )
        return encode_file(source, self._encoder, recipe.work / f"replay-{number}.tokens")

    def _hash_base(self) -> tuple[dict[str, str], dict[str, str]]:
        """Digests of the base model as it is stored, and as it is in memory."""
        with self._timed():
            stored = tensor_digests(self._base.folder)
            tensors = base_tensors(self._base.model)
            if not self.recipe.quantised:
                check_as_stored(tensors, self._base.folder)
            return stored, digests(tensors)

    def _take_parent(self) -> str | None:
        """Begin with the matrices of another adapter; its digest."""
        folder = self.recipe.parent
        if folder is None:
            return None
        facts = check_folder(folder, base=BaseShapes.read(self._base.folder), base_digest=digest_of(self._stored))
        if (facts.rank, facts.modules) != (self.recipe.rank, self._modules):
            raise InputError(
                f"the parent has rank {facts.rank} and {len(facts.modules)} modules; wanted rank {self.recipe.rank} "
                f"and the {len(self._modules)} modules of this recipe"
            )
        if facts.manifest is None:
            raise InputError("the parent has no manifest; wanted an installed version of an adapter")
        found: Any = set_peft_model_state_dict(self.model, load_file(folder / MODEL_FILE))
        if found.unexpected_keys:
            raise InputError(f"the parent holds what does not belong to it: {found.unexpected_keys[0]}")
        return folder.name

    def _write(self, matrices: Mapping[str, Tensor]) -> None:
        recipe, new = self.recipe, self.recipe.work / "adapter"
        named = {name.replace(".default.", "."): matrix.float().cpu().contiguous() for name, matrix in matrices.items()}
        try:
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir()
        except OSError as exc:
            raise StoreError(f"the adapter cannot be written ({exc.strerror}); its checkpoint is kept") from exc
        write_whole(new / MODEL_FILE, save(named, metadata={"format": "pt"}))
        write_whole(new / CONFIG_FILE, canonical_json(self._config))
        shapes = BaseShapes.read(self._base.folder)
        facts = check_folder(new, base=shapes)
        write_whole(new / MANIFEST_FILE, self._manifest(new, facts.tensors).to_json())
        check_folder(new, base=shapes, base_digest=digest_of(self._stored))
        try:
            new.replace(recipe.output)
        except OSError as exc:
            raise StoreError(
                f"{recipe.output.name} cannot be written ({exc.strerror}); the checkpoint is kept"
            ) from exc

    def _manifest(self, folder: Path, tensors: Mapping[str, str]) -> Manifest:
        questions = self.recipe.questions or _first_questions(self.recipe.data)
        base, on = self._fingerprints(folder, questions)
        if base == on:
            self.warnings.append("the adapter changes nothing of what is said to the fingerprint's questions")
        identity = {key: value for key, value in self._identity.items() if key not in ("data_sha256", "parent")}
        extra = {"base": self._base.model.name_or_path, "in_memory_digest": digest_of(self.before)}
        return Manifest(
            name=self.recipe.name,
            base_name=self._base.model.name_or_path,
            base_digest=digest_of(self._stored),
            base_tensors=self._stored,
            adapter_tensors=tensors,
            trained=tuple(sorted(self.run.learnt)),
            config=self._config,
            data_sha256=self._identity["data_sha256"],
            code_version=code_version(),
            seed=self.recipe.seed,
            recipe=self.recipe.repeatable() | identity | extra,
            parent=self._parent,
            metrics=self._metrics(),
            seconds=self.run.progress.seconds,
            made_at=time.time(),
            fingerprint_questions=questions,
            fingerprint_base=base,
            fingerprint_on=on,
        )

    def _metrics(self) -> dict[str, float]:
        done = self.run.progress
        held_out = {"held_out_loss": done.best.loss, "held_out_loss_base": done.held_out[0][1]} if done.held_out else {}
        return held_out | {
            "loss_first": done.losses[0],
            "loss_last": done.losses[-1],
            "steps": done.step,
            "learning_rate": self.run.top_rate,
            "tokens": done.tokens,
            "tokens_per_s": done.tokens / done.seconds,
            "conversations": len(self._pool.data),
            "held_out_conversations": len(self._pool.held_out),
            "proof_cpu_s": self.proof_cpu_s,
        }

    def _fingerprints(self, folder: Path, questions: tuple[str, ...]) -> tuple[Any, Any]:
        """Of base and adapter, by a model as it is served: whole, and in its own precision."""
        model, asked = self.model, (self._base.tokenizer, self._encoder.template, questions, self._base.ends)
        if self.recipe.quantised or self.recipe.shard:
            served = load_base(str(self._base.folder), dtype=self.recipe.dtype, device=self._device)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # as in `attach_lora`
                model = PeftModel.from_pretrained(served.model, folder)
        model.eval()
        with model.disable_adapter():
            base = fingerprint(model, *asked)
        return base, fingerprint(model, *asked)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        begun = time.process_time()
        try:
            yield
        finally:
            self.proof_cpu_s += time.process_time() - begun


def train_here(recipe: Recipe, told: Callable[[TrainingRecord], None]) -> Trained:
    """As `lora.train`, in this process."""
    with torch.random.fork_rng():
        session = Session(recipe)
        try:
            while not session.run.finished:
                record = session.run.advance()
                if session.is_main:
                    told(record)
            return session.finish()
        finally:
            session.close()


def code_version() -> str:
    """Which code trains: Teller's version and a hash of the training code, and the libraries beneath."""
    sources = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        sources.update(path.read_bytes())
    libraries = ("torch", "transformers", "peft")
    beneath = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in libraries)
    return f"teller {teller.__version__} ({sources.hexdigest()[:12]}), {beneath}"


def _processes(recipe: Recipe) -> Accelerator:
    if recipe.device == "cuda" and not torch.cuda.is_available():
        raise InputError("recipe: device: found 'cuda', and there is no GPU here; wanted 'cpu'")
    device = recipe.device or ("cuda" if torch.cuda.is_available() else "cpu")
    accelerator = Accelerator(cpu=device == "cpu", mixed_precision="no")  # `Objective` sees to precision
    if accelerator.distributed_type.name not in ("NO", "MULTI_CPU", "MULTI_GPU"):
        raise InputError(
            f"accelerate is set to {accelerator.distributed_type.name}; wanted plain processes: "
            "FSDP2 is asked for in the recipe (shard)"
        )
    return accelerator


def _claim(recipe: Recipe) -> int:
    """Make the work folder, and keep others out of it."""
    if recipe.output.exists():
        raise InputError(f"{recipe.output.name} is there already; name a folder that is not")
    try:
        recipe.work.mkdir(parents=True, exist_ok=True)
        handle = os.open(recipe.work / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as exc:
        raise StoreError(f"{recipe.work.name} cannot be made ({exc.strerror})") from exc
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        os.close(handle)
        raise BusyError(
            f"{recipe.work.name}: another process trains there; wait for it, or name another output"
        ) from exc
    return handle


def _first_questions(path: Path) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for conversation in ChatFile(path).conversations(Problems()):
        found[next(message.content for message in conversation.messages if message.role == "user")] = None
        if len(found) == _QUESTIONS:
            break
    return tuple(found)
