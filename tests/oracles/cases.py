"""Small networks with a known true gradient, and the same networks on a grid: what every proof of exactness runs on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from tests.oracles import event_exact, reference
from tests.oracles.event_exact import F64, Layer, Neuron, Synapses
from tests.oracles.event_exact_losses import Neurons, training_signal
from toolchain.network import Network, Population, make_projection
from toolchain.objective import Objective
from toolchain.spikes import SpikeTrains, bin_events

LABEL = 1
EDGES = {
    "feedforward": (("in", "a"), ("a", "out")),
    "recurrent": (("in", "a"), ("a", "a"), ("a", "out")),
    "two_layers": (("in", "a"), ("a", "b"), ("b", "out")),
    "two_coupled": (("in", "a"), ("a", "b"), ("b", "a"), ("in", "out"), ("b", "out")),
}


@dataclass(frozen=True, eq=False)
class Setting:
    """What networks have in common.

    Attributes
    ----------
    horizon : length of a sample, ms
    inputs : (time in ms, unit) of each input spike
    coarsest : all delays are multiples of it, ms
    mean : projection -> mean of its weights, `usual` where it is not named
    """

    horizon: float
    inputs: tuple[tuple[float, int], ...]
    coarsest: float
    mean: Mapping[tuple[str, str], float]
    usual: float


# Times and delays are whole multiples of every grid that is used, so that rounding them has no part in the error.
INPUTS = ((0.96, 0), (2.0, 1), (2.56, 2), (8.96, 1), (11.04, 0), (14.0, 2), (15.04, 1))
MEAN = {("in", "a"): 2.5, ("a", "a"): 0.3, ("b", "a"): 0.3, ("in", "out"): 0.4}
SHORT = Setting(24.0, INPUTS, 0.08, MEAN, 1.2)
# Where outputs spike, hidden layers answer sooner and outputs later, so that every projection has a part in their
# first spikes.
SPIKING_MEAN = {**MEAN, ("a", "b"): 1.6, ("b", "a"): 0.6, ("in", "out"): 0.3, ("b", "out"): 0.8}
SPIKING = replace(SHORT, mean=SPIKING_MEAN)
# Delays are multiples of 0.04 ms. Of the times of inputs, 2.5 ms is not: a grid of 0.04 ms has that spike 0.02 ms away.
LONG = Setting(
    40.0,
    ((1.0, 0), (2.0, 1), (2.5, 2), (9.0, 1), (11.0, 0), (14.0, 2), (15.0, 1)),
    0.04,
    {("in", "a"): 2.5, ("a", "a"): 0.3, ("b", "a"): 0.3, ("in", "out"): 2.5, ("b", "out"): 0.5},
    1.0,
)

# Every constant is so large that its term is a good part of the gradient.
OBJECTIVES = {
    "exp_weighted_average": Objective("exp_weighted_average"),
    "average": Objective("average"),
    "maximum": Objective("maximum"),
    "trace_mse": Objective("trace", "mse"),
    "first_spike_cross_entropy": Objective("first_spike", "cross_entropy", temperature_ms=2.0, late_penalty_ms=10.0),
    "first_spike_relative_mse": Objective("first_spike", "relative_mse", margin_ms=1.5),
}

Gradients = dict[str, tuple[F64, F64]]


@dataclass(frozen=True)
class Case:
    """A network without a grid: its shape, the weights that a seed gives, and whether its outputs are lif neurons.

    `setting` is `SPIKING` where they are. `silent` are outputs whose incoming weights are too small for a spike; with
    `single_spike` every neuron spikes at most once.
    """

    shape: str
    spiking: bool
    seed: int
    silent: tuple[int, ...] = ()
    single_spike: bool = False
    setting: Setting = SHORT

    def layers(self) -> dict[str, Layer]:
        """Populations that are simulated; outputs that spike differ from the hidden ones in every constant."""
        out = Layer(3, 18.0, 6.0, 0.5) if self.spiking else Layer(2, 20.0, 5.0)
        found = {"a": Layer(3, 20.0, 5.0, 0.7), "b": Layer(3, 15.0, 4.0, 0.7), "out": out}
        used = {end for edge in EDGES[self.shape] for end in edge}
        once = {"a", "b", *(["out"] if self.spiking else [])} if self.single_spike else set()
        return {name: replace(layer, single_spike=name in once) for name, layer in found.items() if name in used}

    def synapses(self) -> list[Synapses]:
        """Projections with random weights and delays."""
        random = np.random.default_rng(self.seed)
        sizes = {"in": 3, **{name: layer.size for name, layer in self.layers().items()}}
        found = []
        for source, target in EDGES[self.shape]:
            mean = self.setting.mean.get((source, target), self.setting.usual)
            weight = random.normal(mean, 0.3 * mean, (sizes[source], sizes[target]))
            if target == "out":
                weight[:, list(self.silent)] *= 0.15
            delay = np.rint(random.uniform(1, 4, weight.shape) / self.setting.coarsest) * self.setting.coarsest
            found.append(Synapses(source, target, weight, delay))
        return found

    def run(
        self, synapses: list[Synapses] | None = None, others: Mapping[tuple[str, int], Layer] | None = None
    ) -> dict[str, list[Neuron]]:
        """Simulate without a grid; `others` are neurons that differ from their layer."""
        inputs = {"in": self.setting.inputs}
        return event_exact.simulate(self.layers(), synapses or self.synapses(), inputs, self.setting.horizon, others)


# Seeds of networks that are well-conditioned, as `conditioning` measures it: no spike grazes the threshold, and none
# falls within 0.04 ms before another event of its neuron. There the grid sees both in one step, and the slope of one
# side of a kink is taken for that of the other: no error of the gradient, but one that no grid of that step resolves.
SEEDS = {
    False: {"feedforward": 7, "recurrent": 12, "two_layers": 2, "two_coupled": 2},
    True: {"feedforward": 43, "recurrent": 224, "two_layers": 74, "two_coupled": 2005},
}
LONG_SEEDS = {"feedforward": 9, "recurrent": 10, "two_layers": 3, "two_coupled": 3}


def case_of(shape: str, objective: Objective, silent: tuple[int, ...] = ()) -> Case:
    """The well-conditioned network of a shape for an objective."""
    setting = SPIKING if objective.spiking else SHORT
    return Case(shape, objective.spiking, SEEDS[objective.spiking][shape], silent, setting=setting)


def long_case(shape: str) -> Case:
    """The network of a shape, with leaky outputs, on which errors of averages fall evenly with the step."""
    return Case(shape, False, LONG_SEEDS[shape], setting=LONG)


def conditioning(neurons: Mapping[str, list[Neuron]]) -> tuple[float, float, float]:
    """Least slope, least distance of a peak from threshold, least time (ms) from a spike to its neuron's next event."""
    spiking = [n for group in neurons.values() for n in group if not math.isinf(n.layer.threshold)]
    slope = min((s for n in spiking for s in n.slopes), default=math.inf)
    gaps = [p.end - p.start for n in spiking for p in n.pieces if p.start in n.spikes]
    return slope, min(n.near_miss for n in spiking), min(gaps, default=math.inf)


