"""Losses in the kernels: value, prediction, and what enters the adjoint system, by `toolchain.objective`.

Of a voltage y_o = sum_t w[t] V_o[t] the drive of step t is (onehot - p)_o d[t], where d[t] is w at the end of the
interval that the reverse step covers; of the maximum (onehot - p)_o at the step of the peak. Of a trace it is (Y - V)
/ T, again at the end of the interval. Of a first spike, dL/dt per step enters at that spike.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from toolchain.kernels import kernel
from toolchain.objective import Objective
from toolchain.readouts import READOUTS, ReadoutName, time_weights
from toolchain.training.backends.cpu.layout import F32
from toolchain.training.backends.cpu.state import Reel

WEIGHTED, MAXIMUM, TRACE, FIRST_CROSS, FIRST_RELATIVE = range(5)
SILENT = -1
"""Prediction of a network that is read by its first spike and has none."""


class Loss(NamedTuple):
    """An objective in numbers that the kernels read.

    `weight`, `drive_weight` (steps,) of the time-weighted readouts; `targets` (classes, outputs, steps).
    """

    kind: int
    weight: F32
    drive_weight: F32
    targets: F32
    dt_ms: float
    temperature_ms: float
    late_ms: float
    margin_ms: float


def make_loss(objective: Objective, steps: int, dt_ms: float, targets: F32 | None) -> Loss:
    """Prepare an objective for samples of this length."""
    kinds = {"maximum": MAXIMUM, "trace": TRACE, "first_spike": FIRST_CROSS}
    kind = FIRST_RELATIVE if objective.loss == "relative_mse" else kinds.get(objective.reading, WEIGHTED)
    weights = np.zeros(0, dtype=np.float32)
    if objective.reading in READOUTS:
        name: ReadoutName = objective.reading
        weights = time_weights(name, steps).astype(np.float32)
    return Loss(
        kind,
        weights[:-1].copy(),
        weights[1:].copy(),
        np.zeros((1, 1, 1), dtype=np.float32) if targets is None else targets.astype(np.float32),
        dt_ms,
        objective.temperature_ms,
        objective.late_penalty_ms,
        objective.margin_ms,
    )


@kernel
def _softmax_cross_entropy(value: NDArray[np.float64], label: int, error: NDArray[np.float64]) -> float:
    """Return -log softmax(value)[label] and fill `error` with onehot - softmax."""
    largest = value.max()
    total = 0.0
    for o in range(value.size):
        error[o] = math.exp(value[o] - largest)
        total += error[o]
    for o in range(value.size):
        error[o] = (1.0 if o == label else 0.0) - error[o] / total
    return math.log(total) - float(value[label] - largest)


@kernel
def _voltage_loss(
    loss: Loss, voltage: F32, label: int, value: NDArray[np.float64], error: NDArray[np.float64], drive: F32
) -> tuple[float, int]:
    """Loss and prediction of a time-weighted voltage or its maximum; fills `drive` (output blocks, 8 steps)."""
    steps = voltage.shape[1] // 8
    peak = np.zeros(value.size, dtype=np.int64)
    for o in range(value.size):
        trace, lane = voltage[o // 8], o % 8
        if loss.kind == MAXIMUM:
            value[o] = trace[lane]
            for t in range(1, steps):
                if trace[8 * t + lane] > value[o]:
                    value[o] = trace[8 * t + lane]
                    peak[o] = t
        else:
            total = 0.0
            for t in range(steps):
                total += loss.weight[t] * trace[8 * t + lane]
            value[o] = total
    result = _softmax_cross_entropy(value, label, error)
    for o in range(value.size):
        lane, row = o % 8, drive[o // 8]
        e = np.float32(error[o])
        for t in range(steps):
            row[8 * t + lane] = np.float32(0) if loss.kind == MAXIMUM else e * loss.drive_weight[t]
        if loss.kind == MAXIMUM:
            row[8 * peak[o] + lane] = e
    return result, int(np.argmax(value))


@kernel
def _trace_loss(loss: Loss, voltage: F32, label: int, n_outputs: int, drive: F32) -> tuple[float, int]:
    """Mean square error on the target trace of the class; the prediction is the class whose trace is nearest."""
    steps = voltage.shape[1] // 8
    best, nearest, result = math.inf, 0, 0.0
    for c in range(loss.targets.shape[0]):
        total = 0.0
        for o in range(n_outputs):
            trace, lane = voltage[o // 8], o % 8
            for t in range(steps):
                difference = float(loss.targets[c, o, t]) - float(trace[8 * t + lane])
                total += difference * difference
        if total < best:
            best, nearest = total, c
        if c == label:
            result = total / (2 * steps)
    for o in range(n_outputs):
        trace, row, lane = voltage[o // 8], drive[o // 8], o % 8
        for t in range(steps):
            end = min(t + 1, steps - 1)
            row[8 * t + lane] = (loss.targets[label, o, end] - trace[8 * end + lane]) / np.float32(steps)
    return result, nearest


@kernel
def _first_spike_loss(
    loss: Loss, reel: Reel, slot: int, first_unit: int, steps: int, label: int, value: NDArray[np.float64],
    error: NDArray[np.float64], kick: F32,
) -> tuple[float, int]:  # fmt: skip
    """Losses of first spikes: puts dt dL/dt_o at the first spike of each output, or `kick`s a silent correct one."""
    ptr = reel.ptr[slot]
    end = steps * loss.dt_ms
    n = value.size
    prediction, spiked = SILENT, np.zeros(n, dtype=np.bool_)
    for o in range(n):
        at = ptr[first_unit + o]
        spiked[o] = ptr[first_unit + o + 1] > at
        value[o] = reel.time[at] * loss.dt_ms if spiked[o] else end  # from here on times, ms
        if spiked[o] and (prediction == SILENT or value[o] < value[prediction]):
            prediction = o
    late = value[label]
    push = 0.0
    if loss.kind == FIRST_CROSS:
        times = value.copy()
        value[:] = -times / loss.temperature_ms
        result = _softmax_cross_entropy(value, label, error)
        for o in range(n):
            error[o] /= loss.temperature_ms
        if loss.late_ms > 0:
            room = 1.01 * end - late
            result += loss.late_ms / room
            error[label] += loss.late_ms / (room * room)
        push = error[label]
    else:
        result = 0.0
        total = 0.0
        for o in range(n):
            error[o] = 0.0
            if o != label:
                difference = value[o] - late - loss.margin_ms
                push -= difference
                if spiked[o]:
                    error[o] = difference
                    total += difference
                    result += 0.5 * difference * difference
        error[label] = -total
    for o in range(n):
        kick[o] = np.float32(0)
        if spiked[o]:
            reel.jump[ptr[first_unit + o]] = np.float32(loss.dt_ms * error[o])
        elif o == label:
            kick[o] = np.float32(loss.dt_ms * push)
    return result, prediction


@kernel
def evaluate(
    loss: Loss, reel: Reel, slot: int, n_sources: int, first_unit: int, steps: int, label: int,
    value: NDArray[np.float64], error: NDArray[np.float64], drive: F32, kick: F32,
) -> tuple[float, int]:  # fmt: skip
    """Loss and prediction of the sample in `slot`; leaves `drive`, `kick` and the jumps ready for `backward`.

    `first_unit` is that of the output population, `value` and `error` (n_outputs,) are work space.
    """
    ptr = reel.ptr[slot]
    for s in range(ptr[n_sources], ptr[ptr.size - 1]):
        reel.jump[s] = np.float32(0)
    if loss.kind == TRACE:
        result, prediction = _trace_loss(loss, reel.voltage[slot], label, value.size, drive)
    elif loss.kind == WEIGHTED or loss.kind == MAXIMUM:
        result, prediction = _voltage_loss(loss, reel.voltage[slot], label, value, error, drive)
    else:
        result, prediction = _first_spike_loss(loss, reel, slot, first_unit, steps, label, value, error, kick)
    return result, prediction
