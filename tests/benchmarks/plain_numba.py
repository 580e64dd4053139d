"""A straightforward EventProp with delays in numba: what one writes first, and what the engine is timed against.

Time-stepped: a ring buffer of arrivals forward, one of adjoints backward, spikes in a list in time order. Equations
and discretisation are those of `toolchain.training.backends.cpu.kernels`, float32 throughout; the code shares nothing
with it. One hidden population, feedforward or recurrent, every pair connected: the network of the benchmark.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from toolchain.network import Network, NeuronConstants
from toolchain.readouts import time_weights
from toolchain.spikes import SpikeTrains
from toolchain.training.backends import BatchGradient

MIN_SLOPE = np.float32(0.05)


class PlainEngine:
    """The plain implementation behind the two methods that a training step calls.

    Parameters
    ----------
    network : projections in->hidden, optionally hidden->hidden, hidden->out, none of them masked
    steps : length of a sample
    max_slot : largest slot
    """

    def __init__(self, network: Network, steps: int, max_slot: int) -> None:
        hidden, readout = network.of_kind("lif")[0], network.readout
        self.shapes = [p.weight.shape for p in network.projections]
        self.recurrent = len(self.shapes) == 3
        self.rows = max_slot + 2
        self.weights_in_time = time_weights("exp_weighted_average", steps).astype(np.float32)
        self.constants = tuple(_constants(NeuronConstants.of(p, network.dt_ms)) for p in (hidden, readout))
        self.tau = [float(np.asarray(network[p.target].tau_syn_ms)) / network.dt_ms for p in network.projections]
        self.steps, self.n_hidden, self.n_readout = steps, hidden.size, readout.size

    def set_parameters(self, weights: NDArray[np.float32], delays: NDArray[np.float32]) -> None:
        """Use these parameters, flat in the order of the projections."""
        ends = np.cumsum([rows * columns for rows, columns in self.shapes])[:-1]
        self.weight = [part.reshape(s) for part, s in zip(np.split(weights, ends), self.shapes, strict=True)]
        slots = np.rint(delays).astype(np.int32)
        self.slot = [part.reshape(s) for part, s in zip(np.split(slots, ends), self.shapes, strict=True)]

    def gradients(self, spikes: SpikeTrains, labels: NDArray[np.int64], samples: NDArray[np.int64]) -> BatchGradient:
        """Gradient of the mean loss over these samples."""
        sums_i = [np.zeros(s, dtype=np.float32) for s in self.shapes]
        sums_d = [np.zeros(s, dtype=np.float32) for s in self.shapes]
        parameters = (self._all_three(self.weight, np.float32), self._all_three(self.slot, np.int32))
        targets = (self._all_three(sums_i, np.float32), self._all_three(sums_d, np.float32))
        counts = np.zeros(self.n_hidden, dtype=np.int64)
        unit, slope, first, readout_v = self._tape()
        loss, correct, guarded = 0.0, 0, 0
        for s in samples:
            part = slice(int(spikes.offsets[s]), int(spikes.offsets[s + 1]))
            times, units = spikes.times[part], spikes.units[part]
            _forward(
                times, units, *parameters, self.constants, self.rows, self.recurrent, unit, slope, first, readout_v
            )
            y = self.weights_in_time[:-1] @ readout_v
            p = np.exp(y - y.max())
            p /= p.sum()
            loss -= float(np.log(p[labels[s]]))
            correct += int(y.argmax() == labels[s])
            error = -p
            error[labels[s]] += 1
            guarded += _backward(
                times, units, *parameters, self.constants, self.rows, self.recurrent, unit, slope, first,
                error, self.weights_in_time[1:], *targets,
            )  # fmt: skip
            counts += np.bincount(unit[: first[-1]], minlength=self.n_hidden)
        n = samples.size
        weight = [-tau / n * total.ravel() for tau, total in zip(self.tau, sums_i, strict=True)]
        delay = [-w.ravel() * total.ravel() / n for w, total in zip(self.weight, sums_d, strict=True)]
        neuron_spikes = np.concatenate([counts, np.zeros(self.n_readout, dtype=np.int64)])
        return BatchGradient(
            loss / n,
            correct,
            np.concatenate(weight).astype(np.float32),
            np.concatenate(delay).astype(np.float32),
            np.zeros(neuron_spikes.size, dtype=np.float32),
            np.zeros(neuron_spikes.size, dtype=np.float32),
            neuron_spikes,
            guarded,
        )

    def trace(self, spikes: SpikeTrains, sample: int) -> NDArray[np.bool_]:
        """Spikes of the hidden neurons in a sample, (steps, n_hidden)."""
        parameters = (self._all_three(self.weight, np.float32), self._all_three(self.slot, np.int32))
        unit, slope, first, readout_v = self._tape()
        part = slice(int(spikes.offsets[sample]), int(spikes.offsets[sample + 1]))
        _forward(
            spikes.times[part], spikes.units[part], *parameters, self.constants, self.rows, self.recurrent,
            unit, slope, first, readout_v,
        )  # fmt: skip
        found = np.zeros((self.steps, self.n_hidden), dtype=np.bool_)
        found[np.repeat(np.arange(self.steps), np.diff(first)), unit[: first[-1]]] = True
        return found

    def _tape(self) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
        """Room for what `_forward` leaves: unit and slope of each spike, first spike of each step, readout voltage."""
        capacity = self.steps * self.n_hidden
        return (
            np.empty(capacity, dtype=np.int32),
            np.empty(capacity, dtype=np.float32),
            np.zeros(self.steps + 1, dtype=np.int64),
            np.empty((self.steps, self.n_readout), dtype=np.float32),
        )

    def _all_three(self, arrays: list[NDArray[Any]], dtype: type[np.generic]) -> tuple[NDArray[Any], ...]:
        """The arrays of in->hidden, hidden->hidden and hidden->out; an empty one where there is no recurrence."""
        return tuple(arrays) if self.recurrent else (arrays[0], np.empty((0, 0), dtype=dtype), arrays[1])


def _constants(c: NeuronConstants) -> tuple[np.float32, ...]:
    """Alpha, beta, gain, threshold and chi, which couples lambda_V into lambda_I; time constants differ here."""
    log_a, log_b = np.log(c.alpha), np.log(c.beta)
    chi = log_b / (log_b - log_a) * (c.alpha - c.beta)
    return tuple(np.float32(x) for x in (c.alpha, c.beta, c.gain, c.threshold, chi))


def _kernel(function: Any) -> Any:
    return njit(function, cache=True, error_model="numpy")


@_kernel
def _forward(
    times: Any, units: Any, weight: Any, slot: Any, constants: Any, rows: int, recurrent: bool,
    unit: Any, slope: Any, first: Any, readout_v: Any,
) -> None:  # fmt: skip
    """Run a sample; fill the spikes in time order, `first[t]` how many precede step t, and the readout (steps, n)."""
    alpha, beta, gain, threshold, _ = constants[0]
    alpha_o, beta_o, gain_o, _, _ = constants[1]
    w_in, w_rec, w_out = weight
    k_in, k_rec, k_out = slot
    n_hidden, n_out = w_out.shape
    ring, ring_out = np.zeros((rows, n_hidden), np.float32), np.zeros((rows, n_out), np.float32)
    current, voltage = np.zeros(n_hidden, np.float32), np.zeros(n_hidden, np.float32)
    current_o, voltage_o = np.zeros(n_out, np.float32), np.zeros(n_out, np.float32)
    event = count = 0
    for t in range(readout_v.shape[0]):
        first[t] = count
        now, then = t % rows, (t + 1) % rows
        for j in range(n_hidden):
            current[j] = beta * current[j] + ring[now, j]
            voltage[j] = alpha * voltage[j] + gain * current[j]
            ring[now, j] = 0
            if voltage[j] >= threshold:
                unit[count] = j
                slope[count] = current[j] - voltage[j]
                count += 1
                voltage[j] = 0
        for o in range(n_out):
            current_o[o] = beta_o * current_o[o] + ring_out[now, o]
            voltage_o[o] = alpha_o * voltage_o[o] + gain_o * current_o[o]
            ring_out[now, o] = 0
            readout_v[t, o] = voltage_o[o]
        while event < times.size and times[event] == t:
            i = units[event]
            for j in range(n_hidden):
                row = then + k_in[i, j]
                ring[row - rows if row >= rows else row, j] += w_in[i, j]
            event += 1
        for s in range(first[t], count):
            i = unit[s]
            if recurrent:
                for j in range(n_hidden):
                    row = then + k_rec[i, j]
                    ring[row - rows if row >= rows else row, j] += w_rec[i, j]
            for o in range(n_out):
                row = then + k_out[i, o]
                ring_out[row - rows if row >= rows else row, o] += w_out[i, o]
    first[readout_v.shape[0]] = count


@_kernel
def _backward(
    times: Any, units: Any, weight: Any, slot: Any, constants: Any, rows: int, recurrent: bool,
    unit: Any, slope: Any, first: Any, error: Any, drive_weight: Any, sum_i: Any, sum_d: Any,
) -> int:  # fmt: skip
    """Run the adjoints back in time and add lambda_I and lambda_I - lambda_V at arrivals; return uses of the floor.

    Rows of the rings that no step has written yet lie after the end of the sample, where the adjoints are zero.
    """
    alpha, beta, _, threshold, chi = constants[0]
    alpha_o, beta_o, _, _, chi_o = constants[1]
    _, w_rec, w_out = weight
    k_in, k_rec, k_out = slot
    n_hidden, n_out = w_out.shape
    ring_i, ring_d = np.zeros((rows, n_hidden), np.float32), np.zeros((rows, n_hidden), np.float32)
    out_i, out_d = np.zeros((rows, n_out), np.float32), np.zeros((rows, n_out), np.float32)
    li, lv = np.zeros(n_hidden, np.float32), np.zeros(n_hidden, np.float32)
    li_o, lv_o = np.zeros(n_out, np.float32), np.zeros(n_out, np.float32)
    event, guarded = times.size - 1, 0
    for t in range(drive_weight.size - 1, -1, -1):
        now, then = t % rows, (t + 1) % rows
        for o in range(n_out):
            drive = error[o] * drive_weight[t]
            li_o[o] = drive + (li_o[o] - drive) * beta_o + chi_o * (lv_o[o] - drive)
            lv_o[o] = drive + (lv_o[o] - drive) * alpha_o
            out_i[now, o] = li_o[o]
            out_d[now, o] = li_o[o] - lv_o[o]
        for j in range(n_hidden):
            li[j] = li[j] * beta + chi * lv[j]
            lv[j] = lv[j] * alpha
            ring_i[now, j] = li[j]
            ring_d[now, j] = li[j] - lv[j]
        for s in range(first[t], first[t + 1]):
            i = unit[s]
            jump = np.float32(0)
            if recurrent:
                for j in range(n_hidden):
                    row = then + k_rec[i, j]
                    row = row - rows if row >= rows else row
                    sum_i[1][i, j] += ring_i[row, j]
                    sum_d[1][i, j] += ring_d[row, j]
                    jump -= w_rec[i, j] * ring_d[row, j]
            for o in range(n_out):
                row = then + k_out[i, o]
                row = row - rows if row >= rows else row
                sum_i[2][i, o] += out_i[row, o]
                sum_d[2][i, o] += out_d[row, o]
                jump -= w_out[i, o] * out_d[row, o]
            if slope[s] < MIN_SLOPE:
                guarded += 1
            lv[i] += (threshold * lv[i] + jump) / max(slope[s], MIN_SLOPE)
            ring_d[now, i] = li[i] - lv[i]
        while event >= 0 and times[event] == t:
            i = units[event]
            for j in range(n_hidden):
                row = then + k_in[i, j]
                row = row - rows if row >= rows else row
                sum_i[0][i, j] += ring_i[row, j]
                sum_d[0][i, j] += ring_d[row, j]
            event -= 1
    return guarded
