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
    (n_rows, n_samples * ceil(n_steps / every))
    """
    kept = -(-inputs.n_steps // every)
    found = np.zeros((inputs.n_rows, inputs.n_samples * kept), dtype=np.float32)
    _features(
        inputs.first, inputs.sample, inputs.time, slots, exists, reset, decays.beta, decays.alpha, decays.gain, every,
        kept, found,
    )  # fmt: skip
    return found


@kernel
def _features(
    first: I64, sample: I32, time: I32, slots: I64, exists: NDArray[np.bool_], reset: NDArray[np.bool_], beta: float,
    alpha: float, gain: float, every: int, kept: int, found: F32,
) -> None:  # fmt: skip
    """See `features`."""
    n_samples, n_steps = reset.shape
    arriving = np.zeros(n_steps)
    for i in range(first.size - 1):
        e = first[i]
        if not exists[i]:
            continue
        for s in range(n_samples):
            if e == first[i + 1]:
                break
            if sample[e] != s:
                continue
            arriving[:] = 0.0
            begin = n_steps
            while e < first[i + 1] and sample[e] == s:
                at = time[e] + 1 + slots[i]
                if at < n_steps:
                    arriving[at] += 1.0
                    begin = min(begin, at)
                e += 1
            current = voltage = 0.0
            for t in range(begin, n_steps):
                current = current * beta + arriving[t]
                if current < SMALLEST:
                    current = 0.0
                voltage = voltage * alpha + gain * current
                if voltage < SMALLEST * gain:
                    voltage = 0.0
                if t % every == 0:
                    found[i, s * kept + t // every] = voltage
                if reset[s, t]:
                    voltage = 0.0
