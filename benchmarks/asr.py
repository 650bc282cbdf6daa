"""How well the embedded transcriber hears: word errors, confidence, speed. `python -m benchmarks.asr [--json]`.

Callers are the four voices of `flite` (https://github.com/festvox/flite, packaged by most systems); without it
espeak-ng speaks, which no recogniser hears well. One set of questions is on file, so that the language model was
trained on them word for word; "dev" and "held out" are not, and "dev" alone was looked at while choosing the settings.
Synthetic voices are easier than callers: the figures compare versions of Teller, they promise nothing.

By default every third held-out sentence is heard, in every voice, which takes two minutes of one core. `--every 1`
hears them all, and "on file" and "dev" too: half an hour. `--fit` prints the coefficients of the confidence, from
"dev".
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import shutil
import subprocess
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import pocketsphinx
import soundfile
from numpy.typing import NDArray

from teller.audio import Pcm
from teller.engines.espeak import Espeak
from teller.engines.sound_files import read_sound, resample
from teller.engines.sphinx import Sphinx
from teller.engines.sphinx_process import decode, evidence, open_decoder
from teller.engines.sphinx_process import hear as decoded
from teller.spoken import as_words

VOICES = ("slt", "awb", "kal16", "rms")

SENTENCES = tomllib.loads((Path(__file__).parent / "data" / "spoken_sentences.toml").read_text(encoding="utf-8"))
DEV, HELD_OUT = SENTENCES["dev"], SENTENCES["held_out"]


@dataclass(frozen=True)
class Heard:
    """One utterance and what became of it; `spoken` is empty where there are no English words to hear."""

    spoken: tuple[str, ...]
    text: str
    confidence: float
    errors: int
    sound_s: float
    work_s: float
    voice: str = ""


def bank_questions() -> list[str]:
    folder = Path(str(resources.files("teller"))) / "data" / "bank" / "answers"
    answers = [answer for path in sorted(folder.glob("*.toml")) for answer in tomllib.loads(path.read_text())["answer"]]
    return [question for answer in answers for question in answer["asks"]]


def word_errors(spoken: Sequence[str], heard: Sequence[str]) -> int:
    """Insertions, deletions and substitutions."""
    row = list(range(len(heard) + 1))
    for i, wanted in enumerate(spoken, 1):
        before, row[0] = row[:], i
        for j, got in enumerate(heard, 1):
            row[j] = min(row[j - 1] + 1, before[j] + 1, before[j - 1] + (wanted != got))
    return row[-1]


def flite(voice: str, text: str) -> Pcm:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "said.wav"
        subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(path)], check=True, capture_output=True)
        return padded(read_sound(path.read_bytes(), max_duration_s=60))


async def espeak(voice: str, text: str) -> Pcm:
    engine = Espeak(voice=voice)
    pieces = [piece async for piece in engine.speak(text)]
    await engine.aclose()
    return padded(resample(Pcm(np.concatenate([piece.samples for piece in pieces]), pieces[0].rate_hz), 16_000))


def padded(pcm: Pcm) -> Pcm:
    silence = Pcm.silence(0.3).samples
    return Pcm(np.concatenate([silence, pcm.samples, silence]), pcm.rate_hz)


def telephone(pcm: Pcm) -> Pcm:
    """8 kHz mu-law and back."""
    out = io.BytesIO()
    soundfile.write(out, resample(pcm, 8_000).samples, 8_000, format="WAV", subtype="ULAW")
    return read_sound(out.getvalue(), max_duration_s=60)


def noisy(pcm: Pcm, snr_db: float = 15.0) -> Pcm:
    """With pink noise, seeded."""
    spectrum = np.fft.rfft(np.random.default_rng(7).normal(size=len(pcm.samples)))
    noise = np.fft.irfft(spectrum / np.sqrt(np.arange(1, len(spectrum) + 1)), len(pcm.samples))
    noise *= pcm.rms * 32_768 / np.sqrt(np.mean(noise**2)) * 10 ** (-snr_db / 20)
    return Pcm(np.clip(pcm.samples + noise, -32_768, 32_767).astype(np.int16), pcm.rate_hz)


def far(pcm: Pcm) -> Pcm:
    """Faint and in a room: 14 dB down, an exponential tail of 0.25 s, seeded."""
    tail = np.random.default_rng(8).normal(size=4_000) * np.exp(-np.arange(4_000) / 700) * 0.06
    tail[0] = 1.0
    size = len(pcm.samples) + len(tail)
    sound = np.fft.irfft(np.fft.rfft(pcm.samples, size) * np.fft.rfft(tail, size), size)[: len(pcm.samples)]
    return Pcm(np.clip(0.2 * sound, -32_768, 32_767).astype(np.int16), pcm.rate_hz)


CONDITIONS: dict[str, Callable[[Pcm], Pcm]] = {
    "clean": lambda pcm: pcm,
    "telephone": telephone,
    "noise 15 dB": noisy,
    "far": far,
}


def sounds_without_words(seed: int) -> Iterator[Pcm]:
    chance = np.random.default_rng(seed)
    time_s = np.arange(3 * 16_000) / 16_000
    yield Pcm.silence(3)
    for level in (30, 300, 3_000, 9_000):
        white = chance.normal(0, level, len(time_s))
        yield Pcm(np.clip(white, -32_768, 32_767).astype(np.int16), 16_000)
        yield Pcm((np.cumsum(white) / 30 % 20_000 - 10_000).astype(np.int16), 16_000)
    for _ in range(5):
        pitches = chance.uniform(50, 1_500, chance.integers(1, 4))
        tone: NDArray[np.float64] = sum((np.sin(2 * np.pi * hz * time_s) for hz in pitches), np.zeros(len(time_s)))
        yield Pcm((3_000 * tone).astype(np.int16), 16_000)
        yield Pcm((6_000 * tone * np.exp(-6 * (time_s % 0.5))).astype(np.int16), 16_000)
    yield Pcm(np.where(chance.random(len(time_s)) < 0.0005, 20_000, 0).astype(np.int16), 16_000)


def hear(decoder: pocketsphinx.Decoder, text: str, pcm: Pcm, voice: str = "") -> Heard:
    spoken = as_words(text)
    began = time.process_time()
    heard = json.loads(decoded(decoder, pcm.samples.astype("<i2").tobytes()))
    work_s = time.process_time() - began
    errors = word_errors(spoken, heard["text"].split())
    return Heard(spoken, heard["text"], heard["confidence"], errors, pcm.duration_s, work_s, voice)


def summary(heard: Sequence[Heard]) -> dict[str, float]:
    work_ms = sorted(1_000 * one.work_s for one in heard)
    return {
        "utterances": len(heard),
        "word_error": word_error(heard),
        "exact": sum(not one.errors for one in heard) / len(heard),
        "nothing_heard": sum(not one.text for one in heard) / len(heard),
        "sure_0.5": sum(one.confidence >= 0.5 for one in heard) / len(heard),
        "word_error_when_sure_0.5": _error_when_sure(heard),
        "real_time_factor": sum(one.work_s for one in heard) / sum(one.sound_s for one in heard),
        "finalise_ms_p50": work_ms[len(work_ms) // 2],
        "finalise_ms_p95": work_ms[int(0.95 * (len(work_ms) - 1))],
    }


def by_voice(heard: Sequence[Heard]) -> dict[str, float]:
    """Word error of each voice."""
    voices = dict.fromkeys(one.voice for one in heard)
    return {voice: word_error([one for one in heard if one.voice == voice]) for voice in voices}


def word_error(heard: Sequence[Heard]) -> float:
    """Errors for each word that was spoken, 0 if none was."""
    return sum(one.errors for one in heard) / max(1, sum(len(one.spoken) for one in heard))


def _error_when_sure(heard: Sequence[Heard]) -> float:
    return word_error([one for one in heard if one.confidence >= 0.5])


def garbage(heard: Sequence[Heard]) -> dict[str, float]:
    return {
        "utterances": len(heard),
        "some_text": sum(bool(one.text) for one in heard) / len(heard),
        "sure_0.5": sum(one.confidence >= 0.5 for one in heard) / len(heard),
    }


def calibration(heard: Sequence[Heard]) -> list[dict[str, float]]:
    """By tenths of confidence: how many, and how many of them right to within one word in five."""
    rows = []
    for tenth in range(10):
        inside = [one for one in heard if tenth / 10 <= one.confidence < tenth / 10 + 0.1 + (tenth == 9)]
        right = [one for one in inside if one.spoken and one.errors <= 0.2 * len(one.spoken)]
        if inside:
            rows.append({"from": tenth / 10, "utterances": len(inside), "right": len(right) / len(inside)})
    return rows


async def say(text: str, voices: Sequence[str]) -> list[tuple[str, Pcm]]:
    """The text in each voice, with the voice's name."""
    if voices:
        return [(voice, await asyncio.to_thread(flite, voice, text)) for voice in voices]
    return [("espeak-ng", await espeak("en-gb", text))]


