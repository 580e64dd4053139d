"""A network that does not fit: which limit, by how much, and changes that do what they say."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware_targets.loihi import loihi2
from hardware_targets.loihi.integer_network import IntegerNetwork, IntegerProjection
from hardware_targets.loihi.limits import ChipLimits
from hardware_targets.loihi.mapping import place_network, place_plan
from tests.loihi.mapped_networks import LOIHI1, LOIHI2, chain, limited, make_network, networks, random_projection
from toolchain.deployment.plan import NetworkPlan, ProjectionPlan
from toolchain.errors import TargetLimitError
from toolchain.network import Population


def refused(network: IntegerNetwork, limits: ChipLimits, chips: int | None = None) -> list[str]:
    """Lines of the message of a network that does not fit; none if it fits."""
    try:
        place_network(network, limits, chips=chips)
    except TargetLimitError as error:
        return str(error).splitlines()
    return []


def fits_with(change: str, network: IntegerNetwork, limits: ChipLimits, chips: int | None, off: int = 0) -> bool:
    """Whether the network fits with what a line says, or with `off` more than that."""
    first, _, second = change.partition(", and ")
    if second:
        (largest,) = re.findall(r"delays of at most (\d+) slots", first)
        cut = tuple(replace(p, slots=np.minimum(p.slots, int(largest))) for p in network.projections)
        return fits_with(second, replace(network, projections=cut), limits, chips, off)
    if found := re.search(r"^(\d+) chips in place of", change):
        return not refused(network, limits, int(found[1]) + off)
    if found := re.search(r"delays of at most (\d+) slots", change):
        largest = int(found[1]) + off
        changed = [replace(p, slots=np.minimum(p.slots, largest)) for p in network.projections]
    elif found := re.search(r"weights of (\d+) bits", change):
        step = 9 - int(found[1]) - off
        changed = [replace(p, weight=(p.weight >> step) << step) for p in network.projections]
    elif found := re.search(r"^(\S+) of density (\S+) in place of (\S+) ", change):
        kept = float(found[2]) / float(found[3])
        changed = [sparser(p, kept) if p.name == found[1] else p for p in network.projections]
    elif found := re.search(r"every projection with (\d+) %", change):
        changed = [sparser(p, int(found[1]) / 100) for p in network.projections]
    else:
        sizes = {name: int(n) + off for name, n in re.findall(r"(\S+) of (\d+) (?:neurons|channels)", change)}
        assert sizes, change
        network = replace(
            network, populations=tuple(replace(p, size=sizes.get(p.name, p.size)) for p in network.populations)
        )
        changed = [
            replace(p, weight=p.weight[cut], slots=p.slots[cut], mask=None if p.mask is None else p.mask[cut])
            for p in network.projections
            for cut in [(slice(sizes.get(p.source)), slice(sizes.get(p.target)))]
        ]
    return not refused(replace(network, projections=tuple(changed)), limits, chips)


def sparser(projection: IntegerProjection, kept: float) -> IntegerProjection:
    """A projection of which so many synapses are left; another draw than the mapper's."""
    mask = projection.exists & (np.random.default_rng(7).random(projection.weight.shape) < kept)
    return replace(projection, weight=projection.weight * mask, slots=projection.slots * mask, mask=mask)


def shares(changes: list[str]) -> list[float]:
    return [sum(float(share) for share in re.findall(r"\((\S+) % ", change)) for change in changes]


def test_too_few_cores_says_how_many_why_and_what_would_help() -> None:
    head, *changes = refused(chain(hidden=300), limited(cores=3, chips=1))
    assert head == (
        "network: needs 4 cores, test chip has 3 (1 too many, 1.33 times the limit); hidden takes 3 of them: "
        "delay_cells_per_core holds 128 of its neurons on a core; it would fit with any one of"
    )
    assert changes == [
        "  hidden of 256 neurons in place of 300 (15 % fewer)",
        "  delays of at most 30 slots in place of 62 (52 % less): training.max_slot",
        "  2 chips in place of 1 (100 % more): --chips 2",
    ]


def test_one_neuron_with_too_many_inputs_is_named() -> None:
    head, *changes = refused(chain(hidden=300), limited(axons_in_per_core=100))
    # 20 inputs and 300 neurons.
    assert head.startswith(
        "population hidden: neuron 0 takes 320 axons of axons_in_per_core, test chip has 100 (220 too many, 3.2 times "
    )
    assert changes[0].startswith("  hidden of ")


def test_memory_that_is_too_small_can_be_helped_by_fewer_synapses_or_bits() -> None:
    """As many readout neurons as there are classes: only synapses and bits can become fewer."""
    sizes = {"in": 200, "out": 60}
    network = make_network(sizes, [random_projection(np.random.default_rng(0), sizes, "in", "out", 0)])
    limits = limited(synaptic_memory_per_core=40_000, cores=2, chips=1, chips_of_largest_system=1)
    head, *changes = refused(network, limits)
    assert "synaptic_memory_per_core holds " in head
    assert [re.sub(r"\d+(\.\d+)?", "#", change) for change in changes] == [
        "  in of # channels in place of # (# % fewer)",
        "  weights of # bits in place of # (# % fewer)",
        "  in->out of density # in place of # (# % fewer)",
    ]
    for change in changes:
        assert fits_with(change.strip(), network, limits, None), change


