"""A split of samples into training, test and validation: drawn from a seed, kept in a file, taken from there again.

Where a dataset comes without a split, two people who draw one each measure different things. The file says which
samples are where, and of which data (their SHA-256); it can be published with a result.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import DatasetError
from toolchain.network_builder import generator
from toolchain.storage import write_json

Split = dict[str, NDArray[np.int64]]


def draw_split(labels: NDArray[np.int64], fractions: dict[str, float], seed: int) -> Split:
    """Samples of each part, rising; every class is divided by itself.

    Parameters
    ----------
    labels : (n_samples,)
    fractions : of each part but ``train``, which gets the rest; a part gets the nearest whole number of each class
    seed : the same seed gives the same split
    """
    parts: dict[str, list[NDArray[np.int64]]] = {name: [] for name in ("train", *fractions)}
    for label in np.unique(labels):
        left = generator(seed, "split", int(label)).permutation(np.flatnonzero(labels == label))
        size = left.size
        for name, fraction in fractions.items():
            n = round(fraction * size)
            parts[name].append(left[:n])
            left = left[n:]
        parts["train"].append(left)
    none = np.zeros(0, dtype=np.int64)
    return {name: np.sort(np.concatenate([none, *p])) for name, p in parts.items()}


def stored_split(
    file: Path, labels: NDArray[np.int64], fractions: dict[str, float], seed: int, *, data: str, sha256: str
) -> Split:
    """The split that the file holds; if there is none, it is drawn and written.

    Parameters
    ----------
    file : JSON
    labels, fractions, seed : see `draw_split`
    data, sha256 : name and digest of the data, which the file records and is checked for

    Raises
    ------
    DatasetError
        If the file is of other data, or does not hold each sample once.
    InputError
        If it cannot be written.
    """
    if not file.is_file():
        split = draw_split(labels, fractions, seed)
        parts = {name: samples.tolist() for name, samples in split.items()}
        write_json(file, {"data": data, "sha256": sha256, "seed": seed, "samples": parts})
        return split
    again = "delete it and it is drawn again"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        stored = {name: np.array(content["samples"][name], dtype=np.int64) for name in ("train", *fractions)}
        known = content["sha256"]
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise DatasetError(f"split {file}: cannot be read ({error!r}); {again}") from error
    if known != sha256:
        raise DatasetError(f"split {file}: it is of other data, {str(content.get('data'))[:80]!r}; {again}")
    everything = np.sort(np.concatenate(list(stored.values())))
    if not np.array_equal(everything, np.arange(labels.size)):
        raise DatasetError(f"split {file}: does not hold each of {labels.size} samples once; {again}")
    return stored
