"""The event graph against brute force and networkx: order of stages, every synapse once, flat vectors and back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.event_graph import build_event_graph, flatten, population_stages, split_flat, unflatten
from toolchain.network import Kind, Network, Population, make_projection

KINDS: tuple[Kind, ...] = ("spike_source", "lif", "lif", "lif", "leaky_readout")
quick = settings(deadline=None, max_examples=60)


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Any graph that a network may have: sources anywhere, cycles, self loops, masks, unconnected populations."""
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=8))
    populations = tuple(Population(f"p{i}", kind, draw(st.integers(1, 3))) for i, kind in enumerate(kinds))
    possible = [
        (a, b) for a in populations for b in populations if a.kind != "leaky_readout" and b.kind != "spike_source"
    ]
    edges = draw(st.lists(st.sampled_from(possible), unique=True, max_size=14)) if possible else []
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    projections = []
    for source, target in edges:
        shape = (source.size, target.size)
        mask = random.random(shape) < draw(st.sampled_from([0.0, 0.5, 0.9])) if draw(st.booleans()) else None
        weight, delay = random.normal(size=shape), random.uniform(0, 9, shape)
        projections.append(make_projection(source.name, target.name, weight, delay, mask))
    return Network(1.0, populations, tuple(projections))


def synapses(network: Network) -> list[tuple[str, int, str, int]]:
    """(source, pre, target, post) of every synapse in canonical order, one loop within another."""
    return [
        (p.source, pre, p.target, post)
        for p in network.projections
        for pre in range(p.weight.shape[0])
        for post in range(p.weight.shape[1])
        if p.mask is None or p.mask[pre, post]
    ]


@given(networks())
@quick
def test_stages_are_the_strongly_connected_components_in_topological_order(network: Network) -> None:
    """Where the graph leaves a choice, the component that the network lists first comes first."""
    networkx = pytest.importorskip("networkx", reason="networkx is the oracle here")
    position = {p.name: i for i, p in enumerate(network.populations) if p.kind != "spike_source"}
    graph = networkx.DiGraph()
    graph.add_nodes_from(position)
    graph.add_edges_from((p.source, p.target) for p in network.projections if p.source in position)
    condensed = networkx.condensation(graph)
    members = condensed.nodes(data="members")
    order = networkx.lexicographical_topological_sort(condensed, key=lambda c: min(position[m] for m in members[c]))
    expected = [sorted(members[component], key=position.__getitem__) for component in order]
    assert [[p.name for p in stage] for stage in population_stages(network)] == expected


@given(networks())
@quick
def test_every_synapse_is_in_the_graph_once_and_on_the_right_side(network: Network) -> None:
    graph = build_event_graph(network)
    stages = population_stages(network)
    stage_of = {p.name: i for i, stage in enumerate(stages) for p in stage}
    first = graph.stage_first.astype(int).tolist()
    expected_external, expected_internal = set(), set()
    for param, (source, pre, target, post) in enumerate(synapses(network)):
        pre_unit = graph.first_unit[source] + pre
        post_neuron = graph.first_unit[target] + post - graph.n_sources
        if stage_of.get(source) == stage_of[target]:
            expected_internal.add((pre_unit - graph.n_sources, post_neuron - first[stage_of[target]], param))
        else:
            assert stage_of.get(source, -1) < stage_of[target]
            expected_external.add((pre_unit, post_neuron, param))
    external, internal = [], []
    for neuron in range(graph.n_neurons):
        for at in range(int(graph.external_ptr[neuron]), int(graph.external_ptr[neuron + 1])):
            external.append((int(graph.external_pre[at]), neuron, int(graph.external_param[at])))
        for at in range(int(graph.internal_ptr[neuron]), int(graph.internal_ptr[neuron + 1])):
            internal.append((neuron, int(graph.internal_post[at]), int(graph.internal_param[at])))
    assert set(external) == expected_external
    assert set(internal) == expected_internal
    assert len(external) + len(internal) == graph.n_synapses == len(synapses(network))
    assert external == sorted(external, key=lambda s: (s[1], s[0])), (
        "external synapses lie sorted by target, then source"
    )
    assert internal == sorted(internal), "internal synapses lie sorted by source, then target"


