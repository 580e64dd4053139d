"""The integer emulator: sPyNNaker's IF_curr_exp on SpiNNaker 1, bit for bit, for a whole network.

One tick of a neuron, all integers, s16.15 but for `init` and `decay_u` (u0.32) and the ring buffer (16 bits):

    value[type] += decay(min(ring[type], 0xffff) << shift[type], init[type])
    refractory <= 0:  I = value[exc] - value[inh] + i_offset
                      alpha = mulk(I, R) + v_rest;  v <- alpha - mulk(exp_tc, alpha - v)
    otherwise:        refractory <- refractory - 1
    spike if v >= v_thresh, then v <- v_reset, refractory <- t_refract
    value[type] <- decay(value[type], decay_u[type])

All of it keeps 32 bits and wraps, as the chip does; what wraps or saturates is counted. A spike of tick t on a synapse
of delay d is in the ring of tick t + d, d >= 1, so the order of the neurons within a tick does not matter and one loop
over all of them is exact. Delays of any length arrive at t + d: that is what delay extensions do for spikes that are on
time (`delay_extension`). Spikes that a busy core handles late, or loses, are not emulated.

Source: the ARM code of sPyNNaker 7.4.1 (facts of the project, spinnaker.md section 3), which tests run beside this.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hardware_targets.emulation import check_sources, count_input, first_neurons, refuse_overflow, the_readout
from hardware_targets.over_samples import over_samples
from hardware_targets.spinnaker.emulator_tables import (
    CURRENT_WRAPPED,
    EXC_SATURATED,
    EXC_WRAPPED,
    INH_SATURATED,
    INH_WRAPPED,
    N_COUNTS,
    PEAK_CURRENT,
    PEAK_EXC,
    PEAK_INH,
    PEAK_VOLTAGE,
    RING_MAX,
    SATURATIONS,
    SPIKES,
    WRAPS,
    Records,
    build_tables,
)
from hardware_targets.spinnaker.integer_network import IntegerNetwork, check_integers
from toolchain.spikes import SpikeTrains


@dataclass(frozen=True)
class Emulation:
    """What a run of the emulator saw; voltages and values in s16.15.

    Attributes
    ----------
    readout_v : (n_samples, n_ticks, n_readout) int32, voltage of the leaky readout as computed in each tick; without
        one (n_samples, n_ticks, 0). sPyNNaker records before it updates: this voltage of tick t is its v of tick t + 1
    spike_counts : population -> (n_samples,) int64, spikes of each sample; spike sources included
    neuron_counts : simulated population -> (n_samples, n) int64, spikes of each neuron
    first_spikes : simulated population -> (n_samples, n) int64, tick of the first spike, n_ticks without one
    ring_saturations : population -> number of ring-buffer entries (a neuron, a type, a tick) that saturated at 0xffff
    state_wraps : population -> how often a synaptic value, a current or a voltage left 32 bits and wrapped
    ring_peaks : population -> largest excitatory and inhibitory ring-buffer entry, before it saturates
    current_peaks, voltage_peaks : population -> largest |I| and |v| before any wrap or reset; I of a refractory neuron
        is not computed
    exc, inh : population -> (n_samples, n_ticks, n) int32, synaptic values as the membrane takes them, which is what
        sPyNNaker records as gsyn in the same tick. Empty unless asked for.
    v : population -> (n_samples, n_ticks, n) int32, at the end of the tick, after the reset: sPyNNaker's v of the next
        tick. Empty unless asked for.
    spikes : population -> (n_samples, n_ticks, n) bool. Empty unless asked for.
    """

    readout_v: NDArray[np.int32]
    spike_counts: dict[str, NDArray[np.int64]]
    neuron_counts: dict[str, NDArray[np.int64]]
    first_spikes: dict[str, NDArray[np.int64]]
    ring_saturations: dict[str, int]
    state_wraps: dict[str, int]
    ring_peaks: dict[str, tuple[int, int]]
    current_peaks: dict[str, int]
    voltage_peaks: dict[str, int]
    exc: dict[str, NDArray[np.int32]]
    inh: dict[str, NDArray[np.int32]]
    v: dict[str, NDArray[np.int32]]
    spikes: dict[str, NDArray[np.bool_]]


def emulate(
    network: IntegerNetwork,
    spikes: SpikeTrains,
    *,
    traces: bool = False,
    threads: int | None = None,
    strict: bool = False,
) -> Emulation:
    """Run a network once; `Emulator` is for one that runs again and again. See there for parameters and errors."""
    return Emulator(network).run(spikes, traces=traces, threads=threads, strict=strict)


class Emulator:
    """A network made ready to run; what is done to its arrays afterwards does not change it.

    Parameters
    ----------
    network : with at most one `leaky_readout`

    Raises
    ------
    NetworkError
        If a number of the network is none that SpiNNaker can hold or compute with, or there is more than one readout.
    """

    def __init__(self, network: IntegerNetwork) -> None:
        check_integers(network)
        self._network = network
        self._readout = the_readout(network.populations)
        self._tables = build_tables(network)

    def run(
        self, spikes: SpikeTrains, *, traces: bool = False, threads: int | None = None, strict: bool = False
    ) -> Emulation:
        """Run every sample from v = v_rest and empty synapses, and return voltages of the readout and all counts.

        Parameters
        ----------
        spikes : input; its units are the neurons of the spike sources, in the order of the network
        traces : also keep values, v and spikes of every neuron at every tick (13 bytes each)
        threads : samples run at the same time; None uses every core this process may use
        strict : refuse the first saturation or wrap instead of counting it

        Raises
        ------
        InputError
            If the spikes are of another number of units than the network has, or `threads` is below 1.
        TargetLimitError
            If `strict` and something overflowed: the first of the first sample in which anything did.
        """
        # Numba, which takes half a second to import, comes with the kernels.
        from hardware_targets.spinnaker.emulator_kernel import run_samples

        check_sources(self._network.sources, spikes)
        records = self._make_records(spikes.n_samples, spikes.n_steps, traces)
        events = tuple(np.ascontiguousarray(a) for a in (spikes.times, spikes.units, spikes.offsets))
        over_samples(
            lambda begin, end: run_samples(begin, end, *events, self._tables, records),
            spikes.n_samples,
            threads,
        )
        if strict:
            refuse_overflow(records.overflow, self._network.simulated, "tick", _describe_overflow)
        return self._emulation(spikes, records, traces)

    def _make_records(self, n_samples: int, n_ticks: int, traces: bool) -> Records:
        neurons = self._network.simulated
        n = sum(p.size for p in neurons)
        shape = (n_samples, n_ticks, n) if traces else (0, 0, 0)
        return Records(
            np.zeros((n_samples, n_ticks, self._readout.size if self._readout else 0), dtype=np.int32),
            first_neurons(neurons)[self._readout.name] if self._readout else 0,
            np.zeros((n_samples, len(neurons), N_COUNTS), dtype=np.int64),
            np.zeros((n_samples, n), dtype=np.int64),
            np.full((n_samples, n), n_ticks, dtype=np.int64),
            np.zeros((n_samples, 5), dtype=np.int64),
            np.zeros(shape, dtype=np.int32),
            np.zeros(shape, dtype=np.int32),
            np.zeros(shape, dtype=np.int32),
            np.zeros(shape, dtype=np.bool_),
        )

    def _emulation(self, spikes: SpikeTrains, records: Records, traces: bool) -> Emulation:
        """What the kernel left, by population."""
        neurons, counts = self._network.simulated, records.counts
        first = first_neurons(neurons)
        columns = {p.name: slice(first[p.name], first[p.name] + p.size) for p in neurons}
        traced = columns if traces else {}
        index = {p.name: i for i, p in enumerate(neurons)}
        totals, peaks = counts.sum(axis=0), counts.max(axis=0, initial=0)
        return Emulation(
            readout_v=records.readout_v,
            spike_counts={
                **count_input(self._network.sources, spikes),
                **{name: counts[:, i, SPIKES].copy() for name, i in index.items()},
            },
            neuron_counts={name: records.neuron_counts[:, part] for name, part in columns.items()},
            first_spikes={name: records.first_spikes[:, part] for name, part in columns.items()},
            ring_saturations={name: int(totals[i, SATURATIONS]) for name, i in index.items()},
            state_wraps={name: int(totals[i, WRAPS]) for name, i in index.items()},
            ring_peaks={name: (int(peaks[i, PEAK_EXC]), int(peaks[i, PEAK_INH])) for name, i in index.items()},
            current_peaks={name: int(peaks[i, PEAK_CURRENT]) for name, i in index.items()},
            voltage_peaks={name: int(peaks[i, PEAK_VOLTAGE]) for name, i in index.items()},
            exc={name: records.exc[:, :, part] for name, part in traced.items()},
            inh={name: records.inh[:, :, part] for name, part in traced.items()},
            v={name: records.v[:, :, part] for name, part in traced.items()},
            spikes={name: records.spikes[:, :, part] for name, part in traced.items()},
        )


def _describe_overflow(event: int, value: int) -> str:
    """What overflowed, its limit and what became of it."""
    wraps = f"{value} is outside -2147483648..2147483647, the 32 bits of s16.15, and wraps"
    saturates = f"ring-buffer entry {value} exceeds {RING_MAX}, its 16 bits, and saturates"
    return {
        EXC_SATURATED: f"excitatory {saturates}",
        INH_SATURATED: f"inhibitory {saturates}",
        EXC_WRAPPED: f"excitatory value {wraps}",
        INH_WRAPPED: f"inhibitory value {wraps}",
        CURRENT_WRAPPED: f"current {wraps}",
    }.get(event, f"voltage {wraps}")
