"""Bits and tapes hold the spikes that they were made of."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.networks import random_spikes
from toolchain.spikes import SpikeTrains
from toolchain.training.backends.genn.bits import most_spikes, spike_bits, tape_of

trains = st.builds(
    lambda seed, samples, units, steps, rate: random_spikes(np.random.default_rng(seed), samples, units, steps, rate),
    st.integers(0, 2**32 - 1),
    st.integers(1, 4),
    st.integers(1, 70),
    st.integers(1, 12),
    st.sampled_from([0.0, 0.1, 0.5, 1.0]),
)
quick = settings(deadline=None, max_examples=60)


@quick
@given(trains, st.integers(0, 3))
def test_a_bit_is_set_for_each_spike_and_no_other(spikes: SpikeTrains, more: int) -> None:
    """Also bit 31 of a word; samples that are missing are silent."""
    bits = spike_bits(spikes, spikes.n_samples + more)
    assert bits.dtype == np.uint32
    for sample in range(spikes.n_samples):
        found = [[int(row[unit // 32]) >> (unit % 32) & 1 for unit in range(spikes.n_units)] for row in bits[sample]]
        np.testing.assert_array_equal(np.array(found, dtype=np.bool_).T, spikes.dense(sample))
    assert not bits[spikes.n_samples :].any()
    # Nothing lies beyond the last unit.
    assert sum(bin(word).count("1") for word in bits.ravel().tolist()) == spikes.times.size


@quick
@given(trains, st.integers(0, 3), st.integers(1, 3))
def test_a_tape_has_the_steps_of_each_neuron_in_order(spikes: SpikeTrains, more: int, room: int) -> None:
    most = most_spikes(spikes)
    assert most == max(spikes.dense(sample).sum(axis=1).max() for sample in range(spikes.n_samples))
    count, time = tape_of(spikes, spikes.n_samples + more, most + room)
    for sample in range(spikes.n_samples):
        for unit, raster in enumerate(spikes.dense(sample)):
            np.testing.assert_array_equal(time[sample, unit, : count[sample, unit]], np.flatnonzero(raster))
    assert count.sum() == spikes.times.size
