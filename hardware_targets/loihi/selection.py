"""Neurons on a knife's edge: of several roundings of a neuron's weights the one after which it spikes as trained.

A trained neuron may peak a hair above its threshold for every sample of a kind. Half a percent of its weights then
decides whether it spikes at all, whatever the error of its membrane is on average, and no scale of the population suits
all such neurons at once. So each neuron chooses for itself among roundings of its weights that differ little: weights a
bit larger or smaller before they are rounded, and rounded the other way where they lie near the middle. What counts is
how its spikes change on calibration data; a rounding is exchanged only where that falls by more than chance explains,
as the calibration data are a sample.

Neurons of a recurrent population hear each other, so what each chose by itself is kept only if it is better together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hardware_targets.loihi.emulator import Emulation, emulate
from hardware_targets.loihi.integer_network import IntegerNetwork, IntegerProjection
from hardware_targets.loihi.limits import ChipLimits
from hardware_targets.loihi.rounding import weight_unit
from toolchain.network import Network, Population
from toolchain.spikes import SpikeTrains

F64 = NDArray[np.float64]

STRETCHES = (0.001, -0.001, 0.002, -0.002, 0.004, -0.004, 0.008, -0.008)
"""By which fraction all weights of a neuron are larger before they are rounded."""
SHIFTS = (0.5, -0.5, 1.0, -1.0)
"""By how many steps of the integers they are: what a neuron with few synapses needs."""
DITHERS, LARGEST_DITHER = 8, 0.4
"""Roundings with a random number added before, up to so many steps of the integers."""
CHANCE = 2.0
"""Standard deviations of the difference of two counts that an exchange has to be worth."""


def select(
    network: Network,
    integers: IntegerNetwork,
    population: Population,
    calibration: SpikeTrains,
    trained: Mapping[str, SpikeTrains],
    limits: ChipLimits,
    overflowing: Collection[str] = (),
) -> IntegerNetwork:
    """Round the weights onto each neuron of a population so that it spikes as trained.

    Parameters
    ----------
    network : trained, with the slots of the integers
    integers : where it begins; scales, exponents and decays stay as they are
    population : of kind lif
    calibration : input
    trained : population -> its spikes in the trained network on this input
    limits : of the chip
    overflowing : populations whose voltages may be clipped

    Returns
    -------
    the network, that it was given where no neuron gains or all of them together do not
    """
    wanted = _Wanted(trained[population.name])
    mine = [p for p in integers.projections if p.target == population.name]
    if not mine:
        return integers
    candidates = [[p.weight for p in mine], *_roundings(network, integers, mine, limits)]
    distances = []
    for weights in candidates:
        found = emulate(_with(integers, mine, weights), calibration)
        worth = wanted.distance(found, population.name)
        # A rounding that overflows is nobody's choice.
        distances.append(worth if _as_clean(found, overflowing) else np.full(worth.shape, np.inf))
    distance = np.array(distances)
    best = distance.argmin(axis=0)
    before, after = distance[0], distance.min(axis=0)
    if not np.isfinite(before).all():
        return integers
    best[before - after <= CHANCE * np.sqrt(before + after)] = 0
    if not best.any():
        return integers
    chosen = [
        np.stack([candidates[c][i][:, neuron] for neuron, c in enumerate(best)], axis=1) for i in range(len(mine))
    ]
    together = _with(integers, mine, chosen)
    found = emulate(together, calibration)
    if not _as_clean(found, overflowing) or wanted.distance(found, population.name).sum() >= before.sum():
        return integers
    return together


class _Wanted:
    """The trained spikes of a population, and how far others are from them."""

    def __init__(self, spikes: SpikeTrains) -> None:
        sample = np.repeat(np.arange(spikes.n_samples), np.diff(spikes.offsets))
        index = sample * spikes.n_units + spikes.units
        size, shape = spikes.n_samples * spikes.n_units, (spikes.n_samples, spikes.n_units)
        first = np.full(size, spikes.n_steps, dtype=np.int64)
        np.minimum.at(first, index, spikes.times.astype(np.int64))
        self.counts = np.bincount(index, minlength=size).reshape(shape)
        self.first = first.reshape(shape)
        self.n_steps = spikes.n_steps

    def distance(self, found: Emulation, name: str) -> F64:
        """Spikes too many or too few of each neuron, (n,), and by what part of a sample its first ones moved."""
        counts = np.abs(found.neuron_counts[name] - self.counts).sum(axis=0)
        moved = np.abs(found.first_spikes[name] - self.first).sum(axis=0)
        result: F64 = counts + moved / self.n_steps
        return result


def _roundings(
    network: Network, integers: IntegerNetwork, mine: list[IntegerProjection], limits: ChipLimits
) -> Iterator[list[NDArray[np.int32]]]:
    """Other integers for the weights of each projection; always the same ones."""
    by_name = {p.name: p for p in network.projections}
    exact = [by_name[p.name].weight.astype(np.float64) / weight_unit(p, integers, network) for p in mine]
    low, high = limits["weight_min"] // 2, limits["weight_max"] // 2

    def rounded(halves: F64, projection: IntegerProjection) -> NDArray[np.int32]:
        even: NDArray[np.int32] = (2 * np.clip(np.rint(halves), low, high)).astype(np.int32)
        return np.where(projection.exists, even, 0).astype(np.int32)

    for stretch in STRETCHES:
        yield [rounded(e * (1 + stretch), p) for e, p in zip(exact, mine, strict=True)]
    for shift in SHIFTS:
        yield [rounded(e + shift, p) for e, p in zip(exact, mine, strict=True)]
    random = np.random.default_rng(0)
    for _ in range(DITHERS):
        yield [
            rounded(e + random.uniform(-LARGEST_DITHER, LARGEST_DITHER, e.shape), p)
            for e, p in zip(exact, mine, strict=True)
        ]


def _with(integers: IntegerNetwork, mine: list[IntegerProjection], weights: list[NDArray[np.int32]]) -> IntegerNetwork:
    changed = {p.name: replace(p, weight=w) for p, w in zip(mine, weights, strict=True)}
    return replace(integers, projections=tuple(changed.get(p.name, p) for p in integers.projections))


def _as_clean(found: Emulation, clipped: Collection[str]) -> bool:
    """No current wrapped, no readout spiked, no voltage was clipped but of those that may be."""
    return not (
        any(found.wraps.values())
        or any(found.readout_spikes.values())
        or any(count for name, count in found.clips.items() if name not in clipped)
    )
