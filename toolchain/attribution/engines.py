"""The same samples through the float network and the emulator, one after the other, few at a time in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolchain.attribution.divergence import Divergent
from toolchain.attribution.membrane import Events
from toolchain.deployment.target import Quantised, Target
from toolchain.network import Network
from toolchain.spikes import SpikeTrains
from toolchain.training.backends import Engine

AT_ONCE = 2**27
"""Bytes of the emulator's traces that are held at a time."""


@dataclass(frozen=True)
class Both:
    """One sample in both engines.

    Attributes
    ----------
    floating, chip : population -> (times, units); of the spike sources the same in both
    float_readout : (n_readout, n_steps) as `toolchain.training.backends.Trace`
    chip_v : population -> (n_steps, size) integer voltages, after the reset
    """

    sample: int
    floating: Mapping[str, Events]
    chip: Mapping[str, Events]
    float_readout: NDArray[np.float32]
    chip_v: Mapping[str, NDArray[np.int64]]


def run_both(
    engine: Engine, target: Target, quantised: Quantised, network: Network, spikes: SpikeTrains
) -> Iterator[Both]:
    """Run every sample in both; what an earlier one held is gone when the next is asked for.

    Parameters
    ----------
    engine : of the trained network
    network : its populations; others that the target adds, as those of a delay extension, are left out
    """
    neurons = sum(p.size for p in network.populations if p.kind != "spike_source")
    # Integers of 8 bytes for u and v, and as much again while they are made.
    part = max(1, AT_ONCE // (33 * max(1, neurons) * spikes.n_steps))
    for first in range(0, spikes.n_samples, part):
        chosen = range(first, min(first + part, spikes.n_samples))
        traces = target.emulate_traces(quantised, spikes.select(chosen))
        for index, sample in enumerate(chosen):
            trace = engine.trace(spikes, sample)
            chip = {}
            for population in network.populations:
                name = population.name
                if population.kind == "spike_source":
                    chip[name] = trace.spikes[name]
                elif population.kind == "lif":
                    chip[name] = _events(traces.spikes[name][index])
            floating = {p.name: trace.spikes[p.name] for p in network.populations if p.kind != "leaky_readout"}
            voltages = {p.name: traces.v[p.name][index] for p in network.populations if p.kind != "spike_source"}
            yield Both(sample, floating, chip, trace.readout_v, voltages)


def _events(raster: NDArray[np.bool_]) -> Events:
    times, units = np.nonzero(raster)
    return times.astype(np.int64), units.astype(np.int64)


def first_divergent_spike(
    network: Network, floating: Mapping[str, Events], chip: Mapping[str, Events]
) -> Divergent | None:
    """The earliest spike that one engine has and the other has not: lowest step, then population, then neuron.

    Every spike before it is the same in both, and takes a step at least to arrive: nothing else can be its cause than
    what the neuron itself does with the same input.
    """
    earliest: tuple[int, int, int] | None = None
    for rank, population in enumerate(network.populations):
        if population.kind != "lif":
            continue
        name, size = population.name, population.size
        ours, theirs = (times * size + units for times, units in (floating[name], chip[name]))
        differing = np.setxor1d(ours, theirs, assume_unique=True)
        if differing.size:
            step, neuron = divmod(int(differing[0]), size)
            if earliest is None or (step, rank, neuron) < earliest:
                earliest = (step, rank, neuron)
    if earliest is None:
        return None
    step, rank, neuron = earliest
    name = network.populations[rank].name
    times, units = chip[name]
    by_chip = bool(np.any((times == step) & (units == neuron)))
    return Divergent(name, neuron, step, "chip" if by_chip else "float")
