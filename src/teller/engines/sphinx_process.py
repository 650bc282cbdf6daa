"""The process that hears with PocketSphinx; started by `sphinx.py`, one for each utterance that is heard at once.

PocketSphinx keeps hold of the interpreter while it decodes, for a tenth of the time that the caller spoke: in Teller's
own process every other call would stand still.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from functools import partial

import pocketsphinx

from teller.worker import Refused, serve

# Logistic regression of "at most one word in five is wrong" on `evidence`, from synthetic voices: clean, noisy, far,
# over a telephone band, speaking of other things and in other languages (python -m benchmarks.asr --fit).
_WEIGHTS = (0.556, 107.7, 1.33, -1.51, 4.58)
_INTERCEPT = 6.03
_TINIEST = 1e-300
_ALTERNATIVES = 3
_READINGS = 30  # looked through for alternatives


def open_decoder(acoustic: str, language: str, dictionary: str) -> pocketsphinx.Decoder:
    """A decoder for an acoustic model's folder, an ARPA file and a dictionary.

    Raises:
        Refused: if they cannot be loaded.
    """
    config = pocketsphinx.Config(hmm=acoustic, lm=language, dict=dictionary, loglevel="FATAL")
    try:
        return pocketsphinx.Decoder(config)
    except RuntimeError as exc:
        raise Refused("the speech model cannot be loaded") from exc


def hear(decoder: pocketsphinx.Decoder, sound: bytes) -> bytes:
    """16-bit little-endian samples at 16 kHz to JSON: `text`, `confidence`, `alternatives`.

    Raises:
        Refused: if the decoder fails.
    """
    heard: dict[str, object] = {"text": "", "confidence": 0.0, "alternatives": []}
    try:
        decode(decoder, sound)
        best = decoder.hyp()
        if best is not None and best.hypstr:  # without words PocketSphinx would crash on the questions that follow
            others = _alternatives(decoder, best.hypstr)
            heard = {"text": best.hypstr, "confidence": _confidence(decoder), "alternatives": others}
    except RuntimeError as exc:
        raise Refused(f"it failed on {len(sound)} bytes of sound") from exc
    return json.dumps(heard).encode()


def decode(decoder: pocketsphinx.Decoder, sound: bytes) -> None:
    """Hear an utterance of at least one sample, whole, so that its sound is normalised over all of it.

    On benchmarks/asr.py this makes a third fewer errors than hearing it piece by piece.
    """
    decoder.start_utt()
    decoder.process_raw(sound, full_utt=True)
    decoder.end_utt()


def _alternatives(decoder: pocketsphinx.Decoder, text: str) -> list[str]:
    readings = (reading.hypstr for _, reading in zip(range(_READINGS), decoder.nbest() or (), strict=False) if reading)
    return [other for other in dict.fromkeys(readings) if other and other != text][:_ALTERNATIVES]


def _confidence(decoder: pocketsphinx.Decoder) -> float:
    """Probability that at most one word in five is wrong."""
    found = evidence(decoder)
    if found is None:
        return 0.0
    logit = _INTERCEPT + sum(weight * part for weight, part in zip(_WEIGHTS, found, strict=True))
    return 1 / (1 + math.exp(-max(-50.0, min(50.0, logit))))


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


def _log_of(share: float) -> float:
    return math.log(max(share, _TINIEST))


def open_ear(acoustic: str, language: str, dictionary: str) -> tuple[bytes, Callable[[bytes], bytes]]:
    """For `worker.serve`: no greeting; `hear`."""
    return b"", partial(hear, open_decoder(acoustic, language, dictionary))


if __name__ == "__main__":
    sys.exit(serve(partial(open_ear, *sys.argv[1:])))
