"""Recordings: events of many samples in seconds, as a file holds them, and their way into steps.

Every source of events (a file in the layout of the Spiking Heidelberg Digits, recordings of speech, a generator)
offers the same few properties and reads the samples that it is asked for, so a file that does not fit in memory
is never in memory whole. `bin_recordings` takes any of them into steps and counts what that removes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import InputError
from toolchain.spikes import Binning, SpikeTrains, bin_events, concatenate

CHUNK = 64
"""Samples that are read at once: half a million events of speech, which stay in the cache of a processor."""


class Events(NamedTuple):
    """Events of some samples: sample s is the slice ``offsets[s]:offsets[s+1]``.

    `times` (n_events,) seconds, rising within a sample; `units` (n_events,) channels; `offsets` (n_samples + 1,).
    """

    times: NDArray[np.float64]
    units: NDArray[np.int32]
    offsets: NDArray[np.int64]


@dataclass(frozen=True)
class Origin:
    """Where recordings come from; every result says it.

    Attributes
    ----------
    what : a few words, such as "Spiking Heidelberg Digits, train"
    real : whether somebody recorded them; False for what a program made
    path : file or folder, None for what was made in memory
    detail : version, seed or checksum verdict of what made them; may be empty
    """

    what: str
    real: bool
    path: Path | None = None
    detail: str = ""

    def __str__(self) -> str:
        parts = [self.what, "real recordings" if self.real else "synthetic", self.detail]
        return ", ".join(part for part in parts if part)


class Recordings(Protocol):
    """What every source of events offers; labels and speakers are whole, events are read on demand."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """(n_samples,), in 0..len(label_names)-1."""

    @property
    def speakers(self) -> NDArray[np.int64] | None:
        """(n_samples,) who each sample is from, or None where that is not known."""

    @property
    def label_names(self) -> tuple[str, ...]:
        """What each class is called."""

    @property
    def speaker_names(self) -> tuple[str, ...]:
        """What speaker 0, 1, ... is called; empty where that is not known."""

    @property
    def n_units(self) -> int:
        """Channels."""

    @property
    def origin(self) -> Origin:
        """Where the events come from."""

    def read(self, samples: NDArray[np.int64]) -> Events:
        """Events of the samples with these indices, in this order.

        Raises
        ------
        DatasetError
            If an event is not what a file of this kind may hold; the message names file, sample and event.
        """


@dataclass(frozen=True)
class HeldRecordings:
    """Recordings that lie in memory."""

    events: Events
    labels: NDArray[np.int64]
    speakers: NDArray[np.int64] | None
    label_names: tuple[str, ...]
    n_units: int
    origin: Origin
    speaker_names: tuple[str, ...] = ()

    def read(self, samples: NDArray[np.int64]) -> Events:
        """See `Recordings.read`."""
        return select_events(self.events, samples)


def select_events(events: Events, samples: NDArray[np.int64]) -> Events:
    """Events of the samples with these indices, in this order."""
    counts = events.offsets[samples + 1] - events.offsets[samples]
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    chosen = np.arange(offsets[-1]) + np.repeat(events.offsets[samples] - offsets[:-1], counts)
    return Events(events.times[chosen], events.units[chosen], offsets)


def bin_recordings(
    recordings: Recordings, samples: NDArray[np.int64], dt_ms: float, n_steps: int, *, units_per_channel: int = 1
) -> tuple[SpikeTrains, Binning]:
    """Take recordings into steps of `dt_ms`: one spike where a channel has at least one event in a step.

    Parameters, errors: as `binned_parts`.
    """
    parts = []
    binning = Binning(0, 0)
    for trains, removed in binned_parts(recordings, samples, dt_ms, n_steps, units_per_channel=units_per_channel):
        parts.append(trains)
        binning += removed
    return concatenate(parts), binning


def binned_parts(
    recordings: Recordings, samples: NDArray[np.int64], dt_ms: float, n_steps: int, *, units_per_channel: int = 1
) -> Iterator[tuple[SpikeTrains, Binning]]:
    """The same part by part, `CHUNK` samples each, for sets that are not to be in memory whole; at least one part.

    Parameters
    ----------
    recordings : where the samples are read from
    samples : indices of the samples to take, in this order
    dt_ms : length of a step; an event at time s falls into step floor(1000 s / dt_ms)
    n_steps : length of a sample; what comes later is left out and counted
    units_per_channel : neighbouring channels that are taken together as one

    Raises
    ------
    InputError
        If `dt_ms`, `n_steps` or `units_per_channel` is not positive.
    """
    if not (dt_ms > 0 and n_steps > 0 and units_per_channel > 0):
        raise InputError(
            f"steps of {dt_ms} ms, samples of {n_steps} steps, {units_per_channel} units a channel: all must be > 0"
        )
    n_units = -(-recordings.n_units // units_per_channel)
    for start in range(0, max(1, samples.size), CHUNK):
        events = recordings.read(samples[start : start + CHUNK])
        # A time that is a multiple of dt on paper may lie one rounding below it in floating point. Whatever is late
        # becomes the first late step, as a time in seconds may be larger than an integer can hold.
        steps = np.minimum(np.floor(events.times * (1000.0 / dt_ms) + 1e-9), n_steps).astype(np.int64)
        units = events.units.astype(np.int64) // units_per_channel
        bounds = zip(events.offsets[:-1], events.offsets[1:], strict=True)
        yield bin_events([(steps[a:b], units[a:b]) for a, b in bounds], n_units, n_steps)
