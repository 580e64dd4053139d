"""From a trained network to SpiNNaker's integers: one scale a population, one ring-buffer shift for each sign.

What arrives at a neuron in a tick is summed in 16 bits, excitation and inhibition apart, and shifted into s16.15; the
smaller the shift, the finer the weights, until the sum saturates. So a shift has to hold the largest sum that is ever
seen, with room for samples that were not, and the scale of the population decides how much of the 16 bits that sum
uses: shifts are powers of two, the scale is free. Of the scales of an octave that is taken at which the fewest spikes
change on calibration data, and of those the one at which the weights, both signs together, lose least.

sPyNNaker itself takes the shift from a bound on the sum: the worst case, or five standard deviations above a Poisson
mean (`PopulationVertex.get_ring_buffer_shifts`, 7.4.1). What it is told here is what was seen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hardware_targets.spinnaker.emulator import Emulation, emulate
from hardware_targets.spinnaker.fixed_point import check_constants
from hardware_targets.spinnaker.integer_network import LARGEST_SAFE_SHIFT, LARGEST_WEIGHT, ONE, IntegerNetwork
from hardware_targets.spinnaker.rounding import Shifts, refractory_ms, round_network, round_population, weight_step
from hardware_targets.spinnaker.slots import check_step
from hardware_targets.trained_spikes import spike_counts, trained_spikes
from toolchain.errors import TargetLimitError
from toolchain.network import Network, Population
from toolchain.spikes import SpikeTrains

RING_HEADROOM, STATE_HEADROOM = 0.5, 0.125
"""Share of the ring buffer's 16 bits, and of s16.15, that calibration data may use. Room costs a bit of the weights in
the first; in the second nothing, as a unit in the last place is far below a threshold."""
SCALES = 16
"""Scales of an octave that are tried."""
FIRST_THRESHOLD_MV = 16.0


@dataclass(frozen=True)
class Peaks:
    """Largest values that calibration data lead to, in units of the trained network.

    Attributes
    ----------
    arriving : largest excitatory and inhibitory sum of weights that arrive at a neuron in a tick
    state : largest current or voltage
    """

    arriving: tuple[float, float]
    state: float


def quantise_network(
    network: Network, calibration: SpikeTrains, known: Mapping[str, tuple[float, Shifts]] | None = None
) -> IntegerNetwork:
    """Choose scales and shifts, and round everything.

    Parameters
    ----------
    network : with delays that are whole slots
    calibration : input on which no ring buffer saturates and no state wraps
    known : population -> scale and shifts that the network was trained at; used as they are unless a state wraps or
        ring buffers saturate more than once a sample

    Raises
    ------
    TargetLimitError
        If the state of a population leaves s16.15 at whatever scale, sPyNNaker cannot keep the step, or samples are too
        long for neurons that spike once.
    NetworkError
        If a time constant is none that the chip can compute with.
    """
    simulated = [p for p in network.populations if p.kind != "spike_source"]
    _check_constants(network, simulated)
    _check_once(network, simulated, calibration.n_steps)
    if known is not None and set(known) == {p.name for p in simulated}:
        integers = round_network(network, *_apart(known))
        found = emulate(integers, calibration)
        # Weights grow while they are trained: the few sums that saturate by now did so in training, and are counted.
        if not any(found.state_wraps.values()) and sum(found.ring_saturations.values()) < calibration.n_samples:
            return integers
    trained = {name: spike_counts(s) for name, s in trained_spikes(network, calibration).items()}
    peaks = _peaks(network, simulated, calibration)
    headroom = 1.0
    while True:
        chosen: dict[str, tuple[float, Shifts]] = {
            p.name: _candidates(network, p, peaks, headroom)[0] for p in simulated
        }
        for population in simulated:
            candidates = _candidates(network, population, peaks, headroom)
            losses = [_loss(network, population, candidate) for candidate in candidates]
            if population.kind == "lif":
                changes = []
                for candidate in candidates:
                    integers = round_network(network, *_apart({**chosen, population.name: candidate}))
                    counts = emulate(integers, calibration).neuron_counts[population.name]
                    changes.append(int(np.abs(counts - trained[population.name]).sum()))
            else:
                changes = [0] * len(candidates)
            chosen[population.name] = candidates[min(range(len(candidates)), key=lambda i: (changes[i], losses[i]))]
        integers = round_network(network, *_apart(chosen))
        if not _overflowing(emulate(integers, calibration)):
            return integers
        headroom *= 0.8


def shared_shifts(integers: IntegerNetwork) -> dict[str, tuple[float, Shifts]]:
    """Population -> its scale, and the larger of its shifts for both signs: weights may change sign in training."""
    return {p.name: (p.scale, (max(p.shifts), max(p.shifts))) for p in integers.simulated}


def _apart(chosen: Mapping[str, tuple[float, Shifts]]) -> tuple[dict[str, float], dict[str, Shifts]]:
    return {k: scale for k, (scale, _) in chosen.items()}, {k: shifts for k, (_, shifts) in chosen.items()}


def _check_constants(network: Network, simulated: list[Population]) -> None:
    check_step(network.dt_ms)
    for population in simulated:
        rounded = round_population(population, network.dt_ms, FIRST_THRESHOLD_MV / population.threshold, (0, 0))
        assert rounded.parameters is not None, "a simulated population has parameters"
        check_constants(population.name, rounded.parameters, network.dt_ms)


def _check_once(network: Network, simulated: list[Population], n_steps: int) -> None:
    """Refuse samples that last longer than a neuron can be kept from spiking again."""
    held = int(refractory_ms(network.dt_ms) / network.dt_ms)
    for population in simulated:
        if population.single_spike and n_steps > held:
            raise TargetLimitError(
                f"population {population.name}: its neurons spike once a sample, spinnaker1 keeps them silent for "
                f"{held} steps of {network.dt_ms:g} ms, and samples have {n_steps}; train with shorter samples or steps"
            )


def _peaks(network: Network, simulated: list[Population], calibration: SpikeTrains) -> dict[str, Peaks]:
    """Run the network with shifts that hold whatever can arrive, and see what does."""
    chosen = {}
    for population in simulated:
        scale = FIRST_THRESHOLD_MV / population.threshold
        most = [
            sum(
                float(np.maximum(sign * p.weight, 0).sum(axis=0).max(initial=0))
                for p in network.incoming(population.name)
            )
            for sign in (1, -1)
        ]
        while _shift(max(most) * scale) > LARGEST_SAFE_SHIFT:
            scale /= 2
        chosen[population.name] = (scale, (_shift(most[0] * scale), _shift(most[1] * scale)))
    while True:
        found = emulate(round_network(network, *_apart(chosen)), calibration)
        wrapped = [name for name, count in found.state_wraps.items() if count]
        if not wrapped:
            break
        for name in wrapped:
            scale, shifts = chosen[name]
            _check_scale(network[name], scale / 2)
            chosen[name] = (scale / 2, shifts)
    peaks = {}
    for name, (scale, shifts) in chosen.items():
        excitatory, inhibitory = (
            peak * weight_step(shift) / scale for peak, shift in zip(found.ring_peaks[name], shifts, strict=True)
        )
        state = max(found.current_peaks[name], found.voltage_peaks[name]) / (ONE * scale)
        peaks[name] = Peaks((excitatory, inhibitory), state)
    return peaks


def _shift(largest: float, share: float = 1.0) -> int:
    """Smallest shift at which a sum of so many nA takes at most this share of the ring buffer's 16 bits."""
    if largest <= 0:
        return 0
    return max(0, math.ceil(math.log2(largest / (share * LARGEST_WEIGHT))) + 15)


