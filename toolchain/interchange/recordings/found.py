"""What was found in a file of somebody's recordings, before its times become seconds and its labels classes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import InterchangeError

UNITS = ("s", "ms", "us", "steps")
SPELLINGS = {
    "s": "s", "sec": "s", "second": "s", "seconds": "s",
    "ms": "ms", "msec": "ms", "millisecond": "ms", "milliseconds": "ms",
    "us": "us", "µs": "us", "μs": "us", "usec": "us", "microsecond": "us", "microseconds": "us",
    "step": "steps", "steps": "steps", "bin": "steps", "bins": "steps", "timestep": "steps", "timesteps": "steps",
}  # fmt: skip
MAX_EVENTS = 100_000_000
"""Of all files together: 1.6 GB; half as many again as the largest published set of speech has."""
MAX_SAMPLES = 10_000_000
MAX_UNITS = 10_000_000
LARGEST_TIME = 2**53
"""Whole numbers beyond it are no float64."""


@dataclass
class Found:
    """Events of some samples; sample s is ``offsets[s]:offsets[s + 1]``.

    Attributes
    ----------
    times : (n_events,) integers or float64 as the file has them, in `time_unit`
    units : (n_events,) int64, >= 0
    offsets : (n_samples + 1,) int64
    time_unit, dt_ms : one of `UNITS`, and the length of a step; None where the file does not say
    n_units : None where the file does not say
    labels : of each sample, numbers or texts; None where the file has none
    label_names : names of labels 0, 1, ...; empty where the file does not say
    counts : what was dropped, merged or changed -> how many
    finest : in `time_unit`, how far apart the numbers of the file's own type are at its largest time; 0 if whole
    unlabelled : why a file in which there are labels has none for each sample; empty where it has, or has none at all
    """

    times: NDArray[Any]
    units: NDArray[np.int64]
    offsets: NDArray[np.int64]
    time_unit: str | None = None
    dt_ms: float | None = None
    n_units: int | None = None
    labels: list[int] | list[str] | None = None
    label_names: tuple[str, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    finest: float = 0.0
    unlabelled: str = ""

    @property
    def n_samples(self) -> int:
        """How many there are."""
        return self.offsets.size - 1


def spelled(text: object, where: str) -> str:
    """One of `UNITS` for what a file calls its unit of time."""
    found = SPELLINGS.get(str(text).strip().lower())
    if found is None:
        raise InterchangeError(
            f"{where}: its unit of time is {str(text)[:30]!r}, none of {', '.join(UNITS)}; give --unit"
        )
    return found


def checked(found: Found, where: str) -> Found:
    """Events of a file, all of them looked at; times may still be negative.

    Raises
    ------
    InterchangeError
        If the arrays do not belong together, or a time, unit or label is none.
    """
    n = found.times.size
    if found.times.ndim != 1 or found.units.shape != found.times.shape:
        raise InterchangeError(
            f"{where}: times are of shape {found.times.shape} and units of {found.units.shape}; give one for each time"
        )
    offsets = found.offsets
    if offsets.ndim != 1 or offsets.size < 2 or offsets[0] != 0 or offsets[-1] != n or (np.diff(offsets) < 0).any():
        raise InterchangeError(
            f"{where}: offsets must rise from 0 to the {n} events, one more than there are samples; they do not"
        )
    if found.n_samples > MAX_SAMPLES or n > MAX_EVENTS:
        raise InterchangeError(
            f"{where}: {found.n_samples} samples and {n} events; at most {MAX_SAMPLES} and {MAX_EVENTS} are read"
        )
    found.times, found.finest = _usable_times(found, where)
    low, high = (int(found.units.min()), int(found.units.max())) if n else (0, 0)
    limit = MAX_UNITS if found.n_units is None else found.n_units
    if low < 0 or high >= limit or not 1 <= limit <= MAX_UNITS:
        event = int(np.flatnonzero((found.units < 0) | (found.units >= limit))[0]) if n and limit > 0 else 0
        value = int(found.units[event]) if n else "none"
        raise InterchangeError(
            f"{where}: sample {sample_of(found, event)} has an event on unit {value}, outside 0..{limit - 1}; at most "
            f"{MAX_UNITS} units"
        )
    if found.labels is not None and len(found.labels) != found.n_samples:
        raise InterchangeError(f"{where}: {len(found.labels)} labels for {found.n_samples} samples; give one for each")
    return found


def sample_of(found: Found, event: int) -> int:
    """Which sample an event is of."""
    return int(np.searchsorted(found.offsets, event, side="right")) - 1


def _usable_times(found: Found, where: str) -> tuple[NDArray[Any], float]:
    """As int64 or float64, and `Found.finest`."""
    times = found.times
    if times.dtype.kind == "f":
        unusable = ~np.isfinite(times)
    else:
        unusable = (times > LARGEST_TIME) | (times < -LARGEST_TIME if times.dtype.kind == "i" else False)
    if unusable.any():
        event = int(np.flatnonzero(unusable)[0])
        raise InterchangeError(
            f"{where}: sample {sample_of(found, event)} has an event at time {times[event]}; times must be finite, and "
            f"at most {LARGEST_TIME}"
        )
    if times.dtype.kind != "f":
        return times.astype(np.int64), 0.0
    return as_printed(times), float(np.spacing(np.abs(times).max())) if times.size else 0.0


def as_printed(times: NDArray[Any]) -> NDArray[np.float64]:
    """Times of few bits as the shortest decimal that each stands for, the one that it is printed as.

    0.007 in 32 bits is 0.00699999928, which is in step 6 of 1 ms, and not in the step 7 that was meant. No time moves
    by more than it was rounded by in the file.
    """
    exact: NDArray[np.float64] = times.astype(np.float64)
    if times.dtype.itemsize >= exact.dtype.itemsize:
        return exact
    left = np.arange(times.size)
    for digits in range(10):
        shorter = np.round(exact[left], digits)
        with np.errstate(over="ignore"):
            same = shorter.astype(times.dtype) == times[left]
        exact[left[same]] = shorter[same]
        left = left[~same]
    return exact


def offsets_of(samples: NDArray[Any], n_samples: int | None, where: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Offsets, and the order of events, from the sample that each event is of."""
    low, high = (int(samples.min()), int(samples.max())) if samples.size else (0, -1)
    limit = high + 1 if n_samples is None else n_samples
    if low < 0 or high >= limit or limit > MAX_SAMPLES:
        raise InterchangeError(
            f"{where}: has events of samples {low} to {high}; there are {limit}, at most {MAX_SAMPLES}"
        )
    order = np.argsort(samples, kind="stable").astype(np.int64)
    counts = np.bincount(samples.astype(np.int64), minlength=limit)
    return np.concatenate(([0], np.cumsum(counts))).astype(np.int64), order
