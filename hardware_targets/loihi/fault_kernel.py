"""One step after another of single neurons, from what a device reported; see `replay`. Compiled.

The law is that of `emulator`, written again for neurons whose every constant may be another, and which may round,
overflow and reset otherwise than Lava.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolchain.kernels import kernel

I64 = NDArray[np.int64]

DU, DV, VTH, CURRENT_ROUNDING, CURRENT_OVERFLOW, VOLTAGE_ROUNDING, VOLTAGE_OVERFLOW, RESET, TIE, OUTPUT = range(10)
"""Rows of the constants."""

HALF = np.int64(2**23)


@kernel
def decayed(state: np.int64, keep: np.int64, rounding: np.int64) -> np.int64:
    """State * keep / 4096, toward zero (0), down (1) or to the nearest (2)."""
    product = state * keep
    if rounding == 1:
        return product >> 12
    magnitude = (abs(product) + (2048 if rounding == 2 else 0)) >> 12
    return magnitude if state >= 0 else -magnitude


@kernel
def int32(value: np.int64) -> np.int64:
    """What is left of an integer in 32 bits."""
    return ((value + 2**31) & (2**32 - 1)) - 2**31


@kernel
def current(u: np.int64, arriving: np.int64, keep: np.int64, rounding: np.int64, overflow: np.int64) -> np.int64:
    """Current after a step; beyond 24 bits it wraps once (0), is clipped (1) or stays (2)."""
    after: np.int64 = int32(int32(decayed(u, keep, rounding)) + int32(arriving << 6))
    if overflow == 1:
        return min(max(after, np.int64(1 - HALF)), np.int64(HALF - 1))
    if overflow == 0 and after > HALF:
        return after - 2 * HALF
    if overflow == 0 and after <= -HALF:
        return after + 2 * HALF
    return after


@kernel
def voltage(v: np.int64, u: np.int64, keep: np.int64, rounding: np.int64, overflow: np.int64) -> np.int64:
    """Voltage after a step, before a reset; beyond 24 bits it is clipped (0) or wraps (1)."""
    after: np.int64 = int32(decayed(v, keep, rounding) + u)
    if overflow == 1:
        return ((after + HALF) & (2 * HALF - 1)) - HALF
    return min(max(after, np.int64(1 - HALF)), np.int64(HALF - 1))


@kernel
def replay(
    constants: I64, arrivals: I64,
    given_u: bool, u_reported: I64, given_v: bool, v_reported: I64, given_s: bool, s_reported: NDArray[np.bool_],
    u_out: I64, v_out: I64, s_out: NDArray[np.bool_],
) -> None:  # fmt: skip
    """All steps of all neurons; `constants` (10, n), the others (n_samples, n_steps, n)."""
    n_samples, n_steps, n = arrivals.shape
    for s in range(n_samples):
        for j in range(n):
            c = constants[:, j]
            u = v = np.int64(0)
            for t in range(n_steps):
                u = current(u, arrivals[s, t, j], 4095 - c[DU], c[CURRENT_ROUNDING], c[CURRENT_OVERFLOW])
                u_out[s, t, j] = u
                if given_u:
                    u = u_reported[s, t, j]
                v = voltage(v, u, 4096 - c[DV], c[VOLTAGE_ROUNDING], c[VOLTAGE_OVERFLOW])
                reaches = v > (c[VTH] << 6) or (c[TIE] == 1 and v == (c[VTH] << 6))
                spike = (reaches and c[OUTPUT] == 0) or c[OUTPUT] == 3
                s_out[s, t, j] = spike
                if given_s:
                    spike = s_reported[s, t, j]
                if spike or (reaches and c[OUTPUT] == 2):
                    v = np.int64(0) if c[RESET] == 0 else (v if c[RESET] == 1 else v - (c[VTH] << 6))
                v_out[s, t, j] = v
                if given_v:
                    v = v_reported[s, t, j]
