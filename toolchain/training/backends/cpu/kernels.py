"""Event-driven EventProp kernels: one sample forward, and backward from its spike tape.

Forward is the step of `toolchain.network`. Backward is EventProp with delays (Meszaros, Knight, Nowotny
2025, equations 35-38, 67, 70; facts/training.md section 1) in mlGeNN's discretisation, time in steps:

    lambda_V[n] = drive + (lambda_V[n+1] - drive) alpha
    lambda_I[n] = drive + (lambda_I[n+1] - drive) beta + chi (lambda_V[n+1] - drive)
    at a spike of neuron i in step n:  lambda_V,i[n] += (threshold lambda_V,i[n] + R) / slope
        R = sum over targets j of w_ij (lambda_V,j - lambda_I,j)[n + 1 + k_ij]
    dL/dw_ij = -tau_syn sum over spikes of i of  lambda_I,j[n + 1 + k_ij]
    dL/dk_ij = -w_ij    sum over spikes of i of (lambda_I,j - lambda_V,j)[n + 1 + k_ij]

with slope = I - V at the spike (tau_mem dV/dt), drive = -dL/dV per step at a readout and 0 elsewhere.
Unlike mlGeNN's, these are the true gradients: no 1/tau_mem of the readout remains in them.

All index arrays are unsigned: a signed index costs a wrap-around check at every access and keeps the
loops from being vectorised (2-3 times slower). Buffers in time are longer than a sample by the largest
delay, so that a spike that would arrive after the end needs no test; what lies there is never read
forward and is zero backward.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

F32 = NDArray[np.float32]
U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]


class Graph(NamedTuple):
    """Index arrays of `toolchain.event_graph.EventGraph` that the kernels read."""

    stage_first: U64
    stage_cyclic: NDArray[np.uint8]
    external_ptr: U64
    external_pre: U32
    internal_ptr: U64
    internal_post: U32


class Neurons(NamedTuple):
    """Constants of each neuron, (n_neurons,); `chi` couples lambda_V into lambda_I, `tau_syn` in steps.

    `readout` is the row of a leaky_readout neuron in the readout trace plus one, 0 for a spiking neuron.
    """

    alpha: F32
    beta: F32
    gain: F32
    threshold: F32
    chi: F32
    tau_syn: F32
    readout: U32


class Synapses(NamedTuple):
    """Parameters in kernel order; `shift` is 1 + slot."""

    external_weight: F32
    external_shift: U32
    internal_weight: F32
    internal_shift: U32


class Tape(NamedTuple):
    """Spikes of all units of one sample, by unit, then time; capacity is one spike per unit and step.

    `ptr` (n_units + 1,), `time` and `slope` and `jump` (capacity,); `jump` collects R on the way back.
    For a cyclic stage, counted from its first tape position: `order` and `order_unit` (capacity,) hold the
    tape position and the neuron of its spikes in time order, `step_ptr[stage, t]` how many precede step t.
    """

    ptr: U64
    time: U32
    slope: F32
    jump: F32
    order: U64
    order_unit: U32
    step_ptr: U64


class Scratch(NamedTuple):
    """Work space of one sample in flight; `span` = steps + 1 + max slot.

    `line_a`, `line_b` : (span,) one neuron's time course
    `rows_a`, `rows_b` : (span * widest cyclic stage,) time-major courses of a cyclic stage
    `current`, `voltage` : (widest cyclic stage,) state
    `event_unit`, `event_time`, `event_slope`, `fill` : spikes of a cyclic stage in time order
    """

    line_a: F32
    line_b: F32
    rows_a: F32
    rows_b: F32
    current: F32
    voltage: F32
    event_unit: U32
    event_time: U32
    event_slope: F32
    fill: U64


def _kernel(function: Any) -> Any:
    return njit(function, cache=True, nogil=True, error_model="numpy", boundscheck=False)


@_kernel
def load_inputs(tape: Tape, times: NDArray[np.int32], units: NDArray[np.int32], n_sources: int) -> None:
    """Put the input spikes of a sample, sorted by time, at the head of the tape, sorted by unit."""
    ptr = tape.ptr
    for u in range(np.uint64(n_sources + 1)):
        ptr[u] = np.uint64(0)
    for e in range(times.size):
        ptr[np.uint64(units[e]) + np.uint64(1)] += np.uint64(1)
    for u in range(np.uint64(n_sources)):
        ptr[u + np.uint64(1)] += ptr[u]
    for e in range(times.size):
        unit = np.uint64(units[e])
        tape.time[ptr[unit]] = np.uint32(times[e])
        ptr[unit] += np.uint64(1)
    for back in range(np.uint64(n_sources)):
        unit = np.uint64(n_sources) - back
        ptr[unit] = ptr[unit - np.uint64(1)]
    ptr[0] = np.uint64(0)


@_kernel
def _gather(line: F32, j: np.uint64, graph: Graph, synapses: Synapses, tape: Tape) -> None:
    """Add everything that arrives at neuron j from earlier stages to its time course."""
    line[:] = np.float32(0)
    for e in range(graph.external_ptr[j], graph.external_ptr[j + np.uint64(1)]):
        pre = np.uint64(graph.external_pre[e])
        weight = synapses.external_weight[e]
        shift = np.uint64(synapses.external_shift[e])
        for s in range(tape.ptr[pre], tape.ptr[pre + np.uint64(1)]):
            line[np.uint64(tape.time[s]) + shift] += weight


@_kernel
def _forward_feedforward(
    first: np.uint64, last: np.uint64, n_sources: np.uint64, steps: np.uint64, graph: Graph, neurons: Neurons,
    synapses: Synapses, tape: Tape, scratch: Scratch, readout_v: F32,
) -> None:  # fmt: skip
    """Simulate the neurons of a stage without a cycle one after the other."""
    line = scratch.line_a
    end = tape.ptr[n_sources + first]
    for j in range(first, last):
        _gather(line, j, graph, synapses, tape)
        current = voltage = np.float32(0)
        alpha, beta, gain = neurons.alpha[j], neurons.beta[j], neurons.gain[j]
        if neurons.readout[j] > np.uint32(0):
            row = np.uint64(neurons.readout[j]) - np.uint64(1)
            for t in range(steps):
                current = beta * current + line[t]
                voltage = alpha * voltage + gain * current
                readout_v[row, t] = voltage
        else:
            threshold = neurons.threshold[j]
            for t in range(steps):
                current = beta * current + line[t]
                voltage = alpha * voltage + gain * current
                if voltage >= threshold:
                    tape.time[end] = np.uint32(t)
                    tape.slope[end] = current - voltage
                    end += np.uint64(1)
                    voltage = np.float32(0)
        tape.ptr[n_sources + j + np.uint64(1)] = end


@_kernel
def _forward_cyclic(
    stage: np.uint64, first: np.uint64, last: np.uint64, n_sources: np.uint64, steps: np.uint64, graph: Graph,
    neurons: Neurons, synapses: Synapses, tape: Tape, scratch: Scratch,
) -> None:  # fmt: skip
    """Advance a stage with a cycle step by step; external input is gathered beforehand.

    A readout sends nothing, so it is never part of a cycle.
    """
    width = last - first
    one = np.uint64(1)
    line, arrivals = scratch.line_a, scratch.rows_a
    for j in range(first, last):
        _gather(line, j, graph, synapses, tape)
        column = j - first
        for t in range(np.uint64(line.size)):
            arrivals[t * width + column] = line[t]
    current, voltage = scratch.current, scratch.voltage
    for i in range(width):
        current[i] = np.float32(0)
        voltage[i] = np.float32(0)
        scratch.fill[i] = np.uint64(0)
    n_events = np.uint64(0)
    for t in range(steps):
        tape.step_ptr[stage, t] = n_events
        base = t * width
        for i in range(width):
            j = first + i
            current[i] = neurons.beta[j] * current[i] + arrivals[base + i]
            voltage[i] = neurons.alpha[j] * voltage[i] + neurons.gain[j] * current[i]
        for i in range(width):
            j = first + i
            if voltage[i] >= neurons.threshold[j]:
                scratch.event_unit[n_events] = np.uint32(i)
                scratch.event_time[n_events] = np.uint32(t)
                scratch.event_slope[n_events] = current[i] - voltage[i]
                scratch.fill[i] += one
                n_events += one
                voltage[i] = np.float32(0)
                for e in range(graph.internal_ptr[j], graph.internal_ptr[j + one]):
                    row = t + np.uint64(synapses.internal_shift[e])
                    arrivals[row * width + np.uint64(graph.internal_post[e])] += synapses.internal_weight[e]
    tape.step_ptr[stage, steps] = n_events
    start = tape.ptr[n_sources + first]
    end = start
    for i in range(width):
        count = scratch.fill[i]
        scratch.fill[i] = end
        end += count
        tape.ptr[n_sources + first + i + one] = end
    for e in range(n_events):
        unit = np.uint64(scratch.event_unit[e])
        at = scratch.fill[unit]
        tape.time[at] = scratch.event_time[e]
        tape.slope[at] = scratch.event_slope[e]
        tape.order[start + e] = at
        tape.order_unit[start + e] = np.uint32(unit)
        scratch.fill[unit] = at + one


@_kernel
def forward(
    steps: int, n_sources: int, graph: Graph, neurons: Neurons, synapses: Synapses, tape: Tape, scratch: Scratch,
    readout_v: F32,
) -> None:  # fmt: skip
    """Simulate one sample whose inputs are on the tape; fill the tape and the readout trace (n_readout, steps)."""
    for stage in range(np.uint64(graph.stage_cyclic.size)):
        first, last = graph.stage_first[stage], graph.stage_first[stage + np.uint64(1)]
        if graph.stage_cyclic[stage]:
            _forward_cyclic(
                stage, first, last, np.uint64(n_sources), np.uint64(steps), graph, neurons, synapses, tape, scratch
            )
        else:
            _forward_feedforward(
                first, last, np.uint64(n_sources), np.uint64(steps), graph, neurons, synapses, tape, scratch, readout_v
            )


@_kernel
def _scatter_back(
    lambda_i: F32, lambda_d: F32, j: np.uint64, n_sources: np.uint64, graph: Graph, synapses: Synapses, tape: Tape,
    sum_i: F32, sum_d: F32,
) -> None:  # fmt: skip
    """Read the adjoints of neuron j where the spikes of each source arrived.

    `lambda_d` is lambda_I - lambda_V. Adds to the sums of each external synapse and to R of each source
    spike; spike sources have no membrane, so their R is not needed.
    """
    for e in range(graph.external_ptr[j], graph.external_ptr[j + np.uint64(1)]):
        pre = np.uint64(graph.external_pre[e])
        shift = np.uint64(synapses.external_shift[e])
        total_i = total_d = np.float32(0)
        if pre < n_sources:
            for s in range(tape.ptr[pre], tape.ptr[pre + np.uint64(1)]):
                arrival = np.uint64(tape.time[s]) + shift
                total_i += lambda_i[arrival]
                total_d += lambda_d[arrival]
        else:
            weight = synapses.external_weight[e]
            for s in range(tape.ptr[pre], tape.ptr[pre + np.uint64(1)]):
                arrival = np.uint64(tape.time[s]) + shift
                total_i += lambda_i[arrival]
                total_d += lambda_d[arrival]
                tape.jump[s] -= weight * lambda_d[arrival]
        sum_i[e] += total_i
        sum_d[e] += total_d


@_kernel
def _guarded(slope: np.float32, floor: np.float32, counter: NDArray[np.int64]) -> np.float32:
    """Slope of the membrane at a spike, held above `floor`; every use of the floor is counted."""
    if slope < floor:
        counter[0] += 1
        return floor
    return slope


@_kernel
def _backward_feedforward(
    first: np.uint64, last: np.uint64, n_sources: np.uint64, steps: np.uint64, graph: Graph, neurons: Neurons,
    synapses: Synapses, tape: Tape, scratch: Scratch, drive: F32, floor: np.float32, counter: NDArray[np.int64],
    sum_i: F32, sum_d: F32,
) -> None:  # fmt: skip
    """Adjoints of a stage without a cycle, neuron by neuron."""
    lambda_i, lambda_d = scratch.line_a, scratch.line_b
    one = np.uint64(1)
    for t in range(steps, np.uint64(lambda_i.size)):
        lambda_i[t] = np.float32(0)
        lambda_d[t] = np.float32(0)
    for j in range(first, last):
        alpha, beta, chi = neurons.alpha[j], neurons.beta[j], neurons.chi[j]
        li = lv = np.float32(0)
        if neurons.readout[j] > np.uint32(0):
            row = np.uint64(neurons.readout[j]) - one
            for back in range(steps):
                t = steps - one - back
                d = drive[row, t]
                li = d + (li - d) * beta + chi * (lv - d)
                lv = d + (lv - d) * alpha
                lambda_i[t] = li
                lambda_d[t] = li - lv
        else:
            spike = tape.ptr[n_sources + j + one]
            start = tape.ptr[n_sources + j]
            next_time = np.uint64(tape.time[spike - one]) if spike > start else steps
            for back in range(steps):
                t = steps - one - back
                li = li * beta + chi * lv
                lv = lv * alpha
                if t == next_time:
                    spike -= one
                    lv += (neurons.threshold[j] * lv + tape.jump[spike]) / _guarded(tape.slope[spike], floor, counter)
                    next_time = np.uint64(tape.time[spike - one]) if spike > start else steps
                lambda_i[t] = li
                lambda_d[t] = li - lv
        _scatter_back(lambda_i, lambda_d, j, n_sources, graph, synapses, tape, sum_i, sum_d)


@_kernel
def _backward_cyclic(
    stage: np.uint64, first: np.uint64, last: np.uint64, n_sources: np.uint64, steps: np.uint64, graph: Graph,
    neurons: Neurons, synapses: Synapses, tape: Tape, scratch: Scratch, floor: np.float32, counter: NDArray[np.int64],
    external_i: F32, external_d: F32, internal_i: F32, internal_d: F32,
) -> None:  # fmt: skip
    """Adjoints of a stage with a cycle, step by step; then its external synapses neuron by neuron."""
    width = last - first
    one = np.uint64(1)
    rows_i, rows_d = scratch.rows_a, scratch.rows_b
    li, lv = scratch.current, scratch.voltage
    span = np.uint64(scratch.line_a.size)
    for at in range(steps * width, span * width):
        rows_i[at] = np.float32(0)
        rows_d[at] = np.float32(0)
    for i in range(width):
        li[i] = np.float32(0)
        lv[i] = np.float32(0)
    start = tape.ptr[n_sources + first]
    for back in range(steps):
        t = steps - one - back
        base = t * width
        for i in range(width):
            j = first + i
            li[i] = li[i] * neurons.beta[j] + neurons.chi[j] * lv[i]
            lv[i] = lv[i] * neurons.alpha[j]
            rows_i[base + i] = li[i]
            rows_d[base + i] = li[i] - lv[i]
        for event in range(tape.step_ptr[stage, t], tape.step_ptr[stage, t + one]):
            spike = tape.order[start + event]
            unit = np.uint64(tape.order_unit[start + event])
            j = first + unit
            total = tape.jump[spike]
            for e in range(graph.internal_ptr[j], graph.internal_ptr[j + one]):
                row = t + np.uint64(synapses.internal_shift[e])
                at = row * width + np.uint64(graph.internal_post[e])
                difference = rows_d[at]
                internal_i[e] += rows_i[at]
                internal_d[e] += difference
                total -= synapses.internal_weight[e] * difference
            lv[unit] += (neurons.threshold[j] * lv[unit] + total) / _guarded(tape.slope[spike], floor, counter)
            rows_d[base + unit] = li[unit] - lv[unit]
    for j in range(first, last):
        column = j - first
        for t in range(span):
            scratch.line_a[t] = rows_i[t * width + column]
            scratch.line_b[t] = rows_d[t * width + column]
        _scatter_back(
            scratch.line_a, scratch.line_b, j, n_sources, graph, synapses, tape, external_i, external_d
        )  # fmt: skip


@_kernel
def backward(
    steps: int, n_sources: int, graph: Graph, neurons: Neurons, synapses: Synapses, tape: Tape, scratch: Scratch,
    drive: F32, floor: float, counter: NDArray[np.int64], external_i: F32, external_d: F32, internal_i: F32,
    internal_d: F32,
) -> None:  # fmt: skip
    """Run the adjoint system of the sample on the tape and add the sums of its adjoints to each synapse.

    `external_i[e]` receives the sum of lambda_I over arrivals, `external_d[e]` that of lambda_I - lambda_V;
    `counter[0]` the spikes whose slope was below `floor`.
    """
    n_units = np.uint64(tape.ptr.size) - np.uint64(1)
    for s in range(tape.ptr[np.uint64(n_sources)], tape.ptr[n_units]):
        tape.jump[s] = np.float32(0)
    n_stages = np.uint64(graph.stage_cyclic.size)
    for back in range(n_stages):
        stage = n_stages - np.uint64(1) - back
        first, last = graph.stage_first[stage], graph.stage_first[stage + np.uint64(1)]
        if graph.stage_cyclic[stage]:
            _backward_cyclic(
                stage, first, last, np.uint64(n_sources), np.uint64(steps), graph, neurons, synapses, tape, scratch,
                np.float32(floor), counter, external_i, external_d, internal_i, internal_d,
            )  # fmt: skip
        else:
            _backward_feedforward(
                first, last, np.uint64(n_sources), np.uint64(steps), graph, neurons, synapses, tape, scratch, drive,
                np.float32(floor), counter, external_i, external_d,
            )  # fmt: skip
