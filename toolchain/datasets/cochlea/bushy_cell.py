"""Bushy cell: 40 fibres onto one leaky integrate-and-fire neuron, whose spikes are the output of a channel.

    I[t] = exp(-dt/tau_syn) I[t-1] + n[t]                        n fibres fired
    V[t] = min(exp(-dt/tau_mem) V[t-1] + (weight / 40) dt I[t], 1)

Where V reached threshold 1 the cell fires: V is 0 and stays there for 1 ms, while I goes on. The spike belongs to the
step in which threshold was reached. Constants and order of operations as in the converter of the Spiking Heidelberg
Digits (Cramer et al., IEEE TNNLS 33, 2744, 2022).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from toolchain.datasets.cochlea.fibres import N_FIBRES, REFRACTORY_STEPS
from toolchain.datasets.cochlea.lanes import F32, LANES, U32, WIDTH, kernel

TAU_MEM_S = 1e-3
TAU_SYN_S = 5e-4
WEIGHT = 13e3
"""Of all fibres together, 1/s."""

_VOLTAGE, _CURRENT, _WAIT = (np.uint64(n * LANES) for n in range(3))
LANE_BITS: U32 = np.uint32(1) << np.arange(LANES, dtype=np.uint32)
"""Bit of each lane."""

_f, _u, _n = np.float32, np.uint32, np.uint64


def resting_state() -> F32:
    """Voltage, current and steps still to wait of a block at rest, each (LANES,), one after the other."""
    return np.zeros(3 * LANES, dtype=np.float32)


def decays(dt_s: float) -> F32:
    """Constants of `integrate` for steps of `dt_s` seconds: decay of V, of I, and what a fibre adds to V."""
    return np.array([np.exp(-dt_s / TAU_MEM_S), np.exp(-dt_s / TAU_SYN_S), WEIGHT / N_FIBRES * dt_s], dtype=np.float32)


@kernel
def integrate(counts: Any, n_steps: Any, state: Any, constants: Any, lane_bits: Any, fired: Any, start: Any) -> None:
    """Advance the bushy cells of a block by `n_steps`.

    Parameters
    ----------
    counts : flat (n_steps, LANES) float32, fibres that fired
    state : of `resting_state`, changed in place
    constants : of `decays`
    lane_bits : `LANE_BITS`
    fired : bits of the cells that reached threshold at each step, written from `start` on
    """
    zero, one, wait = _f(0), _f(1), _f(REFRACTORY_STEPS)
    alpha, beta, weight = constants[0], constants[1], constants[2]
    for step in range(_n(n_steps)):
        at = step * WIDTH
        bits = _u(0)
        for lane in range(WIDTH):
            left = state[_WAIT + lane]
            current = beta * state[_CURRENT + lane] + counts[at + lane]
            v = alpha * state[_VOLTAGE + lane] + weight * current
            # Factors of 0 and 1 instead of branches: a branch makes LLVM store parts of a vector, which is slow to
            # read again in the next step.
            v *= _f(left <= zero)
            spike = v >= one
            still = _f(v < one)
            bits = _u(bits | _u(lane_bits[lane] * _u(spike)))
            state[_CURRENT + lane] = current
            state[_VOLTAGE + lane] = v * still
            state[_WAIT + lane] = wait * _f(spike) + (left - one) * still
        fired[_n(start) + step] = bits
