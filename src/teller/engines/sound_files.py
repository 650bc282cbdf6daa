"""Sound files of any common kind to `Pcm`, and one sample rate to another (libsndfile, soxr).

Reads what libsndfile reads: WAV (integers and floats), FLAC, Ogg Vorbis and Opus, MP3, AIFF, AU. Not here: raw samples
(`Pcm.from_bytes`), telephone codecs, containers such as WebM and MP4.
"""

from __future__ import annotations

import io

import numpy as np
import soundfile
import soxr  # type: ignore[import-untyped]
from numpy.typing import NDArray

from teller.audio import SPEECH_RATE_HZ, Pcm
from teller.errors import InputError

MIN_DURATION_S = 0.05  # shorter than any word
_MAX_CHANNELS = 8
_LEAST_SHARE = 0.95  # of the promised samples; some MP3 headers only estimate
_BLOCK_FRAMES = 65_536
_WAV_DATA_UNKNOWN = (0, 0xFFFFFFFF)  # sizes that a program writes that streams a WAV file


def read_sound(data: bytes, *, max_duration_s: float, rate_hz: int = SPEECH_RATE_HZ) -> Pcm:
    """Read a sound file: channels averaged, resampled to `rate_hz`.

    Reading stops as soon as the limit is passed, whatever the file says of its own length.

    Raises:
        InputError: if it is empty, no sound file, cut off or damaged, shorter than 0.05 s or longer than
            `max_duration_s`, or has more than 8 channels or a rate outside 4,000 to 192,000 Hz.
    """
    if not data:
        raise InputError("the sound file is empty")
    _refuse_cut_wav(data)
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            if file.channels > _MAX_CHANNELS:
                raise InputError(f"the sound file has {file.channels} channels; at most {_MAX_CHANNELS} are read")
            samples = _read_mono(file, max_duration_s)
            file_rate_hz = file.samplerate
    except soundfile.SoundFileError as exc:
        raise InputError(f"the sound file cannot be read: send WAV, FLAC, Ogg or MP3 ({_reason(exc)})") from exc
    pcm = Pcm(_to_int16(samples), file_rate_hz)
    if pcm.duration_s < MIN_DURATION_S:
        raise InputError(f"the sound lasts {pcm.duration_s:.3f} s; at least {MIN_DURATION_S:g} s are wanted")
    return resample(pcm, rate_hz)


def resample(pcm: Pcm, rate_hz: int) -> Pcm:
    """The same sound at another rate.

    Raises:
        InputError: if the rate is out of range.
    """
    if pcm.rate_hz == rate_hz:
        return pcm
    target = Pcm.silence(0, rate_hz)  # refuses a bad rate before soxr sees it
    if not len(pcm.samples):
        return target
    floats = soxr.resample(pcm.samples.astype(np.float32) / 32768.0, pcm.rate_hz, rate_hz)
    return Pcm(_to_int16(floats), rate_hz)


def _read_mono(file: soundfile.SoundFile, max_duration_s: float) -> NDArray[np.float32]:
    """(n,) float32; a damaged block ends in SoundFileError, or in fewer frames than the header promised."""
    max_frames = int(max_duration_s * file.samplerate)
    if file.frames > max_frames:
        _refuse_long(file.frames / file.samplerate, max_duration_s)
    blocks: list[NDArray[np.float32]] = []
    read = 0
    while len(block := file.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)):
        read += len(block)
        if read > max_frames:
            _refuse_long(read / file.samplerate, max_duration_s)
        blocks.append(block.mean(axis=1, dtype=np.float32))
    if read < _LEAST_SHARE * file.frames:
        raise InputError(f"the sound file is cut off: {read} of {file.frames} samples are there")
    samples = np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.float32)
    if not np.isfinite(samples).all():
        raise InputError("the sound file holds samples that are not numbers")
    return samples


def _refuse_long(duration_s: float, max_duration_s: float) -> None:
    raise InputError(f"the sound lasts {duration_s:.1f} s or more; at most {max_duration_s:g} s are heard at once")


def _refuse_cut_wav(data: bytes) -> None:
    """A WAV file that is cut off is quietly shortened by libsndfile; a caller should know."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == b"data":
            there = len(data) - at - 8
            if size > there and size not in _WAV_DATA_UNKNOWN:
                raise InputError(f"the sound file is cut off: {there} of {size} bytes of sound are there")
            return
        at += 8 + size + size % 2


def _to_int16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    scaled: NDArray[np.float32] = np.rint(samples * np.float32(32768.0))
    return np.clip(scaled, -32768, 32767).astype(np.int16)


def _reason(exc: soundfile.SoundFileError) -> str:
    return str(getattr(exc, "error_string", exc)).rstrip(".")
