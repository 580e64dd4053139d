"""What a neuron sees: its membrane voltage as a linear function of its weights, on samples whose spikes are known.

Between two spikes of its own a membrane is linear. With the spikes of all neurons given, those of the neuron itself
included, its voltage is

    V[t] = sum over synapses i of w_i f_i[t]

f_i: the spikes of the source, delayed by the slot of the synapse, through the decay of the current and that of the
voltage, which starts from 0 after every spike of the neuron. So an error of the weights, or of the decays that shape f,
is an error of the voltage that can be written down without simulating anything, and made small by a choice of integers
(`refinement`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.kernels import kernel
from toolchain.network import Network, Population, Projection
from toolchain.spikes import SpikeTrains

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

SMALLEST = 1e-9
"""Currents below this fraction of a spike are 0: arithmetic on numbers that vanish is many times slower."""


@dataclass(frozen=True)
class Decays:
    """What is left of current and voltage after a step, and what of the current the voltage takes up."""

    beta: float
    alpha: float
    gain: float


@dataclass(frozen=True)
class Inputs:
    """Spikes of all units that project onto a population, each unit in order of sample and time.

    Attributes
    ----------
    projections : onto the population, in the order of the network
    first : (n_synapse_rows + 1,) first spike of each source neuron, those of all projections one after the other
    sample, time : (n_spikes,) of each spike
    n_samples, n_steps : of the samples
    """

    projections: tuple[Projection, ...]
    first: I64
    sample: I32
    time: I32
    n_samples: int
    n_steps: int

    @classmethod
    def onto(cls, population: Population, network: Network, spikes: Mapping[str, SpikeTrains]) -> Inputs:
        """Collect the spikes of the sources of a population; `spikes` has one entry for each of them."""
        projections = tuple(network.incoming(population.name))
        counts, samples, times = [np.zeros(1, dtype=np.int64)], [], []
        some = next(iter(spikes.values()))
        for projection in projections:
            trains = spikes[projection.source]
            sample = np.repeat(np.arange(trains.n_samples, dtype=np.int32), np.diff(trains.offsets))
            order = np.argsort(trains.units, kind="stable")
            counts.append(np.bincount(trains.units, minlength=trains.n_units).astype(np.int64))
            samples.append(sample[order])
            times.append(trains.times[order])
        empty = np.zeros(0, dtype=np.int32)
        return cls(
            projections,
            np.cumsum(np.concatenate(counts)),
            np.concatenate([*samples, empty]).astype(np.int32),
            np.concatenate([*times, empty]).astype(np.int32),
            some.n_samples,
            some.n_steps,
        )

    @property
    def n_rows(self) -> int:
        """Source neurons of all projections."""
        return self.first.size - 1

    def column(self, arrays: Sequence[NDArray[Any]], neuron: int) -> NDArray[np.float64]:
        """What arrays (pre, post), one for each projection, say about the synapses of a neuron, (n_rows,)."""
        return np.concatenate([np.zeros(0), *(array[:, neuron] for array in arrays)])


def resets(trains: SpikeTrains | None, neuron: int, n_samples: int, n_steps: int) -> NDArray[np.bool_]:
    """Steps after which the voltage of a neuron starts from 0, (n_samples, n_steps)."""
    found = np.zeros((n_samples, n_steps), dtype=np.bool_)
    if trains is not None:
        mine = np.flatnonzero(trains.units == neuron)
        found[np.searchsorted(trains.offsets, mine, side="right") - 1, trains.times[mine]] = True
    return found


def features(
    inputs: Inputs, slots: I64, exists: NDArray[np.bool_], reset: NDArray[np.bool_], decays: Decays, every: int
) -> F32:
    """Voltage per unit of weight of each synapse of one neuron.

    Parameters
    ----------
    inputs : of its population
    slots, exists : (n_rows,) of its synapses
    reset : (n_samples, n_steps) of the neuron
    decays : of its population
    every : steps between two that are returned

    Returns
    -------
    (n_existing, n_samples * ceil(n_steps / every)), of the synapses that exist; what belongs to a step lies together
    """
    kept = -(-inputs.n_steps // every)
    rows = np.flatnonzero(exists)
    found = np.zeros((inputs.n_samples * kept, rows.size), dtype=np.float32)
    _features(
        inputs.first, inputs.sample, inputs.time, rows, slots[rows], reset, decays.beta, decays.alpha, decays.gain,
        every, kept, found,
    )  # fmt: skip
    return found.T


@kernel
def _features(
    first: I64, sample: I32, time: I32, rows: I64, slots: I64, reset: NDArray[np.bool_], beta: float, alpha: float,
    gain: float, every: int, kept: int, found: F32,
) -> None:  # fmt: skip
    """See `features`; all synapses of a step at once, for their arithmetic is the same and waits for nothing."""
    n_samples, n_steps = reset.shape
    n = rows.size
    current, voltage = np.empty(n), np.empty(n)
    at = first[rows]
    end = first[rows + 1]
    # Spikes of a sample in the order of their arrival: those of step t are ends[t] - counts .. ends[t].
    ends = np.empty(n_steps + 1, np.int64)
    arriving = np.empty(max(1, np.sum(end - at)), np.int64)
    for s in range(n_samples):
        ends[:] = 0
        for i in range(n):
            e = at[i]
            while e < end[i] and sample[e] == s:
                arrival = time[e] + 1 + slots[i]
                if arrival < n_steps:
                    ends[arrival + 1] += 1
                e += 1
        for t in range(n_steps):
            ends[t + 1] += ends[t]
        for i in range(n):
            while at[i] < end[i] and sample[at[i]] == s:
                arrival = time[at[i]] + 1 + slots[i]
                if arrival < n_steps:
                    # ends[t] moves from the first spike of step t to the one after its last.
                    arriving[ends[arrival]] = i
                    ends[arrival] += 1
                at[i] += 1
        current[:] = 0.0
        voltage[:] = 0.0
        begin = 0
        for t in range(n_steps):
            for i in range(n):
                current[i] *= beta
            for k in range(begin, ends[t]):
                current[arriving[k]] += 1.0
            begin = ends[t]
            for i in range(n):
                now = current[i]
                now = 0.0 if now < SMALLEST else now
                v = voltage[i] * alpha + gain * now
                current[i] = now
                voltage[i] = 0.0 if v < SMALLEST * gain else v
            if t % every == 0:
                row = found[s * kept + t // every]
                for i in range(n):
                    row[i] = voltage[i]
            if reset[s, t]:
                voltage[:] = 0.0
