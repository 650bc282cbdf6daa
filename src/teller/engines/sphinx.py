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
import re
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pocketsphinx

from teller.audio import SPEECH_RATE_HZ
from teller.errors import EngineUnavailable, InputError
from teller.ngrams import NgramModel
from teller.phrases import Sentence, caller_sentences
from teller.pronunciation import pronounce
from teller.turn import Speech, Transcript
from teller.worker import Worker

_log = logging.getLogger("teller.engines.sphinx")

_PROCESS = "teller.engines.sphinx_process"
_MODEL, _DICTIONARY, _UNKNOWN, _CHECKSUM = "model.arpa", "words.dict", "unknown.txt", "sha256.txt"
_LAYOUT = 2  # of a model folder and of what is made of the questions (phrases.py, ngrams.py); part of its key
_KEPT_MODELS = 4
_ABANDONED_S = 3_600.0
# By measurement, see benchmarks/asr.py.
_GENERAL_WORDS = 5_000  # the commonest English words, known beside the bank's own
_COMMON_WORDS = 500  # the commonest of them, looked up in pairs
_MIN_COUNT = 5  # times that one of the bank's words must occur to be looked up in pairs

_LOG_BASE = math.log(1.0001)  # unit of PocketSphinx's log probabilities
_SILENCE_RMS = 0.001  # of full scale, -60 dB: digital silence and line noise


class Sphinx:
    """A Transcriber for one subject; hears several utterances at once. Close it with `aclose`.

    Args:
        questions: what callers ask, in as many ways as are known.
        folder: where trained models are kept.
        decoders: utterances heard at once, each in a process of some 80 MB.
        min_confidence: what is less sure than this is heard as nothing.
        timeout_s: longest wait for one utterance, when it is its turn.

    Attributes:
        files: acoustic model, language model and dictionary.
        unknown_words: words of the questions that no rule can pronounce, sorted; they are never heard.

    Raises:
        EngineUnavailable: if the model cannot be trained or kept.
    """

    def __init__(
        self,
        questions: Iterable[str],
        folder: Path,
        *,
        decoders: int = 2,
        min_confidence: float = 0.1,
        timeout_s: float = 30.0,
    ) -> None:
        version = importlib.metadata.version("pocketsphinx")
        asked = list(questions)
        key = hashlib.sha256(json.dumps([_LAYOUT, version, asked]).encode()).hexdigest()[:12]
        self.name = f"pocketsphinx-{version}-{key}"
        self._min_confidence = min_confidence
        model = folder / f"sphinx-{key}"
        try:
            _make_ready(asked, model)
            _forget_old(folder)
            self.unknown_words = tuple((model / _UNKNOWN).read_text(encoding="utf-8").split())
        except OSError as exc:
            why = exc.strerror or type(exc).__name__
            raise EngineUnavailable(f"the speech model cannot be kept ({why}): make its folder writable") from exc
        self.files = (str(_packaged() / "en-us"), str(model / _MODEL), str(model / _DICTIONARY))
        self._workers = [Worker("PocketSphinx", _PROCESS, self.files, timeout_s=timeout_s) for _ in range(decoders)]
        self._idle: asyncio.Queue[Worker] = asyncio.Queue()
        for worker in self._workers:
            self._idle.put_nowait(worker)

    async def transcribe(self, speech: Speech) -> Transcript:
        """Hear one utterance; some 80 ms of work for each second of it.

        The text is empty for silence, noise, another language, and what is too garbled.

        Raises:
            InputError: if the sound is not at 16 kHz.
            EngineError, EngineTimeout: if the decoder fails, or does not answer.
        """
        pcm = speech.pcm
        if pcm.rate_hz != SPEECH_RATE_HZ:
            raise InputError(f"speech is heard at {SPEECH_RATE_HZ} Hz, got {pcm.rate_hz} Hz")
        if pcm.rms < _SILENCE_RMS:
            return Transcript("", confidence=0.0)
        worker = await self._idle.get()
        try:
            heard = json.loads(await worker.ask(pcm.samples.astype("<i2").tobytes()))
        finally:
            self._idle.put_nowait(worker)
        if heard["confidence"] < self._min_confidence:
            return Transcript("", confidence=heard["confidence"])
        return Transcript(heard["text"], heard["confidence"], tuple(heard["alternatives"]))

    async def warm(self) -> None:
        """Start the processes, so that the first words are heard at once.

        Raises:
            EngineUnavailable: if one cannot run.
            EngineTimeout: if one does not answer.
        """
        for worker in self._workers:
            await worker.greet()

    async def aclose(self) -> None:
        """End the processes; what they are hearing is waited for."""
        for worker in self._workers:
            await worker.aclose()


def _make_ready(questions: Sequence[str], model: Path) -> None:
    """Train the model of these questions, unless it is kept and whole."""
    if model.is_dir():
        if _is_whole(model):
            os.utime(model)
            return
        _log.warning("%s is damaged and is trained again", model.name)
        shutil.rmtree(model)
    _train(list(caller_sentences(questions)), model)


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
