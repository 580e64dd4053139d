"""Placement: every neuron once, no limit broken, no core that could have taken one more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hardware_targets.loihi.integer_network import IntegerNetwork, IntegerPopulation, IntegerProjection
from hardware_targets.loihi.limits import ChipLimits, Limit, read_limits
from hardware_targets.loihi.mapping import PER_CORE, axon_bits, delay_depth, place_network
from toolchain.errors import TargetLimitError

LOIHI2 = read_limits("loihi2")


def limited(**values: int | None) -> ChipLimits:
    """Loihi 2 with some limits changed."""
    table = dict(LOIHI2.table)
    for name, value in values.items():
        table[name] = replace(table[name], value=value)
    return ChipLimits("test chip", table, LOIHI2.choices)


def network(inputs: int = 20, hidden: int = 300, largest: int = 62, masked: bool = False) -> IntegerNetwork:
    random = np.random.default_rng(0)

    def projection(source: str, target: str, n: int, m: int) -> IntegerProjection:
        mask = random.random((n, m)) < 0.3 if masked else None
        weight = 2 * random.integers(-128, 128, (n, m)).astype(np.int32)
        slots = random.integers(0, largest + 1, (n, m))
        if mask is not None:
            weight, slots = weight * mask, slots * mask
        return IntegerProjection(source, target, weight.astype(np.int32), 0, slots, mask)

    populations = (
        IntegerPopulation("in", "spike_source", inputs),
        IntegerPopulation("hidden", "lif", hidden, 700, 200, 100, 1.0),
        IntegerPopulation("out", "leaky_readout", 10, 700, 200, 131071, 1.0),
    )
    return IntegerNetwork(
        1.0,
        populations,
        (
            projection("in", "hidden", inputs, hidden),
            projection("hidden", "hidden", hidden, hidden),
            projection("hidden", "out", hidden, 10),
        ),
    )


@pytest.mark.parametrize(
    "limits",
    [
        LOIHI2,
        limited(neurons_per_core=37),
        limited(synaptic_memory_per_core=200_000),
        limited(delay_cells_per_core=1024),
        limited(delay_cells_per_core=None, synaptic_memory_per_core=None),
    ],
)
@pytest.mark.parametrize("masked", [False, True])
def test_every_neuron_is_placed_once_within_all_limits(limits: ChipLimits, masked: bool) -> None:
    net = network(masked=masked)
    placement = place_network(net, limits)
    for population in net.simulated:
        covered = [n for c in placement.cores if c.population == population.name for n in range(c.first, c.last + 1)]
        assert covered == list(range(population.size))
    for core in placement.cores:
        assert set(core.use) == set(PER_CORE)
        for name, used in core.use.items():
            value = limits.table[name].value
            assert value is None or used <= value
    assert [c.core for c in placement.cores] == list(range(len(placement.cores)))


@pytest.mark.parametrize("masked", [False, True])
def test_uses_are_what_counting_synapse_by_synapse_gives(masked: bool) -> None:
    net = network(hidden=90, masked=masked)
    sizes = {p.name: p.size for p in net.populations}
    placement = place_network(net, limited(neurons_per_core=40))
    for core in placement.cores:
        bits = axons = deepest = 0
        for projection in net.projections:
            if projection.target != core.population:
                continue
            for pre in range(sizes[projection.source]):
                targets = [
                    post
                    for post in range(core.first, core.last + 1)
                    if projection.mask is None or projection.mask[pre, post]
                ]
                deepest = max([deepest, *(int(projection.slots[pre, post]) for post in targets)])
                axons += bool(targets)
                for block in range(0, len(targets), 64):
                    n = len(targets[block : block + 64])
                    bits += -(-(n * (8 + 6 + (12 if masked else 0)) + 10) // 64) * 64
        assert core.use["synaptic_memory_per_core"] == bits
        assert core.use["axons_in_per_core"] == axons
        assert core.use["delay_cells_per_core"] == (core.last - core.first + 1) * delay_depth(deepest)
    axons_out = sum(core.use["axons_out_per_core"] for core in placement.cores)
    assert axons_out == sum(c.use["axons_in_per_core"] for c in placement.cores) - sum(
        len({pre for pre in range(20) for post in range(c.first, c.last + 1)
             if net.projections[0].mask is None or net.projections[0].mask[pre, post]})
        for c in placement.cores if c.population == "hidden"
    )  # fmt: skip


def test_64_slots_leave_128_neurons_a_core() -> None:
    """The Loihi 1 figure of facts/lava.md section 5: 8192 cells, 64 slots."""
    assert [c.use["neurons_per_core"] for c in place_network(network(hidden=300), LOIHI2).cores] == [128, 128, 44, 10]


def test_short_delays_leave_more() -> None:
    assert [c.use["neurons_per_core"] for c in place_network(network(largest=6), LOIHI2).cores] == [300, 10]


@pytest.mark.parametrize(("slot", "depth"), [(0, 8), (6, 8), (7, 16), (14, 16), (15, 32), (30, 32), (31, 64), (62, 64)])
def test_depth_leaves_two_slots_unused(slot: int, depth: int) -> None:
    assert delay_depth(slot) == depth


def test_axon_bits_of_the_published_example() -> None:
    """128 targets of 8 + 6 bits: two blocks of 64 * 14 + 10 = 906, rounded up to 960 bits each."""
    assert axon_bits(np.array([128, 64, 0, 1]), indexed=False).tolist() == [1920, 960, 0, 64]


def test_too_few_cores_names_both_numbers() -> None:
    with pytest.raises(TargetLimitError, match="needs 4 cores, test chip has 3"):
        place_network(network(), limited(cores=3))


def test_one_neuron_too_many_inputs_is_named() -> None:
    with pytest.raises(
        TargetLimitError, match=r"population hidden: neurons 0\.\.0 take 320 axons of axons_in_per_core"
    ):
        place_network(network(), limited(axons_in_per_core=100))


def test_unknown_limit_is_reported_as_such() -> None:
    rows = {r.name: r for r in place_network(network(), limited(delay_cells_per_core=None)).resources}
    assert rows["delay_cells_per_core"].limit is None
    assert rows["cores"].used == len(place_network(network(), limited(delay_cells_per_core=None)).cores)


def test_every_limit_has_unit_and_source() -> None:
    for limit in LOIHI2.table.values():
        assert isinstance(limit, Limit)
        assert limit.unit
        assert limit.source
