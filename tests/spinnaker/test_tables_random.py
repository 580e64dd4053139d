"""Tables of random networks lead to exactly the synapses that were asked for, whatever sPyNNaker makes of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hardware_targets.spinnaker.integer_network import IntegerNetwork, IntegerPopulation
from hardware_targets.spinnaker.layout import Layout
from hardware_targets.spinnaker.problem import problem_of_network
from hardware_targets.spinnaker.tables import build_tables, restore_tables
from tests.spinnaker.mapped import (
    EDGES,
    LIMITS,
    decoded,
    plan_of,
    population,
    projection,
    random_case,
    random_network,
    wanted,
)
from toolchain.errors import BundleError


@given(seed=st.integers(0, 2**32 - 1), shape=st.sampled_from(list(EDGES)), longest=st.sampled_from([1, 40, 300, 2500]))
@settings(max_examples=25, deadline=None)
def test_the_plan_of_any_network_packs_into_what_was_asked_for(seed: int, shape: str, longest: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = {name: int(rng.integers(1, 60)) for name in ("in", "two", "hidden", "out")}
    network = random_network(rng, longest=longest, shape=shape, sizes=sizes)
    plan = plan_of(network)
    assert not plan.misplaced
    assert decoded(build_tables(network, plan)) == wanted(network)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_several_stages_between_unequal_cores_are_right(seed: int) -> None:
    """Where sPyNNaker 7.4.1 writes rows that its cores do not look for."""
    rng = np.random.default_rng(seed)
    sizes = {"in": int(rng.integers(2, 80)), "hidden": int(rng.integers(2, 40))}
    stages = int(rng.integers(2, 9))
    neurons = {"in": int(rng.integers(1, sizes["in"] + 1)), "hidden": int(rng.integers(2, 41))}
    slots = 2 ** (13 - max(1, (min(neurons["hidden"], sizes["hidden"]) - 1).bit_length()))
    shape = (sizes["in"], sizes["hidden"])
    weight = rng.integers(-300, 301, shape)
    delay = rng.integers(1, (stages + 1) * slots + 1, shape)
    weight[0, 0], delay[0, 0] = 7, stages * slots + 1
    populations = (population("in", sizes["in"], kind="spike_source"), population("hidden", sizes["hidden"]))
    network = IntegerNetwork(1.0, populations, (projection("in", "hidden", weight, delay),))
    held = {"in": neurons["in"], "hidden": min(neurons["hidden"], sizes["hidden"])}
    assume(not Layout(problem_of_network(network), held, LIMITS).obstacles())
    plan = plan_of(network, neurons)
    assert plan.layout.stages == {"in": stages}
    equal = neurons["in"] == min(neurons["hidden"], sizes["hidden"]) and sizes["in"] % neurons["in"] == 0
    assert plan.misplaced == (() if equal else ("in->hidden",))
    assert decoded(build_tables(network, plan)) == wanted(network)


@pytest.mark.parametrize("seed", range(6))
def test_tables_survive_being_stored(seed: int) -> None:
    network, neurons = random_case(seed)
    tables = build_tables(network, plan_of(network, neurons))
    arrays, header = tables.arrays()
    again = restore_tables(arrays, json.loads(json.dumps(header)))
    assert again.keys == tables.keys
    assert again.misplaced == tables.misplaced
    assert [c.core for c in again.cores] == [c.core for c in tables.cores]
    for mine, other in zip(tables.cores, again.cores, strict=True):
        assert mine.regions.keys() == other.regions.keys()
        assert all(np.array_equal(mine.regions[name], other.regions[name]) for name in mine.regions)


@pytest.mark.parametrize(
    ("region", "change", "words"),
    [
        ("hidden.0.SynapseParams", lambda a: a[:5], "5 words, must have 9"),
        ("hidden.0.SynapseParams", lambda a: a + np.uint32(9), "bits, a word has 16"),
        ("hidden.0.PopTable", lambda a: a[:-1], "not as many as its first two say"),
        ("hidden.0.SynBlocks", lambda a: a.astype(np.int64), "must be words in one row"),
        ("in_delayed.0.delay_params", lambda a: a << np.uint32(16), "not those of a core"),
    ],
)
def test_damaged_tables_are_refused(region: str, change: object, words: str) -> None:
    assert callable(change)
    network, neurons = random_case(1)
    arrays, header = build_tables(network, plan_of(network, neurons)).arrays()
    with pytest.raises(BundleError, match=words):
        restore_tables({**arrays, region: change(arrays[region])}, header)


def test_a_population_that_nothing_projects_to_has_an_empty_table() -> None:
    base, _ = random_case(0)
    lonely: IntegerPopulation = population("lonely", 3)
    network = IntegerNetwork(1.0, (*base.populations, lonely), base.projections)
    tables = build_tables(network, plan_of(network))
    (core,) = tables.of("lonely")
    assert core.regions["PopTable"].tolist() == [0, 0]
    assert core.regions["SynBlocks"].size == 0
    assert "lonely" not in tables.keys
