"""The network as event-driven kernels see it: units numbered through, stages in order, flat synapses.

Populations are grouped into *stages*: the strongly connected components of the graph, in topological
order. A stage without a cycle (a feedforward layer) can be simulated neuron by neuron, each with its
whole input in one small buffer that stays in the first-level cache; only a stage with a cycle has to
advance step by step. Both the trainer and the integer emulators run on this form.

Units: the neurons of all spike sources come first, then those of the stages, so the events of a unit
are complete before a later stage reads them. Synapses whose source lies in an earlier stage are
*external* and sorted by target; those inside a cyclic stage are *internal* and sorted by source.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolchain.network import Network, Population

UInt = NDArray[np.uint32]
Ptr = NDArray[np.uint64]


@dataclass(frozen=True)
class EventGraph:
    """Index arrays of a network; parameters live in flat vectors in *canonical order*.

    Canonical order: projections as the network lists them, each row by row (pre, then post), without
    the pairs that a mask excludes.

    Attributes
    ----------
    n_sources, n_neurons : units that are given, units that are simulated
    first_unit : population name -> its first unit
    stage_first : (n_stages + 1,) first neuron of each stage, counted without the sources
    stage_cyclic : (n_stages,) 1 where the stage has internal synapses
    external_ptr : (n_neurons + 1,) slice of the external synapses of each target neuron
    external_pre : source unit of each external synapse
    external_param : canonical index of each external synapse
    internal_ptr : (n_neurons + 1,) slice of the internal synapses of each source neuron
    internal_post : target of each internal synapse, counted from the first neuron of its stage
    internal_param : canonical index of each internal synapse
    """

    n_sources: int
    n_neurons: int
    first_unit: dict[str, int]
    stage_first: Ptr
    stage_cyclic: NDArray[np.uint8]
    external_ptr: Ptr
    external_pre: UInt
    external_param: NDArray[np.int64]
    internal_ptr: Ptr
    internal_post: UInt
    internal_param: NDArray[np.int64]

    @property
    def n_synapses(self) -> int:
        """Length of the flat parameter vectors."""
        return int(self.external_param.size + self.internal_param.size)

    def neurons(self, population: Population) -> slice:
        """Where a simulated population lies among the neurons."""
        first = self.first_unit[population.name] - self.n_sources
        return slice(first, first + population.size)


def population_stages(network: Network) -> list[list[Population]]:
    """Group the simulated populations into strongly connected components, in topological order.

    Among components that could come next, the one listed first in the network does.
    """
    simulated = [p for p in network.populations if p.kind != "spike_source"]
    position = {p.name: i for i, p in enumerate(simulated)}
    n = len(simulated)
    reach = np.eye(n, dtype=np.bool_)
    for projection in network.projections:
        if projection.source in position:
            reach[position[projection.source], position[projection.target]] = True
    for middle in range(n):
        reach |= np.outer(reach[:, middle], reach[middle])
    together = reach & reach.T
    done = np.zeros(n, dtype=np.bool_)
    stages: list[list[Population]] = []
    while not done.all():
        for i in range(n):
            waiting_for = reach[:, i] & ~together[i] & ~done
            if not done[i] and not waiting_for.any():
                stages.append([simulated[m] for m in np.flatnonzero(together[i])])
                done |= together[i]
                break
    return stages


def build_event_graph(network: Network) -> EventGraph:
    """Number the units and sort the synapses of a network; depends on names, sizes and masks only."""
    stages = population_stages(network)
    first_unit: dict[str, int] = {}
    unit = 0
    for population in network.of_kind("spike_source"):
        first_unit[population.name] = unit
        unit += population.size
    n_sources = unit
    stage_of: dict[str, int] = {}
    stage_first = [0]
    for index, stage in enumerate(stages):
        for population in stage:
            first_unit[population.name] = unit
            stage_of[population.name] = index
            unit += population.size
        stage_first.append(unit - n_sources)
    n_neurons = unit - n_sources

    cyclic = np.zeros(len(stages), dtype=np.uint8)
    pre_parts: dict[bool, list[NDArray[np.int64]]] = {True: [], False: []}
    post_parts: dict[bool, list[NDArray[np.int64]]] = {True: [], False: []}
    param_parts: dict[bool, list[NDArray[np.int64]]] = {True: [], False: []}
    offset = 0
    for projection in network.projections:
        pre, post = np.nonzero(np.ones(projection.weight.shape) if projection.mask is None else projection.mask)
        internal = stage_of.get(projection.source, -1) == stage_of[projection.target]
        if internal:
            cyclic[stage_of[projection.target]] = 1
        pre_parts[internal].append(pre + first_unit[projection.source])
        post_parts[internal].append(post + first_unit[projection.target] - n_sources)
        param_parts[internal].append(offset + np.arange(pre.size))
        offset += pre.size

    def joined(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
        return np.concatenate([np.zeros(0, dtype=np.int64), *parts])

    def pointers(sorted_keys: NDArray[np.int64]) -> Ptr:
        return np.searchsorted(sorted_keys, np.arange(n_neurons + 1)).astype(np.uint64)

    pre, post, param = (joined(parts[False]) for parts in (pre_parts, post_parts, param_parts))
    order = np.lexsort((pre, post))
    external = (pointers(post[order]), pre[order].astype(np.uint32), param[order])
    pre, post, param = (joined(parts[True]) for parts in (pre_parts, post_parts, param_parts))
    pre = pre - n_sources
    order = np.lexsort((post, pre))
    stage_base = np.repeat(np.array(stage_first[:-1], dtype=np.int64), np.diff(stage_first))
    local_post = post[order] - stage_base[post[order]] if order.size else post
    internal_arrays = (pointers(pre[order]), local_post.astype(np.uint32), param[order])
    return EventGraph(
        n_sources, n_neurons, first_unit, np.array(stage_first, dtype=np.uint64), cyclic, *external, *internal_arrays
    )


def flatten(network: Network, field: str) -> NDArray[np.float32]:
    """Weights or delays of all projections as one vector in canonical order; `field` names which."""
    parts = [getattr(p, field).ravel() if p.mask is None else getattr(p, field)[p.mask] for p in network.projections]
    flat: NDArray[np.float32] = np.concatenate([np.zeros(0, dtype=np.float32), *parts])
    return flat


def split_flat(network: Network, vector: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """A vector in canonical order as one array (pre, post) for each projection; zero where there is no synapse."""
    arrays = {}
    offset = 0
    for projection in network.projections:
        part = vector[offset : offset + projection.n_synapses]
        offset += projection.n_synapses
        if projection.mask is None:
            arrays[projection.name] = part.reshape(projection.weight.shape).copy()
        else:
            arrays[projection.name] = np.zeros(projection.weight.shape, dtype=vector.dtype)
            arrays[projection.name][projection.mask] = part
    return arrays


def unflatten(network: Network, weights: NDArray[np.float32], delays: NDArray[np.float32]) -> Network:
    """Return the network with its parameters replaced from flat vectors; inverse of `flatten`."""
    weight, delay = split_flat(network, weights), split_flat(network, delays)
    return network.with_arrays({name: (weight[name], delay[name]) for name in weight})
