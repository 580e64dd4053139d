"""Our tables against those that sPyNNaker writes, there and then, for random networks on its virtual board."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from hardware_targets.spinnaker.integer_network import LARGEST_SHIFT, IntegerNetwork
from hardware_targets.spinnaker.tables import build_tables
from tests.oracles.spynnaker_board import BoardJob, BoardResult, installed, run_on_board
from tests.spinnaker.decoder import Receiver, Sender, Synapse, decode
from tests.spinnaker.mapped import LIMITS, plan_of, population, projection, random_case, wanted
from tests.spinnaker.words import first_difference

pytestmark = pytest.mark.skipif(not installed(), reason="sPyNNaker is not installed; pip install -e .[spinnaker]")
Case = tuple[IntegerNetwork, dict[str, int]]
QUICK = (3, 4, 8, 11)
"""Seeds: no stage and recurrent, one and recurrent, two with two sources, two with feedback; 1 and 0.1 ms by turns."""


def run(cases: list[Case]) -> list[BoardResult]:
    return run_on_board([BoardJob(network, neurons) for network, neurons in cases], timeout_s=900)


def assert_same(network: IntegerNetwork, neurons: dict[str, int], board: BoardResult) -> None:
    """Cores, places, keys, shifts and every word."""
    assert board.error is None
    plan = plan_of(network, neurons)
    tables = build_tables(network, plan)
    ours = [(c.core.vertex, c.core.first, c.core.last, c.core.place) for c in tables.cores]
    theirs = [(c.label, c.first, c.last, c.place) for c in board.cores]
    assert [(*core, (p.x, p.y, p.core)) for *core, p in ours if p] == theirs
    assert {name: (k.key, k.mask) for name, k in tables.keys.items()} == board.keys
    cores = {name: [(key, k.core_mask) for key in k.core_keys] for name, k in tables.keys.items()}
    assert cores == board.machine_keys
    assert {p.name: list(p.shifts) for p in network.simulated} == board.shifts
    for mine, other in zip(tables.cores, board.cores, strict=True):
        difference = first_difference(mine.regions, other.regions)
        assert difference is None, f"{mine.core.vertex}, neurons from {mine.core.first} on: {difference}"
    entries = max(len(table) for table in board.routes.values())
    (counted,) = (r.used for r in plan.resources if r.name == "router_entries")
    assert entries <= counted


def test_random_networks_get_the_tables_that_spynnaker_gives_them() -> None:
    cases = [random_case(seed) for seed in QUICK]
    for (network, neurons), board in zip(cases, run(cases), strict=True):
        assert_same(network, neurons, board)


@pytest.mark.slow
def test_twenty_random_networks_get_the_tables_that_spynnaker_gives_them() -> None:
    cases = [random_case(seed) for seed in range(100, 120)]
    stages = {max(plan_of(*case).layout.stages.values(), default=0) for case in cases}
    assert stages == {0, 1, 2}
    for (network, neurons), board in zip(cases, run(cases), strict=True):
        assert_same(network, neurons, board)


def sparse(sizes: dict[str, int], seed: int) -> IntegerNetwork:
    """Few synapses between many neurons: many cores with little on each."""
    rng = np.random.default_rng(seed)
    edges = (("in", "hidden"), ("hidden", "hidden"), ("hidden", "out"))

    def some(source: str, target: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        shape = (sizes[source], sizes[target])
        weight = np.where(rng.random(shape) < 0.02, rng.integers(1, 1000, shape), 0)
        weight[0, 0] = 1
        return weight, rng.integers(1, 30, shape)

    populations = (
        population("in", sizes["in"], kind="spike_source"),
        population("hidden", sizes["hidden"]),
        population("out", sizes["out"]),
    )
    return IntegerNetwork(1.0, populations, tuple(projection(*edge, *some(*edge)) for edge in edges))


@pytest.mark.slow
def test_many_cores_are_put_on_the_chips_that_spynnaker_puts_them_on() -> None:
    cases: list[Case] = [
        (sparse({"in": 300, "hidden": 500, "out": 90}, 0), {"in": 9, "hidden": 3, "out": 2}),
        (sparse({"in": 64, "hidden": 900, "out": 40}, 1), {"in": 1, "hidden": 4, "out": 40}),
    ]
    for (network, neurons), board in zip(cases, run(cases), strict=True):
        assert_same(network, neurons, board)


@pytest.mark.slow
def test_spynnaker_chooses_every_shift_that_it_is_asked_for() -> None:
    """Excitatory and inhibitory shifts of their own, each from 0 to the largest."""
    weight = np.array([[100, -200]])
    delay = np.ones((1, 2), dtype=np.int64)
    names = [f"n{shift}" for shift in range(LARGEST_SHIFT + 1)]
    populations = (
        population("in", 1, kind="spike_source"),
        *(population(name, 2, (shift, LARGEST_SHIFT - shift)) for shift, name in enumerate(names)),
    )
    network = IntegerNetwork(1.0, populations, tuple(projection("in", name, weight, delay) for name in names))
    neurons = {p.name: p.size for p in populations}
    (board,) = run([(network, neurons)])
    assert board.shifts == {p.name: list(p.shifts) for p in network.simulated}
    assert_same(network, neurons, board)


@pytest.mark.slow
def test_one_stage_is_right_whatever_the_cores_and_two_are_not() -> None:
    """What `misplaced` says is what sPyNNaker's own words show; one job for each number of stages."""
    rng = np.random.default_rng(5)
    cases: list[Case] = []
    for stages in (1, 2):
        shape = (90, 70)
        slots = 2 ** (13 - 6)
        weight, delay = rng.integers(1, 500, shape), rng.integers(1, (stages + 1) * slots + 1, shape)
        weight = np.where(rng.random(shape) < 0.2, weight, 0)
        weight[0, 0], delay[0, 0] = 9, (stages + 1) * slots
        populations = (population("in", 90, kind="spike_source"), population("hidden", 70))
        network = IntegerNetwork(1.0, populations, (projection("in", "hidden", weight, delay),))
        cases.append((network, {"in": 40, "hidden": 50}))
    for (network, neurons), board, right in zip(cases, run(cases), (True, False), strict=True):
        found, asked = decoded_board(board), wanted(network)
        assert (found == asked) is right
        assert (plan_of(network, neurons).misplaced == ()) is right
        if right:
            assert_same(network, neurons, board)


