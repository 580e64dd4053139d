"""Compare the words that sPyNNaker wrote with ours, core by core, and name the first difference in words.

Synapses within a row count as a set: in which order they come is decided by a sort of numpy's. Everything else must be
equal word for word, paddings included.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware_targets.spinnaker.describe import HEADER_WORDS, NO_ROWS, synapse_text
from hardware_targets.spinnaker.limits import WORD_BYTES
from hardware_targets.spinnaker.tables import POP_TABLE, SYN_BLOCKS, TableCore, Tables
from toolchain.deployment.abilities import TableComparison

U32 = NDArray[np.uint32]
DATABASE, PLACEMENTS = "ds.sqlite3", "placements.json"
Written = Mapping[tuple[str, int, int], Mapping[str, U32]]
"""(vertex, first neuron, last neuron) -> words of the regions of its core."""


@dataclass(frozen=True)
class _Matrix:
    """Where a matrix lies in the rows of a core: first word, words of a row, number of rows, vertex of the sources."""

    start: int
    width: int
    n_rows: int
    vertex: str


def read_written(folder: Path) -> Written:
    """What sPyNNaker wrote, from the folder that ``network.py --virtual`` leaves.

    Raises
    ------
    OSError, KeyError, TypeError, ValueError, sqlite3.Error
        If a file is missing or damaged.
    """
    placements = json.loads((folder / PLACEMENTS).read_text(encoding="utf-8"))
    regions: dict[tuple[int, int, int], dict[str, U32]] = {}
    connection = sqlite3.connect(f"{(folder / DATABASE).resolve().as_uri()}?mode=ro", uri=True)
    try:
        query = "SELECT x, y, p, region_label, content FROM region WHERE content IS NOT NULL"
        for x, y, p, label, content in connection.execute(query):
            if len(content) % WORD_BYTES == 0:
                regions.setdefault((x, y, p), {})[label] = np.frombuffer(content, dtype="<u4").astype(np.uint32)
    finally:
        connection.close()
    return {(str(c["vertex"]), int(c["first"]), int(c["last"])): regions.get(tuple(c["place"]), {}) for c in placements}


def compare_words(written: Written, tables: Tables) -> TableComparison:
    """Compare all regions of all of our cores; a core or region that is missing is a difference."""
    words, synapses = 0, 0
    difference: str | None = None
    for core in tables.cores:
        placed = core.core
        where = f"core {placed.index} of {placed.vertex} (neurons {placed.first}..{placed.last})"
        theirs = written.get((placed.vertex, placed.first, placed.last))
        if theirs is None:
            difference = difference or f"{where}: sPyNNaker has no such core"
            continue
        matrices = list(_matrices(core, tables)) if SYN_BLOCKS in core.regions else []
        for name, ours in core.regions.items():
            words += ours.size
            found = _region_difference(name, core, ours, theirs.get(name), matrices)
            if found and not difference:
                difference = f"{where}, {found}{_known_defect(core, tables)}"
        synapses += sum(int(_rows(core.regions[SYN_BLOCKS], m)[:, 1].sum()) for m in matrices)
    known = {(c.core.vertex, c.core.first, c.core.last) for c in tables.cores}
    for vertex, first, last in written.keys() - known:
        difference = difference or f"sPyNNaker has neurons {first}..{last} of {vertex} on a core, the plan has not"
    return TableComparison(difference is None, words, synapses, difference)


def _known_defect(core: TableCore, tables: Tables) -> str:
    """What explains a difference on a core whose synapses sPyNNaker itself misplaces."""
    wrong = [name for name in tables.misplaced if name.endswith(f"->{core.core.vertex}")]
    if not wrong:
        return ""
    return (
        f"; a known defect of sPyNNaker 7.4.1, which misplaces synapses of {', '.join(wrong)} in delay extensions of "
        "two stages or more: leave the neurons a core to the planner"
    )


def _region_difference(
    name: str, core: TableCore, ours: U32, theirs: U32 | None, matrices: list[_Matrix]
) -> str | None:
    if theirs is None:
        # A region without a word, where no synapse is left, is none that it writes.
        return f"{name}: sPyNNaker has no such region" if ours.size else None
    if theirs.size != ours.size:
        return f"{name}: sPyNNaker has {theirs.size} words, ours are {ours.size}"
    if name == SYN_BLOCKS:
        ours, theirs = _sorted(ours, matrices), _sorted(theirs, matrices)
    differing = np.flatnonzero(ours != theirs)
    if not differing.size:
        return None
    word = int(differing[0])
    said = f"{name}, word {word}: sPyNNaker has {theirs[word]:08x}, ours is {ours[word]:08x}"
    place = next((m for m in matrices if m.start <= word < m.start + m.n_rows * m.width), None)
    if name != SYN_BLOCKS or place is None:
        return said
    row, column = divmod(word - place.start, place.width)
    if column < HEADER_WORDS:
        meaning = f"{theirs[word]} and {ours[word]} synapses" if column == 1 else "its header"
        return f"{said} (row {row} of {place.vertex}: {meaning})"
    held = [Counter(_rows(words, place)[row, HEADER_WORDS:].tolist()) for words in (theirs, ours)]
    only_theirs, only_ours = (min((a - b).elements()) for a, b in (held, held[::-1]))
    return (
        f"{name}, row {row} of {place.vertex}: sPyNNaker has {_synapse(only_theirs, core)}, "
        f"ours is {_synapse(only_ours, core)}"
    )


def _synapse(word: int, core: TableCore) -> str:
    return f"{word:08x} ({synapse_text(word, core)})" if word else "no synapse"


def _matrices(core: TableCore, tables: Tables) -> Iterator[_Matrix]:
    """Matrices of a core, from its own population table."""
    table = core.regions[POP_TABLE].tolist()
    by_key = {keys.key: name for name, keys in tables.keys.items()}
    addresses = table[2 + 5 * table[0] :]
    starts = sorted({(a >> 8) * 16 // WORD_BYTES for a in addresses if a >> 8 != NO_ROWS})
    # A core onto which no synapse is left has no matrix, and so no start.
    ends = dict(zip(starts, [*starts, core.regions[SYN_BLOCKS].size][1:], strict=True))
    for entry in range(table[0]):
        key, _, third, _, _ = table[2 + 5 * entry : 7 + 5 * entry]
        for address in addresses[third & 0x1FFF : (third & 0x1FFF) + (third >> 16)]:
            if address >> 8 != NO_ROWS:
                start, width = (address >> 8) * 16 // WORD_BYTES, (address & 0xFF) + 1 + HEADER_WORDS
                # Up to three words between two matrices belong to none.
                yield _Matrix(start, width, (ends[start] - start) // width, by_key[key])


def _rows(blocks: U32, matrix: _Matrix) -> NDArray[Any]:
    """Rows of a matrix, (n_rows, width); a view."""
    return blocks[matrix.start : matrix.start + matrix.n_rows * matrix.width].reshape(matrix.n_rows, matrix.width)


def _sorted(blocks: U32, matrices: list[_Matrix]) -> U32:
    """Rows with the synapses of each in rising order."""
    found = blocks.copy()
    for matrix in matrices:
        for row in _rows(found, matrix):
            held = min(int(row[1]), matrix.width - HEADER_WORDS)
            row[HEADER_WORDS : HEADER_WORDS + held].sort()
    return found
