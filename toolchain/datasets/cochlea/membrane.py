"""Basilar membrane: how fast it moves at a place, for a tone at the ear.

The cochlea is a shallow-water waveguide with a membrane that becomes softer from base (place c = 0) to apex
(c = 3.5). At angular frequency w the impedance of the membrane is

    xi(c) = S(c) - m w^2 - i w R(c),    S(c) = C0 exp(-alpha c) - a,    R(c) = R0 exp(-alpha c / 2)

and the travelling wave, in the approximation of short wavelengths (WKB) with the constant of the wave at the base,

    g(c) = w sqrt(rho / (h xi(c))),     G(c) = 2 g(0) / alpha + int_0^c g(c') dc'
    P(c) = sqrt(G / g) H0_1(G)
    v(c) = 2 w / xi(c)  P(c) / P(0)  Z(w)
    Z(w) = i sqrt(2 C0 / h) H0_2(x) / H1_2(x),    x = (2 w / alpha) sqrt(2 / (h C0))

with Hankel functions Hn_k of order n and kind k. Source: Sieroka, Dosch, Rupp, J. Acoust. Soc. Am. 120, 297 (2006);
constants as in the converter of the Spiking Heidelberg Digits (Cramer et al., IEEE TNNLS 33, 2744, 2022).

The integral in G has a closed form. With u = exp(alpha c / 2), K = a + m w^2 and b = w R0 the integrand is
proportional to 1 / sqrt(C0 - i b u - K u^2) du, so

    int_0^c g = 2 w / (alpha sqrt(h K / rho)) (arcsin z(c) - arcsin z(0))
    z(c) = (u + i b / (2 K)) sqrt(K) / sqrt(C0 - b^2 / (4 K))
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

RHO = 1.0
"""Density of the fluid, g / cm^3."""
HEIGHT = 0.1
"""Height h of the duct, cm."""
MASS = 0.05
"""Mass m of the membrane, g / cm^2."""
STIFFNESS = 1e9
"""Stiffness C0 at the base, g / (cm^2 s^2)."""
STIFFNESS_OFFSET = 3500.0
"""Constant a that is taken from the stiffness everywhere."""
STIFFNESS_DECAY = 3.0
"""alpha, 1 / cm: how fast stiffness falls with place."""
DAMPING = 0.15
"""delta: resistance R0 = delta sqrt(C0 m)."""
APEX = 3.5
"""Length of the cochlea, cm."""

N_CHANNELS = 700
"""Places, evenly spaced from base to apex; unit 0 is the base, as in the Spiking Heidelberg Digits."""

_RESISTANCE = DAMPING * np.sqrt(STIFFNESS * MASS)


def places(n_channels: int = N_CHANNELS) -> NDArray[np.float64]:
    """Place of each channel, cm from the base, (n_channels,)."""
    return np.linspace(0.0, APEX, n_channels)


def characteristic_frequency(place: NDArray[np.float64]) -> NDArray[np.float64]:
    """Frequency in Hz at which stiffness and inertia cancel: sqrt(S(c) / m) / 2 pi, same shape as `place`."""
    stiffness = STIFFNESS * np.exp(-STIFFNESS_DECAY * place) - STIFFNESS_OFFSET
    return np.asarray(np.sqrt(stiffness / MASS) / (2 * np.pi))


def impedance(omega: Any, place: Any) -> NDArray[np.complex128]:
    """Impedance xi at angular frequencies (1/s) and places (cm) of shapes that broadcast."""
    stiffness = STIFFNESS * np.exp(-STIFFNESS_DECAY * place) - STIFFNESS_OFFSET
    resistance = _RESISTANCE * np.exp(-STIFFNESS_DECAY * place / 2)
    return np.asarray(stiffness - MASS * omega**2 - 1j * omega * resistance)


def wave_number(omega: Any, place: Any) -> NDArray[np.complex128]:
    """Wave number g = w sqrt(rho / (h xi)), 1/cm."""
    return np.asarray(omega * np.sqrt(RHO / (HEIGHT * impedance(omega, place))))


def phase_integral(omega: Any, place: Any) -> NDArray[np.complex128]:
    """G = 2 g(0) / alpha + the integral of g from the base to `place`, in closed form."""
    inertia = STIFFNESS_OFFSET + MASS * omega**2
    drag = omega * _RESISTANCE
    scale = np.sqrt(inertia) / np.sqrt(STIFFNESS - drag**2 / (4 * inertia))

    def angle(place: Any) -> Any:
        return np.arcsin((np.exp(STIFFNESS_DECAY * place / 2) + 0.5j * drag / inertia) * scale)

    along = 2 * omega / (STIFFNESS_DECAY * np.sqrt(HEIGHT * inertia / RHO)) * (angle(place) - angle(0.0))
    return np.asarray(2 * wave_number(omega, 0.0) / STIFFNESS_DECAY + along)


def membrane_velocity(omega: Any, place: Any) -> NDArray[np.complex128]:
    """Velocity of the membrane for a tone of amplitude 1.

    Parameters
    ----------
    omega : angular frequency, 1/s, > 0
    place : cm from the base, 0..`APEX`; the shapes broadcast

    Returns
    -------
    v of the module's docstring. It belongs to a wave exp(-i w t): multiplied onto a spectrum of exp(+i w t), as the
    converter of the Spiking Heidelberg Digits does, it is the filter run backwards in time, and its response comes
    before the sound. Its conjugate is the filter of an ear.
    """
    from scipy.special import hankel1, hankel2

    def pressure(integral: Any, number: Any) -> Any:
        return np.sqrt(integral / number) * hankel1(0, integral)

    base = wave_number(omega, 0.0)
    at_place = pressure(phase_integral(omega, place), wave_number(omega, place))
    at_base = pressure(2 * base / STIFFNESS_DECAY, base)
    x = 2 * omega / STIFFNESS_DECAY * np.sqrt(2 / (HEIGHT * STIFFNESS))
    stapes = 1j * np.sqrt(2 * STIFFNESS / HEIGHT) * hankel2(0, x) / hankel2(1, x)
    return np.asarray(2 * omega / impedance(omega, place) * at_place / at_base * stapes)
