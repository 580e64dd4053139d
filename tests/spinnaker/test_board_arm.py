"""Whole networks from the words of their tables in the ARM code, delay extensions included, against the emulator."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hardware_targets.spinnaker.emulator import emulate
from hardware_targets.spinnaker.integer_network import NO_THRESHOLD, IntegerNetwork
from hardware_targets.spinnaker.machine_code.board import Board
from hardware_targets.spinnaker.tables import build_tables
from tests.oracles.arm import needs_arm
from tests.spinnaker.mapped import plan_of, random_case
from tests.spinnaker.neuron_states import make_parameters
from tests.spinnaker.random_networks import random_spikes

pytestmark = needs_arm


def alive(network: IntegerNetwork, seed: int) -> IntegerNetwork:
    """The same synapses on neurons that differ from each other, at shifts that let them spike."""
    rng = np.random.default_rng(seed)
    populations = []
    for population in network.populations:
        if population.parameters is not None:
            parameters = make_parameters(rng, population.size, network.dt_ms)
            if population.kind == "leaky_readout":
                parameters.v_thresh[:] = NO_THRESHOLD
            shifts = (int(rng.integers(3, 6)), int(rng.integers(0, 5)))
            population = replace(population, parameters=parameters, shifts=shifts)
        populations.append(population)
    return replace(network, populations=tuple(populations))


@pytest.mark.parametrize("seed", [*range(4), *(pytest.param(s, marks=pytest.mark.slow) for s in range(4, 18))])
def test_tables_in_the_chips_own_code_compute_what_the_emulator_does(seed: int) -> None:
    """Several cores a population, of unequal size; 0, 1 or 2 stages of extension by turns."""
    network, neurons = random_case(seed)
    network = alive(network, seed)
    plan = plan_of(network, neurons)
    assert max(plan.layout.stages.values(), default=0) == seed % 3
    longest = max(p.longest for p in network.projections)
    spikes = random_spikes(seed, network, 1, min(2 * longest + 40, 500))
    expected = emulate(network, spikes, traces=True, threads=1)
    board = Board(network, build_tables(network, plan))
    found = board.run(spikes)
    for name in found.v:
        for quantity in ("exc", "inh", "v", "spikes"):
            np.testing.assert_array_equal(
                getattr(found, quantity)[name], getattr(expected, quantity)[name][0], f"{quantity} of {name}"
            )
    assert sum(int(raster.sum()) for raster in found.spikes.values()) > 100
    assert (board.saturations > 0) == (sum(expected.ring_saturations.values()) > 0)