def _candidates(
    network: Network, population: Population, peaks: Mapping[str, Peaks], headroom: float
) -> list[tuple[float, Shifts]]:
    """Scales of an octave with the shifts that they need, the largest first."""
    peak = peaks[population.name]
    heaviest = [
        max((float(np.max(sign * p.weight, initial=0)) for p in network.incoming(population.name)), default=0.0)
        for sign in (1, -1)
    ]
    range_mv = 2.0**16  # of s16.15, on one side of 0
    bounds = [STATE_HEADROOM * headroom * range_mv / peak.state if peak.state else math.inf]
    bounds += [
        RING_HEADROOM * headroom * LARGEST_WEIGHT * weight_step(LARGEST_SAFE_SHIFT) / a for a in peak.arriving if a > 0
    ]
    bounds += [LARGEST_WEIGHT * weight_step(LARGEST_SAFE_SHIFT) / w for w in heaviest if w > 0]
    # A threshold of half the range leaves a voltage that is refused one step above it where it belongs.
    bounds.append(STATE_HEADROOM * range_mv / (population.threshold if population.kind == "lif" else 1.0))
    # A hair below, so that the logarithm of a shift does not round up at a bound that is a power of two.
    top = min(bounds) * (1 - 1e-9)
    _check_scale(population, top)
    found = []
    for scale in top * 2.0 ** (-np.arange(SCALES) / SCALES):
        excitatory, inhibitory = (
            max(_shift(a * scale, RING_HEADROOM * headroom), _shift(w * scale))
            for a, w in zip(peak.arriving, heaviest, strict=True)
        )
        found.append((float(scale), (excitatory, inhibitory)))
    return found


def _loss(network: Network, population: Population, candidate: tuple[float, Shifts]) -> float:
    """Sum of squared errors of the weights onto a population, in units of the trained weights."""
    scale, shifts = candidate
    error = 0.0
    for projection in network.incoming(population.name):
        weight = projection.weight.astype(np.float64)
        steps: NDArray[np.float64] = np.where(weight < 0, weight_step(shifts[1]), weight_step(shifts[0])) / scale
        error += float(np.sum((np.rint(weight / steps) * steps - weight) ** 2))
    return error


def _overflowing(found: Emulation) -> bool:
    return any(found.ring_saturations.values()) or any(found.state_wraps.values())


def _check_scale(population: Population, scale: float) -> None:
    if population.kind == "lif" and scale * population.threshold * ONE < 1:
        raise TargetLimitError(
            f"population {population.name}: even at the smallest threshold, 1/32768 mV, its current or voltage leaves "
            "the 32 bits of spinnaker1; train with smaller weights onto it or a larger threshold"
        )
    if scale < 1e-9:
        raise TargetLimitError(
            f"population {population.name}: its current or voltage leaves the 32 bits of spinnaker1 at whatever scale; "
            "train with smaller weights onto it"
        )
