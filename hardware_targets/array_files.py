"""Arrays of uncompressed npz files. Of what somebody else wrote nothing is trusted, and nothing is executed."""

from __future__ import annotations

import math
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

UNREADABLE = (OSError, KeyError, ValueError, EOFError, RuntimeError, struct.error, zipfile.BadZipFile)
"""What reading a damaged file may raise."""


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays as this module reads them."""
    # An open file, because numpy appends .npz to some names; and not compressed, so sizes can be checked.
    with path.open("wb") as file:
        np.savez(file, **arrays)


def checked(array: NDArray[Any], dtype: type, shape: tuple[int, ...]) -> NDArray[Any]:
    """The array, if it is of this type and shape; ValueError otherwise."""
    if array.dtype != dtype or array.shape != shape:
        raise ValueError(f"array is {array.dtype}{array.shape}, must be {np.dtype(dtype)}{shape}")
    return array


def read_traces(
    path: Path, types: Mapping[str, Any], n_samples: int, n_steps: int
) -> dict[str, dict[str, NDArray[Any]]]:
    """Read entries ``<kind>/<population>`` and check types and shapes; raises one of `UNREADABLE`.

    Parameters
    ----------
    types : kind -> its type of number; every kind is in the result, with the populations that there are
    """
    kinds: dict[str, dict[str, NDArray[Any]]] = {kind: {} for kind in types}
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            kind, _, name = entry.filename.removesuffix(".npy").partition("/")
            if kind == "prediction" and not name:
                continue  # the same is worked out from the traces
            if kind not in kinds or not name:
                raise ValueError(f"unexpected entry {entry.filename!r}")
            trace = read_entry(archive, entry)
            if trace.dtype != np.dtype(types[kind]) or trace.ndim != 3 or trace.shape[:2] != (n_samples, n_steps):
                raise ValueError(
                    f"entry {entry.filename!r} is {trace.dtype} of shape {trace.shape}, "
                    f"expected {np.dtype(types[kind])} of ({n_samples}, {n_steps}, neurons)"
                )
            kinds[kind][name] = trace
    return kinds


def read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> NDArray[Any]:
    """One array of an uncompressed archive; allocates no more than the file really holds."""
    if entry.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"entry {entry.filename!r} is compressed")
    npy: Any = np.lib.format  # without types before numpy 2
    with archive.open(entry) as file:
        version = npy.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"entry {entry.filename!r} has format {version}")
        shape, fortran, dtype = npy.read_array_header_1_0(file)
        if dtype.hasobject or fortran:
            raise ValueError(f"entry {entry.filename!r} is {dtype}, must be plain numbers row by row")
        size = math.prod(shape) * dtype.itemsize
        data = file.read(size + 1) if size <= entry.file_size else b""
        if len(data) != size:
            raise ValueError(f"entry {entry.filename!r} does not hold what its shape {shape} says")
    return np.frombuffer(data, dtype=dtype).reshape(shape)
