"""Spikes of one or many samples on a reel that grows: none is lost, and nothing depends on its size."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.networks import random_network, random_spikes
from toolchain.network import Network, Population, make_projection
from toolchain.objective import Objective
from toolchain.spikes import SpikeTrains, bin_events
from toolchain.training.backends import RateTarget
from toolchain.training.backends.cpu.engine import CpuEngine

STEPS = 80


def busy() -> tuple[Network, SpikeTrains, NDArray[np.int64]]:
    """Neurons that spike at every step and inputs that do nearly so: many more spikes than a reel starts with."""
    populations = (
        Population("in", "spike_source", 30),
        Population("hid", "lif", 40, threshold=0.01),
        Population("out", "leaky_readout", 2),
    )
    projections = (make_projection("in", "hid", np.ones((30, 40))), make_projection("hid", "out", np.ones((40, 2))))
    spikes = random_spikes(np.random.default_rng(0), 12, 30, STEPS, 0.9)
    return Network(1.0, populations, projections), spikes, np.arange(12) % 2


def test_no_spike_is_lost_when_the_reel_is_full() -> None:
    network, spikes, labels = busy()
    engine = CpuEngine(network, STEPS, max_slot=3, objective=Objective(), threads=1)
    counts = engine.respond(spikes, labels).neuron_spikes
    # The first arrival comes one step after the first input; from there on every neuron spikes at every step.
    assert counts[:40].min() >= 12 * (STEPS - 3)
    assert engine._lanes[0].reel.time.size > 1024


def test_growing_changes_no_result() -> None:
    """Cold, the reel grows in the middle of the batch; warm, it is large enough from the start."""
    network, spikes, labels = busy()
    for rates in (None, {"hid": RateTarget(14.0, 1e-4)}):
        engine = CpuEngine(network, STEPS, max_slot=3, objective=Objective(), threads=2, rates=rates)
        cold = engine.gradients(spikes, labels, np.arange(12))
        warm = engine.gradients(spikes, labels, np.arange(12))
        assert np.array_equal(cold.weight, warm.weight)
        assert np.array_equal(cold.delay, warm.delay)
        assert np.array_equal(cold.neuron_spikes, warm.neuron_spikes)
        assert cold.loss == warm.loss


@pytest.mark.parametrize("shape", ["feedforward", "recurrent", "skip"])
def test_keeping_all_samples_changes_no_gradient(shape: str) -> None:
    """A regulariser of no strength takes the whole batch forward first; the result is that of one by one."""
    random = np.random.default_rng(5)
    network = random_network(shape, random)
    spikes, labels = random_spikes(random, 21, 5, STEPS, 0.08), random.integers(0, 3, 21)
    plain = CpuEngine(network, STEPS, max_slot=9, objective=Objective())
    kept = CpuEngine(network, STEPS, max_slot=9, objective=Objective(), rates={"a": RateTarget(3.0, 0.0)})
    a, b = (e.gradients(spikes, labels, np.arange(21)) for e in (plain, kept))
    assert np.array_equal(a.weight, b.weight)
    assert np.array_equal(a.delay, b.delay)
    assert (a.loss, a.correct, a.guarded) == (b.loss, b.correct, b.guarded)


@pytest.mark.parametrize(("target", "direction"), [(1.0, 1), (30.0, -1)])
def test_rate_regulariser_pushes_towards_its_target(target: float, direction: int) -> None:
    """Above the target the gradient of the weight is positive, so a step down makes fewer spikes; and conversely."""
    network = Network(
        1.0,
        (Population("in", "spike_source", 1), Population("hid", "lif", 1), Population("out", "leaky_readout", 2)),
        (make_projection("in", "hid", np.array([[8.0]])), make_projection("hid", "out", np.zeros((1, 2)))),
    )
    spikes, _ = bin_events([(np.arange(0, 60, 10), np.zeros(6, dtype=np.int64))], 1, STEPS)
    labels = np.array([0])
    engine = CpuEngine(network, STEPS, max_slot=3, objective=Objective(), rates={"hid": RateTarget(target, 1e-3)})
    found = engine.gradients(spikes, labels, np.array([0]))
    assert 2 < found.neuron_spikes[0] < 20
    assert np.sign(found.weight[0]) == direction


@pytest.mark.parametrize("slot", [STEPS - 2, STEPS - 1, STEPS, 5 * STEPS])
def test_what_would_arrive_after_the_end_does_nothing(slot: int) -> None:
    """A spike of step 0 through slot k arrives at step k + 1: within the sample up to slot steps - 2."""
    network = Network(
        1.0,
        (Population("in", "spike_source", 1), Population("hid", "lif", 1), Population("out", "leaky_readout", 2)),
        (
            make_projection("in", "hid", np.array([[100.0]]), float(slot)),
            make_projection("hid", "out", np.array([[1.0, 2.0]])),
        ),
    )
    spikes, _ = bin_events([(np.array([0]), np.array([0]))], 1, STEPS)
    engine = CpuEngine(network, STEPS, max_slot=5 * STEPS, objective=Objective())
    found = engine.gradients(spikes, np.array([0]), np.array([0]))
    assert found.neuron_spikes[0] == (1 if slot == STEPS - 2 else 0)
    assert not found.weight[0]


def test_masked_synapses_stay_single_and_absent() -> None:
    """A projection of few synapses is stored one by one; its gradients are those of the dense form."""
    random = np.random.default_rng(8)
    mask = random.random((40, 24)) < 0.1
    weight = random.normal(2.0, 1.0, (40, 24))
    delay = random.uniform(0, 9, (40, 24))
    spikes, labels = random_spikes(random, 6, 40, STEPS, 0.05), random.integers(0, 2, 6)
    found = []
    for masked in (True, False):
        populations = (
            Population("in", "spike_source", 40),
            Population("hid", "lif", 24),
            Population("out", "leaky_readout", 2),
        )
        onto = make_projection("in", "hid", np.where(mask, weight, 0), delay, mask if masked else None)
        out = make_projection("hid", "out", np.linspace(-1, 1, 48).reshape(24, 2))
        engine = CpuEngine(Network(1.0, populations, (onto, out)), STEPS, max_slot=9, objective=Objective())
        assert engine._layout.single_param.size == (np.count_nonzero(mask) if masked else 0)
        found.append(engine.gradients(spikes, labels, np.arange(6)))
    sparse, dense = found
    assert sparse.neuron_spikes.sum() > 100
    assert np.array_equal(sparse.neuron_spikes, dense.neuron_spikes)
    kept = np.concatenate([mask.ravel(), np.ones(48, dtype=np.bool_)])
    assert np.allclose(sparse.weight, dense.weight[kept], rtol=1e-3, atol=1e-6)
    assert np.allclose(sparse.delay, dense.delay[kept], rtol=1e-3, atol=1e-6)
