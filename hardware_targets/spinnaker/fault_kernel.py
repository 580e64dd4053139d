"""One tick after another of single neurons, from what a board reported; see `replay`. Compiled.

The law is that of `emulator`, written again for neurons whose every constant may be another, and which may round,
overflow and reset otherwise than sPyNNaker's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolchain.kernels import kernel

I64 = NDArray[np.int64]

(
    DECAY_E, DECAY_I, INIT_E, INIT_I, SHIFT_E, SHIFT_I, RING_OVERFLOW, CURRENT_ROUNDING,
    RESISTANCE, EXP_TC, V_REST, I_OFFSET, V_RESET, T_REFRACT, RESET, VOLTAGE_ROUNDING, V_THRESH, TIE, OUTPUT,
) = range(19)  # fmt: skip
"""Rows of the constants."""


@kernel
def wrapped(x: np.int64) -> np.int64:
    """Low 32 bits."""
    return ((x + 2**31) & (2**32 - 1)) - 2**31


@kernel
def shifted(product: np.int64, bits: np.int64, rounding: np.int64) -> np.int64:
    """Product / 2^bits, down (0), toward zero (1) or to the nearest (2)."""
    if rounding == 1 and product < 0:
        return -((-product) >> bits)
    if rounding == 2:
        return (product >> bits) + ((product >> (bits - 1)) & 1)
    return product >> bits


@kernel
def arriving(entry: np.int64, shift: np.int64, init: np.int64, overflow: np.int64) -> np.int64:
    """What an entry of the ring buffer adds; beyond 16 bits it saturates (0) or wraps (1)."""
    entry = min(entry, np.int64(0xFFFF)) if overflow == 0 else entry & 0xFFFF
    found: np.int64 = (wrapped(entry << shift) * init) >> 32
    return found


@kernel
def membrane(v: np.int64, current: np.int64, c: I64) -> np.int64:
    """Voltage after a tick, before a reset."""
    alpha = wrapped(wrapped(shifted(current * c[RESISTANCE], 15, c[VOLTAGE_ROUNDING])) + c[V_REST])
    found: np.int64 = wrapped(alpha - wrapped(shifted(c[EXP_TC] * wrapped(alpha - v), 15, c[VOLTAGE_ROUNDING])))
    return found


@kernel
def replay(
    constants: I64, arrivals: I64, given_u: int, u_reported: I64,
    given_v: bool, v_reported: I64, given_s: bool, s_reported: NDArray[np.bool_],
    u_out: I64, v_out: I64, s_out: NDArray[np.bool_],
) -> None:  # fmt: skip
    """All ticks of all neurons; `constants` (19, n), `arrivals`, `u_out` (2, n_samples, n_ticks, n).

    `given_u` is 0 without currents, 1 with their difference, 2 with both.
    """
    _, n_samples, n_ticks, n = arrivals.shape
    for s in range(n_samples):
        for j in range(n):
            c = constants[:, j]
            v, exc, inh, timer = c[V_REST], np.int64(0), np.int64(0), np.int64(0)
            for t in range(n_ticks):
                if t > 0:
                    exc = wrapped(shifted(exc * c[DECAY_E], 32, c[CURRENT_ROUNDING]))
                    inh = wrapped(shifted(inh * c[DECAY_I], 32, c[CURRENT_ROUNDING]))
                exc = wrapped(exc + arriving(arrivals[0, s, t, j], c[SHIFT_E], c[INIT_E], c[RING_OVERFLOW]))
                inh = wrapped(inh + arriving(arrivals[1, s, t, j], c[SHIFT_I], c[INIT_I], c[RING_OVERFLOW]))
                u_out[0, s, t, j], u_out[1, s, t, j] = exc, inh
                if given_u == 2:
                    exc, inh = u_reported[0, s, t, j], u_reported[1, s, t, j]
                current = u_reported[0, s, t, j] if given_u == 1 else exc - inh
                if timer <= 0:
                    v = membrane(v, wrapped(current + c[I_OFFSET]), c)
                else:
                    timer -= 1
                reaches = v >= c[V_THRESH] if c[TIE] == 0 else v > c[V_THRESH]
                spike = (reaches and c[OUTPUT] == 0) or c[OUTPUT] == 3
                s_out[s, t, j] = spike
                if given_s:
                    spike = s_reported[s, t, j]
                if spike or (reaches and c[OUTPUT] == 2):
                    v = c[V_RESET] if c[RESET] == 0 else (v if c[RESET] == 1 else wrapped(v - c[V_THRESH]))
                    timer = c[T_REFRACT]
                v_out[s, t, j] = v
                if given_v:
                    v = v_reported[s, t, j]