@given(networks())
@quick
def test_units_are_sources_first_then_stage_by_stage_without_a_gap(network: Network) -> None:
    graph = build_event_graph(network)
    stages = population_stages(network)
    unit = 0
    for population in [*network.of_kind("spike_source"), *(p for stage in stages for p in stage)]:
        assert graph.first_unit[population.name] == unit
        unit += population.size
    assert unit == graph.n_sources + graph.n_neurons
    assert graph.n_sources == sum(p.size for p in network.of_kind("spike_source"))
    sizes = [sum(p.size for p in stage) for stage in stages]
    assert graph.stage_first.tolist() == np.cumsum([0, *sizes]).tolist()
    for index, stage in enumerate(stages):
        names = {p.name for p in stage}
        assert graph.stage_cyclic[index] == any({p.source, p.target} <= names for p in network.projections)
        for population in stage:
            part = graph.neurons(population)
            assert (part.start, part.stop - part.start) == (
                graph.first_unit[population.name] - graph.n_sources,
                population.size,
            )


@given(networks())
@quick
def test_the_graph_does_not_depend_on_weights_and_delays(network: Network) -> None:
    changed = replace(
        network,
        projections=tuple(
            make_projection(p.source, p.target, p.weight * 0, p.delay + 3, p.mask) for p in network.projections
        ),
    )
    one, two = vars(build_event_graph(network)), vars(build_event_graph(changed))
    for name, value in one.items():
        assert np.array_equal(value, two[name]), name


@given(networks())
@quick
def test_flat_vectors_are_in_canonical_order(network: Network) -> None:
    by_name = {(p.source, p.target): p for p in network.projections}
    for field in ("weight", "delay"):
        expected = [getattr(by_name[a, b], field)[i, j] for a, i, b, j in synapses(network)]
        vector = flatten(network, field)
        assert vector.dtype == np.float32
        assert vector.tolist() == expected


@given(networks())
@quick
def test_a_network_survives_flattening(network: Network) -> None:
    again = unflatten(network, flatten(network, "weight"), flatten(network, "delay"))
    for ours, theirs in zip(again.projections, network.projections, strict=True):
        assert np.array_equal(ours.weight, theirs.weight)
        assert np.array_equal(ours.delay, theirs.delay)
        assert ours.mask is theirs.mask


@given(networks(), st.integers(0, 2**32 - 1))
@quick
def test_any_vectors_survive_unflattening(network: Network, seed: int) -> None:
    random = np.random.default_rng(seed)
    n = len(synapses(network))
    weights, delays = random.normal(size=n).astype(np.float32), random.uniform(0, 9, n).astype(np.float32)
    other = unflatten(network, weights, delays)
    assert np.array_equal(flatten(other, "weight"), weights)
    assert np.array_equal(flatten(other, "delay"), delays)
    for projection in other.projections:
        if projection.mask is not None:
            assert not projection.weight[~projection.mask].any()
            assert not projection.delay[~projection.mask].any()


@given(networks())
@quick
def test_splitting_puts_each_element_at_its_synapse_and_copies(network: Network) -> None:
    n = len(synapses(network))
    vector = np.arange(1, n + 1, dtype=np.float32)
    arrays = split_flat(network, vector)
    assert list(arrays) == [p.name for p in network.projections]
    for index, (source, pre, target, post) in enumerate(synapses(network)):
        assert arrays[f"{source}->{target}"][pre, post] == index + 1
    assert sum(int(np.count_nonzero(a)) for a in arrays.values()) == n
    for array in arrays.values():
        array[:] = -1
    assert vector.tolist() == list(range(1, n + 1))