async def measure(folder: Path, voices: Sequence[str], *, every: int) -> dict[str, object]:
    questions = bank_questions()
    began = cpu_s()
    engine = Sphinx(questions, folder)
    result: dict[str, object] = {
        "engine": engine.name,
        "voices": list(voices) or ["espeak-ng"],
        "questions": len(questions),
        "unknown_words": list(engine.unknown_words),
        "training_s": cpu_s() - began,
    }
    decoder = open_decoder(*engine.files)
    sets = {"held out": HELD_OUT["questions"][::every], "held out, short": HELD_OUT["short"][::every]}
    if every == 1:
        sets |= {"on file": questions[7 :: len(questions) // 40][:40], "dev": DEV["questions"]}
    everything: list[Heard] = []
    for name, texts in sets.items():
        sounds = [(text, *said) for text in texts for said in await say(text, voices)]
        for condition, change in CONDITIONS.items():
            heard = [hear(decoder, text, change(pcm), voice) for text, voice, pcm in sounds]
            result[f"{name}, {condition}"] = summary(heard)
            result[f"{name}, {condition}, word error by voice"] = by_voice(heard)
            everything += heard if name.startswith("held out") else []
    other = [(text, *said) for text in HELD_OUT["other_subjects"][::every] for said in await say(text, voices)]
    result["other subjects"] = summary(heard := [hear(decoder, text, pcm, voice) for text, voice, pcm in other])
    everything += heard
    foreign = [await espeak(voice, text) for voice, texts in HELD_OUT["other_languages"].items() for text in texts]
    result["other languages"] = garbage(heard := [hear(decoder, "", pcm) for pcm in foreign])
    everything += heard
    result["no words"] = garbage(heard := [hear(decoder, "", pcm) for pcm in sounds_without_words(9)])
    result["calibration, held out and others"] = calibration([*everything, *heard])
    result["cpu_s"] = cpu_s() - began
    return result


def cpu_s() -> float:
    """Processor time of this process and of those that it has waited for."""
    return sum(os.times()[:4])


async def fit(folder: Path, voices: Sequence[str]) -> dict[str, object]:
    """Coefficients of the confidence: logistic regression by Newton's method, with a little L2."""
    engine = Sphinx(bank_questions(), folder)
    decoder = open_decoder(*engine.files)
    sounds = [
        (text, change(pcm))
        for text in DEV["questions"] + DEV["short"]
        for _, pcm in await say(text, voices)
        for change in CONDITIONS.values()
    ]
    sounds += [(text, pcm) for text in DEV["other_subjects"] for _, pcm in await say(text, voices)]
    sounds += [("", await espeak(voice, text)) for voice, texts in DEV["other_languages"].items() for text in texts]
    sounds += [("", pcm) for pcm in sounds_without_words(1)]
    rows, right = [], []
    for text, pcm in sounds:
        decode(decoder, pcm.samples.astype("<i2").tobytes())
        best = decoder.hyp()
        found = evidence(decoder) if best is not None and best.hypstr else None
        if found is not None:
            spoken = as_words(text)
            rows.append([*found, 1.0])
            right.append(bool(spoken) and word_errors(spoken, best.hypstr.split()) <= 0.2 * len(spoken))
    x, y = np.array(rows), np.array(right, dtype=float)
    scale = np.abs(x).mean(axis=0)
    weights = np.zeros(x.shape[1])
    for _ in range(100):
        p = 1 / (1 + np.exp(-(x / scale) @ weights))
        hessian = ((x / scale).T * (p * (1 - p))) @ (x / scale) + 0.1 * np.eye(len(weights))
        weights -= np.linalg.solve(hessian, (x / scale).T @ (p - y) + 0.1 * weights)
    ranks = np.argsort(np.argsort(p)) + 1
    area = (ranks[y == 1].sum() - y.sum() * (y.sum() + 1) / 2) / (y.sum() * (len(y) - y.sum()))
    *slopes, intercept = (weights / scale).tolist()
    return {"utterances": len(y), "right": y.mean(), "weights": slopes, "intercept": intercept, "roc_area": area}


def show(result: dict[str, object]) -> None:
    for name, value in result.items():
        parts = value.items() if isinstance(value, dict) else ()
        print(f"{name}:", "  ".join(f"{key} {part:.3g}" for key, part in parts) or value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--fit", action="store_true", help="fit the confidence instead of measuring")
    parser.add_argument("--every", type=int, default=3, help="hear each n-th held-out sentence; 1: everything")
    parser.add_argument("--models", type=Path, help="folder to keep the trained model in")
    options = parser.parse_args()
    voices = VOICES if shutil.which("flite") else ()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.models or Path(temporary)
        work = fit(folder, voices) if options.fit else measure(folder, voices, every=max(1, options.every))
        result = asyncio.run(work)
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        show(result)


if __name__ == "__main__":
    main()
