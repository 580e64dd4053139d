"""The gradient converges to the true one as the grid gets finer: against a simulator that has no grid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.oracles.event_exact import F64, Layer, Synapses, cross_entropy, simulate
from toolchain.event_graph import split_flat
from toolchain.network import Network, Population, make_projection
from toolchain.objective import Objective
from toolchain.readouts import ReadoutName
from toolchain.spikes import bin_events
from toolchain.training.backends import make_engine

HORIZON = 40.0
LABEL = 1
INPUTS = [(1.0, 0), (2.0, 1), (2.5, 2), (9.0, 1), (11.0, 0), (14.0, 2), (15.0, 1)]
EDGES = {
    "feedforward": (("in", "a"), ("a", "out")),
    "recurrent": (("in", "a"), ("a", "a"), ("a", "out")),
    "two_layers": (("in", "a"), ("a", "b"), ("b", "out")),
    "two_coupled": (("in", "a"), ("a", "b"), ("b", "a"), ("in", "out"), ("b", "out")),
}
MEAN = {"in": 2.5, "a": 1.0, "b": 0.5}
Gradients = dict[str, tuple[F64, F64]]


def layers(shape: str) -> dict[str, Layer]:
    found = {"a": Layer(3, 20.0, 5.0, 0.7), "b": Layer(3, 15.0, 4.0, 0.7), "out": Layer(2, 20.0, 5.0)}
    used = {end for edge in EDGES[shape] for end in edge}
    return {name: layer for name, layer in found.items() if name in used}


def synapses(shape: str, seed: int) -> list[Synapses]:
    random = np.random.default_rng(seed)
    sizes = {"in": 3, "a": 3, "b": 3, "out": 2}
    found = []
    for source, target in EDGES[shape]:
        mean = 0.3 if target == "a" and source != "in" else MEAN[source]
        weight = random.normal(mean, 0.3 * mean, (sizes[source], sizes[target]))
        # Delays are whole multiples of every grid that is used, so that rounding them has no part in the error.
        delay = np.rint(random.uniform(1, 4, weight.shape) / 0.04) * 0.04
        found.append(Synapses(source, target, weight, delay))
    return found


def true_loss(shape: str, connections: list[Synapses], readout: ReadoutName) -> float:
    neurons = simulate(layers(shape), connections, {"in": INPUTS}, HORIZON)
    return cross_entropy(neurons["out"], LABEL, HORIZON, readout)


def true_gradients(shape: str, connections: list[Synapses], readout: ReadoutName, width: float = 1e-6) -> Gradients:
    """Central differences of every weight and every delay (per ms)."""
    found = {}
    for index, s in enumerate(connections):
        pair = []
        for field in ("weight", "delay"):
            gradient = np.zeros(s.weight.shape)
            for place in np.ndindex(*s.weight.shape):
                values = []
                for sign in (1, -1):
                    array = getattr(s, field).copy()
                    array[place] += sign * width
                    nudged = [*connections[:index], replace(s, **{field: array}), *connections[index + 1 :]]
                    values.append(true_loss(shape, nudged, readout))
                gradient[place] = (values[0] - values[1]) / (2 * width)
            pair.append(gradient)
        found[f"{s.source}->{s.target}"] = (pair[0], pair[1])
    return found


def engine_gradients(shape: str, connections: list[Synapses], dt: float, readout: ReadoutName) -> Gradients:
    """The CPU backend on a grid of `dt`; delays per ms."""
    populations = [Population("in", "spike_source", 3)]
    for name, layer in layers(shape).items():
        kind: str = "leaky_readout" if name == "out" else "lif"
        threshold = 1.0 if name == "out" else layer.threshold
        populations.append(Population(name, kind, layer.size, layer.tau_mem, layer.tau_syn, threshold))  # type: ignore[arg-type]
    # Slot k arrives k + 1 steps after the spike.
    projections = tuple(make_projection(s.source, s.target, s.weight, s.delay / dt - 1) for s in connections)
    network = Network(dt, tuple(populations), projections)
    times, units = np.array([round(t / dt) for t, _ in INPUTS]), np.array([u for _, u in INPUTS])
    spikes, _ = bin_events([(times, units)], 3, round(HORIZON / dt))
    engine = make_engine(
        "cpu", network, spikes.n_steps, max_slot=network.max_slot, objective=Objective(readout), min_slope=1e-9
    )
    found = engine.gradients(spikes, np.array([LABEL]), np.array([0]))
    weight, delay = split_flat(network, found.weight), split_flat(network, found.delay)
    return {name: (weight[name].astype(np.float64), delay[name].astype(np.float64) / dt) for name in weight}


def relative_error(ours: Gradients, truth: Gradients) -> tuple[float, float]:
    """Largest error of the weight and of the delay gradients, relative to the largest of the projection."""
    errors = [
        [float(np.abs(ours[name][k] - truth[name][k]).max() / np.abs(truth[name][k]).max()) for name in truth]
        for k in (0, 1)
    ]
    return max(errors[0]), max(errors[1])


# Seeds of networks that are well-conditioned: no spike grazes the threshold, and none falls within a step of the
# coarsest grid before an arrival at its neuron. There the grid sees both in one step, and the slope of one side
# of a kink is taken for that of the other: no error of the gradient, but one that no grid of that step resolves.
SEEDS = {"feedforward": 9, "recurrent": 10, "two_layers": 3, "two_coupled": 3}


@pytest.mark.parametrize("shape", EDGES)
@pytest.mark.parametrize("readout", ["exp_weighted_average", "average", "maximum"])
def test_gradients_converge_to_the_true_ones(shape: str, readout: ReadoutName) -> None:
    """Errors of weight and delay gradients fall with the step, to a few thousandths at 2.5 us."""
    connections = synapses(shape, SEEDS[shape])
    neurons = simulate(layers(shape), connections, {"in": INPUTS}, HORIZON)
    spiking = [n for name, group in neurons.items() if name != "out" for n in group]
    assert min(len(n.spikes) for n in spiking) >= 3, "several spikes a neuron"
    assert min(slope for n in spiking for slope in n.slopes) > 0.8
    truth = true_gradients(shape, connections, readout)
    errors = {
        dt: relative_error(engine_gradients(shape, connections, dt, readout), truth) for dt in (0.04, 0.01, 0.0025)
    }
    assert max(errors[0.0025]) < 0.008
    # Of two peaks of nearly the same height a coarse grid may take the other one: for the maximum only the ends of
    # the range are compared. An average has to get closer at every refinement.
    stages = [(0.04, 0.0025, 0.3)] if readout == "maximum" else [(0.04, 0.01, 0.5), (0.01, 0.0025, 0.5)]
    for coarse, fine, factor in stages:
        for kind in (0, 1):
            # Below 5e-4 it is float32 that is left: 16 000 steps of decay, each rounded.
            assert errors[fine][kind] < max(factor * errors[coarse][kind], 5e-4)


def test_simulator_without_a_grid_agrees_with_itself_when_nothing_spikes() -> None:
    """One spike into one readout: the integral against Simpson's rule over the closed form of the voltage."""
    layer = Layer(1, 20.0, 5.0)
    synapse = Synapses("in", "out", np.array([[2.0]]), np.array([[3.0]]))
    neurons = simulate({"out": layer}, [synapse], {"in": [(1.0, 0)]}, HORIZON)
    t = np.linspace(4.0, HORIZON, 20_001)
    voltage = 2.0 * 5 / (20 - 5) * (np.exp(-(t - 4) / 20) - np.exp(-(t - 4) / 5))
    values = np.exp(-t / HORIZON) * voltage
    step = t[1] - t[0]
    simpson = step / 3 * (values[0] + 4 * values[1:-1:2].sum() + 2 * values[2:-1:2].sum() + values[-1])
    assert neurons["out"][0].integral == pytest.approx(simpson, rel=1e-10)
