"""Objectives on the grid, written down a second time: the loss, and what it puts into the adjoints of the outputs.

A spike in step n of dt ms is at t = n dt. Where a loss names a time, p = dt dL/dt is the loss per step of delay.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolchain.network import Network, Population
from toolchain.objective import Objective

F64 = NDArray[np.float64]


@dataclass
class Push:
    """What an objective does to the outputs of one sample.

    Attributes
    ----------
    loss : of the sample
    drive : (steps, size) u of a leaky readout
    kick : (steps, size) p at the first spike of each lif output, 0 elsewhere
    end : (size,) added to lambda_V in the last step, divided by nothing
    """

    loss: float
    drive: F64
    kick: F64
    end: F64


def output_of(network: Network) -> Population:
    """The population that is read: it projects to no other."""
    passing_on = {p.source for p in network.projections if p.target != p.source}
    (found,) = (p for p in network.populations if p.kind != "spike_source" and p.name not in passing_on)
    return found


def softmax(x: F64) -> F64:
    """Softmax of a vector."""
    e = np.exp(x - x.max())
    probability: F64 = e / e.sum()
    return probability


def read(reading: str, voltage: F64) -> F64:
    """Values of a readout trace (steps, size) by the definitions of `toolchain.readouts`."""
    steps = voltage.shape[0]
    if reading == "maximum":
        peak: F64 = voltage.max(axis=0)
        return peak
    if reading == "exp_weighted_average":
        weighted: F64 = np.exp(-np.arange(steps) / steps) @ voltage / steps
        return weighted
    total: F64 = voltage.sum(axis=0)
    return total / steps if reading == "average" else total


def first_steps(spikes: NDArray[np.bool_]) -> F64:
    """Step of the first spike of each output, the number of steps for a silent one."""
    return np.where(spikes.any(axis=0), spikes.argmax(axis=0), spikes.shape[0]).astype(np.float64)


def push(
    objective: Objective,
    voltage: F64,
    spikes: NDArray[np.bool_] | None,
    label: int,
    dt: float,
    target: F64 | None = None,
    probability: F64 | None = None,
) -> Push:
    """Evaluate an objective on voltage and spikes of the outputs, (steps, size).

    `target` is (size, steps), of the class of the sample. `probability` replaces the softmax, to compare with a
    program whose readout differs in one step.
    """
    zero = np.zeros(voltage.shape)
    if objective.reading == "first_spike":
        assert spikes is not None
        return _of_first_spikes(objective, spikes, label, dt)
    if objective.reading == "trace":
        assert target is not None
        return _of_trace(voltage, target)
    if probability is None:
        probability = softmax(read(objective.reading, voltage))
    error = (np.arange(voltage.shape[1]) == label) - probability
    drive = _drive(objective.reading, voltage, error)
    return Push(float(-np.log(probability[label])), drive, zero, zero[0])


def _drive(reading: str, voltage: F64, error: F64) -> F64:
    """(steps, size); the drive of a step stands for the interval up to the next and has the weight of its end."""
    steps = voltage.shape[0]
    if reading == "maximum":
        drive = np.zeros(voltage.shape)
        drive[voltage.argmax(axis=0), np.arange(error.size)] = error
        return drive
    weight = {
        "exp_weighted_average": np.exp(-(np.arange(steps) + 1) / steps) / steps,
        "average": np.full(steps, 1 / steps),
        "sum": np.ones(steps),
    }[reading]
    return np.outer(weight, error)


def _of_trace(voltage: F64, target: F64) -> Push:
    steps = voltage.shape[0]
    error = target.T - voltage
    drive = np.vstack([error[1:], error[-1:]]) / steps
    return Push(float((error**2).sum()) / (2 * steps), drive, np.zeros(voltage.shape), np.zeros(voltage.shape[1]))


def _of_first_spikes(objective: Objective, spikes: NDArray[np.bool_], label: int, dt: float) -> Push:
    steps, size = spikes.shape
    span = steps * dt
    fired = spikes.any(axis=0)
    t = first_steps(spikes) * dt
    others = np.arange(size) != label
    slope = np.zeros(size)
    if objective.loss == "cross_entropy":
        probability = softmax(-t / objective.temperature_ms)
        late = objective.late_penalty_ms
        loss = float(-np.log(probability[label]) + late / (1.01 * span - t[label]))
        slope = (~others - probability) / objective.temperature_ms
        slope[label] += late / (1.01 * span - t[label]) ** 2
        pull = slope[label]
    else:
        lag = t - t[label] - objective.margin_ms
        loss = float((0.5 * lag**2)[others & fired].sum())
        slope[others] = lag[others]
        pull = float((span + objective.margin_ms - t)[others].sum())
        slope[label] = -lag[others & fired].sum()
    kick, end = np.zeros(spikes.shape), np.zeros(size)
    kick[first_steps(spikes).astype(int)[fired], np.flatnonzero(fired)] = dt * slope[fired]
    if not fired[label]:
        end[label] = dt * pull
    return Push(loss, np.zeros(spikes.shape), kick, end)
