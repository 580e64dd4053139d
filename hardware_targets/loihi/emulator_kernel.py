"""The compiled step of the emulator; see `emulator` for its equations and `emulator_tables` for the arrays.

Nearly always nothing leaves 24 bits. `advance_within` is right for those steps alone: int32 throughout, without a
branch, so that LLVM makes vectors of it. It says what it met; where that is too large, `advance_exactly` takes the
same step again from the old state, one neuron at a time in int64, and counts what wraps and what is clipped.

Indices are unsigned: a signed one costs a test for the end of the array at every access.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hardware_targets.loihi.emulator_tables import (
    CLIPS,
    CURRENT_WRAPPED,
    EVENT,
    NEURON,
    NOTHING,
    PEAK_U,
    PEAK_V,
    POPULATION,
    READOUT_SPIKED,
    SPIKES,
    STATE_MAX,
    STEP,
    SUM_WRAPPED,
    VALUE,
    VOLTAGE_CLIPPED,
    WRAPS,
    Records,
    Tables,
)
from toolchain.kernels import kernel

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

ONE = np.uint64(1)
SIX, TWELVE, LOW = np.int32(6), np.int32(12), np.int32(4095)
LARGEST = np.int64(STATE_MAX)
SMALL_SUM = np.int32(2**18)
"""A larger sum alone takes u out of 24 bits, whatever u was within them; with a smaller one int32 holds any u."""


@kernel
def _decayed(state: np.int32, keep: np.int32) -> np.int32:
    """(|state| * keep) >> 12 with the sign of the state, in 32 bits.

    |state| = 4096 high + low, so that it is high * keep + ((low * keep) >> 12): no term exceeds |state| or 2^24.
    """
    magnitude = np.int32(abs(state))
    high, low = np.int32(magnitude >> TWELVE), np.int32(magnitude & LOW)
    kept = np.int32(np.int32(high * keep) + np.int32(np.int32(low * keep) >> TWELVE))
    return kept if state >= 0 else np.int32(-kept)


@kernel
def advance_within(
    window: I32, row: np.uint64, u: I32, v: I32, new_u: I32, new_v: I32, first: np.uint64, end: np.uint64,
    keep_u: np.int32, keep_v: np.int32,
) -> tuple[np.int32, np.int32, np.int32, np.int32]:  # fmt: skip
    """One step of neurons first..end where nothing leaves 24 bits, but for their spikes.

    What arrives at neuron j is window[row + j]. Returns the largest |sum|, the largest |u|, the largest |v|, and the
    largest v, or 0. Unless they `fit`, the new state is void.
    """
    largest_sum = peak_u = peak_v = top = np.int32(0)
    for j in range(first, end):
        arriving = window[row + j]
        current = np.int32(_decayed(u[j], keep_u) + np.int32(arriving << SIX))
        voltage = np.int32(_decayed(v[j], keep_v) + current)
        new_u[j], new_v[j] = current, voltage
        largest_sum = max(largest_sum, np.int32(abs(arriving)))
        peak_u = max(peak_u, np.int32(abs(current)))
        peak_v = max(peak_v, np.int32(abs(voltage)))
        top = max(top, voltage)
    return largest_sum, peak_u, peak_v, top


@kernel
def fit(largest_sum: np.int32, peak: np.int32, largest: np.int32) -> bool:
    """Whether `advance_within`, which met these, was right; `largest` of the population as in `Tables`."""
    return bool(largest_sum <= SMALL_SUM and peak <= largest)


@kernel
def _note(overflow: I64, step: int, population: int, neuron: int, event: int, value: int) -> None:
    """Keep the first event of a sample."""
    if overflow[EVENT] == NOTHING:
        overflow[STEP], overflow[POPULATION], overflow[NEURON] = step, population, neuron
        overflow[EVENT], overflow[VALUE] = event, value


@kernel
def advance_exactly(
    window: I32, row: np.uint64, u: I32, v: I32, new_u: I32, new_v: I32, population: np.uint64, tables: Tables,
    step: int, counts: I64, overflow: I64,
) -> np.int32:  # fmt: skip
    """The same step of a population whatever it meets; returns the largest v, or 0.

    `counts` and `overflow` are those of its sample, as in `Records`: wraps, clips and the peak are entered.
    """
    first, end = tables.first[population], tables.first[population + ONE]
    keep_u, keep_v = np.int64(tables.keep_u[population]), np.int64(tables.keep_v[population])
    largest = np.int64(tables.largest[population])
    p, top = np.int64(population), np.int64(0)
    for j in range(first, end):
        neuron = np.int64(j - first)
        # Python's >> floors: shifting the magnitude makes the decay go toward zero, as in Lava.
        current = (abs(np.int64(u[j])) * keep_u) >> 12
        if u[j] < 0:
            current = -current
        current += np.int64(window[row + j]) << 6
        # Lava adds in int32, which wraps; this is the same for any size of the sum.
        kept = ((current + 2**31) & (2**32 - 1)) - 2**31
        if kept != current:
            _note(overflow, step, p, neuron, SUM_WRAPPED, current)
        if kept > 2**23:
            kept -= 2**24
        elif kept <= -(2**23):
            kept += 2**24
        if kept != current:
            counts[WRAPS] += 1
            _note(overflow, step, p, neuron, CURRENT_WRAPPED, current)
        # The wrap leaves |u| at most 2^31 - 2^24, and |v| is below 2^23: their sum needs no more than 32 bits.
        voltage = (abs(np.int64(v[j])) * keep_v) >> 12
        if v[j] < 0:
            voltage = -voltage
        voltage += kept
        counts[PEAK_U] = max(counts[PEAK_U], abs(current))
        counts[PEAK_V] = max(counts[PEAK_V], abs(voltage))
        clipped = min(max(voltage, -LARGEST), LARGEST)
        if clipped != voltage:
            counts[CLIPS] += 1
            _note(overflow, step, p, neuron, VOLTAGE_CLIPPED, voltage)
        if clipped > largest:
            _note(overflow, step, p, neuron, READOUT_SPIKED, clipped)
        new_u[j], new_v[j] = np.int32(kept), np.int32(clipped)
        top = max(top, clipped)
    return np.int32(top)


@kernel
def _deliver(window: I32, row: np.uint64, unit: np.uint64, tables: Tables) -> None:
    """Add what a spike of a unit sends to the rows of the steps at which it arrives."""
    for synapse in range(tables.synapse_ptr[unit], tables.synapse_ptr[unit + ONE]):
        packed = tables.synapse[synapse]
        window[row + np.uint64(np.uint32(packed))] += np.int32(packed >> 32)


@kernel
def _move_to_front(window: I32, row: np.uint64) -> None:
    """Move all from `row` on to the start of the window, and clear the rest."""
    left = np.uint64(window.size) - row
    for i in range(left):
        window[i] = window[row + i]
    window[left:] = 0


@kernel
def run_samples(begin: int, end: int, times: I32, units: I32, offsets: I64, tables: Tables, records: Records) -> None:
    """Emulate samples begin..end, each from the zero state.

    `times`, `units` (n_events,) and `offsets` (n_samples + 1,) as in `SpikeTrains`.
    """
    n_steps, n_readout = records.readout_v.shape[1], records.readout_v.shape[2]
    n_populations = np.uint64(tables.keep_u.size)
    n_neurons, n_sources = tables.first[n_populations], np.uint64(tables.n_sources)
    traces = records.u.size > 0
    # Twice as long as a spike reaches: the rows in use move to the front once in so many steps, and no synapse has
    # to ask whether it passes the end.
    ahead = np.uint64(tables.n_rows) * n_neurons
    window = np.zeros(np.uint64(2) * ahead, dtype=np.int32)
    u, v = np.zeros(n_neurons, dtype=np.int32), np.zeros(n_neurons, dtype=np.int32)
    new_u, new_v = np.zeros(n_neurons, dtype=np.int32), np.zeros(n_neurons, dtype=np.int32)
    for sample in range(begin, end):
        window[:] = 0  # spikes in flight belong to the sample before
        u[:] = 0
        v[:] = 0
        row = np.uint64(0)
        event, last_event = np.uint64(offsets[sample]), np.uint64(offsets[sample + 1])
        for step in range(n_steps):
            while event < last_event and times[event] == step:
                _deliver(window, row, np.uint64(units[event]), tables)
                event += ONE
            for p in range(n_populations):
                first, stop = tables.first[p], tables.first[p + ONE]
                counts, threshold = records.counts[sample, p], tables.threshold[p]
                largest_sum, peak_u, peak_v, top = advance_within(
                    window, row, u, v, new_u, new_v, first, stop, tables.keep_u[p], tables.keep_v[p]
                )
                if fit(largest_sum, max(peak_u, peak_v), tables.largest[p]):
                    counts[PEAK_U] = max(counts[PEAK_U], np.int64(peak_u))
                    counts[PEAK_V] = max(counts[PEAK_V], np.int64(peak_v))
                else:
                    top = advance_exactly(
                        window, row, u, v, new_u, new_v, p, tables, step, counts, records.overflow[sample]
                    )
                if top <= threshold:
                    continue
                for j in range(first, stop):
                    if new_v[j] > tables.own_threshold[j]:
                        new_v[j] = 0
                        counts[SPIKES] += 1
                        records.neuron_counts[sample, j] += 1
                        records.first_spikes[sample, j] = min(records.first_spikes[sample, j], step)
                        if traces:
                            records.spikes[sample, step, j] = True
                        _deliver(window, row, n_sources + j, tables)
            u, new_u = new_u, u
            v, new_v = new_v, v
            if traces:
                records.u[sample, step] = u
                records.v[sample, step] = v
            for j in range(n_readout):
                records.readout_v[sample, step, j] = v[records.readout_first + j]
            row += n_neurons
            if row + ahead > window.size:
                _move_to_front(window, row)
                row = np.uint64(0)
