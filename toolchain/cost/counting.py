"""Counting: the tables of a workload times the spikes that there were. All integers, all exact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolchain.cost.workload import I64, Workload
from toolchain.errors import InputError
from toolchain.spikes import SpikeTrains


@dataclass(frozen=True, eq=False)
class Counts:
    """What was counted.

    Attributes
    ----------
    spikes : population -> (n_samples,)
    events : kind -> (n_samples,)
    at_sites : kind -> (n_sites,), all samples together; kinds that happen at cores
    neurons : population -> (size,), all samples together
    n_steps, n_samples : of what was counted
    """

    spikes: Mapping[str, I64]
    events: Mapping[str, I64]
    at_sites: Mapping[str, I64]
    neurons: Mapping[str, I64]
    n_steps: int
    n_samples: int

    def mean(self, kind: str) -> float:
        """Of one inference."""
        return float(self.events[kind].mean()) if self.n_samples else 0.0


def unit_counts(spikes: SpikeTrains, sources: Sequence[tuple[str, int]]) -> dict[str, I64]:
    """Spikes of each input unit in each sample.

    Parameters
    ----------
    sources : name and size of the source populations; the units of `spikes` are theirs, one population after the other

    Returns
    -------
    source -> (n_samples, size)
    """
    table = np.zeros((spikes.n_samples, spikes.n_units), dtype=np.int64)
    for sample in range(spikes.n_samples):
        units = spikes.units[spikes.offsets[sample] : spikes.offsets[sample + 1]]
        table[sample] = np.bincount(units, minlength=spikes.n_units)
    found, first = {}, 0
    for name, size in sources:
        found[name] = table[:, first : first + size]
        first += size
    return found


def count(workload: Workload, spikes: Mapping[str, I64], n_steps: int) -> Counts:
    """Count everything.

    Parameters
    ----------
    spikes : population -> (n_samples, size) spikes of each neuron, of every population that sends
    n_steps : of each sample

    Raises
    ------
    InputError
        If the spikes of a population that sends are missing or of another number of neurons.
    """
    n_samples = next((a.shape[0] for a in spikes.values()), 0)
    for sender in workload.senders:
        shape = (n_samples, sender.sent_from.size)
        if sender.population not in spikes or spikes[sender.population].shape != shape:
            given = spikes[sender.population].shape if sender.population in spikes else "none"
            raise InputError(f"spikes of {sender.population}: {given} were given, must be {shape}; count them all")
    events, at_sites = {}, {}
    neurons = {name: array.sum(axis=0) for name, array in spikes.items()}
    for kind in (k.name for k in workload.kinds):
        found = np.full(n_samples, n_steps * int(workload.per_step.get(kind, np.zeros(0, np.int64)).sum()))
        here = n_samples * n_steps * workload.per_step.get(kind, np.zeros(len(workload.sites), np.int64))
        for sender in workload.senders:
            mine = spikes[sender.population]
            found = found + mine @ sender.total(kind)
            if kind in sender.at_sites:
                here = here + neurons[sender.population] @ sender.at_sites[kind]
        events[kind], at_sites[kind] = found.astype(np.int64), here.astype(np.int64)
    totals = {name: array.sum(axis=1) for name, array in spikes.items()}
    return Counts(totals, events, at_sites, neurons, n_steps, n_samples)


def step_counts(workload: Workload, rasters: Mapping[str, NDArray[np.bool_]], kind: str) -> I64:
    """What happens of one kind at each core in each step, (n_samples, n_steps, n_sites).

    An event belongs to the step whose spike sets it off, or `lag` steps later; what falls after the last step is left
    out. A kind that is counted per spike is put at the core that sends.

    Parameters
    ----------
    rasters : population -> (n_samples, n_steps, size), of every population that sends
    """
    n_samples, n_steps = next(iter(rasters.values())).shape[:2]
    found = np.zeros((n_samples, n_steps, len(workload.sites)), dtype=np.int64)
    if kind in workload.per_step:
        found += workload.per_step[kind]
    for sender in workload.senders:
        table = sender.at_sites.get(kind)
        if table is None and kind in sender.per_spike:
            inside = sender.sent_from >= 0
            table = np.zeros((sender.sent_from.size, len(workload.sites)), dtype=np.int64)
            table[inside, sender.sent_from[inside]] = sender.per_spike[kind][inside]
        if table is None or sender.lag >= n_steps:
            continue
        raster = rasters[sender.population][:, : n_steps - sender.lag]
        for sample in range(n_samples):
            # A product of floating point numbers runs on BLAS and is exact below 2^53.
            found[sample, sender.lag :] += np.rint(raster[sample].astype(np.float64) @ table).astype(np.int64)
    return found


def source_rasters(spikes: SpikeTrains, sources: Sequence[tuple[str, int]]) -> dict[str, NDArray[np.bool_]]:
    """Input as rasters: source -> (n_samples, n_steps, size); parameters as `unit_counts`."""
    sample = np.repeat(np.arange(spikes.n_samples), np.diff(spikes.offsets))
    raster = np.zeros((spikes.n_samples, spikes.n_steps, spikes.n_units), dtype=np.bool_)
    raster[sample, spikes.times, spikes.units] = True
    found, first = {}, 0
    for name, size in sources:
        found[name] = raster[:, :, first : first + size]
        first += size
    return found
