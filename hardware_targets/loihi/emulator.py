"""The integer emulator: Lava's `fixed_pt` processes, bit for bit, without a process per layer.

One step of a neuron, all integers (Lava 0.10, `lava.proc.lif.models.PyLifModelBitAcc`):

    a <- sum of weight << exponent over arriving spikes
    u <- sign(u) * ((|u| * (4096 - (du + 1))) >> 12) + (a << 6)
         u > 2^23: u - 2^24;  u <= -2^23: u + 2^24      once, so a huge input leaves u beyond 24 bits
    v <- clip(sign(v) * ((|v| * (4096 - dv)) >> 12) + u, -(2^23 - 1), 2^23 - 1)
    spike if v > vth << 6, then v <- 0

Lava holds `u`, `v` and the sums in int32, so whatever passes 31 bits wraps there as well; the kernel
does the same and counts it. A spike of step t on a synapse of slot k arrives at step t + 1 + k, so the
order of the neurons within a step does not matter and one loop over all of them is exact.

A `leaky_readout` is a LIF with the largest threshold there is. 131071 << 6 lies below the clip of v, so
a saturated readout does spike and lose its voltage, in Lava as here. `Emulation.readout_spikes` counts it.

Source: lava-nc 0.10.0 `proc/lif/models.py`, `proc/dense/models.py`, `proc/sparse/models.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware_targets.loihi.integer_network import IntegerNetwork, IntegerPopulation, check_integers
from toolchain.errors import InputError, NetworkError
from toolchain.kernels import kernel
from toolchain.spikes import SpikeTrains

_CLIPS, _WRAPS, _SPIKES, _PEAK = 0, 1, 2, 3


@dataclass(frozen=True)
class Emulation:
    """What a run of the emulator saw.

    Attributes
    ----------
    readout_v : (n_samples, n_steps, n_readout) int32, voltage of the leaky readout at the end of each step; without
        one (n_samples, n_steps, 0)
    spike_counts : population -> (n_samples,) int64, spikes of each sample; spike sources included
    neuron_counts : simulated population -> (n_samples, n) int64, spikes of each neuron
    first_spikes : simulated population -> (n_samples, n) int64, step of the first spike, n_steps without one
    wraps : population -> number of times that u left 24 bits and wrapped
    clips : population -> number of times that v left 24 bits and was clipped
    readout_spikes : readout population -> number of spikes; each one resets a saturated voltage to 0
    peaks : population -> largest |u| or |v| before any wrap or clip, what 24 bits have to hold
    u, v : population -> (n_samples, n_steps, n) int32, as Lava's Monitor reports them at the end of a
        step: v after the reset. Empty unless asked for.
    spikes : population -> (n_samples, n_steps, n) bool. Empty unless asked for.
    """

    readout_v: NDArray[np.int32]
    spike_counts: dict[str, NDArray[np.int64]]
    neuron_counts: dict[str, NDArray[np.int64]]
    first_spikes: dict[str, NDArray[np.int64]]
    wraps: dict[str, int]
    clips: dict[str, int]
    readout_spikes: dict[str, int]
    peaks: dict[str, int]
    u: dict[str, NDArray[np.int32]]
    v: dict[str, NDArray[np.int32]]
    spikes: dict[str, NDArray[np.bool_]]


@dataclass(frozen=True)
class _Tables:
    """The network as the kernel reads it: units are sources, then simulated neurons, in network order."""

    sources: tuple[IntegerPopulation, ...]
    neurons: tuple[IntegerPopulation, ...]
    n_sources: int
    n_neurons: int
    ring_rows: int
    synapse_ptr: NDArray[np.int64]  # (n_units + 1,) slice of the synapses of each source unit
    reach: NDArray[np.int64]  # (1 + slot) * n_neurons + post: how far ahead in the ring a synapse adds
    addend: NDArray[np.int32]  # weight << exponent
    population_of: NDArray[np.int64]  # (n_neurons,)
    keep_u: NDArray[np.int64]  # (n_neurons,) 4096 - (du + 1)
    keep_v: NDArray[np.int64]  # (n_neurons,) 4096 - dv
    threshold: NDArray[np.int64]  # (n_neurons,) vth << 6


def emulate(
    network: IntegerNetwork, spikes: SpikeTrains, *, traces: bool = False, threads: int | None = None
) -> Emulation:
    """Run every sample from the zero state and return voltages of the readout and all counts.

    Parameters
    ----------
    network : with at most one `leaky_readout`
    spikes : input; its units are the neurons of the spike sources, in the order of the network
    traces : also keep u, v and spikes of every neuron at every step (9 bytes each)
    threads : samples run at the same time; None uses every core this process may use

    Raises
    ------
    NetworkError
        If an integer of the network is outside what Loihi can hold, or there is more than one readout.
    InputError
        If the spikes are of another number of units than the network has.
    """
    check_integers(network)
    readouts = [p for p in network.populations if p.kind == "leaky_readout"]
    if len(readouts) > 1:
        raise NetworkError(
            f"network: {len(readouts)} leaky_readout populations, must be at most 1; read from one population"
        )
    tables = _build_tables(network)
    check_sources(network, spikes)
    first = {p.name: int(f) for p, f in zip(tables.neurons, _firsts(tables.neurons), strict=True)}
    n_samples, n_steps, n = spikes.n_samples, spikes.n_steps, tables.n_neurons
    readout_first = first[readouts[0].name] if readouts else 0
    readout_v = np.zeros((n_samples, n_steps, sum(p.size for p in readouts)), dtype=np.int32)
    counts = np.zeros((n_samples, len(tables.neurons), 4), dtype=np.int64)
    neuron_counts = np.zeros((n_samples, n), dtype=np.int64)
    first_spikes = np.full((n_samples, n), n_steps, dtype=np.int64)
    shape = (n_samples, n_steps, n) if traces else (0, 0, 0)
    trace_u, trace_v = np.zeros(shape, dtype=np.int32), np.zeros(shape, dtype=np.int32)
    trace_s = np.zeros(shape, dtype=np.bool_)

    # In the order of the parameters of `_run_samples`, from n_steps on.
    arguments = (
        n_steps,
        tables.n_sources,
        tables.ring_rows,
        *(np.ascontiguousarray(a) for a in (spikes.times, spikes.units, spikes.offsets)),
        *(tables.synapse_ptr, tables.reach, tables.addend, tables.population_of),
        *(tables.keep_u, tables.keep_v, tables.threshold),
        *(readout_first, readout_v, counts, neuron_counts, first_spikes, traces, trace_u, trace_v, trace_s),
    )
    kernel = _kernel()
    _spread(
        lambda begin, end: kernel(begin, end, *arguments),
        n_samples,
        _default_threads() if threads is None else threads,
    )

    totals = counts.sum(axis=0)
    index = {p.name: i for i, p in enumerate(tables.neurons)}
    columns = {p.name: slice(first[p.name], first[p.name] + p.size) for p in tables.neurons}
    traced = columns if traces else {}
    return Emulation(
        readout_v=readout_v,
        spike_counts={
            **_count_input(tables.sources, spikes),
            **{name: counts[:, i, _SPIKES].copy() for name, i in index.items()},
        },
        wraps={name: int(totals[i, _WRAPS]) for name, i in index.items()},
        clips={name: int(totals[i, _CLIPS]) for name, i in index.items()},
        readout_spikes={p.name: int(totals[index[p.name], _SPIKES]) for p in readouts},
        neuron_counts={name: neuron_counts[:, part] for name, part in columns.items()},
        first_spikes={name: first_spikes[:, part] for name, part in columns.items()},
        peaks={name: int(counts[:, i, _PEAK].max(initial=0)) for name, i in index.items()},
        u={name: trace_u[:, :, part] for name, part in traced.items()},
        v={name: trace_v[:, :, part] for name, part in traced.items()},
        spikes={name: trace_s[:, :, part] for name, part in traced.items()},
    )


def check_sources(network: IntegerNetwork, spikes: SpikeTrains) -> None:
    """Refuse spikes of another number of units than the spike sources of the network have (InputError)."""
    n_sources = sum(p.size for p in network.populations if p.kind == "spike_source")
    if spikes.n_units != n_sources:
        raise InputError(
            f"spikes: {spikes.n_units} units, but the spike sources of the network have {n_sources} neurons; "
            "encode the samples for this network"
        )


def _default_threads() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def _firsts(populations: tuple[IntegerPopulation, ...]) -> NDArray[np.int64]:
    """First neuron of each population when they are numbered through."""
    sizes = np.array([p.size for p in populations], dtype=np.int64)
    return np.cumsum(sizes) - sizes


def _build_tables(network: IntegerNetwork) -> _Tables:
    """Number the units and sort the synapses by source unit, then by where they arrive."""
    sources = tuple(p for p in network.populations if p.kind == "spike_source")
    neurons = network.simulated
    n_sources, n_neurons = sum(p.size for p in sources), sum(p.size for p in neurons)
    first_neuron = {p.name: int(first) for p, first in zip(neurons, _firsts(neurons), strict=True)}
    first_unit = {p.name: int(first) for p, first in zip(sources, _firsts(sources), strict=True)}
    first_unit |= {name: n_sources + first for name, first in first_neuron.items()}
    units, reaches, addends = ([np.zeros(0, dtype=np.int64)] for _ in range(3))
    for projection in network.projections:
        # A weight of zero adds nothing in Lava either, so those synapses need no entry.
        exists = projection.exists & (projection.weight != 0)
        pre, post = np.nonzero(exists)
        units.append(pre + first_unit[projection.source])
        reaches.append((1 + projection.slots[exists]) * n_neurons + post + first_neuron[projection.target])
        addends.append(projection.weight[exists].astype(np.int64) << projection.exponent)
    unit, reach, addend = (np.concatenate(parts) for parts in (units, reaches, addends))
    # Beyond this the int32 sum itself could wrap unseen, and no count would show it.
    fan_in = np.bincount(reach % n_neurons, weights=np.abs(addend), minlength=n_neurons)
    if fan_in.size and fan_in.max() >= 2**31:
        raise NetworkError(
            f"network: the weights onto neuron {fan_in.argmax()} add up to {fan_in.max():.0f}, must stay "
            "below 2^31; lower the exponent"
        )
    ring_rows = int(reach.max() // n_neurons) + 1 if reach.size else 1
    order = np.lexsort((reach, unit))
    sizes = np.array([p.size for p in neurons], dtype=np.int64)
    return _Tables(
        sources=sources,
        neurons=neurons,
        n_sources=n_sources,
        n_neurons=n_neurons,
        ring_rows=ring_rows,
        synapse_ptr=np.searchsorted(unit[order], np.arange(n_sources + n_neurons + 1)).astype(np.int64),
        reach=reach[order],
        addend=addend[order].astype(np.int32),
        population_of=np.repeat(np.arange(len(neurons), dtype=np.int64), sizes),
        keep_u=np.repeat(np.array([4096 - (p.du + 1) for p in neurons], dtype=np.int64), sizes),
        keep_v=np.repeat(np.array([4096 - p.dv for p in neurons], dtype=np.int64), sizes),
        threshold=np.repeat(np.array([p.vth << 6 for p in neurons], dtype=np.int64), sizes),
    )


def _count_input(sources: tuple[IntegerPopulation, ...], spikes: SpikeTrains) -> dict[str, NDArray[np.int64]]:
    """Input spikes of each source population and sample."""
    sample = np.repeat(np.arange(spikes.n_samples), np.diff(spikes.offsets))
    counts: dict[str, NDArray[np.int64]] = {}
    for population, first in zip(sources, _firsts(sources), strict=True):
        mine = (spikes.units >= first) & (spikes.units < first + population.size)
        counts[population.name] = np.bincount(sample[mine], minlength=spikes.n_samples).astype(np.int64)
    return counts


def _spread(run: Callable[[int, int], None], n_samples: int, threads: int) -> None:
    """Call ``run(begin, end)`` for parts of ``0..n_samples``, several at a time."""
    if threads < 1:
        raise InputError(f"emulate: threads {threads} is below 1; leave it out to use every core")
    threads = min(threads, n_samples)
    if threads <= 1:
        run(0, n_samples)
        return
    # Samples differ in their number of spikes: several parts a thread even that out.
    part = max(1, n_samples // (4 * threads))
    with ThreadPoolExecutor(threads) as pool:
        jobs = [pool.submit(run, begin, min(begin + part, n_samples)) for begin in range(0, n_samples, part)]
        for job in jobs:
            job.result()


@cache
def _kernel() -> Callable[..., None]:
    """The compiled kernel; at first use, because importing numba takes half a second."""
    compiled: Callable[..., None] = kernel(_run_samples)
    return compiled


def _run_samples(
    begin: int,
    end: int,
    n_steps: int,
    n_sources: int,
    ring_rows: int,
    times: NDArray[Any],
    units: NDArray[Any],
    offsets: NDArray[Any],
    synapse_ptr: NDArray[Any],
    reach: NDArray[Any],
    addend: NDArray[Any],
    population_of: NDArray[Any],
    keep_u: NDArray[Any],
    keep_v: NDArray[Any],
    threshold: NDArray[Any],
    readout_first: int,
    readout_v: NDArray[Any],
    counts: NDArray[Any],
    neuron_counts: NDArray[Any],
    first_spikes: NDArray[Any],
    traces: bool,
    trace_u: NDArray[Any],
    trace_v: NDArray[Any],
    trace_s: NDArray[Any],
) -> None:
    """Samples ``begin..end`` one after the other; see `emulate` and `_Tables` for the arrays.

    Compiled by numba without helpers, so that it can be cached on disk as one function.
    """
    n_neurons = keep_u.size
    n_readout = readout_v.shape[2]
    ring_size = ring_rows * n_neurons
    ring = np.zeros(ring_size, dtype=np.int32)
    u = np.zeros(n_neurons, dtype=np.int64)
    v = np.zeros(n_neurons, dtype=np.int64)
    for sample in range(begin, end):
        ring[:] = 0  # spikes in flight belong to the sample before
        u[:] = 0
        v[:] = 0
        event = offsets[sample]
        last_event = offsets[sample + 1]
        for step in range(n_steps):
            row = (step % ring_rows) * n_neurons
            while event < last_event and times[event] == step:
                source = units[event]
                for synapse in range(synapse_ptr[source], synapse_ptr[source + 1]):
                    place = row + reach[synapse]
                    if place >= ring_size:
                        place -= ring_size
                    ring[place] += addend[synapse]
                event += 1
            for j in range(n_neurons):
                # Python's >> floors: shifting the magnitude makes the decay go toward zero, as in Lava.
                current = (abs(u[j]) * keep_u[j]) >> 12
                if u[j] < 0:
                    current = -current
                current += np.int64(ring[row + j]) << 6
                ring[row + j] = 0
                # Lava adds in int32, which wraps; this is the same for any size of the sum.
                kept = ((current + 2147483648) & 4294967295) - 2147483648
                wrapped = kept != current
                if kept > 8388608:
                    kept -= 16777216
                    wrapped = True
                elif kept <= -8388608:
                    kept += 16777216
                    wrapped = True
                u[j] = kept
                volt = (abs(v[j]) * keep_v[j]) >> 12
                if v[j] < 0:
                    volt = -volt
                volt += kept
                clipped = ((volt + 2147483648) & 4294967295) - 2147483648
                if clipped > 8388607:
                    clipped = 8388607
                elif clipped < -8388607:
                    clipped = -8388607
                peak = max(abs(current), abs(volt))
                if peak > counts[sample, population_of[j], 3]:
                    counts[sample, population_of[j], 3] = peak
                if wrapped:
                    counts[sample, population_of[j], 1] += 1
                if clipped != volt:
                    counts[sample, population_of[j], 0] += 1
                spike = clipped > threshold[j]
                v[j] = 0 if spike else clipped
                if spike:
                    counts[sample, population_of[j], 2] += 1
                    neuron_counts[sample, j] += 1
                    first_spikes[sample, j] = min(first_spikes[sample, j], step)
                    source = n_sources + j
                    for synapse in range(synapse_ptr[source], synapse_ptr[source + 1]):
                        place = row + reach[synapse]
                        if place >= ring_size:
                            place -= ring_size
                        ring[place] += addend[synapse]
                if traces:
                    trace_u[sample, step, j] = u[j]
                    trace_v[sample, step, j] = v[j]
                    trace_s[sample, step, j] = spike
            for j in range(n_readout):
                readout_v[sample, step, j] = v[readout_first + j]
