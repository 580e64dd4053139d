"""The CPU engine against the float64 reference and against itself; `test_exactness` has the true gradient."""

from __future__ import annotations

import numpy as np
import pytest

from tests.networks import SHAPES, random_network, random_spikes, raster
from tests.oracles.reference import gradients, read, simulate, softmax
from toolchain.errors import NetworkError
from toolchain.event_graph import flatten, split_flat
from toolchain.network import Network, Population, make_projection
from toolchain.objective import Objective
from toolchain.readouts import READOUTS, ReadoutName
from toolchain.spikes import bin_events
from toolchain.training.backends import make_engine
from toolchain.training.backends.cpu.engine import adjoint_coupling

STEPS = 60


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("readout", READOUTS)
def test_engine_equals_reference(shape: str, seed: int, readout: ReadoutName) -> None:
    """Spikes exactly, readout and gradients to float32, on every shape of network and with spikes to the last step."""
    random = np.random.default_rng([SHAPES.index(shape), seed])
    network = random_network(shape, random)
    spikes = random_spikes(random, 2, 5, STEPS, 0.06)
    labels = random.integers(0, 3, 2)
    # The floor of the slope is lowered out of the way; it has a test of its own.
    engine = make_engine("cpu", network, STEPS, max_slot=9, objective=Objective(readout), min_slope=1e-9)
    for sample in range(2):
        state = simulate(network, {"in": raster(spikes, sample)})
        trace = engine.trace(spikes, sample)
        for population in network.of_kind("lif"):
            times, units = trace.spikes[population.name]
            ours = np.zeros((STEPS, population.size), dtype=np.bool_)
            ours[times, units] = True
            assert np.array_equal(ours, state.spikes[population.name]), population.name
        assert np.abs(trace.readout_v.T - state.voltage["out"]).max() < 2e-5
        found = engine.gradients(spikes, labels, np.array([sample]))
        parts = (split_flat(network, found.weight), split_flat(network, found.delay))
        expected = gradients(network, state, int(labels[sample]), readout_name=readout)
        probability = softmax(read(readout, state.voltage["out"]))
        assert found.loss == pytest.approx(-np.log(probability[labels[sample]]), rel=1e-5, abs=1e-7)
        for name, both in expected.items():
            for ours_, theirs in zip((parts[0][name], parts[1][name]), both, strict=True):
                # A slope can be small by chance, and float32 voltages have float32 slopes. Compare on that scale.
                assert np.abs(ours_ - theirs).max() <= 2e-3 * np.abs(theirs).max() + 1e-9, name
    assert sum(len(trace.spikes[p.name][0]) for p in network.of_kind("lif")) > 0


def test_result_does_not_depend_on_threads() -> None:
    random = np.random.default_rng(3)
    network = random_network("two_coupled", random)
    spikes = random_spikes(random, 40, 5, STEPS, 0.08)
    labels = random.integers(0, 3, 40)
    results = [
        make_engine("cpu", network, STEPS, max_slot=9, threads=threads).gradients(spikes, labels, np.arange(40))
        for threads in (1, 2, 7)
    ]
    for other in results[1:]:
        assert np.array_equal(results[0].weight, other.weight)
        assert np.array_equal(results[0].delay, other.delay)
        assert results[0].loss == other.loss


def test_batch_gradient_is_the_mean_of_sample_gradients() -> None:
    """Nothing leaks from one sample into the next, whatever lane it runs in."""
    random = np.random.default_rng(4)
    network = random_network("recurrent", random)
    spikes = random_spikes(random, 20, 5, STEPS, 0.08)
    labels = random.integers(0, 3, 20)
    engine = make_engine("cpu", network, STEPS, max_slot=9)
    whole = engine.gradients(spikes, labels, np.arange(20))
    single = [engine.gradients(spikes, labels, np.array([s])) for s in range(20)]
    assert np.allclose(whole.weight, np.mean([g.weight for g in single], axis=0), rtol=1e-4, atol=1e-8)
    assert whole.correct == sum(g.correct for g in single)
    assert whole.guarded == sum(g.guarded for g in single)
    assert np.array_equal(whole.neuron_spikes, np.sum([g.neuron_spikes for g in single], axis=0))


def test_vanishing_slope_is_held_and_counted() -> None:
    """A neuron that only just reaches threshold has a slope near 0; the floor bounds its adjoint.

    Here every arrival is so small a push over threshold that the free gradient is huge.
    """
    weight = np.array([[6.25]])
    network = Network(
        1.0,
        (
            Population("in", "spike_source", 1),
            Population("hid", "lif", 1),
            Population("out", "leaky_readout", 2),
        ),
        (make_projection("in", "hid", weight), make_projection("hid", "out", np.array([[1.0, -1.0]]))),
    )
    spikes, _ = bin_events([(np.array([0]), np.array([0]))], 1, STEPS)
    peak = float(simulate(network, {"in": raster(spikes, 0)}).voltage["hid"].max())
    # The peak of the response scales with the weight: put threshold a hair below it.
    just = make_projection("in", "hid", weight / peak * 1.0005)
    network = Network(1.0, network.populations, (just, network.projections[1]))
    labels = np.array([0])
    results = [
        make_engine("cpu", network, STEPS, max_slot=9, min_slope=floor).gradients(spikes, labels, np.array([0]))
        for floor in (1e-9, 2.0)
    ]
    assert [g.guarded for g in results] == [0, 1]
    assert 0 < abs(results[1].weight[0]) < 0.5 * abs(results[0].weight[0])


def test_equal_time_constants_are_the_limit_of_unequal_ones() -> None:
    """mlGeNN's tau_mem / (tau_mem - tau_syn) is 0/0 there; ours goes through its limit."""
    alpha = float(np.exp(-1 / 10))
    near = adjoint_coupling(alpha, float(np.exp(-1 / 10.0001)))
    assert adjoint_coupling(alpha, alpha) == pytest.approx(near, rel=1e-4)
    network = Network(
        1.0,
        (Population("in", "spike_source", 2), Population("out", "leaky_readout", 2, 10.0, 10.0)),
        (make_projection("in", "out", np.ones((2, 2)), np.array([[3.0, 0.0], [0.0, 3.0]])),),
    )
    spikes = random_spikes(np.random.default_rng(0), 1, 2, 30, 0.2)
    found = make_engine("cpu", network, 30, max_slot=4).gradients(spikes, np.array([1]), np.array([0]))
    assert np.isfinite(found.weight).all()
    assert np.abs(found.weight).max() > 0


def test_slot_beyond_the_ring_is_refused() -> None:
    network = random_network("feedforward", np.random.default_rng(0))
    engine = make_engine("cpu", network, STEPS, max_slot=9)
    with pytest.raises(NetworkError, match=r"delay slot 10 is outside 0\.\.9"):
        engine.set_parameters(flatten(network, "weight"), flatten(network, "delay") * 0 + 10)


def test_spikes_of_another_shape_are_refused() -> None:
    network = random_network("feedforward", np.random.default_rng(0))
    spikes = random_spikes(np.random.default_rng(0), 1, 4, STEPS, 0.1)
    with pytest.raises(NetworkError, match="4 units over 60 steps do not fit"):
        make_engine("cpu", network, STEPS, max_slot=9).respond(spikes, np.array([0]))
