"""The state after the pause between two samples is the initial one, bit for bit, in the emulator of the chip."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hardware_targets.spinnaker.clearing import Clearing, NotClearableError, plan_clearing
from hardware_targets.spinnaker.emulator import Emulation, emulate
from hardware_targets.spinnaker.integer_network import (
    ONE,
    IntegerNetwork,
    IntegerPopulation,
    IntegerProjection,
)
from tests.spinnaker.exported import neurons, samples, small_network
from tests.spinnaker.mapped import projection
from tests.spinnaker.random_networks import random_network, random_spikes
from toolchain.spikes import SpikeTrains, bin_events


def with_kick(network: IntegerNetwork, clearing: Clearing) -> IntegerNetwork:
    """The network with a source of one neuron, its last unit, that inhibits all neurons one tick later."""
    kicks = []
    for name, weight in clearing.weights.items():
        shape = (1, network[name].size)
        ones = np.ones(shape, dtype=np.int32)
        kicks.append(IntegerProjection("kick", name, -weight * ones, ones, ones.astype(bool)))
    populations = (*network.populations, IntegerPopulation("kick", "spike_source", 1))
    return IntegerNetwork(network.dt_ms, populations, (*network.projections, *kicks))


def stretched(spikes: SpikeTrains, sample: int, n_ticks: int, kick: int | None) -> SpikeTrains:
    """One sample with empty ticks after it, and perhaps a spike of the kick."""
    events = slice(int(spikes.offsets[sample]), int(spikes.offsets[sample + 1]))
    times, units = spikes.times[events].astype(np.int64), spikes.units[events].astype(np.int64)
    if kick is not None:
        times, units = np.append(times, kick), np.append(units, spikes.n_units)
    return bin_events([(times, units)], spikes.n_units + 1, n_ticks)[0]


def after(network: IntegerNetwork, spikes: SpikeTrains, sample: int, *, kick: bool) -> tuple[Emulation, Clearing]:
    """A sample, twice as many quiet ticks as must be, the kick, and as many ticks as it must take."""
    clearing = plan_clearing(network)
    at = spikes.n_steps + 2 * clearing.watch
    n_ticks = at + clearing.settle
    stretch = stretched(spikes, sample, n_ticks, at if kick else None)
    found = emulate(with_kick(network, clearing), stretch, traces=True, threads=1)
    for name, raster in found.spikes.items():
        assert not raster[0, at - clearing.watch :].any(), f"{name} is not silent"
    return found, clearing


def assert_initial(network: IntegerNetwork, found: Emulation) -> None:
    """v at rest, and no synaptic value that the next tick would see."""
    for population in network.simulated:
        assert population.parameters is not None
        np.testing.assert_array_equal(found.v[population.name][0, -1], population.parameters.v_rest)
        assert found.exc[population.name][0, -1].max() == 0
        assert found.inh[population.name][0, -1].max() == 0


def test_a_kick_brings_every_neuron_back_to_the_last_bit() -> None:
    network = small_network()
    spikes = samples(network)
    for sample in range(spikes.n_samples):
        found, _ = after(network, spikes, sample, kick=True)
        assert found.spikes["hidden layer"].any()
        assert_initial(network, found)


def test_waiting_alone_leaves_a_residue_above_rest() -> None:
    """Why there is a kick at all: however long the pause, v stops k LSB above rest, k < 1 / (1 - exp_tc)."""
    network = small_network()
    found, _ = after(network, samples(network), 0, kick=False)
    left = found.v["hidden layer"][0, -1]
    np.testing.assert_array_equal(found.v["hidden layer"][0, -200], left)
    assert left.min() >= 0
    # The longest time constant is 30 ms; exp_tc is cut to 15 bits.
    assert 1 < left.max() < 1 / (1 - np.exp(-1 / 30)) + 1


@pytest.mark.parametrize(
    "seed", [0, 1, 2, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (3, 4, 5, 7, 8, 9))]
)
def test_random_networks_come_back_too(seed: int) -> None:
    """Heterogeneous time constants, refractory times, rests and resets; the loops cut, so that they fall silent."""
    network = random_network(seed, hard=False)
    for population in network.simulated:
        assert population.parameters is not None
        population.parameters.i_offset[:] = 0
        # A neuron whose reset is above its threshold spikes for ever once it has.
        least = np.maximum(population.parameters.v_rest, population.parameters.v_reset).astype(np.int64) + ONE
        population.parameters.v_thresh[:] = np.maximum(population.parameters.v_thresh, least)
        population.parameters.cm[:] = population.parameters.tau_m
    cut = tuple(p for p in network.projections if (p.source, p.target) not in (("a", "a"), ("b", "a")))
    network = replace(network, projections=cut)
    found, _ = after(network, random_spikes(seed, network, 1, 40), 0, kick=True)
    assert sum(found.state_wraps.values()) == 0
    assert_initial(network, found)


def test_the_end_of_settling_is_no_later_than_it_must_be() -> None:
    """For the worst residue there is; a tick earlier some neuron is not at rest."""
    network = small_network()
    spikes = samples(network)
    clearing = plan_clearing(network)
    earlier = []
    for sample in range(spikes.n_samples):
        found, _ = after(network, spikes, sample, kick=True)
        states = [found.v[n][0, -clearing.settle :] for n in ("hidden layer", "out")]
        earlier.append(max(np.flatnonzero(s.any(axis=1)).max(initial=0) for s in states))
    assert 0 < max(earlier) < clearing.settle


def test_what_cannot_be_brought_back_is_said() -> None:
    def only(population: IntegerPopulation) -> IntegerNetwork:
        return IntegerNetwork(1.0, (population,), ())

    def changed(**values: int) -> IntegerPopulation:
        population = neurons("a", 2, threshold=5.0)
        assert population.parameters is not None
        for name, value in values.items():
            getattr(population.parameters, name)[1] = value
        return population

    plan_clearing(only(changed()))
    with pytest.raises(NotClearableError, match="population a has an i_offset"):
        plan_clearing(only(changed(i_offset=1)))
    with pytest.raises(NotClearableError, match="population a has neurons that spike without input"):
        plan_clearing(only(changed(v_thresh=0)))
    slow = replace(neurons("a", 1, threshold=5.0, tau_m=1000.0), shifts=(0, 0))
    full = projection("in", "a", np.array([[0xFFFF]]), np.array([[1]]))
    driven = IntegerNetwork(1.0, (IntegerPopulation("in", "spike_source", 1), slow), (full,))
    with pytest.raises(NotClearableError, match="no inhibitory weight is large enough"):
        plan_clearing(driven)
