"""What a device reported, and the replay of it: which states of which neurons are not what they must be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.deployment.target import Traces
from toolchain.diagnosis.model import I64, QUANTITIES, Arithmetic, Chip, Flags, Model, Replayed, Reported, Synapses
from toolchain.spikes import SpikeTrains

STATES_AT_ONCE = 2_000_000
"""Neurons times steps that are held at a time: about 100 MB of arrivals and states."""


@dataclass(frozen=True, eq=False)
class Events:
    """Spikes of a population: (n,) each, in the order of samples, and `offsets` (n_samples + 1,)."""

    sample: I64
    time: I64
    unit: I64
    offsets: I64

    @classmethod
    def of_trains(cls, trains: SpikeTrains, first: int, size: int) -> Events:
        """Of the units first..first + size of an input."""
        sample = np.repeat(np.arange(trains.n_samples), np.diff(trains.offsets))
        mine = (trains.units >= first) & (trains.units < first + size)
        return cls._sorted(
            sample[mine], trains.times[mine].astype(np.int64), trains.units[mine].astype(np.int64) - first,
            trains.n_samples,
        )  # fmt: skip

    @classmethod
    def of_raster(cls, raster: Flags) -> Events:
        """Of a raster (n_samples, n_steps, size)."""
        sample, time, unit = (a.astype(np.int64) for a in np.nonzero(raster))
        return cls._sorted(sample, time, unit, raster.shape[0])

    @classmethod
    def _sorted(cls, sample: I64, time: I64, unit: I64, n_samples: int) -> Events:
        offsets = np.searchsorted(sample, np.arange(n_samples + 1)).astype(np.int64)
        return cls(sample.astype(np.int64), time, unit, offsets)

    def select(self, samples: I64) -> Events:
        """Those of these samples, numbered anew."""
        if samples.size == self.offsets.size - 1:
            return self
        parts = [np.arange(self.offsets[s], self.offsets[s + 1]) for s in samples]
        index = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
        sample = np.repeat(np.arange(samples.size), [p.size for p in parts])
        return self._sorted(sample, self.time[index], self.unit[index], samples.size)

    def changed(self, lost: I64 | None, extra: I64 | None) -> Events:
        """Without some, and with others, (n, 3) sample, step, unit each."""
        rows = np.stack((self.sample, self.time, self.unit), axis=1)
        if lost is not None and lost.size:
            gone = {tuple(row) for row in lost.tolist()}
            rows = rows[[tuple(row) not in gone for row in rows.tolist()]]
        if extra is not None and extra.size:
            rows = np.concatenate((rows, extra))
            rows = rows[np.lexsort(rows.T[::-1])]
        return self._sorted(rows[:, 0], rows[:, 1], rows[:, 2], self.offsets.size - 1)


@dataclass(frozen=True, eq=False)
class Look:
    """Some neurons of a population in some samples: what was reported, and what the replay has.

    `constants` (n_constants, n), `arrivals` (channels, n_samples, n_steps, n).
    """

    constants: I64
    arrivals: I64
    reported: Reported
    replayed: Replayed

    def difference(self, quantity: str) -> I64 | None:
        """Replayed less reported, (..., n_samples, n_steps, n); None where it was not reported."""
        return difference(quantity, self.reported, self.replayed)

    def deviating(self, quantity: str) -> Flags | None:
        """Which states deviate, (n_samples, n_steps, n)."""
        found = self.difference(quantity)
        if found is None:
            return None
        wrong: Flags = (found != 0).any(axis=0) if found.ndim == 4 else found != 0
        return wrong


def difference(quantity: str, reported: Reported, replayed: Replayed) -> I64 | None:
    """Replayed less reported; of currents with an axis of channels in front."""
    if quantity == "u":
        if reported.currents is None:
            return None
        run = replayed.currents
        if len(run) == 2 and len(reported.currents) == 1:
            run = (run[0] - run[1])[np.newaxis]
        return run - reported.currents
    if quantity == "v":
        return None if reported.v is None else replayed.v - reported.v
    if reported.spikes is None:
        return None
    return replayed.spikes.astype(np.int64) - reported.spikes


def differences(quantities: Sequence[str], reported: Reported, replayed: Replayed) -> I64:
    """Replayed less reported of some quantities, those that were reported, one below the other: (n_states, n)."""
    n = replayed.v.shape[-1]
    parts = [difference(q, reported, replayed) for q in quantities]
    return np.concatenate([p.reshape(-1, n) for p in parts if p is not None])


@dataclass(frozen=True, eq=False)
class Deviations:
    """Of one population: quantity -> (size,) how many states of each neuron deviate, and where the first does.

    `first` is sample, step, neuron, or None without any.
    """

    counts: Mapping[str, I64]
    first: Mapping[str, tuple[int, int, int] | None]
    compared: int

    def dirty(self, quantities: Sequence[str]) -> I64:
        """Neurons of which a state of these quantities deviates."""
        return np.flatnonzero(sum(self.counts[q] for q in quantities))

    def states(self, quantities: Sequence[str]) -> int:
        """States of these quantities that deviate."""
        return int(sum(self.counts[q].sum() for q in quantities))

    @property
    def total(self) -> int:
        """States that deviate."""
        return int(sum(c.sum() for c in self.counts.values()))


class Evidence:
    """Input, and what a device reported.

    Parameters
    ----------
    chip : the network as it must be
    spikes : input
    observed : what the device reported; of any populations, and any of u, v and spikes
    assumed : spikes (n_samples, n_steps, size) of populations whose spikes were not reported
    late : (quantity, population) -> steps that its record is late
    numbers : (n_samples,) what the samples are called in words; counted from 0 if left out
    """

    def __init__(
        self,
        chip: Chip,
        spikes: SpikeTrains,
        observed: Traces,
        assumed: Mapping[str, NDArray[np.bool_]],
        late: Mapping[tuple[str, str], int] | None = None,
        numbers: Sequence[int] | None = None,
    ) -> None:
        self.chip = chip
        self.spikes = spikes
        self.observed = observed
        self.assumed = assumed
        self.late = dict(late or {})
        self.n_samples, self.n_steps = spikes.n_samples, spikes.n_steps
        self.numbers = range(self.n_samples) if numbers is None else numbers
        self.all_samples: I64 = np.arange(self.n_samples, dtype=np.int64)
        self._events: dict[str, Events] = {}
        self._by_unit: dict[str, tuple[I64, I64, I64, I64, I64]] = {}
        self._scans: dict[tuple[str, tuple[int, ...]], tuple[object, Deviations]] = {}

    def with_late(self, quantities: Sequence[str], population: str, steps: int) -> Evidence:
        """The same, the records of some quantities of a population taken as being late."""
        late = {**self.late, **{(quantity, population): steps for quantity in quantities}}
        found = Evidence(self.chip, self.spikes, self.observed, self.assumed, late, self.numbers)
        if "spikes" not in quantities:
            found._events, found._by_unit = self._events, self._by_unit
        return found

    @property
    def arithmetic(self) -> Arithmetic:
        """Of the chip."""
        return self.chip.arithmetic

    def events(self, name: str) -> Events:
        """Spikes of a population: input, as reported, or as assumed."""
        if name not in self._events:
            reported = self.observed.spikes.get(name, self.assumed.get(name))
            if reported is not None:
                self._events[name] = Events.of_raster(reported[:, self.late.get(("spikes", name), 0) :])
            else:
                first = 0
                for cells in self.chip.model.cells:
                    if cells.name == name:
                        self._events[name] = Events.of_trains(self.spikes, first, cells.size)
                        break
                    first += 0 if cells.constants else cells.size
        return self._events[name]

    def by_unit(self, name: str) -> tuple[I64, I64, I64, I64, I64]:
        """Spikes of a population sorted by neuron, sample and time, and where those of the same two begin and end."""
        if name not in self._by_unit:
            events = self.events(name)
            order = np.lexsort((events.time, events.sample, events.unit))
            sample, time, unit = events.sample[order], events.time[order], events.unit[order]
            starts = np.flatnonzero((np.diff(sample, prepend=-1) != 0) | (np.diff(unit, prepend=-1) != 0))
            run = np.searchsorted(starts, np.arange(sample.size), side="right") - 1
            first, last = starts[run], np.append(starts, sample.size)[run + 1]
            self._by_unit[name] = sample, time, unit, first.astype(np.int64), last.astype(np.int64)
        return self._by_unit[name]

    def quantities(self, name: str) -> tuple[str, ...]:
        """What was reported of a population."""
        there = {"u": self.observed.u, "v": self.observed.v, "spikes": self.observed.spikes}
        return tuple(q for q in QUANTITIES if name in there[q] or (q == "u" and name in self.observed.currents))

    def watched(self, name: str, quantity: str) -> tuple[str, ...]:
        """Reported quantities up to one: what explains it must leave those before it as they are."""
        return self.quantities(name)[: self.quantities(name).index(quantity) + 1]

    def reported(self, name: str, samples: I64, neurons: I64) -> Reported:
        """What was reported of some neurons; the last steps are left out if a record is late."""
        late = {q: self.late.get((q, name), 0) for q in QUANTITIES}
        n_steps = self.n_steps - max(late.values())
        # Slices give views where all samples are taken, so that a copy is made once.
        columns = np.ix_(samples, np.arange(n_steps), neurons)

        def part(array: NDArray[Any], quantity: str) -> NDArray[Any]:
            found: NDArray[Any] = array[:, late[quantity] :][columns]
            return found

        currents: I64 | None = None
        if name in self.observed.currents:
            both = self.observed.currents[name]
            currents = np.stack([part(c, "u") for c in both]).astype(np.int64)
        elif name in self.observed.u:
            currents = part(self.observed.u[name], "u").astype(np.int64)[np.newaxis]
        v, spikes = self.observed.v.get(name), self.observed.spikes.get(name)
        return Reported(
            currents,
            None if v is None else part(v, "v").astype(np.int64),
            None if spikes is None else part(spikes, "spikes").astype(np.bool_),
        )

    def arrivals(self, model: Model, name: str, samples: I64, neurons: I64) -> I64:
        """What arrives at some neurons, (channels, n_samples, n_steps, n)."""
        channels = self.arithmetic.channels
        out = np.zeros((channels, samples.size, self.n_steps, neurons.size), dtype=np.int64)
        for synapses in model.incoming(name):
            self.add(synapses, samples, neurons, out)
        return out

    def add(self, synapses: Synapses, samples: I64, neurons: I64, out: I64) -> None:
        """Add what a projection brings."""
        from toolchain.diagnosis.delivery import deliver

        events = self.events(synapses.source)
        if synapses.lost is not None or synapses.extra is not None:
            events = events.changed(synapses.lost, synapses.extra)
        events = events.select(samples)
        slots = np.ascontiguousarray(synapses.slots[:, neurons])
        by_sign = self.arithmetic.channels == 2
        deliver(
            events.sample, events.time, events.unit, np.ascontiguousarray(synapses.addend(neurons)), slots,
            synapses.late, by_sign, out,
        )  # fmt: skip

    def constants(self, model: Model, name: str, neurons: I64) -> I64:
        """(n_constants, n) in the order of the arithmetic."""
        named = model[name].constants
        found: I64 = np.stack([named[c.name][neurons] for c in self.arithmetic.constants]).astype(np.int64)
        return found

    def look(self, model: Model, name: str, samples: I64, neurons: I64) -> Look:
        """Replay some neurons in some samples."""
        constants = self.constants(model, name, neurons)
        reported = self.reported(name, samples, neurons)
        arrivals = self.arrivals(model, name, samples, neurons)
        n_steps = self.n_steps - max((self.late.get((q, name), 0) for q in QUANTITIES), default=0)
        if n_steps < self.n_steps:
            arrivals = np.ascontiguousarray(arrivals[:, :, :n_steps])
        return Look(constants, arrivals, reported, self.arithmetic.run(constants, arrivals, reported))

    def parts(self, samples: I64, neurons: I64) -> Iterable[tuple[I64, I64]]:
        """Samples and neurons in portions that fit memory."""
        wide = max(1, STATES_AT_ONCE // self.n_steps)
        for first in range(0, neurons.size, wide):
            some = neurons[first : first + wide]
            deep = max(1, wide // some.size)
            for begin in range(0, samples.size, deep):
                yield samples[begin : begin + deep], some

    def scan(self, model: Model, name: str, neurons: I64 | None = None, samples: I64 | None = None) -> Deviations:
        """Count the states of a population that deviate; of the other neurons 0 where only some are asked for."""
        if neurons is not None or samples is not None:
            return self._scanned(model, name, neurons, samples)
        # What the states of a population depend on; kept, so that no other object can take its address.
        parts = (model[name], *model.incoming(name))
        key = name, tuple(id(part) for part in parts)
        if key not in self._scans:
            self._scans[key] = parts, self._scanned(model, name, None, None)
        return self._scans[key][1]

    def _scanned(self, model: Model, name: str, neurons: I64 | None, samples: I64 | None) -> Deviations:
        size = model[name].size
        neurons = np.arange(size, dtype=np.int64) if neurons is None else neurons
        samples = self.all_samples if samples is None else samples
        quantities = self.quantities(name)
        counts = {q: np.zeros(size, dtype=np.int64) for q in quantities}
        first: dict[str, tuple[int, int, int] | None] = dict.fromkeys(quantities)
        compared = 0
        for some_samples, some in self.parts(samples, neurons):
            look = self.look(model, name, some_samples, some)
            for quantity in quantities:
                wrong = look.deviating(quantity)
                assert wrong is not None, "it was reported"
                compared += wrong.size
                if not wrong.any():
                    continue
                counts[quantity][some] += wrong.sum(axis=(0, 1))
                sample, step, neuron = (int(i) for i in np.argwhere(wrong)[0])
                here = (int(some_samples[sample]), step, int(some[neuron]))
                known = first[quantity]
                first[quantity] = here if known is None else min(known, here)
        return Deviations(counts, first, compared)
