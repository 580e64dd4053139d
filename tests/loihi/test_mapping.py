"""Placement: every neuron once, no limit broken, no more cores than needed, the same every time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from hardware_targets.loihi import loihi1, loihi2
from hardware_targets.loihi.integer_network import IntegerNetwork
from hardware_targets.loihi.limits import ChipLimits
from hardware_targets.loihi.mapping import place_network
from hardware_targets.loihi.mapping.formats import Formats, delay_depth
from hardware_targets.loihi.mapping.problem import Problem, problem_of_network
from hardware_targets.loihi.mapping.splitting import PER_CORE, SliceUse
from tests.loihi.mapped_networks import LOIHI1, LOIHI2, chain, chips, limited, networks, recount, within
from tests.networks import random_network, random_spikes
from toolchain.deployment.target import Placement
from toolchain.errors import InputError, TargetLimitError


def sizes_of(placement: Placement, population: str) -> list[int]:
    """Neurons of each core of a population, in order of neurons."""
    cores = sorted((c for c in placement.cores if c.population == population), key=lambda c: c.first)
    return [c.last - c.first + 1 for c in cores]


def placed(network: IntegerNetwork, limits: ChipLimits) -> Placement | str:
    """The placement, or the message that says why there is none."""
    try:
        return place_network(network, limits)
    except TargetLimitError as refused:
        return str(refused)


@given(network=networks(), limits=chips())
@settings(max_examples=80, deadline=None)
def test_a_placement_holds_every_neuron_once_within_all_limits(network: IntegerNetwork, limits: ChipLimits) -> None:
    """Or the message names a limit. What cores take is counted again, synapse by synapse."""
    placement = placed(network, limits)
    if isinstance(placement, str):
        assert [name for name in (*PER_CORE, "cores") if name in placement], placement
        return
    for population in network.simulated:
        held = [n for c in placement.cores if c.population == population.name for n in range(c.first, c.last + 1)]
        assert sorted(held) == list(range(population.size))
    places = [(c.chip, c.core) for c in placement.cores]
    assert places == sorted(set(places))
    assert all(0 <= c.chip < 8 and 0 <= c.core < limits["cores"] for c in placement.cores)
    assert len({c.chip for c in placement.cores}) == -(-len(placement.cores) // limits["cores"])
    assert [dict(c.use) for c in placement.cores] == recount(network, placement, limits)
    assert all(within(c, limits) for c in placement.cores)
    again = place_network(network, limits)
    assert (again.cores, again.resources) == (placement.cores, placement.resources)


@given(network=networks(), limits=chips())
@settings(max_examples=40, deadline=None)
def test_no_population_takes_more_cores_than_filling_one_after_the_other(
    network: IntegerNetwork, limits: ChipLimits
) -> None:
    limits = limited(limits, axons_out_per_core=None, chips=32)
    placement = placed(network, limits)
    if isinstance(placement, str):
        return
    slice_use = SliceUse(problem_of_network(network, limits), limits)
    for population in network.simulated:
        naive = first = 0
        while first < population.size:
            last = first + 1
            while last < population.size and slice_use.fits(population.name, first, last + 1):
                last += 1
            naive, first = naive + 1, last
        assert len(sizes_of(placement, population.name)) == naive


def test_64_slots_leave_128_neurons_a_core() -> None:
    """8192 cells, 64 slots: facts/lava.md section 5. Three cores are needed, and share the neurons out evenly."""
    for limits in (LOIHI1, LOIHI2):
        assert sizes_of(place_network(chain(hidden=300), limits), "hidden") == [100, 100, 100]
        assert sizes_of(place_network(chain(hidden=256), limits), "hidden") == [128, 128]
        assert sizes_of(place_network(chain(hidden=257), limits), "hidden") == [85, 86, 86]


def test_short_delays_leave_more() -> None:
    assert sizes_of(place_network(chain(largest=6), LOIHI2), "hidden") == [300]
    # 900 neurons of 16 slots are 14400 cells.
    assert sizes_of(place_network(chain(hidden=900, largest=14, density=0.1), LOIHI1), "hidden") == [450, 450]


@pytest.mark.parametrize(("slot", "depth"), [(0, 8), (6, 8), (7, 16), (14, 16), (15, 32), (30, 32), (31, 64), (62, 64)])
def test_depth_leaves_two_slots_unused(slot: int, depth: int) -> None:
    assert delay_depth(slot, LOIHI1) == depth


def test_axon_bits_of_the_published_example() -> None:
    """128 targets of 8 + 6 bits: two blocks of 64 * 14 + 10 = 906, rounded up to 960 bits each."""
    bits = Formats(LOIHI1).axon_bits(128, 14)
    assert bits[[0, 1, 64, 128]].tolist() == [0, 64, 960, 1920]


def test_formats_say_how_synapses_are_stored() -> None:
    """Multiples of 8 up to 120 take 5 bits, which are no choice on a chip without 5 to 7; a tenth is worth an index."""
    network = chain(inputs=200, hidden=100, largest=3)
    first, recurrent, last = network.projections
    mask = np.random.default_rng(1).random(recurrent.weight.shape) < 0.1
    coarse = (8 * np.random.default_rng(2).integers(-15, 16, first.weight.shape)).astype(np.int32)
    network = replace(
        network,
        projections=(
            replace(first, weight=coarse, slots=np.zeros_like(first.slots)),
            replace(recurrent, weight=recurrent.weight * mask, mask=mask, slots=recurrent.slots * mask),
            last,
        ),
    )
    formats = {c.population: dict(c.formats) for c in place_network(network, LOIHI1).cores}
    assert formats == {
        "hidden": {
            "in->hidden": "dense, 5 weight + 0 delay bits",
            "hidden->hidden": "indexed, 7 index + 8 weight + 2 delay bits",
        },
        "out": {"hidden->out": "dense, 8 weight + 2 delay bits"},
    }
    no_five = {**LOIHI1.choices, "weight_bits": replace(LOIHI1.choices["weight_bits"], value=(4, 8))}
    placed = place_network(network, replace(LOIHI1, choices=no_five))
    (core,) = (c for c in placed.cores if c.population == "hidden")
    assert core.formats["in->hidden"] == "dense, 8 weight + 0 delay bits"


def test_synapses_of_weight_0_need_no_axon_no_memory_and_no_slot() -> None:
    network = chain(hidden=20)
    first, *others = network.projections
    weight, slots = first.weight.copy(), first.slots.copy()
    weight[3:], slots[3:], slots[:3] = 0, 62, 1
    recurrent = replace(others[0], weight=np.zeros_like(others[0].weight))
    changed = replace(network, projections=(replace(first, weight=weight, slots=slots), recurrent, others[1]))
    (core,) = (c for c in place_network(changed, LOIHI2).cores if c.population == "hidden")
    assert (core.use["axons_in_per_core"], core.use["delay_cells_per_core"]) == (3, 20 * 8)
    assert set(core.formats) == {"in->hidden"}


def test_too_many_axons_out_make_slices_shorter() -> None:
    """128 neurons a core would reach four cores each; at most 300 axons leave a core."""
    network = chain(hidden=200)
    placement = place_network(network, limited(axons_out_per_core=300, axons_in_per_core=None))
    sizes = sizes_of(placement, "hidden")
    assert max(sizes) * (len(sizes) + 1) <= 300
    assert [dict(c.use) for c in placement.cores] == recount(network, placement, LOIHI2)


def test_axons_out_that_shorter_slices_do_not_make_fewer() -> None:
    """Every neuron of a recurrent layer reaches every core that holds a part of it, itself included."""
    with pytest.raises(TargetLimitError, match=r"hidden: the core of neurons 0\.\.\d+ takes \d+ axons of axons_out"):
        place_network(chain(hidden=200), limited(axons_out_per_core=150))


def test_unknown_limit_is_reported_as_such_and_not_checked() -> None:
    placement = place_network(chain(), limited(delay_cells_per_core=None))
    rows = {r.name: r for r in placement.resources}
    assert rows["delay_cells_per_core"].limit is None
    assert sizes_of(placement, "hidden") == [300]
    assert rows["cores"].used == len(placement.cores) == 2


def test_rows_say_what_of_a_limit_is_assumed() -> None:
    rows = {r.name: r for r in place_network(chain(), LOIHI2).resources}
    assert rows["delay_cells_per_core"].note.startswith("assumed: Loihi 1")
    assert (rows["chips"].used, rows["chips"].limit) == (1, 8)
    assert (rows["cores"].used, rows["cores"].limit) == (4, 128)
    rows = {r.name: r for r in place_network(chain(), LOIHI1).resources}
    assert (rows["chips"].limit, rows["synapse_formats_per_core"].limit) == (32, 16)


@pytest.mark.parametrize("asked", [0, 1153])
def test_more_chips_than_any_system_has(asked: int) -> None:
    with pytest.raises(InputError, match=f"chips: {asked} of loihi2 were asked for; the largest system has 1152"):
        place_network(chain(), LOIHI2, chips=asked)


@pytest.mark.parametrize("target", [loihi1, loihi2], ids=["loihi1", "loihi2"])
def test_both_chips_quantise_and_place_a_network_and_count_its_spikes(target: object) -> None:
    assert target in (loihi1, loihi2)
    chip = loihi1 if target is loihi1 else loihi2
    random = np.random.default_rng(3)
    network = random_network("two_layers", random)
    spikes = random_spikes(random, 4, 5, 60, 0.1)
    quantised = chip.quantise(network, spikes, clip_delays=False)
    emulated = chip.emulate(quantised, spikes)
    rows = {r.name: r for r in chip.place(quantised, spikes=spikes).resources}
    # Each hidden layer sits on one core and reaches one other.
    sent = sum(emulated.spike_counts[name].sum() for name in ("a", "b"))
    assert rows["messages_between_cores"].used == pytest.approx(sent / 4)
    assert rows["messages_between_cores"].unit == "messages a sample"
    before = {r.name: r for r in chip.place(quantised).resources}
    assert before["messages_between_cores"].used == network["a"].size + network["b"].size


def test_a_problem_of_alike_neurons_knows_it() -> None:
    def alike(problem: Problem) -> list[bool]:
        return [s.alike for s in problem.synapses]

    assert alike(problem_of_network(chain(), LOIHI2)) == [False, False, False]
    network = chain(largest=0)
    same = tuple(replace(p, weight=np.full_like(p.weight, 4)) for p in network.projections)
    assert alike(problem_of_network(replace(network, projections=same), LOIHI2)) == [True, True, True]
