"""What a sample leaves behind, and the work space of a lane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from toolchain.training.backends.cpu.layout import F32, U32, U64, Layout
from toolchain.training.backends.cpu.simd import BLOCK


class Neurons(NamedTuple):
    """Constants of each row (n_rows,), as the step and its adjoint multiply with them.

    `reset` is the voltage after a spike, minus infinity for a neuron that spikes once a sample: it stays there.
    `chi` couples lambda_V into lambda_I; `push` is what the rate regulariser adds to lambda_V at a spike.
    `alpha64` and `beta64` are for the closed form; 0 where both time constants are too close for it, or learn.
    """

    alpha: F32
    beta: F32
    gain: F32
    threshold: F32
    reset: F32
    chi: F32
    push: F32
    alpha64: NDArray[np.float64]
    beta64: NDArray[np.float64]


class Reel(NamedTuple):
    """Spikes of one or more samples, each by unit, then time.

    `ptr` (n_samples, n_units + 1) positions of the spikes of each unit in `time`, `slope` (I - V at the spike) and
    `jump` (what is added to lambda_V there, before the division by the slope), all (capacity,). From the first position
    of a group on, `order` and `order_row` (capacity,) hold position and row in the group of its spikes in order of
    time.
    `voltage` (n_samples, readout blocks, 8 steps) of the readout.
    """

    ptr: U64
    time: U32
    slope: F32
    jump: F32
    order: U32
    order_row: U32
    voltage: F32


class Scratch(NamedTuple):
    """Work space: `rows` (blocks of the widest group, 8 span) arrivals, `pairs` (same, 16 span) adjoints, flat;
    `state_a`, `state_b` (8 blocks,); `event_*` spikes of a group in order of time, `fill` (8 blocks,) their counts;
    `quiet` (span,) and `busy` (span / 64,) bits, all 0 between uses, for neurons with few arrivals.
    """

    rows: F32
    pairs: F32
    state_a: F32
    state_b: F32
    event_row: U32
    event_time: U32
    event_slope: F32
    fill: U64
    quiet: F32
    busy: U64


class Sums(NamedTuple):
    """Sums over samples of (lambda_I, lambda_I - lambda_V) at arrivals, in pairs, for each synapse in kernel order.

    `tau_mem`, `tau_syn` (n_rows,) are twice the sums of the gradients by the logarithm of a time constant.
    """

    entry: F32
    single: F32
    tau_mem: NDArray[np.float64]
    tau_syn: NDArray[np.float64]


@dataclass
class Lane:
    """Buffers of one stream of samples."""

    reel: Reel
    sums: Sums
    drive: F32
    kick: F32
    neuron_spikes: NDArray[np.int64]
    guarded: NDArray[np.int64]

    def grow(self) -> None:
        """Double the room for spikes; what is there stays."""
        reel = self.reel
        names = ("time", "slope", "jump", "order", "order_row")
        double = {n: np.concatenate([a, np.empty_like(a)]) for n in names for a in (getattr(reel, n),)}
        self.reel = reel._replace(**double)

    def hold(self, samples: int) -> None:
        """Make room for this many samples at once."""
        if self.reel.ptr.shape[0] < samples:
            ptr = np.zeros((samples, self.reel.ptr.shape[1]), dtype=np.uint64)
            voltage = np.zeros((samples, *self.reel.voltage.shape[1:]), dtype=np.float32)
            self.reel = self.reel._replace(ptr=ptr, voltage=voltage)


def make_lane(layout: Layout, n_units: int, n_readout_blocks: int, steps: int, span: int, capacity: int) -> Lane:
    """Allocate a lane whose reel has room for one sample of `capacity` spikes."""
    reel = Reel(
        np.zeros((1, n_units + 1), dtype=np.uint64),
        np.empty(capacity, dtype=np.uint32),
        np.empty(capacity, dtype=np.float32),
        np.empty(capacity, dtype=np.float32),
        np.empty(capacity, dtype=np.uint32),
        np.empty(capacity, dtype=np.uint32),
        np.zeros((1, n_readout_blocks, steps * BLOCK), dtype=np.float32),
    )
    sums = Sums(
        np.zeros(2 * layout.entry_param.size, dtype=np.float32),
        np.zeros(2 * layout.single_param.size, dtype=np.float32),
        np.zeros(layout.n_rows, dtype=np.float64),
        np.zeros(layout.n_rows, dtype=np.float64),
    )
    n_neurons = layout.row.size
    return Lane(
        reel,
        sums,
        np.zeros((n_readout_blocks, steps * BLOCK), dtype=np.float32),
        np.zeros(n_readout_blocks * BLOCK, dtype=np.float32),
        np.zeros(n_neurons, dtype=np.int64),
        np.zeros(1, dtype=np.int64),
    )


def make_scratch(layout: Layout, steps: int, span: int) -> Scratch:
    """Allocate work space. Nothing in it outlives a sample, so a thread takes the same from lane to lane, cached."""
    widest = int(np.diff(layout.groups.block.astype(np.int64)).max(initial=1))
    events = widest * BLOCK * steps
    return Scratch(
        np.zeros(widest * span * BLOCK, dtype=np.float32),
        np.zeros(widest * span * 2 * BLOCK, dtype=np.float32),
        np.zeros(widest * BLOCK, dtype=np.float32),
        np.zeros(widest * BLOCK, dtype=np.float32),
        # A spike of every neuron at every step: never full, and only pages that are written take memory.
        np.empty(events, dtype=np.uint32),
        np.empty(events, dtype=np.uint32),
        np.empty(events, dtype=np.float32),
        np.zeros(widest * BLOCK, dtype=np.uint64),
        np.zeros(span, dtype=np.float32),
        np.zeros(span // 64 + 1, dtype=np.uint64),
    )
