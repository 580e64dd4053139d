"""Backward kernels: EventProp with delays (Meszaros, Knight, Nowotny 2025, equations 35-38, 67, 70) from the reel.

mlGeNN's discretisation, time in steps (facts/training.md section 1):

    lambda_V[n] = drive + (lambda_V[n+1] - drive) alpha
    lambda_I[n] = drive + (lambda_I[n+1] - drive) beta + chi (lambda_V[n+1] - drive)
    at a spike of neuron i in step n:  lambda_V,i[n] += (threshold lambda_V,i[n] + p + R) / slope - push
        R = sum over targets j of w_ij (lambda_V,j - lambda_I,j)[n + 1 + k_ij]
    dL/dw_ij = -tau_syn sum over spikes of i of  lambda_I,j[n + 1 + k_ij]
    dL/dk_ij = -w_ij    sum over spikes of i of (lambda_I,j - lambda_V,j)[n + 1 + k_ij]

with slope = I - V at the spike (tau_mem dV/dt), drive = -dL/dV per step at a readout and 0 elsewhere, p = dL/dt per
step where the loss is of spike times, push the rate regulariser. Unlike mlGeNN's these are the true gradients: no
1/tau_mem of the readout remains in them.

Adjoints are kept in pairs (lambda_I, lambda_I - lambda_V). Those from the end of the sample on are 0: they are made so
and never written.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolchain.kernels import kernel
from toolchain.training.backends.cpu.layout import F32, Groups, Synapses
from toolchain.training.backends.cpu.quiet import adjoint_quiet, is_quiet
from toolchain.training.backends.cpu.simd import add_pair, retreat, store_pair, zero_pair
from toolchain.training.backends.cpu.state import Neurons, Reel, Scratch, Sums
from toolchain.training.backends.cpu.time_constants import integrate, learns_tau

ONE, TWO, EIGHT, SIXTEEN = np.uint64(1), np.uint64(2), np.uint64(8), np.uint64(16)


@kernel
def _guarded(slope: np.float32, floor: np.float32, counter: NDArray[np.int64]) -> np.float32:
    """Slope of the membrane at a spike, held above `floor`; every use of the floor is counted."""
    if slope < floor:
        counter[0] += 1
        return floor
    return slope


@kernel
def _collect_inner(source: np.uint64, now: np.uint64, groups: Groups, synapses: Synapses, pairs: F32) -> np.float32:
    """R of a spike from the synapses inside its group: four sums at a time, to hide the latency of addition."""
    weight, offset = synapses.inner_weight, synapses.inner_offset
    e, last = groups.inner_ptr[source], groups.inner_ptr[source + ONE]
    at = now + ONE
    r0 = r1 = r2 = r3 = np.float32(0)
    while e + np.uint64(4) <= last:
        r0 += weight[e] * pairs[at + TWO * np.uint64(offset[e])]
        r1 += weight[e + ONE] * pairs[at + TWO * np.uint64(offset[e + ONE])]
        r2 += weight[e + TWO] * pairs[at + TWO * np.uint64(offset[e + TWO])]
        r3 += weight[e + np.uint64(3)] * pairs[at + TWO * np.uint64(offset[e + np.uint64(3)])]
        e += np.uint64(4)
    while e < last:
        r0 += weight[e] * pairs[at + TWO * np.uint64(offset[e])]
        e += ONE
    return -((r0 + r1) + (r2 + r3))


@kernel
def _adjoints(
    group: np.uint64, n_sources: np.uint64, steps: np.uint64, span: np.uint64, groups: Groups, neurons: Neurons,
    synapses: Synapses, scratch: Scratch, reel: Reel, slot: np.uint64, drive: F32, kick: F32, floor: np.float32,
    guarded: NDArray[np.int64],
) -> None:  # fmt: skip
    """Take the adjoints of a group back through all steps; they lie in `scratch.pairs` afterwards.

    `drive` (output blocks, 8 steps) is that of leaky outputs, `kick` (8 output blocks,) enters lambda_V of spiking
    ones at the last step.
    """
    first, base = groups.first[group], groups.block[group]
    n_blocks = groups.block[group + ONE] - base
    cyclic, leaky, output = groups.cyclic[group] > 0, groups.leaky[group] > 0, groups.output[group]
    lambda_i, lambda_v, pairs = scratch.state_a, scratch.state_b, scratch.pairs
    lambda_i[: n_blocks * EIGHT] = np.float32(0)
    lambda_v[: n_blocks * EIGHT] = np.float32(0)
    ptr = reel.ptr[slot]
    start = ptr[n_sources + first]
    event = ptr[n_sources + groups.first[group + ONE]]
    if leaky:
        retreat(
            lambda_i, lambda_v, np.uint64(0), pairs, (steps - ONE) * SIXTEEN, steps,
            neurons.alpha, neurons.beta, neurons.chi, base * EIGHT, drive[output - ONE], (steps - ONE) * EIGHT,
        )  # fmt: skip
        return
    left = steps
    while left > np.uint64(0):
        # A block by itself goes back to its last spike at once; blocks that feed each other go step by step.
        stride = ONE
        if n_blocks == ONE and not cyclic and (left < steps or output == np.uint64(0)):
            stride = left
            if event > start:
                stride -= np.uint64(reel.time[np.uint64(reel.order[event - ONE])])
        for b in range(n_blocks):
            retreat(
                lambda_i, lambda_v, b * EIGHT, pairs, (b * span + left - ONE) * SIXTEEN, stride,
                neurons.alpha, neurons.beta, neurons.chi, (base + b) * EIGHT, None, np.uint64(0),
            )  # fmt: skip
        left -= stride
        now = left * SIXTEEN
        if left == steps - ONE and output > np.uint64(0):
            for n in range(n_blocks * EIGHT):
                lambda_v[n] += kick[(output - ONE) * EIGHT + n]
                at = (n // EIGHT) * span * SIXTEEN + now + TWO * (n % EIGHT)
                pairs[at + ONE] = lambda_i[n] - lambda_v[n]
        while event > start:
            s = np.uint64(reel.order[event - ONE])
            if np.uint64(reel.time[s]) != left:
                break
            event -= ONE
            i = np.uint64(reel.order_row[event])
            row = base * EIGHT + i
            total = reel.jump[s]
            if cyclic:
                total += _collect_inner(first + i, now, groups, synapses, pairs)
            slope = _guarded(reel.slope[s], floor, guarded)
            lambda_v[i] += (neurons.threshold[row] * lambda_v[i] + total) / slope - neurons.push[row]
            at = (i // EIGHT) * span * SIXTEEN + now + TWO * (i % EIGHT)
            pairs[at + ONE] = lambda_i[i] - lambda_v[i]


@kernel
def _collect_block(
    block: np.uint64, n_sources: np.uint64, limit: np.uint64, pairs: F32, groups: Groups, synapses: Synapses, reel:
    Reel, slot: np.uint64, sums: Sums,
) -> None:  # fmt: skip
    """Read the adjoints of a block where the spikes of each source arrived.

    Adds to the sums of each synapse, and to R of the spikes of earlier groups, which are the units from `n_sources`
    up to
    `limit`: spike sources have no membrane, and inside the group R has been used already.
    """
    offset, weight, time, ptr = synapses.entry_offset, synapses.entry_weight, reel.time, reel.ptr[slot]
    for entry in range(groups.entry_ptr[block], groups.entry_ptr[block + ONE]):
        pre = np.uint64(groups.entry_pre[entry])
        first, last = ptr[pre], ptr[pre + ONE]
        if first == last:
            continue
        e = entry * EIGHT
        o0, o1 = TWO * np.uint64(offset[e]), TWO * np.uint64(offset[e + ONE])
        o2, o3 = TWO * np.uint64(offset[e + TWO]), TWO * np.uint64(offset[e + np.uint64(3)])
        e += np.uint64(4)
        o4, o5 = TWO * np.uint64(offset[e]), TWO * np.uint64(offset[e + ONE])
        o6, o7 = TWO * np.uint64(offset[e + TWO]), TWO * np.uint64(offset[e + np.uint64(3)])
        p0 = p1 = p2 = p3 = p4 = p5 = p6 = p7 = zero_pair()
        for s in range(first, last):
            at = np.uint64(time[s]) * SIXTEEN
            p0 = add_pair(p0, pairs, at + o0)
            p1 = add_pair(p1, pairs, at + o1)
            p2 = add_pair(p2, pairs, at + o2)
            p3 = add_pair(p3, pairs, at + o3)
            p4 = add_pair(p4, pairs, at + o4)
            p5 = add_pair(p5, pairs, at + o5)
            p6 = add_pair(p6, pairs, at + o6)
            p7 = add_pair(p7, pairs, at + o7)
        e = entry * SIXTEEN
        store_pair(p0, sums.entry, e)
        store_pair(p1, sums.entry, e + TWO)
        store_pair(p2, sums.entry, e + np.uint64(4))
        store_pair(p3, sums.entry, e + np.uint64(6))
        store_pair(p4, sums.entry, e + EIGHT)
        store_pair(p5, sums.entry, e + np.uint64(10))
        store_pair(p6, sums.entry, e + np.uint64(12))
        store_pair(p7, sums.entry, e + np.uint64(14))
        if n_sources <= pre < limit:
            e = entry * EIGHT
            for s in range(first, last):
                at = np.uint64(time[s]) * SIXTEEN + ONE
                total = np.float32(0)
                for lane in range(EIGHT):
                    total += weight[e + lane] * pairs[at + TWO * np.uint64(offset[e + lane])]
                reel.jump[s] -= total


@kernel
def _collect_singles(
    block: np.uint64, n_sources: np.uint64, limit: np.uint64, pairs: F32, groups: Groups, synapses: Synapses, reel:
    Reel, slot: np.uint64, sums: Sums,
) -> None:  # fmt: skip
    """As `_collect_block`, for the synapses that are stored one by one."""
    time, ptr = reel.time, reel.ptr[slot]
    for row in range(block * EIGHT, block * EIGHT + EIGHT):
        for e in range(groups.single_ptr[row], groups.single_ptr[row + ONE]):
            pre = np.uint64(groups.single_pre[e])
            o, w = TWO * np.uint64(synapses.single_offset[e]), synapses.single_weight[e]
            total = zero_pair()
            with_jump = n_sources <= pre < limit
            for s in range(ptr[pre], ptr[pre + ONE]):
                at = np.uint64(time[s]) * SIXTEEN + o
                total = add_pair(total, pairs, at)
                if with_jump:
                    reel.jump[s] -= w * pairs[at + ONE]
            store_pair(total, sums.single, TWO * e)


@kernel
def backward(
    steps: int, span: int, n_sources: int, groups: Groups, neurons: Neurons, synapses: Synapses, scratch: Scratch,
    reel: Reel, slot: int, drive: F32, kick: F32, floor: float, guarded: NDArray[np.int64], sums: Sums,
) -> None:  # fmt: skip
    """Run the adjoint system of the sample in `slot` of the reel and add its readings to `sums`.

    `jump` holds p and is used up. `drive` (output blocks, 8 steps); `kick` (8 output blocks,). `guarded[0]` counts
    spikes whose slope was below `floor`.
    """
    n_steps, n_span, n_in, k = np.uint64(steps), np.uint64(span), np.uint64(n_sources), np.uint64(slot)
    n_groups = np.uint64(groups.cyclic.size)
    for back in range(n_groups):
        group = n_groups - ONE - back
        base = groups.block[group]
        if is_quiet(group, n_steps, n_in, groups, neurons, reel, k):
            adjoint_quiet(
                group, n_steps, n_in, groups, neurons, synapses, reel, k, kick, np.float32(floor), guarded, sums
            )
            continue
        _adjoints(
            group, n_in, n_steps, n_span, groups, neurons, synapses, scratch, reel, k, drive, kick, np.float32(floor),
            guarded,
        )  # fmt: skip
        limit = n_in + groups.first[group]
        for b in range(base, groups.block[group + ONE]):
            at = (b - base) * n_span * SIXTEEN
            pairs = scratch.pairs[at : at + n_span * SIXTEEN]
            _collect_block(b, n_in, limit, pairs, groups, synapses, reel, k, sums)
            _collect_singles(b, n_in, limit, pairs, groups, synapses, reel, k, sums)
        if learns_tau(group, groups):
            integrate(group, n_in, n_steps, n_span, groups, neurons, synapses, scratch, reel, k, sums)
