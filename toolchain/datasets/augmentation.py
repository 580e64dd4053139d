"""Augmentation: new variants of the training samples for each epoch, from events alone.

    channel shift   all channels of a sample by the same number, drawn from -n..n
    time shift      all events of a sample by the same number of steps, drawn from -n..n
    blend           a further sample from two of one class: both moved to the middle of their centres of mass in
                    channel and time, each event kept with probability 1/2
    dropout         each event lost with a probability

Everything is drawn from the generator that is given, so the same generator gives the same samples. Each function works
on all samples at once; no event disappears without being counted.

Source: shift and blend of Meszaros, Knight, Nowotny 2025 for the Spiking Heidelberg Digits, with n = 40 channels and
7644 further samples (facts/training.md section 2.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.datasets import Samples
from toolchain.errors import InputError
from toolchain.recipe.training_section import AugmentationSection
from toolchain.spikes import SpikeTrains, concatenate


@dataclass(frozen=True)
class Augmented:
    """Events that are not there any more, over all samples.

    Attributes
    ----------
    outside : moved beyond the first or last channel or step
    merged : fell on the channel and step of another event
    removed : taken out at random, by dropout or in a blend
    """

    outside: int = 0
    merged: int = 0
    removed: int = 0

    def __add__(self, other: Augmented) -> Augmented:
        return Augmented(self.outside + other.outside, self.merged + other.merged, self.removed + other.removed)


def augment(samples: Samples, settings: AugmentationSection, random: np.random.Generator) -> tuple[Samples, Augmented]:
    """Samples of one epoch: blends of the given ones are added, then all are shifted, then events dropped.

    Parameters
    ----------
    samples : the training set as it is
    settings : which changes, and how strong
    random : the source of everything random, of this epoch alone
    """
    counts = Augmented()
    if settings.blend:
        more, counts = blend(samples, settings.blend, random)
        spikes = concatenate((samples.spikes, more.spikes))
        samples = Samples(spikes, np.concatenate((samples.labels, more.labels)))
    spikes = samples.spikes
    if settings.channel_shift:
        spikes, outside = channel_shift(spikes, settings.channel_shift, random)
        counts += Augmented(outside=outside)
    if settings.time_shift:
        spikes, outside = time_shift(spikes, settings.time_shift, random)
        counts += Augmented(outside=outside)
    if settings.dropout:
        spikes, removed = dropout(spikes, settings.dropout, random)
        counts += Augmented(removed=removed)
    return Samples(spikes, samples.labels), counts


def channel_shift(spikes: SpikeTrains, most: int, random: np.random.Generator) -> tuple[SpikeTrains, int]:
    """Move all channels of each sample by one number of -most..most; return how many events left the channels."""
    shift = random.integers(-most, most, size=spikes.n_samples, endpoint=True)
    return _kept(spikes, spikes.times, spikes.units + np.repeat(shift, np.diff(spikes.offsets)))


def time_shift(spikes: SpikeTrains, most: int, random: np.random.Generator) -> tuple[SpikeTrains, int]:
    """Move all events of each sample by one number of -most..most steps; return how many left the sample."""
    shift = random.integers(-most, most, size=spikes.n_samples, endpoint=True)
    return _kept(spikes, spikes.times + np.repeat(shift, np.diff(spikes.offsets)), spikes.units)


def dropout(spikes: SpikeTrains, probability: float, random: np.random.Generator) -> tuple[SpikeTrains, int]:
    """Take each event out with this probability; return how many were."""
    keep = random.random(spikes.times.size, dtype=np.float32) >= probability
    return _select(spikes, spikes.times, spikes.units, keep)


def blend(samples: Samples, examples: int, random: np.random.Generator) -> tuple[Samples, Augmented]:
    """Make further samples, each from two different ones of one class.

    Both are moved by whole channels and steps to the middle of their centres of mass, then each event of either is
    kept with probability 1/2. Classes come as often as in `samples`; the only sample of a class is blended with itself.

    Parameters
    ----------
    samples : what to blend
    examples : how many to make; none of an empty set
    random : the source of what is drawn

    Returns
    -------
    the further samples alone, and what became of the events of their parents

    Raises
    ------
    InputError
        If there would be more places for an event than 63 bits can number.
    """
    n = samples.labels.size
    if n == 0:
        return samples, Augmented()
    by_class = np.argsort(samples.labels, kind="stable")
    place = np.empty(n, dtype=np.int64)
    place[by_class] = np.arange(n)
    _, inverse, sizes = np.unique(samples.labels, return_inverse=True, return_counts=True)
    first_of_class = (np.cumsum(sizes) - sizes)[inverse]
    size_of_class = sizes[inverse]
    one = random.integers(0, n, size=examples)
    # A step of 1 to size - 1 round the members of the class leads to any other of them, all equally likely.
    step = 1 + random.integers(0, np.maximum(1, size_of_class[one] - 1))
    other = by_class[first_of_class[one] + (place[one] - first_of_class[one] + step) % size_of_class[one]]

    parents = [samples.spikes.select(one), samples.spikes.select(other)]
    centres = [_centres(p) for p in parents]
    middle = (centres[0] + centres[1]) / 2
    n_units, n_steps = samples.spikes.n_units, samples.spikes.n_steps
    outside = removed = 0
    # Sample, time and unit in bit fields of one number: shifts are several times faster than divisions.
    unit_bits = n_units.bit_length()
    bits = unit_bits + n_steps.bit_length()
    if bits + examples.bit_length() > 63:
        raise InputError(
            f"blend: {examples} samples of {n_units} units and {n_steps} steps exceed 63 bits of numbers; make fewer"
        )
    keys = []
    for parent, centre in zip(parents, centres, strict=True):
        # A silent parent has no centre and leaves the other where it is.
        move = np.rint(np.nan_to_num(middle - centre)).astype(np.int64)
        counts = np.diff(parent.offsets)
        keep = random.random(parent.times.size, dtype=np.float32) < 0.5
        removed += int(keep.size - np.count_nonzero(keep))
        sample = np.repeat(np.arange(examples), counts)[keep]
        times, units = parent.times[keep] + move[0][sample], parent.units[keep] + move[1][sample]
        inside = (times >= 0) & (times < n_steps) & (units >= 0) & (units < n_units)
        outside += int(inside.size - np.count_nonzero(inside))
        keys.append((sample << bits | times << unit_bits | units)[inside])
    # Each of the two is in order already, so a stable sort is one merge.
    key = np.sort(np.concatenate(keys), kind="stable")
    single = np.ones(key.size, dtype=np.bool_)
    single[1:] = key[1:] != key[:-1]
    merged = int(key.size - np.count_nonzero(single))
    key = key[single]
    times = key >> unit_bits & ((1 << bits - unit_bits) - 1)
    units = key & ((1 << unit_bits) - 1)
    offsets = np.searchsorted(key, np.arange(examples + 1) << bits).astype(np.int64)
    made = SpikeTrains(times.astype(np.int32), units.astype(np.int32), offsets, n_units, n_steps)
    return Samples(made, samples.labels[one]), Augmented(outside, merged, removed)


def _centres(spikes: SpikeTrains) -> NDArray[np.float64]:
    """Mean time and unit of the events of each sample, (2, n_samples); NaN where there are none."""
    counts = np.diff(spikes.offsets)
    sample = np.repeat(np.arange(spikes.n_samples), counts)
    sums = np.array([np.bincount(sample, weights=a, minlength=spikes.n_samples) for a in (spikes.times, spikes.units)])
    centres: NDArray[np.float64] = np.full(sums.shape, np.nan)
    np.divide(sums, counts, out=centres, where=counts > 0)
    return centres


def _kept(spikes: SpikeTrains, times: NDArray[Any], units: NDArray[Any]) -> tuple[SpikeTrains, int]:
    """Moved events that are still inside, and how many are not; moving a whole sample keeps its events in order."""
    keep = (times >= 0) & (times < spikes.n_steps) & (units >= 0) & (units < spikes.n_units)
    return _select(spikes, times, units, keep)


def _select(
    spikes: SpikeTrains, times: NDArray[Any], units: NDArray[Any], keep: NDArray[np.bool_]
) -> tuple[SpikeTrains, int]:
    before = np.concatenate(([0], np.cumsum(keep)))
    kept = SpikeTrains(
        times[keep].astype(np.int32),
        units[keep].astype(np.int32),
        before[spikes.offsets].astype(np.int64),
        spikes.n_units,
        spikes.n_steps,
    )
    return kept, int(keep.size - before[-1])
