"""Augmentation: new variants of the training samples for each epoch, from events alone.

    channel shift   all channels of a sample by the same number, drawn from -n..n
    time shift      all events of a sample by the same number of steps, drawn from -n..n
    time stretch    all times of a sample by the same factor, as slow and fast speakers differ
    blend           a further sample from two of one class: both moved to the middle of their centres of mass in
                    channel and time, each event kept with probability 1/2
    dropout, masks  events taken out (`toolchain.datasets.thinning`)
    and tilt

An epoch is a plan: which samples there are, and which two each blend is made of. What a batch is trained on is made
when its turn comes, so never more than a batch is in memory beside the training set. The plan is drawn from a generator
of the epoch, a batch from one of its own: the same seed gives the same samples, wherever training went on. No event
disappears without being counted.

Source: shift and blend of Meszaros, Knight, Nowotny 2025 for the Spiking Heidelberg Digits, with n = 40 channels and
7644 further samples (facts/training.md section 2.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from toolchain.datasets import Samples
from toolchain.datasets.thinning import keep_events, thin
from toolchain.errors import InputError
from toolchain.network_builder import generator
from toolchain.recipe.training_section import AugmentationSection
from toolchain.spikes import SpikeTrains, concatenate


@dataclass(frozen=True)
class Augmented:
    """Events that are not there any more, over some samples.

    Attributes
    ----------
    outside : moved beyond the first or last channel or step
    merged : fell on the channel and step of another event
    removed : taken out at random: by a mask, tilt, dropout, or in a blend
    """

    outside: int = 0
    merged: int = 0
    removed: int = 0

    def __add__(self, other: Augmented) -> Augmented:
        return Augmented(self.outside + other.outside, self.merged + other.merged, self.removed + other.removed)


@dataclass(frozen=True)
class Batch:
    """What an engine is given for one batch: the samples `which` of `spikes`, and what became of events on the way."""

    spikes: SpikeTrains
    labels: NDArray[np.int64]
    which: NDArray[np.int64]
    augmented: Augmented


@dataclass(frozen=True)
class Epoch:
    """The samples of one epoch: those of the training set, and after them its blends.

    Attributes
    ----------
    samples : the training set
    settings : which changes, and how strong
    pairs : (2, n_blends) samples that each blend is made of
    seed, number : of the run and of the epoch
    """

    samples: Samples
    settings: AugmentationSection
    pairs: NDArray[np.int64]
    seed: int
    number: int

    @property
    def size(self) -> int:
        """Number of samples."""
        return self.samples.labels.size + self.pairs.shape[1]

    def batch(self, index: int, which: NDArray[np.int64]) -> Batch:
        """The samples `which`, (n,) of 0..size-1, as batch `index` has them; nothing is copied if nothing changes."""
        settings, (spikes, labels) = self.settings, (self.samples.spikes, self.samples.labels)
        if not settings.active:
            return Batch(spikes, labels, which, Augmented())
        random = generator(self.seed, "augment", self.number, index)
        own, made = which[which < labels.size], which[which >= labels.size] - labels.size
        one, other = self.pairs[:, made]
        parts = [spikes.select(own)]
        counts = Augmented()
        if made.size:
            more, counts = blend(spikes, one, other, random)
            parts.append(more)
        labels = labels[np.concatenate((own, one))]
        spikes = concatenate(parts) if len(parts) > 1 else parts[0]
        if settings.time_stretch:
            spikes, lost = time_stretch(spikes, settings.time_stretch, random)
            counts += lost
        if settings.channel_shift:
            spikes, outside = channel_shift(spikes, settings.channel_shift, random)
            counts += Augmented(outside=outside)
        if settings.time_shift:
            spikes, outside = time_shift(spikes, settings.time_shift, random)
            counts += Augmented(outside=outside)
        spikes, removed = thin(spikes, settings, random)
        counts += Augmented(removed=removed)
        return Batch(spikes, labels, np.arange(labels.size), counts)


def plan_epoch(samples: Samples, settings: AugmentationSection, seed: int, number: int) -> Epoch:
    """Plan an epoch: draw which samples its blends are made of.

    Parameters
    ----------
    samples : the training set
    settings : which changes, and how strong
    seed, number : of the run and of the epoch
    """
    pairs = draw_pairs(samples.labels, settings.blend, generator(seed, "augment", number))
    return Epoch(samples, settings, pairs, seed, number)


def channel_shift(spikes: SpikeTrains, most: int, random: np.random.Generator) -> tuple[SpikeTrains, int]:
    """Move all channels of each sample by one number of -most..most; return how many events left the channels."""
    shift = _shifts(spikes, most, random)
    return _kept(spikes, spikes.times, spikes.units + shift)


def time_shift(spikes: SpikeTrains, most: int, random: np.random.Generator) -> tuple[SpikeTrains, int]:
    """Move all events of each sample by one number of -most..most steps; return how many left the sample."""
    shift = _shifts(spikes, most, random)
    return _kept(spikes, spikes.times + shift, spikes.units)


def time_stretch(spikes: SpikeTrains, most: float, random: np.random.Generator) -> tuple[SpikeTrains, Augmented]:
    """Multiply all times of each sample by one factor, log-uniform from 1 / (1 + most) to 1 + most.

    Returns
    -------
    the samples, and how many events left them or fell on another

    Raises
    ------
    InputError
        If there would be more places for an event than 63 bits can number.
    """
    factor = np.exp(random.uniform(-1, 1, size=spikes.n_samples) * np.log1p(most))
    counts = np.diff(spikes.offsets)
    places = _Places.of(spikes, spikes.n_samples)
    # From the middle of a step: a stretched sample then begins as early as it did.
    times = np.floor((spikes.times + 0.5) * np.repeat(factor, counts)).astype(np.int64)
    inside = times < spikes.n_steps
    made, merged = places.spikes(np.sort(places.keys(counts, times, spikes.units)[inside], kind="stable"))
    return made, Augmented(outside=int(inside.size - np.count_nonzero(inside)), merged=merged)


def _shifts(spikes: SpikeTrains, most: int, random: np.random.Generator) -> NDArray[Any]:
    """A number of -most..most for each sample, given to each of its events (n_events,)."""
    shift = random.integers(-most, most, size=spikes.n_samples, endpoint=True)
    small = most + max(spikes.n_units, spikes.n_steps) < 2**31
    return np.repeat(shift.astype(np.int32) if small else shift, np.diff(spikes.offsets))


def draw_pairs(labels: NDArray[np.int64], count: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Draw two different samples of one class so many times, (2, count).

    Classes come as often as among the labels; the only sample of a class is its own partner. No labels, no pairs.
    """
    n = labels.size
    if n == 0 or count == 0:
        return np.zeros((2, 0), dtype=np.int64)
    by_class = np.argsort(labels, kind="stable")
    place = np.empty(n, dtype=np.int64)
    place[by_class] = np.arange(n)
    _, inverse, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    first_of_class = (np.cumsum(sizes) - sizes)[inverse]
    size_of_class = sizes[inverse]
    one = random.integers(0, n, size=count)
    # A step of 1 to size - 1 round the members of the class leads to any other of them, all equally likely.
    step = 1 + random.integers(0, np.maximum(1, size_of_class[one] - 1))
    other = by_class[first_of_class[one] + (place[one] - first_of_class[one] + step) % size_of_class[one]]
    return np.stack((one, other))


