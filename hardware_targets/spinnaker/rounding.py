"""SpiNNaker's integers for weights and constants at a scale, and what integers stand for.

A weight w of the trained network is stored as a magnitude m, its sign being the synapse type; with `scale` mV for one
unit of V and a membrane resistance of 1 (cm = tau_m)

    m * 2^(shift - 15)  ~  scale * |w|        v_thresh = scale * threshold

The gain of the float step is in the chip's own `init`: (tau_syn / dt)(1 - beta).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hardware_targets.spinnaker.fixed_point import host_rounded, initialise
from hardware_targets.spinnaker.integer_network import (
    LARGEST_WEIGHT,
    NO_THRESHOLD,
    ONE,
    IntegerNetwork,
    IntegerPopulation,
    IntegerProjection,
    NeuronParameters,
)
from toolchain.errors import NetworkError
from toolchain.network import Network, NeuronConstants, Population, Projection

F64 = NDArray[np.float64]
Shifts = tuple[int, int]
FRACTION = 2.0**32
NEVER_AGAIN_TICKS = 60_000
"""Refractory period of neurons that spike once a sample; the longest is just below 65536 ticks."""
LONGEST_MS = 65_535.0
"""Longest time in whole ms that s16.15 holds."""
BEYOND = 2.0**62


def refractory_ms(dt_ms: float) -> float:
    """Refractory period of neurons that spike once a sample."""
    return min(NEVER_AGAIN_TICKS * dt_ms, LONGEST_MS)


def weight_step(shift: int) -> float:
    """What one unit of a stored weight adds, nA."""
    return 2.0 ** (shift - 15)


def stored_weights(weight: F64, scale: float, shifts: Shifts) -> NDArray[np.int64]:
    """Signed magnitudes of weights, any shape, as they come out: those beyond 16 bits are left to the caller."""
    steps = np.where(weight < 0, weight_step(shifts[1]), weight_step(shifts[0]))
    # Beyond 63 bits a cast says anything; what is cut here is far beyond 16.
    rounded: NDArray[np.int64] = np.clip(np.rint(weight * scale / steps), -BEYOND, BEYOND).astype(np.int64)
    return rounded


def round_projection(projection: Projection, scale: float, shifts: Shifts) -> IntegerProjection:
    """Quantise one projection at the scale and the shifts of its target; what exceeds 16 bits is cut.

    A synapse whose weight becomes 0 is left out of the rows.
    """
    stored = stored_weights(projection.weight.astype(np.float64), scale, shifts)
    weight = np.clip(stored, -LARGEST_WEIGHT, LARGEST_WEIGHT).astype(np.int32)
    exists = weight != 0
    if projection.mask is not None:
        exists &= projection.mask
    delay = np.where(exists, projection.slots() + 1, 0).astype(np.int32)
    return IntegerProjection(projection.source, projection.target, np.where(exists, weight, 0), delay, exists)


def round_population(population: Population, dt_ms: float, scale: float, shifts: Shifts) -> IntegerPopulation:
    """Parameters of a population; its scale moves by less than a unit of s16.15, so that the threshold is exact.

    Raises
    ------
    NetworkError
        If a time constant or the threshold is outside s16.15.
    """
    n = population.size

    def times(field: str) -> NDArray[np.int32]:
        value = getattr(population, field)
        each = value if isinstance(value, tuple) else (value,) * n
        longest = max(each)
        if longest > LONGEST_MS:
            raise NetworkError(
                f"population {population.name}: {field} of {longest:g} ms exceeds {LONGEST_MS:g}, the longest time of "
                "SpiNNaker's numbers; train with shorter time constants"
            )
        return np.array([host_rounded(v) for v in each], dtype=np.int32)

    def all_of(value: int) -> NDArray[np.int32]:
        return np.full(n, value, dtype=np.int32)

    threshold = NO_THRESHOLD
    if population.kind == "lif":
        threshold = max(1, host_rounded(scale * population.threshold))
        scale = threshold / (ONE * population.threshold)
    refractory = refractory_ms(dt_ms) if population.single_spike else 0.0
    tau_m, tau_syn = times("tau_mem_ms"), times("tau_syn_ms")
    parameters = NeuronParameters(
        tau_m=tau_m,
        cm=tau_m.copy(),
        tau_syn_e=tau_syn,
        tau_syn_i=tau_syn.copy(),
        v_rest=all_of(0),
        v_reset=all_of(0),
        v_thresh=all_of(threshold),
        i_offset=all_of(0),
        tau_refrac=all_of(host_rounded(refractory)),
    )
    return IntegerPopulation(population.name, population.kind, n, parameters, shifts, scale)


def round_network(network: Network, scales: Mapping[str, float], shifts: Mapping[str, Shifts]) -> IntegerNetwork:
    """Quantise everything; delays of the network are whole slots."""
    populations = tuple(
        IntegerPopulation(p.name, p.kind, p.size)
        if p.kind == "spike_source"
        else round_population(p, network.dt_ms, scales[p.name], shifts[p.name])
        for p in network.populations
    )
    # A threshold that had to be a number of s16.15 has moved the scale with it.
    used = {p.name: p.scale for p in populations}
    projections = tuple(round_projection(p, used[p.target], shifts[p.target]) for p in network.projections)
    return IntegerNetwork(network.dt_ms, populations, projections)


def dequantised_weights(integers: IntegerNetwork, network: Network) -> Network:
    """Float network with the weights that the integers stand for; delays are the integer ones, in slots."""
    arrays = {}
    for projection, trained in zip(integers.projections, network.projections, strict=True):
        target = integers[projection.target]
        steps = np.where(projection.weight < 0, weight_step(target.shifts[1]), weight_step(target.shifts[0]))
        slots = np.where(projection.exists, projection.delay - 1, trained.slots())
        weight = projection.weight * steps / target.scale
        arrays[projection.name] = (weight.astype(np.float32), slots.astype(np.float32))
    return network.with_arrays(arrays)


def dequantised_constants(integers: IntegerNetwork) -> dict[str, NeuronConstants]:
    """Neuron constants with which the chip computes, from what it makes of the parameters when it starts.

    A tick of it is V <- alpha V + (1 - alpha) R init I, with alpha, R and init cut to fixed point.
    """
    constants = {}
    for population in integers.simulated:
        assert population.parameters is not None, "a simulated population has parameters"
        chip = initialise(population.parameters, integers.dt_ms)
        alpha = chip.exp_tc / ONE
        gain = (1 - alpha) * (chip.resistance / ONE) * (chip.init[0] / FRACTION)
        threshold = chip.v_thresh[0] / (ONE * population.scale) if population.kind == "lif" else math.inf
        constants[population.name] = NeuronConstants(
            _one(alpha), _one(chip.decay[0] / FRACTION), _one(gain), float(threshold)
        )
    return constants


def _one(values: F64) -> float | F64:
    """A number where all neurons have the same."""
    return float(values[0]) if (values == values[0]).all() else values
