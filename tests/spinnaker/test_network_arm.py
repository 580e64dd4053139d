"""Whole networks: cores of the ARM code tick by tick, spikes carried between them here, against the emulator.

The ARM code initialises every neuron, adds every synaptic row to its ring buffer, transfers the slices and updates the
neurons; Python only decides which row a spike belongs to, as the population table does on the chip.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from hardware_targets.spinnaker.emulator import emulate
from hardware_targets.spinnaker.integer_network import IntegerNetwork
from hardware_targets.spinnaker.machine_code import neuron_core as arm
from tests.oracles.arm import needs_arm
from tests.spinnaker.random_networks import random_network, random_spikes
from tests.spinnaker.reference import inputs_of, synapses_of
from toolchain.spikes import SpikeTrains

pytestmark = needs_arm

Row = tuple[arm.NeuronCore, NDArray[np.uint32]]
"""A core and what a spike adds to its ring buffer."""


def make_cores(network: IntegerNetwork) -> dict[str, arm.NeuronCore]:
    """One core for each simulated population, with as many slots as its longest delay needs."""
    cores = {}
    for population in network.simulated:
        longest = max(p.longest for p in network.incoming(population.name))
        slots = 1 << max(longest - 1, 1).bit_length()
        core = arm.NeuronCore(population.size, population.shifts, slots)
        assert population.parameters is not None
        core.set_up(population.parameters, network.dt_ms)
        cores[population.name] = core
    return cores


def make_rows(network: IntegerNetwork, cores: dict[str, arm.NeuronCore]) -> dict[tuple[str, int], list[Row]]:
    """(source, pre) -> the rows of its synapses, one for each core that has any."""
    rows: dict[tuple[str, int], list[Row]] = {}
    for unit, synapses in synapses_of(network).items():
        for name, core in cores.items():
            mine = [(weight, delay, kind, post) for target, post, kind, weight, delay in synapses if target == name]
            if mine:
                rows.setdefault(unit, []).append((core, core.row(mine)))
    return rows


def assert_equals_arm(network: IntegerNetwork, spikes: SpikeTrains) -> tuple[int, int]:
    """Compare every tick; returns numbers of spikes and of synapses that found their entry full."""
    found = emulate(network, spikes, traces=True, threads=1)
    cores = make_cores(network)
    rows, inputs = make_rows(network, cores), inputs_of(network, spikes, 0)
    n_spikes = 0
    for tick in range(spikes.n_steps):
        fired = list(inputs[tick])
        for name, core in cores.items():
            where = f"of {name} in tick {tick}"
            core.transfer(tick)
            ticked = core.update(tick)
            np.testing.assert_array_equal(found.exc[name][0, tick], ticked.exc, f"excitatory values {where}")
            np.testing.assert_array_equal(found.inh[name][0, tick], ticked.inh, f"inhibitory values {where}")
            if tick:  # recorded before the update
                np.testing.assert_array_equal(found.v[name][0, tick - 1], ticked.v, f"recorded v {where}")
            np.testing.assert_array_equal(found.v[name][0, tick], core.neurons[:, arm.V], f"v {where}")
            assert np.flatnonzero(found.spikes[name][0, tick]).tolist() == ticked.spikes, f"spikes {where}"
            fired += [(name, neuron) for neuron in ticked.spikes]
            n_spikes += len(ticked.spikes)
        for unit in fired:
            for core, row in rows.get(unit, []):
                core.add_row(tick, row)
    return n_spikes, sum(core.saturations for core in cores.values())


@pytest.mark.parametrize("hard", [False, True])
def test_random_networks_equal_the_arm_code_at_every_tick(hard: bool) -> None:
    spikes = saturations = 0
    for seed in range(5):
        network = random_network(seed, hard, longest=200)
        fired, full = assert_equals_arm(network, random_spikes(seed, network, 1, 260))
        spikes, saturations = spikes + fired, saturations + full
    assert spikes > 500
    assert (saturations > 500) == hard


@pytest.mark.slow
@pytest.mark.parametrize("hard", [False, True])
def test_many_random_networks_equal_the_arm_code_at_every_tick(hard: bool) -> None:
    for seed in range(100, 140):
        network = random_network(seed, hard, longest=200)
        assert_equals_arm(network, random_spikes(seed, network, 1, 260))
