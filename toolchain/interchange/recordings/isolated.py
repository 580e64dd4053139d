"""Recordings in HDF5, read in a process of its own.

    python -m toolchain.interchange.recordings.isolated PATH OUT.npz OPTIONS

writes what it found as OUT.npz, in the layout of `npz_file`, and OUT.json beside it: counts and the like, or an error.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.errors import InterchangeError
from toolchain.interchange.apart import answer, read_apart
from toolchain.interchange.recordings.found import Found
from toolchain.interchange.recordings.npz_file import read_npz
from toolchain.interchange.recordings.pixels import Pixels


def read_isolated(path: Path, pixels: Pixels, node: str | None) -> Found:
    """Read an HDF5 file, whatever it does to the library.

    Parameters
    ----------
    path : of the file
    pixels : how events of cameras become units
    node : of a NIR data file, the node whose spikes are read

    Raises
    ------
    InterchangeError
        As `hdf5_file.read_hdf5`, and if the library crashes or does not come back.
    """
    options = {"sensor": pixels.sensor, "polarity": pixels.polarity, "node": node}
    with tempfile.TemporaryDirectory(prefix="delayline-") as folder:
        out = Path(folder) / "found.npz"
        said = read_apart(__name__, path, out, options)
        found = read_npz(out)
        found.counts = {str(k): int(v) for k, v in said["counts"].items()}
        found.finest, found.unlabelled = float(said["finest"]), str(said["unlabelled"])
    return found


def _read(path: Path, options: dict[str, Any]) -> Found:
    from toolchain.interchange.recordings.hdf5_file import is_nir_data, read_hdf5

    if is_nir_data(path):
        from toolchain.interchange.recordings.nir_file import read_nir

        return read_nir(path, options["node"])
    if options["node"] is not None:
        raise InterchangeError(f"file {path}: is no NIR data file and has no node {options['node']}; leave --node out")
    sensor = options["sensor"]
    return read_hdf5(path, Pixels((sensor[0], sensor[1]) if sensor else None, options["polarity"]))


def _write(path: Path, out: Path, options: dict[str, Any]) -> dict[str, Any]:
    found = _read(path, options)
    arrays: dict[str, Any] = {"times": found.times, "units": found.units, "offsets": found.offsets}
    for name in ("time_unit", "dt_ms", "n_units"):
        if getattr(found, name) is not None:
            arrays[name] = np.array(getattr(found, name))
    if found.labels is not None:
        arrays["labels"] = np.array(found.labels)
    if found.label_names:
        arrays["label_names"] = np.array(found.label_names)
    np.savez(out, **arrays)
    return {"counts": found.counts, "finest": found.finest, "unlabelled": found.unlabelled}


if __name__ == "__main__":
    answer(_write, sys.argv[1:])
