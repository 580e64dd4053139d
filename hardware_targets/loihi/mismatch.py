"""A Loihi whose neurons and synapses are not alike, for the emulator: the same network with other integers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hardware_targets.loihi.integer_network import IntegerNetwork, IntegerProjection
from hardware_targets.loihi.rounding import SHIFT
from toolchain.deployment.imperfections import Imperfections

NEVER = 2**31 - 1
"""Threshold of a dead neuron: v has 24 bits."""
LOW, HIGH = -256, 254
"""Weights of 8 bits in sign mode mixed; they are even."""


def mismatched(network: IntegerNetwork, wrong: Imperfections) -> IntegerNetwork:
    """The network as such a chip has it.

    Thresholds are rounded to whole units of v, a 64th of what the chip is told. Weights are rounded to what the chip
    can hold, so that a small deviation of a small weight is none.
    """
    thresholds = {
        p.name: _thresholds(p.vth * SHIFT, wrong.threshold[p.name])
        for p in network.simulated
        if p.name in wrong.threshold
    }
    return replace(
        network, projections=tuple(_projection(p, wrong) for p in network.projections), thresholds=thresholds
    )


def _thresholds(threshold: int, factors: NDArray[np.float64]) -> NDArray[np.int32]:
    rounded: NDArray[np.int32] = np.minimum(np.rint(threshold * factors), NEVER).astype(np.int32)
    return rounded


def _projection(projection: IntegerProjection, wrong: Imperfections) -> IntegerProjection:
    weight, slots = projection.weight, wrong.delays(projection.name, projection.slots)
    if (factors := wrong.weight.get(projection.name)) is not None:
        weight = np.clip(2 * np.rint(weight * factors / 2), LOW, HIGH).astype(np.int32)
    return replace(projection, weight=weight, slots=slots)
