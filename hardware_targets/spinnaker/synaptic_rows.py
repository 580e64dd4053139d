"""Synaptic rows as a core fetches them from SDRAM when a source's spike arrives.

One matrix for each projection, type and way: what the core delays itself has a row for each source neuron, what comes
through a delay extension a row for each source neuron and stage. All rows of a matrix are padded alike, and so are the
matrices of all cores of a population. A row and its words:

    0, number of synapses, 0, synapses ..., zeros
    weight[16] | delay | type[1] | target[b]          b bits for the neuron on its core; the delay begins above them

A delay of as many ticks as there are slots takes one bit more than a slot's number; the core masks it to slot 0, which
is so many ticks ahead.

Source: sPyNNaker 7.4.1, `synapse_io.get_synapses`, `SynapseDynamicsStatic.get_static_synaptic_data`; facts of the
project, spinnaker.md sections 1.3 and 1.4. Which row a delayed synapse lies in is what the machine code asks for, see
`delay_tables`: where sPyNNaker 7.4.1 itself writes it elsewhere, a plan says so (`misplaced`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hardware_targets.spinnaker.delay_tables import delayed_rows, split_delay
from hardware_targets.spinnaker.layout import Layout
from hardware_targets.spinnaker.memory import MatrixShape
from hardware_targets.spinnaker.pynn_view import SynapseList
from hardware_targets.spinnaker.slots import TYPE_BITS, index_bits
from toolchain.errors import TargetLimitError

I64 = NDArray[np.int64]
U32 = NDArray[np.uint32]
WEIGHT_AT = 16
"""Lowest bit of the weight in a synaptic word."""


@dataclass(frozen=True, eq=False)
class Matrix:
    """One matrix of every core of a population.

    Attributes
    ----------
    words : (cores, rows, 3 + row words) uint32; no rows where it has no synapse
    """

    shape: MatrixShape
    words: U32


def build_matrix(synapses: SynapseList, shape: MatrixShape, layout: Layout) -> Matrix:
    """Rows of one list of synapses, those that are delayed on the core or those that come through the extension.

    Raises
    ------
    TargetLimitError
        If a source has more synapses onto a core than a row can hold.
    """
    header = layout.limits["row_header_words"]
    n_cores = layout.cores(shape.target)
    if not shape.row_words:
        return Matrix(shape, np.zeros((n_cores, 0, header), dtype=np.uint32))
    if shape.row_words > layout.limits["row_length"]:
        raise TargetLimitError(
            f"projection {shape.source}->{shape.target}: a source has {shape.row_words} synapses onto a core, a row "
            f"holds {layout.limits['row_length']}; put fewer neurons on a core of {shape.target}"
        )
    neurons, slots = layout.neurons[shape.target], layout.slots[shape.target]
    pre, post, magnitude, delay = synapses.pre, synapses.post, synapses.magnitude, synapses.delay
    stage, residual = split_delay(delay, slots)
    here = stage > 0 if shape.stages else stage == 0
    if not here.all():
        pre, post, magnitude, stage, residual = (a[here] for a in (pre, post, magnitude, stage, residual))
    rows = pre
    if shape.stages:
        size = layout.problem[shape.source].size
        rows = delayed_rows(pre, stage, size=size, neurons=layout.neurons[shape.source], stages=shape.stages)
    core, target = np.divmod(post, neurons)
    at = index_bits(neurons)
    words = magnitude << WEIGHT_AT | residual << at + TYPE_BITS | synapses.type << at | target
    return Matrix(shape, _packed(words, core * shape.n_rows + rows, (n_cores, shape.n_rows), shape.row_words, header))


def _packed(words: I64, rows: I64, extent: tuple[int, int], width: int, header: int) -> U32:
    """Words into rows of one width, in the order in which they come: (*extent, header + width).

    Parameters
    ----------
    words, rows : (n,) synaptic word, and number of its row among those of all cores
    extent : cores, and rows of each
    """
    order = np.argsort(rows, kind="stable")
    rows, words = rows[order], words[order]
    n_rows = extent[0] * extent[1]
    counts = np.bincount(rows, minlength=n_rows)
    first = np.cumsum(counts) - counts
    packed = np.zeros((n_rows, header + width), dtype=np.uint32)
    packed[:, 1] = counts
    packed[rows, header + np.arange(rows.size) - first[rows]] = words
    return packed.reshape(*extent, header + width)
