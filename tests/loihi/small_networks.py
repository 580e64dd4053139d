"""Integer networks of a few synapses, written out by hand, and one of many."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hardware_targets.loihi.integer_network import READOUT_VTH, IntegerNetwork, IntegerPopulation, IntegerProjection
from toolchain.spikes import SpikeTrains, bin_events

READOUT = IntegerPopulation("out", "leaky_readout", 1, 0, 100, READOUT_VTH)


def trains(raster: NDArray[np.bool_]) -> SpikeTrains:
    """One sample from a raster (n_steps, n_units)."""
    times, units = np.nonzero(raster)
    return bin_events([(times, units)], raster.shape[1], raster.shape[0])[0]


def projection(
    source: str,
    target: str,
    weight: list[list[int]],
    slots: int | list[list[int]] = 0,
    exponent: int = 0,
    mask: NDArray[np.bool_] | None = None,
) -> IntegerProjection:
    array = np.array(weight, dtype=np.int32)
    full = np.broadcast_to(np.array(slots, dtype=np.int64), array.shape).copy()
    return IntegerProjection(source, target, array, exponent, full, mask)


def wide_network() -> tuple[IntegerNetwork, SpikeTrains]:
    """Enough synapses that fire at once to leave 32 bits, through each of Lava's four kinds of projection."""
    n = 2200
    weight = np.full((n, 2), 254, dtype=np.int32)
    weight[:, 1] = -256
    slots, mask = np.zeros((n, 2), dtype=np.int64), np.ones((n, 2), dtype=np.bool_)
    slots[::2] = 3
    mask[5] = False
    kinds = {
        "dense": (slots * 0, None),
        "delayed": (slots, None),
        "sparse": (slots * 0, mask),
        "both": (slots, mask),
    }
    populations = [IntegerPopulation("in", "spike_source", n), READOUT]
    populations += [IntegerPopulation(name, "lif", 2, 300, 200, 100) for name in kinds]
    projections = [IntegerProjection("in", name, weight, 7, k, m) for name, (k, m) in kinds.items()]
    projections.append(projection("dense", "out", [[20], [30]]))
    raster = np.zeros((12, n), dtype=np.bool_)
    raster[[1, 2, 6]] = True
    return IntegerNetwork(1.0, tuple(populations), tuple(projections)), trains(raster)
