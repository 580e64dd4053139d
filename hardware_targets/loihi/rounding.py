"""Integers for weights at a scale, and what integers stand for.

Loihi adds ``weight << exponent`` to a current that feeds the voltage without any gain, so the gain of the
float step is folded into the weights. With `scale` weight units for one unit of V:

    weight << exponent  ~  gain * scale * w          vth = scale * threshold
    4096 - (du + 1)     ~  4096 * beta               4096 - dv = round(4096 * alpha)
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hardware_targets.loihi.constants import shared_constants
from hardware_targets.loihi.integer_network import IntegerNetwork, IntegerProjection
from hardware_targets.loihi.limits import ChipLimits
from toolchain.network import Network, NeuronConstants, Population, Projection

SHIFT = 64
"""The chip shifts arriving weights and the threshold left by 6 before they meet u and v."""


def round_weights(
    weights: NDArray[np.float64], factor: float, limits: ChipLimits, *, clip: bool = True
) -> tuple[NDArray[np.int32], int, int]:
    """Round weights to even integers with one exponent.

    It is the smallest that holds them all, or a smaller one where finer steps for most gain more than clipped outliers
    lose, by the sum of squared errors.

    Parameters
    ----------
    weights : any shape, float
    factor : weight units for one unit of weight (gain * scale)
    clip : whether that may be

    Returns
    -------
    integer, exponent, clipped : even integers of the same shape, the exponent, how many had to be clipped
    """
    low, high = limits["weight_min"] // 2, limits["weight_max"] // 2
    scaled = weights * factor

    def rounded(exponent: int) -> tuple[NDArray[np.float64], int, float]:
        halves = np.rint(scaled / 2.0 ** (exponent + 1))
        inside = np.clip(halves, low, high)
        error = float(np.sum((inside * 2.0 ** (exponent + 1) - scaled) ** 2))
        return inside, int(np.count_nonzero(inside != halves)), error

    exponent = limits["weight_exponent_min"]
    halves, clipped, error = rounded(exponent)
    while clipped and exponent < limits["weight_exponent_max"]:
        coarser = rounded(exponent + 1)
        if clip and error <= coarser[2]:
            break
        exponent += 1
        halves, clipped, error = coarser
    return (2 * halves).astype(np.int32), exponent, clipped


def round_projection(
    projection: Projection, target: Population, dt_ms: float, scale: float, limits: ChipLimits, *, clip: bool = True
) -> IntegerProjection:
    """Quantise one projection at the scale of its target population; `clip` as in `round_weights`."""
    factor = shared_constants(target, dt_ms).gain * scale
    integer, exponent, _ = round_weights(projection.weight.astype(np.float64), factor, limits, clip=clip)
    return IntegerProjection(
        projection.source, projection.target, integer, exponent, projection.slots(), projection.mask
    )


def weight_unit(projection: IntegerProjection, integers: IntegerNetwork, network: Network) -> float:
    """Trained weight that two units of an integer weight stand for: weights are even."""
    target = network[projection.target]
    factor = NeuronConstants.of(target, network.dt_ms).gain * integers[target.name].scale
    return float(2.0 ** (projection.exponent + 1) / factor)


def dequantised_weights(integers: IntegerNetwork, network: Network) -> Network:
    """Float network with the weights that the integers stand for; delays are the integer slots."""
    arrays = {}
    for projection in integers.projections:
        target = network[projection.target]
        factor = shared_constants(target, network.dt_ms).gain * integers[projection.target].scale
        weight = np.ldexp(projection.weight.astype(np.float64), projection.exponent) / factor
        arrays[projection.name] = (weight.astype(np.float32), projection.slots.astype(np.float32))
    return network.with_arrays(arrays)


def dequantised_constants(integers: IntegerNetwork, network: Network) -> dict[str, NeuronConstants]:
    """Neuron constants that the integers stand for; the gain is in the weights and keeps its trained value."""
    constants = {}
    for population in integers.simulated:
        trained = shared_constants(network[population.name], network.dt_ms)
        # The chip asks v > vth << 6, so the smallest voltage that spikes is one more.
        threshold = (population.vth * SHIFT + 1) / (SHIFT * population.scale)
        constants[population.name] = NeuronConstants(
            (4096 - population.dv) / 4096,
            (4096 - (population.du + 1)) / 4096,
            trained.gain,
            threshold if population.kind == "lif" else math.inf,
        )
    return constants


def rms_ratio(error: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """Root mean square of the error over that of the reference; 0 for an empty or zero reference."""
    power = float(np.sum(reference**2))
    return math.sqrt(float(np.sum(error**2)) / power) if power else 0.0
