"""Small files in the published layouts, made with h5py and NumPy alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

WORDS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    *("null", "eins", "zwei", "drei", "vier", "fuenf", "sechs", "sieben", "acht", "neun"),
)
Row = tuple[NDArray[Any], NDArray[np.uint16]]


def events(random: np.random.Generator, n: int, longest_s: float = 0.9) -> Row:
    """n events on 700 units, sorted, in half precision."""
    return np.sort(random.uniform(0, longest_s, n)).astype(np.float16), random.integers(0, 700, n).astype(np.uint16)


def shd_file(
    path: Path,
    labels: Sequence[int],
    speakers: Sequence[int],
    *,
    seed: int = 0,
    keys: Sequence[str] = WORDS,
    rows: Sequence[Row] | None = None,
    **attributes: Any,
) -> Path:
    """A file laid out like shd_train.h5, with 30 events a sample unless `rows` are given."""
    random = np.random.default_rng(seed)
    rows = rows or [events(random, 30) for _ in labels]
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, dtype, column in (("spikes/times", np.float16, 0), ("spikes/units", np.uint16, 1)):
            made = file.create_dataset(name, (len(rows),), dtype=h5py.vlen_dtype(np.dtype(dtype)))
            for i, row in enumerate(rows):
                made[i] = row[column]
        file["labels"] = np.array(labels, dtype=np.uint16)
        file["extra/keys"] = np.array([k.encode() for k in keys])
        file["extra/speaker"] = np.array(speakers, dtype=np.uint16)
        file["extra/meta_info/gender"] = np.array([b"female"] * 12)
        file.attrs.update(attributes)
    return path


def shd_folder(folder: Path) -> Path:
    """Training and test file of twenty classes: speakers 0 and 1 train, 0, 4 and 5 are tested."""
    shd_file(folder / "shd_train.h5", [*range(20)] * 4, [0, 1] * 40)
    shd_file(folder / "shd_test.h5", [*range(20)] * 3, [0] * 20 + [4] * 20 + [5] * 20, seed=1)
    return folder


def npz_arrays(seed: int, recordings: int = 10, speaker: int = 0) -> dict[str, NDArray[Any]]:
    """One speaker of the Free Spoken Digit Dataset: 10 digits, so many recordings of each."""
    random = np.random.default_rng(seed)
    n = 10 * recordings
    counts = random.integers(5, 30, n)
    times = [np.sort(random.integers(0, 9000, c)) for c in counts]
    return {
        "times": np.concatenate(times).astype(np.uint16),
        "units": random.integers(0, 700, int(counts.sum())).astype(np.uint16),
        "offsets": np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
        "labels": np.tile(np.arange(10), recordings).astype(np.uint8),
        "recording": np.repeat(np.arange(recordings), 10).astype(np.uint8),
        "speaker": np.full(n, speaker, dtype=np.uint8),
        "time_unit_s": np.float64(1e-4),
    }


def fsdd_folder(folder: Path, speakers: Sequence[str] = ("ann", "bob")) -> Path:
    """A folder of spikes with these speakers."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(speakers):
        np.savez(folder / f"{name}.npz", **npz_arrays(number, speaker=number))
    return folder
