"""The integer emulator: Lava's `fixed_pt` processes, bit for bit, without a process per layer.

One step of a neuron, all integers (Lava 0.10, `lava.proc.lif.models.PyLifModelBitAcc`):

    a <- sum of weight << exponent over arriving spikes
    u <- sign(u) * ((|u| * (4096 - (du + 1))) >> 12) + (a << 6)
         u > 2^23: u - 2^24;  u <= -2^23: u + 2^24      once, so a huge input leaves u beyond 24 bits
    v <- clip(sign(v) * ((|v| * (4096 - dv)) >> 12) + u, -(2^23 - 1), 2^23 - 1)
    spike if v > vth << 6, then v <- 0

Lava holds `u`, `v` and the sums in int32, so whatever passes 31 bits wraps there as well; the kernel
(`emulator_kernel`) does the same and counts it. A spike of step t on a synapse of slot k arrives at step
t + 1 + k, so the order of the neurons within a step does not matter and one loop over all of them is exact.

A `leaky_readout` is a LIF with the largest threshold there is. 131071 << 6 lies below the clip of v, so
a saturated readout does spike and lose its voltage, in Lava as here. `Emulation.readout_spikes` counts it.

Source: lava-nc 0.10.0 `proc/lif/models.py`, `proc/dense/models.py`, `proc/sparse/models.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hardware_targets.emulation import check_sources, count_input, first_neurons, refuse_overflow, the_readout
from hardware_targets.loihi.emulator_tables import (
    CLIPS,
    CURRENT_WRAPPED,
    N_COUNTS,
    PEAK_U,
    PEAK_V,
    SPIKES,
    STATE_MAX,
    SUM_WRAPPED,
    VOLTAGE_CLIPPED,
    WRAPS,
    Records,
    build_tables,
)
from hardware_targets.loihi.integer_network import READOUT_VTH, IntegerNetwork, check_integers
from hardware_targets.over_samples import over_samples
from toolchain.spikes import SpikeTrains


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
    current_peaks, voltage_peaks : population -> largest |u|, |v| before any wrap or clip, what 24 bits have to hold
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
    current_peaks: dict[str, int]
    voltage_peaks: dict[str, int]
    u: dict[str, NDArray[np.int32]]
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
        If an integer of the network is outside what Loihi can hold, or there is more than one readout.
    """

    def __init__(self, network: IntegerNetwork) -> None:
        check_integers(network)
        self._network = network
        self._readout = the_readout(network.populations)
        self._tables = build_tables(network)

    def run(
        self, spikes: SpikeTrains, *, traces: bool = False, threads: int | None = None, strict: bool = False
    ) -> Emulation:
        """Run every sample from the zero state and return voltages of the readout and all counts.

        Parameters
        ----------
        spikes : input; its units are the neurons of the spike sources, in the order of the network
        traces : also keep u, v and spikes of every neuron at every step (9 bytes each)
        threads : samples run at the same time; None uses every core this process may use
        strict : refuse the first wrap, clip or spike of a readout instead of counting it

        Raises
        ------
        InputError
            If the spikes are of another number of units than the network has, or `threads` is below 1.
        TargetLimitError
            If `strict` and something overflowed: the first of the first sample in which anything did.
        """
        # Numba, which takes half a second to import, comes with the kernels.
        from hardware_targets.loihi.emulator_kernel import run_samples

        check_sources(self._network.sources, spikes)
        records = self._make_records(spikes.n_samples, spikes.n_steps, traces)
        events = tuple(np.ascontiguousarray(a) for a in (spikes.times, spikes.units, spikes.offsets))
        over_samples(
            lambda begin, end: run_samples(begin, end, *events, self._tables, records),
            spikes.n_samples,
            threads,
        )
        if strict:
            refuse_overflow(records.overflow, self._network.simulated, "step", _describe_overflow)
        return self._emulation(spikes, records, traces)

    def _make_records(self, n_samples: int, n_steps: int, traces: bool) -> Records:
        neurons = self._network.simulated
        n = sum(p.size for p in neurons)
        shape = (n_samples, n_steps, n) if traces else (0, 0, 0)
        return Records(
            np.zeros((n_samples, n_steps, self._readout.size if self._readout else 0), dtype=np.int32),
            first_neurons(neurons)[self._readout.name] if self._readout else 0,
            np.zeros((n_samples, len(neurons), N_COUNTS), dtype=np.int64),
            np.zeros((n_samples, n), dtype=np.int64),
            np.full((n_samples, n), n_steps, dtype=np.int64),
            np.zeros((n_samples, 5), dtype=np.int64),
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
        totals = counts.sum(axis=0)
        return Emulation(
            readout_v=records.readout_v,
            spike_counts={
                **count_input(self._network.sources, spikes),
                **{name: counts[:, i, SPIKES].copy() for name, i in index.items()},
            },
            neuron_counts={name: records.neuron_counts[:, part] for name, part in columns.items()},
            first_spikes={name: records.first_spikes[:, part] for name, part in columns.items()},
            wraps={name: int(totals[i, WRAPS]) for name, i in index.items()},
            clips={name: int(totals[i, CLIPS]) for name, i in index.items()},
            readout_spikes={p.name: int(totals[index[p.name], SPIKES]) for p in neurons if p is self._readout},
            current_peaks={name: int(counts[:, i, PEAK_U].max(initial=0)) for name, i in index.items()},
            voltage_peaks={name: int(counts[:, i, PEAK_V].max(initial=0)) for name, i in index.items()},
            u={name: records.u[:, :, part] for name, part in traced.items()},
            v={name: records.v[:, :, part] for name, part in traced.items()},
            spikes={name: records.spikes[:, :, part] for name, part in traced.items()},
        )


def _describe_overflow(event: int, value: int) -> str:
    """What overflowed, its limit and what became of it."""
    return {
        SUM_WRAPPED: f"current {value} is outside -2147483648..2147483647, the 32 bits of its sum, and wraps",
        CURRENT_WRAPPED: f"current {value} is outside {-STATE_MAX}..{STATE_MAX + 1} and wraps",
        VOLTAGE_CLIPPED: f"voltage {value} is outside {-STATE_MAX}..{STATE_MAX} and is clipped",
    }.get(event, f"voltage {value} exceeds {READOUT_VTH << 6}, so that the readout spikes and loses it")
