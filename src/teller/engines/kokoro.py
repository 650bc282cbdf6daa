"""Text to speech by Kokoro-82M, for production: a natural voice, at the price of PyTorch and half a second a clause.

Sound comes clause by clause, because the model speaks a clause at once or not at all. Its package `misaki` turns text
into phones with spaCy, and loads espeak-ng, which is licensed under the GPL 3, into this process for words that its
dictionary lacks: where that matters, use `espeak.py`, which keeps it out. Put `spoken_cache.py` in front.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
import importlib.util
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from teller.audio import Pcm
from teller.errors import EngineError, EngineUnavailable, InputError
from teller.spoken import clauses, for_speech

RATE_HZ = 24_000  # of everything that Kokoro speaks

_REPOSITORY = "hexgrad/Kokoro-82M"
_WEIGHTS = "kokoro-v1_0.pth"
_SPACY_MODEL = "en_core_web_sm"  # misaki would fetch it with pip on its own
_VOICES = MappingProxyType({"en-gb": "bf_emma", "en-us": "af_heart"})  # languages, as espeak.py names them
_MAX_TEXT_CHARS = 20_000


class Kokoro:
    """A Synthesizer; speaks one clause at a time, for any number of calls. The model is loaded on `warm` or first use.

    Args:
        voice: "bf_emma", "bm_george", "af_heart", ...: the first letter says British or American; or "en-gb", "en-us".
        folder: with config.json, kokoro-v1_0.pth and voices/<voice>.pt; unset: the local hub cache.
        allow_downloads: whether missing weights may be fetched from the hub.
        speed: 0.5 to 2.
        device: "cpu" or "cuda"; unset: CUDA if there is one.

    Raises:
        EngineUnavailable: if a package is missing.
        InputError: if the voice speaks no English, or the speed is out of range.
    """

    def __init__(
        self,
        *,
        voice: str = "en-gb",
        folder: Path | None = None,
        allow_downloads: bool = False,
        speed: float = 1.0,
        device: str | None = None,
    ) -> None:
        for package, what in (("kokoro", "kokoro"), (_SPACY_MODEL, "spaCy's English model")):
            if importlib.util.find_spec(package) is None:
                how = "pip install 'teller[kokoro]'" if package == "kokoro" else f"python -m spacy download {package}"
                raise EngineUnavailable(f"{what} is missing: {how}")
        self._voice = _VOICES.get(voice, voice)
        if self._voice[:1] not in {"a", "b"} or not self._voice.replace("_", "").isalnum():
            raise InputError(f"'{voice}' is no English voice of Kokoro: theirs begin with a (American) or b (British)")
        if not 0.5 <= speed <= 2:
            raise InputError(f"a speed lies between 0.5 and 2, got {speed:g}")
        self.name = f"kokoro-{importlib.metadata.version('kokoro')}-{self._voice}-{speed:g}x"
        self._folder = folder
        self._allow_downloads = allow_downloads
        self._speed = speed
        self._device = device
        self._pipeline: Any = None
        self._style: Any = None  # the voice: (510, 1, 256) floats, one row for each length of text
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kokoro")

    async def speak(self, text: str) -> AsyncIterator[Pcm]:
        """Speak a text, one piece or more for each sentence or clause of it, at 24,000 Hz.

        Raises:
            InputError: if there is nothing to say in it, or it is longer than 20,000 characters.
            EngineUnavailable: if the weights are missing.
            EngineError: if the model fails.
        """
        said = for_speech(text)
        if not any(map(str.isalnum, said)):
            raise InputError("there is nothing to speak: the text has no words")
        if len(said) > _MAX_TEXT_CHARS:
            raise InputError(f"a text of {len(said)} characters is too long to speak: at most {_MAX_TEXT_CHARS}")
        await self.warm()
        for clause in clauses(said):
            for piece in await self._in_thread(self._say, clause):
                yield piece

    async def warm(self) -> None:
        """Load the model, so that the first words come sooner.

        Raises:
            EngineUnavailable: if the weights are missing or damaged.
        """
        if self._pipeline is None:
            await self._in_thread(self._load)

    async def aclose(self) -> None:
        """End the thread; what it is speaking is dropped."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, work: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    def _load(self) -> None:
        if self._pipeline is not None:  # by the call before, while this one waited
            return
        try:
            kokoro = importlib.import_module("kokoro")
            torch = importlib.import_module("torch")
        except (ImportError, OSError) as exc:
            raise EngineUnavailable(f"kokoro cannot be imported ({exc}): pip install 'teller[kokoro]'") from exc
        config, weights, voice = (self._find(name) for name in ("config.json", _WEIGHTS, f"voices/{self._voice}.pt"))
        device = self._device or ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            model = kokoro.KModel(repo_id=_REPOSITORY, config=str(config), model=str(weights)).to(device).eval()
            self._style = torch.load(voice, weights_only=True, map_location="cpu")
            self._pipeline = kokoro.KPipeline(lang_code=self._voice[0], repo_id=_REPOSITORY, model=model)
        except (OSError, RuntimeError, ValueError, KeyError, AssertionError) as exc:
            raise EngineUnavailable(f"Kokoro's weights cannot be loaded on {device}: {exc}") from exc

    def _find(self, name: str) -> Path:
        if self._folder is not None:
            path = self._folder / name
            if path.is_file():
                return path
            raise EngineUnavailable(f"Kokoro's folder lacks {name}")
        try:
            hub = importlib.import_module("huggingface_hub")
            return Path(hub.hf_hub_download(_REPOSITORY, name, local_files_only=not self._allow_downloads))
        except (ImportError, OSError, ValueError, RuntimeError) as exc:
            raise EngineUnavailable(
                f"Kokoro's {name} is not on this machine: fetch {_REPOSITORY} into the hub cache, "
                "or set TELLER_ENGINES__ALLOW_DOWNLOADS=true"
            ) from exc

    def _say(self, clause: str) -> list[Pcm]:
        try:
            spoken = [
                result.audio for result in self._pipeline(clause, self._style, speed=self._speed, split_pattern=None)
            ]
        except (RuntimeError, ValueError, IndexError, AssertionError) as exc:
            raise EngineError(f"Kokoro failed on a clause of {len(clause)} characters") from exc
        return [_pcm(audio.detach().cpu().numpy()) for audio in spoken if audio is not None and audio.numel()]


def _pcm(samples: np.ndarray[Any, np.dtype[np.float32]]) -> Pcm:
    return Pcm(np.clip(np.rint(samples.reshape(-1) * 32768.0), -32768, 32767).astype(np.int16), RATE_HZ)
