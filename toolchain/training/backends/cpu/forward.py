"""Forward kernels: the step of `toolchain.network`, group by group, from spikes to spikes.

All index arrays are unsigned: a signed index costs a wrap-around check at every access. Buffers in time are longer
than a sample by the largest delay, so that a spike that would arrive after the end needs no test; what lies there is
never read.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolchain.kernels import kernel
from toolchain.training.backends.cpu.layout import F32, Groups, Synapses
from toolchain.training.backends.cpu.quiet import is_quiet, simulate_quiet
from toolchain.training.backends.cpu.simd import advance, lowest_bit, reached
from toolchain.training.backends.cpu.state import Neurons, Reel, Scratch

ONE, EIGHT = np.uint64(1), np.uint64(8)


@kernel
def load_inputs(reel: Reel, slot: int, start: int, times: NDArray[np.int32], units: NDArray[np.int32]) -> None:
    """Put the input spikes of a sample, sorted by time, on the reel from `start`, sorted by unit.

    Leaves `ptr` right up to the last unit that has spikes, and all later entries at the end of the input.
    """
    ptr = reel.ptr[slot]
    for u in range(np.uint64(ptr.size)):
        ptr[u] = np.uint64(0)
    for e in range(np.uint64(times.size)):
        ptr[np.uint64(units[e]) + ONE] += ONE
    ptr[0] = np.uint64(start)
    for u in range(np.uint64(ptr.size) - ONE):
        ptr[u + ONE] += ptr[u]
    for e in range(np.uint64(times.size)):
        unit = np.uint64(units[e])
        reel.time[ptr[unit]] = np.uint32(times[e])
        ptr[unit] += ONE
    for back in range(np.uint64(ptr.size) - ONE):
        unit = np.uint64(ptr.size) - ONE - back
        ptr[unit] = ptr[unit - ONE]
    ptr[0] = np.uint64(start)


@kernel
def gather_block(
    block: np.uint64, limit: np.uint64, steps: np.uint64, line: F32, groups: Groups, synapses: Synapses, reel: Reel,
    slot: np.uint64,
) -> None:  # fmt: skip
    """Set `line` (8 span,) to all that arrives at a block from units below `limit`, within the first `steps`.

    What lies behind them is neither cleared nor read.
    """
    line[: steps * EIGHT] = np.float32(0)
    weight, offset, time, ptr = synapses.entry_weight, synapses.entry_offset, reel.time, reel.ptr[slot]
    for entry in range(groups.entry_ptr[block], groups.entry_ptr[block + ONE]):
        pre = np.uint64(groups.entry_pre[entry])
        if pre >= limit:
            break
        first, last = ptr[pre], ptr[pre + ONE]
        if first == last:
            continue
        e = entry * EIGHT
        w0, w1, w2, w3 = weight[e], weight[e + ONE], weight[e + np.uint64(2)], weight[e + np.uint64(3)]
        e += np.uint64(4)
        w4, w5, w6, w7 = weight[e], weight[e + ONE], weight[e + np.uint64(2)], weight[e + np.uint64(3)]
        e = entry * EIGHT
        o0, o1 = np.uint64(offset[e]), np.uint64(offset[e + ONE])
        o2, o3 = np.uint64(offset[e + np.uint64(2)]), np.uint64(offset[e + np.uint64(3)])
        e += np.uint64(4)
        o4, o5 = np.uint64(offset[e]), np.uint64(offset[e + ONE])
        o6, o7 = np.uint64(offset[e + np.uint64(2)]), np.uint64(offset[e + np.uint64(3)])
        for s in range(first, last):
            at = np.uint64(time[s]) * EIGHT
            line[at + o0] += w0
            line[at + o1] += w1
            line[at + o2] += w2
            line[at + o3] += w3
            line[at + o4] += w4
            line[at + o5] += w5
            line[at + o6] += w6
            line[at + o7] += w7
    for row in range(block * EIGHT, block * EIGHT + EIGHT):
        for e in range(groups.single_ptr[row], groups.single_ptr[row + ONE]):
            pre = np.uint64(groups.single_pre[e])
            if pre >= limit:
                break
            w, o = synapses.single_weight[e], np.uint64(synapses.single_offset[e])
            for s in range(ptr[pre], ptr[pre + ONE]):
                line[np.uint64(time[s]) * EIGHT + o] += w


@kernel
def _advance(
    group: np.uint64, n_sources: np.uint64, steps: np.uint64, span: np.uint64, groups: Groups, neurons: Neurons,
    synapses: Synapses, scratch: Scratch,
) -> np.uint64:  # fmt: skip
    """Take a spiking group through all steps; returns how many spikes lie in `scratch.event_*`, in order of time."""
    first, base = groups.first[group], groups.block[group]
    n_blocks = groups.block[group + ONE] - base
    cyclic = groups.cyclic[group] > 0
    current, voltage, rows = scratch.state_a, scratch.state_b, scratch.rows
    for i in range(n_blocks * EIGHT):
        current[i] = np.float32(0)
        voltage[i] = np.float32(0)
        scratch.fill[i] = np.uint64(0)
    n_events = t = np.uint64(0)
    while t < steps:
        # A block by itself runs on until it spikes; blocks that feed each other go step by step.
        stride = ONE if n_blocks > ONE or cyclic else steps - t
        for b in range(n_blocks):
            stride = advance(
                current, voltage, b * EIGHT, rows, (b * span + t) * EIGHT, stride,
                neurons.alpha, neurons.beta, neurons.gain, neurons.threshold, (base + b) * EIGHT,
            )  # fmt: skip
            fired = reached(voltage, b * EIGHT, neurons.threshold, (base + b) * EIGHT)
            now = t + stride - ONE
            while fired != np.uint64(0):
                i = b * EIGHT + lowest_bit(fired)
                fired &= fired - ONE
                scratch.event_row[n_events] = np.uint32(i)
                scratch.event_time[n_events] = np.uint32(now)
                scratch.event_slope[n_events] = current[i] - voltage[i]
                scratch.fill[i] += ONE
                n_events += ONE
                voltage[i] = neurons.reset[base * EIGHT + i]
                if cyclic:
                    for e in range(groups.inner_ptr[first + i], groups.inner_ptr[first + i + ONE]):
                        rows[now * EIGHT + np.uint64(synapses.inner_offset[e])] += synapses.inner_weight[e]
        t += stride
    return n_events


@kernel
def read_group(
    group: np.uint64, steps: np.uint64, groups: Groups, neurons: Neurons, scratch: Scratch, voltage: F32
) -> None:
    """Take a readout group (one block) through all steps; `voltage` (8 steps,) is filled."""
    current, state, row = scratch.state_a, scratch.state_b, groups.block[group] * EIGHT
    for lane in range(EIGHT):
        current[lane] = np.float32(0)
        state[lane] = np.float32(0)
    for t in range(steps):
        advance(
            current, state, np.uint64(0), scratch.rows, t * EIGHT, ONE,
            neurons.alpha, neurons.beta, neurons.gain, neurons.threshold, row,
        )  # fmt: skip
        for lane in range(EIGHT):
            voltage[t * EIGHT + lane] = state[lane]


@kernel
def _file_events(
    group: np.uint64, n_sources: np.uint64, n_events: np.uint64, groups: Groups, scratch: Scratch, reel: Reel,
    slot: np.uint64,
) -> None:  # fmt: skip
    """Put the spikes of a group, which lie in order of time, on the reel by unit; `fill` holds their counts."""
    first, last = groups.first[group], groups.first[group + ONE]
    ptr, fill = reel.ptr[slot], scratch.fill
    start = ptr[n_sources + first]
    end = start
    for j in range(first, last):
        count = fill[j - first]
        fill[j - first] = end
        end += count
        ptr[n_sources + j + ONE] = end
    for e in range(n_events):
        row = np.uint64(scratch.event_row[e])
        at = fill[row]
        reel.time[at] = scratch.event_time[e]
        reel.slope[at] = scratch.event_slope[e]
        reel.order[start + e] = np.uint32(at)
        reel.order_row[start + e] = np.uint32(row)
        fill[row] = at + ONE


@kernel
def forward(
    steps: int, span: int, n_sources: int, groups: Groups, neurons: Neurons, synapses: Synapses, scratch: Scratch,
    reel: Reel, slot: int,
) -> bool:  # fmt: skip
    """Simulate the sample whose inputs lie in `slot` of the reel; False if the reel has no room for its spikes."""
    n_steps, n_span, n_in, k = np.uint64(steps), np.uint64(span), np.uint64(n_sources), np.uint64(slot)
    for group in range(np.uint64(groups.cyclic.size)):
        first, last = groups.first[group], groups.first[group + ONE]
        base = groups.block[group]
        if is_quiet(group, n_steps, n_in, groups, neurons, reel, k):
            n_events = simulate_quiet(group, n_steps, n_in, groups, neurons, synapses, scratch, reel, k)
        else:
            for b in range(base, groups.block[group + ONE]):
                at = (b - base) * n_span * EIGHT
                gather_block(
                    b, n_in + first, n_steps, scratch.rows[at : at + n_span * EIGHT], groups, synapses, reel, k
                )
            if groups.leaky[group]:
                read_group(group, n_steps, groups, neurons, scratch, reel.voltage[k, groups.output[group] - ONE])
                n_events = np.uint64(0)
                for i in range(last - first):
                    scratch.fill[i] = np.uint64(0)
            else:
                n_events = _advance(group, n_in, n_steps, n_span, groups, neurons, synapses, scratch)
        if reel.ptr[k, n_in + first] + n_events > np.uint64(reel.time.size):
            return False
        _file_events(group, n_in, n_events, groups, scratch, reel, k)
    return True
