import io
import struct
from contextlib import suppress

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from teller.audio import Pcm
from teller.engines.sound_files import read_sound, resample
from teller.errors import InputError


def tone(duration_s: float = 0.5, rate_hz: int = 16_000, pitch_hz: float = 440.0, level: float = 0.5) -> np.ndarray:
    return level * np.sin(2 * np.pi * pitch_hz * np.arange(round(duration_s * rate_hz)) / rate_hz)


def sound_file(samples: np.ndarray, rate_hz: int = 16_000, kind: str = "WAV", subtype: str = "PCM_16") -> bytes:
    out = io.BytesIO()
    soundfile.write(out, samples, rate_hz, format=kind, subtype=subtype)
    return out.getvalue()


def pitch_hz(pcm: Pcm) -> float:
    spectrum = np.abs(np.fft.rfft(pcm.samples * np.hanning(len(pcm.samples))))
    return float(np.fft.rfftfreq(len(pcm.samples), 1 / pcm.rate_hz)[spectrum.argmax()])


def test_a_16_bit_mono_file_at_the_right_rate_comes_back_sample_for_sample():
    samples = np.random.default_rng(0).integers(-32768, 32768, 8_000).astype(np.int16)
    np.testing.assert_array_equal(read_sound(sound_file(samples), max_duration_s=10).samples, samples)


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [
        ("WAV", "PCM_U8"),
        ("WAV", "PCM_24"),
        ("WAV", "PCM_32"),
        ("WAV", "FLOAT"),
        ("WAV", "DOUBLE"),
        ("WAV", "ULAW"),
        ("FLAC", "PCM_16"),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
        ("MP3", "MPEG_LAYER_III"),
        ("AIFF", "PCM_16"),
    ],
)
def test_every_common_kind_of_file_is_read(kind, subtype):
    pcm = read_sound(sound_file(tone(), kind=kind, subtype=subtype), max_duration_s=10)
    assert pcm.rate_hz == 16_000
    assert pcm.duration_s == pytest.approx(0.5, abs=0.03)
    assert pitch_hz(pcm) == pytest.approx(440, abs=5)
    assert pcm.rms == pytest.approx(0.5 * 2**-0.5, rel=0.1)


def test_stereo_is_averaged():
    left, right = tone(pitch_hz=300), np.zeros(8_000)
    pcm = read_sound(sound_file(np.stack([left, right], axis=1)), max_duration_s=10)
    np.testing.assert_allclose(pcm.samples, left / 2 * 32768, atol=2)


def test_opposite_channels_give_silence_not_noise():
    pcm = read_sound(sound_file(np.stack([tone(), -tone()], axis=1)), max_duration_s=10)
    assert pcm.rms < 1e-4


@pytest.mark.parametrize("file_rate_hz", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_any_rate_becomes_the_one_asked_for(file_rate_hz):
    pcm = read_sound(sound_file(tone(0.7, file_rate_hz), file_rate_hz), max_duration_s=10)
    assert pcm.rate_hz == 16_000
    assert pcm.duration_s == pytest.approx(0.7, abs=0.001)
    assert pitch_hz(pcm) == pytest.approx(440, abs=3)


def test_resampling_leaves_no_alias_of_what_the_lower_rate_cannot_hold():
    pcm = read_sound(sound_file(tone(1, 48_000, pitch_hz=11_000), 48_000), max_duration_s=10)
    assert pcm.rms < 0.001


def test_floats_beyond_full_scale_are_clipped():
    pcm = read_sound(sound_file(tone(level=3.0), subtype="FLOAT"), max_duration_s=10)
    assert (pcm.samples.max(), pcm.samples.min()) == (32767, -32768)


def test_silence_is_fine():
    assert read_sound(Pcm.silence(1).to_wav(), max_duration_s=10).rms == 0


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"hello, this is no sound at all" * 20, "cannot be read"),
        (b"RIFF\x00\x00\x00\x00WAVE", "cannot be read"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "cannot be read"),
        (Pcm.silence(0).to_wav(), "at least 0.05 s"),
        (Pcm.silence(0.04).to_wav(), "at least 0.05 s"),
    ],
)
def test_what_is_no_usable_sound_is_refused_with_the_reason(data, message):
    with pytest.raises(InputError, match=message):
        read_sound(data, max_duration_s=10)


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [("WAV", "PCM_16"), ("WAV", "FLOAT"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")],
)
def test_a_file_that_is_cut_off_is_refused(kind, subtype):
    whole = sound_file(tone(2), kind=kind, subtype=subtype)
    with pytest.raises(InputError):
        read_sound(whole[: len(whole) // 2], max_duration_s=10)


def test_a_wav_file_that_was_streamed_without_its_length_is_read():
    wav = bytearray(Pcm((tone() * 32767).astype(np.int16), 16_000).to_wav())
    wav[40:44] = b"\xff\xff\xff\xff"
    assert read_sound(bytes(wav), max_duration_s=10).duration_s == pytest.approx(0.5)


def test_a_long_file_is_refused():
    with pytest.raises(InputError, match="at most 1 s"):
        read_sound(Pcm.silence(1.1).to_wav(), max_duration_s=1)
    assert read_sound(Pcm.silence(1).to_wav(), max_duration_s=1).duration_s == 1


def test_a_small_file_that_holds_hours_is_refused_unread():
    hours = sound_file(np.zeros(16_000 * 60 * 30, np.int16), kind="FLAC")
    assert len(hours) < 200_000
    with pytest.raises(InputError, match=r"lasts 1800\.0 s or more"):
        read_sound(hours, max_duration_s=60)


def test_samples_that_are_not_numbers_are_refused():
    with pytest.raises(InputError, match="not numbers"):
        read_sound(sound_file(np.array([0.0, np.nan] * 4_000), subtype="FLOAT"), max_duration_s=10)


def test_a_rate_that_no_sound_has_is_refused():
    wav = bytearray(Pcm.silence(1).to_wav())
    wav[24:28] = struct.pack("<I", 1_000)
    with pytest.raises(InputError, match="sample rate of 1000"):
        read_sound(bytes(wav), max_duration_s=100)


def test_too_many_channels_are_refused():
    with pytest.raises(InputError, match="9 channels"):
        read_sound(sound_file(np.zeros((8_000, 9))), max_duration_s=10)


@given(st.binary(max_size=300))
def test_no_bytes_make_anything_but_an_input_error(data):
    with pytest.raises(InputError):
        read_sound(data, max_duration_s=1)


@given(st.binary(min_size=1, max_size=40), st.integers(0, 500))
def test_a_damaged_file_is_read_or_refused_and_nothing_else(noise, at):
    wav = bytearray(sound_file(tone(0.1)))
    wav[at : at + len(noise)] = noise
    with suppress(InputError):
        assert read_sound(bytes(wav), max_duration_s=10).rate_hz == 16_000


def test_resampling_to_the_same_rate_changes_nothing():
    pcm = Pcm.silence(0.1)
    assert resample(pcm, 16_000) is pcm


def test_resampling_nothing_gives_nothing_at_the_new_rate():
    pcm = resample(Pcm.silence(0), 8_000)
    assert (len(pcm.samples), pcm.rate_hz) == (0, 8_000)


def test_resampling_to_a_rate_out_of_range_is_refused():
    with pytest.raises(InputError, match="sample rate"):
        resample(Pcm.silence(0.1), 100)
