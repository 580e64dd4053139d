from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from toolchain.datasets.cochlea.membrane import (
    APEX,
    STIFFNESS_DECAY,
    characteristic_frequency,
    membrane_velocity,
    phase_integral,
    places,
    wave_number,
)


def test_channels_run_from_22_500_to_110_hertz() -> None:
    frequencies = characteristic_frequency(places())
    assert frequencies.size == 700
    assert np.all(np.diff(frequencies) < 0)
    assert frequencies[0] == pytest.approx(22_500, rel=1e-3)
    assert frequencies[-1] == pytest.approx(110, rel=5e-3)


@pytest.mark.parametrize("frequency", [3.0, 110.0, 1_000.0, 7_777.0, 22_000.0])
@pytest.mark.parametrize("place", [0.02, 0.9, 2.0, APEX])
def test_the_integral_in_closed_form_is_that_of_the_wave_number(frequency: float, place: float) -> None:
    omega = 2 * np.pi * frequency
    parts = [
        quad(lambda c, p=part: float(getattr(wave_number(omega, c), p)), 0.0, place, limit=400, epsrel=1e-10)[0]
        for part in ("real", "imag")
    ]
    expected = 2 * wave_number(omega, 0.0) / STIFFNESS_DECAY + complex(*parts)
    assert complex(phase_integral(omega, place)) == pytest.approx(complex(expected), rel=1e-7)


def test_a_place_answers_most_to_its_own_frequency_and_falls_off_steeply_above() -> None:
    """By about 10^-4 at 1.7 times the characteristic frequency: that much and no more of the spectrum is computed.

    Nearer to the base 1.7 times the characteristic frequency is beyond what sound holds, or within 10 % of that.
    """
    for place in np.linspace(0.5, APEX, 9):
        own = float(characteristic_frequency(np.array(place)))
        frequencies = own * np.linspace(0.02, 2.2, 2000)
        size = np.abs(membrane_velocity(2 * np.pi * frequencies, place))
        assert 0.85 < frequencies[size.argmax()] / own < 1.0
        assert size[(frequencies > 1.7 * own) & (frequencies < 24_000)].max() < 1.3e-4 * size.max()


def test_nothing_is_undefined_anywhere_in_the_band() -> None:
    frequencies = np.geomspace(0.5, 24_000, 400)
    assert np.isfinite(membrane_velocity(2 * np.pi * frequencies[None, :], places()[::7, None])).all()
