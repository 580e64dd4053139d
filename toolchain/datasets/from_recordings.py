"""From recordings to the splits of a task: options that all tasks of events in seconds share, and speakers left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from toolchain.datasets import Dataset, Samples
from toolchain.datasets.binned_cache import binned_once
from toolchain.datasets.making import report
from toolchain.datasets.recordings import Origin, Recordings, bin_recordings, binned_parts
from toolchain.datasets.spike_file import SpikeFile
from toolchain.errors import DatasetError
from toolchain.recipe import Section, Speakers
from toolchain.spikes import Binning, SpikeTrains

CACHED_FROM = 32 * 2**20
"""Bytes of a spike file from which on its binned spikes are kept in the cache; a smaller one is binned in a second."""


class BinningOptions(Section):
    """Length of a step and of a sample, and how many neighbouring units become one channel."""

    dt_ms: Annotated[float, Field(gt=0)] = 1.0
    steps: Annotated[int, Field(ge=1)] = 1000
    units_per_channel: Annotated[int, Field(ge=1)] = 1


class HeldOutSpeakers(Section):
    """A test set of whole speakers, by name or number."""

    speaker: Speakers


@dataclass(frozen=True)
class Split:
    """Recordings in steps: one split of a task."""

    samples: Samples
    binning: Binning
    origin: Origin
    label_names: tuple[str, ...]
    speaker_names: tuple[str, ...]

    def part(self, which: NDArray[np.bool_]) -> Split:
        """The samples of which it is true; what binning removed stays that of all."""
        speakers = None if self.samples.speakers is None else self.samples.speakers[which]
        spikes = self.samples.spikes.select(np.flatnonzero(which))
        return replace(self, samples=Samples(spikes, self.samples.labels[which], speakers))


def channels(n_units: int, options: BinningOptions) -> int:
    """Channels that so many units become."""
    return -(-n_units // options.units_per_channel)


def bin_split(recordings: Recordings, options: BinningOptions) -> Split:
    """All of the recordings in steps; those of a large spike file are kept in the cache."""
    everything = np.arange(recordings.labels.size)
    settings = (recordings, everything, options.dt_ms, options.steps)
    if isinstance(recordings, SpikeFile) and recordings.path.stat().st_size >= CACHED_FROM:
        named = {name: getattr(options, name) for name in BinningOptions.model_fields}
        named["n_units"] = recordings.n_units
        spikes, binning = binned_once(
            recordings.path,
            named,
            lambda: _reported(recordings, binned_parts(*settings, units_per_channel=options.units_per_channel)),
        )
    else:
        spikes, binning = bin_recordings(*settings, units_per_channel=options.units_per_channel)
    samples = Samples(spikes, recordings.labels, recordings.speakers)
    return Split(samples, binning, recordings.origin, recordings.label_names, recordings.speaker_names)


def _reported(
    recordings: SpikeFile, parts: Iterable[tuple[SpikeTrains, Binning]]
) -> Iterator[tuple[SpikeTrains, Binning]]:
    """The parts, and word of each to who listens: a large set takes minutes the first time."""
    done = 0
    for trains, binning in parts:
        yield trains, binning
        done += trains.n_samples
        report(f"steps of {recordings.path.name}", done, recordings.labels.size)


def assemble(
    train: Split, test: Split, valid: Split | None, binning: Binning, options: BinningOptions, *, note: str = ""
) -> Dataset:
    """The dataset of three splits; without `valid` its validation set is empty, and the recipe has to take one.

    Parameters
    ----------
    binning : what binning removed, over all splits
    note : how the splits were made, if there is more to say than whose they are

    Raises
    ------
    DatasetError
        If the splits differ in classes or channels.
    """
    given = {"train": train, "test": test} | ({"valid": valid} if valid else {})
    for name, split in given.items():
        ours, theirs = train.samples.spikes.n_units, split.samples.spikes.n_units
        if split.label_names != train.label_names or theirs != ours:
            raise DatasetError(
                f"{split.origin.path}: the {name} set has {len(split.label_names)} classes and {theirs} channels, the "
                f"training set {len(train.label_names)} and {ours}, or they are called otherwise; give files of one set"
            )
    held = valid.samples if valid else Samples(train.samples.spikes.select([]), train.samples.labels[:0])
    return Dataset(
        train.samples,
        held,
        test.samples,
        len(train.label_names),
        "; ".join(part for part in (provenance({name: s.origin for name, s in given.items()}), note) if part),
        binning,
        dt_ms=options.dt_ms,
        speaker_names=train.speaker_names,
    )


def provenance(origins: Mapping[str, Origin]) -> str:
    """One line: where each split is from, said once where they are from one place."""
    by_text: dict[str, list[str]] = {}
    for name, origin in origins.items():
        by_text.setdefault(str(origin), []).append(name)
    if len(by_text) == 1:
        return next(iter(by_text))
    return "; ".join(f"{' and '.join(names)}: {text}" for text, names in by_text.items())
