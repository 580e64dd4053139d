"""Gradients of time constants: the integrals of the adjoints against the states, taken after both are known.

With tau_mem V' = I - V, tau_syn I' = -I and dL/dV = -tau_mem lambda_V, dL/dI = -tau_syn lambda_I, a change of a time
constant acts through the derivatives V' and I' alone, so

    dL/d log tau_mem =   integral of lambda_V (I - V) dt
    dL/d log tau_syn = - integral of lambda_I I dt

by the trapezoidal rule on every step: step n takes V from its value after the reset of step n - 1 to V[n] before that
of its own, I from I[n] to beta I[n] and the adjoints from those of n, jumps included, to those of n + 1.

States are not kept on the way forward: the spikes on the reel are, and from them the states of a block that learns are
computed again here. So a network whose time constants do not learn pays nothing.
"""

from __future__ import annotations

import numpy as np

from toolchain.kernels import kernel
from toolchain.training.backends.cpu.forward import gather_block
from toolchain.training.backends.cpu.layout import Groups, Synapses
from toolchain.training.backends.cpu.simd import advance
from toolchain.training.backends.cpu.state import Neurons, Reel, Scratch, Sums

ONE, TWO, EIGHT, SIXTEEN = np.uint64(1), np.uint64(2), np.uint64(8), np.uint64(16)


@kernel
def learns_tau(group: np.uint64, groups: Groups) -> bool:
    """Whether a block of the group has a neuron whose time constants learn."""
    return bool(groups.learns_tau[groups.block[group] : groups.block[group + ONE]].any())


@kernel
def integrate(
    group: np.uint64, n_sources: np.uint64, steps: np.uint64, span: np.uint64, groups: Groups, neurons: Neurons,
    synapses: Synapses, scratch: Scratch, reel: Reel, slot: np.uint64, sums: Sums,
) -> None:  # fmt: skip
    """Add twice the integrals of a group, whose adjoints lie in `scratch.pairs`, to `sums.tau_mem` and `sums.tau_syn`.

    Uses `scratch.rows`, `state_a` and `state_b`; rows of blocks that do not learn are left alone.
    """
    first, base = groups.first[group], groups.block[group]
    n_blocks = groups.block[group + ONE] - base
    current, voltage, rows, pairs = scratch.state_a, scratch.state_b, scratch.rows, scratch.pairs
    ptr = reel.ptr[slot]
    n_units = np.uint64(ptr.size) - ONE
    for b in range(n_blocks):
        if groups.learns_tau[base + b] > 0:
            at = b * span * EIGHT
            gather_block(base + b, n_units, steps, rows[at : at + span * EIGHT], groups, synapses, reel, slot)
    current[: n_blocks * EIGHT] = np.float32(0)
    voltage[: n_blocks * EIGHT] = np.float32(0)
    event, end = ptr[n_sources + first], ptr[n_sources + groups.first[group + ONE]]
    for t in range(steps):
        for b in range(n_blocks):
            if groups.learns_tau[base + b] == 0:
                continue
            at = (b * span + t) * SIXTEEN
            row = (base + b) * EIGHT
            for lane in range(EIGHT):
                lambda_v = pairs[at + TWO * lane] - pairs[at + TWO * lane + ONE]
                sums.tau_mem[row + lane] -= lambda_v * voltage[b * EIGHT + lane]
            advance(
                current, voltage, b * EIGHT, rows, (b * span + t) * EIGHT, ONE,
                neurons.alpha, neurons.beta, neurons.gain, neurons.threshold, row,
            )  # fmt: skip
            for lane in range(EIGHT):
                here = at + TWO * lane
                lambda_i, next_i = pairs[here], pairs[here + SIXTEEN]
                lambda_v, next_v = lambda_i - pairs[here + ONE], next_i - pairs[here + SIXTEEN + ONE]
                i, v, beta = current[b * EIGHT + lane], voltage[b * EIGHT + lane], neurons.beta[row + lane]
                sums.tau_mem[row + lane] += lambda_v * i + next_v * (beta * i - v)
                sums.tau_syn[row + lane] -= (lambda_i + beta * next_i) * i
        while event < end and np.uint64(reel.time[np.uint64(reel.order[event])]) == t:
            # Also of a neuron that spikes once: its adjoints are 0 from here on, and infinity times that is not.
            voltage[np.uint64(reel.order_row[event])] = np.float32(0)
            event += ONE
