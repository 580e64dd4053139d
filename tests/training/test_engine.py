"""The CPU engine against the float64 reference and against itself; `test_exactness` has the true gradient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.networks import SHAPES, random_network, random_spikes, raster
from tests.oracles.reference import gradients, simulate
from tests.oracles.reference_losses import push
from toolchain.errors import NetworkError
from toolchain.event_graph import flatten, split_flat
from toolchain.network import Network, Population, make_projection
from toolchain.objective import COMBINATIONS, Objective
from toolchain.training.backends import RateTarget, make_engine
from toolchain.training.backends.cpu.engine import adjoint_coupling

STEPS = 60
# Constants so large that every term is a good part of the gradient.
OBJECTIVES = [
    Objective(reading, loss, temperature_ms=5.0, late_penalty_ms=30.0, margin_ms=3.0)  # type: ignore[arg-type]
    for reading, losses in COMBINATIONS.items()
    for loss in losses
]
every_objective = pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: f"{o.reading}-{o.loss}")


def random_targets(random: np.random.Generator) -> NDArray[np.float32]:
    """(3 classes, 3 outputs, STEPS)"""
    return random.normal(0.0, 1.0, (3, 3, STEPS)).astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(6))
@every_objective
def test_engine_equals_reference(shape: str, seed: int, objective: Objective) -> None:
    """Spikes exactly, readout and gradients to float32, on every shape of network and with spikes to the last step."""
    random = np.random.default_rng([SHAPES.index(shape), seed])
    network = random_network(shape, random, spiking_output=objective.spiking)
    spikes = random_spikes(random, 2, 5, STEPS, 0.06)
    labels = random.integers(0, 3, 2)
    targets = random_targets(random) if objective.reading == "trace" else None
    # The floor of the slope is lowered out of the way; test_published_flaws has a test of it.
    engine = make_engine("cpu", network, STEPS, max_slot=9, objective=objective, targets=targets, min_slope=1e-9)
    for sample in range(2):
        state = simulate(network, {"in": raster(spikes, sample)})
        trace = engine.trace(spikes, sample)
        for population in network.of_kind("lif"):
            times, units = trace.spikes[population.name]
            ours = np.zeros((STEPS, population.size), dtype=np.bool_)
            ours[times, units] = True
            assert np.array_equal(ours, state.spikes[population.name]), population.name
        if not objective.spiking:
            assert np.abs(trace.readout_v.T - state.voltage["out"]).max() < 2e-5
        found = engine.gradients(spikes, labels, np.array([sample]))
        parts = (split_flat(network, found.weight), split_flat(network, found.delay))
        label = int(labels[sample])
        target = None if targets is None else targets[label].astype(np.float64)
        loss = push(objective, state.voltage["out"], state.spikes["out"], label, network.dt_ms, target).loss
        assert found.loss == pytest.approx(loss, rel=1e-5, abs=1e-7)
        expected = gradients(network, state, label, objective, target=target)
        for name, both in expected.items():
            for ours_, theirs in zip((parts[0][name], parts[1][name]), both, strict=True):
                # A slope can be small by chance, and float32 voltages have float32 slopes. Compare on that scale.
                assert np.abs(ours_ - theirs).max() <= 2e-3 * np.abs(theirs).max() + 1e-9, name
    assert sum(len(trace.spikes[p.name][0]) for p in network.of_kind("lif")) > 0


@pytest.mark.parametrize("shape", SHAPES)
@every_objective
def test_neurons_that_spike_once_equal_the_reference(shape: str, objective: Objective) -> None:
    random = np.random.default_rng([9, SHAPES.index(shape)])
    several = random_network(shape, random, spiking_output=objective.spiking)
    once = tuple(replace(p, single_spike=p.kind == "lif") for p in several.populations)
    network = replace(several, populations=once)
    spikes = random_spikes(random, 3, 5, STEPS, 0.08)
    labels = random.integers(0, 3, 3)
    targets = random_targets(random) if objective.reading == "trace" else None
    engine = make_engine("cpu", network, STEPS, max_slot=9, objective=objective, targets=targets, min_slope=1e-9)
    more = 0
    for sample in range(3):
        state = simulate(network, {"in": raster(spikes, sample)})
        more += sum(a.sum() for a in simulate(several, {"in": raster(spikes, sample)}).spikes.values())
        more -= sum(a.sum() for a in state.spikes.values())
        trace = engine.trace(spikes, sample)
        for population in network.of_kind("lif"):
            assert trace.spikes[population.name][0].tolist() == np.nonzero(state.spikes[population.name].T)[1].tolist()
        found = engine.gradients(spikes, labels, np.array([sample]))
        target = None if targets is None else targets[labels[sample]].astype(np.float64)
        expected = gradients(network, state, int(labels[sample]), objective, target=target)
        for ours, field in ((found.weight, 0), (found.delay, 1)):
            for name, part in split_flat(network, ours).items():
                theirs = expected[name][field]
                assert np.abs(part - theirs).max() <= 2e-3 * np.abs(theirs).max() + 1e-9, name
    assert more > 0


def test_random_outputs_are_early_late_and_silent() -> None:
    """The networks above hold the cases of a loss on first spikes: correct output spiked, other outputs that did."""
    cases = set()
    for number in range(len(SHAPES)):
        for seed in range(6):
            random = np.random.default_rng([number, seed])
            network = random_network(SHAPES[number], random, spiking_output=True)
            spikes = random_spikes(random, 2, 5, STEPS, 0.06)
            for sample, label in enumerate(random.integers(0, 3, 2)):
                fired = simulate(network, {"in": raster(spikes, sample)}).spikes["out"].any(axis=0)
                cases.add((bool(fired[label]), int(np.delete(fired, label).sum())))
    assert cases >= {(True, 1), (True, 2), (False, 0), (False, 1), (False, 2)}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("spiking", [False, True])
def test_regulariser_equals_reference(shape: str, spiking: bool) -> None:
    """Each neuron is pulled by its own mean count over the batch of this very forward pass, and only where asked."""
    random = np.random.default_rng([SHAPES.index(shape), 99])
    objective = Objective("first_spike") if spiking else Objective()
    network = random_network(shape, random, spiking_output=spiking)
    spikes = random_spikes(random, 5, 5, STEPS, 0.06)
    labels = random.integers(0, 3, 5)
    target = RateTarget(spikes=2.0, strength=0.03)
    engine = make_engine(
        "cpu", network, STEPS, max_slot=9, objective=objective, min_slope=1e-9, rates={"a": target}
    )  # fmt: skip
    batch = np.array([0, 1, 3, 4])
    states = [simulate(network, {"in": raster(spikes, s)}) for s in batch]
    counts = np.mean([state.spikes["a"].sum(axis=0) for state in states], axis=0)
    assert np.ptp(counts) > 0
    rates = {"a": 0.03 * (counts - 2.0)}
    by_sample = [
        gradients(network, state, int(labels[s]), objective, rates=rates)
        for s, state in zip(batch, states, strict=True)
    ]
    free = [gradients(network, state, int(labels[s]), objective) for s, state in zip(batch, states, strict=True)]
    # A batch of other samples first: its counts must not be those that count.
    engine.gradients(spikes, labels, np.array([2]))
    found = engine.gradients(spikes, labels, batch)
    parts = (split_flat(network, found.weight), split_flat(network, found.delay))
    for name in by_sample[0]:
        for kind in (0, 1):
            expected = np.mean([g[name][kind] for g in by_sample], axis=0)
            assert np.abs(parts[kind][name] - expected).max() <= 2e-3 * np.abs(expected).max() + 1e-9, name
    moved = np.mean([g["in->a"][0] for g in by_sample], axis=0) - np.mean([g["in->a"][0] for g in free], axis=0)
    assert np.abs(moved).max() > 1e-3, "the regulariser shows"


@pytest.mark.parametrize("rates", [None, {"a": (3.0, 0.01)}], ids=["free", "regulated"])
@every_objective
def test_result_does_not_depend_on_threads(objective: Objective, rates: dict[str, tuple[float, float]] | None) -> None:
    random = np.random.default_rng(3)
    network = random_network("two_coupled", random, spiking_output=objective.spiking)
    spikes = random_spikes(random, 40, 5, STEPS, 0.08)
    labels = random.integers(0, 3, 40)
    targets = random_targets(random) if objective.reading == "trace" else None
    regulated = None if rates is None else {name: RateTarget(spikes=n, strength=k) for name, (n, k) in rates.items()}
    results = [
        make_engine(
            "cpu", network, STEPS, max_slot=9, objective=objective, targets=targets, rates=regulated, threads=threads
        ).gradients(spikes, labels, np.arange(40))
        for threads in (1, 2, 7)
    ]
    for other in results[1:]:
        assert np.array_equal(results[0].weight, other.weight)
        assert np.array_equal(results[0].delay, other.delay)
        assert results[0].loss == other.loss


@every_objective
def test_batch_gradient_is_the_mean_of_sample_gradients(objective: Objective) -> None:
    """Nothing leaks from one sample into the next, whatever lane it runs in."""
    random = np.random.default_rng(4)
    network = random_network("recurrent", random, spiking_output=objective.spiking)
    spikes = random_spikes(random, 20, 5, STEPS, 0.08)
    labels = random.integers(0, 3, 20)
    targets = random_targets(random) if objective.reading == "trace" else None
    engine = make_engine("cpu", network, STEPS, max_slot=9, objective=objective, targets=targets)
    whole = engine.gradients(spikes, labels, np.arange(20))
    single = [engine.gradients(spikes, labels, np.array([s])) for s in range(20)]
    scale = float(np.abs(whole.weight).max())
    assert np.allclose(whole.weight, np.mean([g.weight for g in single], axis=0), rtol=1e-4, atol=1e-6 * scale)
    assert whole.correct == sum(g.correct for g in single)
    assert whole.guarded == sum(g.guarded for g in single)
    assert np.array_equal(whole.neuron_spikes, np.sum([g.neuron_spikes for g in single], axis=0))


def test_equal_time_constants_are_the_limit_of_unequal_ones() -> None:
    """mlGeNN's tau_mem / (tau_mem - tau_syn) is 0/0 there; ours goes through its limit."""
    alpha = np.exp([-1 / 10, -1 / 10])
    equal, near = adjoint_coupling(alpha, np.exp([-1 / 10, -1 / 10.0001]))
    assert equal == pytest.approx(near, rel=1e-4)
    # A chip's integers may have a decay of 0, a synapse without memory: tau_mem / (tau_mem - 0) * (alpha - 0).
    assert adjoint_coupling(alpha, np.zeros(2)) == pytest.approx(alpha)
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
