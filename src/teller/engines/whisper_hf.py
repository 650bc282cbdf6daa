"""Speech to text by Whisper on transformers and PyTorch, where CTranslate2 does not run or fine-tuned weights are used.

The same guards against invented sentences as `whisper_ct2.py`, but for voice activity, which endpointing looks for
anyway: no earlier text is fed back, decoding is greedy, and windows that the model takes for silence, or that repeat
themselves, are dropped.
"""

from __future__ import annotations

import asyncio
import importlib
import math
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from teller.audio import SPEECH_RATE_HZ
from teller.errors import EngineError, EngineUnavailable, InputError
from teller.turn import Speech, Transcript

_WINDOW = 30 * SPEECH_RATE_HZ  # samples that Whisper hears at once
# Of the Whisper paper's long-form decoding (Radford et al. 2022, section 4.5), but for the log probability, which is -1
# there: to be asked again costs a caller less than to be answered something that was never said.
_MAX_NO_SPEECH = 0.6
_MIN_LOGPROB = -0.5
_MAX_COMPRESSION = 2.4


class _Heard(NamedTuple):
    text: str
    tokens: int
    logprob: float  # mean of the tokens
    no_speech: float


class TransformersWhisper:
    """A Transcriber for English.

    Args:
        model: "tiny" to "large-v3", a hub name, or a folder.
        allow_downloads: whether missing weights may be fetched from the hub.
        device: "cpu" or "cuda"; unset: CUDA if there is one.

    Raises:
        EngineUnavailable: if a package or the weights are missing, or are of no Whisper.
    """

    def __init__(self, model: str = "small", *, allow_downloads: bool = False, device: str | None = None) -> None:
        try:
            self._torch = importlib.import_module("torch")
            transformers = importlib.import_module("transformers")
        except ImportError as exc:
            raise EngineUnavailable("transformers is missing: pip install 'teller[transformers]'") from exc
        try:
            where = _folder(model, allow_downloads=allow_downloads)
            self._processor = transformers.AutoProcessor.from_pretrained(where, local_files_only=True)
            self._model = transformers.WhisperForConditionalGeneration.from_pretrained(where, local_files_only=True)
        except (OSError, ValueError, RuntimeError) as exc:
            raise EngineUnavailable(
                f"the weights of Whisper '{Path(model).name}' are not on this machine: put them into a folder and name "
                "it in TELLER_ENGINES__TRANSCRIBER_MODEL, or set TELLER_ENGINES__ALLOW_DOWNLOADS=true"
            ) from exc
        self._device = device or ("cuda" if self._torch.cuda.is_available() else "cpu")
        self._model.to(self._device).eval()
        self.name = f"whisper-transformers-{transformers.__version__}-{Path(model).name}"
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="whisper")

    async def transcribe(self, speech: Speech) -> Transcript:
        """Hear one utterance; the confidence is the geometric mean of its tokens' probabilities.

        Raises:
            InputError: if the sound is not at 16 kHz.
            EngineError: if the model fails.
        """
        pcm = speech.pcm
        if pcm.rate_hz != SPEECH_RATE_HZ:
            raise InputError(f"speech is heard at {SPEECH_RATE_HZ} Hz, got {pcm.rate_hz} Hz")
        samples = pcm.samples.astype(np.float32) / 32768.0
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._hear, samples)

    async def aclose(self) -> None:
        """End the thread; what it is hearing is dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _hear(self, samples: NDArray[np.float32]) -> Transcript:
        try:
            with self._torch.inference_mode():
                windows = [self._hear_window(samples[at : at + _WINDOW]) for at in range(0, len(samples), _WINDOW)]
        except (RuntimeError, ValueError) as exc:
            raise EngineError(f"Whisper failed on {len(samples) / SPEECH_RATE_HZ:.1f} s of speech") from exc
        kept = [window for window in windows if _holds_words(window)]
        if not kept:
            return Transcript("", confidence=0.0)
        tokens = sum(window.tokens for window in kept)
        logprob = sum(window.logprob * window.tokens for window in kept) / tokens
        return Transcript(" ".join(window.text for window in kept), confidence=min(1.0, math.exp(logprob)))

    def _hear_window(self, samples: NDArray[np.float32]) -> _Heard:
        features = self._processor.feature_extractor(samples, sampling_rate=SPEECH_RATE_HZ, return_tensors="pt")
        sound = self._model.get_encoder()(features.input_features.to(self._device, self._model.dtype))
        options = {"language": "en", "task": "transcribe"} if self._model.generation_config.is_multilingual else {}
        written = self._model.generate(
            encoder_outputs=sound,
            return_timestamps=False,
            do_sample=False,
            return_dict_in_generate=True,
            output_scores=True,
            **options,
        )
        steps = self._torch.stack(written.scores, dim=1)[0].float().log_softmax(-1)  # (steps, vocabulary)
        tokens = written.sequences[0, -len(steps) :]
        logprob = steps.gather(1, tokens[:, None]).mean().item()
        text = self._processor.tokenizer.decode(tokens, skip_special_tokens=True)
        return _Heard(" ".join(text.split()), len(steps), logprob, self._no_speech(sound))

    def _no_speech(self, sound: Any) -> float:
        """Probability of "no speech" as the first thing said, as OpenAI's own decoding takes it."""
        tokenizer = self._processor.tokenizer
        silent = tokenizer.convert_tokens_to_ids(["<|nospeech|>", "<|nocaptions|>"])
        start = self._torch.tensor([[self._model.generation_config.decoder_start_token_id]], device=self._device)
        shares = self._model(encoder_outputs=sound, decoder_input_ids=start).logits[0, 0].float().softmax(-1)
        known = [token for token in silent if token is not None and token != tokenizer.unk_token_id]
        return float(shares[known[0]]) if known else 0.0


def _folder(model: str, *, allow_downloads: bool) -> str:
    """Where the model lies; the only place that may ask the hub: transformers asks it even for some local files."""
    if Path(model).is_dir():
        return model
    hub = importlib.import_module("huggingface_hub")
    name = model if "/" in model else f"openai/whisper-{model}"
    wanted = ["*.json", "*.txt", "model*.safetensors*"]
    unwanted = ["*.fp32*"]  # the same weights once more, larger
    return str(
        hub.snapshot_download(
            name, local_files_only=not allow_downloads, allow_patterns=wanted, ignore_patterns=unwanted
        )
    )


def _holds_words(window: _Heard) -> bool:
    written = window.text.encode()
    if not written or (window.no_speech > _MAX_NO_SPEECH and window.logprob < _MIN_LOGPROB):
        return False
    return len(written) / len(zlib.compress(written)) <= _MAX_COMPRESSION
