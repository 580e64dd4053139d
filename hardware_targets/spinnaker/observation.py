"""What the emulator did, in the terms of training: spikes as events, the readout in units of the trained voltage."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hardware_targets.spinnaker.emulator import Emulator
from hardware_targets.spinnaker.integer_network import ONE, IntegerNetwork
from toolchain.observed import Observed
from toolchain.spikes import SpikeTrains, concatenate

AT_ONCE = 2**28
"""Bytes of traces that are held at a time; values, v and the spike of a neuron at a tick are 13."""


def observe(network: IntegerNetwork, spikes: SpikeTrains) -> Observed:
    """Run all samples, so many at a time that their traces stay small."""
    emulator = Emulator(network)
    neurons = sum(p.size for p in network.simulated)
    part = max(1, AT_ONCE // (13 * neurons * spikes.n_steps))
    found = [
        _observe(emulator, network, spikes.select(range(first, min(first + part, spikes.n_samples))))
        for first in range(0, max(spikes.n_samples, 1), part)
    ]
    voltages = [o.readout_v for o in found if o.readout_v is not None]
    return Observed(
        {name: concatenate([o.spikes[name] for o in found]) for name in found[0].spikes},
        np.concatenate(voltages) if voltages else None,
    )


def _observe(emulator: Emulator, network: IntegerNetwork, spikes: SpikeTrains) -> Observed:
    result = emulator.run(spikes, traces=True)
    trains: dict[str, SpikeTrains] = {}
    voltage: NDArray[np.float32] | None = None
    for population in network.simulated:
        if population.kind == "leaky_readout":
            volts = result.readout_v.astype(np.float64) / (ONE * population.scale)
            voltage = np.ascontiguousarray(volts.transpose(0, 2, 1), dtype=np.float32)
            continue
        sample, times, units = np.nonzero(result.spikes[population.name])
        offsets = np.searchsorted(sample, np.arange(spikes.n_samples + 1)).astype(np.int64)
        trains[population.name] = SpikeTrains(
            times.astype(np.int32), units.astype(np.int32), offsets, population.size, spikes.n_steps
        )
    return Observed(trains, voltage)