def blend(
    spikes: SpikeTrains, one: NDArray[np.int64], other: NDArray[np.int64], random: np.random.Generator
) -> tuple[SpikeTrains, Augmented]:
    """Make a sample of each pair.

    Both are moved by whole channels and steps to the middle of their centres of mass, then each event of either is
    kept with probability 1/2.

    Parameters
    ----------
    spikes : where the parents are
    one, other : (n,) samples that are blended
    random : the source of what is drawn

    Returns
    -------
    n samples, and what became of the events of their parents

    Raises
    ------
    InputError
        If there would be more places for an event than 63 bits can number.
    """
    n_units, n_steps, examples = spikes.n_units, spikes.n_steps, one.size
    places = _Places.of(spikes, examples)
    parents = [spikes.select(one), spikes.select(other)]
    centres = [_centres(p) for p in parents]
    middle = (centres[0] + centres[1]) / 2
    outside = removed = 0
    keys = []
    for parent, centre in zip(parents, centres, strict=True):
        # A silent parent has no centre and leaves the other where it is.
        move = np.rint(np.nan_to_num(middle - centre)).astype(np.int32)
        keep = np.flatnonzero(random.random(parent.times.size, dtype=np.float32) < 0.5)
        removed += parent.times.size - keep.size
        counts = np.diff(np.searchsorted(keep, parent.offsets))
        times = parent.times[keep] + np.repeat(move[0], counts)
        units = parent.units[keep] + np.repeat(move[1], counts)
        inside = (times >= 0) & (times < n_steps) & (units >= 0) & (units < n_units)
        outside += keep.size - int(np.count_nonzero(inside))
        keys.append(places.keys(counts, times, units)[inside])
    # Each of the two is in order already, so a stable sort is one merge.
    key = np.sort(np.concatenate(keys), kind="stable")
    made, merged = places.spikes(key)
    return made, Augmented(outside, merged, removed)


