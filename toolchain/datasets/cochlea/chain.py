"""Sound to spikes: membrane, hair cells, fibres and bushy cells, one block of channels after the other."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from toolchain.datasets.cochlea import bushy_cell, fibres, hair_cell
from toolchain.datasets.cochlea.filter_bank import (
    FAR_STEPS,
    LONGEST_FRAME,
    NEAR_STEPS,
    STEP_RATE_HZ,
    FilterBank,
    decimation,
    filtered,
    frame_fraction,
    frame_room,
    interpolate,
    interpolation_weights,
)
from toolchain.datasets.cochlea.lanes import F32, LANES, U32, kernel
from toolchain.datasets.cochlea.membrane import N_CHANNELS
from toolchain.datasets.cochlea.sound import RAMP_S, Prepared, prepare
from toolchain.errors import InputError

_CHUNK = 240
"""Steps that go through all stages before the next ones: their arrays stay in the first-level cache."""


class _State(NamedTuple):
    """State of a block between frames."""

    keys: U32
    pools: F32
    fibres: F32
    recent: F32
    cell: F32


class Cochlea:
    """Turns sounds into spikes.

    The filters are made at the first sound (a second of work) and kept for the others; those of all channels are kept
    for other objects too. Any number of threads may use one object.

    Parameters
    ----------
    causal : False as the converter of the Spiking Heidelberg Digits, whose filters respond before the sound (0.3 ms
        at 4.5 kHz, 1.7 ms at 1 kHz, 16 ms at 118 Hz); True to respond after it by as much, as an ear does
    ramp_s : length of the fade at either end of a sound, s; None fades over the whole sound
    units : rising channels to compute, out of 700; all if left out

    Raises
    ------
    InputError
        If `units` is empty, not rising or beyond 0..699.
    """

    def __init__(
        self, *, causal: bool = False, ramp_s: float | None = RAMP_S, units: NDArray[np.int64] | None = None
    ) -> None:
        chosen = np.arange(N_CHANNELS) if units is None else np.asarray(units, dtype=np.int64)
        if not chosen.size or chosen.min() < 0 or chosen.max() >= N_CHANNELS or np.any(np.diff(chosen) <= 0):
            raise InputError(f"cochlea: units {chosen} must rise within 0..{N_CHANNELS - 1}")
        self.causal = causal
        self.ramp_s = ramp_s
        self.units = chosen
        self._bank = _all_channels(causal) if units is None else FilterBank(chosen, causal)

    def spikes(
        self, sound: NDArray[np.float64], rate_hz: float, *, seed: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Spikes of one sound; see `cochleagram_spikes`."""
        if seed < 0:
            raise InputError(f"cochlea: seed {seed} must be >= 0")
        prepared = prepare(sound, rate_hz, self.ramp_s)
        fired = self._fired(prepared, seed)
        times, units = _events(fired, self.units.size)
        return (times / STEP_RATE_HZ).astype(np.float32), self.units[units].astype(np.int32)

    def velocity(self, sound: NDArray[np.float64], rate_hz: float) -> F32:
        """Velocity of the membrane, (n_units, n_steps) in steps of 1/24000 s: what the hair cells get."""
        prepared = prepare(sound, rate_hz, self.ramp_s)
        moved = np.empty((len(self._bank) * LANES, prepared.n_steps), dtype=np.float32)
        for start, n_steps, index, low, before, weights in self._frames(prepared):
            steps = np.empty((n_steps, LANES), dtype=np.float32)
            if weights.shape[0] > 1:
                interpolate(low, before, n_steps, weights, steps.reshape(-1))
            else:
                steps[:] = low.reshape(-1, LANES)[before : before + n_steps]
            moved[index * LANES : (index + 1) * LANES, start : start + n_steps] = steps.T
        return moved[: self.units.size]

    def _fired(self, sound: Prepared, seed: int) -> U32:
        """Bits of the cells that fired, (n_blocks, n_steps)."""
        rates, decays = hair_cell.rates(1 / STEP_RATE_HZ), bushy_cell.decays(1 / STEP_RATE_HZ)
        states = self._states(seed)
        fired = np.zeros((len(self._bank), sound.n_steps), dtype=np.uint32)
        for start, n_steps, index, low, before, weights in self._frames(sound):
            state = states[index]
            _advance(
                low, before, n_steps, start, weights, *state, rates, decays, bushy_cell.LANE_BITS, fired[index]
            )  # fmt: skip
        return fired

    def _frames(self, sound: Prepared) -> Iterator[tuple[int, int, int, F32, int, F32]]:
        """Every block of every frame: first step, number of steps, index of the block; then `filtered`, the step of the
        frame at which the first one lies, and the weights to interpolate with.
        """
        fraction = frame_fraction(sound.n_steps)
        room, frame = frame_room(fraction), LONGEST_FRAME // fraction
        before = FAR_STEPS if self.causal else NEAR_STEPS
        for start in range(0, sound.n_steps, room):
            spectrum = _spectrum(sound, start - before, frame)
            for index in range(len(self._bank)):
                block = self._bank.block(index)
                factor = decimation(block.top_hz, sound.bandwidth_hz)
                low = filtered(block, spectrum, fraction, sound.wide, factor)
                yield start, min(room, sound.n_steps - start), index, low, before, interpolation_weights(factor)

    def _states(self, seed: int) -> list[_State]:
        padded = np.concatenate([self.units, np.full(-self.units.size % LANES, self.units[-1])])
        keys = fibres.channel_keys(seed, padded).reshape(2, -1, LANES)
        return [
            _State(keys[:, b].ravel(), hair_cell.resting_state(), *fibres.silent_fibres(), bushy_cell.resting_state())
            for b in range(keys.shape[1])
        ]


