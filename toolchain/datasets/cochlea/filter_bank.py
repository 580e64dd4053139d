"""Filters of the membrane at all channels, applied to a sound frame by frame in the frequency domain.

Behind the membrane everything runs at `STEP_RATE_HZ` = 24 kHz while the membrane answers up to 24 kHz. The converter
of the Spiking Heidelberg Digits takes the positive frequencies of sound at 48 kHz, filters them, and reads the real
part of that signal at 24 kHz: what lies above 12 kHz is folded down. So do we,

    y[t] = Re sum_{k=0}^{N-1} V(k) X(k) exp(2 pi i k t / N),    k in units of 24 kHz / N

where bin k > N/2 is added, conjugated, to bin N - k; an inverse transform of a real signal is then all that is needed.

Two things make it fast. Above its characteristic frequency a channel falls off steeply (by 10^-4 at 1.6 times that
frequency), so most channels need a fraction of the bins and of the samples: the inverse transform of a block of
channels gives every D-th sample, D = 1, 2, ..., 32, and the kernels fill in the others by a windowed sinc. And the
functions are smooth on the scale of a channel's own frequency: they are evaluated at a few hundred points each and
interpolated, in a fraction of a second for all 700.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.datasets.cochlea.lanes import F32, LANES, WIDTH, kernel
from toolchain.datasets.cochlea.membrane import characteristic_frequency, membrane_velocity, places

C64 = NDArray[np.complex64]

STEP_RATE_HZ = 24_000
"""Steps of hair cells, fibres and bushy cells a second."""
LONGEST_FRAME = 30_720
"""Steps in the longest frame, 1.28 s; the others are whole fractions of it, so one table serves all."""
FRAME_FRACTIONS = (1, 2, 3, 4, 5, 6)
FAR_STEPS = 3_000
"""How far a filter reaches on the side of its response, 125 ms: 7 time constants of the lowest channel."""
NEAR_STEPS = 240
"""How far it reaches on the other side, 10 ms."""

TAPS = 12
"""Low-rate samples that one step is interpolated from."""
_KAISER = 7.0
_FLOOR = 1e-4
_REACH = 1.7
"""Multiple of the characteristic frequency up to which a channel is computed; it is below `_FLOOR` there."""
_POINTS = 256
"""Points of a channel's transfer function below its characteristic frequency."""
_LARGEST_DECIMATION = 32
_GUARD = 1.8
"""A block's low rate is at least 2 x this times its highest characteristic frequency,"""
_SOUND_GUARD = 1.5
"""or 2 x this times the highest frequency in the sound, if that is less."""


@dataclass(frozen=True)
class BlockFilter:
    """Transfer functions of one block of channels on the bins of the longest frame.

    `direct` (n_bins, LANES) bins 0, 1, ... up to where all channels have fallen off; `folded` (n, LANES), or None
    where nothing answers above 12 kHz: row k - 1 is the conjugate of bin N - k. `top_hz` is the highest
    characteristic frequency.
    """

    direct: C64
    folded: C64 | None
    top_hz: float


