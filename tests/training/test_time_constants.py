"""Gradients of time constants: converge to those of a simulator without a grid, and equal the float64 reference."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.networks import SHAPES, random_network, random_spikes, raster
from tests.oracles import cases, reference
from tests.oracles.cases import EDGES, LABEL, OBJECTIVES, Case, Gradients
from tests.oracles.reference_taus import tau_gradients
from tests.training.test_exactness import run_engine
from toolchain.errors import InputError
from toolchain.event_graph import build_event_graph
from toolchain.network import Network
from toolchain.objective import Objective
from toolchain.training.backends import BatchGradient, RateTarget, make_engine

STEPS = 60
READ = [Objective(), Objective("maximum"), Objective("first_spike", temperature_ms=5.0, late_penalty_ms=30.0)]
read_so = pytest.mark.parametrize("objective", READ, ids=lambda o: o.reading)


def by_population(network: Network, found: BatchGradient) -> Gradients:
    graph = build_event_graph(network)
    parts = {p.name: graph.neurons(p) for p in network.populations if p.kind != "spike_source"}
    return {
        name: (found.tau_mem[s].astype(np.float64), found.tau_syn[s].astype(np.float64)) for name, s in parts.items()
    }


def on_grid(case: Case, dt: float, objective: Objective) -> Gradients:
    return by_population(*run_engine(case, dt, objective, tuple(case.layers())))


@pytest.mark.parametrize("shape", EDGES)
@pytest.mark.parametrize("name", OBJECTIVES)
def test_gradients_converge_to_the_true_ones(shape: str, name: str) -> None:
    """Errors of each neuron's two gradients fall with the step, to a few thousandths at 2.5 us."""
    objective = OBJECTIVES[name]
    case = cases.case_of(shape, objective)
    truth = cases.true_tau_gradients(case, objective)
    assert all(np.abs(part).min() > 0 and np.abs(part).max() > 5e-3 for both in truth.values() for part in both)
    errors = {dt: cases.relative_error(on_grid(case, dt, objective), truth) for dt in (0.04, 0.01, 0.0025)}
    assert max(errors[0.0025]) < 0.008
    for kind in (0, 1):
        assert errors[0.0025][kind] < max(0.3 * errors[0.04][kind], 1e-3)
        assert errors[0.0025][kind] < max(0.6 * errors[0.01][kind], 1e-3)


@pytest.mark.parametrize("loss", ["cross_entropy", "relative_mse"])
def test_silent_correct_output_is_pushed_up_by_its_time_constants_too(loss: str) -> None:
    objective = OBJECTIVES[f"first_spike_{loss}"]
    case = cases.case_of("feedforward", objective, (LABEL,))
    truth = cases.true_tau_gradients(case, objective)
    assert all(both[LABEL] for both in truth["out"])
    coarse, fine = (cases.relative_error(on_grid(case, dt, objective), truth) for dt in (0.04, 0.005))
    assert max(fine) < max(coarse)
    assert max(fine) < 0.01


@pytest.mark.parametrize("name", ["average", "first_spike_cross_entropy"])
@pytest.mark.parametrize("shape", ["feedforward", "two_coupled"])
def test_gradients_of_neurons_that_spike_once_converge(shape: str, name: str) -> None:
    objective = OBJECTIVES[name]
    case = replace(cases.case_of(shape, objective), single_spike=True)
    truth = cases.true_tau_gradients(case, objective)
    coarse, fine = (cases.relative_error(on_grid(case, dt, objective), truth) for dt in (0.04, 0.0025))
    assert max(fine) < 0.008
    assert max(fine) < 0.3 * max(coarse)


def heterogeneous(network: Network, random: np.random.Generator) -> Network:
    """The network with time constants that differ from neuron to neuron."""

    def drawn(size: int, low: float, high: float) -> tuple[float, ...]:
        return tuple(random.uniform(low, high, size).tolist())

    return replace(
        network,
        populations=tuple(
            p
            if p.kind == "spike_source"
            else replace(p, tau_mem_ms=drawn(p.size, 12, 30), tau_syn_ms=drawn(p.size, 3, 8))
            for p in network.populations
        ),
    )


def example(shape: str, objective: Objective, n_samples: int, seed: int = 0) -> tuple[Network, Any, Any]:
    random = np.random.default_rng([SHAPES.index(shape), seed])
    network = heterogeneous(random_network(shape, random, spiking_output=objective.spiking), random)
    return network, random_spikes(random, n_samples, 5, STEPS, 0.08), random.integers(0, 3, n_samples)


