"""What the caller's sound becomes: pieces of raw 16 kHz 16-bit sound in, whole utterances out.

Two ears, one shape. `HeldEar` takes what is said between the press and the release of a button, without the silence
around it. `OpenEar` takes a stream and cuts it where the caller pauses.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from teller.audio import SPEECH_RATE_HZ, Pcm
from teller.endpointing import Endpointer, Endpointing, SpeechBegan, SpeechEnded, trim
from teller.errors import InputError
from teller.ports import Detector
from teller.turn import Speech

MIN_UTTERANCE_S = 0.2  # a button that was only tapped
_HELD = Endpointing(min_speech_s=0.1)  # the button tells speech from a cough, and "no" is short
_MAX_PIECE_S = 1.0  # of a stream: it is judged while others wait
_MAX_AHEAD_S = 10.0  # a stream is judged as it is spoken; this much may come at once after a pause of the network


class HeldEar:
    """One utterance, from `listen_start` to `listen_end`."""

    def __init__(self, detector: Detector, max_audio_s: float) -> None:
        self._detector = detector
        self._max_audio_s = max_audio_s
        self._heard = bytearray()

    def hear(self, data: bytes) -> Sequence[SpeechBegan | SpeechEnded]:
        """Take the next piece of sound; gives nothing: the caller says when it ends.

        Raises:
            InputError: if it is not 16-bit sound, or the utterance grows too long.
        """
        _check_whole(data)
        self._heard += data
        if len(self._heard) > self._max_audio_s * SPEECH_RATE_HZ * 2:
            raise InputError(f"an utterance lasts at most {self._max_audio_s:g} s; ask in shorter pieces")
        return ()

    def end(self) -> Speech:
        """What was said, no samples if nobody spoke; blocks for some 5 ms for each second that was heard.

        PocketSphinx hears silence as words, and in time. Measured on flite's voices: 28 utterances with 1.5 s of faint
        noise before and 1 s after had 16 of 260 words wrong instead of 32, in 0.32 s of work instead of 0.48; 144
        short replies, clean, noisy and far, had 66 of 225 wrong instead of 83, and none was lost.

        Raises:
            InputError: if it is too short to hold a word.
            EngineError: if the detector fails.
        """
        pcm = Pcm.from_bytes(bytes(self._heard), SPEECH_RATE_HZ)
        if pcm.duration_s < MIN_UTTERANCE_S:
            raise InputError("nothing was heard; hold the button while you speak")
        size = self._detector.frame_samples
        starts = range(0, len(pcm.samples) - size + 1, size)
        probabilities = [self._detector.probability(pcm.samples[start : start + size]) for start in starts]
        return Speech(trim(pcm, probabilities, size, _HELD))


class OpenEar:
    """A stream, cut into utterances where the caller pauses.

    Args:
        now: seconds that never go back.
    """

    def __init__(self, detector: Detector, max_audio_s: float, now: Callable[[], float] = time.monotonic) -> None:
        self._detector = detector
        limits = Endpointing()
        self._endpointer = Endpointer(Endpointing(max_utterance_s=max(1.0, min(limits.max_utterance_s, max_audio_s))))
        self._rest = bytearray()  # less than a frame
        self._now = now
        self._began_s = now()
        self._heard_s = 0.0

    def hear(self, data: bytes) -> Iterator[SpeechBegan | SpeechEnded]:
        """Take the next piece of sound; gives what began or ended in it.

        Raises:
            InputError: if it is not 16-bit sound, longer than a second, or comes faster than anyone speaks.
        """
        _check_whole(data)
        duration_s = len(data) / (2 * SPEECH_RATE_HZ)
        self._heard_s += duration_s
        if duration_s > _MAX_PIECE_S:
            raise InputError(f"hands-free sound comes in pieces of at most {_MAX_PIECE_S:g} s, got {duration_s:.1f} s")
        if self._heard_s > self._now() - self._began_s + _MAX_AHEAD_S:
            raise InputError("hands-free sound comes no faster than it is spoken")
        self._rest += data
        size = 2 * self._detector.frame_samples
        while len(self._rest) >= size:
            frame = Pcm.from_bytes(bytes(self._rest[:size]), SPEECH_RATE_HZ).samples
            del self._rest[:size]
            yield from self._endpointer.feed(frame, self._detector.probability(frame))

    def drop(self) -> None:
        """Forget an utterance that is half heard."""
        self._endpointer.reset()
        self._detector.reset()
        self._rest.clear()


def _check_whole(data: bytes) -> None:
    if len(data) % 2:
        raise InputError(f"raw 16-bit sound has an even number of bytes, got {len(data)}")
