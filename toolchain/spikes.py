"""Spikes of many samples in compressed event form.

One sample is the slice ``offsets[s]:offsets[s+1]`` of `times` and `units`. Within a sample events are
sorted by time, then unit, and a unit spikes at most once a step: what a chip can represent.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import InputError

MAX_STEPS = 2**31 - 1
CHECKED_AT_ONCE = 2**20
"""Events that are looked at together: a set in memory maps is checked in passing, not drawn into memory."""
DENSE_ENOUGH = 256
"""Places of a raster for each event, below which events are put in order by marking them in a raster."""


@dataclass(frozen=True)
class SpikeTrains:
    """Input spikes of a set of samples.

    The arrays may be memory maps of files (`toolchain.datasets.binned_cache`).

    Parameters
    ----------
    times : (n_events,) int32, steps, 0 <= time < n_steps
    units : (n_events,) int32, 0 <= unit < n_units
    offsets : (n_samples + 1,) int64, first event of each sample, then n_events
    n_units, n_steps : size of the source and length of every sample, steps

    Raises
    ------
    InputError
        If an index is out of range, the order is broken or a unit spikes twice in a step.
    """

    times: NDArray[np.int32]
    units: NDArray[np.int32]
    offsets: NDArray[np.int64]
    n_units: int
    n_steps: int

    def __post_init__(self) -> None:
        n_events = self.times.size
        if self.units.size != n_events or self.offsets.size < 1 or self.offsets[-1] != n_events:
            raise InputError(
                f"spikes: {n_events} times, {self.units.size} units and offsets ending at "
                f"{self.offsets[-1] if self.offsets.size else 'nothing'} do not belong together"
            )
        if self.offsets[0] != 0 or np.any(np.diff(self.offsets) < 0):
            raise InputError("spikes: offsets must start at 0 and never fall; `bin_events` makes them so")
        for first in range(0, n_events, CHECKED_AT_ONCE):
            # One event of the part before: order is a matter of neighbours.
            self._check(max(0, first - 1), min(first + CHECKED_AT_ONCE, n_events))

    def _check(self, first: int, last: int) -> None:
        """Ranges and order of the events of one part."""
        times, units = self.times[first:last], self.units[first:last]
        for name, array, limit in (("time", times, self.n_steps), ("unit", units, self.n_units)):
            low, high = int(array.min()), int(array.max())
            if low < 0 or high >= limit:
                raise InputError(
                    f"spikes: {name} {low if low < 0 else high} is outside 0..{limit - 1}; cut or enlarge the sample"
                )
        # In place of one 64 bit key for both, which would take four times the memory of the events.
        rising = times[1:] == times[:-1]
        rising &= units[1:] > units[:-1]
        rising |= times[1:] > times[:-1]
        if not rising.all():
            starts = self.offsets[np.searchsorted(self.offsets, first + 1) : np.searchsorted(self.offsets, last)]
            rising[starts - first - 1] = True
            if not rising.all():
                raise InputError(
                    "spikes: events must be sorted by time, then unit, each once in a sample; `bin_events` does it"
                )

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return self.offsets.size - 1

    def select(self, samples: NDArray[np.int64] | Sequence[int]) -> SpikeTrains:
        """Return the samples with these indices, in this order."""
        index = np.asarray(samples, dtype=np.int64)
        starts, stops = self.offsets[index], self.offsets[index + 1]
        offsets = np.concatenate(([0], np.cumsum(stops - starts))).astype(np.int64)
        times = np.empty(offsets[-1], dtype=np.int32)
        units = np.empty(offsets[-1], dtype=np.int32)
        # Samples that lie one behind the other are copied together.
        breaks = np.flatnonzero(starts[1:] != stops[:-1]) + 1
        bounds = [0, *breaks.tolist(), index.size] if index.size else []
        for a, b in itertools.pairwise(bounds):
            here, there = slice(offsets[a], offsets[b]), slice(starts[a], stops[b - 1])
            times[here], units[here] = self.times[there], self.units[there]
        return SpikeTrains(times, units, offsets, self.n_units, self.n_steps)

    def dense(self, sample: int) -> NDArray[np.bool_]:
        """One sample as a raster, (n_units, n_steps)."""
        raster = np.zeros((self.n_units, self.n_steps), dtype=np.bool_)
        events = slice(self.offsets[sample], self.offsets[sample + 1])
        raster[self.units[events], self.times[events]] = True
        return raster


def from_rasters(rasters: NDArray[np.bool_]) -> SpikeTrains:
    """Spikes of rasters (n_samples, n_steps, n_units)."""
    n_samples, n_steps, n_units = rasters.shape
    sample, times, units = np.nonzero(rasters)
    offsets = np.searchsorted(sample, np.arange(n_samples + 1)).astype(np.int64)
    return SpikeTrains(times.astype(np.int32), units.astype(np.int32), offsets, n_units, n_steps)


def concatenate(parts: Sequence[SpikeTrains]) -> SpikeTrains:
    """Samples of all parts, in this order; raises InputError if their sources or lengths differ or there are none."""
    sizes = sorted({(p.n_units, p.n_steps) for p in parts})
    if len(sizes) != 1:
        raise InputError(f"spikes: parts of (units, steps) {sizes} cannot be one set; bin them alike")
    starts = np.cumsum([0, *(p.times.size for p in parts)])
    offsets = [p.offsets[:-1] + start for p, start in zip(parts, starts[:-1], strict=True)]
    return SpikeTrains(
        np.concatenate([p.times for p in parts]),
        np.concatenate([p.units for p in parts]),
        np.concatenate([*offsets, starts[-1:]]).astype(np.int64),
        *sizes[0],
    )


def beside(parts: Sequence[SpikeTrains]) -> SpikeTrains:
    """The same samples of several sources as those of one, whose units are numbered through in this order.

    Raises
    ------
    InputError
        If the parts differ in their number of samples or steps, or there are none.
    """
    sizes = sorted({(p.n_samples, p.n_steps) for p in parts})
    if len(sizes) != 1:
        raise InputError(f"spikes: parts of (samples, steps) {sizes} do not lie beside each other; cut them alike")
    (n_samples, n_steps), n_units = sizes[0], sum(p.n_units for p in parts)
    firsts = np.cumsum([0, *(p.n_units for p in parts)])
    sample = np.concatenate([np.repeat(np.arange(n_samples), np.diff(p.offsets)) for p in parts])
    times = np.concatenate([p.times for p in parts])
    units = np.concatenate([p.units + first for p, first in zip(parts, firsts[:-1], strict=True)])
    order = np.lexsort((units, times, sample))
    offsets = np.sum([p.offsets for p in parts], axis=0)
    return SpikeTrains(times[order], units[order].astype(np.int32), offsets.astype(np.int64), n_units, n_steps)


@dataclass(frozen=True)
class Binning:
    """What turning events into steps removed, over all samples."""

    merged: int
    late: int

    def __add__(self, other: Binning) -> Binning:
        return Binning(self.merged + other.merged, self.late + other.late)

    def __str__(self) -> str:
        return f"{self.merged} events merged with another of the same unit and step, {self.late} past the last step"


def _in_order(keys: NDArray[np.int64], limit: int) -> NDArray[np.int64]:
    """Numbers of 0..limit-1 sorted, each once; as `np.unique`, and three times faster where they are many."""
    if limit > DENSE_ENOUGH * keys.size:
        return np.unique(keys)
    marked = np.zeros(limit, dtype=np.bool_)
    marked[keys] = True
    return np.flatnonzero(marked)


def bin_events(
    samples: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]], n_units: int, n_steps: int
) -> tuple[SpikeTrains, Binning]:
    """Sort events of each sample, merge those of one unit and step, cut those past the end, and count both.

    Parameters
    ----------
    samples : for each sample ``(times, units)``, steps and indices, any order
    n_units, n_steps : size of the source and length of a sample

    Raises
    ------
    InputError
        If a time is negative or a unit out of range, which are errors of the caller and no matter of binning,
        or a sample is longer than 32 bits can say.
    """
    if n_steps > MAX_STEPS:
        raise InputError(
            f"samples of {n_steps} steps: times are held in 32 bits, at most {MAX_STEPS}; use longer steps"
        )
    times: list[NDArray[np.int64]] = []
    units: list[NDArray[np.int64]] = []
    merged = late = 0
    for index, (t, u) in enumerate(samples):
        t, u = np.asarray(t, dtype=np.int64), np.asarray(u, dtype=np.int64)
        if t.size and (t.min() < 0 or u.min() < 0 or u.max() >= n_units):
            raise InputError(f"sample {index}: an event has a negative step or a unit outside 0..{n_units - 1}")
        kept = t < n_steps
        key = _in_order(t[kept] * n_units + u[kept], n_units * n_steps)
        late += int(t.size - np.count_nonzero(kept))
        merged += int(np.count_nonzero(kept) - key.size)
        times.append(key // n_units)
        units.append(key % n_units)
    offsets = np.concatenate(([0], np.cumsum([t.size for t in times], dtype=np.int64))).astype(np.int64)
    empty = np.zeros(0, dtype=np.int64)
    trains = SpikeTrains(
        np.concatenate(times or [empty]).astype(np.int32),
        np.concatenate(units or [empty]).astype(np.int32),
        offsets,
        n_units,
        n_steps,
    )
    return trains, Binning(merged, late)
