"""The engine of the CPU backend: parameters in, gradients out, lanes spread over threads."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import NetworkError
from toolchain.event_graph import EventGraph, build_event_graph, flatten
from toolchain.network import Network, NeuronConstants
from toolchain.readouts import ReadoutName, time_weights
from toolchain.spikes import SpikeTrains
from toolchain.training.backends import BatchGradient, Responses, Trace
from toolchain.training.backends.cpu.kernels import Graph, Neurons, Synapses, forward, load_inputs
from toolchain.training.backends.cpu.lanes import Lane, make_lane, run_lane

LANES = 8
"""Samples in flight; fixed, so that sums are formed in the same order whatever the machine."""


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class CpuEngine:
    """EventProp with delays on the cores of this machine; see `toolchain.training.backends.Engine`.

    Raises
    ------
    NetworkError
        If the network has not exactly one leaky_readout, or a slot exceeds `max_slot`.
    """

    def __init__(
        self,
        network: Network,
        steps: int,
        *,
        max_slot: int,
        readout: ReadoutName = "exp_weighted_average",
        min_slope: float = 0.05,
        constants: Mapping[str, NeuronConstants] | None = None,
        threads: int | None = None,
    ) -> None:
        self.network = network
        self.steps = steps
        self.max_slot = max_slot
        self.min_slope = min_slope
        self.graph: EventGraph = build_event_graph(network)
        weights = time_weights(readout, steps).astype(np.float32)
        # The drive of a step stands for the interval up to the next, so it has the weight of the interval's end.
        self._time_weight, self._drive_weight = weights[:-1], weights[1:]
        self._neurons = _neuron_arrays(network, self.graph, constants or {})
        self._indices = Graph(
            self.graph.stage_first,
            self.graph.stage_cyclic,
            self.graph.external_ptr,
            self.graph.external_pre,
            self.graph.internal_ptr,
            self.graph.internal_post,
        )
        self._external_tau, self._internal_tau = _target_time_constants(self.graph, self._neurons.tau_syn)
        self._threads = threads or available_cores()
        self._lanes: list[Lane] = []
        self.set_parameters(flatten(network, "weight"), flatten(network, "delay"))

    def set_parameters(self, weights: NDArray[np.float32], delays: NDArray[np.float32]) -> None:
        """See `Engine.set_parameters`; raises NetworkError if a slot exceeds `max_slot`."""
        slots = np.rint(delays).astype(np.int64)
        if slots.size and (slots.max() > self.max_slot or slots.min() < 0):
            worst = int(slots.max() if slots.max() > self.max_slot else slots.min())
            raise NetworkError(f"network: delay slot {worst} is outside 0..{self.max_slot}; raise max_slot or clip it")
        shift = (slots + 1).astype(np.uint32)
        external, internal = self.graph.external_param, self.graph.internal_param
        self._synapses = Synapses(
            weights[external].astype(np.float32),
            shift[external],
            weights[internal].astype(np.float32),
            shift[internal],
        )

    def gradients(self, spikes: SpikeTrains, labels: NDArray[np.int64], samples: NDArray[np.int64]) -> BatchGradient:
        """See `Engine.gradients`."""
        lanes = self._run(spikes, labels, samples, learn=True)
        sums = [np.zeros(s.size, dtype=np.float64) for s in lanes[0].sums]
        for lane in lanes:
            for total, part in zip(sums, lane.sums, strict=True):
                total += part
        external_i, external_d, internal_i, internal_d = (s / samples.size for s in sums)
        weight = np.empty(self.graph.n_synapses, dtype=np.float32)
        delay = np.empty(self.graph.n_synapses, dtype=np.float32)
        weight[self.graph.external_param] = -self._external_tau * external_i
        weight[self.graph.internal_param] = -self._internal_tau * internal_i
        delay[self.graph.external_param] = -self._synapses.external_weight * external_d
        delay[self.graph.internal_param] = -self._synapses.internal_weight * internal_d
        return BatchGradient(
            float(self._loss[samples].mean()),
            int(np.count_nonzero(self._prediction[samples] == labels[samples])),
            weight,
            delay,
            sum(lane.neuron_spikes for lane in lanes) + np.zeros(self.graph.n_neurons, dtype=np.int64),
            sum(int(lane.guarded[0]) for lane in lanes),
        )

    def respond(self, spikes: SpikeTrains, labels: NDArray[np.int64]) -> Responses:
        """See `Engine.respond`."""
        samples = np.arange(spikes.n_samples)
        lanes = self._run(spikes, labels, samples, learn=False)
        counts = sum(lane.neuron_spikes for lane in lanes) + np.zeros(self.graph.n_neurons, dtype=np.int64)
        return Responses(self._loss, self._prediction, counts)

    def trace(self, spikes: SpikeTrains, sample: int) -> Trace:
        """See `Engine.trace`."""
        lane = self._reset_lanes(1, spikes)[0]
        part = slice(int(spikes.offsets[sample]), int(spikes.offsets[sample + 1]))
        load_inputs(lane.tape, spikes.times[part], spikes.units[part], self.graph.n_sources)
        forward(
            self.steps,
            self.graph.n_sources,
            self._indices,
            self._neurons,
            self._synapses,
            lane.tape,
            lane.scratch,
            lane.readout_v,
        )
        ptr = lane.tape.ptr.astype(np.int64)
        found = {}
        for population in self.network.populations:
            first = self.graph.first_unit[population.name]
            counts = np.diff(ptr[first : first + population.size + 1])
            times = lane.tape.time[ptr[first] : ptr[first + population.size]].astype(np.int64)
            found[population.name] = (times, np.repeat(np.arange(population.size), counts))
        return Trace(found, lane.readout_v.copy())

    def _reset_lanes(self, count: int, spikes: SpikeTrains) -> list[Lane]:
        if spikes.n_units != self.graph.n_sources or spikes.n_steps != self.steps:
            raise NetworkError(
                f"spikes of {spikes.n_units} units over {spikes.n_steps} steps do not fit a network with "
                f"{self.graph.n_sources} source neurons run for {self.steps} steps"
            )
        n_readout = self.network.readout.size
        while len(self._lanes) < count:
            self._lanes.append(make_lane(self.graph, n_readout, self.steps, self.max_slot))
        for lane in self._lanes[:count]:
            for array in (*lane.sums, lane.neuron_spikes, lane.guarded):
                array[:] = 0
        return self._lanes[:count]

    def _run(
        self, spikes: SpikeTrains, labels: NDArray[np.int64], samples: NDArray[np.int64], *, learn: bool
    ) -> list[Lane]:
        """Deal the samples to the lanes and run them; results lie in the lanes and in `_loss`, `_prediction`."""
        lanes = self._reset_lanes(max(1, min(LANES, samples.size)), spikes)
        self._loss = np.zeros(spikes.n_samples, dtype=np.float64)
        self._prediction = np.zeros(spikes.n_samples, dtype=np.int64)

        def run(index: int) -> None:
            lane = lanes[index]
            run_lane(
                samples[index :: len(lanes)].astype(np.int64), spikes.times, spikes.units, spikes.offsets, labels,
                learn, self.steps, self.graph.n_sources, self._indices, self._neurons, self._synapses,
                lane.tape, lane.scratch, lane.readout_v, lane.drive, lane.value, lane.peak, lane.sums,
                lane.neuron_spikes, lane.guarded, self._time_weight, self._drive_weight, self.min_slope,
                self._loss, self._prediction,
            )  # fmt: skip

        if self._threads == 1 or len(lanes) == 1:
            for index in range(len(lanes)):
                run(index)
        else:
            with ThreadPoolExecutor(min(self._threads, len(lanes))) as pool:
                list(pool.map(run, range(len(lanes))))
        return lanes


def _neuron_arrays(network: Network, graph: EventGraph, constants: Mapping[str, NeuronConstants]) -> Neurons:
    columns = np.zeros((6, graph.n_neurons), dtype=np.float64)
    readout = np.zeros(graph.n_neurons, dtype=np.uint32)
    readout[graph.neurons(network.readout)] = np.arange(1, network.readout.size + 1)
    for population in network.populations:
        if population.kind == "spike_source":
            continue
        c = constants.get(population.name) or NeuronConstants.of(population, network.dt_ms)
        tau_syn = -1.0 / np.log(c.beta)
        values = (c.alpha, c.beta, c.gain, c.threshold, adjoint_coupling(c.alpha, c.beta), tau_syn)
        columns[:, graph.neurons(population)] = np.array(values)[:, None]
    alpha, beta, gain, threshold, chi, tau_syn = (c.astype(np.float32) for c in columns)
    return Neurons(alpha, beta, gain, threshold, chi, tau_syn, readout)


def adjoint_coupling(alpha: float, beta: float) -> float:
    """Factor chi of lambda_V in lambda_I: tau_mem / (tau_mem - tau_syn) * (alpha - beta).

    Where both time constants are equal this is 0/0; its limit is -alpha log(alpha).
    """
    log_a, log_b = np.log(alpha), np.log(beta)
    if abs(log_a - log_b) < 1e-7 * abs(log_a):
        return float(-alpha * log_a)
    # tau_mem / (tau_mem - tau_syn) with tau = -1 / log(decay).
    return float(log_b / (log_b - log_a) * (alpha - beta))


def _target_time_constants(
    graph: EventGraph, tau_syn: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Synaptic time constant of the target of each external and each internal synapse, steps."""
    counts = np.diff(graph.external_ptr.astype(np.int64))
    external = np.repeat(tau_syn, counts)
    sources = np.repeat(np.arange(graph.n_neurons), np.diff(graph.internal_ptr.astype(np.int64)))
    first = graph.stage_first.astype(np.int64)
    stage_base = np.repeat(first[:-1], np.diff(first))
    internal = tau_syn[stage_base[sources] + graph.internal_post.astype(np.int64)]
    return external, internal
