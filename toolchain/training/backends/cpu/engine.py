"""The engine of the CPU backend: parameters in, gradients out, lanes spread over threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import InputError, NetworkError
from toolchain.event_graph import EventGraph, build_event_graph, flatten
from toolchain.network import Network, NeuronConstants
from toolchain.objective import Objective
from toolchain.observed import Observed
from toolchain.spikes import SpikeTrains
from toolchain.training.backends import BatchGradient, RateTarget, Responses, Trace
from toolchain.training.backends.cpu.dealing import Dealer, Pace, Share
from toolchain.training.backends.cpu.lanes import BACK, OUT, REPLAY, THROUGH, place_parameters, run_lane, take_sums
from toolchain.training.backends.cpu.layout import DENSE_ENOUGH, F32, I64, Layout, Synapses, build_layout
from toolchain.training.backends.cpu.losses import make_loss
from toolchain.training.backends.cpu.observation import spike_counts, with_observed
from toolchain.training.backends.cpu.simd import BLOCK
from toolchain.training.backends.cpu.state import Lane, Neurons, Scratch, make_lane, make_scratch

LANES = 8
"""Streams of samples; fixed, so that sums are formed in the same order whatever the machine."""


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
        If the network has not exactly one output population, or a slot exceeds `max_slot`.
    InputError
        If the objective does not fit the output population, or target traces are missing or of a wrong shape.
    """

    def __init__(
        self,
        network: Network,
        steps: int,
        *,
        max_slot: int,
        objective: Objective,
        targets: F32 | None = None,
        min_slope: float = 0.05,
        constants: Mapping[str, NeuronConstants] | None = None,
        threads: int | None = None,
        rates: Mapping[str, RateTarget] | None = None,
        learn_tau: Collection[str] | None = None,
    ) -> None:
        output = network.readout
        check_objective(network, objective, targets, steps)
        self.network, self.steps, self.max_slot, self.min_slope = network, steps, max_slot, min_slope
        self.graph: EventGraph = build_event_graph(network)
        self._learns_tau = learning_neurons(network, self.graph, learn_tau or ())
        self._layout: Layout = build_layout(
            self.graph, self.graph.neurons(output), output.kind == "leaky_readout", _sparse(network), self._learns_tau
        )
        self._span = self._layout.span(steps, max_slot)
        groups = self._layout.groups
        self._single_row = np.repeat(np.arange(self._layout.n_rows), np.diff(groups.single_ptr.astype(np.int64)))
        self._entry_block = np.repeat(np.arange(groups.learns_tau.size), np.diff(groups.entry_ptr.astype(np.int64)))
        self.set_constants(constants or {})
        self._loss = make_loss(objective, steps, network.dt_ms, targets)
        self._rates = dict(rates or {})
        self._threads = threads or available_cores()
        self._pool = ThreadPoolExecutor(self._threads) if self._threads > 1 else None
        layout = self._layout
        self._entry_sums = np.zeros((LANES, 2 * layout.entry_param.size), dtype=np.float32)
        self._single_sums = np.zeros((LANES, 2 * layout.single_param.size), dtype=np.float32)
        self._lanes: list[Lane] = []
        # Nothing in a scratch outlives a sample: a thread takes its own from lane to lane, and it stays in the cache.
        self._scratch = [make_scratch(layout, steps, self._span) for _ in range(self._threads)]
        self._pace = [Pace() for _ in (THROUGH, OUT, BACK, REPLAY)]
        self._never = np.full(layout.n_rows, np.inf, dtype=np.float32)
        sizes = (layout.entry_param.size, layout.single_param.size, layout.inner_param.size)
        floats = [np.zeros(n, dtype=np.float32) for n in sizes]
        offsets = [np.zeros(n, dtype=np.uint32) for n in sizes]
        self._synapses = Synapses(floats[0], offsets[0], floats[1], offsets[1], floats[2], offsets[2])
        self.set_parameters(flatten(network, "weight"), flatten(network, "delay"))

    def set_constants(self, constants: Mapping[str, NeuronConstants]) -> None:
        """See `Engine.set_constants`."""
        self._neurons, tau_syn = _neuron_arrays(self.network, self.graph, self._layout, constants)
        # A closed form keeps no adjoints between events to integrate.
        self._neurons.alpha64[self._layout.row[self._learns_tau]] = 0.0
        self._entry_tau = tau_syn.reshape(-1, BLOCK)[self._entry_block].reshape(-1)
        self._single_tau = tau_syn[self._single_row]

    def set_parameters(self, weights: NDArray[np.float32], delays: NDArray[np.float32]) -> None:
        """See `Engine.set_parameters`; raises NetworkError if a slot exceeds `max_slot`."""
        layout = self._layout
        wrong = place_parameters(
            weights, delays, self.max_slot, self.steps, self._span, layout.entry_param, layout.single_param,
            layout.single_lane, layout.inner_param, *layout.inner_target, self._synapses,
        )  # fmt: skip
        if wrong >= 0:
            slot = f"{np.rint(delays[wrong]):g}"
            raise NetworkError(f"network: delay slot {slot} is outside 0..{self.max_slot}; raise max_slot or clip it")

    def gradients(
        self,
        spikes: SpikeTrains,
        labels: NDArray[np.int64],
        samples: NDArray[np.int64],
        observed: Observed | None = None,
    ) -> BatchGradient:
        """See `Engine.gradients`; raises InputError if `observed` is of other samples or populations."""
        if observed is not None:
            spikes, labels, samples = spikes.select(samples), labels[samples], np.arange(samples.size)
            if self._rates:
                self._set_push(spike_counts(self.graph, self.network, observed) / samples.size)
            counts, guarded = self._run(spikes, labels, samples, REPLAY, learn=True, observed=observed)
        elif self._rates:
            counts, _ = self._run(spikes, labels, samples, OUT, learn=False)
            self._set_push(counts / samples.size)
            _, guarded = self._run(spikes, labels, samples, BACK, learn=True)
        else:
            counts, guarded = self._run(spikes, labels, samples, THROUGH, learn=True)
        weight = np.zeros(self.graph.n_synapses, dtype=np.float32)
        delay = np.zeros(self.graph.n_synapses, dtype=np.float32)
        layout, synapses = self._layout, self._synapses
        used = min(LANES, samples.size)
        parts = (
            (self._entry_sums[:used], layout.entry_param, self._entry_tau, synapses.entry_weight),
            (self._single_sums[:used], layout.single_param, self._single_tau, synapses.single_weight),
        )

        def take(index: int) -> None:
            for sums, param, tau, weights in parts:
                begin, end = (param.size * i // self._threads for i in (index, index + 1))
                take_sums(sums, param, tau, weights, layout.n_synapses, samples.size, weight, delay, begin, end)

        self._each(take, self._threads)
        return BatchGradient(
            float(self._losses[samples].mean()),
            int(np.count_nonzero(self._predictions[samples] == labels[samples])),
            weight,
            delay,
            self._take_tau("tau_mem", used, samples.size),
            self._take_tau("tau_syn", used, samples.size),
            counts,
            guarded,
        )

    def respond(self, spikes: SpikeTrains, labels: NDArray[np.int64], observed: Observed | None = None) -> Responses:
        """See `Engine.respond`; raises InputError if `observed` is of other samples or populations."""
        mode = THROUGH if observed is None else REPLAY
        counts, _ = self._run(spikes, labels, np.arange(spikes.n_samples), mode, learn=False, observed=observed)
        return Responses(self._losses, self._predictions, counts)

    def trace(self, spikes: SpikeTrains, sample: int) -> Trace:
        """See `Engine.trace`."""
        self._run(spikes, np.zeros(spikes.n_samples, dtype=np.int64), np.array([sample]), THROUGH, learn=False)
        reel = self._lanes[0].reel
        ptr = reel.ptr[0].astype(np.int64)
        found = {}
        for population in self.network.populations:
            first = self.graph.first_unit[population.name]
            counts = np.diff(ptr[first : first + population.size + 1])
            times = reel.time[ptr[first] : ptr[first + population.size]].astype(np.int64)
            found[population.name] = (times, np.repeat(np.arange(population.size), counts))
        voltage = reel.voltage[0].reshape(-1, self.steps, BLOCK).transpose(0, 2, 1).reshape(-1, self.steps)
        n_traces = self.network.readout.size if self.network.readout.kind == "leaky_readout" else 0
        return Trace(found, voltage[:n_traces].copy())

    def _take_tau(self, name: str, lanes: int, batch: int) -> NDArray[np.float32]:
        """Gradient by the logarithm of a time constant (n_neurons,): the lanes added in order, and cleared."""
        total = np.zeros(self._layout.n_rows, dtype=np.float64)
        for lane in self._lanes[:lanes]:
            sums = getattr(lane.sums, name)
            total += sums
            sums[:] = 0
        gradient = np.where(self._learns_tau, total[self._layout.row] / (2 * batch), 0.0)
        return gradient.astype(np.float32)

    def _set_push(self, mean_spikes: NDArray[np.float64]) -> None:
        """What the rate regulariser adds to lambda_V at each spike, from the mean counts of this forward pass."""
        for name, rate in self._rates.items():
            neurons = self.graph.neurons(self.network[name])
            excess = mean_spikes[neurons] - rate.spikes
            self._neurons.push[self._layout.row[neurons]] = rate.strength * self.network.dt_ms * excess

    def _make_lanes(self, count: int, kept: int) -> list[Lane]:
        layout, outputs = self._layout, self.network.readout.size
        n_units = self.graph.n_sources + self.graph.n_neurons
        while len(self._lanes) < count:
            index = len(self._lanes)
            lane = make_lane(layout, n_units, -(-outputs // BLOCK), self.steps, self._span, capacity=1024)
            lane.sums = lane.sums._replace(entry=self._entry_sums[index], single=self._single_sums[index])
            self._lanes.append(lane)
        for lane in self._lanes[:count]:
            lane.hold(kept)
            lane.neuron_spikes[:] = 0
            lane.guarded[:] = 0
        return self._lanes[:count]

    def _run(
        self,
        spikes: SpikeTrains,
        labels: NDArray[np.int64],
        samples: I64,
        mode: int,
        *,
        learn: bool,
        observed: Observed | None = None,
    ) -> tuple[I64, int]:
        """Deal the samples to the lanes and run them; returns spikes of each neuron and guarded slopes.

        Losses and predictions lie in `_losses` and `_predictions`.
        """
        check_spikes(spikes, self.graph, self.steps)
        seen = np.zeros((0, 0, 0), dtype=np.float32)
        if observed is not None:
            spikes, seen = with_observed(spikes, observed, self.network, self.graph)
        count = max(1, min(LANES, samples.size))
        lanes = self._make_lanes(count, 1 if mode in (THROUGH, REPLAY) else -(-samples.size // count))
        if mode != BACK:
            self._losses = np.zeros(spikes.n_samples, dtype=np.float64)
            self._predictions = np.zeros(spikes.n_samples, dtype=np.int64)
        output = self.network.readout
        first_output = self.graph.first_unit[output.name]

        chosen = [samples[index::count].astype(np.int64) for index in range(count)]
        # One thread waits for nobody: it takes whole lanes.
        at_once = self._pace[mode].samples() if self._threads > 1 else samples.size
        dealer = Dealer([mine.size for mine in chosen], at_once)

        def run(share: Share, scratch: Scratch) -> None:
            lane, done = lanes[share.lane], share.begin
            mine = chosen[share.lane][: share.end]
            while done < share.end:
                done = run_lane(
                    done, mode, learn, mine, spikes.times, spikes.units, spikes.offsets, labels, self.steps, self._span,
                    self.graph.n_sources, first_output, output.size, self._layout.groups, self._neurons, self._synapses,
                    self._loss, scratch, lane.reel, lane.sums, lane.drive, lane.kick, lane.neuron_spikes,
                    lane.guarded, self.min_slope, self._losses, self._predictions, self._never, seen,
                )  # fmt: skip
                if done < share.end:
                    lane.grow()  # the reel was full: the sample it was full for is run again, none is cut

        def work(thread: int) -> None:
            while (share := dealer.take()) is not None:
                run(share, self._scratch[thread])
                dealer.give_back(share)
                self._pace[mode].timed(share)

        self._each(work, min(count, self._threads))
        counts = sum(lane.neuron_spikes for lane in lanes) + np.zeros(self.graph.n_neurons, dtype=np.int64)
        return counts, sum(int(lane.guarded[0]) for lane in lanes)

    def _each(self, function: Callable[[int], None], count: int) -> None:
        if self._pool is None or count == 1:
            for index in range(count):
                function(index)
        else:
            list(self._pool.map(function, range(count)))


def check_spikes(spikes: SpikeTrains, graph: EventGraph, steps: int) -> None:
    """Raise NetworkError if spikes are of another number of sources or steps than the network is run with."""
    if spikes.n_units != graph.n_sources or spikes.n_steps != steps:
        raise NetworkError(
            f"spikes of {spikes.n_units} units over {spikes.n_steps} steps do not fit a network with "
            f"{graph.n_sources} source neurons run for {steps} steps"
        )


def check_objective(network: Network, objective: Objective, targets: F32 | None, steps: int) -> None:
    """Raise InputError if an objective does not fit the output population, or targets are missing or misshapen."""
    output = network.readout
    if objective.spiking != (output.kind == "lif"):
        wanted = "lif" if objective.spiking else "leaky_readout"
        raise InputError(
            f"population {output.name}: is a {output.kind}, but readout {objective.reading} is of a {wanted}; "
            "change one of the two"
        )
    if objective.loss == "mse":
        if targets is None:
            raise InputError("loss mse: needs the target trace of each class, and there are none; use another loss")
        if targets.ndim != 3 or targets.shape[1:] != (output.size, steps):
            raise InputError(
                f"loss mse: targets have shape {targets.shape}, must be (classes, outputs, steps) = (n, {output.size}, "
                f"{steps})"
            )


def _sparse(network: Network) -> NDArray[np.bool_]:
    """Which synapses, in canonical order, belong to projections with few of their pairs connected."""
    parts = [np.full(p.n_synapses, p.n_synapses < DENSE_ENOUGH * p.weight.size) for p in network.projections]
    return np.concatenate([np.zeros(0, dtype=np.bool_), *parts])


def _neuron_arrays(
    network: Network, graph: EventGraph, layout: Layout, constants: Mapping[str, NeuronConstants]
) -> tuple[Neurons, F32]:
    """Constants of each row, and the synaptic time constant of each row in steps."""
    columns = np.zeros((6, layout.n_rows), dtype=np.float64)
    columns[3] = np.inf  # a row without a neuron never spikes
    reset = np.zeros(layout.n_rows, dtype=np.float32)
    for population in network.populations:
        if population.kind == "spike_source":
            continue
        reset[layout.row[graph.neurons(population)]] = -np.inf if population.single_spike else 0.0
        c = constants.get(population.name) or NeuronConstants.of(population, network.dt_ms)
        rows = layout.row[graph.neurons(population)]
        columns[0, rows], columns[1, rows], columns[2, rows], columns[3, rows] = c.alpha, c.beta, c.gain, c.threshold
        columns[4, rows] = adjoint_coupling(columns[0, rows], columns[1, rows])
        with np.errstate(divide="ignore"):  # a decay of 0, which a chip's integers may have, is a tau of 0
            columns[5, rows] = -1.0 / np.log(columns[1, rows])
    alpha, beta = columns[0], columns[1]
    closed = np.abs(alpha - beta) > 1e-4 * (1 - alpha) + np.where(alpha > 0, 0.0, np.inf)
    alpha32, beta32, gain, threshold, chi, tau_syn = (c.astype(np.float32) for c in columns)
    neurons = Neurons(
        alpha32, beta32, gain, threshold, reset, chi, np.zeros(layout.n_rows, dtype=np.float32),
        np.where(closed, alpha, 0.0), np.where(closed, beta, 0.0),
    )  # fmt: skip
    return neurons, tau_syn


def learning_neurons(network: Network, graph: EventGraph, names: Collection[str]) -> NDArray[np.bool_]:
    """Which neurons belong to the populations with these names; raises InputError if one has no time constants."""
    found = np.zeros(graph.n_neurons, dtype=np.bool_)
    simulated = [p for p in network.populations if p.kind != "spike_source"]
    for name in names:
        if name not in (p.name for p in simulated):
            known = ", ".join(p.name for p in simulated)
            raise InputError(f"population {name}: has no time constants to learn; those that do: {known}")
        found[graph.neurons(network[name])] = True
    return found


def adjoint_coupling(alpha: NDArray[np.float64], beta: NDArray[np.float64]) -> NDArray[np.float64]:
    """Factor chi of lambda_V in lambda_I: tau_mem / (tau_mem - tau_syn) * (alpha - beta).

    Where both time constants are equal this is 0/0; its limit is -alpha log(alpha). A beta of 0 is a tau_syn of 0.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        log_a, log_b = np.log(alpha), np.log(beta)
        equal = np.abs(log_a - log_b) < 1e-7 * np.abs(log_a)
        # tau_mem / (tau_mem - tau_syn) with tau = -1 / log(decay).
        ratio = np.where(beta > 0, log_b / np.where(equal, 1.0, log_b - log_a), 1.0)
        coupling: NDArray[np.float64] = np.where(equal, -alpha * log_a, ratio * (alpha - beta))
    return coupling
