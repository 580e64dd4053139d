"""Relays: every trained population does what it does without them, in the emulator and in Lava, at the least cost."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware_targets.loihi.emulator import Emulation, emulate
from hardware_targets.loihi.integer_network import (
    LAVA_SLOT_MAX,
    READOUT_VTH,
    IntegerNetwork,
    IntegerPopulation,
    IntegerProjection,
    check_integers,
)
from hardware_targets.loihi.lava_export import write_lava_folder
from hardware_targets.loihi.lava_runner import LavaTraces, run_lava
from hardware_targets.loihi.limits import ChipLimits, read_limits
from hardware_targets.loihi.mapping import place_network
from hardware_targets.loihi.relays import Extended, count_relays, extend_delays, relay_resources
from tests.loihi.random_networks import assert_equal_traces, random_network, random_spikes
from toolchain.errors import NetworkError, TargetLimitError
from toolchain.spikes import SpikeTrains, bin_events

LOIHI2 = read_limits("loihi2")
BOUNDARIES = (0, 61, 62, 63, 64, 124, 125, 126, 188, 189, 251, 252, 400)


def limited(**values: int) -> ChipLimits:
    """Loihi 2 with some limits changed."""
    table = {name: replace(limit, value=values.get(name, limit.value)) for name, limit in LOIHI2.table.items()}
    return replace(LOIHI2, table=table)


def long_network(seed: int, max_slot: int) -> tuple[IntegerNetwork, SpikeTrains]:
    """A network of `random_network` with slots up to `max_slot` in most projections, and input that lasts longer."""
    network, short = random_network(seed)
    rng = np.random.default_rng([seed, max_slot])
    boundaries = [k for k in BOUNDARIES if k <= max_slot] + [max_slot]
    projections = []
    for projection in network.projections:
        shape, kind = projection.weight.shape, rng.integers(0, 4)
        slots = projection.slots if kind == 0 else rng.integers(0, max_slot + 1, shape)
        if kind == 1:
            slots = rng.choice(boundaries, shape)
        if kind == 2:
            slots = np.where(rng.random(shape[0])[:, np.newaxis] < 0.5, slots, 5)
        weight = np.where(rng.random(shape) < 0.15, 0, projection.weight).astype(np.int32)
        projections.append(replace(projection, weight=weight, slots=slots))
    network = replace(network, projections=tuple(projections))
    return network, random_spikes(rng, network, short.n_samples, max_slot + 120)


def without_relays(result: Emulation | LavaTraces, network: IntegerNetwork) -> LavaTraces:
    """Traces of the populations of a network."""
    names = [p.name for p in network.simulated]
    return LavaTraces(
        {name: result.u[name] for name in names},
        {name: result.v[name] for name in names},
        {name: result.spikes[name] for name in names},
        0.0,
    )


def assert_relays_change_nothing(network: IntegerNetwork, spikes: SpikeTrains, limits: ChipLimits = LOIHI2) -> Extended:
    extended = extend_delays(network, limits)
    check_integers(extended.network, limits["slot_max"])
    direct, relayed = emulate(network, spikes, traces=True), emulate(extended.network, spikes, traces=True)
    assert_equal_traces(without_relays(direct, network), without_relays(relayed, network))
    np.testing.assert_array_equal(direct.readout_v, relayed.readout_v)
    for name in direct.spike_counts:
        np.testing.assert_array_equal(direct.spike_counts[name], relayed.spike_counts[name])
    return extended


@cache
def fewest_relays(slot: int, slot_max: int) -> int:
    """Relays in a row without which a delay cannot be had, by trying every way of dividing it."""
    repeated_after, n = {0}, 0
    while not any(0 <= slot - steps <= slot_max for steps in repeated_after):
        repeated_after = {steps + 1 + hop for steps in repeated_after for hop in range(slot_max + 1)}
        n += 1
    return n


def fewest_of_network(network: IntegerNetwork, slot_max: int) -> int:
    """Relays of a network, one source neuron at a time: those of its longest synapse serve the others too."""
    total = 0
    for population in network.populations:
        mine = [p for p in network.projections if p.source == population.name]
        for unit in range(population.size):
            slots = [p.slots[unit, post] for p in mine for post in np.flatnonzero(p.weight[unit] * p.exists[unit])]
            total += max((fewest_relays(int(slot), slot_max) for slot in slots), default=0)
    return total


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), max_slot=st.sampled_from([63, 64, 100, 125, 126, 200, 315, 400]))
def test_relays_change_nothing_and_are_as_few_as_can_be(seed: int, max_slot: int) -> None:
    network, spikes = long_network(seed, max_slot)
    extended = assert_relays_change_nothing(network, spikes)
    assert extended.n_relays == fewest_of_network(network, 62) == count_relays(network.as_graph(), 62)
    assert sum(p.size for p in extended.network.simulated) == extended.n_relays + sum(p.size for p in network.simulated)
    # One synapse onto each relay, and all of the original ones.
    synapses = sum(p.n_synapses for p in network.projections)
    assert sum(p.n_synapses for p in extended.network.projections) == synapses + extended.n_relays
    long = {p.name: np.count_nonzero((p.slots > 62) & p.exists & (p.weight != 0)) for p in network.projections}
    assert extended.moved == long


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), slot_max=st.sampled_from([0, 1, 6, 14, 30]), max_slot=st.integers(1, 90))
def test_a_chip_with_fewer_slots_has_more_stages(seed: int, slot_max: int, max_slot: int) -> None:
    network, spikes = long_network(seed, max_slot)
    extended = assert_relays_change_nothing(network, spikes, limited(slot_max=slot_max))
    assert extended.n_relays == fewest_of_network(network, slot_max)


def one_source(slots: list[int]) -> IntegerNetwork:
    """One source and a neuron for each slot; with full decay its voltage shows what arrives and nothing else."""
    out = IntegerPopulation("out", "leaky_readout", len(slots), 4095, 4096, READOUT_VTH)
    weight = np.full((1, len(slots)), 2, dtype=np.int32)
    return IntegerNetwork(
        1.0,
        (IntegerPopulation("in", "spike_source", 1), out),
        (IntegerProjection("in", "out", weight, 3, np.array([slots])),),
    )


def trains(*times: list[int], n_steps: int) -> SpikeTrains:
    """Samples of one unit."""
    return bin_events([(np.array(t, dtype=np.int64), np.zeros(len(t), dtype=np.int64)) for t in times], 1, n_steps)[0]


@pytest.mark.parametrize("times", [[5], [0, 1, 2], list(range(500))], ids=["one spike", "a burst", "every step"])
def test_a_spike_of_step_t_on_slot_k_arrives_at_t_plus_1_plus_k(times: list[int]) -> None:
    slots = list(range(401))
    network = extend_delays(one_source(slots), LOIHI2).network
    voltage = emulate(network, trains(times, n_steps=500)).readout_v[0]
    expected = np.zeros((500, 401), dtype=np.int32)
    for t in times:
        for k in slots:
            if t + 1 + k < 500:
                expected[t + 1 + k, k] = 2 * 2**3 * 64
    np.testing.assert_array_equal(voltage, expected)


def test_a_relay_repeats_every_spike_and_nothing_else() -> None:
    network = extend_delays(one_source([200, 63, 3]), LOIHI2).network
    rng = np.random.default_rng(1)
    sent = np.flatnonzero(rng.random(300) < 0.5)
    result = emulate(network, trains(sent.tolist(), n_steps=300), traces=True)
    # Stages are full hops of 63 steps but the last, which leaves slot 62 for the longest synapse.
    assert [p.name for p in network.simulated] == ["out", "in+63", "in+126", "in+138"]
    for name, later in (("in+63", 63), ("in+126", 126), ("in+138", 138)):
        repeated = sent[sent + later < 300] + later
        np.testing.assert_array_equal(np.flatnonzero(result.spikes[name][0, :, 0]), repeated)
        assert result.spike_counts[name].tolist() == [repeated.size]
        assert (result.wraps[name], result.clips[name]) == (0, 0)


def test_spikes_in_relays_end_with_their_sample() -> None:
    network = extend_delays(one_source([300]), LOIHI2).network
    result = emulate(network, trains([150, 199], [], [0], n_steps=400), traces=True, threads=1)
    assert [np.flatnonzero(v).tolist() for v in result.readout_v[:, :, 0]] == [[], [], [301]]
    assert not any(spikes[1].any() for spikes in result.spikes.values())


def test_stages_are_shared_between_projections_and_hold_the_sources_that_need_them() -> None:
    """Sources 0 to 3 need 0, 1, 2 and 2 relays, for synapses of two projections."""
    slots = {"a": np.array([[62, 0], [63, 1], [70, 150], [10, 20]]), "out": np.array([[5], [80], [0], [126]])}
    network = IntegerNetwork(
        1.0,
        (
            IntegerPopulation("in", "spike_source", 4),
            IntegerPopulation("a", "lif", 2, 400, 200, 90),
            IntegerPopulation("out", "leaky_readout", 1, 400, 200, READOUT_VTH),
        ),
        tuple(
            IntegerProjection("in", name, np.full(k.shape, 60, dtype=np.int32), 1, k.astype(np.int64))
            for name, k in slots.items()
        ),
    )
    spikes = random_spikes(np.random.default_rng(0), network, 2, 250)
    extended = assert_relays_change_nothing(network, spikes)
    assert [(s.name, s.slot, s.units.tolist()) for s in extended.stages] == [
        ("in+63", 62, [1, 2, 3]),
        ("in+88", 24, [2, 3]),
    ]
    synapses = {p.name: sorted(p.slots[p.exists].tolist()) for p in extended.network.projections}
    assert synapses == {
        "in->a": [0, 1, 10, 20, 62],
        "in->out": [0, 5],
        "in->in+63": [62, 62, 62],
        "in+63->in+88": [24, 24],
        "in+63->a": [0, 7],
        "in+88->a": [62],
        "in+63->out": [17],
        "in+88->out": [38],
    }


def test_without_long_delays_the_network_is_the_same_object() -> None:
    for seed in range(6):
        network, _ = random_network(seed)
        extended = extend_delays(network, LOIHI2)
        assert extended.network is network
        assert (extended.n_relays, extended.stages) == (0, ())
        assert set(extended.moved.values()) == {0}


def test_a_synapse_without_weight_or_behind_a_mask_gets_no_relay() -> None:
    network = one_source([300, 300, 7])
    (first,) = network.projections
    weight, mask = first.weight.copy(), np.array([[True, False, True]])
    weight[0, 0] = 0
    network = replace(network, projections=(replace(first, weight=weight, mask=mask),))
    extended = assert_relays_change_nothing(network, trains([0, 3], n_steps=350))
    assert extended.n_relays == 0
    (kept,) = extended.network.projections
    assert (kept.slots.tolist(), kept.n_synapses) == ([[0, 0, 7]], 2)


def test_names_of_relays_are_free() -> None:
    network = one_source([150])
    more = tuple(IntegerPopulation(name, "lif", 1) for name in ("in+63", "in+88", "in+88'"))
    extended = extend_delays(replace(network, populations=(*network.populations, *more)), LOIHI2)
    assert [s.name for s in extended.stages] == ["in+63'", "in+88''"]
    check_integers(extended.network, 62)


def test_delays_that_the_emulator_cannot_address_are_refused() -> None:
    network = one_source([65_534] * 70_000)
    with pytest.raises(NetworkError, match="slot 65534 onto 70000 neurons need 4587520000 places"):
        emulate(network, trains([0], n_steps=5))


@pytest.mark.parametrize("by", [1, -1])
def test_one_step_more_or_less_on_the_way_is_found(by: int) -> None:
    """The comparison of these tests sees a stage that is off by one."""
    found = 0
    for seed in range(6):
        network, spikes = long_network(seed, 126)
        extended = extend_delays(network, LOIHI2)
        names = {s.name for s in extended.stages}
        wrong = replace(
            extended.network,
            projections=tuple(
                replace(p, slots=np.where(p.exists, np.abs(p.slots + by), 0)) if p.target in names else p
                for p in extended.network.projections
            ),
        )
        direct, relayed = emulate(network, spikes, traces=True), emulate(wrong, spikes, traces=True)
        try:
            assert_equal_traces(without_relays(direct, network), without_relays(relayed, network))
        except AssertionError:
            found += 1
    assert found >= 4


@pytest.mark.parametrize(
    ("changes", "used"),
    [
        ({"neurons_per_core": 2}, "600 neurons; the 4 cores of loihi2 have 8"),
        ({}, "37800 accumulator cells.* have 32768"),
    ],
)
def test_more_relays_than_the_chip_can_hold_are_refused(changes: dict[str, int], used: str) -> None:
    """Before they are made: 200 neurons with slots of 251, three relays each, in which a spike waits 189 steps."""
    network = one_source([251])
    (first,) = network.projections
    network = replace(
        network,
        populations=(IntegerPopulation("in", "spike_source", 200), network["out"]),
        projections=(replace(first, weight=np.repeat(first.weight, 200, 0), slots=np.repeat(first.slots, 200, 0)),),
    )
    assert extend_delays(network, limited(cores=5)).n_relays == 600
    with pytest.raises(TargetLimitError, match=f"delays up to slot 251 need 600 relays, which take {used}; train"):
        extend_delays(network, limited(cores=4, **changes))


def test_relays_have_rows_among_the_resources() -> None:
    network, _ = long_network(3, 200)
    extended = extend_delays(network, LOIHI2)
    limits = limited(neurons_per_core=4)
    placement = place_network(extended.network, limits)
    neurons, synapses, cores = relay_resources(extended, placement, limits)
    assert (neurons.name, neurons.used, neurons.limit) == ("relay_neurons", fewest_of_network(network, 62), 128 * 4)
    assert (synapses.name, synapses.used) == ("relay_synapses", neurons.used)
    # No core holds two populations, so every stage fills as many as its size needs.
    filled = sum(-(-stage.units.size // 4) for stage in extended.stages)
    assert (cores.name, cores.used, cores.limit) == ("relay_cores", filled, 128)
    assert f"{sum(extended.moved.values())} others start there" in synapses.note


def test_the_last_stage_leaves_room_for_more_relays_on_a_core() -> None:
    """Slot 128: the second stage is reached through slot 2 and needs 8 rows of the delay buffer instead of 64."""
    network = one_source([128])
    (first,) = network.projections
    network = replace(
        network,
        populations=(IntegerPopulation("in", "spike_source", 300), network["out"]),
        projections=(replace(first, weight=np.repeat(first.weight, 300, 0), slots=np.repeat(first.slots, 300, 0)),),
    )
    extended = extend_delays(network, LOIHI2)
    cores = place_network(extended.network, LOIHI2).cores
    assert [sum(c.population == s.name for c in cores) for s in extended.stages] == [3, 1]


def test_slots_beyond_lava_are_not_exported(tmp_path: Path) -> None:
    network = one_source([LAVA_SLOT_MAX + 1])
    spikes = trains([1], n_steps=70)
    with pytest.raises(NetworkError, match="delay slot 64 exceeds 63; deploy with --extend-delays"):
        write_lava_folder(network, spikes, None, tmp_path)
    write_lava_folder(extend_delays(network, LOIHI2).network, spikes, None, tmp_path)
    script = (tmp_path / "network.py").read_text()
    assert "1 relays, which repeat spikes of 'in' later" in script
    # Relays pass on what the readout does not: it still is what the network is read from.
    assert "readout='out'" in script


def test_an_output_that_feeds_itself_through_relays_is_the_readout_of_the_script(tmp_path: Path) -> None:
    network = one_source([3, 4])
    loop = IntegerProjection("out", "out", np.full((2, 2), 2, dtype=np.int32), 0, np.full((2, 2), 100))
    network = replace(
        network,
        populations=(network["in"], IntegerPopulation("out", "lif", 2, 400, 200, 10)),
        projections=(*network.projections, loop),
    )
    extended = assert_relays_change_nothing(network, trains([0, 2], n_steps=250))
    assert [s.name for s in extended.stages] == ["out+38"]
    write_lava_folder(extended.network, trains([1], n_steps=70), None, tmp_path)
    assert "readout='out'" in (tmp_path / "network.py").read_text()


@pytest.mark.lava
def test_relays_in_lava_equal_the_emulator(tmp_path: Path) -> None:
    """Every spike, u and v of relays and of all others; two samples, between which relays are reset."""
    rng = np.random.default_rng(5)
    sizes = {"in": 4, "hidden": 4, "out": 2}
    populations = (
        IntegerPopulation("in", "spike_source", 4),
        IntegerPopulation("hidden", "lif", 4, 300, 150, 250),
        IntegerPopulation("out", "leaky_readout", 2, 400, 100, READOUT_VTH),
    )
    longest = {("in", "hidden"): 200, ("hidden", "hidden"): 130, ("hidden", "out"): 20}
    projections = []
    for (source, target), slot in longest.items():
        shape = (sizes[source], sizes[target])
        weight = (2 * rng.integers(-30, 120, shape)).astype(np.int32)
        slots = rng.integers(0, slot + 1, shape)
        slots[0, 0] = slot
        mask = ~np.eye(4, dtype=np.bool_)[::-1] if source == target else None
        projections.append(IntegerProjection(source, target, weight, 1, slots, mask))
    network = IntegerNetwork(1.0, populations, tuple(projections))
    spikes = random_spikes(rng, network, 2, 220)
    extended = assert_relays_change_nothing(network, spikes)
    assert [s.steps for s in extended.stages] == [63, 126, 138, 63, 68]
    write_lava_folder(extended.network, spikes, None, tmp_path / "lava")
    theirs = run_lava(tmp_path / "lava", samples=2, timeout_s=500)
    ours = emulate(extended.network, spikes, traces=True)
    assert_equal_traces(ours, theirs)
    assert all(ours.spikes[p.name].sum() > 10 for p in extended.network.simulated if p.name != "out")
