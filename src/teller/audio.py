"""Sound as the core knows it: mono 16-bit samples with their rate.

Not here: other file formats and resampling (`engines/sound_files.py`), telephone codecs, devices.
"""

from __future__ import annotations

import io
import wave
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from teller.errors import InputError

SPEECH_RATE_HZ = 16_000  # what the detector and the transcribers take
_RATES_HZ = range(4_000, 192_001)


@dataclass(frozen=True, slots=True, eq=False)
class Pcm:
    """Mono signed 16-bit sound.

    Attributes:
        samples: (n,) int16.
        rate_hz: samples a second, 4,000 to 192,000.

    Raises:
        InputError: if the samples have another shape or type, or the rate is out of range.
    """

    samples: NDArray[np.int16]
    rate_hz: int

    def __post_init__(self) -> None:
        if self.samples.ndim != 1 or self.samples.dtype != np.int16:
            raise InputError(f"sound must be one row of int16 samples, got {self.samples.dtype} {self.samples.shape}")
        if self.rate_hz not in _RATES_HZ:
            raise InputError(f"a sample rate of {self.rate_hz} Hz is not between 4,000 and 192,000 Hz")

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.rate_hz

    @property
    def rms(self) -> float:
        """Root mean square, 0 to 1 of full scale; 0 for no samples."""
        if not len(self.samples):
            return 0.0
        return float(np.sqrt(np.mean(np.square(self.samples.astype(np.float64)))) / 32768.0)

    def to_wav(self) -> bytes:
        """The sound as a WAV file (PCM, 16 bit, mono)."""
        out = io.BytesIO()
        with wave.open(out, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(self.rate_hz)
            file.writeframes(self.samples.astype("<i2").tobytes())
        return out.getvalue()

    @staticmethod
    def from_bytes(data: bytes, rate_hz: int) -> Pcm:
        """Read raw little-endian 16-bit mono samples.

        Raises:
            InputError: if the length is odd.
        """
        if len(data) % 2:
            raise InputError(f"raw 16-bit sound has an even number of bytes, got {len(data)}")
        return Pcm(np.frombuffer(data, dtype="<i2").astype(np.int16), rate_hz)

    @staticmethod
    def silence(duration_s: float, rate_hz: int = SPEECH_RATE_HZ) -> Pcm:
        """`duration_s` seconds of digital silence."""
        return Pcm(np.zeros(round(duration_s * rate_hz), dtype=np.int16), rate_hz)
