from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from toolchain.datasets.cochlea import cochleagram_spikes
from toolchain.datasets.cochlea.membrane import characteristic_frequency, places
from toolchain.datasets.cochlea.sound import as_float, channels_without_sound, prepare
from toolchain.errors import InputError


def tone(rate: float, seconds: float = 0.2, frequency: float = 500.0) -> NDArray[np.float64]:
    return np.asarray(np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate))


@pytest.mark.parametrize(
    ("rate", "wide"), [(8_000, False), (16_000, False), (24_000, False), (44_100, True), (96_000, True)]
)
def test_sound_of_any_rate_becomes_the_same(rate: int, wide: bool) -> None:
    prepared = prepare(tone(rate), rate)
    assert prepared.wide == wide
    assert prepared.n_steps == 4_800
    expected = prepare(tone(48_000 if wide else 24_000), 48_000 if wide else 24_000)
    error = (prepared.samples - expected.samples)[480:-480]
    assert np.abs(error).max() < 0.01
    assert prepared.bandwidth_hz == min(rate, 48_000 if wide else 24_000) / 2


def test_every_sound_is_as_loud_and_fades() -> None:
    for gain in (1e-200, 1e-3, 1.0, 1e200):
        prepared = prepare(gain * tone(24_000), 24_000)
        assert np.sqrt(np.mean(prepared.samples[720:-720] ** 2)) == pytest.approx(0.3, rel=1e-2)
        np.testing.assert_allclose(prepared.samples, prepare(tone(24_000), 24_000).samples, atol=1e-12)
        assert prepared.samples[0] == prepared.samples[-1] == 0
    whole = prepare(np.ones(24_000), 24_000, None).samples
    np.testing.assert_allclose(whole, 0.3 * np.hanning(24_000), atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "low", "high"), [("uint8", 0, 255), ("int16", -(2**15), 2**15 - 1), ("int32", -(2**31), 2**31 - 1)]
)
def test_full_scale_of_integers_is_one(kind: str, low: int, high: int) -> None:
    assert as_float(np.array([low, high], dtype=kind)).tolist() == pytest.approx([-1, 1], abs=0.01)
    assert as_float(np.array([128 if kind == "uint8" else 0], dtype=kind))[0] == 0


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_floats_stay_what_they_are(kind: str) -> None:
    assert as_float(np.array([0.5, -2.0], dtype=kind)).tolist() == [0.5, -2.0]


@pytest.mark.parametrize(
    ("sound", "rate", "words"),
    [
        (np.zeros(8_000), 8_000, r"all are 0"),
        (np.ones((8_000, 2)), 8_000, r"shape \(8000, 2\)"),
        (np.r_[np.ones(500), np.nan, np.ones(500), np.inf], 8_000, r"sample 500 is nan \(2 such\)"),
        (np.ones(79), 8_000, r"0.009875 s"),
        (np.zeros(0), 8_000, r"of 0 s"),
        (np.ones(8_000), 3_999, r"3999 Hz"),
        (np.ones(8_000), float("nan"), r"nan Hz"),
        (np.ones(80_000), 7_999.9994, r"no simple ratio"),
    ],
)
def test_what_cannot_be_heard_is_refused_with_the_reason(sound: NDArray[np.float64], rate: float, words: str) -> None:
    with pytest.raises(InputError, match=words):
        cochleagram_spikes(sound, rate, seed=0)


def test_types_that_are_no_sound_are_refused() -> None:
    for kind in ("complex64", "bool", "uint16"):
        with pytest.raises(InputError, match=kind):
            as_float(np.zeros(3, dtype=kind))


def test_channels_beyond_what_a_rate_can_hold_are_counted() -> None:
    frequencies = characteristic_frequency(places())
    for rate in (8_000, 16_000, 48_000):
        n = channels_without_sound(rate)
        assert (frequencies[:n] > rate / 2).all()
        assert (frequencies[n:] <= rate / 2).all()
    assert channels_without_sound(48_000) == 0
