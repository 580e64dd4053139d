"""Arrays of an uncompressed npz file that somebody else wrote: nothing in it is trusted, nothing is executed."""

from __future__ import annotations

import math
import struct
import zipfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

UNREADABLE = (OSError, KeyError, ValueError, EOFError, RuntimeError, struct.error, zipfile.BadZipFile)
"""What reading a damaged file may raise."""


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
