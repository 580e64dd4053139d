"""From a trained network to Loihi's integers: one scale a population, one exponent a projection.

Loihi adds ``weight << exponent`` to a current that feeds the voltage without any gain, so the gain of the
float step is folded into the weights. With `scale` weight units for one unit of V:

    weight << exponent  ~  gain * scale * w          vth = scale * threshold
    4096 - (du + 1)     ~  4096 * beta               4096 - dv = round(4096 * alpha)

The scale of a population is free. It starts as large as the formats allow and is halved until the emulator
neither wraps a current nor clips a voltage on calibration data. The largest state seen then says how large
the scale may be with a bit of headroom, and within the octave below that it goes to where the weights lose
least. The threshold is exact by construction: only scales at which scale * threshold is an integer are tried.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hardware_targets.loihi.emulator import Emulation, emulate
from hardware_targets.loihi.integer_network import IntegerNetwork, IntegerPopulation, IntegerProjection
from hardware_targets.loihi.limits import ChipLimits
from toolchain.errors import TargetLimitError
from toolchain.network import Network, NeuronConstants, Population, Projection
from toolchain.spikes import SpikeTrains

SCALES_PER_OCTAVE = 64
HEADROOM_BITS = 1
SHIFT = 64
"""The chip shifts arriving weights and the threshold left by 6 before they meet u and v."""


@dataclass(frozen=True)
class RoundedDelays:
    """Integer slots of each projection, and what rounding and clipping did to them."""

    network: Network
    moved: Mapping[str, int]
    clipped: Mapping[str, int]


def round_delays(network: Network, limits: ChipLimits, *, clip: bool) -> RoundedDelays:
    """Round delays half to even and, if `clip`, cut them at the largest slot of the chip.

    Raises
    ------
    TargetLimitError
        If a slot exceeds the largest and `clip` is false; the message names the synapse.
    """
    largest = limits["slot_max"]
    moved: dict[str, int] = {}
    clipped: dict[str, int] = {}
    projections = []
    for projection in network.projections:
        slots = projection.slots()
        too_long = int(np.count_nonzero(slots > largest))
        if too_long and not clip:
            pre, post = np.unravel_index(int(slots.argmax()), slots.shape)
            raise TargetLimitError(
                f"projection {projection.name}: delay slot {slots.max()} of synapse ({pre}, {post}) exceeds {largest} "
                f"on {limits.chip} ({too_long} synapses do); train with training.max_slot: {largest}, or deploy with "
                "--clip-delays"
            )
        moved[projection.name] = int(np.count_nonzero(projection.delay != slots))
        clipped[projection.name] = too_long
        projections.append(replace(projection, delay=np.minimum(slots, largest).astype(np.float32)))
    return RoundedDelays(replace(network, projections=tuple(projections)), moved, clipped)


def quantise_network(network: Network, calibration: SpikeTrains, limits: ChipLimits) -> IntegerNetwork:
    """Choose scales and round everything.

    Parameters
    ----------
    network : with delays that are integers within the limits (`round_delays`)
    calibration : input on which no current may wrap and no voltage clip
    limits : of the chip

    Raises
    ------
    TargetLimitError
        If no scale keeps a population from overflowing, or its threshold vanishes at the one that does.
    """
    simulated = [p for p in network.populations if p.kind != "spike_source"]
    ceilings = {p.name: _largest_scale(network, p, limits) for p in simulated}
    largest_state = 2 ** (limits["state_bits"] - 1 - HEADROOM_BITS)
    while True:
        integers = _round_all(network, ceilings, limits)
        result = emulate(integers, calibration)
        overflowing = [
            p.name
            for p in simulated
            if result.wraps[p.name] or result.clips[p.name] or (p.kind == "leaky_readout" and _spiked(result, p.name))
        ]
        for name in overflowing:
            ceilings[name] /= 2
            _check_scale(network[name], ceilings[name], limits)
        if overflowing:
            continue
        # Nothing overflows, so what was seen is what the network does, at whatever scale.
        too_large = [p.name for p in simulated if result.peaks[p.name] > largest_state]
        for name in too_large:
            ceilings[name] = integers[name].scale * largest_state / result.peaks[name]
            _check_scale(network[name], ceilings[name], limits)
        if not too_large:
            return integers


def _spiked(result: Emulation, readout: str) -> bool:
    return result.readout_spikes[readout] > 0


def _largest_scale(network: Network, population: Population, limits: ChipLimits) -> float:
    """Scale at which the threshold or the largest weight reaches the end of its format."""
    gain = NeuronConstants.of(population, network.dt_ms).gain
    peak = max((float(np.abs(p.weight).max(initial=0)) for p in network.incoming(population.name)), default=0.0)
    # The threshold of a readout is the largest there is; its voltage has to stay below it.
    by_threshold = limits["threshold_max"] / (population.threshold if population.kind == "lif" else 1.0)
    if peak == 0:
        return by_threshold
    return min(by_threshold, (limits["weight_max"] << limits["weight_exponent_max"]) / (gain * peak))


def _check_scale(population: Population, scale: float, limits: ChipLimits) -> None:
    too_small = population.kind == "lif" and scale * population.threshold < 1
    if too_small or scale < 1e-9:
        raise TargetLimitError(
            f"population {population.name}: even at a threshold of 1 its current or voltage leaves the 24 bits of "
            f"{limits.chip}; train with smaller weights onto it or a larger threshold"
        )


def _round_all(network: Network, ceilings: Mapping[str, float], limits: ChipLimits) -> IntegerNetwork:
    populations = []
    scales = {}
    for population in network.populations:
        if population.kind == "spike_source":
            populations.append(IntegerPopulation(population.name, population.kind, population.size))
            continue
        scale = _best_scale(network, population, ceilings[population.name], limits)
        scales[population.name] = scale
        populations.append(_round_population(population, network.dt_ms, scale, limits))
    projections = tuple(
        round_projection(p, network[p.target], network.dt_ms, scales[p.target], limits) for p in network.projections
    )
    return IntegerNetwork(network.dt_ms, tuple(populations), projections)


def _best_scale(network: Network, population: Population, ceiling: float, limits: ChipLimits) -> float:
    """Scale within the octave below `ceiling` at which the weights lose least, relative to their size."""
    candidates = ceiling * 2 ** (-np.arange(SCALES_PER_OCTAVE) / SCALES_PER_OCTAVE)
    if population.kind == "lif":
        thresholds = np.unique(np.maximum(1, np.floor(candidates * population.threshold)))
        candidates = thresholds[::-1] / population.threshold
    gain = NeuronConstants.of(population, network.dt_ms).gain
    errors = np.zeros(len(candidates))
    for projection in network.incoming(population.name):
        weights = projection.weight[projection.weight != 0].astype(np.float64)
        power = float(np.mean(weights**2)) if weights.size else 1.0
        for i, scale in enumerate(candidates):
            integer, exponent, _ = round_weights(weights, gain * scale, limits)
            error = (integer.astype(np.float64) * 2.0**exponent) / (gain * scale) - weights
            errors[i] += float(np.mean(error**2)) / power if weights.size else 0.0
    return float(candidates[int(np.argmin(errors))])


def _round_population(population: Population, dt_ms: float, scale: float, limits: ChipLimits) -> IntegerPopulation:
    constants = NeuronConstants.of(population, dt_ms)
    decay_max = limits["decay_max"]
    # Lava adds one to du (ds_offset), so a current that never decays cannot be expressed: du = -1 is out of range.
    du = min(decay_max, max(0, round(4096 * (1 - constants.beta)) - 1))
    dv = min(decay_max, max(0, round(4096 * (1 - constants.alpha))))
    vth = limits["threshold_max"] if population.kind == "leaky_readout" else round(scale * population.threshold)
    return IntegerPopulation(population.name, population.kind, population.size, du, dv, vth, scale)


def round_weights(
    weights: NDArray[np.float64], factor: float, limits: ChipLimits
) -> tuple[NDArray[np.int32], int, int]:
    """Round weights to even integers with the smallest shared exponent that holds them all.

    Parameters
    ----------
    weights : any shape, float
    factor : weight units for one unit of weight (gain * scale)

    Returns
    -------
    integer, exponent, clipped : even integers of the same shape, 0 <= exponent, how many had to be clipped
    """
    low, high = limits["weight_min"] // 2, limits["weight_max"] // 2
    scaled = weights * factor
    exponent = limits["weight_exponent_min"]
    while True:
        halves = np.rint(scaled / 2.0 ** (exponent + 1))
        clipped = int(np.count_nonzero((halves < low) | (halves > high)))
        if not clipped or exponent == limits["weight_exponent_max"]:
            break
        exponent += 1
    return (2 * np.clip(halves, low, high)).astype(np.int32), exponent, clipped


def round_projection(
    projection: Projection, target: Population, dt_ms: float, scale: float, limits: ChipLimits
) -> IntegerProjection:
    """Quantise one projection at the scale of its target population."""
    factor = NeuronConstants.of(target, dt_ms).gain * scale
    integer, exponent, _ = round_weights(projection.weight.astype(np.float64), factor, limits)
    return IntegerProjection(
        projection.source, projection.target, integer, exponent, projection.slots(), projection.mask
    )


def dequantised_weights(integers: IntegerNetwork, network: Network) -> Network:
    """Float network with the weights that the integers stand for; delays are the integer slots."""
    arrays = {}
    for projection in integers.projections:
        target = network[projection.target]
        factor = NeuronConstants.of(target, network.dt_ms).gain * integers[projection.target].scale
        weight = np.ldexp(projection.weight.astype(np.float64), projection.exponent) / factor
        arrays[projection.name] = (weight.astype(np.float32), projection.slots.astype(np.float32))
    return network.with_arrays(arrays)


def dequantised_constants(integers: IntegerNetwork, network: Network) -> dict[str, NeuronConstants]:
    """Neuron constants that the integers stand for; the gain is in the weights and keeps its trained value."""
    constants = {}
    for population in integers.simulated:
        trained = NeuronConstants.of(network[population.name], network.dt_ms)
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
