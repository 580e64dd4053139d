"""One network on one device: its parameters there, and the three phases of a sample.

What is held grows with what is asked of it, the number of batches between forward and backward and the spikes that a
tape has room for; then the model is loaded anew, which is not compiling it anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from toolchain.event_graph import EventGraph, split_flat
from toolchain.network import Network, NeuronConstants
from toolchain.observed import Observed
from toolchain.spikes import SpikeTrains
from toolchain.training.backends.cpu.engine import adjoint_coupling
from toolchain.training.backends.genn.bits import most_spikes, spike_bits, tape_of
from toolchain.training.backends.genn.description import ModelDescription, PopulationPart, ProjectionPart
from toolchain.training.backends.genn.memory import require_indexable
from toolchain.training.backends.genn.outcome import Outcome

FIRST_ROOM = 128
"""Spikes of a neuron and sample that a tape holds at first."""
ADDED_UP = ("Guarded", "TauMem", "TauSyn")
"""Variables of neurons that add up over the samples of a batch."""
F32 = NDArray[np.float32]


class Runnable(Protocol):
    """A described model that runs; arrays are copied to where it does."""

    @property
    def description(self) -> ModelDescription:
        """What it was made of."""

    def run(self, first: int, count: int) -> None:
        """Steps `first` to `first + count` of a sample (`neuron_code`)."""

    def set_dynamic(self, name: str, value: int) -> None:
        """Set a dynamic constant of all populations that have it."""

    def put(self, part: PopulationPart, name: str, values: NDArray[Any], slot: int | None = None) -> None:
        """Fill a variable or an array of a population, or the part of an array that belongs to a slot."""

    def fill(self, part: PopulationPart, name: str, value: float) -> None:
        """Set all items of a variable."""

    def take(self, part: PopulationPart, name: str, slot: int | None = None) -> NDArray[Any]:
        """A variable (batch, neurons) or an array of a population, or the part of an array that belongs to a slot."""

    def put_synapses(self, part: ProjectionPart, name: str, values: NDArray[Any]) -> None:
        """Set a shared variable of all synapses, in canonical order."""

    def take_synapses(self, part: ProjectionPart, name: str) -> NDArray[Any]:
        """A shared variable of all synapses, in canonical order."""

    def put_update(self, part: ProjectionPart, name: str, values: NDArray[Any]) -> None:
        """Set a variable of the update of a projection, in canonical order."""

    def take_update(self, part: ProjectionPart, name: str) -> NDArray[Any]:
        """A variable of the update of a projection, in canonical order."""

    def update(self, part: ProjectionPart, dynamic: Mapping[str, float]) -> None:
        """Run the update of a projection, with these dynamic constants, on what the batch has added up."""

    def take_sums(self, part: ProjectionPart) -> tuple[F32, F32]:
        """`SumI` and `SumD` of all synapses in canonical order, added over the batch; they are 0 afterwards."""

    def add_sums(self, part: ProjectionPart, of_i: F32, of_d: F32) -> None:
        """Add to what the batch has added up."""

    def close(self) -> None:
        """Free its memory."""


Loader = Callable[[ModelDescription], Runnable]


@dataclass(frozen=True)
class Chunk:
    """Samples that run at once, at most as many as the device's batch; units of `spikes` are those of all sources."""

    spikes: SpikeTrains
    labels: NDArray[np.int64]
    observed: Mapping[str, SpikeTrains] | None
    readout_v: F32 | None


