"""Losses on the readout trace: value, prediction, and the drive of the adjoint system.

All readouts that weight the voltage over time share one kernel: with weights w[t] the readout is
y_o = sum_t w[t] V_o[t], p = softmax(y), loss = -log p[label], and the drive of step t is
(onehot - p)_o * d[t], where d[t] approximates w on the interval that the reverse step covers.

Exponentially weighted average (mlGeNN's avg_var_exp_weight; facts/training.md section 2.1), T steps:

    w[t] = exp(-t / T) / T            d[t] = exp(-(t + 1) / T) / T
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from toolchain.training.backends import ReadoutName


def time_weights(readout: ReadoutName, steps: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights of the voltage and of the drive, (steps,) each."""
    if readout == "exp_weighted_average":
        t = np.arange(steps + 1)
        weight = np.exp(-t / steps) / steps
        return weight[:-1].astype(np.float32), weight[1:].astype(np.float32)
    raise ValueError(readout)


def _weighted_readout(readout_v: Any, weight: Any, value: Any) -> int:
    """Fill `value` (n_readout,) with the weighted sums of the trace; return the index of the largest."""
    best = 0
    for o in range(readout_v.shape[0]):
        total = 0.0
        for t in range(readout_v.shape[1]):
            total += weight[t] * readout_v[o, t]
        value[o] = total
        if value[o] > value[best]:
            best = o
    return best


def _softmax_cross_entropy(value: Any, label: int, drive_weight: Any, drive: Any) -> float:
    """Return -log softmax(value)[label] and fill `drive` (n_readout, steps)."""
    peak = value.max()
    total = 0.0
    for o in range(value.size):
        total += np.exp(value[o] - peak)
    for o in range(value.size):
        error = (1.0 if o == label else 0.0) - np.exp(value[o] - peak) / total
        for t in range(drive.shape[1]):
            drive[o, t] = np.float32(error) * drive_weight[t]
    return float(np.log(total) - (value[label] - peak))


weighted_readout = njit(_weighted_readout, cache=True, nogil=True)
softmax_cross_entropy = njit(_softmax_cross_entropy, cache=True, nogil=True)