@given(network=networks(), cores=st.integers(1, 6), chip=st.sampled_from([LOIHI1, LOIHI2]))
@settings(max_examples=40, deadline=None)
def test_changes_do_what_they_say(network: IntegerNetwork, cores: int, chip: ChipLimits) -> None:
    limits = limited(chip, neurons_per_core=12, delay_cells_per_core=512, synaptic_memory_per_core=9000, cores=cores)
    lines = refused(network, limits, 1)
    if not lines:
        return
    assert lines == refused(network, limits, 1), "the same every time"
    assert shares(lines[1:]) == sorted(shares(lines[1:])), lines
    assert ("it would fit with" in lines[0]) == (len(lines) > 1)
    for change in lines[1:]:
        # A few synapses are another share than many; the percent that is left for that is meant for networks of size.
        if "synapses" not in change and "density" not in change:
            assert fits_with(change.strip(), network, limits, 1), (lines, change)


@pytest.mark.parametrize("density", [1.0, 0.5])
def test_changes_are_the_mildest_of_their_kind(density: float) -> None:
    network = chain(inputs=100, hidden=400, density=density)
    limits = limited(LOIHI1, cores=4, chips=1, synaptic_memory_per_core=300_000)
    _, *changes = refused(network, limits)
    assert len(changes) == 3
    for change in changes:
        assert fits_with(change.strip(), network, limits, None), change
        # Of synapses, a percent is left to chance.
        if "synapses" not in change and "density" not in change and "chips" not in change:
            assert not fits_with(change.strip(), network, limits, None, off=1), change
        if "chips" in change:
            assert not fits_with(change.strip(), network, limits, None, off=-1), change


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        (2, "a of 16 neurons in place of 60, b of 16 neurons in place of 60 (73 % fewer)"),
        (5, "a of 16 neurons in place of 60, and the other 4 hidden populations likewise (73 % fewer)"),
    ],
)
def test_layers_that_are_too_large_together(layers: int, text: str) -> None:
    """No change of one layer alone is enough for cores of 16 neurons, one for each layer and one for the output."""
    names = [*"abcde"[:layers], "out"]
    populations = [Population("in", "spike_source", 4), *(Population(n, "lif", 60) for n in names[:-1])]
    plan = NetworkPlan(
        1.0,
        (*populations, Population("out", "leaky_readout", 3)),
        tuple(ProjectionPlan(source, target, 0) for source, target in zip(["in", *names[:-1]], names, strict=True)),
    )
    with pytest.raises(TargetLimitError) as error:
        place_plan(plan, limited(cores=layers + 1, chips=1, neurons_per_core=16), clip_delays=False)
    assert f"  {text}" in str(error.value).splitlines()


def test_a_slot_that_no_core_buffers() -> None:
    plan = NetworkPlan(
        1.0,
        (Population("in", "spike_source", 5), Population("out", "leaky_readout", 3)),
        (ProjectionPlan("in", "out", 150),),
    )
    with pytest.raises(TargetLimitError) as error:
        loihi2.place_plan(plan, clip_delays=False)
    assert str(error.value).splitlines() == [
        "projection in->out: delay slot 150 exceeds 62 on loihi2 (88 too many, 2.42 times the limit); it would fit "
        "with any one of",
        "  delays of at most 62 slots in place of 150 (59 % less): training.max_slot or --clip-delays",
        "  steps 2.42 times as long, with the same delays in ms: dt_ms",
    ]
    cut = loihi2.place_plan(plan, clip_delays=True)
    assert {r.name: r.used for r in cut.resources}["slot_max"] == 62


def test_what_nothing_helps_says_so() -> None:
    """Ten readout neurons, one a core: they are the classes, and no system of this chip has so many cores."""
    head, *changes = refused(chain(hidden=1), limited(neurons_per_core=1, cores=1, chips=1, chips_of_largest_system=4))
    assert changes == []
    assert head.endswith("no change was found with which it would fit, make it smaller in several ways")


@pytest.mark.parametrize(
    ("population", "words"),
    [
        (Population("a", "lif", 2, (20.0, 21.0)), "2 neurons have time constants of their own"),
        (Population("a", "lif", 2, single_spike=True), "spike once a sample"),
    ],
)
def test_neurons_that_the_chip_does_not_have_are_refused_before_training(population: Population, words: str) -> None:
    plan = NetworkPlan(1.0, (Population("in", "spike_source", 5), population), (ProjectionPlan("in", "a", 3),))
    with pytest.raises(TargetLimitError, match=words):
        loihi2.place_plan(plan, clip_delays=False)