@pytest.mark.slow
def test_spynnaker_refuses_what_we_refuse() -> None:
    """Nine times the slots is the longest delay, and targets of one extension need equal stages."""
    longest = 9 * 4096
    weight = np.ones((1, 2), dtype=np.int64)
    populations = (population("in", 1, kind="spike_source"), population("a", 2), population("b", 20))
    first = projection("in", "a", weight, np.full((1, 2), longest))
    beyond = projection("in", "a", weight, np.full((1, 2), longest + 1))
    second = projection("in", "b", np.ones((1, 20), dtype=np.int64), np.full((1, 20), 700))
    networks = [
        IntegerNetwork(1.0, populations[:2], (beyond,)),
        IntegerNetwork(1.0, populations, (first, second)),
    ]
    results = run([(n, {"in": 1, "a": 2, "b": 20}) for n in networks])
    assert all("DelayExtensionException" in (r.error or "") for r in results), [r.error for r in results]
    assert LIMITS["delay_stages"] == 8


@pytest.mark.slow
def test_spynnaker_loses_synapses_of_lists_that_are_not_sorted() -> None:
    """Why lists go by source: one neuron has ten synapses onto a core, which no count finds in another order."""
    rng = np.random.default_rng(3)
    weight = np.where(rng.random((30, 40)) < 0.3, rng.integers(1, 500, (30, 40)), 0)
    weight[5, :10] = 7
    populations = (population("in", 30, kind="spike_source"), population("hidden", 40))
    network = IntegerNetwork(1.0, populations, (projection("in", "hidden", weight, np.ones_like(weight)),))
    neurons = {"in": 30, "hidden": 10}
    boards = run_on_board([BoardJob(network, neurons), BoardJob(network, neurons, shuffled=True)], timeout_s=900)
    asked = wanted(network)
    sorted_list, shuffled = (decoded_board(board) for board in boards)
    assert sorted_list == asked
    assert shuffled < asked


def decoded_board(board: BoardResult) -> Counter[Synapse]:
    """Synapses that sPyNNaker's words lead to, of a network with one source and one population."""
    keys = board.machine_keys["in"]
    sources = board.of_kind("SpikeSourceArrayMachineVertex")
    senders = [Sender("in", key, c.first, c.last - c.first + 1) for (key, _), c in zip(keys, sources, strict=True)]
    receivers = [Receiver("hidden", c.first, c.regions) for c in board.of_kind("PopulationMachineVertex")]
    extensions = [c.regions["delay_params"] for c in board.of_kind("DelayExtensionMachineVertex")]
    return decode(senders, receivers, extensions)
