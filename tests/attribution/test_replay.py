"""A neuron computed by itself does what it does in the emulator of its network, overflows and all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from hardware_targets.loihi import replay as loihi
from hardware_targets.loihi.emulator import emulate as emulate_loihi
from hardware_targets.loihi.integer_network import IntegerNetwork
from hardware_targets.spinnaker import replay as spinnaker
from hardware_targets.spinnaker.emulator import emulate as emulate_spinnaker
from hardware_targets.spinnaker.fixed_point import initialise
from tests.loihi.random_networks import random_network as loihi_network
from tests.spinnaker.random_networks import random_network as spinnaker_network
from tests.spinnaker.random_networks import random_spikes
from toolchain.spikes import SpikeTrains

Events = tuple[NDArray[np.int64], NDArray[np.int64]]


def events(
    spikes: SpikeTrains, rasters: Mapping[str, NDArray[np.bool_]], sources: list[tuple[str, int]]
) -> dict[str, Events]:
    """Spikes of sample 0 of all populations, those of the sources taken from the input."""
    found: dict[str, Events] = {}
    times, units = np.nonzero(spikes.dense(0).T)
    first = 0
    for name, size in sources:
        mine = (units >= first) & (units < first + size)
        found[name] = (times[mine], units[mine] - first)
        first += size
    for name, raster in rasters.items():
        at = np.nonzero(raster[0])
        found[name] = (at[0], at[1])
    return found


def before_reset(after: NDArray[np.int32], fired: NDArray[np.bool_], computed: NDArray[np.float64]) -> None:
    """The emulator reports a voltage after its reset: where it spiked, only the others can be compared."""
    assert np.array_equal(computed[~fired], after[~fired].astype(np.float64))


@pytest.mark.parametrize("seed", range(24))
def test_a_neuron_of_loihi_alone_has_the_voltage_of_the_emulator(seed: int) -> None:
    network, spikes = loihi_network(seed)
    result = emulate_loihi(network, spikes, traces=True)
    sources = [(p.name, p.size) for p in network.populations if p.kind == "spike_source"]
    given = events(spikes, result.spikes, sources)
    counts = {"wrapped_current": 0, "clipped_voltage": 0}
    alone = emulate_loihi(network, spikes.select([0]))
    for population in network.simulated:
        for neuron in range(population.size):
            again = loihi.replay(_scaled(network, 1.0 / 64), population.name, neuron, given, spikes.n_steps)
            fired = result.spikes[population.name][0, :, neuron]
            before_reset(result.v[population.name][0, :, neuron], fired, again.v)
            assert np.array_equal(again.v >= again.threshold, fired)
            for _, what in again.overflows:
                counts[what] += 1
            if not again.overflows:
                assert np.array_equal(again.v, again.unbounded)
    assert counts == {"wrapped_current": sum(alone.wraps.values()), "clipped_voltage": sum(alone.clips.values())}


def _scaled(network: IntegerNetwork, scale: float) -> IntegerNetwork:
    return replace(network, populations=tuple(replace(p, scale=scale) for p in network.populations))


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_a_neuron_of_spinnaker_alone_has_the_voltage_of_the_emulator(seed: int, hard: bool) -> None:
    network = spinnaker_network(seed, hard)
    spikes = random_spikes(seed, network, 1, 60)
    result = emulate_spinnaker(network, spikes, traces=True)
    given = events(spikes, result.spikes, [(p.name, p.size) for p in network.sources])
    counts = {"saturated_ring_buffer": 0, "wrapped_state": 0}
    for population in network.simulated:
        assert population.parameters is not None
        resets = initialise(population.parameters, network.dt_ms).v_reset
        for neuron in range(population.size):
            again = spinnaker.replay(network, population.name, neuron, given, spikes.n_steps)
            fired = result.spikes[population.name][0, :, neuron]
            before_reset(result.v[population.name][0, :, neuron], fired, again.v * 2**15)
            if resets[neuron] < again.threshold * 2**15:
                assert np.array_equal(again.v >= again.threshold, fired)
            for _, what in again.overflows:
                counts[what] += 1
            if not again.overflows:
                assert np.array_equal(again.v, again.unbounded)
    saturated, wrapped = sum(result.ring_saturations.values()), sum(result.state_wraps.values())
    # The emulator counts both signs of a tick, and current and voltage, one by one; here a step is named once.
    assert counts["saturated_ring_buffer"] <= saturated
    assert counts["wrapped_state"] <= wrapped
    assert (counts["saturated_ring_buffer"] > 0, counts["wrapped_state"] > 0) == (saturated > 0, wrapped > 0)
