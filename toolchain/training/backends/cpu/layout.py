"""How the kernels hold a network: neurons in blocks of eight, synapses by block and source.

Stages of the event graph become *groups*. A stage with a cycle is one group and advances step by step as a whole; one
without is cut into groups of one block, each of which is simulated on its own, its input in one buffer that stays in
the first-level cache. The last block of a group is filled up with neurons that have no synapse and never spike.

The synapses onto a block are stored as *entries*: a source and its eight synapses, one onto each neuron of the block.
One pass over the spikes of the source serves all eight, so the loop over spikes is long and without a branch. Where a
pair has no synapse the entry holds a weight of 0 whose gradient goes nowhere. A projection of few synapses (a mask
below
`DENSE_ENOUGH`) would be mostly such holes: its synapses are *single*, stored one by one for each neuron.
Synapses inside a group are stored once more by source, for delivery while the group advances.

Buffers in time belong to a block: [block][step][neuron], `span` steps long; `offset` = 8 (1 + slot) + neuron.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from toolchain.event_graph import EventGraph
from toolchain.training.backends.cpu.simd import BLOCK

F32 = NDArray[np.float32]
U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]

DENSE_ENOUGH = 0.3
"""Share of existing synapses from which an entry with holes costs less than single synapses."""

STEPS_PER_ARRIVAL = 64
"""Steps of a block that cost as much as one arrival at it in closed form; measured."""


class Groups(NamedTuple):
    """Index arrays that do not change while a network trains.

    `first` (n_groups + 1,) first neuron, `block` (n_groups + 1,) first block; `cyclic` (n_groups,); `leaky`
    (n_groups,): whether it is a readout that does not spike; `output` (n_groups,): number among the blocks of the
    output population of the group's first block plus one, 0 for all other groups.
    `entry_ptr` (n_blocks + 1,), `entry_pre` (n_entries,) source units, ascending within a block.
    `single_ptr` (8 n_blocks + 1,), `single_pre`.
    `inner_ptr` (n_neurons + 1,) synapses inside a group by source.
    `learns_tau` (n_blocks,): whether the block has a neuron whose time constants learn.
    `steps_per_arrival`: a group to which less arrives than once in so many steps is taken in closed form (`quiet`).
    """

    first: U64
    block: U64
    cyclic: NDArray[np.uint8]
    leaky: NDArray[np.uint8]
    output: U64
    entry_ptr: U64
    entry_pre: U32
    single_ptr: U64
    single_pre: U32
    inner_ptr: U64
    learns_tau: NDArray[np.uint8]
    steps_per_arrival: int


class Synapses(NamedTuple):
    """Parameters in kernel order.

    `entry_weight`, `entry_offset` (8 n_entries,); `single_*` (n_single,) with offset = 8 (1 + slot) + neuron of the
    block;
    `inner_*` (n_inner,) with offset counted from the first block of the group.
    """

    entry_weight: F32
    entry_offset: U32
    single_weight: F32
    single_offset: U32
    inner_weight: F32
    inner_offset: U32


@dataclass(frozen=True)
class Layout:
    """Groups, and where each canonical parameter is found in the kernel order.

    Attributes
    ----------
    n_rows : 8 times the number of blocks
    row : (n_neurons,) place of each neuron among the rows
    entry_param : (8 n_entries,) canonical index, n_synapses where there is no synapse
    single_param, inner_param : canonical indices
    entry_lane, single_lane : neuron within its block
    inner_target : block within the group, and neuron within the block, of each inner synapse
    """

    groups: Groups
    n_rows: int
    row: I64
    n_synapses: int
    entry_param: I64
    single_param: I64
    single_lane: I64
    inner_param: I64
    inner_target: tuple[I64, I64]

    def span(self, steps: int, max_slot: int) -> int:
        """Steps of a buffer: room for what arrives after the end, and no two blocks on one set of the cache.

        A slot of `steps` or more delivers after the end whatever the spike; it is held as one of `steps`.
        """
        needed = steps + 1 + min(max_slot, steps)
        return needed + (3 - needed) % 64


def build_layout(
    graph: EventGraph, output: slice, leaky: bool, sparse: NDArray[np.bool_], learns_tau: NDArray[np.bool_]
) -> Layout:
    """Cut a graph into groups and blocks.

    Parameters
    ----------
    graph : as `build_event_graph` makes it
    output : which neurons the network is read from
    leaky : whether they do not spike
    sparse : (n_synapses,) canonical; True for synapses of projections that are to be stored one by one
    learns_tau : (n_neurons,) whether gradients of their time constants are wanted
    """
    bounds, cyclic = [0], []
    for stage, is_cyclic in enumerate(graph.stage_cyclic):
        start, end = int(graph.stage_first[stage]), int(graph.stage_first[stage + 1])
        cuts = [end] if is_cyclic else [*range(start + BLOCK, end, BLOCK), end]
        bounds += cuts
        cyclic += [is_cyclic] * len(cuts)
    first = np.array(bounds, dtype=np.int64)
    blocks = np.concatenate(([0], np.cumsum(-(-np.diff(first) // BLOCK)))).astype(np.int64)
    n_blocks = int(blocks[-1])
    group_of = np.repeat(np.arange(first.size - 1), np.diff(first))
    row = BLOCK * blocks[group_of] + np.arange(graph.n_neurons) - first[group_of]

    post, pre, param, inner = _synapses_by_target(graph)
    is_output = (first[:-1] >= output.start) & (first[:-1] < output.stop)
    output_block = np.where(is_output, blocks[:-1] - row[output.start] // BLOCK + 1, 0)

    dense = ~sparse[param]
    entry_ptr, entry_pre, entry_param = _entries(row[post[dense]], pre[dense], param[dense], n_blocks, graph)
    order = np.lexsort((pre[~dense], row[post[~dense]]))
    single_row = row[post[~dense]][order]
    inner_source, inner_post, inner_param = inner
    local = row[inner_post] - BLOCK * blocks[group_of[inner_post]]
    order_inner = np.lexsort((local, inner_source))
    groups = Groups(
        first.astype(np.uint64),
        blocks.astype(np.uint64),
        np.array(cyclic, dtype=np.uint8),
        (is_output & leaky).astype(np.uint8),
        output_block.astype(np.uint64),
        entry_ptr,
        entry_pre,
        np.searchsorted(single_row, np.arange(BLOCK * n_blocks + 1)).astype(np.uint64),
        pre[~dense][order].astype(np.uint32),
        np.searchsorted(inner_source[order_inner], np.arange(graph.n_neurons + 1)).astype(np.uint64),
        np.bincount(row[learns_tau] // BLOCK, minlength=n_blocks).astype(np.bool_).astype(np.uint8),
        STEPS_PER_ARRIVAL,
    )
    local = local[order_inner]
    return Layout(
        groups,
        BLOCK * n_blocks,
        row,
        graph.n_synapses,
        entry_param,
        param[~dense][order],
        single_row % BLOCK,
        inner_param[order_inner],
        (local // BLOCK, local % BLOCK),
    )


def _synapses_by_target(graph: EventGraph) -> tuple[I64, I64, I64, tuple[I64, I64, I64]]:
    """Target neuron, source unit and canonical index of all synapses; source, target, index of those in a stage."""
    external_post = np.repeat(np.arange(graph.n_neurons), np.diff(graph.external_ptr.astype(np.int64)))
    source = np.repeat(np.arange(graph.n_neurons), np.diff(graph.internal_ptr.astype(np.int64)))
    widths = np.diff(graph.stage_first.astype(np.int64))
    stage_base = np.repeat(graph.stage_first[:-1].astype(np.int64), widths)
    inner_post = graph.internal_post.astype(np.int64) + stage_base[source]
    post = np.concatenate([external_post, inner_post])
    pre = np.concatenate([graph.external_pre.astype(np.int64), source + graph.n_sources])
    param = np.concatenate([graph.external_param, graph.internal_param])
    return post, pre, param, (source, inner_post, graph.internal_param)


def _entries(row: I64, pre: I64, param: I64, n_blocks: int, graph: EventGraph) -> tuple[U64, U32, I64]:
    """Group synapses by block and source; returns pointers, sources and canonical indices (8 an entry)."""
    units = graph.n_sources + graph.n_neurons
    key, place = np.unique((row // BLOCK) * units + pre, return_inverse=True)
    found = np.full(key.size * BLOCK, graph.n_synapses, dtype=np.int64)
    found[place.reshape(-1) * BLOCK + row % BLOCK] = param
    pointers = np.searchsorted(key // units, np.arange(n_blocks + 1)).astype(np.uint64)
    return pointers, (key % units).astype(np.uint32), found
