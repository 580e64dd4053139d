"""A lane: the memory of one sample in flight, and the kernels that take a lane through many samples.

The samples of a batch are dealt to a fixed number of lanes, each with gradient sums of its own, and the
lanes are added in order. Which thread runs which lane changes nothing, so neither does the number of
threads: the result is the same to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from toolchain.event_graph import EventGraph
from toolchain.training.backends.cpu.kernels import Scratch, Tape, backward, forward, load_inputs
from toolchain.training.backends.cpu.losses import read, softmax_cross_entropy


@dataclass
class Lane:
    """Buffers of one sample in flight; `sums` are external_i, external_d, internal_i, internal_d."""

    tape: Tape
    scratch: Scratch
    readout_v: NDArray[np.float32]
    drive: NDArray[np.float32]
    value: NDArray[np.float64]
    peak: NDArray[np.int64]
    sums: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
    neuron_spikes: NDArray[np.int64]
    guarded: NDArray[np.int64]


def make_lane(graph: EventGraph, n_readout: int, steps: int, max_slot: int) -> Lane:
    """Allocate a lane. The tape holds a spike of every unit at every step, so it is never full.

    Only pages that are written take memory: what a sample costs grows with its spikes.
    """
    n_units = graph.n_sources + graph.n_neurons
    widths = np.diff(graph.stage_first.astype(np.int64))
    cyclic_width = int(max(widths[graph.stage_cyclic > 0], default=0))
    span, capacity = steps + 1 + max_slot, n_units * steps
    tape = Tape(
        ptr=np.zeros(n_units + 1, dtype=np.uint64),
        time=np.empty(capacity, dtype=np.uint32),
        slope=np.empty(capacity, dtype=np.float32),
        jump=np.empty(capacity, dtype=np.float32),
        order=np.empty(capacity if cyclic_width else 0, dtype=np.uint64),
        order_unit=np.empty(capacity if cyclic_width else 0, dtype=np.uint32),
        step_ptr=np.zeros((widths.size, steps + 1), dtype=np.uint64),
    )
    scratch = Scratch(
        line_a=np.zeros(span, dtype=np.float32),
        line_b=np.zeros(span, dtype=np.float32),
        rows_a=np.empty(span * cyclic_width, dtype=np.float32),
        rows_b=np.empty(span * cyclic_width, dtype=np.float32),
        current=np.zeros(cyclic_width, dtype=np.float32),
        voltage=np.zeros(cyclic_width, dtype=np.float32),
        event_unit=np.empty(steps * cyclic_width, dtype=np.uint32),
        event_time=np.empty(steps * cyclic_width, dtype=np.uint32),
        event_slope=np.empty(steps * cyclic_width, dtype=np.float32),
        fill=np.zeros(cyclic_width, dtype=np.uint64),
    )
    n_external, n_internal = graph.external_param.size, graph.internal_param.size
    return Lane(
        tape,
        scratch,
        np.zeros((n_readout, steps), dtype=np.float32),
        np.zeros((n_readout, steps), dtype=np.float32),
        np.zeros(n_readout, dtype=np.float64),
        np.zeros(n_readout, dtype=np.int64),
        (
            np.zeros(n_external, dtype=np.float32),
            np.zeros(n_external, dtype=np.float32),
            np.zeros(n_internal, dtype=np.float32),
            np.zeros(n_internal, dtype=np.float32),
        ),
        np.zeros(graph.n_neurons, dtype=np.int64),
        np.zeros(1, dtype=np.int64),
    )


def _run_lane(
    samples: Any, times: Any, units: Any, offsets: Any, labels: Any, learn: bool,
    steps: int, n_sources: int, graph: Any, neurons: Any, synapses: Any,
    tape: Any, scratch: Any, readout_v: Any, drive: Any, value: Any, peak: Any, sums: Any,
    neuron_spikes: Any, guarded: Any, time_weight: Any, drive_weight: Any, floor: float, loss: Any, prediction: Any,
) -> None:  # fmt: skip
    """Take the samples with these indices through forward, loss and, if `learn`, backward.

    `loss` and `prediction` are written at the positions of `samples`.
    """
    external_i, external_d, internal_i, internal_d = sums
    for s in samples:
        lo, hi = offsets[s], offsets[s + 1]
        load_inputs(tape, times[lo:hi], units[lo:hi], n_sources)
        forward(steps, n_sources, graph, neurons, synapses, tape, scratch, readout_v)
        for j in range(neuron_spikes.size):
            neuron_spikes[j] += np.int64(tape.ptr[n_sources + j + 1] - tape.ptr[n_sources + j])
        prediction[s] = read(readout_v, time_weight, value, peak)
        loss[s] = softmax_cross_entropy(value, labels[s], drive_weight, peak, drive)
        if learn:
            backward(
                steps, n_sources, graph, neurons, synapses, tape, scratch, drive, floor, guarded,
                external_i, external_d, internal_i, internal_d,
            )  # fmt: skip


run_lane = njit(_run_lane, cache=True, nogil=True)
