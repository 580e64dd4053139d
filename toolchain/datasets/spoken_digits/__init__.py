"""Synthetic spoken digits: zero to nine and null to neun by espeak-ng, through the cochlea; nobody recorded them.

20 classes and 700 channels in the layout of the Spiking Heidelberg Digits, which they are not. The voices of training,
validation and test are of different families. Made where they are not there yet, which takes some minutes.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from toolchain.datasets import Dataset, TaskSizes
from toolchain.datasets.cache import cache_folder
from toolchain.datasets.from_recordings import BinningOptions, Split, assemble, bin_split, channels
from toolchain.datasets.spike_file import SpikeFile
from toolchain.datasets.spoken_digits.make import GENERATOR, N_UNITS, file_of, find_maker, make_files
from toolchain.datasets.spoken_digits.voices import LABEL_NAMES
from toolchain.errors import DatasetError
from toolchain.spikes import Binning

Count = Annotated[int, Field(ge=1)]


class SpokenDigitsOptions(BinningOptions):
    """Folder of the files, samples of each part, and how events are binned.

    `path` left out is a folder of the cache, and the files are made there, from `seed`, if they are not there or too
    small. `seed` is of no account where `path` is given.
    """

    path: str | None = None
    train: Count = 4000
    valid: Count = 500
    test: Count = 1000
    seed: Annotated[int, Field(ge=0)] = 1
    steps: Count = 1400


def sizes(options: SpokenDigitsOptions) -> TaskSizes:
    """700 units of the cochlea, ten digits in two languages."""
    return TaskSizes(channels(N_UNITS, options), len(LABEL_NAMES))


def load(options: SpokenDigitsOptions) -> Dataset:
    """Read the files, or make them first; raises DatasetError, MissingDependencyError."""
    sizes = {"train": options.train, "valid": options.valid, "test": options.test}
    if options.path is None:
        folder = cache_folder("spoken_digits") / f"seed_{options.seed}"
        if any(_size(file_of(folder, part)) < size for part, size in sizes.items()):
            make_files(find_maker(options.seed), folder, sizes, jobs=os.cpu_count() or 1)
    else:
        folder = Path(options.path).expanduser()
    parts = {part: _part(folder, part, size, options) for part, size in sizes.items()}
    binning = sum((split.binning for split in parts.values()), Binning(0, 0))
    return assemble(parts["train"], parts["test"], parts["valid"], binning, options)


def _size(path: Path) -> int:
    return SpikeFile.open(path).labels.size if path.is_file() else 0


def _part(folder: Path, part: str, size: int, options: BinningOptions) -> Split:
    """The first samples of a file, as a smaller set would have them."""
    path = file_of(folder, part)
    if not path.is_file():
        raise DatasetError(f"file {path} is missing; make it with `delayline data make spoken_digits {path.parent}`")
    file = SpikeFile.open(path)
    if file.attributes.get("generator") != GENERATOR:
        raise DatasetError(f"file {path}: was not made by {GENERATOR!r}; read it with the task spikes")
    if file.labels.size < size:
        raise DatasetError(
            f"file {path}: holds {file.labels.size} samples, {size} are asked for; make more or ask for fewer"
        )
    # Said once for all parts, where they were made alike.
    origin = replace(file.origin, what=file.origin.what.removesuffix(f", {part}"))
    return bin_split(replace(file, origin=origin), options).part(np.arange(file.labels.size) < size)
