"""Pruning whole networks: as many as asked, the same every time, budgets kept by the mapper's count or refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hardware_targets.loihi import LoihiTarget
from hardware_targets.loihi.limits import read_limits
from hardware_targets.loihi.pruning import compensate, cut, existing, prune_synapses, rank
from hardware_targets.loihi.pruning_plan import LARGEST_SHARE, prune_network
from hardware_targets.loihi.quantiser import round_delays
from hardware_targets.trained_spikes import trained_spikes
from tests.networks import SHAPES, random_network, random_spikes, raster
from tests.oracles.reference import simulate
from toolchain.errors import TargetLimitError
from toolchain.network import Network, Population, make_projection
from toolchain.spikes import SpikeTrains, bin_events

LIMITS = read_limits("loihi2")
TARGET = LoihiTarget("loihi2", "for tests")
STEPS = 60


def counts(network: Network) -> dict[str, int]:
    return {p.name: p.n_synapses for p in network.projections}


def synapses(network: Network) -> int:
    return sum(counts(network).values())


def example(shape: str, *, max_slot: int = 9) -> tuple[Network, SpikeTrains]:
    random = np.random.default_rng([SHAPES.index(shape), 3])
    return random_network(shape, random, max_slot), random_spikes(random, 12, 5, STEPS, 0.1)


def wide(n_hidden: int = 300, max_slot: int = 50) -> tuple[Network, SpikeTrains]:
    """Takes a core for each 128 hidden neurons, because some delay needs the deepest delay buffer."""
    random = np.random.default_rng(7)
    populations = (
        Population("in", "spike_source", 6),
        Population("hidden", "lif", n_hidden),
        Population("out", "leaky_readout", 3),
    )
    projections = (
        make_projection(
            "in", "hidden", random.normal(2, 1, (6, n_hidden)), random.integers(0, max_slot + 1, (6, n_hidden))
        ),
        make_projection("hidden", "out", random.normal(0, 1, (n_hidden, 3))),
    )
    return Network(1.0, populations, projections), random_spikes(random, 8, 6, STEPS, 0.1)


def prune(network: Network, spikes: SpikeTrains, fraction: float = 0.0, cores: int | None = None):  # type: ignore[no-untyped-def]
    return prune_network(network, spikes, LIMITS, fraction=fraction, cores=cores, clip=False, extend=False)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
def test_as_many_as_asked_go_and_are_counted(shape: str, fraction: float) -> None:
    network, spikes = example(shape)
    pruned = prune(network, spikes, fraction)
    before, after = counts(network), counts(pruned.network)
    assert {p.projection: (p.synapses, p.synapses - p.removed) for p in pruned.projections} == {
        name: (before[name], after[name]) for name in before
    }
    assert sum(before.values()) - sum(after.values()) == round(fraction * synapses(network))
    for old, new in zip(network.projections, pruned.network.projections, strict=True):
        exists = np.ones(old.weight.shape, bool) if old.mask is None else old.mask
        kept = exists if new.mask is None else new.mask
        assert not (kept & ~exists).any(), "nothing grows"
        assert not new.weight[~kept].any()
        assert not new.delay[~kept].any()
        assert np.array_equal(new.delay[kept], old.delay[kept]), "delays stay as trained, fractions included"


def test_nothing_asked_changes_nothing() -> None:
    network, spikes = example("recurrent")
    assert prune(network, spikes).network is network
    assert prune(network, spikes, cores=50).network is network


def test_it_is_the_same_every_time() -> None:
    network, spikes = example("two_coupled")
    one, other = prune(network, spikes, 0.5), prune(network, spikes, 0.5)
    for a, b in zip(one.network.projections, other.network.projections, strict=True):
        assert np.array_equal(a.weight, b.weight)
        assert a.mask is not None
        assert b.mask is not None
        assert np.array_equal(a.mask, b.mask)


@pytest.mark.parametrize("shape", SHAPES)
def test_it_does_not_depend_on_threads(shape: str) -> None:
    network, spikes = example(shape)
    network = round_delays(network, LIMITS, clip=False).network
    trained = trained_spikes(network, spikes)
    none = {p.name: np.zeros(p.weight.shape, bool) for p in network.projections}
    (one,) = rank(network, trained, [none], threads=1)
    kept, _ = cut(network, one, synapses(network) // 2)
    made_up = compensate(network, trained, kept, threads=1)
    for threads in (2, 5):
        (other,) = rank(network, trained, [none], threads=threads)
        for a, b in zip(one, other, strict=True):
            assert (a.population, a.neuron, a.n_first) == (b.population, b.neuron, b.n_first)
            assert np.array_equal(a.row, b.row)
            assert np.array_equal(a.added, b.added)
        again = compensate(network, trained, kept, threads=threads)
        for p, q in zip(made_up.projections, again.projections, strict=True):
            assert np.array_equal(p.weight, q.weight)


def test_synapses_without_a_weight_go_first_and_change_nothing() -> None:
    network, spikes = example("two_layers")
    random = np.random.default_rng(0)
    zeroed = network.with_arrays(
        {
            p.name: (np.where(random.random(p.weight.shape) < 0.3, np.float32(0), p.weight), p.delay)
            for p in network.projections
        }
    )
    n_zero = sum(int((p.weight == 0).sum()) for p in zeroed.projections)
    pruned = prune(zeroed, spikes, n_zero / synapses(zeroed))
    for old, new in zip(zeroed.projections, pruned.network.projections, strict=True):
        kept = np.ones(new.weight.shape, bool) if new.mask is None else new.mask
        assert np.array_equal(kept, old.weight != 0)
        assert np.allclose(new.weight, old.weight, atol=1e-6)


def test_the_membrane_is_nearer_than_without_compensation_and_than_without_the_smallest_weights() -> None:
    """Voltages by the float64 reference with the spikes of the trained network imposed, on the calibration samples."""
    ours, plain, smallest = [], [], []
    for shape in SHAPES:
        network, spikes = example(shape)
        network = round_delays(network, LIMITS, clip=False).network
        trained = trained_spikes(network, spikes)
        none = {p.name: np.zeros(p.weight.shape, bool) for p in network.projections}
        (rankings,) = rank(network, trained, [none])
        n = synapses(network) // 3
        kept, cost = cut(network, rankings, n)
        assert cost > 0
        ours.append(_membrane_error(network, compensate(network, trained, kept), spikes))
        plain.append(_membrane_error(network, _without(network, kept), spikes))
        size = np.sort(np.concatenate([np.abs(p.weight[existing(network)[p.name]]) for p in network.projections]))[n]
        large = {p.name: existing(network)[p.name] & (np.abs(p.weight) >= size) for p in network.projections}
        smallest.append(_membrane_error(network, _without(network, large), spikes))
    assert np.median(np.array(ours) / np.array(plain)) < 0.6
    assert np.median(np.array(ours) / np.array(smallest)) < 0.6


def _without(network: Network, kept: dict[str, np.ndarray]) -> Network:  # type: ignore[type-arg]
    return network.with_arrays(
        {p.name: (np.where(kept[p.name], p.weight, np.float32(0)), p.delay) for p in network.projections}
    )


def _membrane_error(network: Network, other: Network, spikes: SpikeTrains) -> float:
    """Squared voltage in units of threshold or of the spread of a readout, as pruning counts it."""
    total = 0.0
    for sample in range(spikes.n_samples):
        inputs = {"in": raster(spikes, sample)}
        truth = simulate(network, inputs)
        imposed = {p.name: truth.spikes[p.name] for p in network.of_kind("lif")}
        found = simulate(other, inputs, imposed=imposed)
        for population in network.populations:
            if population.kind != "spike_source":
                v = truth.voltage[population.name]
                unit = population.threshold**2 if population.kind == "lif" else v.var()
                total += float(((found.voltage[population.name] - v) ** 2).sum() / unit)
    return total


def test_inputs_that_say_the_same_twice_can_go_by_half() -> None:
    """Every source has a twin that spikes with it, through synapses of the same delay: one of each pair is enough."""
    random = np.random.default_rng(1)
    network, spikes = example("feedforward")
    first, last = network.projections
    share = random.uniform(0.3, 0.7, first.weight.shape).astype(np.float32)
    twice = make_projection(
        "in",
        "a",
        np.concatenate([first.weight * share, first.weight * (1 - share)]),
        np.concatenate([first.delay, first.delay]),
    )
    both = replace(
        network,
        populations=(replace(network["in"], size=10), *network.populations[1:]),
        projections=(twice, last),
    )
    rasters = [np.concatenate([raster(spikes, s), raster(spikes, s)], axis=1) for s in range(spikes.n_samples)]
    doubled, _ = bin_events([(np.nonzero(r)[0], np.nonzero(r)[1]) for r in rasters], 10, STEPS)
    pruned = prune(both, doubled, (first.weight.size - 2) / synapses(both)).network
    kept = existing(pruned)
    assert (kept["in->a"][:5] | kept["in->a"][5:]).all(), "of no pair both"
    assert (kept["in->a"][:5] ^ kept["in->a"][5:]).sum() >= first.weight.size - 3
    for r in rasters:
        # The weight that is left is that of both, but for what trust holds back.
        whole, half = simulate(both, {"in": r}), simulate(pruned, {"in": r})
        assert abs(int(whole.spikes["a"].sum()) - int(half.spikes["a"].sum())) <= 2
        voltage = [state.voltage["out"].sum(axis=0) for state in (whole, half)]
        assert voltage[0].argmax() == voltage[1].argmax()


def test_idle_neurons_are_given_up_for_others() -> None:
    """A neuron that no output hears keeps no input, and an output keeps more of those that are left."""
    network, spikes = wide(40)
    network = network.with_arrays(
        {
            "hidden->out": (
                np.where(np.arange(40)[:, np.newaxis] < 20, np.float32(0), network.projections[1].weight),
                network.projections[1].delay,
            )
        }
    )
    network = round_delays(network, LIMITS, clip=False).network
    none = {p.name: np.zeros(p.weight.shape, bool) for p in network.projections}
    kept = prune_synapses(network, trained_spikes(network, spikes), synapses(network) // 2, none)
    assert not kept["in->hidden"][:, :20].any()
    assert sum(int(k.sum()) for k in kept.values()) == synapses(network) - synapses(network) // 2
    assert kept["in->hidden"][:, 20:].mean() > 0.9


@pytest.mark.parametrize("cores", [3, 2])
def test_a_budget_of_cores_is_met_by_pruning_long_delays(cores: int) -> None:
    """More neurons fit on a core with a shallower delay buffer, and nothing but short delays allows one."""
    network, spikes = wide()
    quantised = TARGET.quantise(network, spikes, clip_delays=False)
    assert len(TARGET.place(quantised).cores) == 4
    pruned = prune(network, spikes, cores=cores)
    longest = {3: 30, 2: 14}[cores]
    assert pruned.longest_slot == longest
    assert pruned.network.max_slot <= longest
    saved = {s.name: (s.before, s.after) for s in pruned.savings}
    assert saved["cores"] == (4, cores)
    placement = TARGET.place(TARGET.quantise(pruned.network, spikes, clip_delays=False))
    assert len(placement.cores) == cores
    bits = sum(core.use["synaptic_memory_per_core"] for core in placement.cores)
    # Weights that came to have fewer bits than 8, or 0, save a little more than what was planned with.
    planned = saved["synaptic_memory"][1]
    assert planned is not None
    assert 0.9 * planned <= bits <= 1.01 * planned
    # No synapse went that did not have to.
    too_long = sum(int((p.slots() > longest).sum()) for p in network.projections)
    assert pruned.removed == too_long


def test_a_budget_of_memory_is_met_by_pruning_enough() -> None:
    """On a chip whose cores hold few synapses, with delays too short to matter."""
    network, spikes = wide(100, max_slot=5)
    small = replace(LIMITS, table={**LIMITS.table})
    small.table["synaptic_memory_per_core"] = replace(LIMITS.table["synaptic_memory_per_core"], value=7000)  # type: ignore[index]
    whole = prune_network(network, spikes, small, fraction=0.01, cores=None, clip=False, extend=False)
    before = next(s.before for s in whole.savings if s.name == "cores")
    assert before is not None
    budget = before - 1
    pruned = prune_network(network, spikes, small, fraction=0.0, cores=budget, clip=False, extend=False)
    after = next(s.after for s in pruned.savings if s.name == "cores")
    assert after is not None
    assert after <= budget
    assert 0 < pruned.removed < LARGEST_SHARE * synapses(network)


def test_relays_go_with_the_delays_that_need_them() -> None:
    network, spikes = wide(60, max_slot=150)
    quantised = TARGET.quantise(network, spikes, clip_delays=False, extend_delays=True)
    before = len(TARGET.place(quantised).cores)
    pruned = TARGET.prune(network, spikes, fraction=0.0, cores=2, clip_delays=False, extend_delays=True)
    assert {s.name: (s.before, s.after) for s in pruned.savings}["cores"] == (before, 2)
    assert pruned.longest_slot == 62
    again = TARGET.quantise(pruned.network, spikes, clip_delays=False, extend_delays=True)
    assert len(TARGET.place(again).cores) == 2
    assert again.extended is not None
    assert again.extended.n_relays == 0


def test_a_budget_that_cannot_be_met_is_refused_with_the_reason() -> None:
    network, spikes = wide()
    with pytest.raises(TargetLimitError, match=r"network: takes 2 cores of loihi2 with 98% .* 1 were asked for; allow"):
        prune(network, spikes, cores=1)


def test_delays_beyond_the_chip_are_refused_as_ever() -> None:
    network, spikes = wide(20, max_slot=90)
    with pytest.raises(TargetLimitError, match="exceeds 62 on loihi2"):
        prune(network, spikes, 0.5)
    clipped = prune_network(network, spikes, LIMITS, fraction=0.5, cores=None, clip=True, extend=False)
    assert clipped.network.max_slot > 62, "what cuts delays is quantisation, which counts them"


def test_a_population_without_a_single_event_is_pruned_all_the_same() -> None:
    network, spikes = example("feedforward")
    silent = SpikeTrains(spikes.times[:0], spikes.units[:0], np.zeros_like(spikes.offsets), 5, STEPS)
    assert synapses(prune(network, silent, 0.5).network) <= synapses(network) - round(0.5 * synapses(network))
