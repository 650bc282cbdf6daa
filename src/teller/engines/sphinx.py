"""Speech to text by PocketSphinx, with a language model made from the bank's own questions.

Offline and without weights to fetch: acoustic model, dictionary and a general language model come in the wheel. At
the first start a trigram model is trained on the questions, which takes some seconds, and kept on disk under a hash of
them. It knows the bank's vocabulary and the commonest English words, writes numbers as words, and no capitals or
punctuation.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.metadata
import json
import logging
import math
import os
import queue
import re
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pocketsphinx
from numpy.typing import NDArray

from teller.audio import SPEECH_RATE_HZ
from teller.errors import EngineError, EngineUnavailable, InputError
from teller.ngrams import NgramModel
from teller.phrases import Sentence, caller_sentences
from teller.pronunciation import pronounce
from teller.turn import Speech, Transcript

_log = logging.getLogger("teller.engines.sphinx")

_MODEL, _DICTIONARY, _UNKNOWN, _CHECKSUM = "model.arpa", "words.dict", "unknown.txt", "sha256.txt"
_LAYOUT = 1  # of a model folder and of what goes into it; part of its key
_KEPT_MODELS = 4
_ABANDONED_S = 3_600.0
# By measurement, see benchmarks/asr.py.
_GENERAL_WORDS = 5_000  # the commonest English words, known beside the bank's own
_COMMON_WORDS = 500  # the commonest of them, looked up in pairs
_MIN_COUNT = 5  # times that one of the bank's words must occur to be looked up in pairs

# Logistic regression of "at most one word in five is wrong" on `evidence`, from synthetic voices: clean, noisy, far,
# over a telephone band, speaking of other things and in other languages (python -m benchmarks.asr --fit).
_WEIGHTS = (0.529, 89.9, 1.38, -2.30, 3.95)
_INTERCEPT = 5.59

_LOG_BASE = math.log(1.0001)  # unit of PocketSphinx's log probabilities
_SILENCE_RMS = 0.001  # of full scale, -60 dB: digital silence and line noise
_TINIEST = 1e-300
_ALTERNATIVES = 3
_READINGS = 30  # looked through for alternatives


class Sphinx:
    """A Transcriber for one subject; hears several utterances at once, each in a thread of its own.

    Args:
        questions: what callers ask, in as many ways as are known.
        folder: where trained models are kept.
        decoders: utterances heard at once, about 50 MB each.
        min_confidence: what is less sure than this is heard as nothing.

    Attributes:
        model: folder of the trained model.
        unknown_words: words of the questions that no rule can pronounce, sorted; they are never heard.

    Raises:
        EngineUnavailable: if the model cannot be trained, kept or loaded.
    """

    def __init__(
        self, questions: Iterable[str], folder: Path, *, decoders: int = 2, min_confidence: float = 0.1
    ) -> None:
        version = importlib.metadata.version("pocketsphinx")
        sentences = list(caller_sentences(questions))
        key = hashlib.sha256(json.dumps([_LAYOUT, version, sentences]).encode()).hexdigest()[:12]
        self.name = f"pocketsphinx-{version}-{key}"
        self._min_confidence = min_confidence
        self.model = folder / f"sphinx-{key}"
        self._decoders: queue.SimpleQueue[pocketsphinx.Decoder] = queue.SimpleQueue()
        try:
            self._decoders.put(_trained(sentences, self.model))
            _forget_old(folder)
            self.unknown_words = tuple((self.model / _UNKNOWN).read_text(encoding="utf-8").split())
        except OSError as exc:
            raise EngineUnavailable(
                f"the speech model cannot be kept ({exc.strerror}): is its folder writable?"
            ) from exc
        for _ in range(decoders - 1):
            self._decoders.put(open_decoder(self.model))
        self._threads = ThreadPoolExecutor(max_workers=decoders, thread_name_prefix="sphinx")

    async def transcribe(self, speech: Speech) -> Transcript:
        """Hear one utterance; some 80 ms of work for each second of it.

        The text is empty for silence, noise, another language, and what is too garbled.

        Raises:
            InputError: if the sound is not at 16 kHz.
            EngineError: if the decoder fails.
        """
        pcm = speech.pcm
        if pcm.rate_hz != SPEECH_RATE_HZ:
            raise InputError(f"speech is heard at {SPEECH_RATE_HZ} Hz, got {pcm.rate_hz} Hz")
        if pcm.rms < _SILENCE_RMS:
            return Transcript("", confidence=0.0)
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._hear, pcm.samples)

    async def aclose(self) -> None:
        """End the threads; what they are hearing is dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _hear(self, samples: NDArray[np.int16]) -> Transcript:
        decoder = self._decoders.get_nowait()  # there are as many as threads
        try:
            decode(decoder, samples)
            return self._transcript(decoder)
        except RuntimeError as exc:
            raise EngineError(f"PocketSphinx failed on {len(samples) / SPEECH_RATE_HZ:.1f} s of speech") from exc
        finally:
            self._decoders.put(decoder)

    def _transcript(self, decoder: pocketsphinx.Decoder) -> Transcript:
        best = decoder.hyp()
        if best is None or not best.hypstr:
            return Transcript("", confidence=0.0)
        sure = _confidence(decoder)
        if sure < self._min_confidence:
            return Transcript("", confidence=sure)
        readings = (
            reading.hypstr for _, reading in zip(range(_READINGS), decoder.nbest() or (), strict=False) if reading
        )
        others = [text for text in dict.fromkeys(readings) if text and text != best.hypstr]
        return Transcript(best.hypstr, confidence=sure, alternatives=tuple(others[:_ALTERNATIVES]))


