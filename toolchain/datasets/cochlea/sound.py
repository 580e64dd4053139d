"""Sound on its way into the ear: checked, mixed to one channel, brought to 24 or 48 kHz, set to one loudness, faded."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from toolchain.datasets.cochlea.filter_bank import STEP_RATE_HZ
from toolchain.datasets.cochlea.membrane import characteristic_frequency, places
from toolchain.errors import InputError

LOUDNESS = 0.3
"""Root mean square of every sound, as for the Spiking Heidelberg Digits."""
RAMP_S = 0.03
"""Length of the fade at either end, half a Hann window."""
LOWEST_RATE_HZ = 4_000
SHORTEST_S = 0.01
_LARGEST_FACTOR = 50_000


class Prepared(NamedTuple):
    """Sound at `STEP_RATE_HZ`, or at twice that if `wide`, with nothing above `bandwidth_hz`; it lasts `n_steps`."""

    samples: NDArray[np.float64]
    wide: bool
    bandwidth_hz: float
    n_steps: int


def channels_without_sound(rate_hz: float) -> int:
    """Channels whose characteristic frequency is above what sound at this rate can hold, rate / 2.

    They hear the lower skirt of what is there, and their fibres' spontaneous activity.
    """
    return int(np.count_nonzero(characteristic_frequency(places()) > rate_hz / 2))


def as_float(samples: NDArray[Any]) -> NDArray[np.float64]:
    """Samples of a sound file as float64 with full scale 1: integers are divided by the largest of their type.

    8-bit samples are unsigned around 128, as WAV has them.

    Raises
    ------
    InputError
        If the samples are neither integers nor real floating-point numbers.
    """
    kind = samples.dtype
    if kind == np.uint8:
        return (samples.astype(np.float64) - 128.0) / 128.0
    if kind.kind == "i":
        return samples / -float(np.iinfo(kind).min)
    if kind.kind == "f":
        return samples.astype(np.float64)
    raise InputError(f"sound: samples of type {kind}; give signed integers, unsigned bytes or floats")


def prepare(sound: NDArray[np.float64], rate_hz: float, ramp_s: float | None = RAMP_S) -> Prepared:
    """Make a sound ready for the membrane: resample, set the loudness, fade in and out.

    Parameters
    ----------
    sound : (n_samples,), any loudness
    rate_hz : samples a second; at most 24 kHz becomes 24 kHz, everything above becomes 48 kHz
    ramp_s : length of the fade at either end, s; None fades over the whole sound, half in and half out

    Raises
    ------
    InputError
        If the sound is not one channel of finite numbers, is silent, is shorter than 10 ms, or its rate is below
        4 kHz or not one that it can be resampled from.
    """
    from scipy.signal import resample_poly

    sound = np.asarray(sound, dtype=np.float64)
    _check(sound, rate_hz)
    wide = rate_hz > STEP_RATE_HZ
    rate = STEP_RATE_HZ * (2 if wide else 1)
    ratio = Fraction(rate) / Fraction(rate_hz).limit_denominator(1000)
    if max(ratio.numerator, ratio.denominator) > _LARGEST_FACTOR:
        raise InputError(f"sound at {rate_hz} Hz: no simple ratio to {rate} Hz; resample it to {rate} Hz first")
    # Loudness is set below: until then full scale is 1, so that squares neither overflow nor vanish.
    sound = sound / np.abs(sound).max()
    if ratio != 1:
        sound = resample_poly(sound, ratio.numerator, ratio.denominator)
    loudness = np.sqrt(np.mean(np.square(sound)))
    ramp = sound.size // 2 if ramp_s is None else min(round(ramp_s * rate), sound.size // 2)
    faded = sound * (LOUDNESS / loudness)
    if ramp:
        window = np.hanning(2 * ramp)
        faded[:ramp] *= window[:ramp]
        faded[-ramp:] *= window[ramp:]
    return Prepared(faded, wide, min(rate_hz, rate) / 2, -(-faded.size // (2 if wide else 1)))


def _check(sound: NDArray[np.float64], rate_hz: float) -> None:
    if sound.ndim != 1:
        raise InputError(
            f"sound of shape {sound.shape}: must be one channel, (n_samples,); take the mean over channels"
        )
    if not (np.isfinite(rate_hz) and rate_hz >= LOWEST_RATE_HZ):
        raise InputError(
            f"sound at {rate_hz} Hz: below {LOWEST_RATE_HZ} Hz most of the 700 channels hear nothing; give a better one"
        )
    if sound.size < SHORTEST_S * rate_hz:
        raise InputError(
            f"sound of {sound.size / rate_hz:.4g} s: must last {SHORTEST_S} s or longer; give a longer one"
        )
    broken = np.flatnonzero(~np.isfinite(sound))
    if broken.size:
        raise InputError(f"sound: sample {broken[0]} is {sound[broken[0]]} ({broken.size} such); give finite numbers")
    if not np.any(sound):
        raise InputError(f"sound of {sound.size} samples: all are 0, and silence has no loudness to set; leave it out")
