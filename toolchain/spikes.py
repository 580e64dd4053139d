"""Spikes of many samples in compressed event form.

One sample is the slice ``offsets[s]:offsets[s+1]`` of `times` and `units`. Within a sample events are
sorted by time, then unit, and a unit spikes at most once a step: what a chip can represent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import InputError

MAX_STEPS = 2**31 - 1


@dataclass(frozen=True)
class SpikeTrains:
    """Input spikes of a set of samples.

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
        for name, array, limit in (("time", self.times, self.n_steps), ("unit", self.units, self.n_units)):
            if n_events and (array.min() < 0 or array.max() >= limit):
                worst = array.min() if array.min() < 0 else array.max()
                raise InputError(f"spikes: {name} {worst} is outside 0..{limit - 1}; cut or enlarge the sample")
        key = self.times.astype(np.int64) * self.n_units + self.units
        inside = np.ones(n_events, dtype=np.bool_)
        inside[self.offsets[:-1][self.offsets[:-1] < n_events]] = False
        if n_events and np.any((np.diff(key) <= 0) & inside[1:]):
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
        counts = self.offsets[index + 1] - self.offsets[index]
        offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        events = np.arange(offsets[-1]) + np.repeat(self.offsets[index] - offsets[:-1], counts)
        return SpikeTrains(self.times[events], self.units[events], offsets, self.n_units, self.n_steps)

    def dense(self, sample: int) -> NDArray[np.bool_]:
        """One sample as a raster, (n_units, n_steps)."""
        raster = np.zeros((self.n_units, self.n_steps), dtype=np.bool_)
        events = slice(self.offsets[sample], self.offsets[sample + 1])
        raster[self.units[events], self.times[events]] = True
        return raster


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


@dataclass(frozen=True)
class Binning:
    """What turning events into steps removed, over all samples."""

    merged: int
    late: int

    def __str__(self) -> str:
        return f"{self.merged} events merged with another of the same unit and step, {self.late} past the last step"


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
        key = np.unique(t[kept] * n_units + u[kept])
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
