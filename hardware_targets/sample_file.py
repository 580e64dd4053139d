"""``samples.npz`` of an exported folder: input spikes of some samples in event form, and their labels.

times, units       (n_events,) int32      step and unit of each spike, sample after sample
offsets            (n_samples + 1,) int64  events of sample s are offsets[s]:offsets[s + 1]
n_units, n_steps   () int64                steps of every sample
labels             (n_samples,) int64      left out where there are none
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware_targets.array_files import UNREADABLE, read_entry
from toolchain.errors import BundleError, InputError
from toolchain.spikes import SpikeTrains

SAMPLES_NAME = "samples.npz"


def sample_arrays(spikes: SpikeTrains, labels: NDArray[Any] | None) -> dict[str, NDArray[Any]]:
    """Arrays of the file.

    Parameters
    ----------
    labels : (n_samples,) integers, or None

    Raises
    ------
    InputError
        If there is no sample or no step, or the labels are not one integer a sample.
    """
    if spikes.n_samples < 1 or spikes.n_steps < 1:
        raise InputError(
            f"spikes: {spikes.n_samples} samples of {spikes.n_steps} steps; a run needs at least one of each"
        )
    arrays: dict[str, NDArray[Any]] = {
        "times": spikes.times.astype(np.int32),
        "units": spikes.units.astype(np.int32),
        "offsets": spikes.offsets.astype(np.int64),
        "n_units": np.array(spikes.n_units, dtype=np.int64),
        "n_steps": np.array(spikes.n_steps, dtype=np.int64),
    }
    if labels is not None:
        labels = np.asarray(labels)
        if labels.shape != (spikes.n_samples,) or not np.issubdtype(labels.dtype, np.integer):
            raise InputError(
                f"labels: {labels.dtype} of shape {labels.shape}, must be integers of shape ({spikes.n_samples},)"
            )
        arrays["labels"] = labels.astype(np.int64)
    return arrays


def steps_of_samples(folder: Path, samples: int, vendor: str) -> int:
    """Number of steps of a sample of an exported folder, of which the first `samples` are to run.

    Parameters
    ----------
    vendor : who is to run them, for a message

    Raises
    ------
    BundleError
        If the file is missing or damaged.
    InputError
        If it holds fewer samples, or none is asked for.
    """
    path = folder / SAMPLES_NAME
    try:
        n_samples, n_steps = _read_extent(path)
    except UNREADABLE as error:
        raise BundleError(f"bundle {path}: not usable: {error}; deploy again") from error
    if not 1 <= samples <= n_samples:
        raise InputError(f"{vendor}: {samples} samples asked for, the folder has {n_samples}; ask for 1..{n_samples}")
    return n_steps


def _read_extent(path: Path) -> tuple[int, int]:
    """Number of samples and of steps; raises one of `UNREADABLE` where the file is damaged."""
    with zipfile.ZipFile(path) as archive:
        n_steps = read_entry(archive, archive.getinfo("n_steps.npy"))
        offsets = read_entry(archive, archive.getinfo("offsets.npy"))
    if n_steps.shape != () or n_steps.dtype.kind not in "iu" or n_steps < 1 or offsets.ndim != 1 or offsets.size < 2:
        raise ValueError("n_steps or offsets are not those of a set of samples")
    return offsets.size - 1, int(n_steps)
