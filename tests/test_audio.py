import io
import wave

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from teller.audio import Pcm
from teller.errors import InputError

SOUNDS = hnp.arrays(np.int16, st.integers(0, 400))


@given(SOUNDS, st.sampled_from([8_000, 16_000, 22_050, 48_000]))
def test_a_wav_file_holds_every_sample_and_the_rate(samples, rate_hz):
    with wave.open(io.BytesIO(Pcm(samples, rate_hz).to_wav())) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, rate_hz)
        np.testing.assert_array_equal(np.frombuffer(file.readframes(file.getnframes()), "<i2"), samples)


@given(SOUNDS)
def test_raw_bytes_come_back_as_the_same_samples(samples):
    np.testing.assert_array_equal(Pcm.from_bytes(samples.astype("<i2").tobytes(), 16_000).samples, samples)


def test_raw_bytes_are_little_endian():
    assert Pcm.from_bytes(b"\x01\x00\x00\x80", 16_000).samples.tolist() == [1, -32768]


def test_an_odd_number_of_raw_bytes_is_refused():
    with pytest.raises(InputError, match="even number of bytes, got 3"):
        Pcm.from_bytes(b"abc", 16_000)


@pytest.mark.parametrize(
    "samples", [np.zeros((2, 2), np.int16), np.zeros(2, np.float32), np.zeros(2, np.int32), np.array(5, np.int16)]
)
def test_other_shapes_and_types_are_refused(samples):
    with pytest.raises(InputError, match="one row of int16"):
        Pcm(samples, 16_000)


@pytest.mark.parametrize("rate_hz", [0, -1, 3_999, 192_001])
def test_a_rate_out_of_range_is_refused(rate_hz):
    with pytest.raises(InputError, match="sample rate"):
        Pcm(np.zeros(1, np.int16), rate_hz)


def test_duration_is_in_seconds():
    assert Pcm(np.zeros(8_000, np.int16), 16_000).duration_s == 0.5
    assert Pcm.silence(0.25, 8_000).samples.shape == (2_000,)


def test_rms_is_a_share_of_full_scale():
    assert Pcm.silence(0).rms == 0
    assert Pcm(np.full(10, -32768, np.int16), 16_000).rms == 1
    sine = (32_767 * np.sin(2 * np.pi * 100 * np.arange(16_000) / 16_000)).astype(np.int16)
    assert Pcm(sine, 16_000).rms == pytest.approx(2**-0.5, rel=1e-3)