def target_trace(output: int, time: F64) -> F64:
    """A smooth target for the voltage of an output of class `LABEL`, ms."""
    trace: F64 = 0.3 * np.sin(2 * np.pi * time / (7.0 + 4 * output)) + 0.2 * np.cos(2 * np.pi * time / 17.0 + output)
    return trace


def differences(case: Case, signal: Callable[[Neurons], float], width: float = 1e-6) -> Gradients:
    """Central differences of a function of the network's activity, by every weight and every delay (per ms)."""
    found = {}
    synapses = case.synapses()
    for index, s in enumerate(synapses):
        pair = []
        for field in ("weight", "delay"):
            gradient = np.zeros(s.weight.shape)
            for place in np.ndindex(*s.weight.shape):
                values = []
                for sign in (1, -1):
                    array = getattr(s, field).copy()
                    array[place] += sign * width
                    nudged = [*synapses[:index], replace(s, **{field: array}), *synapses[index + 1 :]]
                    values.append(signal(case.run(nudged)))
                gradient[place] = (values[0] - values[1]) / (2 * width)
            pair.append(gradient)
        found[f"{s.source}->{s.target}"] = (pair[0], pair[1])
    return found


@cache
def true_gradients(case: Case, objective: Objective) -> Gradients:
    """Gradients without a grid, the nudge of a silent correct output included."""
    return regulated_gradients(case, objective, None)


