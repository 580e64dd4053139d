"""Weights rounded together: the features are the membrane, the error never grows, and it ends where no change helps."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware_targets.loihi.integer_network import IntegerNetwork
from hardware_targets.loihi.limits import read_limits
from hardware_targets.loihi.membrane import Decays, Inputs, features, resets
from hardware_targets.loihi.quantiser import quantise_network, round_at, round_delays
from hardware_targets.loihi.refinement import TRUST, nearest_membrane, refine
from hardware_targets.loihi.rounding import dequantised_weights
from hardware_targets.trained_spikes import trained_spikes
from tests.networks import SHAPES, random_network, random_spikes, raster
from tests.oracles.reference import constants, simulate
from toolchain.network import Network
from toolchain.spikes import SpikeTrains, bin_events

LIMITS = read_limits("loihi2")
STEPS = 60


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("every", [1, 3])
def test_weights_times_features_are_the_membrane(shape: str, every: int) -> None:
    """Against the float64 reference, which goes step by step through whole layers; resets and all."""
    random = np.random.default_rng([SHAPES.index(shape), every])
    network = round_delays(random_network(shape, random), LIMITS, clip=False).network
    spikes = random_spikes(random, 3, 5, STEPS, 0.08)
    trained = trained_spikes(network, spikes)
    states = [simulate(network, {"in": raster(spikes, s)}) for s in range(3)]
    for population in (p for p in network.populations if p.kind != "spike_source"):
        inputs = Inputs.onto(population, network, trained)
        alpha, beta, gain = (float(c) for c in constants(network, population.name))
        for neuron in range(population.size):
            reset = resets(trained.get(population.name), neuron, 3, STEPS)
            slots = inputs.column([p.slots() for p in inputs.projections], neuron).astype(np.int64)
            exists = [np.ones(p.weight.shape, bool) if p.mask is None else p.mask for p in inputs.projections]
            here = inputs.column(exists, neuron) > 0
            found = features(inputs, slots, here, reset, Decays(beta, alpha, gain), every)
            weight = inputs.column([p.weight for p in inputs.projections], neuron)
            voltage = (weight[here] @ found).reshape(3, -1)
            for sample, state in enumerate(states):
                expected = state.voltage[population.name][::every, neuron]
                assert np.abs(voltage[sample] - expected).max() < 1e-5


@st.composite
def problems(draw: st.DrawFn, most: int = 8) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """Features that overlap, weights, and the nearest integers."""
    n = draw(st.integers(1, most))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    seen = random.random((n, 40)) * (random.random((n, 40)) < 0.5) + 0.3 * random.random(40)
    weight = random.normal(0, 3, n)
    return seen.astype(np.float32), weight, np.rint(weight)


def error(seen: np.ndarray, weight: np.ndarray, q: np.ndarray) -> float:  # type: ignore[type-arg]
    """E of the head of the module, for a unit of 1."""
    form = seen.astype(np.float64)
    trust = TRUST * float((form**2).sum()) / weight.size
    return float((((q - weight) @ form) ** 2).sum() + trust * ((q - weight) ** 2).sum())


@given(problems())
@settings(deadline=None, max_examples=80)
def test_the_error_falls_until_no_single_change_helps(problem: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:  # type: ignore[type-arg]
    seen, weight, start = problem
    n = weight.size
    q = nearest_membrane(seen, seen, weight, start, np.ones(n), -128, 127)
    assert np.array_equal(q, np.rint(q))
    best = error(seen, weight, q)
    assert best <= error(seen, weight, start) * (1 + 1e-6) + 1e-9
    for i, by in itertools.product(range(n), (-1, 1)):
        other = q.copy()
        other[i] += by
        assert error(seen, weight, other) >= best * (1 - 1e-4) - 1e-6


def test_it_is_mostly_the_best_of_all_integers() -> None:
    """Against every combination of integers near six weights, over 20 problems; nearest rounding is at 1.25 of it."""
    random = np.random.default_rng(0)
    ours, nearest = [], []
    for _ in range(20):
        seen = (random.random((6, 40)) * (random.random((6, 40)) < 0.5) + 0.3 * random.random(40)).astype(np.float32)
        weight = random.normal(0, 3, 6)
        q = nearest_membrane(seen, seen, weight, np.rint(weight), np.ones(6), -128, 127)
        around = itertools.product(*(range(int(np.floor(w)) - 1, int(np.ceil(w)) + 2) for w in weight))
        best = min(error(seen, weight, np.array(c, dtype=float)) for c in around)
        ours.append(error(seen, weight, q) / best)
        nearest.append(error(seen, weight, np.rint(weight)) / best)
    assert np.mean(ours) < 1.1 < np.mean(nearest)
    assert np.median(ours) < 1.001


def test_ranges_are_kept() -> None:
    seen = np.ones((2, 10), dtype=np.float32)
    weight, start = np.array([400.0, 5.4]), np.array([127.0, 5.0])
    q = nearest_membrane(seen, seen, weight, start, np.ones(2), -128, 127)
    assert q[0] == 127
    assert q[1] > 5, "what the first cannot hold is taken over as far as trust allows"


@pytest.mark.parametrize("shape", SHAPES)
def test_the_result_does_not_depend_on_threads(shape: str) -> None:
    random = np.random.default_rng([SHAPES.index(shape), 6])
    network = round_delays(random_network(shape, random), LIMITS, clip=False).network
    spikes = random_spikes(random, 12, 5, STEPS, 0.1)
    trained = trained_spikes(network, spikes)
    nearest = round_at(network, {p.name: 300.0 for p in network.populations}, LIMITS)
    for population in (p for p in network.populations if p.kind != "spike_source"):
        one, *others = (refine(network, nearest, population, trained, LIMITS, threads=n) for n in (1, 2, 5))
        for other in others:
            for a, b in zip(one.projections, other.projections, strict=True):
                assert np.array_equal(a.weight, b.weight)
        for before, after in zip(nearest.projections, one.projections, strict=True):
            assert not after.weight[~before.exists].any(), "no synapse comes to be"


def test_a_neuron_without_input_keeps_its_integers() -> None:
    start = np.array([3.0, -2.0])
    seen = np.zeros((2, 10), dtype=np.float32)
    assert np.array_equal(nearest_membrane(seen, seen, start + 0.4, start, np.ones(2), -128, 127), start)


def test_the_membrane_of_a_quantised_network_comes_nearer() -> None:
    """Voltages with the spikes of the trained network imposed, by the float64 reference: never further, mostly nearer.

    With five sources there are few ways for errors to cancel; half of the squared error goes on average.
    """
    ratios = []
    for shape in SHAPES:
        random = np.random.default_rng([SHAPES.index(shape), 5])
        network = round_delays(random_network(shape, random), LIMITS, clip=False).network
        spikes = random_spikes(random, 12, 5, STEPS, 0.1)
        trained = trained_spikes(network, spikes)
        for scale in (75.0, 300.0, 500.0):
            nearest = round_at(network, {p.name: scale for p in network.populations}, LIMITS)
            together = nearest
            for population in (p for p in network.populations if p.kind != "spike_source"):
                together = refine(network, together, population, trained, LIMITS)
            before, after = (_membrane_error(network, integers, spikes) for integers in (nearest, together))
            assert after <= 1.01 * before
            ratios.append(after / before)
    assert np.mean(ratios) < 0.6


def _membrane_error(network: Network, integers: IntegerNetwork, spikes: SpikeTrains) -> float:
    held = dequantised_weights(integers, network)
    total = 0.0
    for sample in range(spikes.n_samples):
        inputs = {"in": raster(spikes, sample)}
        truth = simulate(network, inputs)
        imposed = {p.name: truth.spikes[p.name] for p in network.of_kind("lif")}
        other = simulate(held, inputs, imposed=imposed)
        total += sum(float(((other.voltage[n] - truth.voltage[n]) ** 2).sum()) for n in truth.voltage)
    return total


def test_quantisation_without_a_single_event_is_that_of_the_weights() -> None:
    random = np.random.default_rng(0)
    network = random_network("feedforward", random)
    silent, _ = bin_events([(np.zeros(0, int), np.zeros(0, int))] * 2, 5, STEPS)
    integers = quantise_network(round_delays(network, LIMITS, clip=False).network, silent, LIMITS)
    again = round_at(network, {p.name: p.scale for p in integers.simulated}, LIMITS)
    for one, other in zip(integers.projections, again.projections, strict=True):
        assert np.array_equal(one.weight, other.weight)
    assert replace(integers, projections=()) == replace(again, projections=())
