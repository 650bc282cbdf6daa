"""What the caller's sound becomes: pieces of the stream in, whole utterances out.

Two ears, one shape. `HeldEar` takes everything between the press and the release of a button. `OpenEar` takes a stream
and cuts it where the caller pauses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from teller.audio import SPEECH_RATE_HZ, Pcm
from teller.errors import InputError
from teller.ports import Detector
from teller.turn import Speech

MIN_UTTERANCE_S = 0.2  # a button that was only tapped


@dataclass(frozen=True, slots=True)
class Began:
    """The caller has begun to speak."""


class HeldEar:
    """One utterance, from `listen_start` to `listen_end`."""

    def __init__(self, max_audio_s: float) -> None:
        self._max_audio_s = max_audio_s
        self._heard = bytearray()

    def hear(self, data: bytes) -> Sequence[Began | Speech]:
        """Take the next piece of raw sound; gives nothing before the end.

        Raises:
            InputError: if it is not 16-bit sound, or the utterance grows too long.
        """
        if len(data) % 2:
            raise InputError(f"raw 16-bit sound has an even number of bytes, got {len(data)}")
        self._heard += data
        if len(self._heard) > self._max_audio_s * SPEECH_RATE_HZ * 2:
            raise InputError(f"an utterance lasts at most {self._max_audio_s:g} s; ask in shorter pieces")
        return ()

    def end(self) -> Speech:
        """What was heard.

        Raises:
            InputError: if it is too short to hold a word.
        """
        pcm = Pcm.from_bytes(bytes(self._heard), SPEECH_RATE_HZ)
        if pcm.duration_s < MIN_UTTERANCE_S:
            raise InputError("nothing was heard; hold the button while you speak")
        return Speech(pcm)


class OpenEar:
    """A stream, cut into utterances where the caller pauses."""

    def __init__(self, detector: Detector, max_audio_s: float) -> None:
        self._detector = detector
        self._max_audio_s = max_audio_s
        self._rest = b""

    def hear(self, data: bytes) -> Sequence[Began | Speech]:
        """Take the next piece of raw sound; gives what began or ended in it.

        Raises:
            InputError: if it is not 16-bit sound.
        """
        raise InputError("hands-free is not available yet")

    def drop(self) -> None:
        """Forget an utterance that is half heard."""
