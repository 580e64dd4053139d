"""A SpiNNaker whose neurons and synapses are not alike, for the emulator: the same network with other integers.

SpiNNaker is digital, so its neurons are alike; this says how a network would fare if they were not.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hardware_targets.spinnaker.integer_network import (
    LARGEST_WEIGHT,
    NO_THRESHOLD,
    IntegerNetwork,
    IntegerPopulation,
    IntegerProjection,
)
from toolchain.deployment.imperfections import Imperfections


def mismatched(network: IntegerNetwork, wrong: Imperfections) -> IntegerNetwork:
    """The network as such a chip has it: thresholds in s16.15, weights of 16 bits, delays of at least one tick."""
    return replace(
        network,
        populations=tuple(_population(p, wrong) for p in network.populations),
        projections=tuple(_projection(p, wrong) for p in network.projections),
    )


def _population(population: IntegerPopulation, wrong: Imperfections) -> IntegerPopulation:
    if population.parameters is None or population.name not in wrong.threshold:
        return population
    factors = wrong.threshold[population.name]
    thresholds = np.minimum(np.rint(population.parameters.v_thresh * factors), NO_THRESHOLD).astype(np.int32)
    return replace(population, parameters=replace(population.parameters, v_thresh=thresholds))


def _projection(projection: IntegerProjection, wrong: Imperfections) -> IntegerProjection:
    weight, exists = projection.weight, projection.exists
    if (factors := wrong.weight.get(projection.name)) is not None:
        weight = np.clip(np.rint(weight * factors), -LARGEST_WEIGHT, LARGEST_WEIGHT).astype(np.int32)
        exists = exists & (weight != 0)
    ticks = wrong.delays(projection.name, projection.delay.astype(np.int64) - 1) + 1
    delay = np.where(exists, ticks, 0).astype(np.int32)
    return replace(projection, weight=np.where(exists, weight, 0).astype(np.int32), delay=delay, exists=exists)
