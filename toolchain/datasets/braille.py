"""Braille letters read by a fingertip: the recordings of Mueller-Cleve and others 2022.

27 classes, 24 channels (12 taxels, events of rise and of fall). The data come without a split; one is drawn from
`seed`, 70 % of each letter for training, 20 % for test and 10 % for validation as in the published delay learning, and
kept in the cache folder.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from toolchain.datasets import Dataset, TaskSizes
from toolchain.datasets.archives import data_folder
from toolchain.datasets.braille_file import LETTERS, N_UNITS, read_braille
from toolchain.datasets.cache import cache_folder
from toolchain.datasets.from_recordings import BinningOptions, assemble, bin_split, channels
from toolchain.datasets.stored_split import stored_split

FRACTIONS = {"test": 0.2, "valid": 0.1}


class BrailleOptions(BinningOptions):
    """Where the published file is, which of its thresholds, how events are binned, and the split's seed."""

    path: str | None = None
    threshold: Literal[1, 2, 5, 10] = 2
    steps: Annotated[int, Field(ge=1)] = 1300
    seed: Annotated[int, Field(ge=0)] = 0


def sizes(options: BrailleOptions) -> TaskSizes:
    """Events of rise and of fall for each taxel, 26 letters and the space."""
    return TaskSizes(channels(N_UNITS, options), len(LETTERS))


def load(options: BrailleOptions) -> Dataset:
    """Read the file and split it; raises DatasetError."""
    path = data_folder(options.path, "braille", "reading_braille_data.zip or its pickles")
    file = read_braille(path, options.threshold)
    recordings = file.recordings
    kept = cache_folder("braille") / f"split_seed_{options.seed}_{file.sha256[:16]}.json"
    split = stored_split(
        kept, recordings.labels, FRACTIONS, options.seed, data=str(recordings.origin), sha256=file.sha256
    )
    everything = bin_split(recordings, options)
    parts = {name: everything.part(np.isin(np.arange(recordings.labels.size), part)) for name, part in split.items()}
    note = f"70/20/10 split of seed {options.seed}"
    return assemble(parts["train"], parts["test"], parts["valid"], everything.binning, options, note=note)
