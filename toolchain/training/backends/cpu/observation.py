"""What a machine reported, checked and put in the order in which the kernels number their units."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import InputError
from toolchain.event_graph import EventGraph
from toolchain.network import Network
from toolchain.observed import Observed
from toolchain.spikes import SpikeTrains, beside
from toolchain.training.backends.cpu.layout import F32


def spike_counts(graph: EventGraph, network: Network, observed: Observed) -> NDArray[np.int64]:
    """Spikes of each simulated neuron over all samples, (n_neurons,)."""
    counts = np.zeros(graph.n_neurons, dtype=np.int64)
    for name, trains in observed.spikes.items():
        counts[graph.neurons(network[name])] = np.bincount(trains.units, minlength=trains.n_units)
    return counts


def with_observed(
    spikes: SpikeTrains, observed: Observed, network: Network, graph: EventGraph
) -> tuple[SpikeTrains, F32]:
    """Spikes of all units, and the voltage of the readout, (n_samples, n_readout, n_steps) or (0, 0, 0).

    Raises
    ------
    InputError
        If a population is missing or of another size, or samples, steps or the readout do not fit.
    """
    simulated = sorted(
        (p for p in network.populations if p.kind != "spike_source"), key=lambda p: graph.first_unit[p.name]
    )
    expected = {p.name for p in simulated if p.kind == "lif"}
    if set(observed.spikes) != expected:
        raise InputError(
            f"observed spikes: of populations {sorted(observed.spikes)}, must be of {sorted(expected)}; observe all"
        )
    parts = [spikes]
    for population in simulated:
        if population.kind == "lif":
            trains = observed.spikes[population.name]
            sizes = (trains.n_samples, trains.n_units, trains.n_steps)
            if sizes != (spikes.n_samples, population.size, spikes.n_steps):
                raise InputError(
                    f"observed spikes of {population.name}: (samples, neurons, steps) {sizes}, must be "
                    f"{(spikes.n_samples, population.size, spikes.n_steps)}; observe the samples that are given"
                )
        else:
            none = np.zeros(0, dtype=np.int32)
            offsets = np.zeros(spikes.n_samples + 1, dtype=np.int64)
            trains = SpikeTrains(none, none, offsets, population.size, spikes.n_steps)
        parts.append(trains)
    voltage = observed.readout_v
    if voltage is None or network.readout.kind == "lif":
        return beside(parts), np.zeros((0, 0, 0), dtype=np.float32)
    wanted = (spikes.n_samples, network.readout.size, spikes.n_steps)
    if voltage.shape != wanted:
        raise InputError(f"observed readout_v: has shape {voltage.shape}, must be (samples, neurons, steps) {wanted}")
    return beside(parts), np.ascontiguousarray(voltage, dtype=np.float32)
