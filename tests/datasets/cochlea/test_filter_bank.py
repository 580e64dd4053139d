from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from toolchain.datasets.cochlea import Cochlea
from toolchain.datasets.cochlea.filter_bank import (
    FRAME_FRACTIONS,
    LONGEST_FRAME,
    STEP_RATE_HZ,
    decimation,
    frame_fraction,
    frame_room,
    interpolation_weights,
)
from toolchain.datasets.cochlea.membrane import characteristic_frequency, membrane_velocity, places
from toolchain.datasets.cochlea.sound import prepare

UNITS = np.array([0, 40, 90, 200, 255, 256, 300, 420, 500, 600, 699])


def direct(sound: NDArray[np.float64], rate_hz: float, unit: int, causal: bool) -> NDArray[np.float64]:
    """All bins of the whole sound at once, in double precision: real part of the positive frequencies at 24 kHz."""
    prepared = prepare(sound, rate_hz)
    samples = prepared.samples if prepared.wide else np.zeros(0)
    if not prepared.wide:
        spectrum = np.fft.rfft(prepared.samples, prepared.samples.size * 2)
        samples = np.fft.irfft(spectrum, prepared.samples.size * 4)[: 2 * prepared.samples.size] * 2
    n = 2 * (samples.size + 24_000)
    spectrum = np.fft.rfft(samples, n)[: n // 2]
    frequencies = np.arange(n // 2) * 48_000 / n
    frequencies[0] = 1.0
    transfer = membrane_velocity(2 * np.pi * frequencies, places()[unit])
    transfer[0] = 0
    filtered = np.fft.ifft((transfer.conj() if causal else transfer) * spectrum).real
    return np.asarray(filtered[: prepared.n_steps])


@pytest.mark.parametrize(("rate", "seconds"), [(8_000, 0.3), (16_000, 0.52), (24_000, 2.0), (48_000, 0.7)])
@pytest.mark.parametrize("causal", [False, True])
def test_frames_decimation_and_interpolation_cost_a_few_thousandths_at_most(
    rate: int, seconds: float, causal: bool
) -> None:
    """Noise has all frequencies; compared with every bin of the whole sound, evaluated without any shortcut.

    Least exact is the very base, which is cut off at 12 or 24 kHz in the middle of its band.
    """
    errors = []
    sound = np.random.default_rng(rate).standard_normal(int(rate * seconds))
    found = Cochlea(causal=causal, units=UNITS).velocity(sound, rate)
    for row, unit in zip(found, UNITS, strict=True):
        expected = direct(sound, rate, int(unit), causal)
        # The first and last 20 ms are left out: what wraps round there is faded, but differs.
        inside = slice(480, -480)
        errors.append(np.sqrt(np.mean((row[inside] - expected[inside]) ** 2) / np.mean(expected[inside] ** 2)))
    assert max(errors) < 4e-3, errors
    assert np.median(errors) < 1e-3, errors


def test_what_lies_above_12_khz_is_folded_down_as_in_the_original() -> None:
    """A tone of 20 kHz moves the base, at 4 kHz after sampling; resampled to 24 kHz it is gone."""
    t = np.arange(14_400) / 48_000
    tone = np.sin(2 * np.pi * 20_000 * t)
    moved = Cochlea(units=np.array([18])).velocity(tone, 48_000)[0]
    spectrum = np.abs(np.fft.rfft(moved))
    assert np.fft.rfftfreq(moved.size, 1 / STEP_RATE_HZ)[spectrum.argmax()] == pytest.approx(4_000, abs=20)


def test_the_filters_lead_the_sound_or_follow_it() -> None:
    """Peak of the response to a click before it, as measured on the original: 0.3 ms at 4.5 kHz to 16 ms at 118 Hz."""
    click = np.zeros(24_000)
    click[12_000] = 1.0
    frequencies = np.array([4_500.0, 1_000.0, 223.0, 118.0])
    units = np.abs(characteristic_frequency(places())[:, None] - frequencies).argmin(axis=0)
    for causal, sign in ((False, 1), (True, -1)):
        moved = np.abs(Cochlea(causal=causal, units=units).velocity(click, 24_000))
        lead_ms = sign * (12_000 - moved.argmax(axis=1)) / 24
        np.testing.assert_allclose(lead_ms, [0.3, 1.7, 8.5, 16.0], rtol=0.1, atol=0.25)


def test_frames_hold_sound_and_margins() -> None:
    for n_steps in (240, 1_880, 1_881, 5_000, 12_120, 20_000, LONGEST_FRAME - 3_240, LONGEST_FRAME, 10**6):
        fraction = frame_fraction(n_steps)
        assert fraction in FRAME_FRACTIONS
        assert frame_room(fraction) >= min(n_steps, frame_room(1))
        smaller = [f for f in FRAME_FRACTIONS if f > fraction]
        assert all(frame_room(f) < n_steps for f in smaller)


@pytest.mark.parametrize("factor", [1, 2, 4, 8, 16, 32])
def test_interpolation_keeps_samples_and_draws_a_sine_between_them(factor: int) -> None:
    weights = interpolation_weights(factor)
    np.testing.assert_allclose(weights[0], np.eye(12)[5], atol=1e-7)
    frequency = 0.25  # of the low rate: the highest that a channel's own frequency can be is 0.28
    for phase in range(factor):
        taps = np.cos(2 * np.pi * frequency * (np.arange(12) - 5))
        assert weights[phase] @ taps == pytest.approx(np.cos(2 * np.pi * frequency * phase / factor), abs=1e-3)


def test_blocks_are_computed_at_a_rate_that_holds_their_band() -> None:
    for top in (22_500.0, 3_400.0, 3_300.0, 900.0, 110.0):
        for bandwidth in (12_000.0, 4_000.0):
            low_nyquist = STEP_RATE_HZ / decimation(top, bandwidth) / 2
            assert low_nyquist >= min(1.8 * top, 1.5 * bandwidth, 12_000)
