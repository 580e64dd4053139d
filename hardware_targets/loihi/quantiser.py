"""From a trained network to Loihi's integers: one scale a population, one exponent a projection.

Loihi adds ``weight << exponent`` to a current that feeds the voltage without any gain, so the gain of the
float step is folded into the weights. With `scale` weight units for one unit of V:

    weight << exponent  ~  gain * scale * w          vth = scale * threshold
    4096 - (du + 1)     ~  4096 * beta               4096 - dv = round(4096 * alpha)

The scale of a population is free. It starts as large as the formats allow and is halved until the emulator
neither wraps a current nor clips a voltage on calibration data. The largest state seen then says how large
the scale may be with the headroom that is wanted. Within the octave below that, the weights of a readout go to where
they lose least; a spiking population goes to where the fewest of its spikes change against the trained
network on the calibration data. The second matters more than the size of the errors: a trained neuron may
peak a hair above threshold for every sample, and half a percent of a weight then decides whether it ever
spikes. The threshold is exact by construction: only scales at which scale * threshold is an integer are tried.

Scales up to two octaves above are tried too, where hidden voltages are clipped, deep below threshold, and taken if
still fewer spikes change. At the scales that are chosen the weights of each neuron are rounded together
(`refinement`), if that changes no more spikes, and neurons that peak a hair from threshold choose among roundings
(`selection`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import numpy as np

from hardware_targets.loihi.constants import shared_constants
from hardware_targets.loihi.emulator import Emulation, emulate
from hardware_targets.loihi.integer_network import IntegerNetwork, IntegerPopulation
from hardware_targets.loihi.limits import ChipLimits
from hardware_targets.loihi.refinement import refine
from hardware_targets.loihi.relays import count_relays
from hardware_targets.loihi.rounding import rms_ratio, round_projection, round_weights
from hardware_targets.loihi.selection import select
from hardware_targets.rounded_delays import RoundedDelays
from hardware_targets.rounded_delays import round_delays as delays_in_slots
from hardware_targets.trained_spikes import spike_counts, trained_spikes
from toolchain.errors import TargetLimitError
from toolchain.network import Network, Population
from toolchain.spikes import SpikeTrains

SCALES_PER_OCTAVE = 16
WRAP_HEADROOM, CLIP_HEADROOM = 0.5, 0.7
"""Share of 24 bits that calibration data may use of a current, whose wrap turns inhibition into excitation, and of the
voltage of a readout. A hidden neuron may use all: its voltage is only clipped where it is deep below threshold, so that
another sample which needs more loses little, and room left there makes the steps of weights coarser for all.
"""


def round_delays(network: Network, limits: ChipLimits, *, clip: bool, extend: bool = False) -> RoundedDelays:
    """Round delays to the slots of a chip; see `hardware_targets.rounded_delays`."""
    largest = limits["slot_max"]

    def cost(network: Network) -> str:
        return f" (adds up to {count_relays(network, largest)} relay neurons)"

    return delays_in_slots(network, largest, limits.chip, clip=clip, extend=extend, cost=cost)


def quantise_network(
    network: Network, calibration: SpikeTrains, limits: ChipLimits, known: Mapping[str, float] | None = None
) -> IntegerNetwork:
    """Choose scales and round everything.

    Parameters
    ----------
    network : with delays that are integers (`round_delays`), longer than the chip's slots too
    calibration : input on which no current wraps and no readout is clipped; a hidden voltage only where that pays
    limits : of the chip
    known : population -> scale that the network was trained at; used as it is unless a state overflows with it

    Raises
    ------
    TargetLimitError
        If no scale keeps a population from overflowing, its threshold vanishes at the one that does, or its
        neurons have time constants of their own.
    """
    simulated = [p for p in network.populations if p.kind != "spike_source"]
    for population in simulated:
        shared_constants(population, network.dt_ms)
    if known is not None and set(known) == {p.name for p in simulated}:
        integers = _round_all(network, known, limits)
        # Clipped hidden voltages are counted; other scales would round weights anew that are on the grid of these.
        if not _overflowing(network, emulate(integers, calibration), {p.name for p in network.of_kind("lif")}):
            return integers
    trained = trained_spikes(network, calibration)
    trained_counts = {p.name: spike_counts(trained[p.name]) for p in network.of_kind("lif")}
    ceilings = {p.name: _largest_scale(network, p, limits) for p in simulated}
    for population in simulated:
        _check_scale(population, ceilings[population.name], limits)
    while True:
        _lower_to_fit(network, ceilings, calibration, limits)
        scales = dict(ceilings)
        for population in simulated:
            if population.kind == "leaky_readout":
                scales[population.name] = _closest_scale(network, population, ceilings[population.name], limits)
        clipped: set[str] = set()
        for population in network.of_kind("lif"):
            name = population.name

            def changes(
                candidates: list[float], name: str = name, scales: Mapping[str, float] = scales
            ) -> dict[float, int]:
                """Scale -> spikes that change, where nothing worse happens than that this population is clipped."""
                found = {}
                for scale in candidates:
                    tried = emulate(_round_all(network, {**scales, name: scale}, limits), calibration)
                    if not _overflowing(network, tried, {name}) and _current_excess(tried, name, limits) <= 1:
                        found[scale] = int(np.abs(tried.neuron_counts[name] - trained_counts[name]).sum())
                return found

            within = changes(_scales_below(population, ceilings[name])) or {ceilings[name]: 0}
            # The first of the smallest: the larger scale where several change as few spikes.
            scales[name] = min(within, key=within.__getitem__)
            beyond = changes(_scales_above(population, ceilings[name], _largest_scale(network, population, limits)))
            # Neurons inhibited a hundred thresholds deep would otherwise have their weights' bits spent on that depth.
            if beyond and min(beyond.values()) < within[scales[name]]:
                scales[name] = min(beyond, key=beyond.__getitem__)
                clipped.add(name)
        integers = _round_all(network, scales, limits)
        if not _overflowing(network, emulate(integers, calibration), clipped):
            return _refined(network, integers, calibration, trained, limits, clipped)
        # The spikes that changed with the last scale brought a state beyond the headroom: leave more of it.
        ceilings = {name: 0.8 * ceiling for name, ceiling in ceilings.items()}


def round_at(network: Network, scales: Mapping[str, float], limits: ChipLimits, *, clip: bool = True) -> IntegerNetwork:
    """The integers of a network at given scales, each weight rounded by itself; `clip` as in `round_weights`.

    Delays may be beyond the chip's slots: those that training leaves are within what the recipe allows.
    """
    return _round_all(round_delays(network, limits, clip=False, extend=True).network, scales, limits, clip=clip)


def _changed(
    network: Network, integers: IntegerNetwork, calibration: SpikeTrains, trained: Mapping[str, SpikeTrains]
) -> int:
    """By how many spikes the neurons of all lif populations differ from the trained network, sample by sample."""
    result = emulate(integers, calibration)
    return sum(
        int(np.abs(result.neuron_counts[p.name] - spike_counts(trained[p.name])).sum()) for p in network.of_kind("lif")
    )


def _refined(
    network: Network,
    integers: IntegerNetwork,
    calibration: SpikeTrains,
    trained: Mapping[str, SpikeTrains],
    limits: ChipLimits,
    clipped: Collection[str],
) -> IntegerNetwork:
    """The same format, weights rounded together, and for neurons on a knife's edge otherwise.

    Either where it is better on the calibration data and overflows nothing.
    """
    best, changed = integers, _changed(network, integers, calibration, trained)
    for population in (network[p.name] for p in integers.simulated):
        tried = refine(network, best, population, trained, limits)
        if _overflowing(network, emulate(tried, calibration), clipped):
            continue
        now = _changed(network, tried, calibration, trained)
        if now <= changed:
            best, changed = tried, now
    for population in network.of_kind("lif"):
        best = select(network, best, population, calibration, trained, limits, clipped)
    return best


def _lower_to_fit(network: Network, ceilings: dict[str, float], calibration: SpikeTrains, limits: ChipLimits) -> None:
    """Lower the ceilings until nothing overflows on the calibration data and the headroom is free."""
    while True:
        result = emulate(_round_all(network, ceilings, limits), calibration)
        overflowing = _overflowing(network, result)
        for name in overflowing:
            ceilings[name] /= 2
            _check_scale(network[name], ceilings[name], limits)
        if overflowing:
            continue
        # Nothing overflows, so what was seen is what the network does, at whatever scale.
        excess = {name: _excess(network[name], result, limits) for name in ceilings}
        if max(excess.values()) <= 1:
            return
        for name, factor in excess.items():
            if factor > 1:
                ceilings[name] *= (1 - 1e-6) / factor
                _check_scale(network[name], ceilings[name], limits)


def _excess(population: Population, result: Emulation, limits: ChipLimits) -> float:
    """How many times more of 24 bits a population uses than it may."""
    largest = 2.0 ** (limits["state_bits"] - 1)
    of_voltage = CLIP_HEADROOM if population.kind == "leaky_readout" else 1.0
    voltage = result.voltage_peaks[population.name] / (of_voltage * largest)
    return max(_current_excess(result, population.name, limits), voltage)


def _current_excess(result: Emulation, name: str, limits: ChipLimits) -> float:
    """How many times more of 24 bits the currents of a population use than they may."""
    return result.current_peaks[name] / (WRAP_HEADROOM * 2.0 ** (limits["state_bits"] - 1))


def _overflowing(network: Network, result: Emulation, clipped: Collection[str] = ()) -> list[str]:
    """Populations in which a current wrapped, a voltage was clipped or a readout spiked.

    Those `clipped` may be: a voltage at the end of its range is one deep below threshold, or it spikes and is reset.
    """
    return [
        name
        for name in result.wraps
        if result.wraps[name]
        or (result.clips[name] and name not in clipped)
        or (network[name].kind == "leaky_readout" and result.readout_spikes[name])
    ]


def _largest_scale(network: Network, population: Population, limits: ChipLimits) -> float:
    """Scale at which the threshold or the largest weight reaches the end of its format."""
    gain = shared_constants(population, network.dt_ms).gain
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


def _round_all(
    network: Network, scales: Mapping[str, float], limits: ChipLimits, *, clip: bool = True
) -> IntegerNetwork:
    populations = []
    for population in network.populations:
        if population.kind == "spike_source":
            populations.append(IntegerPopulation(population.name, population.kind, population.size))
        else:
            populations.append(_round_population(population, network.dt_ms, scales[population.name], limits))
    # A threshold that had to become an integer has moved the scale with it.
    used = {p.name: p.scale for p in populations}
    projections = tuple(
        round_projection(p, network[p.target], network.dt_ms, used[p.target], limits, clip=clip)
        for p in network.projections
    )
    return IntegerNetwork(network.dt_ms, tuple(populations), projections)


def _scales_below(population: Population, ceiling: float) -> list[float]:
    """Scales of the octave below `ceiling` at which the threshold is an integer, the largest first."""
    steps = ceiling * 2.0 ** (-np.arange(SCALES_PER_OCTAVE) / SCALES_PER_OCTAVE)
    thresholds = np.unique(np.maximum(1, np.floor(steps * population.threshold)))
    return [float(t) for t in thresholds[::-1] / population.threshold]


def _scales_above(population: Population, ceiling: float, largest: float) -> list[float]:
    """Scales of the two octaves above `ceiling`, up to the largest, at which the threshold is an integer."""
    steps = ceiling * 2.0 ** (np.arange(1, 9) / 4)
    thresholds = np.unique(np.floor(steps[steps <= largest] * population.threshold))
    return [float(t) for t in thresholds / population.threshold]


def _closest_scale(network: Network, population: Population, ceiling: float, limits: ChipLimits) -> float:
    """Scale within the octave below `ceiling` at which the weights lose least, relative to their size."""
    candidates = ceiling * 2.0 ** (-np.arange(SCALES_PER_OCTAVE) / SCALES_PER_OCTAVE)
    gain = shared_constants(population, network.dt_ms).gain
    errors = np.zeros(len(candidates))
    for projection in network.incoming(population.name):
        weights = projection.weight[projection.weight != 0].astype(np.float64)
        for i, scale in enumerate(candidates):
            integer, exponent, _ = round_weights(weights, gain * scale, limits)
            errors[i] += rms_ratio(np.ldexp(integer.astype(np.float64), exponent) / (gain * scale) - weights, weights)
    return float(candidates[int(np.argmin(errors))])


def _round_population(population: Population, dt_ms: float, scale: float, limits: ChipLimits) -> IntegerPopulation:
    constants = shared_constants(population, dt_ms)
    decay_max = limits["decay_max"]
    # Lava adds one to du (ds_offset), so a current that never decays cannot be expressed: du = -1 is out of range.
    du = min(decay_max, max(0, round(4096 * (1 - constants.beta)) - 1))
    dv = min(decay_max, max(0, round(4096 * (1 - constants.alpha))))
    vth = limits["threshold_max"]
    if population.kind == "lif":
        vth = max(1, math.floor(scale * population.threshold * (1 + 1e-12)))
        scale = vth / population.threshold
    return IntegerPopulation(population.name, population.kind, population.size, du, dv, vth, scale)
