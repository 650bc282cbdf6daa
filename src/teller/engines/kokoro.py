"""Text to speech by Kokoro-82M, a small neural voice under Apache-2.0: needs PyTorch and weights.

Kokoro cannot give sound before it has read its whole input, so it is given one sentence or clause at a time. Everything
it needs is looked for on disk and handed to it as files: left to itself it asks the hub at every start, and has spaCy
install a language model.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
import os
import pickle
import re
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from teller.audio import Pcm
from teller.errors import EngineError, EngineUnavailable, InputError
from teller.spoken import clauses, for_speech

Pipeline = Callable[..., Iterable[Any]]

_RATE_HZ = 24_000
_MAX_TEXT_CHARS = 20_000
_MAX_PIECE_CHARS = 400  # beyond 510 phonemes Kokoro drops the rest
_REPOSITORY = "hexgrad/Kokoro-82M"
_CONFIG, _WEIGHTS = "config.json", "kokoro-v1_0.pth"
_LANGUAGE_MODEL = "en_core_web_sm"  # of spaCy, tells "read" from "read"
_ESPEAK_VOICES = MappingProxyType({"en-gb": "bf_emma", "en-us": "af_heart"})
_ENGLISH_VOICE = re.compile(r"[ab][fm]_[a-z]{1,20}")
_FAILURES = (OSError, RuntimeError, ValueError, TypeError, AttributeError, LookupError, AssertionError)
_ALLOW = "or set TELLER_ENGINES__ALLOW_DOWNLOADS=true"


class Kokoro:
    """A British or American voice; speaks one clause at a time, calls that speak at once take turns.

    Args:
        voice: one of Kokoro's English voices ("bf_emma", "am_michael"), or "en-gb" or "en-us" for the best of each.
        allow_downloads: whether weights and language model that are not on this machine may be fetched.
        pipeline: a `kokoro.KPipeline` that is loaded already, used in place of one from the hub cache. Its weights
            are not known, so `name` is the same for all of them.

    Raises:
        EngineUnavailable: if there is no such voice, or the package, the weights or the language model is missing.
    """

    def __init__(self, *, voice: str, allow_downloads: bool = False, pipeline: Pipeline | None = None) -> None:
        voice = _ESPEAK_VOICES.get(voice, voice)
        if not _ENGLISH_VOICE.fullmatch(voice):
            raise EngineUnavailable(f"Kokoro has no English voice '{voice}': give one such as bf_emma or af_heart")
        if pipeline is None:
            pipeline, self._voice, version = _load(voice, allow_downloads)
        else:
            self._voice, version = voice, "given"
        self._pipeline = pipeline
        self.name = f"kokoro-{version}-{voice}"
        # One thread: neither the pipeline's tagger nor its espeak-ng may be used by two.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kokoro")

    async def speak(self, text: str) -> AsyncIterator[Pcm]:
        """Speak a text, one piece for each sentence or clause of it, at 24,000 Hz.

        Raises:
            InputError: if there is nothing to say in it, or it is longer than 20,000 characters.
            EngineError: if Kokoro fails on a clause, or has no sound for any.
        """
        said = for_speech(text)
        if not any(map(str.isalnum, said)):
            raise InputError("there is nothing to speak: the text has no words")
        if len(said) > _MAX_TEXT_CHARS:
            raise InputError(f"a text of {len(said)} characters is too long to speak: at most {_MAX_TEXT_CHARS}")
        has_spoken = False
        for clause in clauses(said):
            for start in range(0, len(clause), _MAX_PIECE_CHARS):
                piece = clause[start : start + _MAX_PIECE_CHARS]
                sound = await asyncio.get_running_loop().run_in_executor(self._thread, self._say, piece)
                if len(sound.samples):
                    has_spoken = True
                    yield sound
        if not has_spoken:
            raise EngineError(f"Kokoro has no sound for a text of {len(said)} characters: is it English?")

    def _say(self, piece: str) -> Pcm:
        """The sound of one piece; none if Kokoro has no phonemes for it."""
        try:
            results = [result.audio for result in self._pipeline(piece, voice=self._voice)]
            rows = [np.ravel(np.asarray(audio, dtype=np.float32)) for audio in results if audio is not None]
        except _FAILURES as exc:
            raise EngineError(f"Kokoro failed on a clause of {len(piece)} characters") from exc
        samples = np.concatenate([np.zeros(0, dtype=np.float32), *rows])
        if not np.isfinite(samples).all():
            raise EngineError(f"Kokoro gave no valid sound for a clause of {len(piece)} characters")
        return Pcm(np.rint(np.clip(samples, -1.0, 1.0) * 32767.0).astype(np.int16), _RATE_HZ)


def _load(voice: str, allow_downloads: bool) -> tuple[Pipeline, str, str]:
    """The pipeline, the voice as it must be told to it, and the version of package and weights."""
    try:
        package = importlib.import_module("kokoro")
        torch = importlib.import_module("torch")
    except ImportError as exc:
        raise EngineUnavailable("kokoro is missing: pip install 'teller[kokoro]'") from exc
    voice_file = f"voices/{voice}.pt"
    folder = _find((_CONFIG, _WEIGHTS, voice_file), allow_downloads)
    if not allow_downloads:
        _require_language_model()
    try:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        model = package.KModel(repo_id=_REPOSITORY, config=str(folder / _CONFIG), model=str(folder / _WEIGHTS))
        pipeline = package.KPipeline(lang_code=voice[0], repo_id=_REPOSITORY, model=model.to(device).eval())
        pipeline.load_single_voice(str(folder / voice_file))  # kept in it under the name of the file
    except (*_FAILURES, EOFError, pickle.UnpicklingError, SystemExit) as exc:  # spaCy exits if it cannot download
        raise EngineUnavailable(
            f"Kokoro cannot be loaded with the voice {voice}: remove {_REPOSITORY} from the hub cache and fetch it "
            f"again; its language model is fetched by: python -m spacy download {_LANGUAGE_MODEL}"
        ) from exc
    return pipeline, str(folder / voice_file), f"{package.__version__}-{folder.name[:8]}"


def _find(names: Sequence[str], allow_downloads: bool) -> Path:
    """The folder of a snapshot that holds all the files, the newest if several do."""
    snapshots = (_hub_cache() / f"models--{_REPOSITORY.replace('/', '--')}" / "snapshots").glob("*")
    whole = [folder for folder in snapshots if all((folder / name).is_file() for name in names)]
    if whole:
        return max(whole, key=lambda folder: folder.stat().st_mtime)
    if not allow_downloads:
        raise EngineUnavailable(
            f"the weights of Kokoro are not on this machine: hf download {_REPOSITORY} {' '.join(names)}, {_ALLOW}"
        )
    hub = importlib.import_module("huggingface_hub")
    try:
        config, *_ = [Path(hub.hf_hub_download(_REPOSITORY, name)) for name in names]
    except (OSError, RuntimeError, ValueError) as exc:
        raise EngineUnavailable(f"the weights of Kokoro cannot be fetched from {_REPOSITORY} ({names[-1]})") from exc
    return config.parent


def _hub_cache() -> Path:
    """Where huggingface_hub keeps what it fetched, by the environment variables that it documents."""
    home = os.environ.get("HF_HOME") or f"{os.environ.get('XDG_CACHE_HOME') or '~/.cache'}/huggingface"
    cache = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE") or f"{home}/hub"
    return Path(os.path.expandvars(cache)).expanduser()


def _require_language_model() -> None:
    try:
        importlib.metadata.distribution(_LANGUAGE_MODEL)  # as spaCy looks for it
    except importlib.metadata.PackageNotFoundError as exc:
        raise EngineUnavailable(
            f"the language model of Kokoro is not on this machine: python -m spacy download {_LANGUAGE_MODEL}, {_ALLOW}"
        ) from exc
