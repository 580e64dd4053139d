"""Neurons on a knife's edge spike as trained, others keep what they had, and nothing becomes worse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hardware_targets.loihi.emulator import emulate
from hardware_targets.loihi.integer_network import IntegerNetwork
from hardware_targets.loihi.limits import read_limits
from hardware_targets.loihi.quantiser import round_at, round_delays
from hardware_targets.loihi.selection import select
from hardware_targets.trained_spikes import spike_counts, trained_spikes
from tests.networks import SHAPES, random_network, random_spikes
from toolchain.network import Network, Population, make_projection
from toolchain.spikes import SpikeTrains, bin_events

LIMITS = read_limits("loihi2")


def changed(network: Network, integers: IntegerNetwork, name: str, spikes: SpikeTrains) -> int:
    found = emulate(integers, spikes).neuron_counts[name]
    return int(np.abs(found - spike_counts(trained_spikes(network, spikes)[name])).sum())


def selected(network: Network, integers: IntegerNetwork, name: str, spikes: SpikeTrains) -> IntegerNetwork:
    return select(network, integers, network[name], spikes, trained_spikes(network, spikes), LIMITS)


def one_synapse(weight: float) -> Network:
    return Network(
        1.0,
        (Population("in", "spike_source", 1), Population("a", "lif", 2), Population("out", "leaky_readout", 1)),
        (
            make_projection("in", "a", np.array([[weight, 40.0]]), np.zeros((1, 2))),
            make_projection("a", "out", np.ones((2, 1)), np.zeros((2, 1))),
        ),
    )


def lowest_weight_that_spikes(spikes: SpikeTrains) -> float:
    low, high = 0.0, 100.0
    for _ in range(40):
        middle = (low + high) / 2
        silent = spike_counts(trained_spikes(one_synapse(middle), spikes)["a"])[:, 0].max() == 0
        low, high = (middle, high) if silent else (low, middle)
    return high


def test_a_neuron_that_peaks_a_hair_above_threshold_spikes_again() -> None:
    """Rounded down it is silent in every sample; the other neuron is far from threshold and keeps its weight."""
    spikes = bin_events([(np.array([3]), np.array([0]))] * 40, 1, 60)[0]
    network = one_synapse(1.0005 * lowest_weight_that_spikes(spikes))
    silent = [
        integers
        for scale in np.linspace(20.0, 120.0, 26)
        if changed(network, integers := round_at(network, {"a": scale, "out": 1.0}, LIMITS), "a", spikes) == 40
    ]
    assert len(silent) > 5, "at many scales the weight is rounded to below what the neuron needs"
    for integers in silent:
        better = selected(network, integers, "a", spikes)
        assert changed(network, better, "a", spikes) == 0
        assert better.projections[0].weight[0, 1] == integers.projections[0].weight[0, 1]
        assert np.array_equal(better.projections[1].weight, integers.projections[1].weight)


def test_one_sample_is_no_reason() -> None:
    spikes = bin_events([(np.array([3]), np.array([0]))], 1, 60)[0]
    network = one_synapse(1.0005 * lowest_weight_that_spikes(spikes))
    for scale in np.linspace(20.0, 120.0, 26):
        integers = round_at(network, {"a": scale, "out": 1.0}, LIMITS)
        assert selected(network, integers, "a", spikes) is integers


@pytest.mark.parametrize("shape", SHAPES)
def test_fewer_spikes_change_and_synapses_stay_where_they_were(shape: str) -> None:
    random = np.random.default_rng([SHAPES.index(shape), 8])
    network = round_delays(random_network(shape, random), LIMITS, clip=False).network
    spikes = random_spikes(random, 60, 5, 60, 0.08)
    exchanged = 0
    for scale in (15.0, 40.0, 75.0):
        integers = round_at(network, {p.name: scale for p in network.populations}, LIMITS)
        for population in network.of_kind("lif"):
            better = selected(network, integers, population.name, spikes)
            if better is integers:
                continue
            exchanged += 1
            assert changed(network, better, population.name, spikes) <= changed(
                network, integers, population.name, spikes
            )
            for before, after in zip(integers.projections, better.projections, strict=True):
                assert np.array_equal(before.slots, after.slots)
                assert after.exponent == before.exponent
                assert not after.weight[~before.exists].any()
                assert not (after.weight & 1).any()
                assert np.abs(after.weight - before.weight).max(initial=0) <= 4
                if before.target != population.name:
                    assert np.array_equal(before.weight, after.weight)
    assert exchanged, "at coarse scales some neuron gains"


def test_what_overflows_is_nobodys_choice() -> None:
    """With a readout that is clipped whatever is chosen, everything stays as it is."""
    spikes = bin_events([(np.arange(40), np.zeros(40, dtype=np.int64))] * 30, 1, 60)[0]
    network = one_synapse(30.0)
    integers = round_at(network, {"a": 40.0, "out": 1.0}, LIMITS)
    loud = replace(
        integers,
        projections=(
            integers.projections[0],
            replace(integers.projections[1], weight=np.full((2, 1), 254, dtype=np.int32), exponent=7),
        ),
    )
    assert sum(emulate(loud, spikes).readout_spikes.values())
    assert selected(network, loud, "a", spikes) is loud