@cache
def interpolation_weights(decimation: int) -> F32:
    """(decimation, TAPS) weights of the low-rate samples around a step; row d is for d steps after a sample.

    A sinc under a Kaiser window; the samples are those from TAPS/2 - 1 before to TAPS/2 after.
    """
    away = np.arange(decimation)[:, None] / decimation - (np.arange(TAPS) - (TAPS // 2 - 1))
    window = np.i0(_KAISER * np.sqrt(np.clip(1 - (2 * away / TAPS) ** 2, 0, None))) / np.i0(_KAISER)
    return np.asarray(np.sinc(away) * window, dtype=np.float32)


class FilterBank:
    """Filters of some channels; made once, used by any number of threads.

    Parameters
    ----------
    units : (n,) rising channels out of 700
    causal : conjugate the transfer functions, so that the response comes after the sound
    """

    def __init__(self, units: NDArray[np.int64], causal: bool) -> None:
        padded = np.concatenate([units, np.full(-units.size % LANES, units[-1])])
        self.causal = causal
        self._places = places()[padded].reshape(-1, LANES)
        self._filters: list[BlockFilter | None] = [None] * self._places.shape[0]
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._filters)

    def block(self, index: int) -> BlockFilter:
        """Filters of block `index`, made at first use."""
        made = self._filters[index]
        if made is None:
            with self._lock:
                made = self._filters[index]
                if made is None:
                    made = self._filters[index] = _make_block(self._places[index], self.causal)
        return made


def _make_block(place: NDArray[np.float64], causal: bool) -> BlockFilter:
    spacing = STEP_RATE_HZ / LONGEST_FRAME
    half = LONGEST_FRAME // 2
    characteristic = characteristic_frequency(place)
    top = characteristic.max()
    bins = np.arange(min(int(_REACH * top / spacing) + 1, LONGEST_FRAME))
    values = np.zeros((bins.size, LANES), dtype=np.complex128)
    for lane, (c, frequency) in enumerate(zip(place, characteristic, strict=True)):
        own = bins[: int(_REACH * frequency / spacing) + 1] * spacing
        values[: own.size, lane] = _transfer(c, frequency, own)
    values[0] = 0
    if causal:
        values = values.conj()
    values = values.astype(np.complex64)
    folded = None
    if bins.size > half + 1:
        # Bin N - k for k = 0, 1, ..., N/2; bin N itself is not in the band, and N/2 is there already.
        folded = np.zeros((half, LANES), dtype=np.complex64)
        upper = values[half + 1 :]
        folded[half - upper.shape[0] :] = upper[::-1].conj()
    return BlockFilter(np.ascontiguousarray(values[: half + 1]), folded, float(top))


def _transfer(place: float, characteristic: float, frequencies: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Transfer function of one place at rising frequencies (Hz), by a cubic spline through `_POINTS` per octave."""
    from scipy.interpolate import CubicSpline

    step = characteristic / _POINTS
    knots = np.arange(int(frequencies[-1] / step) + 3) * step
    # The function goes to 0 with the frequency but is not defined there.
    at_knots = np.concatenate(([0.0], membrane_velocity(2 * np.pi * knots[1:], place)))
    return np.asarray(CubicSpline(knots, at_knots)(frequencies))


def decimation(top_hz: float, bandwidth_hz: float) -> int:
    """Every how many steps a block is computed: its channels end at `top_hz`, the sound at `bandwidth_hz`."""
    band = min(_GUARD * top_hz, _SOUND_GUARD * bandwidth_hz)
    factor = 1
    while factor < _LARGEST_DECIMATION and STEP_RATE_HZ / (4 * factor) >= band:
        factor *= 2
    return factor


def frame_fraction(n_steps: int) -> int:
    """Fraction of the longest frame, out of `FRAME_FRACTIONS`, that holds so many steps and both margins for least."""
    fits = [f for f in FRAME_FRACTIONS if LONGEST_FRAME // f >= n_steps + FAR_STEPS + NEAR_STEPS]
    return max(fits, default=1)


def frame_room(fraction: int) -> int:
    """Steps that a frame yields: its length without the margins that wrap round."""
    return LONGEST_FRAME // fraction - FAR_STEPS - NEAR_STEPS


@kernel
def _filter(spectrum: Any, direct: Any, folded: Any, stride: Any, scale: Any, low: Any) -> None:
    """low[k] = scale (spectrum[k] direct[k stride] + conj(spectrum[N - k]) folded[k stride - 1]), 0 beyond either."""
    n_low = low.shape[0]
    n_direct = (direct.shape[0] - 1) // stride + 1
    size = 2 * (spectrum.shape[0] // 2)
    for k in range(n_low):
        if k < n_direct:
            x = scale * spectrum[k]
            for lane in range(LANES):
                low[k, lane] = x * direct[k * stride, lane]
        else:
            for lane in range(LANES):
                low[k, lane] = np.complex64(0)
    if folded.shape[0]:
        for k in range(1, n_low - 1):
            x = scale * np.conj(spectrum[size - k])
            for lane in range(LANES):
                low[k, lane] += x * folded[k * stride, lane]


_NOTHING = np.zeros((0, LANES), dtype=np.complex64)


def filtered(block: BlockFilter, spectrum: C64, fraction: int, wide: bool, factor: int) -> F32:
    """Velocity of a block in one frame at the block's low rate.

    Parameters
    ----------
    spectrum : (N/2 + 1,) of a frame of N = `LONGEST_FRAME` / fraction samples at 24 kHz; if `wide`, (N + 1,) half of
        the spectrum of 2 N samples at 48 kHz
    factor : every so many steps are computed

    Returns
    -------
    flat (N / factor, LANES); if factor > 1, (N / factor + TAPS, LANES) with TAPS / 2 - 1 samples before the
    frame and the rest after, which are those of its other end: a frame is periodic
    """
    from scipy.fft import irfft

    n_low = LONGEST_FRAME // fraction // factor
    low = np.empty((n_low // 2 + 1, LANES), dtype=np.complex64)
    folded = block.folded if wide and block.folded is not None else _NOTHING
    # The shorter inverse transform is not divided by as much as that of the whole frame would be.
    _filter(spectrum, block.direct, folded, fraction, np.float32(1 / factor), low)
    samples = np.asarray(irfft(low, n_low, axis=0, workers=1), dtype=np.float32)
    if factor > 1:
        before = TAPS // 2 - 1
        samples = np.concatenate([samples[-before:], samples, samples[: TAPS - before]])
    return samples.reshape(-1)


_n1, _n2, _n3, _n4, _n5, _n6, _n7, _n8, _n9, _n10, _n11 = (np.uint64(n * LANES) for n in range(1, TAPS))


@kernel
def interpolate(low: Any, start: Any, n_steps: Any, weights: Any, velocity: Any) -> None:
    """Velocity (flat, (n_steps, LANES)) from step `start` of a frame on, between low-rate samples.

    `low` flat (TAPS + n_low, LANES): TAPS / 2 - 1 samples before the frame first.
    """
    decimation = np.uint64(weights.shape[0])
    for step in range(np.uint64(n_steps)):
        at = step * WIDTH
        first = (np.uint64(start) + step) // decimation * WIDTH
        row = weights[(np.uint64(start) + step) % decimation]
        w0, w1, w2, w3, w4, w5 = row[0], row[1], row[2], row[3], row[4], row[5]
        w6, w7, w8, w9, w10, w11 = row[6], row[7], row[8], row[9], row[10], row[11]
        for lane in range(WIDTH):
            near = first + lane
            left = (w0 * low[near] + w1 * low[near + _n1]) + (w2 * low[near + _n2] + w3 * low[near + _n3])
            middle = (w4 * low[near + _n4] + w5 * low[near + _n5]) + (w6 * low[near + _n6] + w7 * low[near + _n7])
            right = (w8 * low[near + _n8] + w9 * low[near + _n9]) + (w10 * low[near + _n10] + w11 * low[near + _n11])
            velocity[at + lane] = left + middle + right
