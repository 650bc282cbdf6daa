"""Where an utterance begins and ends: speech probabilities in, whole utterances out.

Fed frame by frame with the sound and the detector's probability for it; pure, so a recorded call gives the same cuts
every time. Not here: the detector (`engines/silero.py`), the sense of what was said, echo.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from teller.audio import SPEECH_RATE_HZ, Pcm
from teller.errors import InputError
from teller.turn import Speech


@dataclass(frozen=True, slots=True)
class Endpointing:
    """When sound counts as an utterance.

    Attributes:
        start_probability: a frame at or above it is speech (Silero's own `threshold`, silero-vad 6.2.3).
        stop_probability: a frame below it is not; between the two the frame counts as whatever went before it
            (Silero's own `neg_threshold`, 0.15 lower).
        min_speech_s: speech needed before an utterance begins; drops clicks and coughs, and is the time that speech
            over an answer takes to stop it (Pipecat's VADParams.start_secs is 0.2).
        stop_silence_s: pause that ends an utterance. 0.6 lies between Pipecat's 0.2, which needs a model of turns
            beside it, and the 0.5 to 3.0 of LiveKit; callers pause 0.3 to 0.5 s inside spoken numbers.
        pre_roll_s: sound kept before the first frame of speech, for soft first consonants.
        tail_s: sound kept after the last frame of speech.
        max_utterance_s: an utterance is cut at this length, and the next begins.

    Raises:
        InputError: if the values contradict one another.
    """

    start_probability: float = 0.5
    stop_probability: float = 0.35
    min_speech_s: float = 0.2
    stop_silence_s: float = 0.6
    pre_roll_s: float = 0.3
    tail_s: float = 0.2
    max_utterance_s: float = 30.0

    def __post_init__(self) -> None:
        if not 0 < self.stop_probability <= self.start_probability <= 1:
            raise InputError("endpointing needs 0 < stop_probability <= start_probability <= 1")
        if min(self.min_speech_s, self.stop_silence_s, self.pre_roll_s, self.tail_s) < 0:
            raise InputError("endpointing needs durations that are not negative")
        if self.tail_s > self.stop_silence_s:
            raise InputError("endpointing keeps at most the pause that ends an utterance: tail_s <= stop_silence_s")
        if self.max_utterance_s <= self.pre_roll_s + self.min_speech_s:
            raise InputError("endpointing needs max_utterance_s above pre_roll_s + min_speech_s")


@dataclass(frozen=True, slots=True)
class SpeechBegan:
    """The caller has been speaking for `min_speech_s`."""


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """An utterance is whole.

    Attributes:
        speech: with pre-roll and tail.
        start_sample: its first sample's place in the stream.
        was_cut: it ended because it was too long, not because of a pause.
    """

    speech: Speech
    start_sample: int
    was_cut: bool = False


class _Phase(StrEnum):
    QUIET = "quiet"  # nothing yet
    STARTING = "starting"  # speech, not yet enough of it
    SPEAKING = "speaking"
    PAUSING = "pausing"  # an utterance, and a pause in it that may be its end


class Endpointer:
    """Cuts one stream of 16 kHz sound; SpeechBegan and SpeechEnded alternate."""

    def __init__(self, limits: Endpointing) -> None:
        self._limits = limits
        self.reset()

    def reset(self) -> None:
        """Forget what is half heard; places in the stream start again at 0."""
        self._phase = _Phase.QUIET
        self._frames: deque[NDArray[np.int16]] = deque()  # the utterance, or what may become its pre-roll
        self._held = 0  # samples in them
        self._first = 0  # place of the first of them in the stream
        self._speech = 0  # samples of speech while STARTING
        self._pause = 0  # samples of pause at the end of the frames

    def feed(self, frame: NDArray[np.int16], probability: float) -> Sequence[SpeechBegan | SpeechEnded]:
        """Take the next frame and the probability that it is speech; gives what began or ended.

        Frames may be of any length; they are kept, not copied.

        Raises:
            InputError: if the frame is empty, or the probability is not between 0 and 1.
        """
        if not len(frame):
            raise InputError("a frame holds at least one sample")
        if not 0 <= probability <= 1:
            raise InputError(f"a speech probability lies between 0 and 1, got {probability}")
        self._frames.append(frame)
        self._held += len(frame)
        if self._phase in (_Phase.QUIET, _Phase.STARTING):
            return self._before_speech(len(frame), probability)
        return self._in_speech(len(frame), probability)

    def _before_speech(self, length: int, probability: float) -> Sequence[SpeechBegan]:
        is_speech = probability >= self._limits.start_probability
        if is_speech or (self._phase is _Phase.STARTING and probability >= self._limits.stop_probability):
            self._phase = _Phase.STARTING
            self._speech += length
            if self._speech >= _samples(self._limits.min_speech_s):
                self._phase, self._pause = _Phase.SPEAKING, 0
                return (SpeechBegan(),)
            return ()
        self._phase, self._speech = _Phase.QUIET, 0
        self._forget_before(_samples(self._limits.pre_roll_s))
        return ()

    def _in_speech(self, length: int, probability: float) -> Sequence[SpeechEnded]:
        needed = self._limits.stop_probability if self._phase is _Phase.SPEAKING else self._limits.start_probability
        if probability >= needed:
            self._phase, self._pause = _Phase.SPEAKING, 0
        else:
            self._phase, self._pause = _Phase.PAUSING, self._pause + length
            if self._pause >= _samples(self._limits.stop_silence_s):
                return (self._end(was_cut=False),)
        if self._held >= _samples(self._limits.max_utterance_s):
            return (self._end(was_cut=True),)
        return ()

    def _end(self, *, was_cut: bool) -> SpeechEnded:
        sound = np.concatenate(self._frames)
        kept = len(sound) - max(0, self._pause - _samples(self._limits.tail_s))
        ended = SpeechEnded(Speech(Pcm(sound[:kept], SPEECH_RATE_HZ)), self._first, was_cut)
        rest = sound[kept:]  # may be the pre-roll of the next utterance
        self._first += kept
        self._frames, self._held = deque([rest] if len(rest) else []), len(rest)
        self._phase, self._speech, self._pause = _Phase.QUIET, 0, 0
        self._forget_before(_samples(self._limits.pre_roll_s))
        return ended

    def _forget_before(self, samples: int) -> None:
        """Keep the newest frames that together hold at least this many samples, or all there are."""
        while self._frames and self._held - len(self._frames[0]) >= samples:
            gone = len(self._frames.popleft())
            self._held -= gone
            self._first += gone


def trim(pcm: Pcm, probabilities: Sequence[float], frame_samples: int, limits: Endpointing) -> Pcm:
    """A recording without the silence around it, for a caller who held a button; pauses inside it stay.

    Args:
        pcm: 16 kHz sound.
        probabilities: of its frames of `frame_samples`, in order; a last part of a frame may be left out.
        frame_samples: length of a frame.
        limits: pre-roll and tail are kept around the speech.

    Returns:
        No samples at all if there is no run of speech of `min_speech_s`.
    """
    runs = _runs(np.asarray(probabilities, dtype=np.float64), limits)
    wanted = _samples(limits.min_speech_s)
    runs = [(start, end) for start, end in runs if (end - start) * frame_samples >= wanted]
    if not runs:
        return Pcm(pcm.samples[:0], pcm.rate_hz)
    first = max(0, runs[0][0] * frame_samples - _samples(limits.pre_roll_s))
    last = runs[-1][1] * frame_samples + _samples(limits.tail_s)
    return Pcm(pcm.samples[first:last], pcm.rate_hz)


def _runs(probabilities: NDArray[np.float64], limits: Endpointing) -> list[tuple[int, int]]:
    """(first, one past the last) frame of each run of speech, with hysteresis."""
    runs: list[tuple[int, int]] = []
    start: int | None = None
    for i, probability in enumerate(probabilities):
        if start is None and probability >= limits.start_probability:
            start = i
        elif start is not None and probability < limits.stop_probability:
            runs.append((start, i))
            start = None
    return [*runs, (start, len(probabilities))] if start is not None else runs


def _samples(duration_s: float) -> int:
    return round(duration_s * SPEECH_RATE_HZ)
