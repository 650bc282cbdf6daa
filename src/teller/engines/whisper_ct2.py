"""Speech to text by Whisper on CTranslate2 (faster-whisper), for production.

Set against Whisper's known habit of inventing sentences where nothing was said: voice activity is looked for first, no
earlier text is fed back, nothing is drawn at random, and segments that the model itself takes for silence, or that
repeat themselves, are dropped. Weights come from a folder or the local hub cache, and from the network only if that is
allowed.
"""

from __future__ import annotations

import asyncio
import importlib
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teller.audio import SPEECH_RATE_HZ
from teller.errors import EngineError, EngineUnavailable, InputError
from teller.turn import Speech, Transcript

# Of the Whisper paper's long-form decoding (Radford et al. 2022, section 4.5), but for the log probability, which is -1
# there: to be asked again costs a caller less than to be answered something that was never said.
_MAX_NO_SPEECH = 0.6
_MIN_LOGPROB = -0.5
_MAX_COMPRESSION = 2.4


class FasterWhisper:
    """A Transcriber for English.

    Args:
        model: "tiny" to "large-v3", a hub name, or a folder with a converted model and its tokenizer.json.
        allow_downloads: whether missing weights may be fetched from the hub.
        device: "cpu", "cuda" or "auto".
        compute_type: "int8", "float16", "float32" or "default", what the weights have.
        workers: utterances heard at once.
        threads: of each worker on a CPU; 0 leaves it to the library.
        beam_size: readings followed at once.

    Raises:
        EngineUnavailable: if the package or the weights are missing or damaged, or the device cannot run them.
    """

    def __init__(
        self,
        model: str = "small",
        *,
        allow_downloads: bool = False,
        device: str = "auto",
        compute_type: str = "default",
        workers: int = 1,
        threads: int = 0,
        beam_size: int = 5,
    ) -> None:
        try:
            package = importlib.import_module("faster_whisper")
        except ImportError as exc:
            raise EngineUnavailable("faster-whisper is missing: pip install 'teller[whisper]'") from exc
        folder = _find(package, model, allow_downloads)
        try:
            self._model = package.WhisperModel(
                str(folder),
                device=device,
                compute_type=compute_type,
                cpu_threads=threads,
                num_workers=workers,
                local_files_only=True,
            )
        except (OSError, RuntimeError, ValueError) as exc:
            raise EngineUnavailable(
                f"Whisper '{_short(model)}' cannot be loaded on {device} as {compute_type}: its files are damaged, or "
                "this machine has no such device or cannot compute so"
            ) from exc
        self.name = f"faster-whisper-{package.__version__}-{_short(model)}-{compute_type}"
        self._beam_size = beam_size
        self._threads = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="whisper")

    async def transcribe(self, speech: Speech) -> Transcript:
        """Hear one utterance; the confidence is the geometric mean of its tokens' probabilities.

        Raises:
            InputError: if the sound is not at 16 kHz.
            EngineError: if the model fails.
        """
        pcm = speech.pcm
        if pcm.rate_hz != SPEECH_RATE_HZ:
            raise InputError(f"speech is heard at {SPEECH_RATE_HZ} Hz, got {pcm.rate_hz} Hz")
        if not len(pcm.samples):
            return Transcript("", confidence=0.0)
        samples = pcm.samples.astype(np.float32) / 32768.0
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._hear, samples)

    async def aclose(self) -> None:
        """End the threads; what they are hearing is dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _hear(self, samples: NDArray[np.float32]) -> Transcript:
        try:
            segments, _ = self._model.transcribe(
                samples,
                language="en",
                task="transcribe",
                beam_size=self._beam_size,
                temperature=0.0,
                condition_on_previous_text=False,
                without_timestamps=True,
                vad_filter=True,
                no_speech_threshold=_MAX_NO_SPEECH,
                log_prob_threshold=_MIN_LOGPROB,  # used for silence only: there is one temperature
            )
            return transcript_of(list(segments))
        except (RuntimeError, ValueError) as exc:
            raise EngineError(f"Whisper failed on {len(samples) / SPEECH_RATE_HZ:.1f} s of speech") from exc


def transcript_of(segments: Sequence[Any]) -> Transcript:
    """The words of the segments that hold any.

    Args:
        segments: faster-whisper's, with `text`, `tokens`, `avg_logprob`, `no_speech_prob` and `compression_ratio`.
    """
    kept = [
        segment
        for segment in segments
        if not (segment.no_speech_prob > _MAX_NO_SPEECH and segment.avg_logprob < _MIN_LOGPROB)
        and segment.compression_ratio <= _MAX_COMPRESSION
    ]
    text = " ".join("".join(segment.text for segment in kept).split())
    tokens = sum(len(segment.tokens) for segment in kept)
    if not text or not tokens:
        return Transcript("", confidence=0.0)
    logprob = sum(segment.avg_logprob * len(segment.tokens) for segment in kept) / tokens
    return Transcript(text, confidence=min(1.0, math.exp(logprob)))


def _find(package: Any, model: str, allow_downloads: bool) -> Path:
    folder = Path(model)
    if not folder.is_dir():
        try:
            folder = Path(package.download_model(model, local_files_only=not allow_downloads))
        except (OSError, ValueError, RuntimeError) as exc:
            raise EngineUnavailable(
                f"the weights of Whisper '{_short(model)}' are not on this machine: put a converted model into a "
                "folder and name it in TELLER_ENGINES__TRANSCRIBER_MODEL, or set TELLER_ENGINES__ALLOW_DOWNLOADS=true"
            ) from exc
    missing = [name for name in ("model.bin", "config.json", "tokenizer.json") if not (folder / name).is_file()]
    if missing:  # without its tokenizer.json faster-whisper would ask the hub, whatever it was told
        raise EngineUnavailable(f"the folder of Whisper '{_short(model)}' lacks {', '.join(missing)}")
    return folder


def _short(model: str) -> str:
    """Neither a path nor a hub's owner."""
    return Path(model).name