@lru_cache(maxsize=2)
def _all_channels(causal: bool) -> FilterBank:
    return FilterBank(np.arange(N_CHANNELS), causal)


def cochleagram_spikes(
    sound: NDArray[np.float64], rate_hz: float, *, seed: int, causal: bool = False
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Spikes of 700 channels for a sound, made as those of the Spiking Heidelberg Digits are.

    Parameters
    ----------
    sound : (n_samples,) one channel, any loudness
    rate_hz : samples a second, 4 kHz or more
    seed : >= 0; the same seed gives the same spikes, whichever thread computes them
    causal : see `Cochlea`

    Returns
    -------
    times : (n_spikes,) seconds from the first sample, rising, multiples of 1/24000 s
    units : (n_spikes,) channels 0..699, from 22.5 kHz to 110 Hz; rising where times are equal

    Raises
    ------
    InputError
        If the sound is not one channel of finite numbers, is silent, is shorter than 10 ms, or its rate is too low.

    Source: Cramer et al., IEEE TNNLS 33, 2744 (2022); the equations are with each stage.
    """
    return Cochlea(causal=causal).spikes(sound, rate_hz, seed=seed)


def _spectrum(sound: Prepared, first_step: int, frame: int) -> NDArray[np.complex64]:
    """Spectrum of a frame of `frame` steps from `first_step` (may be negative) on; 0 outside the sound.

    Scaled as that of sound at 24 kHz, of which it has twice as many bins if the sound is at 48 kHz.
    """
    from scipy.fft import rfft

    times = 2 if sound.wide else 1
    samples = np.zeros(times * frame, dtype=np.float32)
    begin, end = max(0, first_step * times), min(sound.samples.size, (first_step + frame) * times)
    samples[begin - first_step * times : end - first_step * times] = sound.samples[begin:end]
    spectrum = rfft(samples, workers=1)
    return np.asarray(spectrum / times, dtype=np.complex64)


@kernel
def _advance(
    low: Any, start: Any, n_steps: Any, first_step: Any, weights: Any,
    keys: Any, pools: Any, state: Any, recent: Any, cell: Any, rates: Any, decays: Any, lane_bits: Any, fired: Any,
) -> None:  # fmt: skip
    """Take a block through all stages behind the membrane, from step `start` of a frame on."""
    velocity = np.empty(_CHUNK * LANES, dtype=np.float32)
    probability = np.empty(_CHUNK * LANES, dtype=np.float32)
    counts = np.empty(_CHUNK * LANES, dtype=np.float32)
    for chunk in range(0, n_steps, _CHUNK):
        n = min(_CHUNK, n_steps - chunk)
        if weights.shape[0] > 1:
            interpolate(low, start + chunk, n, weights, velocity)
            hair_cell.release(velocity, 0, n, pools, rates, probability)
        else:
            hair_cell.release(low, start + chunk, n, pools, rates, probability)
        fibres.fire(probability, first_step + chunk, n, keys, state, recent, counts)
        bushy_cell.integrate(counts, n, cell, decays, lane_bits, fired, first_step + chunk)


@kernel
def _events(fired: Any, n_units: Any) -> Any:
    """Steps and channels (positions, not units) of all spikes, by step and then channel."""
    n_blocks, n_steps = fired.shape
    total = 0
    for block in range(n_blocks):
        valid = min(LANES, n_units - block * LANES)
        mask = np.uint32((np.uint64(1) << np.uint64(valid)) - np.uint64(1))
        for step in range(n_steps):
            bits = np.uint32(fired[block, step] & mask)
            fired[block, step] = bits
            while bits:
                bits = np.uint32(bits & np.uint32(bits - np.uint32(1)))
                total += 1
    steps = np.empty(total, dtype=np.int64)
    units = np.empty(total, dtype=np.int64)
    n = 0
    for step in range(n_steps):
        for block in range(n_blocks):
            bits = fired[block, step]
            lane = 0
            while bits:
                if bits & np.uint32(1):
                    steps[n], units[n] = step, block * LANES + lane
                    n += 1
                bits = np.uint32(bits >> np.uint32(1))
                lane += 1
    return steps, units
