"""Taking a stream of samples through the kernels, and what comes of several streams.

The samples of a batch are dealt to a fixed number of lanes, each with gradient sums of its own, and the
lanes are added in order. Which thread runs which lane changes nothing, so neither does the number of
threads: the result is the same to the bit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolchain.kernels import kernel
from toolchain.training.backends.cpu.backward import backward
from toolchain.training.backends.cpu.forward import forward, load_inputs
from toolchain.training.backends.cpu.layout import F32, I64, Groups, Synapses
from toolchain.training.backends.cpu.losses import Loss, evaluate
from toolchain.training.backends.cpu.replay import replay
from toolchain.training.backends.cpu.state import Neurons, Reel, Scratch, Sums

PART = 512
"""Synapses whose sums are added up at once."""

THROUGH, OUT, BACK, REPLAY = range(4)
"""One sample after the other forward and backward; all forward, and kept; those that were kept, backward; as the first,
but all spikes are given.
"""


@kernel
def run_lane(
    begin: int, mode: int, learn: bool, samples: I64, times: NDArray[np.int32], units: NDArray[np.int32], offsets: I64,
    labels: I64, steps: int, span: int, n_sources: int, first_output: int, n_outputs: int, groups: Groups,
    neurons: Neurons, synapses: Synapses, loss: Loss, scratch: Scratch, reel: Reel, sums: Sums, drive: F32, kick: F32,
    neuron_spikes: I64, guarded: I64, floor: float, losses: NDArray[np.float64], predictions: I64, never: F32,
    seen: F32,
) -> int:  # fmt: skip
    """Run the samples with these indices, from number `begin` on; returns how many are done.

    To replay, `times`, `units` are those of all units, `never` (n_rows,) is infinity, and `seen` (n_samples, n_outputs,
    steps) the voltage that the readout had, or (0, 0, 0).

    Fewer than all: the reel had no room for the next one. `losses`, `predictions` are written at the positions of
    `samples`.
    """
    value, error = np.zeros(n_outputs), np.zeros(n_outputs)
    last = reel.ptr.shape[1] - 1
    for n in range(begin, samples.size):
        s = samples[n]
        slot = 0 if mode in (THROUGH, REPLAY) else n
        if mode != BACK:
            lo, hi = offsets[s], offsets[s + 1]
            start = 0 if slot == 0 else np.int64(reel.ptr[slot - 1, last])
            if start + hi - lo > reel.time.size:
                return n
            load_inputs(reel, slot, start, times[lo:hi], units[lo:hi])
            if mode == REPLAY:
                replay(steps, span, n_sources, groups, neurons, synapses, scratch, reel, slot, never)
                for o in range(seen.shape[1]):
                    for t in range(steps):
                        reel.voltage[slot, o // 8, 8 * t + o % 8] = seen[s, o, t]
            elif not forward(steps, span, n_sources, groups, neurons, synapses, scratch, reel, slot):
                return n
            for j in range(neuron_spikes.size):
                neuron_spikes[j] += np.int64(reel.ptr[slot, n_sources + j + 1] - reel.ptr[slot, n_sources + j])
        if mode != OUT:
            losses[s], predictions[s] = evaluate(
                loss, reel, slot, n_sources, first_output, steps, labels[s], value, error, drive, kick
            )
            if learn:
                backward(
                    steps, span, n_sources, groups, neurons, synapses, scratch, reel, slot, drive, kick, floor, guarded,
                    sums,
                )  # fmt: skip
    return samples.size


@kernel
def place_parameters(
    weights: F32, delays: F32, max_slot: int, steps: int, span: int, entry_param: I64, single_param: I64,
    single_lane: I64, inner_param: I64, inner_block: I64, inner_lane: I64, synapses: Synapses,
) -> int:  # fmt: skip
    """Put canonical parameters into kernel order, delays rounded half to even.

    Returns the canonical index of a synapse whose slot is outside 0..max_slot, or -1.
    """
    n = weights.size
    shift = np.empty(n + 1, dtype=np.uint32)
    for p in range(n):
        slot = np.rint(delays[p])
        if not (slot >= np.float32(0) and slot <= np.float32(max_slot)):
            return p
        shift[p] = np.uint32(8) * (np.uint32(min(slot, np.float32(steps))) + np.uint32(1))
    shift[n] = np.uint32(8)
    for e in range(entry_param.size):
        p = entry_param[e]
        synapses.entry_weight[e] = weights[p] if p < n else np.float32(0)
        synapses.entry_offset[e] = shift[p] + np.uint32(e % 8)
    for e in range(single_param.size):
        p = single_param[e]
        synapses.single_weight[e] = weights[p]
        synapses.single_offset[e] = shift[p] + np.uint32(single_lane[e])
    for e in range(inner_param.size):
        p = inner_param[e]
        synapses.inner_weight[e] = weights[p]
        synapses.inner_offset[e] = shift[p] + np.uint32(8 * inner_block[e] * span + inner_lane[e])
    return -1


@kernel
def take_sums(
    sums: F32, param: I64, scale: F32, weights: F32, n_synapses: int, batch: int, weight: F32, delay: F32,
    begin: int, end: int,
) -> None:  # fmt: skip
    """Add the lanes (rows of `sums`) in order, for synapses `begin` to `end`, and clear them.

    `scale` (n,) is tau_syn of the target in steps. Writes dL/dw = -tau_syn sum / batch and dL/dk = -w sum / batch at
    the canonical places.
    """
    total = np.empty(2 * PART)
    for first in range(begin, end, PART):
        # Lane by lane over a part that stays in the first-level cache: loops without a branch, which become vectors.
        count = min(PART, end - first)
        total[:] = 0.0
        for lane in range(sums.shape[0]):
            part = sums[lane, 2 * first : 2 * (first + count)]
            for k in range(np.uint64(2 * count)):
                total[k] += part[k]
            part[:] = np.float32(0)
        for k in range(np.uint64(count)):
            e = np.uint64(first) + k
            p = np.uint64(param[e])
            if p < np.uint64(n_synapses):
                weight[p] = np.float32(-scale[e] * total[np.uint64(2) * k] / batch)
                delay[p] = np.float32(-weights[e] * total[np.uint64(2) * k + np.uint64(1)] / batch)