class _Places(NamedTuple):
    """Sample, time and unit of an event in bit fields of one number: shifts are several times faster than divisions."""

    examples: int
    n_units: int
    n_steps: int
    unit_bits: int
    bits: int

    @classmethod
    def of(cls, spikes: SpikeTrains, examples: int) -> _Places:
        unit_bits = spikes.n_units.bit_length()
        bits = unit_bits + spikes.n_steps.bit_length()
        if bits + examples.bit_length() > 63:
            raise InputError(
                f"augmentation: {examples} samples of {spikes.n_units} units and {spikes.n_steps} steps exceed 63 bits "
                "of numbers; make fewer at once"
            )
        return cls(examples, spikes.n_units, spikes.n_steps, unit_bits, bits)

    def keys(self, counts: NDArray[np.int64], times: NDArray[Any], units: NDArray[Any]) -> NDArray[np.int64]:
        key = np.repeat(np.arange(self.examples, dtype=np.int64) << self.bits, counts)
        key |= times.astype(np.int64) << self.unit_bits | units
        return key

    def spikes(self, key: NDArray[np.int64]) -> tuple[SpikeTrains, int]:
        """Events of sorted keys, and how many fell on the place of another."""
        single = np.ones(key.size, dtype=np.bool_)
        single[1:] = key[1:] != key[:-1]
        merged = int(key.size - np.count_nonzero(single))
        key = key[single]
        times = key >> self.unit_bits & ((1 << self.bits - self.unit_bits) - 1)
        units = key & ((1 << self.unit_bits) - 1)
        offsets = np.searchsorted(key, np.arange(self.examples + 1) << self.bits).astype(np.int64)
        made = SpikeTrains(times.astype(np.int32), units.astype(np.int32), offsets, self.n_units, self.n_steps)
        return made, merged


def _centres(spikes: SpikeTrains) -> NDArray[np.float64]:
    """Mean time and unit of the events of each sample, (2, n_samples); NaN where there are none."""
    counts = np.diff(spikes.offsets)
    centres: NDArray[np.float64] = np.full((2, spikes.n_samples), np.nan)
    heard = counts > 0
    starts = spikes.offsets[:-1][heard]
    for row, events in zip(centres, (spikes.times, spikes.units), strict=True):
        if starts.size:
            row[heard] = np.add.reduceat(events, starts, dtype=np.int64) / counts[heard]
    return centres


def _kept(spikes: SpikeTrains, times: NDArray[Any], units: NDArray[Any]) -> tuple[SpikeTrains, int]:
    """Moved events that are still inside, and how many are not; moving a whole sample keeps its events in order."""
    keep = (times >= 0) & (times < spikes.n_steps) & (units >= 0) & (units < spikes.n_units)
    return keep_events(spikes, times, units, keep)
