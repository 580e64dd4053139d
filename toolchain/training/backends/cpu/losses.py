"""Cross-entropy on the readout trace: value, prediction, and the drive of the adjoint system.

Readouts that weight the voltage over time (`toolchain.readouts`): y_o = sum_t w[t] V_o[t], p = softmax(y),
loss = -log p[label], and the drive of step t is (onehot - p)_o * d[t], where d[t] is w at the end of the interval
that the reverse step covers. The maximum has no weights: its drive is (onehot - p)_o at the step of the peak, and
zero elsewhere (facts/training.md section 2.1).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


def _read(readout_v: Any, weight: Any, value: Any, peak: Any) -> int:
    """Fill `value` (n_readout,), and `peak` with the step of each maximum; return the index of the largest value.

    An empty `weight` means the maximum.
    """
    best = 0
    for o in range(readout_v.shape[0]):
        if weight.size == 0:
            peak[o] = np.argmax(readout_v[o])
            value[o] = readout_v[o, peak[o]]
        else:
            total = 0.0
            for t in range(readout_v.shape[1]):
                total += weight[t] * readout_v[o, t]
            value[o] = total
        if value[o] > value[best]:
            best = o
    return best


def _softmax_cross_entropy(value: Any, label: int, drive_weight: Any, peak: Any, drive: Any) -> float:
    """Return -log softmax(value)[label] and fill `drive` (n_readout, steps)."""
    largest = value.max()
    total = 0.0
    for o in range(value.size):
        total += np.exp(value[o] - largest)
    for o in range(value.size):
        error = np.float32((1.0 if o == label else 0.0) - np.exp(value[o] - largest) / total)
        if drive_weight.size == 0:
            drive[o, :] = np.float32(0)
            drive[o, peak[o]] = error
        else:
            for t in range(drive.shape[1]):
                drive[o, t] = error * drive_weight[t]
    return float(np.log(total) - (value[label] - largest))


read = njit(_read, cache=True, nogil=True)
softmax_cross_entropy = njit(_softmax_cross_entropy, cache=True, nogil=True)
