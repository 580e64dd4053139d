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
from toolchain.training.backends.cpu.state import Neurons, Reel, Scratch, Sums

THROUGH, OUT, BACK = range(3)
"""One sample after the other forward and backward; all forward, and kept; those that were kept, backward."""


@kernel
def run_lane(
    begin: int, mode: int, learn: bool, samples: I64, times: NDArray[np.int32], units: NDArray[np.int32], offsets: I64,
    labels: I64, steps: int, span: int, n_sources: int, first_output: int, n_outputs: int, groups: Groups,
    neurons: Neurons, synapses: Synapses, loss: Loss, scratch: Scratch, reel: Reel, sums: Sums, drive: F32, kick: F32,
    neuron_spikes: I64, guarded: I64, floor: float, losses: NDArray[np.float64], predictions: I64,
) -> int:  # fmt: skip
    """Run the samples with these indices, from number `begin` on; returns how many are done.

    Fewer than all: the reel had no room for the next one. `losses`, `predictions` are written at the positions of
    `samples`.
    """
    value, error = np.zeros(n_outputs), np.zeros(n_outputs)
    last = reel.ptr.shape[1] - 1
    for n in range(begin, samples.size):
        s = samples[n]
        slot = 0 if mode == THROUGH else n
        if mode != BACK:
            lo, hi = offsets[s], offsets[s + 1]
            start = 0 if slot == 0 else np.int64(reel.ptr[slot - 1, last])
            if start + hi - lo > reel.time.size:
                return n
            load_inputs(reel, slot, start, times[lo:hi], units[lo:hi])
            if not forward(steps, span, n_sources, groups, neurons, synapses, scratch, reel, slot):
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
    for e in range(begin, end):
        p = param[e]
        total_i = total_d = 0.0
        for lane in range(sums.shape[0]):
            total_i += sums[lane, 2 * e]
            total_d += sums[lane, 2 * e + 1]
            sums[lane, 2 * e] = np.float32(0)
            sums[lane, 2 * e + 1] = np.float32(0)
        if p < n_synapses:
            weight[p] = np.float32(-scale[e] * total_i / batch)
            delay[p] = np.float32(-weights[e] * total_d / batch)
