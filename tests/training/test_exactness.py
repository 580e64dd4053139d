"""The engine's gradient converges to the true one as the grid gets finer: against a simulator that has no time grid.

`test_reference` shows the same of the reference in float64, and that these networks are well-conditioned.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.oracles import cases
from tests.oracles.cases import EDGES, LABEL, OBJECTIVES, Case, Gradients
from toolchain.event_graph import split_flat
from toolchain.network import Network
from toolchain.objective import Objective
from toolchain.training.backends import BatchGradient, make_engine


def run_engine(
    case: Case, dt: float, objective: Objective, learn_tau: tuple[str, ...] = (), backend: str = "cpu"
) -> tuple[Network, BatchGradient]:
    """A backend on a grid of `dt`."""
    network, spikes = cases.on_grid(case, dt)
    targets = None
    if objective.reading == "trace":
        # The target of the class of the sample, and of the others none that could be taken for it.
        target = cases.target_on_grid(case, dt)
        targets = np.zeros((2, *target.shape), dtype=np.float32)
        targets[LABEL] = target
    engine = make_engine(
        backend,
        network,
        spikes.n_steps,
        max_slot=network.max_slot,
        objective=objective,
        targets=targets,
        min_slope=1e-9,
        learn_tau=learn_tau,
    )
    return network, engine.gradients(spikes, np.array([LABEL]), np.array([0]))


def engine_gradients(case: Case, dt: float, objective: Objective) -> Gradients:
    """Gradients of weights and delays; those of delays per ms."""
    network, found = run_engine(case, dt, objective)
    weight, delay = split_flat(network, found.weight), split_flat(network, found.delay)
    return {name: (weight[name].astype(np.float64), delay[name].astype(np.float64) / dt) for name in weight}


@pytest.mark.parametrize("shape", EDGES)
@pytest.mark.parametrize("name", OBJECTIVES)
def test_gradients_converge_to_the_true_ones(shape: str, name: str) -> None:
    """Errors of weight and delay gradients fall with the step, to a few thousandths at 2.5 us."""
    objective = OBJECTIVES[name]
    case = cases.case_of(shape, objective)
    truth = cases.true_gradients(case, objective)
    errors = {dt: cases.relative_error(engine_gradients(case, dt, objective), truth) for dt in (0.04, 0.01, 0.0025)}
    assert max(errors[0.0025]) < 0.008
    for kind in (0, 1):
        # Below 1e-3 it is float32 that is left: 10 000 steps of decay, each rounded.
        assert errors[0.0025][kind] < max(0.3 * errors[0.04][kind], 1e-3)
        assert errors[0.0025][kind] < max(0.6 * errors[0.01][kind], 1e-3)


@pytest.mark.parametrize("shape", EDGES)
@pytest.mark.parametrize("name", ["exp_weighted_average", "average", "maximum"])
def test_errors_fall_at_every_refinement(shape: str, name: str) -> None:
    """On the networks of `long_case` the error of an average is halved, at least, each time the step is quartered.

    Nothing guarantees that of one network and two steps: where a spike falls within a step changes with the step as if
    at random, and so does the error below its bound, which is proportional to the step. With these seeds it holds; on
    the networks of `case_of` the error falls to 0.3 of itself over both refinements, but not always to half in each.

    Of two peaks of nearly the same height a coarse grid may take the other one: for the maximum only the ends of the
    range are compared.
    """
    objective = OBJECTIVES[name]
    case = cases.long_case(shape)
    truth = cases.true_gradients(case, objective)
    errors = {dt: cases.relative_error(engine_gradients(case, dt, objective), truth) for dt in (0.04, 0.01, 0.0025)}
    assert max(errors[0.0025]) < 0.008
    stages = [(0.04, 0.0025, 0.3)] if name == "maximum" else [(0.04, 0.01, 0.5), (0.01, 0.0025, 0.5)]
    for coarse, fine, factor in stages:
        for kind in (0, 1):
            # Below 5e-4 it is float32 that is left: 16 000 steps of decay, each rounded.
            assert errors[fine][kind] < max(factor * errors[coarse][kind], 5e-4)


# In the shapes with a cycle the spikes that come back meet neurons that have spiked: nothing to compare.
@pytest.mark.parametrize("shape", ["feedforward", "two_layers"])
@pytest.mark.parametrize("name", ["average", "first_spike_cross_entropy", "first_spike_relative_mse"])
def test_gradients_of_neurons_that_spike_once_converge_too(shape: str, name: str) -> None:
    """After its spike a neuron passes nothing on, forward or backward; the case differs from the one above."""
    objective = OBJECTIVES[name]
    several = cases.case_of(shape, objective)
    case = replace(several, single_spike=True)
    once, more = (sum(len(n.spikes) for group in c.run().values() for n in group) for c in (case, several))
    assert once < more
    assert max(len(n.spikes) for group in case.run().values() for n in group) == 1
    truth = cases.true_gradients(case, objective)
    errors = {dt: cases.relative_error(engine_gradients(case, dt, objective), truth) for dt in (0.04, 0.0025)}
    assert max(errors[0.0025]) < 0.008
    for kind in (0, 1):
        assert errors[0.0025][kind] < max(0.4 * errors[0.04][kind], 1e-3)


@pytest.mark.parametrize("silent", [(LABEL,), (0, LABEL), (0, 1, 2)], ids=str)
@pytest.mark.parametrize("loss", ["cross_entropy", "relative_mse"])
def test_silent_correct_output_is_pushed_up_by_the_promised_amount(loss: str, silent: tuple[int, ...]) -> None:
    objective = OBJECTIVES[f"first_spike_{loss}"]
    case = cases.case_of("feedforward", objective, silent)
    truth = cases.true_gradients(case, objective)
    coarse, fine = (cases.relative_error(engine_gradients(case, dt, objective), truth) for dt in (0.04, 0.005))
    assert max(fine) < max(coarse)
    assert max(fine) < 0.01
