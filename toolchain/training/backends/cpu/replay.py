"""The forward pass of spikes that are known already: what the membrane was when somebody else's neurons spiked.

A chip, its emulator or its vendor's simulator reports spikes, and EventProp needs little else: where spikes arrive is
then known, the slope I - V at each of them and the voltage of the readout follow from the same step as ever, with the
threshold taken out and a reset where a spike was reported. So the gradient is that of the network which the machine
is, at the spikes which it had, whatever made it spike: rounding, noise or a dead neuron.
"""

from __future__ import annotations

import numpy as np

from toolchain.kernels import kernel
from toolchain.training.backends.cpu.forward import gather_block, read_group
from toolchain.training.backends.cpu.layout import F32, Groups, Synapses
from toolchain.training.backends.cpu.simd import advance
from toolchain.training.backends.cpu.state import Neurons, Reel, Scratch

ONE, EIGHT = np.uint64(1), np.uint64(8)


@kernel
def _follow(
    group: np.uint64, n_sources: np.uint64, steps: np.uint64, span: np.uint64, groups: Groups, neurons: Neurons,
    scratch: Scratch, reel: Reel, slot: np.uint64, never: F32,
) -> None:  # fmt: skip
    """Take a spiking group through all steps and note slope and order of the spikes that are on the reel."""
    first, base = groups.first[group], groups.block[group]
    n, n_blocks = groups.first[group + ONE] - first, groups.block[group + ONE] - base
    current, voltage, next_spike, ptr = scratch.state_a, scratch.state_b, scratch.fill, reel.ptr[slot]
    for i in range(n_blocks * EIGHT):
        current[i] = np.float32(0)
        voltage[i] = np.float32(0)
    for i in range(n):
        next_spike[i] = ptr[n_sources + first + i]
    place = ptr[n_sources + first]
    for t in range(steps):
        for b in range(n_blocks):
            advance(
                current, voltage, b * EIGHT, scratch.rows, (b * span + t) * EIGHT, ONE,
                neurons.alpha, neurons.beta, neurons.gain, never, (base + b) * EIGHT,
            )  # fmt: skip
        for i in range(n):
            at = next_spike[i]
            if at < ptr[n_sources + first + i + ONE] and np.uint64(reel.time[at]) == t:
                reel.slope[at] = current[i] - voltage[i]
                voltage[i] = neurons.reset[base * EIGHT + i]
                reel.order[place] = np.uint32(at)
                reel.order_row[place] = np.uint32(i)
                place += ONE
                next_spike[i] = at + ONE


@kernel
def replay(
    steps: int, span: int, n_sources: int, groups: Groups, neurons: Neurons, synapses: Synapses, scratch: Scratch,
    reel: Reel, slot: int, never: F32,
) -> None:  # fmt: skip
    """Fill in what the backward pass needs of the sample in `slot`, all of whose spikes are on the reel.

    `never` (n_rows,) is infinity: a threshold that nothing reaches.
    """
    n_steps, n_span, n_in, k = np.uint64(steps), np.uint64(span), np.uint64(n_sources), np.uint64(slot)
    everybody = np.uint64(reel.ptr.shape[1])
    for group in range(np.uint64(groups.cyclic.size)):
        base = groups.block[group]
        for b in range(base, groups.block[group + ONE]):
            at = (b - base) * n_span * EIGHT
            gather_block(b, everybody, n_steps, scratch.rows[at : at + n_span * EIGHT], groups, synapses, reel, k)
        if groups.leaky[group]:
            read_group(group, n_steps, groups, neurons, scratch, reel.voltage[k, groups.output[group] - ONE])
        else:
            _follow(group, n_in, n_steps, n_span, groups, neurons, scratch, reel, k, never)
