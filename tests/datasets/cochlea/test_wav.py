from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import wavfile

from toolchain.datasets.cochlea.wav import decode_wav
from toolchain.errors import InputError


def encoded(samples: np.ndarray, rate: int = 8_000) -> bytes:  # type: ignore[type-arg]
    buffer = io.BytesIO()
    wavfile.write(buffer, rate, samples)
    return buffer.getvalue()


def pcm24(values: list[int]) -> bytes:
    data = b"".join(struct.pack("<i", v)[:3] for v in values)
    head = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 8_000, 24_000, 3, 24)
    body = b"WAVE" + head + struct.pack("<4sI", b"data", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


RAMP = np.linspace(-0.9, 0.9, 200)


@pytest.mark.parametrize(
    "samples",
    [
        np.round(RAMP * 2**15).astype(np.int16), np.round(RAMP * 2**31).astype(np.int32),
        np.round(128 + RAMP * 128).astype(np.uint8), RAMP.astype(np.float32), RAMP,
    ],
    ids=lambda a: str(a.dtype),
)  # fmt: skip
def test_every_common_encoding_has_the_same_scale(samples: np.ndarray) -> None:  # type: ignore[type-arg]
    wave = decode_wav(encoded(samples))
    assert (wave.rate_hz, wave.n_channels, wave.notes) == (8_000, 1, ())
    np.testing.assert_allclose(wave.samples, RAMP, atol=1 / 128 if samples.dtype == np.uint8 else 1e-4)


def test_24_bits_have_it_too() -> None:
    wave = decode_wav(pcm24([0, 2**22, -(2**23), 1]))
    np.testing.assert_allclose(wave.samples, [0, 0.5, -1, 2.0**-23], atol=1e-9)


def test_channels_are_mixed_to_their_mean_and_counted() -> None:
    wave = decode_wav(encoded(np.stack([RAMP, 0 * RAMP], axis=1)))
    assert wave.n_channels == 2
    np.testing.assert_allclose(wave.samples, RAMP / 2)


def test_what_the_reader_skips_is_a_note() -> None:
    whole = encoded(np.round(RAMP * 2**15).astype(np.int16))
    odd = whole + b"abcd" + struct.pack("<I", 4) + b"1234"
    odd = odd[:4] + struct.pack("<I", len(odd) - 8) + odd[8:]
    wave = decode_wav(odd)
    assert len(wave.notes) == 1
    assert "not understood" in wave.notes[0]
    np.testing.assert_array_equal(wave.samples, decode_wav(whole).samples)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "0 bytes|cannot be read"),
        (b"ID3 this is no wave", "cannot be read as WAV"),
        (encoded(np.round(RAMP * 2**15).astype(np.int16))[:-100], "cut off"),
        (encoded(RAMP)[:-99], "cannot be read as WAV"),
        (encoded(RAMP)[:30], "cannot be read as WAV|without any samples"),
        (encoded(np.zeros(0, dtype=np.int16)), "holds 0 samples|without any"),
        (encoded(RAMP)[:20] + struct.pack("<H", 85) + encoded(RAMP)[22:], "(?i)unknown wave file format"),
    ],
)
def test_what_is_no_whole_wav_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        decode_wav(content)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.integers(0, 43), st.integers(0, 255), st.integers(0, 500))
def test_a_damaged_header_is_read_or_refused_but_never_a_crash(position: int, value: int, length: int) -> None:
    content = bytearray(encoded(np.round(RAMP * 2**15).astype(np.int16)))
    content[position] = value
    try:
        wave = decode_wav(bytes(content[:length]) if length < 400 else bytes(content))
    except InputError:
        return
    assert wave.samples.ndim == 1
    assert wave.samples.size > 0
