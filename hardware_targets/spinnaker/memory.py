"""Bytes that the tables of a core take, in SDRAM and in its own memory.

SDRAM: synaptic rows, population table and filters, as sPyNNaker lays them out. DTCM: the ring buffers, the state of
the neurons, the population table and filters that the core copies, two buffers for rows, and the queue of spikes. What
the binary's own variables and the stack take is not public and not counted, nor are parameters and recordings in
SDRAM.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hardware_targets.spinnaker.layout import Layout
from hardware_targets.spinnaker.limits import WORD_BYTES
from hardware_targets.spinnaker.slots import TYPE_BITS, bits_for, counters_bytes, index_bits

TABLE_WORDS, ENTRY_WORDS = 2, 5
"""Words before the entries of a population table, and of each entry; an address is one word."""
FILTER_WORDS, FILTER_ENTRY_WORDS = 2, 4
BITS_IN_WORD = 32
DELAY_WORDS = 9
"""Words of `delay_params`."""
ROW_BUFFERS = 2
"""Rows that a core holds at once: one is processed while the next is fetched."""


@dataclass(frozen=True)
class CoreBytes:
    """Bytes of one core; `ring` is the part of `dtcm` that its ring buffers take."""

    sdram: int
    dtcm: int
    ring: int


@dataclass(frozen=True)
class MatrixShape:
    """Rows of one synaptic matrix of a core: `stages` is 0 for what the core delays itself."""

    source: str
    target: str
    type: int
    stages: int
    n_rows: int
    row_words: int


def matrix_shapes(layout: Layout, name: str) -> Iterator[MatrixShape]:
    """Matrices of each core of a population, in the order of its table; `row_words` is 0 for one without synapses.

    Sources go by their first projection onto the population, as sPyNNaker keeps them.
    """
    for p in layout.problem.onto(name):
        stages = layout.stages[p.source] if layout.own_stages(p) else 0
        size = layout.problem[p.source].size
        for row in p.rows.maxima(layout.neurons[name], layout.slots[name], stages):
            yield MatrixShape(p.source, name, row.type, 0, size, row.undelayed)
            if stages:
                yield MatrixShape(p.source, name, row.type, stages, size * stages, row.delayed)


def matrix_bytes(shape: MatrixShape, layout: Layout) -> int:
    """SDRAM of one matrix."""
    words = shape.row_words + layout.limits["row_header_words"] if shape.row_words else 0
    return shape.n_rows * words * WORD_BYTES


def aligned(address: int, layout: Layout) -> int:
    """The next address at which a matrix can begin."""
    unit = layout.limits["address_unit_bytes"]
    return -(-address // unit) * unit


def core_bytes(layout: Layout, name: str) -> CoreBytes:
    """What each core of a population takes; a spike source has no tables."""
    limits = layout.limits
    if not layout.problem[name].simulated:
        return CoreBytes(0, 0, 0)
    shapes = list(matrix_shapes(layout, name))
    rows, longest = 0, 0
    for shape in shapes:
        rows = aligned(rows, layout) + matrix_bytes(shape, layout) if shape.row_words else rows
        longest = max(longest, shape.row_words)
    vertices = {(shape.source, shape.stages): shape.n_rows for shape in shapes}
    table = (TABLE_WORDS + ENTRY_WORDS * len(vertices) + len(shapes)) * WORD_BYTES
    filters = FILTER_WORDS + sum(FILTER_ENTRY_WORDS + -(-n // BITS_IN_WORD) for n in vertices.values())
    ring_bits = index_bits(layout.neurons[name]) + TYPE_BITS + bits_for(layout.slots[name])
    ring = int(2**ring_bits) * limits["ring_buffer_entry_bytes"]
    state = limits["neuron_state_words"] * layout.neurons[name] * WORD_BYTES
    buffers = ROW_BUFFERS * (longest + limits["row_header_words"]) * WORD_BYTES + limits["spike_buffer"] * WORD_BYTES
    filter_bytes = filters * WORD_BYTES
    return CoreBytes(rows + table + filter_bytes, ring + state + table + filter_bytes + buffers, ring)


def extension_bytes(layout: Layout, source: str) -> CoreBytes:
    """What each core of a delay extension takes."""
    (stage,) = layout.stage_lengths(source)
    counters = counters_bytes(layout.stages[source], stage, layout.neurons[source])
    queue = layout.limits["spike_buffer"] * WORD_BYTES
    return CoreBytes(DELAY_WORDS * WORD_BYTES, counters + queue, counters)