def all_of(network: Network) -> list[str]:
    return [p.name for p in network.populations if p.kind != "spike_source"]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(2))
@read_so
def test_engine_equals_reference(shape: str, seed: int, objective: Objective) -> None:
    network, spikes, labels = example(shape, objective, 3, seed)
    engine = make_engine(
        "cpu", network, STEPS, max_slot=9, objective=objective, min_slope=1e-9, learn_tau=all_of(network)
    )
    largest = 0.0
    for sample in range(3):
        found = by_population(network, engine.gradients(spikes, labels, np.array([sample])))
        state = reference.simulate(network, {"in": raster(spikes, sample)})
        lambdas = reference.adjoints(network, state, int(labels[sample]), objective)
        for name, both in tau_gradients(network, state, *lambdas).items():
            for ours, theirs in zip(found[name], both, strict=True):
                assert np.abs(ours - theirs).max() <= 2e-3 * np.abs(theirs).max() + 1e-9, name
                largest = max(largest, float(np.abs(theirs).max()))
    assert largest > 1e-4


@pytest.mark.parametrize("asked", [("a",), ("out",), ("a", "b"), ()], ids=str)
@pytest.mark.parametrize("shape", ["two_layers", "two_coupled"])
def test_only_what_was_asked_for_has_a_gradient(shape: str, asked: tuple[str, ...]) -> None:
    """And the others, weights and delays are what they are without."""
    network, spikes, labels = example(shape, Objective(), 6)
    batch = np.arange(6)
    everything, some = (
        make_engine("cpu", network, STEPS, max_slot=9, learn_tau=names).gradients(spikes, labels, batch)
        for names in (all_of(network), asked)
    )
    graph = build_event_graph(network)
    for name in all_of(network):
        s = graph.neurons(network[name])
        for field in ("tau_mem", "tau_syn"):
            whole, part = getattr(everything, field)[s], getattr(some, field)[s]
            assert whole.any()
            assert np.array_equal(part, whole) if name in asked else not part.any()
    assert np.array_equal(some.weight, everything.weight)
    assert np.array_equal(some.delay, everything.delay)
    assert some.loss == everything.loss


@read_so
@pytest.mark.parametrize("rates", [None, {"a": RateTarget(3.0, 0.01)}], ids=["free", "regulated"])
def test_result_does_not_depend_on_threads(objective: Objective, rates: dict[str, RateTarget] | None) -> None:
    network, spikes, labels = example("two_coupled", objective, 40)
    found = [
        make_engine(
            "cpu", network, STEPS, max_slot=9, objective=objective, rates=rates, threads=n, learn_tau=all_of(network)
        ).gradients(spikes, labels, np.arange(40))
        for n in (1, 2, 7)
    ]
    for other in found[1:]:
        assert np.array_equal(found[0].tau_mem, other.tau_mem)
        assert np.array_equal(found[0].tau_syn, other.tau_syn)


@pytest.mark.parametrize("shape", ["feedforward", "recurrent_masked"])
def test_batch_gradient_is_the_mean_of_sample_gradients_whichever_way_samples_go(shape: str) -> None:
    """One by one, or all forward first for a regulariser of no strength; nothing is left from an earlier batch."""
    network, spikes, labels = example(shape, Objective(), 20)
    for rates in (None, {"a": RateTarget(3.0, 0.0)}):
        engine = make_engine("cpu", network, STEPS, max_slot=9, rates=rates, learn_tau=["a", "out"])
        whole = engine.gradients(spikes, labels, np.arange(20))
        single = [engine.gradients(spikes, labels, np.array([s])) for s in range(20)]
        for field in ("tau_mem", "tau_syn"):
            mean = np.mean([getattr(g, field) for g in single], axis=0)
            assert np.allclose(getattr(whole, field), mean, rtol=1e-4, atol=1e-6 * np.abs(mean).max())


@pytest.mark.parametrize("name", ["in", "c"])
def test_population_without_time_constants_is_refused(name: str) -> None:
    network, _, _ = example("feedforward", Objective(), 1)
    with pytest.raises(InputError, match=f"population {name}: has no time constants to learn; those that do: a, out"):
        make_engine("cpu", network, STEPS, max_slot=9, learn_tau=[name])
