"""A trained network in SpiNNaker's integers: it computes what was trained, uses its bits, and overflows nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hardware_targets.rounded_delays import round_delays
from hardware_targets.spinnaker.emulator import emulate
from hardware_targets.spinnaker.integer_network import LARGEST_SAFE_SHIFT, LARGEST_WEIGHT, ONE, IntegerNetwork
from hardware_targets.spinnaker.quantiser import RING_HEADROOM, quantise_network, shared_shifts
from hardware_targets.spinnaker.rounding import (
    dequantised_constants,
    dequantised_weights,
    round_network,
    round_projection,
    weight_step,
)
from hardware_targets.trained_spikes import spike_counts, trained_spikes
from tests.networks import SHAPES, random_network, random_spikes, raster
from tests.oracles.reference import simulate
from toolchain.errors import NetworkError, TargetLimitError
from toolchain.network import Network, NeuronConstants, Population, make_projection
from toolchain.spikes import SpikeTrains, bin_events

STEPS = 80


def trained(shape: str, seed: int = 0, *, spiking_output: bool = False) -> tuple[Network, SpikeTrains]:
    random = np.random.default_rng([SHAPES.index(shape), seed])
    network = random_network(shape, random, max_slot=40, spiking_output=spiking_output)
    return round_delays(network, 255, "spinnaker1", clip=False).network, random_spikes(random, 30, 5, STEPS, 0.08)


@pytest.mark.parametrize("spiking_output", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_does_what_was_trained_and_overflows_nothing(shape: str, spiking_output: bool) -> None:
    network, spikes = trained(shape, spiking_output=spiking_output)
    integers = quantise_network(network, spikes)
    found = emulate(integers, spikes)
    assert not any(found.ring_saturations.values())
    assert not any(found.state_wraps.values())
    for population in network.of_kind("lif"):
        wanted = spike_counts(trained_spikes(network, spikes)[population.name])
        assert wanted.any()
        # A spike within a unit in the last place of threshold may come a tick earlier or later, or not at all.
        assert np.abs(found.neuron_counts[population.name] - wanted).sum() <= 1 + 0.005 * wanted.sum()


@pytest.mark.parametrize("shape", ["feedforward", "recurrent"])
def test_voltages_of_the_readout_are_those_of_training(shape: str) -> None:
    network, spikes = trained(shape)
    integers = quantise_network(network, spikes)
    found = emulate(integers, spikes, traces=True)
    compared = 0
    for sample in range(spikes.n_samples):
        state = simulate(network, {"in": raster(spikes, sample)})
        if np.array_equal(state.spikes["a"], found.spikes["a"][sample]):
            compared += 1
            volts = found.readout_v[sample] / (ONE * integers["out"].scale)
            assert np.abs(volts - state.voltage["out"]).max() < 2e-3 * np.abs(state.voltage["out"]).max()
    assert compared > 20


@pytest.mark.parametrize("shape", SHAPES)
def test_weights_lose_little_and_slots_become_ticks(shape: str) -> None:
    network, spikes = trained(shape)
    integers = quantise_network(network, spikes)
    weighted = dequantised_weights(integers, network)
    for ours, before, after in zip(integers.projections, network.projections, weighted.projections, strict=True):
        error = np.sqrt(np.mean((after.weight - before.weight) ** 2) / np.mean(before.weight**2))
        assert error < 1e-3
        step = weight_step(max(integers[ours.target].shifts)) / integers[ours.target].scale
        assert np.abs(after.weight - before.weight).max() <= 0.5001 * step
        assert np.array_equal(ours.delay[ours.exists], before.slots()[ours.exists] + 1)
        assert np.array_equal(np.sign(ours.weight[ours.exists]), np.sign(before.weight[ours.exists]))


@pytest.mark.parametrize("shape", SHAPES)
def test_shifts_are_the_smallest_that_hold_what_arrives(shape: str) -> None:
    """With one less in either type, calibration data would take more than the room that they may, or a weight."""
    network, spikes = trained(shape)
    integers = quantise_network(network, spikes)
    peaks = emulate(integers, spikes).ring_peaks
    for population in integers.simulated:
        for sign, (peak, shift) in enumerate(zip(peaks[population.name], population.shifts, strict=True)):
            heaviest = max(
                (int(np.abs(p.weight[p.of_type(sign)]).max(initial=0)) for p in integers.incoming(population.name)),
                default=0,
            )
            assert peak <= 1.01 * RING_HEADROOM * LARGEST_WEIGHT
            if shift and peak:
                assert 2 * peak > 0.99 * RING_HEADROOM * LARGEST_WEIGHT or 2 * heaviest > LARGEST_WEIGHT


def test_constants_are_those_the_chip_computes_with() -> None:
    network, spikes = trained("skip")
    found = dequantised_constants(quantise_network(network, spikes))
    for population in network.populations:
        if population.kind == "spike_source":
            continue
        ideal, chip = NeuronConstants.of(population, network.dt_ms), found[population.name]
        for name in ("alpha", "beta", "gain"):
            # dt / tau is cut to s16.15, and so is alpha.
            assert abs(getattr(chip, name) - getattr(ideal, name)) < 2e-3 * getattr(ideal, name)
        if population.kind == "lif":
            assert chip.threshold == pytest.approx(population.threshold, rel=1e-9)


def one_neuron(weight: float, **more: object) -> Network:
    return Network(
        1.0,
        (Population("in", "spike_source", 1), Population("a", "lif", 2, **more), Population("out", "leaky_readout", 1)),  # type: ignore[arg-type]
        (
            make_projection("in", "a", np.full((1, 2), weight), np.zeros((1, 2))),
            make_projection("a", "out", np.ones((2, 1)), np.zeros((2, 1))),
        ),
    )


def ticking(n_samples: int = 3) -> SpikeTrains:
    return bin_events([(np.arange(0, 60, 3), np.zeros(20, dtype=np.int64))] * n_samples, 1, 90)[0]


def test_neurons_may_have_time_constants_of_their_own_and_spike_once() -> None:
    for more in ({"tau_mem_ms": (10.0, 35.0), "tau_syn_ms": (3.0, 9.0)}, {"single_spike": True}):
        network = one_neuron(12.0, **more)
        integers = quantise_network(network, ticking())
        found = emulate(integers, ticking()).neuron_counts["a"]
        assert np.array_equal(found, spike_counts(trained_spikes(network, ticking())["a"]))
        assert found.max() == (1 if "single_spike" in more else found.max())
        assert found.min() > 0


def test_weights_that_become_nothing_leave_the_rows() -> None:
    network = one_neuron(12.0)
    weight = np.array([[12.0, 1e-9]], dtype=np.float32)
    ours = round_projection(replace(network.projections[0], weight=weight), 100.0, (14, 14))
    assert ours.exists.tolist() == [[True, False]]
    assert ours.delay.tolist() == [[1, 0]]


def test_a_format_that_was_trained_in_is_kept_unless_it_overflows() -> None:
    network, spikes = trained("recurrent")
    chosen = quantise_network(network, spikes)
    known = {p.name: (0.9 * p.scale, p.shifts) for p in chosen.simulated}
    kept = quantise_network(network, spikes, known)
    assert [p.scale for p in kept.simulated] == pytest.approx([s for s, _ in known.values()], rel=1e-6)
    small = {name: (scale, (0, 0)) for name, (scale, _) in known.items()}
    assert same(quantise_network(network, spikes, small), chosen)
    shared = round_network(network, *({k: v[i] for k, v in shared_shifts(chosen).items()} for i in (0, 1)))  # type: ignore[arg-type]
    assert all(len(set(p.shifts)) == 1 for p in shared.simulated)
    assert not any(emulate(shared, spikes).ring_saturations.values())


def same(one: IntegerNetwork, other: IntegerNetwork) -> bool:
    return all(np.array_equal(a.weight, b.weight) for a, b in zip(one.projections, other.projections, strict=True))


def test_the_largest_shift_is_never_exceeded() -> None:
    network = one_neuron(1e6, threshold=1.0)
    integers = quantise_network(network, ticking())
    assert max(s for p in integers.simulated for s in p.shifts) <= LARGEST_SAFE_SHIFT
    assert not any(emulate(integers, ticking()).state_wraps.values())


def test_what_cannot_be_held_is_refused_by_name() -> None:
    with pytest.raises(NetworkError, match="tau_m of neuron 0"):
        quantise_network(one_neuron(1.0, tau_mem_ms=40_000.0), ticking())
    with pytest.raises(TargetLimitError, match="population a: even at the smallest threshold"):
        quantise_network(one_neuron(1e12), ticking())