def decode(decoder: pocketsphinx.Decoder, samples: NDArray[np.int16]) -> None:
    """Hear (n,) samples at 16 kHz, at least one; whole, so that the sound is normalised over the utterance.

    On benchmarks/asr.py this makes a third fewer errors than hearing it piece by piece.
    """
    decoder.start_utt()
    decoder.process_raw(samples.astype("<i2").tobytes(), full_utt=True)
    decoder.end_utt()


def evidence(decoder: pocketsphinx.Decoder) -> tuple[float, ...] | None:
    """What speaks for the reading; None if it has no words.

    Averages over its words: how well they fit the sound (log likelihood a frame, against the best of all sounds), how
    much they were expected (log probability, in units of the decoder's), how far the other readings agree (log
    posterior), and by how many thirds of a second they are longer than 0.6 s. Last, one over their number.
    """
    words = [part for part in decoder.seg() if part.word[0] not in "<[+"]
    if not words:
        return None
    frames = sum(part.end_frame - part.start_frame + 1 for part in words)
    return (
        sum(_log_of(part.ascore) for part in words) / frames,
        sum(_log_of(part.lscore) for part in words) / len(words),
        sum(_log_of(part.prob) for part in words) / len(words),
        max(0.0, frames / len(words) - 60) / 33,
        1 / len(words),
    )


def _confidence(decoder: pocketsphinx.Decoder) -> float:
    """Probability that at most one word in five is wrong."""
    found = evidence(decoder)
    if found is None:
        return 0.0
    logit = _INTERCEPT + sum(weight * part for weight, part in zip(_WEIGHTS, found, strict=True))
    return 1 / (1 + math.exp(-max(-50.0, min(50.0, logit))))


def _log_of(share: float) -> float:
    return math.log(max(share, _TINIEST))


def open_decoder(model: Path) -> pocketsphinx.Decoder:
    """A decoder for a trained model's folder; for one thread at a time.

    Raises:
        EngineUnavailable: if it cannot be loaded.
    """
    config = pocketsphinx.Config(
        hmm=str(_packaged() / "en-us"), lm=str(model / _MODEL), dict=str(model / _DICTIONARY), loglevel="FATAL"
    )
    try:
        return pocketsphinx.Decoder(config)
    except RuntimeError as exc:
        raise EngineUnavailable(f"PocketSphinx cannot load the speech model {model.name}") from exc


