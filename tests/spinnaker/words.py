"""Words of tables compared: every word equal, but for the order of synapses within a row, which numpy decides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

U32 = NDArray[np.uint32]
HEADER = 3


def matrices(table: U32) -> Iterator[tuple[int, int]]:
    """First word and row words of each matrix that a population table leads to, read with its own bit fields."""
    n_entries, n_addresses = int(table[0]), int(table[1])
    for address in table[2 + 5 * n_entries : 2 + 5 * n_entries + n_addresses].tolist():
        if address >> 8 != 0xFFFFFF:
            yield (address >> 8) * 4, (address & 0xFF) + 1


def sorted_rows(table: U32, blocks: U32) -> U32:
    """Rows with the synapses of each in rising order; header and padding stay where they are."""
    found = blocks.copy()
    starts = sorted(matrices(table))
    ends = [start for start, _ in starts[1:]] + [blocks.size]
    for (start, row_words), end in zip(starts, ends, strict=True):
        width = row_words + HEADER
        rows = found[start : start + (end - start) // width * width].reshape(-1, width)
        for row in rows:
            row[HEADER : HEADER + row[1]].sort()
    return found


def first_difference(ours: Mapping[str, U32], theirs: Mapping[str, U32]) -> str | None:
    """Name the first word that differs in the regions of one core; None if they agree."""
    for name, mine in ours.items():
        other = theirs[name] if name in theirs else np.zeros(0, dtype=np.uint32)
        if name == "SynBlocks" and mine.size == other.size:
            mine, other = sorted_rows(ours["PopTable"], mine), sorted_rows(theirs["PopTable"], other)
        if mine.size != other.size:
            return f"{name}: {mine.size} words, sPyNNaker has {other.size}"
        if (where := np.flatnonzero(mine != other)).size:
            word = int(where[0])
            return f"{name}, word {word}: {mine[word]:08x}, sPyNNaker has {other[word]:08x}"
    return None
