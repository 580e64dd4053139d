"""NumPy's .npy arrays that somebody else wrote: the header is checked before memory is taken, no object is loaded.

    0x93 NUMPY, version 1.0 or 2.0, length of header, {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4)}, data

Layout: NumPy's `numpy.lib.format`. Only plain numbers, truth values and texts are taken.
"""

from __future__ import annotations

import ast
import math
import re
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import InterchangeError

MAGIC = b"\x93NUMPY"
LONGEST_HEADER = 1024
MAX_ENTRIES = 2**31 - 1
DESCR = re.compile(r"[<>|=][biufSU]\d{1,4}")
NAMES = {"b": "truth values", "i": "integers", "u": "integers", "f": "floating-point numbers", "S": "text", "U": "text"}


@dataclass(frozen=True)
class NpyHeader:
    """What an array says of itself; `start` is the length of everything before its data, bytes."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    start: int

    @property
    def entries(self) -> int:
        """How many numbers."""
        return math.prod(self.shape)

    @property
    def n_bytes(self) -> int:
        """Length of the data."""
        return self.entries * self.dtype.itemsize


def read_header(file: IO[bytes], size: int, what: str, kinds: str, max_entries: int = MAX_ENTRIES) -> NpyHeader:
    """Read the header of an array and hold it against the length of the file.

    Parameters
    ----------
    file : at its beginning
    size : length of the whole array, header included, bytes
    what : names it in errors, as "file a.npy"
    kinds : kinds of NumPy types that are accepted, such as "iuf"
    max_entries : how many numbers are accepted

    Raises
    ------
    InterchangeError
        If it is no such array, or does not have as many bytes as it says.
    """
    first = file.read(10)
    if first[:6] != MAGIC:
        raise InterchangeError(f"{what}: is no NumPy array, it begins with {first[:6]!r}; save it with numpy.save")
    version = tuple(first[6:8])
    if version not in ((1, 0), (2, 0)):
        raise InterchangeError(
            f"{what}: is of NumPy's format version {version}; 1.0 and 2.0 are read: plain numbers only"
        )
    length_bytes = first[8:10] + (file.read(2) if version == (2, 0) else b"")
    start, length = 8 + len(length_bytes), int.from_bytes(length_bytes, "little")
    if length > LONGEST_HEADER:
        raise InterchangeError(f"{what}: says that its header has {length} bytes; at most {LONGEST_HEADER} are read")
    text = file.read(length)
    if len(text) != length:
        raise InterchangeError(f"{what}: ends within its header after {size} bytes; it is truncated: save it again")
    header = _header(text, start + length, what, kinds)
    if header.entries > max_entries:
        raise InterchangeError(f"{what}: says that it holds {header.entries} numbers; at most {max_entries} are read")
    if header.n_bytes != size - header.start:
        raise InterchangeError(
            f"{what}: says that it is {header.dtype} of shape {header.shape}, {header.n_bytes} bytes, but has "
            f"{size - header.start}; it is truncated or damaged: save it again"
        )
    return header


def read_array(file: IO[bytes], size: int, what: str, kinds: str, max_entries: int = MAX_ENTRIES) -> NDArray[Any]:
    """Read a whole array into memory; parameters and errors as `read_header`."""
    header = read_header(file, size, what, kinds, max_entries)
    data = file.read(header.n_bytes)
    if len(data) != header.n_bytes:
        raise InterchangeError(f"{what}: ends after {header.start + len(data)} of {size} bytes; save it again")
    array = np.frombuffer(data, dtype=header.dtype, count=header.entries)
    return array.reshape(header.shape, order="F" if header.fortran else "C")


def _header(text: bytes, start: int, what: str, kinds: str) -> NpyHeader:
    """What the text of a header says, every entry checked."""
    found: object = None
    # Python's parser may die of deep nesting, so that is not handed to it.
    if sum(text.count(c) for c in (b"(", b"[", b"{")) <= 4 and text.isascii():
        try:
            found = ast.literal_eval(text.decode("ascii").strip())
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            found = None
    if not isinstance(found, dict) or set(found) != {"descr", "fortran_order", "shape"}:
        raise InterchangeError(f"{what}: its header {text[:60]!r} is not one of a plain NumPy array; save it again")
    descr, fortran, shape = found["descr"], found["fortran_order"], found["shape"]
    sizes = shape if isinstance(shape, tuple) else (None,)
    if not isinstance(fortran, bool) or any(type(n) is not int or n < 0 for n in sizes) or len(sizes) > 8:
        raise InterchangeError(
            f"{what}: its shape {shape!r} or order {fortran!r} is none; it is damaged: save it again"
        )
    if not isinstance(descr, str) or not DESCR.fullmatch(descr) or descr[1] not in kinds:
        wanted = ", ".join(sorted({NAMES[k] for k in kinds}))
        raise InterchangeError(
            f"{what}: holds {str(descr)[:40]!r}; only {wanted} are read, and nothing that has to be unpickled"
        )
    try:
        dtype = np.dtype(descr)
    except TypeError as error:
        raise InterchangeError(f"{what}: holds {descr!r}, which is no type of NumPy; save it again") from error
    return NpyHeader(sizes, dtype, fortran, start)
