"""Spikes as the device holds them: bits for those that are given, tapes for those that neurons have."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolchain.spikes import SpikeTrains
from toolchain.training.backends.genn.describe import WORD

U32 = NDArray[np.uint32]


def spike_bits(spikes: SpikeTrains, batch: int) -> U32:
    """One bit for each step and unit, (batch, n_steps, words); samples that are missing at the end are silent."""
    words = -(-spikes.n_units // WORD)
    bits = np.zeros(batch * spikes.n_steps * words, dtype=np.uint32)
    sample = np.repeat(np.arange(spikes.n_samples), np.diff(spikes.offsets))
    units = spikes.units.astype(np.int64)
    at = (sample * spikes.n_steps + spikes.times) * words + units // WORD
    # Each bit occurs once, so that adding is setting; bincount would need float64 for sums that are exact in it.
    weights = np.left_shift(np.uint64(1), (units % WORD).astype(np.uint64)).astype(np.float64)
    bits += np.bincount(at, weights=weights, minlength=bits.size).astype(np.uint32)
    return bits.reshape(batch, spikes.n_steps, words)


def tape_of(spikes: SpikeTrains, batch: int, room: int) -> tuple[U32, U32]:
    """Number of spikes of each neuron, (batch, n_units), and their steps in order, (batch, n_units, room)."""
    count = np.zeros((batch, spikes.n_units), dtype=np.uint32)
    time = np.zeros((batch, spikes.n_units, room), dtype=np.uint32)
    sample = np.repeat(np.arange(spikes.n_samples), np.diff(spikes.offsets))
    key = sample * spikes.n_units + spikes.units
    order = np.argsort(key, kind="stable")
    counts = np.bincount(key, minlength=count.size)
    firsts = np.cumsum(counts) - counts
    place = np.arange(key.size) - firsts[key[order]]
    time.reshape(-1, room)[key[order], place] = spikes.times[order]
    count.reshape(-1)[:] = counts
    return count, time


def most_spikes(spikes: SpikeTrains) -> int:
    """Spikes of the busiest neuron in a sample."""
    sample = np.repeat(np.arange(spikes.n_samples), np.diff(spikes.offsets))
    return int(np.bincount(sample * spikes.n_units + spikes.units).max(initial=0))
