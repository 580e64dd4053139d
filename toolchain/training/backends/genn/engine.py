"""The engine of the GeNN backend: a batch is cut to what the device holds, run, judged on the host and run back."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import NetworkError
from toolchain.event_graph import EventGraph, build_event_graph, flatten
from toolchain.network import Network, NeuronConstants
from toolchain.objective import Objective
from toolchain.observed import Observed
from toolchain.spikes import SpikeTrains
from toolchain.training.backends import BatchGradient, RateTarget, Responses, Trace
from toolchain.training.backends.cpu.engine import check_objective, check_spikes, learning_neurons
from toolchain.training.backends.cpu.observation import with_observed
from toolchain.training.backends.genn.describe import describe
from toolchain.training.backends.genn.learning import learned_of, step_constants, write_back
from toolchain.training.backends.genn.outcome import Judge, Outcome
from toolchain.training.backends.genn.ranks import Alone, Ranks
from toolchain.training.backends.genn.session import Chunk, Loader, Session, cut
from toolchain.training.optimiser import Adam

F32 = NDArray[np.float32]


@dataclass(frozen=True)
class _Passed:
    """A batch forward and backward, over all ranks: sum of losses, samples that are right, spikes of each neuron."""

    loss: float
    correct: int
    counts: NDArray[np.int64]
    guarded: int


class GennEngine:
    """EventProp with delays in code that GeNN generates; see `toolchain.training.backends.Engine`.

    Parameters
    ----------
    load : makes a described model one that runs
    batch : samples that run at once on the device; the gradient of a larger batch is the same
    ranks : processes that share the samples of each batch; None for this one alone
    adam_betas : of an optimiser on the device; None where there is none
    others : as of `make_engine`

    Raises
    ------
    NetworkError, InputError
        As the CPU backend does.
    MissingDependencyError
        If the model cannot be built or loaded.
    """

    def __init__(
        self,
        network: Network,
        steps: int,
        *,
        max_slot: int,
        objective: Objective,
        load: Loader,
        batch: int,
        targets: F32 | None = None,
        min_slope: float = 0.05,
        constants: Mapping[str, NeuronConstants] | None = None,
        rates: Mapping[str, RateTarget] | None = None,
        learn_tau: Collection[str] | None = None,
        ranks: Ranks | None = None,
        adam_betas: tuple[float, float] | None = None,
    ) -> None:
        check_objective(network, objective, targets, steps)
        self.network, self.steps, self.max_slot = network, steps, max_slot
        self.graph: EventGraph = build_event_graph(network)
        learning_neurons(network, self.graph, learn_tau or ())
        learns = self._learn_tau = sorted(set(learn_tau or ()))
        self._rates = dict(rates or {})
        self._ranks: Ranks = ranks or Alone()
        self._judge = Judge(objective, targets, network.readout.size, steps, network.dt_ms)
        self.learns = adam_betas is not None
        self._optimisers: dict[str, Adam] = {}
        self._tau_syn: dict[str, F32] = {}
        self._weights = flatten(network, "weight")
        # Nothing that the session keeps refers to this engine: who drops one frees its memory, without waiting for
        # Python to look for cycles.
        self._session = Session(
            network,
            self.graph,
            steps,
            lambda room, slots: describe(
                network,
                steps,
                max_slot=max_slot,
                min_slope=min_slope,
                learn_tau=learns,
                batch=batch,
                slots=slots,
                room=room,
                adam_betas=adam_betas,
            ),
            load,
        )
        self.set_constants(constants or {})
        self.set_parameters(self._weights, flatten(network, "delay"))

    def set_constants(self, constants: Mapping[str, NeuronConstants]) -> None:
        """See `Engine.set_constants`."""
        self._session.set_constants(constants)
        for population in self.network.populations:
            if population.kind != "spike_source":
                c = constants.get(population.name) or NeuronConstants.of(population, self.network.dt_ms)
                tau = np.broadcast_to(-1.0 / np.log(c.beta), population.size)
                self._tau_syn[population.name] = tau.astype(np.float32)

    def set_parameters(self, weights: NDArray[np.float32], delays: NDArray[np.float32]) -> None:
        """See `Engine.set_parameters`; raises NetworkError if a slot exceeds `max_slot`."""
        slots = np.rint(delays)
        wrong = np.flatnonzero(~((slots >= 0) & (slots <= self.max_slot)))
        if wrong.size:
            raise NetworkError(
                f"network: delay slot {slots[wrong[0]]:g} is outside 0..{self.max_slot}; raise max_slot or clip it"
            )
        self._weights = np.array(weights, dtype=np.float32)
        self._session.set_parameters(self._weights, delays)

    def gradients(
        self,
        spikes: SpikeTrains,
        labels: NDArray[np.int64],
        samples: NDArray[np.int64],
        observed: Observed | None = None,
    ) -> BatchGradient:
        """See `Engine.gradients`; raises InputError if `observed` is of other samples or populations."""
        passed = self._pass(spikes.select(samples), labels[samples], observed)
        weight, delay = self._take_gradients(samples.size)
        return self._result(passed, samples.size, weight, delay)

    def begin(self, weights: F32, delays: F32, optimisers: Mapping[str, Adam]) -> None:
        """See `LearningEngine.begin`."""
        self.set_parameters(weights, delays)
        learned = learned_of(self.network, self._tau_syn, self._session.buffers, weights, delays, optimisers)
        self._session.put_learned(learned)
        self._optimisers = dict(optimisers)

    def learn(
        self, spikes: SpikeTrains, labels: NDArray[np.int64], samples: NDArray[np.int64], factors: tuple[float, float]
    ) -> BatchGradient:
        """See `LearningEngine.learn`."""
        passed = self._pass(spikes.select(samples), labels[samples], None)
        for adam in self._optimisers.values():
            adam.steps += 1
        self._session.update(step_constants(self._optimisers["weight"], factors, samples.size))
        nothing = np.zeros(0, dtype=np.float32)
        return self._result(passed, samples.size, nothing, nothing)

    def finish(self, weights: F32, delays: F32, optimisers: Mapping[str, Adam]) -> int:
        """See `LearningEngine.finish`."""
        clipped = write_back(self.network, self._session.learned(), weights, delays, optimisers)
        self._session.end_learning()
        self.set_parameters(weights, delays)
        return clipped

    def respond(self, spikes: SpikeTrains, labels: NDArray[np.int64], observed: Observed | None = None) -> Responses:
        """See `Engine.respond`; raises InputError if `observed` is of other samples or populations."""
        found: list[Outcome] = []
        counts = np.zeros(self.graph.n_neurons, dtype=np.int64)
        for chunk in self._own(spikes, labels, observed):
            self._forward(chunk)
            found += self._judged(chunk, 0)
            counts += self._counts(chunk, 0)
            self._session.idle()
        loss, prediction = np.zeros(spikes.n_samples), np.zeros(spikes.n_samples, dtype=np.int64)
        own = slice(self._ranks.index, None, self._ranks.count)
        loss[own], prediction[own] = [one.loss for one in found], [one.prediction for one in found]
        return Responses(self._ranks.add(loss), self._ranks.add(prediction), self._ranks.add(counts))

    def trace(self, spikes: SpikeTrains, sample: int) -> Trace:
        """See `Engine.trace`."""
        own = spikes.select(np.array([sample]))
        (chunk,) = cut(own, np.zeros(1, dtype=np.int64), None, np.zeros(1, dtype=np.int64), 1)
        self._forward(chunk)
        found: dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
        for population in self.network.populations:
            if population.kind == "spike_source":
                first = self.graph.first_unit[population.name]
                here = (own.units >= first) & (own.units < first + population.size)
                order = np.lexsort((own.times[here], own.units[here]))
                times, units = own.times[here][order].astype(np.int64), own.units[here][order].astype(np.int64) - first
            elif population.kind == "lif":
                count, tape = self._session.counts(population.name, 0)[0], self._session.tape(population.name, 0)[0]
                units = np.repeat(np.arange(population.size), count)
                times = tape[np.arange(tape.shape[1]) < count[:, np.newaxis]].astype(np.int64)
            else:
                times = units = np.zeros(0, dtype=np.int64)
            found[population.name] = (times, units)
        voltage = np.zeros((0, self.steps), dtype=np.float32)
        if self.network.readout.kind == "leaky_readout":
            voltage = self._session.voltage(0)[0]
        self._session.idle()
        return Trace(found, voltage)

    def _pass(self, spikes: SpikeTrains, labels: NDArray[np.int64], observed: Observed | None) -> _Passed:
        """Take a batch forward and backward; what it adds up to is on the device."""
        chunks = self._own(spikes, labels, observed)
        if self._rates:
            outcomes, counts = self._forward_all(chunks)
            counts = self._ranks.add(counts)
            self._set_push(counts / spikes.n_samples)
            for slot, found in enumerate(outcomes):
                self._session.backward(slot, found)
                self._session.idle()
        else:
            outcomes, counts = [], np.zeros(self.graph.n_neurons, dtype=np.int64)
            for chunk in chunks:
                self._forward(chunk)
                outcomes.append(self._judged(chunk, 0))
                counts += self._counts(chunk, 0)
                self._session.backward(0, outcomes[-1])
            counts = self._ranks.add(counts)
        every = [one for found in outcomes for one in found]
        expected = [label for chunk in chunks for label in chunk.labels]
        right = sum(one.prediction == label for one, label in zip(every, expected, strict=True))
        lifs = [p.name for p in self.network.of_kind("lif")]
        guarded = sum(self._session.neuron_sums(name, "Guarded").sum() for name in lifs)
        loss, correct, floored = self._ranks.add(np.array([sum(one.loss for one in every), right, guarded]))
        return _Passed(float(loss), int(correct), counts, int(floored))

    def _result(self, passed: _Passed, batch: int, weight: F32, delay: F32) -> BatchGradient:
        return BatchGradient(
            passed.loss / batch,
            passed.correct,
            weight,
            delay,
            self._take_tau("TauMem", batch),
            self._take_tau("TauSyn", batch),
            passed.counts,
            passed.guarded,
        )

    def _own(self, spikes: SpikeTrains, labels: NDArray[np.int64], observed: Observed | None) -> list[Chunk]:
        """The samples of a batch that are this rank's, every n-th, cut to what runs at once."""
        check_spikes(spikes, self.graph, self.steps)
        if observed is not None:
            with_observed(spikes, observed, self.network, self.graph)
        own = np.arange(self._ranks.index, spikes.n_samples, self._ranks.count)
        return cut(spikes, labels, observed, own, self._session.batch)

    def _forward(self, chunk: Chunk, slot: int = 0) -> bool:
        """Run a chunk, with longer tapes where they are too short; returns whether they had to grow."""
        grown = False
        while not self._session.forward(chunk, slot):
            self._session.hold(room=self._session.needed_room(slot, chunk))
            grown = True
        return grown

    def _forward_all(self, chunks: list[Chunk]) -> tuple[list[list[Outcome]], NDArray[np.int64]]:
        """Run all chunks, each in a slot of its own."""
        self._session.hold(slots=max(1, len(chunks)))
        while True:
            outcomes, counts, grown = [], np.zeros(self.graph.n_neurons, dtype=np.int64), False
            for slot, chunk in enumerate(chunks):
                # Longer tapes are empty ones: what other slots hold is gone, and all are run again.
                grown |= self._forward(chunk, slot)
                outcomes.append(self._judged(chunk, slot))
                counts += self._counts(chunk, slot)
                self._session.idle()
            if not grown:
                return outcomes, counts

    def _judged(self, chunk: Chunk, slot: int) -> list[Outcome]:
        output, n = self.network.readout, chunk.labels.size
        if output.kind == "leaky_readout":
            voltage = self._session.voltage(slot)[:n] if chunk.readout_v is None else chunk.readout_v
            return [self._judge.of_voltage(v, int(label)) for v, label in zip(voltage, chunk.labels, strict=True)]
        counts, first = self._session.counts(output.name, slot)[:n], self._session.tape(output.name, slot)[:n, :, 0]
        return [
            self._judge.of_spikes(c, f, int(label)) for c, f, label in zip(counts, first, chunk.labels, strict=True)
        ]

    def _counts(self, chunk: Chunk, slot: int) -> NDArray[np.int64]:
        """Spikes of each neuron over the samples of a chunk, (n_neurons,)."""
        counts = np.zeros(self.graph.n_neurons, dtype=np.int64)
        for population in self.network.of_kind("lif"):
            found = self._session.counts(population.name, slot)[: chunk.labels.size]
            counts[self.graph.neurons(population)] = found.sum(axis=0)
        return counts

    def _set_push(self, mean_spikes: NDArray[np.float64]) -> None:
        for name, rate in self._rates.items():
            excess = mean_spikes[self.graph.neurons(self.network[name])] - rate.spikes
            self._session.set_push(name, (rate.strength * self.network.dt_ms * excess).astype(np.float32))

    def _take_gradients(self, batch: int) -> tuple[F32, F32]:
        """dL/dw = -tau_syn sum of lambda_I and dL/dk = -w sum of (lambda_I - lambda_V) at arrivals, over the batch."""
        sums = self._session.sums()
        weight, delay = np.zeros_like(self._weights), np.zeros_like(self._weights)
        offset = 0
        for projection in self.network.projections:
            here = slice(offset, offset + projection.n_synapses)
            offset += projection.n_synapses
            if projection.n_synapses == 0:
                continue
            of_i, of_d = (self._ranks.add(part) for part in sums[projection.name])
            tau = np.broadcast_to(self._tau_syn[projection.target], projection.weight.shape)
            own = tau.ravel() if projection.mask is None else tau[projection.mask]
            weight[here] = -own * of_i / np.float32(batch)
            delay[here] = -self._weights[here] * of_d / np.float32(batch)
        return weight, delay

    def _take_tau(self, name: str, batch: int) -> F32:
        gradient = np.zeros(self.graph.n_neurons, dtype=np.float32)
        for population in self._learn_tau:
            total = self._ranks.add(self._session.neuron_sums(population, name))
            gradient[self.graph.neurons(self.network[population])] = total / (2 * batch)
        return gradient
