"""The float64 reference on a grid converges to the gradients of a simulator that has none, for every objective.

Engines are held equal to the reference on networks of every shape, so this is what their signs and factors rest on.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.oracles import cases
from tests.oracles.cases import EDGES, LABEL, OBJECTIVES, SHORT
from tests.oracles.event_exact import F64, Layer, Neuron, Synapses, simulate
from tests.oracles.event_exact_losses import average, peak, squared_error, voltage
from tests.oracles.reference_losses import push
from toolchain.objective import Objective

COARSE, FINE = 0.04, 0.005


def assert_converged(coarse: tuple[float, float], fine: tuple[float, float]) -> None:
    """The error falls with the step, to a small one; spikes fall at random within a step, so not evenly."""
    assert max(fine) < 0.012
    for kind in (0, 1):
        assert fine[kind] < max(0.6 * coarse[kind], 2e-3)


@pytest.mark.parametrize("shape", EDGES)
@pytest.mark.parametrize("name", OBJECTIVES)
def test_reference_converges_to_the_true_gradient(shape: str, name: str) -> None:
    objective = OBJECTIVES[name]
    case = cases.case_of(shape, objective)
    truth = cases.true_gradients(case, objective)
    assert all(np.abs(part).max() > 2e-5 for both in truth.values() for part in both), "every projection matters"
    coarse, fine = (
        cases.relative_error(cases.reference_gradients(case, dt, objective), truth) for dt in (COARSE, FINE)
    )
    assert_converged(coarse, fine)


def hidden(neurons: dict[str, list[Neuron]]) -> list[Neuron]:
    """Neurons of all populations but the output."""
    return [n for name, group in neurons.items() if name != "out" for n in group]


@pytest.mark.parametrize("spiking", [False, True])
@pytest.mark.parametrize("shape", EDGES)
def test_networks_of_the_proof_are_well_conditioned(shape: str, spiking: bool) -> None:
    """No grazing, no spike just before another event, several spikes a neuron: errors are those of the step."""
    objective = OBJECTIVES["first_spike_cross_entropy" if spiking else "average"]
    neurons = cases.case_of(shape, objective).run()
    slope, near_miss, gap = cases.conditioning(neurons)
    assert slope > 0.8
    assert near_miss > 0.005
    assert gap > COARSE
    assert min(len(n.spikes) for n in hidden(neurons)) >= 3
    assert all(bool(n.spikes) == spiking for n in neurons["out"])


@pytest.mark.parametrize("shape", EDGES)
def test_long_networks_of_the_proof_are_well_conditioned(shape: str) -> None:
    """Less so than those above: peaks come nearer to threshold, and spikes within 0.04 ms before another event."""
    neurons = cases.long_case(shape).run()
    slope, near_miss, gap = cases.conditioning(neurons)
    assert slope > 0.8
    assert near_miss > 5e-4
    assert gap > 0.01
    assert min(len(n.spikes) for n in hidden(neurons)) >= 3


@pytest.mark.parametrize("silent", [(LABEL,), (0,), (0, LABEL), (0, 1, 2)], ids=str)
@pytest.mark.parametrize("loss", ["cross_entropy", "relative_mse"])
def test_silent_outputs(loss: str, silent: tuple[int, ...]) -> None:
    """Other silent outputs have no gradient; the correct one is pushed up by exactly the promised amount."""
    # The pull at a silent output is so strong at the end of the sample that a small constant shows.
    objective = replace(OBJECTIVES[f"first_spike_{loss}"], late_penalty_ms=0.01)
    case = cases.case_of("feedforward", objective, silent)
    assert [not n.spikes for n in case.run()["out"]] == [o in silent for o in range(3)]
    truth = cases.true_gradients(case, objective)
    coarse, fine = (
        cases.relative_error(cases.reference_gradients(case, dt, objective), truth) for dt in (COARSE, FINE)
    )
    assert_converged(coarse, fine)
    weight = cases.reference_gradients(case, COARSE, objective)["a->out"][0]
    for o in silent:
        assert weight[:, o].any() == (o == LABEL)
    assert weight[:, LABEL].max() < 0, "more weight makes the correct output earlier"


@pytest.mark.parametrize("name", ["average", "first_spike_cross_entropy"])
def test_regulariser_is_the_gradient_of_what_it_says(name: str) -> None:
    """A constant taken from lambda_V at each spike pushes the voltage there by as much, and is not divided."""
    objective = OBJECTIVES[name]
    case = cases.case_of("recurrent", objective)
    rates = {"a": np.array([0.4, -0.2, 0.3])}
    truth = cases.regulated_gradients(case, objective, rates)
    plain = cases.true_gradients(case, objective)
    assert cases.relative_error(plain, truth)[0] > 0.2, "the regulariser is a good part of the gradient"
    coarse, fine = (
        cases.relative_error(
            cases.reference_gradients(case, dt, objective, {name: dt * r for name, r in rates.items()}), truth
        )
        for dt in (COARSE, FINE)
    )
    assert_converged(coarse, fine)


def test_losses_by_hand() -> None:
    """Three outputs over ten steps of 0.5 ms, first spikes at 1, 2 and never; numbers worked out in the test."""
    spikes = np.zeros((10, 3), dtype=np.bool_)
    spikes[[2, 4, 6], [0, 1, 1]] = True
    t, span = np.array([1.0, 2.0, 5.0]), 5.0
    objective = Objective("first_spike", "cross_entropy", temperature_ms=2.0, late_penalty_ms=0.3)
    e = np.exp(-t / 2.0)
    found = push(objective, np.zeros((10, 3)), spikes, 1, 0.5)
    assert found.loss == pytest.approx(-np.log(e[1] / e.sum()) + 0.3 / (5.05 - 2.0))
    assert found.kick[2, 0] == pytest.approx(0.5 * -(e[0] / e.sum()) / 2.0)
    assert found.kick[4, 1] == pytest.approx(0.5 * ((1 - e[1] / e.sum()) / 2.0 + 0.3 / (5.05 - 2.0) ** 2))
    assert np.count_nonzero(found.kick) == 2, "a silent output and a second spike get nothing"
    assert not found.end.any()
    objective = Objective("first_spike", "relative_mse", margin_ms=0.5)
    found = push(objective, np.zeros((10, 3)), spikes, 1, 0.5)
    assert found.loss == pytest.approx(0.5 * (1.0 - 2.0 - 0.5) ** 2)
    assert found.kick[2, 0] == pytest.approx(0.5 * -1.5)
    assert found.kick[4, 1] == pytest.approx(0.5 * 1.5)
    found = push(objective, np.zeros((10, 3)), spikes, 2, 0.5)
    assert found.loss == pytest.approx(0.5 * (1 - span - 0.5) ** 2 + 0.5 * (2 - span - 0.5) ** 2)
    assert found.end.tolist() == [0, 0, pytest.approx(0.5 * ((5.5 - 1) + (5.5 - 2)))]


def test_simulator_without_a_grid_agrees_with_closed_forms_when_nothing_spikes() -> None:
    """One spike into one readout: every reading against Simpson's rule over the closed form of the voltage."""
    layer = Layer(1, 20.0, 5.0)
    synapse = Synapses("in", "out", np.array([[2.0]]), np.array([[3.0]]))
    first, horizon = SHORT.inputs[0], SHORT.horizon
    neuron = simulate({"out": layer}, [synapse], {"in": [first]}, horizon)["out"][0]
    start = first[0] + 3.0
    t = np.linspace(start, horizon, 20_001)
    v = 2.0 * 5 / (20 - 5) * (np.exp(-(t - start) / 20) - np.exp(-(t - start) / 5))

    def simpson(values: F64) -> float:
        total = values[0] + 4 * values[1:-1:2].sum() + 2 * values[2:-1:2].sum() + values[-1]
        return float((t[1] - t[0]) / 3 * total)

    assert average(neuron, horizon, weighted=True) == pytest.approx(simpson(np.exp(-t / horizon) * v) / horizon, 1e-10)
    assert average(neuron, horizon, weighted=False) == pytest.approx(simpson(v) / horizon, 1e-10)
    assert peak(neuron) == pytest.approx(v.max(), 1e-7)
    assert voltage(neuron, float(t[7000])) == pytest.approx(v[7000], 1e-12)
    # Before the spike arrives the error is that of a voltage of 0.
    early = np.linspace(0, start, 20_001)
    target = cases.target_trace(0, early) ** 2
    before = float(((target[:-1] + target[1:]) / 2).sum() * (early[1] - early[0]))
    after = simpson((v - cases.target_trace(0, t)) ** 2)
    assert squared_error(neuron, lambda s: cases.target_trace(0, s)) == pytest.approx(before + after, 1e-8)
