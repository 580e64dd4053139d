"""What an emulator did, in the terms of training: spikes as events, the readout in units of the trained voltage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hardware_targets.emulation import Population
from toolchain.observed import Observed
from toolchain.spikes import SpikeTrains, concatenate

AT_ONCE = 2**28
"""Bytes of traces that are held at a time."""


class Scaled(Population, Protocol):
    """What is needed of a simulated population."""

    @property
    def scale(self) -> float:
        """Units of the chip's weights or voltages that stand for one unit of the trained voltage."""


class Traces(Protocol):
    """What is needed of an emulation, (n_samples, n_steps, n) each."""

    @property
    def readout_v(self) -> NDArray[np.int32]:
        """Voltage of the readout."""

    @property
    def spikes(self) -> Mapping[str, NDArray[np.bool_]]:
        """Spikes of each simulated population."""


def observe(
    emulate: Callable[[SpikeTrains], Traces],
    simulated: Sequence[Scaled],
    spikes: SpikeTrains,
    *,
    one: int,
    bytes_per_neuron: int,
) -> Observed:
    """Emulate all samples, so many at a time that their traces stay small.

    Parameters
    ----------
    emulate : some samples -> traces of all neurons
    simulated : populations of the network, without its spike sources
    one : integer voltage that stands for 1 of a population of scale 1
    bytes_per_neuron : of the traces of one neuron at one step
    """
    part = max(1, AT_ONCE // (bytes_per_neuron * sum(p.size for p in simulated) * spikes.n_steps))
    found = [
        _observed(emulate, simulated, spikes.select(range(first, min(first + part, spikes.n_samples))), one)
        for first in range(0, max(spikes.n_samples, 1), part)
    ]
    voltages = [o.readout_v for o in found if o.readout_v is not None]
    return Observed(
        {name: concatenate([o.spikes[name] for o in found]) for name in found[0].spikes},
        np.concatenate(voltages) if voltages else None,
    )


def _observed(
    emulate: Callable[[SpikeTrains], Traces], simulated: Sequence[Scaled], spikes: SpikeTrains, one: int
) -> Observed:
    traces = emulate(spikes)
    trains: dict[str, SpikeTrains] = {}
    voltage: NDArray[np.float32] | None = None
    for population in simulated:
        if population.kind == "leaky_readout":
            # In float64: an integer voltage need not be exact in float32 before the division.
            volts = traces.readout_v.astype(np.float64) / (one * population.scale)
            voltage = np.ascontiguousarray(volts.transpose(0, 2, 1), dtype=np.float32)
            continue
        sample, times, units = np.nonzero(traces.spikes[population.name])
        offsets = np.searchsorted(sample, np.arange(spikes.n_samples + 1)).astype(np.int64)
        trains[population.name] = SpikeTrains(
            times.astype(np.int32), units.astype(np.int32), offsets, population.size, spikes.n_steps
        )
    return Observed(trains, voltage)
