"""HDF5 files that we did not write: opened, looked into and closed without believing what they say.

A dataset is taken only where it lies: links to elsewhere, data in other files and virtual datasets are refused. Every
error of the HDF5 library becomes a `DatasetError` that names the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import DatasetError

LIBRARY_ERRORS = (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError, OverflowError, MemoryError)
"""What h5py raises, depending on which part of a file is damaged."""
MAGIC = b"\x89HDF\r\n\x1a\n"
MAX_ENTRIES = 20_000_000
"""Entries of a one-dimensional dataset that we are willing to hold: many times the largest set known."""
Attribute = str | int | float | bool


@contextmanager
def open_hdf5(path: Path) -> Iterator[Any]:
    """Open a file to read, as an `h5py.File`, and close it at the end.

    Raises
    ------
    DatasetError
        If there is no such file, or the HDF5 library fails in the body of the ``with``.
    """
    import h5py

    if not path.is_file():
        raise DatasetError(f"file {path}: does not exist; give the path of an HDF5 file")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except LIBRARY_ERRORS as error:
        raise DatasetError(
            f"file {path} ({_size(path)} bytes): cannot be read as HDF5, {_one_line(error)}; it is truncated, "
            "damaged or of another kind: fetch or write it again"
        ) from error


def dataset(file: Any, name: str) -> Any:
    """The `h5py.Dataset` at a path such as ``spikes/times``; raises DatasetError if this file itself holds none."""
    found = optional_dataset(file, name)
    if found is None:
        raise DatasetError(
            f"file {file.filename}: has no dataset {name!r}; a spike file holds spikes/times, spikes/units and labels"
        )
    return found


def optional_dataset(file: Any, name: str) -> Any | None:
    """As `dataset`, and None where there is nothing of this name."""
    import h5py

    place = file
    for part in name.split("/"):
        link = place.get(part, getlink=True) if isinstance(place, h5py.Group) else None
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise DatasetError(
                f"file {file.filename}: {name!r} is a {type(link).__name__} to {getattr(link, 'path', '?')!r}; copy "
                "the data into the file"
            )
        place = place[part]
    if not isinstance(place, h5py.Dataset):
        raise DatasetError(f"file {file.filename}: {name!r} is a {type(place).__name__}, must be a dataset")
    if place.is_virtual or place.external:
        raise DatasetError(f"file {file.filename}: the data of {name!r} lie in other files; copy them into this one")
    return place


def column(file: Any, name: str, kinds: str) -> NDArray[Any] | None:
    """A one-dimensional dataset in memory, or None where there is none of this name.

    Parameters
    ----------
    file : an open file
    name : path in it
    kinds : kinds of NumPy types that are accepted, such as "iu"

    Raises
    ------
    DatasetError
        If it has another shape or type, or more than `MAX_ENTRIES` entries.
    """
    found = optional_dataset(file, name)
    if found is None:
        return None
    if found.shape is None or len(found.shape) != 1 or found.dtype.kind not in kinds:
        raise DatasetError(
            f"file {file.filename}: {name!r} is {found.dtype} of shape {found.shape}, must be one row of numbers "
            f"or text of kind {'/'.join(kinds)}"
        )
    if found.shape[0] > MAX_ENTRIES:
        raise DatasetError(f"file {file.filename}: {name!r} has {found.shape[0]} entries; at most {MAX_ENTRIES}")
    read: NDArray[Any] = found[:]
    return read


def texts(file: Any, name: str) -> tuple[str, ...] | None:
    """A one-dimensional dataset of strings or bytes, or None where there is none of this name; raises DatasetError."""
    found = column(file, name, "SOU")
    if found is None:
        return None
    return tuple(str(plain(entry)) for entry in found.tolist())


def attributes(file: Any) -> dict[str, Attribute]:
    """Attributes of the file that are text or one number; others are left out."""
    found = {}
    for name in file.attrs:
        value = plain(file.attrs[name])
        if isinstance(value, (str, int, float, bool)):
            found[str(name)] = value
    return found


def plain(value: object) -> object:
    """Text and numbers as Python has them; anything else as it is."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray) and value.shape in ((), (1,)):
        value = value.ravel()[0]
        value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="replace")
    # What a file calls itself ends in a terminal sooner or later, and may not steer it.
    return (
        "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in value) if isinstance(value, str) else value
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
