"""The emulator against the slow reference, and what it promises beside the law."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hardware_targets.spinnaker.emulator import Emulation, Emulator, emulate
from hardware_targets.spinnaker.integer_network import (
    NO_THRESHOLD,
    ONE,
    IntegerNetwork,
    IntegerPopulation,
    IntegerProjection,
    NeuronParameters,
)
from tests.spinnaker.random_networks import random_network, random_spikes
from tests.spinnaker.reference import Seen, reference
from toolchain.errors import InputError, NetworkError, TargetLimitError
from toolchain.network import Kind
from toolchain.spikes import SpikeTrains, bin_events

SAYS = {
    "ring excitatory": "excitatory ring-buffer entry {} exceeds 65535, its 16 bits, and saturates",
    "ring inhibitory": "inhibitory ring-buffer entry {} exceeds 65535, its 16 bits, and saturates",
    **{
        what: what + " {} is outside -2147483648..2147483647, the 32 bits of s16.15, and wraps"
        for what in ("excitatory value", "inhibitory value", "current", "voltage")
    },
}


def assert_equals_reference(network: IntegerNetwork, spikes: SpikeTrains, found: Emulation) -> list[dict[str, Seen]]:
    expected = [reference(network, spikes, sample) for sample in range(spikes.n_samples)]
    for population in network.simulated:
        name, all_seen = population.name, [seen[population.name] for seen in expected]
        for sample, seen in enumerate(all_seen):
            for trace in ("spikes", "exc", "inh", "v"):
                mine, theirs = getattr(found, trace)[name][sample], np.array(getattr(seen, trace))
                np.testing.assert_array_equal(mine, theirs, f"{trace} of {name} in sample {sample}")
        raster = np.array([seen.spikes for seen in all_seen])
        np.testing.assert_array_equal(found.spike_counts[name], raster.sum(axis=(1, 2)))
        np.testing.assert_array_equal(found.neuron_counts[name], raster.sum(axis=1))
        first = np.where(raster.any(axis=1), raster.argmax(axis=1), spikes.n_steps)
        np.testing.assert_array_equal(found.first_spikes[name], first)
        assert found.ring_saturations[name] == sum(seen.saturations for seen in all_seen)
        assert found.state_wraps[name] == sum(seen.wraps for seen in all_seen)
        assert found.ring_peaks[name] == tuple(max(seen.ring_peaks[kind] for seen in all_seen) for kind in range(2))
        assert found.current_peaks[name] == max(seen.current_peak for seen in all_seen)
        assert found.voltage_peaks[name] == max(seen.voltage_peak for seen in all_seen)
    np.testing.assert_array_equal(found.readout_v, found.v["out"])
    return expected


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_random_networks_equal_the_reference(seed: int, hard: bool) -> None:
    """Every spike, value, voltage, count and peak, and the first overflow that a strict run refuses."""
    network = random_network(seed, hard)
    spikes = random_spikes(seed, network, n_samples=2, n_ticks=60)
    found = emulate(network, spikes, traces=True, threads=1)
    expected = assert_equals_reference(network, spikes, found)
    order = [p.name for p in network.simulated]
    events = [
        (sample, tick, order.index(name), number, neuron, what, value)
        for sample, seen in enumerate(expected)
        for name, one in seen.items()
        for number, (tick, neuron, what, value) in enumerate(one.events)
    ]
    if not events:
        emulate(network, spikes, strict=True, threads=1)
        return
    sample, tick, population, _, neuron, what, value = min(events)
    with pytest.raises(TargetLimitError) as caught:
        emulate(network, spikes, strict=True, threads=1)
    start = f"population {order[population]}: in sample {sample}, neuron {neuron}, tick {tick}, the "
    assert str(caught.value).startswith(start + SAYS[what].format(value) + "; ")


def test_random_networks_reach_the_corners() -> None:
    """Nothing above would fail if no random network ever spiked, saturated or wrapped, or if all did."""
    results = [
        (hard, emulate(n, random_spikes(seed, n, 1, 60), threads=1))
        for seed in range(30)
        for hard in (False, True)
        for n in (random_network(seed, hard),)
    ]
    tame = [r for hard, r in results if not hard]
    wild = [r for hard, r in results if hard]
    assert sum(sum(r.ring_saturations.values()) > 0 for r in wild) > 10
    assert sum(sum(r.state_wraps.values()) > 0 for r in wild) > 10
    assert sum(sum(r.state_wraps.values()) == 0 for r in tame) > 15
    assert sum(int(r.spike_counts["a"].sum()) > 0 for r in tame) > 10


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_threads_and_traces_change_nothing(threads: int) -> None:
    network = random_network(7, hard=True)
    spikes = random_spikes(7, network, 2, 50).select([0, 1, 1, 0, 1, 0, 0, 1, 1, 0])
    emulator = Emulator(network)
    plain, other = emulator.run(spikes, threads=1), emulator.run(spikes, threads=threads, traces=True)
    np.testing.assert_array_equal(plain.readout_v, other.readout_v)
    for field in ("ring_saturations", "state_wraps", "ring_peaks", "current_peaks", "voltage_peaks"):
        assert getattr(plain, field) == getattr(other, field)
    for field in ("spike_counts", "neuron_counts", "first_spikes"):
        for name, count in getattr(plain, field).items():
            np.testing.assert_array_equal(count, getattr(other, field)[name])
    assert not plain.v


def test_each_sample_starts_from_the_initial_state() -> None:
    """A sample gives the same alone as after others, whose last spikes are still under way."""
    network = random_network(3, hard=False)
    spikes = random_spikes(3, network, 3, 50)
    together = emulate(network, spikes, traces=True, threads=1)
    for sample in range(3):
        alone = emulate(network, spikes.select([sample]), traces=True)
        for name, v in alone.v.items():
            np.testing.assert_array_equal(v[0], together.v[name][sample])


def population(name: str, n: int, threshold: int = NO_THRESHOLD, tau_ms: float = 5.0) -> IntegerPopulation:
    """Neurons at rest at 0 with a resistance of 1 and equal time constants."""

    def full(x: int) -> NDArray[np.int32]:
        return np.full(n, x, dtype=np.int32)

    tau, zero = full(round(tau_ms * ONE)), full(0)
    parameters = NeuronParameters(tau, tau, tau, tau, zero, zero, full(threshold), zero, zero)
    kind: Kind = "leaky_readout" if threshold == NO_THRESHOLD else "lif"
    return IntegerPopulation(name, kind, n, parameters, (5, 5), 1.0)


def dense(source: str, target: str, weight: list[list[int]], delay: list[list[int]]) -> IntegerProjection:
    words = np.array(weight, dtype=np.int32)
    return IntegerProjection(
        source, target, words, np.array(delay, dtype=np.int32), np.ones(words.shape, dtype=np.bool_)
    )


def one_spike(n_units: int, tick: int, n_ticks: int) -> SpikeTrains:
    """Every unit once, in this tick."""
    units = np.arange(n_units)
    return bin_events([(np.full(n_units, tick), units)], n_units, n_ticks)[0]


@pytest.mark.parametrize("n_ticks", [1, 12, 63, 64, 65, 400])
def test_a_spike_of_tick_t_with_delay_d_acts_in_tick_t_plus_d(n_ticks: int) -> None:
    delays = list(range(1, 301))
    network = IntegerNetwork(
        1.0,
        (IntegerPopulation("in", "spike_source", 1), population("out", 300)),
        (dense("in", "out", [[1000] * 300], [delays]),),
    )
    voltage = emulate(network, one_spike(1, 0, n_ticks)).readout_v[0]
    for neuron, delay in enumerate(delays):
        assert not voltage[:delay, neuron].any()
        assert (voltage[delay : delay + 1, neuron] > 0).all()


def test_a_voltage_at_the_threshold_is_a_spike() -> None:
    """v >= threshold, and the spike of tick t is reset in tick t."""
    network = IntegerNetwork(
        1.0, (IntegerPopulation("in", "spike_source", 1), population("out", 1)), (dense("in", "out", [[1000]], [[3]]),)
    )
    spikes = one_spike(1, 2, 7)
    peak = int(emulate(network, spikes).readout_v[0, 5, 0])
    for threshold, fires in ((peak, True), (peak + 1, False)):
        lif = replace(network, populations=(network.populations[0], population("out", 1, threshold)))
        found = emulate(lif, spikes, traces=True)
        assert bool(found.spikes["out"][0, 5, 0]) == fires
        assert found.v["out"][0, 5, 0] == (0 if fires else peak)
        assert found.readout_v.shape == (1, 7, 0)


def test_order_of_populations_means_nothing() -> None:
    network = random_network(13, hard=False)
    sources = network.sources
    shuffled = replace(network, populations=(*network.simulated[::-1], *sources), projections=network.projections[::-1])
    spikes = random_spikes(13, network, 1, 60)
    mine, theirs = emulate(network, spikes, traces=True), emulate(shuffled, spikes, traces=True)
    for name, v in mine.v.items():
        np.testing.assert_array_equal(v, theirs.v[name])


def test_no_samples() -> None:
    network = random_network(1, hard=False)
    result = emulate(network, random_spikes(1, network, 1, 30).select([]))
    assert result.readout_v.shape[0] == 0
    assert result.spike_counts["a"].shape == (0,)


def test_misfits_are_refused() -> None:
    network = random_network(0, hard=False)
    spikes = random_spikes(0, network, 1, 30)
    with pytest.raises(NetworkError, match="2 leaky_readout populations, must be at most 1"):
        emulate(replace(network, populations=(*network.populations, population("o2", 1))), spikes)
    with pytest.raises(InputError, match="units, but the spike sources"):
        emulate(network, replace(spikes, n_units=spikes.n_units + 1))
    with pytest.raises(InputError, match="threads 0 is below 1"):
        emulate(network, spikes, threads=0)
    slow = IntegerNetwork(1.0, (*network.sources, population("slow", 2, tau_ms=40_000.0)), ())
    with pytest.raises(NetworkError, match=r"population slow: tau_m of neuron 0 is 40000\.0 ms"):
        emulate(slow, spikes)


def test_more_than_a_sum_can_hold_is_refused() -> None:
    n = 33_000
    network = IntegerNetwork(
        1.0,
        (IntegerPopulation("in", "spike_source", n), population("out", 1)),
        (dense("in", "out", [[65535]] * n, [[1]] * n),),
    )
    with pytest.raises(NetworkError, match="stored weights onto neuron 0 add up to 2162655000, must stay below 2"):
        Emulator(network)
    some = replace(network, projections=(replace(network.projections[0], exists=np.arange(n)[:, np.newaxis] < 30_000),))
    found = emulate(some, one_spike(n, 0, 3))
    assert found.ring_peaks["out"] == (30_000 * 65535, 0)
    assert found.ring_saturations["out"] == 1