def _trained(sentences: Sequence[Sentence], model: Path) -> pocketsphinx.Decoder:
    """A decoder for the model of these sentences, trained unless it is kept and whole."""
    if model.is_dir():
        if _is_whole(model):
            os.utime(model)
            return open_decoder(model)
        _log.warning("%s is damaged and is trained again", model.name)
        shutil.rmtree(model)
    _train(sentences, model)
    return open_decoder(model)


def _packaged() -> Path:
    return Path(pocketsphinx.__file__).parent / "model" / "en-us"


def _train(sentences: Sequence[Sentence], model: Path) -> None:
    """Write the model's folder, whole or not at all.

    Raises:
        EngineUnavailable: if the wheel lacks its models.
        OSError: if the folder cannot be written.
    """
    try:
        dictionary = _read_dictionary()
        english = pocketsphinx.NGramModel.readfile(str(_packaged() / "en-us.lm.bin"))
    except (OSError, RuntimeError) as exc:
        raise EngineUnavailable("PocketSphinx's own models are missing: reinstall pocketsphinx==5.1.1") from exc

    def prior(word: str, after: str | None = None) -> float:
        return math.exp(_LOG_BASE * english.prob([word] if after is None else [word, after]))

    counts = Counter(word for words, _ in sentences for word in words)
    ranked = sorted(filter(_is_plain, dictionary), key=lambda word: (-english.prob([word]), word))[:_GENERAL_WORDS]
    said = {word: pronounce(word, dictionary) for word in sorted({*counts, *ranked})}
    known = [word for word, ways in said.items() if ways]
    common = {*ranked[:_COMMON_WORDS], *(word for word, count in counts.items() if count >= _MIN_COUNT)}
    trained = NgramModel(sentences, known, common, prior)
    files = {
        _MODEL: trained.arpa(),
        _DICTIONARY: _dictionary_lines({word: said[word] for word in known}),
        _UNKNOWN: [word for word, ways in said.items() if not ways],
    }
    _write_whole(model, files)
    _log.info("%s is trained on %d sentences and knows %d words", model.name, len(sentences), len(known))


def _write_whole(folder: Path, files: Mapping[str, Iterable[str]]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".sphinx-"))
    try:
        for name, lines in files.items():
            with (unfinished / name).open("w", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in lines)
        (unfinished / _CHECKSUM).write_text(_checksum(unfinished))
        unfinished.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another process was faster
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _is_whole(model: Path) -> bool:
    """Whether the files are as they were written; PocketSphinx may crash on others."""
    try:
        return _checksum(model) == (model / _CHECKSUM).read_text()
    except (OSError, UnicodeDecodeError):
        return False


def _checksum(model: Path) -> str:
    whole = hashlib.sha256()
    for name in (_MODEL, _DICTIONARY, _UNKNOWN):
        whole.update((model / name).read_bytes())
    return whole.hexdigest()


def _read_dictionary() -> dict[str, tuple[str, ...]]:
    ways: dict[str, list[str]] = {}
    with (_packaged() / "cmudict-en-us.dict").open(encoding="utf-8") as file:
        for line in file:
            word, _, phones = line.strip().partition(" ")
            ways.setdefault(re.sub(r"\(\d+\)$", "", word), []).append(phones)
    return {word: tuple(phones) for word, phones in ways.items()}


def _dictionary_lines(said: Mapping[str, tuple[str, ...]]) -> Iterable[str]:
    for word, ways in said.items():
        for n, phones in enumerate(ways, 1):
            yield f"{word} {phones}" if n == 1 else f"{word}({n}) {phones}"


def _is_plain(word: str) -> bool:
    return re.fullmatch(r"[a-z][a-z']+|a|i", word) is not None


def _forget_old(folder: Path) -> None:
    """Keep the models that were used last; what a process that died left unfinished goes too."""
    models = sorted(folder.glob("sphinx-*"), key=lambda path: path.stat().st_mtime, reverse=True)
    abandoned = [path for path in folder.glob(".sphinx-*") if time.time() - path.stat().st_mtime > _ABANDONED_S]
    for path in (*models[_KEPT_MODELS:], *abandoned):
        shutil.rmtree(path, ignore_errors=True)
