"""How many neurons go on a core, what that takes, and what is said where it does not fit."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware_targets.spinnaker.integer_network import IntegerNetwork
from hardware_targets.spinnaker.limits import read_limits
from hardware_targets.spinnaker.plan import Plan, make_plan
from hardware_targets.spinnaker.problem import (
    PossibleRows,
    Problem,
    ProblemPopulation,
    ProblemProjection,
    problem_of_network,
    problem_of_plan,
)
from hardware_targets.spinnaker.slots import longest_possible, most_neurons, slots_available, slots_used, stages_needed
from hardware_targets.spinnaker.tables import build_tables
from hardware_targets.spinnaker.target import _placement
from tests.spinnaker.mapped import LIMITS, plan_of, population, projection, random_case
from toolchain.deployment.plan import NetworkPlan, ProjectionPlan
from toolchain.errors import InputError, TargetLimitError
from toolchain.network import Population

Edge = tuple[str, str, int]


def problem(sizes: Mapping[str, int], *edges: Edge, dt_ms: float = 1.0) -> Problem:
    """All-to-all projections with a longest delay in ticks; populations whose name begins with `in` are sources."""
    populations = tuple(ProblemPopulation(name, size, not name.startswith("in")) for name, size in sizes.items())
    projections = (
        ProblemProjection(a, b, longest, PossibleRows(sizes[a], sizes[b], longest, None)) for a, b, longest in edges
    )
    return Problem(dt_ms, populations, tuple(projections))


def plan(sizes: Mapping[str, int], *edges: Edge, version: int = 5, boards: int | None = None) -> Plan:
    return make_plan(problem(sizes, *edges), LIMITS, version=version, boards=boards)


SHD = {"in": 700, "hidden": 1024, "out": 20}


@pytest.mark.parametrize(
    ("neurons", "slots"), [(256, 32), (129, 32), (128, 64), (64, 128), (30, 256), (2, 4096), (1, 4096)]
)
def test_slots_of_a_core_are_those_that_spynnaker_reports(neurons: int, slots: int) -> None:
    """Measured with sPyNNaker 7.4.1 for IF_curr_exp (facts of the project, section 1.2)."""
    assert slots_available(neurons, LIMITS) == slots


def test_the_longest_delays_are_those_that_spynnaker_accepts() -> None:
    """Measured: 288 ticks with 256 neurons a core, 576 with 128."""
    assert longest_possible(256, LIMITS) == 288
    assert longest_possible(128, LIMITS) == 576
    assert longest_possible(64, LIMITS) == 1152


@pytest.mark.parametrize(
    ("longest", "neurons", "used", "stages"), [(60, 30, 64, 0), (64, 256, 32, 1), (120, 256, 32, 3), (300, 64, 128, 2)]
)
def test_slots_and_stages_of_the_golden_networks(longest: int, neurons: int, used: int, stages: int) -> None:
    assert slots_used(longest, neurons, 1.0, LIMITS) == used
    assert stages_needed(longest, used, 1.0) == stages


@given(longest=st.integers(1, 4096), dt_ms=st.sampled_from([0.1, 0.3, 0.5, 1.0, 2.0]))
def test_most_neurons_is_the_most_that_needs_no_extension(longest: int, dt_ms: float) -> None:
    neurons = most_neurons(longest, LIMITS)
    assert stages_needed(longest, slots_used(longest, neurons, dt_ms, LIMITS), dt_ms) == 0
    if neurons < LIMITS["neurons_per_core"]:
        assert stages_needed(longest, slots_used(longest, neurons + 1, dt_ms, LIMITS), dt_ms) > 0


def test_neurons_are_spread_so_that_nothing_is_extended() -> None:
    found = plan(SHD, ("in", "hidden", 250), ("hidden", "out", 60))
    assert found.layout.neurons == {"in": 234, "hidden": 32, "out": 20}
    assert not found.layout.stages
    assert found.reasons["hidden"] == (
        "32 neurons a core, on 32 cores; 256 slots hold its longest delay, 250 ticks (in->hidden); "
        "256 neurons would leave 32"
    )
    assert {r.name: r.used for r in found.resources}["cores"] == 3 + 32 + 1
    assert [(c.first, c.last) for c in found.of("in")] == [(0, 233), (234, 467), (468, 699)]


def test_delays_of_the_slots_of_full_cores_need_no_thought() -> None:
    found = plan({"in": 700, "hidden": 1024}, ("in", "hidden", 32))
    assert found.layout.neurons == {"in": 234, "hidden": 256}
    assert "would leave" not in plan({"in": 20, "hidden": 30}, ("in", "hidden", 32)).reasons["hidden"]


def test_where_cores_run_out_the_population_that_needs_most_is_extended() -> None:
    """63 cores of a small board: 512 neurons with 16 a core do not fit, with 32 and one stage they do."""
    edges = [("in", "hidden", 500), ("hidden", "out", 60)]
    found = plan({"in": 200, "hidden": 1024, "out": 20}, *edges, version=3)
    assert found.layout.stages == {"in": 1}
    assert found.layout.neurons["hidden"] == 32
    assert not found.misplaced
    assert "without it 16 neurons a core were needed" in found.reasons["hidden"]
    assert "its delay extension has 1 stage on" in found.reasons["in"]
    assert len(found.cores) <= 63


def test_several_stages_are_used_between_equal_full_cores_only() -> None:
    found = plan({"in": 256, "hidden": 2048}, ("in", "hidden", 360), version=3)
    assert max(found.layout.stages.values()) >= 2
    assert not found.misplaced
    assert found.layout.neurons["in"] == found.layout.neurons["hidden"]


def test_too_many_cores_are_refused_with_what_would_help() -> None:
    edges = [("in", "hidden", 500), ("hidden", "hidden", 500)]
    with pytest.raises(TargetLimitError) as error:
        plan({"in": 700, "hidden": 3000}, *edges, version=3)
    found = re.search(
        r"needs (\d+) cores, 63 are usable \((\d+) too many\); hidden takes (\d+) of them .* fit with --chips (\d+), "
        r"or delays of at most (\d+) ticks in place of 500 .*, or (\d+) neurons in hidden in place of 3000",
        str(error.value),
    )
    assert found, str(error.value)
    needed, too_many, taken, chips, shorter, fewer = (int(n) for n in found.groups())
    assert needed - 63 == too_many
    assert taken < needed

    def fits(size: int, longest: int, version: int = 3) -> bool:
        shortened = ((a, b, min(ticks, longest)) for a, b, ticks in edges)
        try:
            return bool(plan({"in": 700, "hidden": size}, *shortened, version=version))
        except TargetLimitError:
            return False

    assert chips == 48
    assert fits(3000, 500, version=5)
    assert fits(3000, shorter)
    assert not fits(3000, shorter + 1)
    assert fits(fewer, 500)
    assert not fits(fewer + 1, 500)


def test_a_delay_that_no_core_reaches_is_refused_by_name() -> None:
    with pytest.raises(
        TargetLimitError, match=r"population hidden: .* 40000 ticks \(in->hidden\) exceeds 36864"
    ) as error:
        plan(SHD, ("in", "hidden", 40000), ("hidden", "out", 3))
    assert "max_slot" in str(error.value)


def test_counters_of_a_delay_extension_limit_its_neurons() -> None:
    """A byte a neuron and tick: 8192 ticks leave room for 6 neurons."""
    found = plan({"in": 100, "hidden": 64}, ("in", "hidden", 5000))
    assert found.layout.stages == {"in": 1}
    assert found.layout.neurons["in"] * 8192 <= LIMITS["delay_counters_bytes"]
    assert found.use["in_delayed"].dtcm <= LIMITS["dtcm_bytes"]
    with pytest.raises(TargetLimitError, match="bytes of counters a core, there are 54756"):
        plan({"in": 100, "hidden": 64}, ("in", "hidden", 36000))


def test_targets_of_one_extension_get_equal_stages() -> None:
    found = plan({"in": 50, "a": 2000, "b": 300}, ("in", "a", 250), ("in", "b", 60), version=3)
    for source in found.layout.stages:
        assert len(found.layout.stage_lengths(source)) == 1


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"other": 3}, "'other' is no population"),
        ({"hidden": 0}, "0 is not in 1..256"),
        ({"hidden": 300}, "300 is not"),
    ],
)
def test_neurons_that_no_core_holds_are_refused(asked: dict[str, int], words: str) -> None:
    with pytest.raises(InputError, match=words):
        make_plan(problem(SHD, ("in", "hidden", 3)), LIMITS, neurons=asked)


def test_boards_that_nobody_has_are_refused() -> None:
    with pytest.raises(InputError, match="0 were asked for"):
        plan(SHD, ("in", "hidden", 3), boards=0)
    with pytest.raises(InputError, match="board version 4"):
        plan(SHD, ("in", "hidden", 3), version=4)


def test_a_network_before_training_needs_at_least_what_it_needs_after() -> None:
    for seed in range(6):
        network, _ = random_case(seed)
        populations = tuple(Population(p.name, p.kind, p.size) for p in network.populations)
        projections = tuple(ProjectionPlan(p.source, p.target, p.longest - 1, p.exists) for p in network.projections)
        before = make_plan(problem_of_plan(NetworkPlan(network.dt_ms, populations, projections)), LIMITS)
        after = make_plan(problem_of_network(network), LIMITS)
        assert before.layout.neurons == after.layout.neurons
        for vertex, use in after.use.items():
            assert use.sdram <= before.use[vertex].sdram


def test_bytes_of_rows_and_tables_are_those_of_the_words() -> None:
    """SDRAM counts the words of both regions, and filters: a header, and for each vertex one and a bit a neuron."""
    for seed in range(6):
        network, neurons = random_case(seed)
        found = make_plan(problem_of_network(network), LIMITS, neurons=neurons, allow_misplaced=True)
        for core in build_tables(network, found).cores:
            if "PopTable" in core.regions:
                words = core.regions["PopTable"].size + core.regions["SynBlocks"].size
                filters = found.use[core.core.vertex].sdram // 4 - words
                n_entries = int(core.regions["PopTable"][0])
                assert 2 + 4 * n_entries < filters < 2 + 4 * n_entries + 200


@given(
    sizes=st.tuples(st.integers(1, 900), st.integers(1, 3000), st.integers(1, 60)),
    delays=st.tuples(*[st.integers(1, 3000)] * 3),
    version=st.sampled_from([3, 5]),
)
@settings(max_examples=150, deadline=None)
def test_a_plan_holds_every_neuron_once_on_cores_of_their_own(
    sizes: tuple[int, int, int], delays: tuple[int, int, int], version: int
) -> None:
    of = dict(zip(("in", "hidden", "out"), sizes, strict=True))
    edges = zip(("in", "hidden", "hidden"), ("hidden", "hidden", "out"), delays, strict=True)
    try:
        found = plan(of, *edges, version=version)
    except TargetLimitError:
        return
    assert not found.misplaced
    assert not found.layout.obstacles()
    for name, size in of.items():
        held = [n for core in found.of(name) for n in range(core.first, core.last + 1)]
        assert held == list(range(size))
    places = [core.place for core in found.cores]
    assert None not in places
    assert len(set(places)) == len(places)
    for resource in found.resources:
        if resource.name != "router_entries":
            assert resource.limit is None or resource.used <= resource.limit


def test_planning_loads_nothing_heavy() -> None:
    code = (
        "import sys, hardware_targets.spinnaker.plan, hardware_targets.spinnaker.describe; "
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'numba', 'scipy', 'spynnaker', 'pyNN', 'matplotlib'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_rows_of_a_plan_follow_its_mask() -> None:
    mask = np.zeros((3, 10), dtype=np.bool_)
    mask[1, [0, 1, 2, 7]] = True
    rows = PossibleRows(3, 10, 5, mask)
    assert [(r.undelayed, r.delayed) for r in rows.maxima(5, 32, 0)] == [(3, 0), (3, 0)]
    assert read_limits() is LIMITS


def test_tables_that_a_board_does_not_hold_are_refused_with_what_would_help() -> None:
    sizes = {"in": 700, "hidden": 8000}
    with pytest.raises(TargetLimitError) as error:
        plan(sizes, ("in", "hidden", 30), ("hidden", "hidden", 30), version=3)
    found = re.search(
        r"take (\d+) bytes of SDRAM, .* have (\d+) .* more chips \(--chips\), or (\d+) neurons in hidden",
        str(error.value),
    )
    assert found, str(error.value)
    needed, held, fewer = (int(n) for n in found.groups())
    assert needed > held == 4 * LIMITS["sdram_bytes"]
    assert plan({**sizes, "hidden": fewer}, ("in", "hidden", 30), ("hidden", "hidden", 30), version=3).cores
    assert plan(sizes, ("in", "hidden", 30), ("hidden", "hidden", 30)).cores


def test_a_core_says_how_full_its_ring_buffers_are() -> None:
    """Its tightest limit, where its slots were chosen to fill them: 32 neurons, 2 types, 256 slots of 2 bytes."""
    rng = np.random.default_rng(0)
    delay = rng.integers(1, 251, (4, 32))
    network = IntegerNetwork(
        1.0,
        (population("in", 4, kind="spike_source"), population("a", 32)),
        (projection("in", "a", np.full((4, 32), 5), delay),),
    )
    placement = _placement(plan_of(network, {"in": 4, "a": 32}))
    use = {core.population: core.use for core in placement.cores}
    (resource,) = [r for r in placement.resources if r.name == "ring_buffer_bytes"]
    assert use["a"]["ring_buffer_bytes"] == resource.used == 32 * 2 * 256 * 2 == resource.limit
    assert set(use["in"]) == {"neurons_per_core"}, "what a spike source takes besides is not known"