class Session:
    """A loaded network.

    Parameters
    ----------
    describe : room, slots -> the model
    load : makes it a program
    """

    def __init__(
        self,
        network: Network,
        graph: EventGraph,
        steps: int,
        describe: Callable[[int, int], ModelDescription],
        load: Loader,
    ) -> None:
        self._network, self._graph, self._steps = network, graph, steps
        self._describe, self._load = describe, load
        self._room, self._slots = min(FIRST_ROOM, steps), 1
        self._weights: dict[str, F32] = {}
        self._slots_of: dict[str, NDArray[np.int64]] = {}
        self._constants: dict[str, NeuronConstants] = {}
        self._learns = False
        self._neuron_sums: dict[tuple[str, str], NDArray[np.float64]] = {}
        self._program = load(self._described())
        self._name_parts()

    @property
    def batch(self) -> int:
        """Samples that run at once."""
        return self._program.description.batch

    @property
    def buffers(self) -> int:
        """Slots of the delay buffers; 1 where there are no delays."""
        return max((p.delays for p in self._program.description.projections), default=1)

    def hold(self, slots: int = 1, room: int = 1) -> None:
        """Make room for this many batches at once, and for this many spikes of a neuron and sample."""
        if slots <= self._slots and room <= self._room:
            return
        self._slots = max(slots, self._slots)
        while self._room < room:
            self._room = min(2 * self._room, self._steps)
        model = self._described()
        # What samples of this batch have added up so far is kept.
        sums = self.sums()
        self._neuron_sums = {
            (part.of, v.name): self.neuron_sums(part.of, v.name)
            for part in self._simulated
            for v in part.model.variables
            if v.name in ADDED_UP
        }
        learned = self.learned() if self._learns else None
        self._program.close()
        self._program = self._load(model)
        self._name_parts()
        self.set_constants(self._constants)
        self._put_parameters()
        for part in self._program.description.projections:
            self._program.add_sums(part, *sums[part.of])
        if learned is not None:
            self.put_learned(learned)

    # Parameters

    def set_parameters(self, weights: F32, delays: F32) -> None:
        """Use these parameters, flat vectors in canonical order."""
        self._weights = split_flat(self._network, weights)
        self._slots_of = {name: np.rint(d).astype(np.int64) for name, d in split_flat(self._network, delays).items()}
        self._put_parameters()

    def set_constants(self, constants: Mapping[str, NeuronConstants]) -> None:
        """Use these constants for the populations named, and the trained ones for all others."""
        self._constants = dict(constants)
        for part in self._simulated:
            population = self._network[part.of]
            c = constants.get(part.of) or NeuronConstants.of(population, self._network.dt_ms)
            alpha, beta, gain = (np.broadcast_to(v, part.size).astype(np.float64) for v in (c.alpha, c.beta, c.gain))
            self._program.put(part, "Alpha", alpha)
            self._program.put(part, "Beta", beta)
            self._program.put(part, "Gain", gain)
            self._program.put(part, "Chi", adjoint_coupling(alpha, beta))
            if population.kind == "lif":
                self._program.fill(part, "Threshold", c.threshold)

    def set_push(self, population: str, push: F32) -> None:
        """What the rate regulariser adds to lambda_V at each spike, (n_neurons,)."""
        self._program.put(self._parts[population], "Push", push)

    # Learning on the device

    def put_learned(self, learned: Mapping[str, Mapping[str, NDArray[Any]]]) -> None:
        """Go on learning on the device from here: projection -> variable of its synapses or update -> values."""
        self._learns = True
        for part in self._program.description.projections:
            assert part.update is not None
            own = {v.name for v in part.update.variables}
            for name, values in learned[part.of].items():
                (self._program.put_update if name in own else self._program.put_synapses)(part, name, values)

    def learned(self) -> dict[str, dict[str, NDArray[Any]]]:
        """What there is by now, as `put_learned` takes it."""
        found: dict[str, dict[str, NDArray[Any]]] = {}
        for part in self._program.description.projections:
            assert part.update is not None
            synapses = [v.name for v in part.model.variables if v.shared]
            found[part.of] = {name: self._program.take_synapses(part, name) for name in synapses}
            found[part.of] |= {v.name: self._program.take_update(part, v.name) for v in part.update.variables}
        return found

    def end_learning(self) -> None:
        """Parameters are those of `set_parameters` again."""
        self._learns = False

    def update(self, dynamic: Mapping[str, float]) -> None:
        """Take a step of the optimiser with what the batch has added up."""
        for part in self._program.description.projections:
            assert part.update is not None
            self._program.update(part, {name: dynamic[name] for name, _ in part.update.dynamic})

    # A sample

    def forward(self, chunk: Chunk, slot: int) -> bool:
        """Run samples to their end and keep their tape in a slot; False if a tape was too short, and none is whole."""
        program = self._program
        first = 0
        for part in self._sources:
            own = _units(chunk.spikes, first, part.size)
            program.put(part, "Bits", spike_bits(own, self.batch), slot)
            first += part.size
        program.set_dynamic("Slot", slot)
        program.set_dynamic("Room", self._room)
        program.set_dynamic("Replay", int(chunk.observed is not None))
        if chunk.observed is not None:
            if max((most_spikes(s) for s in chunk.observed.values()), default=0) > self._room:
                return False
            for part in self._lifs:
                count, time = tape_of(chunk.observed[part.of], self.batch, self._room)
                program.put(part, "TapeCount", count, slot)
                program.put(part, "TapeTime", time, slot)
        program.run(0, self._steps)
        return all(int(self.counts(part.of, slot).max(initial=0)) <= self._room for part in self._lifs)

    def needed_room(self, slot: int, chunk: Chunk) -> int:
        """Spikes of the busiest neuron of a forward pass that did not fit."""
        trains = list((chunk.observed or {}).values())
        seen = [most_spikes(s) for s in trains] or [int(self.counts(p.of, slot).max(initial=0)) for p in self._lifs]
        return min(max(seen, default=1), self._steps)

    def backward(self, slot: int, outcomes: list[Outcome]) -> None:
        """Run the adjoint system of the samples of a slot."""
        program, output = self._program, self._parts[self._network.readout.name]
        shape = (self.batch, output.size)
        program.set_dynamic("Slot", slot)
        if self._network.readout.kind == "lif":
            jump, kick = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
            for index, outcome in enumerate(outcomes):
                jump[index], kick[index] = outcome.jump, outcome.kick
            program.put(output, "Jump", jump, slot)
            program.put(output, "Kick", kick, slot)
        else:
            drive = np.zeros((*shape, self._steps), dtype=np.float32)
            for index, outcome in enumerate(outcomes):
                drive[index] = outcome.drive
            program.put(output, "Trace", drive, slot)
        program.run(self._steps, self._steps)

    def idle(self) -> None:
        """Let the delay buffers run empty."""
        self._program.run(2 * self._steps, self.buffers)

    # What came of it

    def counts(self, population: str, slot: int) -> NDArray[np.uint32]:
        """Spikes of each neuron, (batch, n_neurons)."""
        part = self._parts[population]
        return self._program.take(part, "TapeCount", slot).reshape(self.batch, part.size)

    def tape(self, population: str, slot: int) -> NDArray[np.uint32]:
        """Steps of the spikes, (batch, n_neurons, room); what lies beyond the count means nothing."""
        part = self._parts[population]
        return self._program.take(part, "TapeTime", slot).reshape(self.batch, part.size, -1)

    def voltage(self, slot: int) -> F32:
        """Voltage of a leaky readout, (batch, n_neurons, steps)."""
        part = self._parts[self._network.readout.name]
        return self._program.take(part, "Trace", slot).reshape(self.batch, part.size, self._steps)

    def sums(self) -> dict[str, tuple[F32, F32]]:
        """Sums of lambda_I and of lambda_I - lambda_V at arrivals since they were taken last, by projection."""
        return {part.of: self._program.take_sums(part) for part in self._program.description.projections}

    def neuron_sums(self, population: str, name: str) -> NDArray[np.float64]:
        """A variable that adds up over samples, over the batch too, (n_neurons,); it is 0 afterwards."""
        part = self._parts[population]
        total = self._program.take(part, name).reshape(-1, part.size).sum(axis=0, dtype=np.float64)
        self._program.fill(part, name, 0)
        return np.asarray(total + self._neuron_sums.pop((population, name), 0.0))

    def _described(self) -> ModelDescription:
        model = self._describe(self._room, self._slots)
        require_indexable(model)
        return model

    def _name_parts(self) -> None:
        parts = self._program.description.populations
        self._parts: dict[str, PopulationPart] = {part.of: part for part in parts}
        kinds = {part.of: self._network[part.of].kind for part in parts}
        self._sources = [p for p in parts if kinds[p.of] == "spike_source"]
        self._simulated = [p for p in parts if kinds[p.of] != "spike_source"]
        self._lifs = [p for p in parts if kinds[p.of] == "lif"]
        self._sources.sort(key=lambda part: self._graph.first_unit[part.of])

    def _put_parameters(self) -> None:
        masks = {p.name: p.mask for p in self._network.projections}
        for part in self._program.description.projections:
            mask = masks[part.of]
            weight, slot = self._weights[part.of], self._slots_of[part.of]
            chosen = slice(None) if mask is None else mask
            self._program.put_synapses(part, "Weight", weight[chosen].ravel())
            if part.delays > 1:
                # A slot that takes every spike past the end is as good as any other that does.
                self._program.put_synapses(part, "Slot", np.minimum(slot[chosen].ravel(), part.delays - 1))


def _units(spikes: SpikeTrains, first: int, size: int) -> SpikeTrains:
    """Spikes of some of the units, numbered from 0."""
    if first == 0 and size == spikes.n_units:
        return spikes
    chosen = (spikes.units >= first) & (spikes.units < first + size)
    before = np.concatenate(([0], np.cumsum(chosen)))
    return SpikeTrains(
        spikes.times[chosen], spikes.units[chosen] - np.int32(first), before[spikes.offsets], size, spikes.n_steps
    )


def cut(
    spikes: SpikeTrains, labels: NDArray[np.int64], observed: Observed | None, samples: NDArray[np.int64], size: int
) -> list[Chunk]:
    """Cut these samples of a batch into what runs at once, `size` of them."""
    chunks = []
    for start in range(0, samples.size, size):
        chosen = samples[start : start + size]
        seen = None if observed is None else {name: s.select(chosen) for name, s in observed.spikes.items()}
        voltage = None if observed is None or observed.readout_v is None else observed.readout_v[chosen]
        chunks.append(Chunk(spikes.select(chosen), labels[chosen], seen, voltage))
    return chunks
