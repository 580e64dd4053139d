"""Texts of an HDF5 file, looked at before the HDF5 library does.

Texts of any length lie in global heaps: collections of objects that each say how long they are. The library goes from
one to the next to the end of a collection, and stands still where one claims to be 0 bytes long: a single damaged byte
is enough.

Source: HDF5 File Format Specification 3.0, sections II.A and III.E; hang seen with HDF5 in h5py 3.16.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

SIGNATURE = b"\x89HDF\r\n\x1a\n"
COLLECTION = b"GCOL\x01"
HEADER = 16
"""Bytes before the objects of a collection, and before the data of an object."""


def damaged_heap(path: Path) -> str | None:
    """What is wrong with the heaps of a file, or None; files that are no HDF5 are left to others.

    Every place that looks like a collection is taken for one, so that no collection is overlooked.
    """
    if path.stat().st_size < 2 * HEADER:
        return None
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        if whole[: len(SIGNATURE)] != SIGNATURE:
            return "does not begin as an HDF5 file" if SIGNATURE in whole[: 2**20] else None
        # Superblocks 0 and 1 have the bytes of a length at 14, later ones at 10.
        lengths = whole[14 if whole[8] < 2 else 10]
        if lengths != 8:
            return f"has lengths of {lengths} bytes, not of 8"
        place = whole.find(COLLECTION)
        while place >= 0:
            wrong = _walk(whole, place)
            if wrong:
                return f"has a damaged heap at byte {place}: {wrong}"
            place = whole.find(COLLECTION, place + 1)
    return None


def _walk(whole: mmap.mmap, start: int) -> str | None:
    if start + HEADER > len(whole):
        return "it is cut off"
    (size,) = struct.unpack_from("<Q", whole, start + 8)
    end = start + size
    if size < HEADER or end > len(whole):
        return f"its length is {size}"
    place = start + HEADER
    # The library takes what is too small for another object for free space.
    while place + HEADER <= end:
        (index,) = struct.unpack_from("<H", whole, place)
        (length,) = struct.unpack_from("<Q", whole, place + 8)
        taken = HEADER + -(-length // 8) * 8 if index else length
        if not HEADER <= taken <= end - place:
            return f"an object in it is {length} bytes long"
        place += taken
    return None
