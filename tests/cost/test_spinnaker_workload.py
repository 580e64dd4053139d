"""Counts on SpiNNaker equal what cores find when every packet is followed through keys, tables and rows."""

from __future__ import annotations

from collections import Counter, deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hardware_targets.spinnaker.integer_network import IntegerNetwork
from hardware_targets.spinnaker.plan import Plan
from hardware_targets.spinnaker.routes import Routes
from hardware_targets.spinnaker.tables import build_tables
from hardware_targets.spinnaker.workload import build_workload
from tests.spinnaker.decoder import COLOURS, Receiver, _entries, _sent, _synapses
from tests.spinnaker.mapped import DELAYED, LIMITS, plan_of, random_case
from toolchain.cost.counting import count, step_counts
from toolchain.deployment.target import CoreUse
from toolchain.errors import InputError

BOARD = LIMITS.board(5)
Rasters = dict[str, NDArray[np.bool_]]


def cores_of(plan: Plan) -> list[CoreUse]:
    numbers = {place: i for i, place in enumerate(plan.board.cores)}
    found = []
    for c in plan.cores:
        assert c.place is not None
        at = (c.place.x, c.place.y)
        found.append(CoreUse(c.place.core, c.vertex, c.first, c.last, {}, numbers[at], position=at))
    return found


def recount(network: IntegerNetwork, plan: Plan, spikes: dict[str, NDArray[np.int64]], n_steps: int) -> Counter[str]:
    """Follow every packet: keys and extensions as the machine has them, destinations as sPyNNaker's slices are."""
    tables = build_tables(network, plan)
    receivers = {
        (c.core.vertex, c.core.index): Receiver(c.core.vertex, c.core.first, c.regions)
        for c in tables.cores
        if "PopTable" in c.regions
    }
    entries = {at: dict(_entries(r.regions["PopTable"])) for at, r in receivers.items()}
    extensions = [c.regions["delay_params"] for c in tables.cores if "delay_params" in c.regions]
    found: Counter[str] = Counter()
    for p in network.simulated:
        found["neuron_updates"] += p.size * n_steps
        found["spikes_out"] += int(spikes[p.name].sum())
    for core in tables.cores:
        name = core.core.population
        if core.core.extension or name not in tables.keys:
            continue
        mine = slice(core.core.first, core.core.last + 1)
        joined = [p for p in network.projections if p.source == name]
        to = {
            at
            for at, r in receivers.items()
            for p in joined
            if p.target == at[0] and p.exists[mine, r.first : r.first + plan.of(at[0])[at[1]].size].any()
        }
        served = {p.target for p in joined if p.longest > plan.layout.slots[p.target]}
        extended = f"{name}{DELAYED}" in tables.keys
        for local in range(core.core.size):
            n = int(spikes[name][core.core.first + local])
            key = tables.keys[name].core_keys[core.core.index] + (local << COLOURS)
            for sent, later in _sent(key, extensions):
                found["delay_packets" if later else "packets"] += n
                reached = {at for at in to if not later or at[0] in served}
                found["messages"] += n * (len(reached) + (extended and not later))
                for at, receiver in receivers.items():
                    synapses = list(_synapses(sent, entries[at], receiver))
                    assert not synapses or at in reached, "a synapse that no packet reaches"
                    found["synaptic_events"] += n * len(synapses)
                    found["rows"] += n * len({kind for _, kind, _, _ in synapses})
    return found


@pytest.mark.parametrize("seed", [*range(8), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(8, 40))])
def test_counts_equal_those_of_packets_followed_through_the_tables(seed: int) -> None:
    network, neurons = random_case(seed)
    plan = plan_of(network, neurons)
    rng = np.random.default_rng(seed)
    spikes = {p.name: rng.integers(0, 4, (1, p.size)) for p in network.populations}
    workload = build_workload(network, cores_of(plan), LIMITS, BOARD)
    counts = count(workload, spikes, 11)
    expected = recount(network, plan, {n: a[0] for n, a in spikes.items()}, 11)
    found = {k: int(a[0]) for k, a in counts.events.items() if k not in ("hops", "router_passes")}
    assert found == {kind: expected[kind] for kind in found}
    stages = max(plan.layout.stages.values(), default=0)
    assert (found["delay_packets"] > 0) == (stages > 0)
    sent = found["packets"] + found["delay_packets"]
    assert counts.events["router_passes"][0] == counts.events["hops"][0] + sent
    # Chips that a packet reaches are as many as links of its tree at least, and cores on its own chip take none.
    assert counts.events["hops"][0] <= 12 * sent


