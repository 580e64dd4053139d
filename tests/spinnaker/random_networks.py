"""Random integer networks that reach the corners, and their input."""

from __future__ import annotations

import numpy as np

from hardware_targets.spinnaker.integer_network import (
    LARGEST_SHIFT,
    LARGEST_WEIGHT,
    NO_THRESHOLD,
    IntegerNetwork,
    IntegerPopulation,
    IntegerProjection,
)
from tests.spinnaker.neuron_states import make_parameters
from toolchain.network import Kind
from toolchain.spikes import SpikeTrains, bin_events


def random_network(seed: int, hard: bool, longest: int = 40) -> IntegerNetwork:
    """Two sources, two recurrent populations that feed each other, a readout: heterogeneous, of either sign.

    A hard one has entries that saturate and states that wrap.
    """
    rng = np.random.default_rng(seed)
    dt_ms = float(rng.choice([0.1, 1.0, 2.0]))
    sizes = {"in": rng.integers(1, 9), "in-2": rng.integers(1, 5), "a": rng.integers(1, 9), "b": rng.integers(1, 7)}
    sizes["out"] = rng.integers(1, 4)
    populations = []
    for name, size in sizes.items():
        n = int(size)
        if name.startswith("in"):
            populations.append(IntegerPopulation(name, "spike_source", n))
            continue
        parameters = make_parameters(rng, n, dt_ms)
        if hard and rng.random() < 0.5:
            # Resistances far above 1 and large offsets take voltage and current out of 32 bits.
            parameters.cm[:] = np.maximum(1, parameters.tau_m >> rng.integers(0, 15, n))
            parameters.i_offset[:] = rng.integers(-(2**31), 2**31, n)
        if name == "out":
            parameters.v_thresh[:] = NO_THRESHOLD
        shifts = tuple(int(s) for s in (rng.integers(0, LARGEST_SHIFT + 1, 2) if hard else rng.integers(4, 9, 2)))
        kind: Kind = "leaky_readout" if name == "out" else "lif"
        populations.append(IntegerPopulation(name, kind, n, parameters, (shifts[0], shifts[1]), 1.0))
    pairs = [("in", "a"), ("in-2", "a"), ("in-2", "b"), ("a", "a"), ("a", "b"), ("b", "a"), ("b", "out"), ("in", "out")]
    projections = []
    for source, target in pairs:
        shape = (int(sizes[source]), int(sizes[target]))
        largest = LARGEST_WEIGHT if hard else 12_000
        weight = rng.integers(1, largest + 1, shape) * np.where(rng.random(shape) < 0.35, -1, 1)
        exists = rng.random(shape) < rng.choice([0.5, 1.0])
        delay = rng.integers(1, int(rng.choice([1, 3, longest])) + 1, shape)
        # What stands where there is no synapse means nothing.
        weight, delay = np.where(exists, weight, 77), np.where(exists, delay, -5)
        projections.append(IntegerProjection(source, target, weight.astype(np.int32), delay.astype(np.int32), exists))
    order = rng.permutation(len(populations))
    return IntegerNetwork(dt_ms, tuple(populations[i] for i in order), tuple(projections))


def random_spikes(seed: int, network: IntegerNetwork, n_samples: int, n_ticks: int) -> SpikeTrains:
    """Spikes of random rate, and every unit once in the last three ticks of a sample, under way at its end."""
    rng = np.random.default_rng(seed)
    n_units = sum(p.size for p in network.sources)
    samples = []
    for _ in range(n_samples):
        raster = rng.random((n_ticks, n_units)) < rng.uniform(0.03, 0.4)
        raster[n_ticks - 3 + rng.integers(0, 3, n_units), np.arange(n_units)] = True
        times, units = np.nonzero(raster)
        samples.append((times, units))
    return bin_events(samples, n_units, n_ticks)[0]
