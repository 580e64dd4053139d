"""Handwritten digits from scikit-learn: real images, latency coded.

1797 images of 8 x 8 pixels with values 0..16 (UCI Optical Recognition of Handwritten Digits, the test
part, as scikit-learn ships it). A pixel spikes once, the brighter the earlier; a pixel of value 0 stays
silent. The split is drawn once from a fixed seed, 1197 / 300 / 300.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from toolchain.datasets import Dataset, Samples, TaskSizes
from toolchain.recipe import Section
from toolchain.spikes import Binning, bin_events

SPLIT_SEED = 1797
SIZES = {"train": 1197, "valid": 300, "test": 300}


class DigitsOptions(Section):
    """Step of the faintest possible spike, and length of a sample."""

    late: Annotated[int, Field(ge=1)] = 30
    steps: Annotated[int, Field(ge=2)] = 60


def sizes(options: DigitsOptions) -> TaskSizes:
    """A channel for each pixel, a class for each digit."""
    return TaskSizes(64, 10)


def read_images() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Images (1797, 64) of 0..16 and labels (1797,), as `sklearn.datasets.load_digits` gives them.

    Read from its file: the import of scikit-learn takes longer than all else that a process of ours does to start.
    """
    package = find_spec("sklearn")
    folder = Path(package.origin).parent if package and package.origin else Path()
    file = folder / "datasets" / "data" / "digits.csv.gz"
    if file.is_file():
        rows = np.loadtxt(file, delimiter=",", dtype=np.int64)
        return rows[:, :-1], rows[:, -1]
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return bunch.data.astype(np.int64), bunch.target.astype(np.int64)


def load(options: DigitsOptions) -> Dataset:
    """Read the images that scikit-learn carries and split them."""
    images, labels = read_images()
    order = np.random.RandomState(SPLIT_SEED).permutation(labels.size)
    splits: dict[str, Samples] = {}
    merged = late = start = 0
    for name, size in SIZES.items():
        chosen = order[start : start + size]
        start += size
        events = []
        for image in images[chosen]:
            lit = np.flatnonzero(image)
            # Value 16 spikes at step 0, value 1 at step `late`.
            events.append((np.rint((16 - image[lit]) / 15 * options.late).astype(np.int64), lit))
        spikes, binning = bin_events(events, images.shape[1], options.steps)
        merged, late = merged + binning.merged, late + binning.late
        splits[name] = Samples(spikes, labels[chosen])
    provenance = "handwritten digits of scikit-learn (UCI), real images, latency coded"
    return Dataset(splits["train"], splits["valid"], splits["test"], 10, provenance, Binning(merged, late))