def test_a_packet_of_an_extension_is_sent_stages_of_ticks_later() -> None:
    network, neurons = random_case(1)
    plan = plan_of(network, neurons)
    source = next(iter(plan.layout.stages))
    workload = build_workload(network, cores_of(plan), LIMITS, BOARD)
    (length,) = plan.layout.stage_lengths(source)
    n_steps = length + 5
    rasters = {p.name: np.zeros((1, n_steps, p.size), np.bool_) for p in network.populations}
    rasters[source][0, 2, 0] = True
    steps = step_counts(workload, rasters, "delay_packets")[0]
    assert np.argwhere(steps).tolist()[0][0] == 2 + length
    assert steps.sum() == 1
    site = workload.sites[int(np.argwhere(steps)[0][1])]
    assert (site.population, site.what) == (f"{source}{DELAYED}", "delay extension")


def hexagonal(a: tuple[int, int], b: tuple[int, int]) -> int:
    """Links between two chips of a mesh with diagonals in one direction."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    return max(abs(dx), abs(dy)) if dx * dy > 0 else abs(dx) + abs(dy)


def test_one_target_is_as_far_as_the_mesh_says() -> None:
    routes = Routes(BOARD)
    for source in BOARD.cores:
        for target in BOARD.cores:
            assert routes.links(source, [target]) == hexagonal(source, target)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_tree_is_no_longer_than_its_ways_and_no_shorter_than_the_longest(data: st.DataObject) -> None:
    chips = st.sampled_from(sorted(BOARD.cores))
    source, targets = data.draw(chips), data.draw(st.lists(chips, max_size=8))
    ways = [hexagonal(source, t) for t in targets]
    links = Routes(BOARD).links(source, targets)
    assert max(ways, default=0) <= links <= sum(ways)
    assert links >= len(set(targets) - {source})
    again = Routes(BOARD).links(source, targets + targets)
    assert links == again


def test_links_of_the_small_board_lead_around_those_that_are_down() -> None:
    board = LIMITS.board(3)
    near: dict[tuple[int, int], set[tuple[int, int]]] = {}
    steps = ((1, 0), (1, 1), (0, 1), (-1, 0), (-1, -1), (0, -1))
    for x, y in board.cores:
        ways = {((x + dx) % 2, (y + dy) % 2) for k, (dx, dy) in enumerate(steps) if (x, y, k) not in board.down}
        near[x, y] = ways
    for source in board.cores:
        distance, queue = {source: 0}, deque([source])
        while queue:
            chip = queue.popleft()
            for other in near[chip] - set(distance):
                distance[other] = distance[chip] + 1
                queue.append(other)
        for target in board.cores:
            assert Routes(board).links(source, [target]) == distance[target]


def test_a_chip_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match=r"chip \(9, 9\) cannot be reached from \(0, 0\) on a board of version 5"):
        Routes(BOARD).links((0, 0), [(9, 9)])


def test_on_several_boards_no_links_are_counted_and_all_else_is() -> None:
    network, neurons = random_case(4)
    plan = plan_of(network, neurons)
    spikes = {p.name: np.full((1, p.size), 2, np.int64) for p in network.populations}
    one = count(build_workload(network, cores_of(plan), LIMITS, BOARD), spikes, 3).events
    several = count(build_workload(network, cores_of(plan), LIMITS, None), spikes, 3).events
    assert set(one) - set(several) == {"hops", "router_passes"}
    assert all((one[kind] == several[kind]).all() for kind in several)
