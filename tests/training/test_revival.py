"""Revival: silent neurons get more weight from other populations, on synapses that exist and learn; nobody else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.networks import SHAPES, random_network
from toolchain.event_graph import build_event_graph, flatten, split_flat
from toolchain.network import Network, Population, make_projection
from toolchain.training.revival import Revival


@given(st.sampled_from(SHAPES), st.integers(0, 2**32 - 1), st.booleans())
@settings(deadline=None, max_examples=60)
def test_silent_neurons_and_no_others_are_raised(shape: str, seed: int, frozen: bool) -> None:
    random = np.random.default_rng(seed)
    network = random_network(shape, random)
    graph = build_event_graph(network)
    spikes = random.integers(0, 2, graph.n_neurons)
    before = flatten(network, "weight")
    learns = random.random(before.size) < 0.5 if frozen else np.ones(before.size, dtype=np.bool_)
    after = before.copy()
    revived = Revival(network, graph, learns, 0.25).revive(after, spikes)
    raised, learned = split_flat(network, after - before), split_flat(network, learns.astype(np.float32))
    expected = set()
    for projection in network.projections:
        target = network[projection.target]
        for pre, post in np.ndindex(projection.weight.shape):
            neuron = graph.neurons(target).start + post
            due = target.kind == "lif" and projection.source != target.name and spikes[neuron] == 0
            due = due and bool(learned[projection.name][pre, post])
            assert raised[projection.name][pre, post] == pytest.approx(0.25 * due, abs=1e-6)
            expected |= {neuron} if due else set()
    assert revived == len(expected)


def test_a_spiking_output_is_revived_too_and_nothing_without_an_amount() -> None:
    populations = (Population("in", "spike_source", 2), Population("out", "lif", 3))
    network = Network(1.0, populations, (make_projection("in", "out", np.ones((2, 3))),))
    graph, spikes, learns = build_event_graph(network), np.array([0, 4, 0]), np.ones(6, dtype=np.bool_)
    weights = flatten(network, "weight")
    assert Revival(network, graph, learns, 0.0).revive(weights, spikes) == 0
    assert weights.tolist() == [1.0] * 6
    assert Revival(network, graph, learns, 0.5).revive(weights, spikes) == 2
    assert weights.tolist() == [1.5, 1.0, 1.5] * 2