def regulated_gradients(case: Case, objective: Objective, rates: Mapping[str, F64] | None) -> Gradients:
    """The same with a regulariser that takes `rates`, population -> (size,), 1/ms, from lambda_V at each spike."""
    return differences(case, training_signal(case.run(), LABEL, case.setting.horizon, objective, target_trace, rates))


@cache
def true_tau_gradients(case: Case, objective: Objective, width: float = 1e-6) -> Gradients:
    """Gradients without a grid by log tau_mem and log tau_syn of each neuron: population -> (size,) each.

    The nudge of a silent correct output is included, as `training_signal` has it.
    """
    signal = training_signal(case.run(), LABEL, case.setting.horizon, objective, target_trace)
    synapses, found = case.synapses(), {}
    for name, layer in case.layers().items():
        pair = []
        for field in ("tau_mem", "tau_syn"):
            values = np.zeros((layer.size, 2))
            for i, side in np.ndindex(*values.shape):
                factor = math.exp(width * (1, -1)[side])
                changed = replace(layer, **{field: factor * getattr(layer, field)})
                values[i, side] = signal(case.run(synapses, {(name, i): changed}))
            pair.append((values[:, 0] - values[:, 1]) / (2 * width))
        found[name] = (pair[0], pair[1])
    return found


def on_grid(case: Case, dt: float) -> tuple[Network, SpikeTrains]:
    """The network and its input on a grid of `dt` ms."""
    populations = [Population("in", "spike_source", 3)]
    for name, layer in case.layers().items():
        if math.isinf(layer.threshold):
            populations.append(Population(name, "leaky_readout", layer.size, layer.tau_mem, layer.tau_syn))
        else:
            lif = Population(name, "lif", layer.size, layer.tau_mem, layer.tau_syn, layer.threshold, layer.single_spike)
            populations.append(lif)
    # Slot k arrives k + 1 steps after the spike.
    projections = tuple(make_projection(s.source, s.target, s.weight, s.delay / dt - 1) for s in case.synapses())
    inputs = case.setting.inputs
    times, units = np.array([round(t / dt) for t, _ in inputs]), np.array([u for _, u in inputs])
    spikes, _ = bin_events([(times, units)], 3, round(case.setting.horizon / dt))
    return Network(dt, tuple(populations), projections), spikes


def target_on_grid(case: Case, dt: float) -> F64:
    """`target_trace` of each output, (size, steps); V of step n is that at its end, (n + 1) dt."""
    time = (np.arange(round(case.setting.horizon / dt)) + 1) * dt
    return np.stack([target_trace(o, time) for o in range(case.layers()["out"].size)])


@cache
def reference_state(case: Case, dt: float) -> reference.State:
    """Forward pass of the reference, which takes seconds on a fine grid and serves every objective."""
    network, spikes = on_grid(case, dt)
    return reference.simulate(network, {"in": spikes.dense(0).T})


def reference_gradients(
    case: Case, dt: float, objective: Objective, rates: Mapping[str, F64] | None = None
) -> Gradients:
    """Gradients of the float64 reference on a grid; delays per ms."""
    network, _ = on_grid(case, dt)
    target = target_on_grid(case, dt)
    found = reference.gradients(network, reference_state(case, dt), LABEL, objective, target=target, rates=rates)
    return {name: (weight, delay / dt) for name, (weight, delay) in found.items()}


def relative_error(ours: Gradients, truth: Gradients) -> tuple[float, float]:
    """Largest error of the weight and of the delay gradients, relative to the largest of the projection."""
    errors = [
        [float(np.abs(ours[name][k] - truth[name][k]).max() / np.abs(truth[name][k]).max()) for name in truth]
        for k in (0, 1)
    ]
    return max(errors[0]), max(errors[1])
