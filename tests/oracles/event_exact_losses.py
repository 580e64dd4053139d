"""Losses of the network without a grid: read off the pieces and the spike times that `event_exact.simulate` leaves.

The definitions are those of `toolchain.objective`, in continuous time: means over steps are integrals over T. Averages
are integrals in closed form, a maximum lies at an end or the extremum of a piece, squared errors are integrated by
Gauss-Legendre on every smooth piece, and first spikes are there to read.

Training adds to the adjoints in two places that belong to no loss: the nudge of a silent correct output, and the
regulariser of spike rates. Both add some constant a to lambda_V of a neuron at some time t, and lambda_V is
-1/tau_mem times the derivative with respect to V. So each is the gradient of -tau_mem a V(t) at constant tau_mem, a
and t: a term whose differences can be taken too.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tests.oracles.event_exact import F64, Neuron
from toolchain.objective import Objective

NODES, WEIGHTS = np.polynomial.legendre.leggauss(6)  # type: ignore[no-untyped-call]
LONGEST = 2.0  # ms; pieces are cut to this for the quadrature, so that the target is smooth on each
BEFORE = 1e-3  # ms; the regulariser acts on V this long before the spike, where V exists however the spike moves

Neurons = Mapping[str, Sequence[Neuron]]
Target = Callable[[int, F64], F64]
"""Target of output o at times t, ms."""


def average(neuron: Neuron, horizon: float, weighted: bool) -> float:
    """(1/T) integral of V, or of e^(-t/T) V."""
    total = 0.0
    for piece in neuron.pieces:
        tau_m, tau_s = piece.layer.tau_mem, piece.layer.tau_syn
        c = tau_s / (tau_s - tau_m)
        for amplitude, tau in ((piece.voltage - c * piece.current, tau_m), (c * piece.current, tau_s)):
            rate = 1 / tau + (1 / horizon if weighted else 0.0)
            weight = math.exp(-piece.start / horizon) if weighted else 1.0
            total += weight * amplitude * -math.expm1(-rate * (piece.end - piece.start)) / rate
    return total / horizon


def peak(neuron: Neuron) -> float:
    """Maximum of V; it starts at 0."""
    highest = 0.0
    for piece in neuron.pieces:
        for t in (piece.extremum(), piece.end - piece.start):
            if 0 < t <= piece.end - piece.start:
                highest = max(highest, piece.course(t)[1])
    return highest


def voltage(neuron: Neuron, time: float) -> float:
    """V at `time`; of a spike, that before the reset."""
    for piece in neuron.pieces:
        if piece.start < time <= piece.end:
            return piece.course(time - piece.start)[1]
    return 0.0


def squared_error(neuron: Neuron, target: Callable[[F64], F64]) -> float:
    """Integral of (V - Y)^2."""
    total = 0.0
    for piece in neuron.pieces:
        cuts = np.linspace(piece.start, piece.end, 1 + math.ceil((piece.end - piece.start) / LONGEST))
        for start, end in itertools.pairwise(cuts):
            half = 0.5 * (end - start)
            t = start + half * (1 + NODES)
            v = np.array([piece.course(float(s) - piece.start)[1] for s in t])
            total += half * float(WEIGHTS @ (v - target(t)) ** 2)
    return total


def first_spikes(outputs: Sequence[Neuron], horizon: float) -> F64:
    """Time of the first spike of each output, T of a silent one."""
    return np.array([n.spikes[0] if n.spikes else horizon for n in outputs])


def _cross_entropy(values: F64, label: int) -> float:
    return float(np.log(np.exp(values - values.max()).sum()) - (values[label] - values.max()))


def loss(
    outputs: Sequence[Neuron], label: int, horizon: float, objective: Objective, target: Target | None = None
) -> float:
    """Loss of one sample of class `label`; `target` is the trace of that class."""
    if objective.reading == "trace":
        assert target is not None
        errors = [squared_error(n, lambda t, o=o: target(o, t)) for o, n in enumerate(outputs)]  # type: ignore[misc]
        return sum(errors) / (2 * horizon)
    if objective.reading == "first_spike":
        t = first_spikes(outputs, horizon)
        if objective.loss == "cross_entropy":
            late = objective.late_penalty_ms / (1.01 * horizon - t[label])
            return _cross_entropy(-t / objective.temperature_ms, label) + float(late)
        others = [o for o, n in enumerate(outputs) if n.spikes and o != label]
        return sum(0.5 * float(t[o] - t[label] - objective.margin_ms) ** 2 for o in others)
    values = {
        "exp_weighted_average": lambda n: average(n, horizon, weighted=True),
        "average": lambda n: average(n, horizon, weighted=False),
        "maximum": peak,
    }[objective.reading]
    return _cross_entropy(np.array([values(n) for n in outputs]), label)


def nudge(outputs: Sequence[Neuron], label: int, horizon: float, objective: Objective) -> float:
    """What is added to lambda_V of a silent correct output at the end, 1/ms; 0 if it has spiked."""
    if not objective.spiking or outputs[label].spikes:
        return 0.0
    t = first_spikes(outputs, horizon)
    if objective.loss == "cross_entropy":
        e = np.exp(-(t - t.min()) / objective.temperature_ms)
        late = objective.late_penalty_ms / (0.01 * horizon) ** 2
        return float(1 - e[label] / e.sum()) / objective.temperature_ms + late
    return sum(horizon + objective.margin_ms - float(t[o]) for o in range(len(t)) if o != label)


def training_signal(
    base: Neurons,
    label: int,
    horizon: float,
    objective: Objective,
    target: Target | None = None,
    rates: Mapping[str, F64] | None = None,
) -> Callable[[Neurons], float]:
    """The function whose gradient training follows at the network that gave `base`; its outputs are called "out".

    `rates` : population -> (size,) what is taken from lambda_V at each spike, 1/ms
    """
    # Of which neuron, when, and how much is added to lambda_V.
    added = [("out", label, horizon, nudge(base["out"], label, horizon, objective))]
    for name, coefficients in (rates or {}).items():
        for i, neuron in enumerate(base[name]):
            added += [(name, i, time - BEFORE, -float(coefficients[i])) for time in neuron.spikes]

    def signal(neurons: Neurons) -> float:
        total = loss(neurons["out"], label, horizon, objective, target)
        for name, i, time, amount in added:
            if amount:
                total -= base[name][i].layer.tau_mem * amount * voltage(neurons[name][i], time)
        return total

    return signal
