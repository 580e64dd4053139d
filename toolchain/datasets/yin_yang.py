"""Yin-Yang (Kriener, Goeltz, Petrovici 2022): points of a disc, told apart by one spike on each of four channels.

The published splits, bit for bit: seeds 42, 41 and 40 for 5000 training, 1000 validation and 1000 test
points (facts/data.md section 1.3, with hashes). Encoding as in mlGeNN: no bias spike, channel c of a point with
values (x, y, 1-x, 1-y) spikes once, at an instant that grows linearly with the value.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from toolchain.datasets import Dataset, Samples, TaskSizes
from toolchain.recipe import Section
from toolchain.spikes import Binning, bin_events

R_BIG, R_SMALL = 0.5, 0.1
SPLITS = {"train": (42, 5000), "valid": (41, 1000), "test": (40, 1000)}


class YinYangOptions(Section):
    """Steps of the first and last possible input spike, and length of a sample."""

    early: Annotated[int, Field(ge=0)] = 0
    late: Annotated[int, Field(ge=1)] = 60
    steps: Annotated[int, Field(ge=2)] = 120


def points(seed: int, size: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Draw points as the authors' code does.

    Returns
    -------
    values : (size, 4) x, y, 1-x, 1-y
    labels : (size,) 0 yin, 1 yang, 2 dot
    """
    random = np.random.RandomState(seed)
    values = np.empty((size, 4))
    labels = np.empty(size, dtype=np.int64)
    for i in range(size):
        goal = random.randint(3)
        while True:
            x, y = random.rand(2) * 2.0 * R_BIG
            if np.sqrt((x - R_BIG) ** 2 + (y - R_BIG) ** 2) <= R_BIG and _class_of(x, y) == goal:
                break
        values[i] = x, y, 1 - x, 1 - y
        labels[i] = goal
    return values, labels


def _class_of(x: float, y: float) -> int:
    right = np.sqrt((x - 1.5 * R_BIG) ** 2 + (y - R_BIG) ** 2)
    left = np.sqrt((x - 0.5 * R_BIG) ** 2 + (y - R_BIG) ** 2)
    if right < R_SMALL or left < R_SMALL:
        return 2
    is_yin = right <= R_SMALL or R_SMALL < left <= 0.5 * R_BIG or (y > R_BIG and right > 0.5 * R_BIG)
    return int(is_yin)


def sizes(options: YinYangOptions) -> TaskSizes:
    """Four channels, three classes."""
    return TaskSizes(4, 3)


def load(options: YinYangOptions) -> Dataset:
    """Make the three splits."""
    splits: dict[str, Samples] = {}
    merged = late = 0
    for name, (seed, size) in SPLITS.items():
        values, labels = points(seed, size)
        times = np.rint(options.early + (options.late - options.early) * values).astype(np.int64)
        spikes, binning = bin_events([(row, np.arange(4)) for row in times], 4, options.steps)
        merged, late = merged + binning.merged, late + binning.late
        splits[name] = Samples(spikes, labels)
    provenance = "Yin-Yang, the published splits (seeds 42, 41, 40), synthetic by definition"
    return Dataset(splits["train"], splits["valid"], splits["test"], 3, provenance, Binning(merged, late))
