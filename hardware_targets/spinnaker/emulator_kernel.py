"""The compiled tick of the emulator; see `emulator` for its equations and `emulator_tables` for the arrays.

Nearly always nothing leaves 32 bits. `_transfer_within` and `_membrane_within` are right for those ticks alone: one
loop for each thing that is written, without a branch, so that LLVM makes vectors of them. They say whether they were
right; where not, `_advance_exactly` does the same tick from the old state, one neuron at a time, and counts what wraps.
It also finds which was the first entry of the ring buffer to saturate.

Indices are unsigned: a signed one costs a test for the end of the array at every access.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hardware_targets.spinnaker.emulator_tables import (
    CURRENT_WRAPPED,
    EVENT,
    EXC_SATURATED,
    EXC_WRAPPED,
    NEURON,
    NOTHING,
    PEAK_CURRENT,
    PEAK_EXC,
    PEAK_VOLTAGE,
    POPULATION,
    RING_MAX,
    SATURATIONS,
    SPIKES,
    TICK,
    VALUE,
    VOLTAGE_WRAPPED,
    WRAPS,
    Records,
    Tables,
)
from hardware_targets.spinnaker.integer_network import N_TYPES
from toolchain.kernels import kernel

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
U32 = NDArray[np.uint32]

ZERO, ONE = np.uint64(0), np.uint64(1)
FULL = np.int32(RING_MAX)
HALF_WORD = np.uint64(32)
OUTSIDE, SIGN = np.int64(2**46), np.uint64(47)
"""(p + OUTSIDE) >> SIGN, unsigned, is 0 if and only if p >> 15 fits 32 bits."""


class State(NamedTuple):
    """Neurons of a network, (n_neurons,) each.

    `exc`, `inh` synaptic values, s16.15, and `v` at the end of a tick, `timer` ticks of refractoriness left. Of the
    tick that was computed last: `used_exc`, `used_inh` after the transfer of the ring buffer and before the decay, as
    the membrane takes them, `new_v` before a reset, and `spiked`, which is left as it was where no neuron did.
    """

    exc: I32
    inh: I32
    v: I32
    timer: I32
    used_exc: I32
    used_inh: I32
    new_v: I32
    spiked: NDArray[np.bool_]


def make_state(n: int) -> State:
    """State of n neurons, all zero."""
    exc, inh, v, timer, used_exc, used_inh, new_v = (np.zeros(n, dtype=np.int32) for _ in range(7))
    return State(exc, inh, v, timer, used_exc, used_inh, new_v, np.zeros(n, dtype=np.bool_))


@kernel
def _decayed(x: np.int32, u: np.uint32) -> np.int32:
    """(x * u) >> 32, as the chip does it: an unsigned product, less u where x is negative."""
    high = np.int32((np.uint64(np.uint32(x)) * np.uint64(u)) >> HALF_WORD)
    return np.int32(high - np.int32(u)) if x < 0 else high


@kernel
def _transfer_within(
    window: I32, row: np.uint64, value: I32, init: U32, used: I32, first: np.uint64, end: np.uint64, shift: np.int32
) -> tuple[np.int32, np.int32, np.int32]:
    """Add what arrives to the values of one type, where nothing wraps.

    What arrives at neuron j is window[row + j]. Returns the largest entry, the number of those that saturated, and a
    number below 0 if anything wrapped.
    """
    peak = saturated = wrapped = np.int32(0)
    for j in range(first, end):
        entry = window[row + j]
        peak = max(peak, entry)
        saturated = np.int32(saturated + (entry > FULL))
        arriving = np.int32(min(entry, FULL) << shift)
        added = np.int32((np.uint64(np.uint32(arriving)) * np.uint64(init[j])) >> HALF_WORD)
        before = value[j]
        after = np.int32(before + added)
        # A sum wrapped if both terms have the sign that it has not; a shift, if its sign bit is set.
        out = np.int32(np.int32(before ^ after) & np.int32(added ^ after))
        wrapped = np.int32(wrapped | np.int32(arriving | out))
        used[j] = after
    return peak, saturated, wrapped


@kernel
def _membrane_within(
    exc: I32, inh: I32, i_offset: I32, resistance: I32, v_rest: I32, exp_tc: I32, v: I32, timer: I32, new_v: I32,
    first: np.uint64, end: np.uint64,
) -> tuple[np.int32, np.int32, np.int32, np.int32, np.int32]:  # fmt: skip
    """Voltages before a reset; returns least and largest current and voltage, and a number below 0 if any wrapped."""
    low_current = high_current = wrapped = np.int32(0)
    low_v, high_v = np.int32(2**31 - 1), np.int32(-(2**31))
    for j in range(first, end):
        difference = np.int32(exc[j] - inh[j])
        current = np.int32(difference + i_offset[j])
        out = np.int32(np.int32(exc[j] ^ inh[j]) & np.int32(exc[j] ^ difference))
        out = np.int32(out | np.int32(np.int32(difference ^ current) & np.int32(i_offset[j] ^ current)))
        product = np.int64(current) * np.int64(resistance[j])
        beyond = np.int32(np.uint64(product + OUTSIDE) >> SIGN)
        rise = np.int32(product >> 15)
        alpha = np.int32(rise + v_rest[j])
        out = np.int32(out | np.int32(np.int32(rise ^ alpha) & np.int32(v_rest[j] ^ alpha)))
        gap = np.int32(alpha - v[j])
        out = np.int32(out | np.int32(np.int32(alpha ^ v[j]) & np.int32(alpha ^ gap)))
        # exp_tc is below 1, so that neither this product nor the difference leaves 32 bits.
        voltage = np.int32(alpha - np.int32((np.int64(exp_tc[j]) * np.int64(gap)) >> 15))
        active = timer[j] <= 0
        voltage = voltage if active else v[j]
        current = current if active else np.int32(0)
        out = np.int32(out | np.int32(-beyond)) if active else np.int32(0)
        wrapped = np.int32(wrapped | out)
        low_current, high_current = min(low_current, current), max(high_current, current)
        low_v, high_v = min(low_v, voltage), max(high_v, voltage)
        new_v[j] = voltage
    return low_current, high_current, low_v, high_v, wrapped


@kernel
def _wrapped(x: np.int64) -> np.int64:
    return ((x + 2**31) & (2**32 - 1)) - 2**31


@kernel
def _note(overflow: I64, tick: int, population: int, neuron: int, event: int, value: int) -> None:
    """Keep the first event of a sample."""
    if overflow[EVENT] == NOTHING:
        overflow[TICK], overflow[POPULATION], overflow[NEURON] = tick, population, neuron
        overflow[EVENT], overflow[VALUE] = event, value


@kernel
def _advance_exactly(
    window: I32, row: np.uint64, state: State, p: np.uint64, tables: Tables, tick: int, counts: I64, overflow: I64
) -> None:
    """Used values and new voltages of a population, whatever they are.

    A value wrapped where the chip's 32 bits differ from the same sum of whole numbers: in the middle of one it may
    leave 32 bits and come back.
    """
    n_neurons = np.uint64(tables.resistance.size)
    for j in range(tables.first[p], tables.first[p + ONE]):
        neuron = np.int64(j - tables.first[p])
        for kind in range(N_TYPES):
            entry = np.int64(window[row + np.uint64(kind) * n_neurons + j])
            counts[PEAK_EXC + kind] = max(counts[PEAK_EXC + kind], entry)
            if entry > RING_MAX:
                counts[SATURATIONS] += 1
                _note(overflow, tick, np.int64(p), neuron, EXC_SATURATED + kind, entry)
                entry = np.int64(RING_MAX)
            arriving = entry << np.int64(tables.shifts[p, kind])
            init = np.int64(tables.init_e[j] if kind == 0 else tables.init_i[j])
            before = np.int64(state.exc[j] if kind == 0 else state.inh[j])
            added = np.int64(_decayed(np.int32(_wrapped(arriving)), np.uint32(init)))
            value = _wrapped(before + added)
            # Of at most 32 bits each: the product of whole numbers stays below 2^64.
            true = before + np.int64((np.uint64(arriving) * np.uint64(init)) >> HALF_WORD)
            if value != true:
                counts[WRAPS] += 1
                _note(overflow, tick, np.int64(p), neuron, EXC_WRAPPED + kind, true)
            if kind == 0:
                state.used_exc[j] = np.int32(value)
            else:
                state.used_inh[j] = np.int32(value)
        before = np.int64(state.v[j])
        state.new_v[j] = state.v[j]
        voltage = before
        if state.timer[j] <= 0:
            true = np.int64(state.used_exc[j]) - np.int64(state.used_inh[j]) + np.int64(tables.i_offset[j])
            current = _wrapped(true)
            counts[PEAK_CURRENT] = max(counts[PEAK_CURRENT], abs(true))
            if current != true:
                counts[WRAPS] += 1
                _note(overflow, tick, np.int64(p), neuron, CURRENT_WRAPPED, true)
            rise = (current * np.int64(tables.resistance[j])) >> 15
            exp_tc = np.int64(tables.exp_tc[j])
            # |rise| <= 2^47 and exp_tc < 2^15: whole numbers stay below 2^63.
            alpha = rise + np.int64(tables.v_rest[j])
            voltage = alpha - ((exp_tc * (alpha - before)) >> 15)
            alpha = _wrapped(alpha)
            kept = _wrapped(alpha - _wrapped((exp_tc * _wrapped(alpha - before)) >> 15))
            if kept != voltage:
                counts[WRAPS] += 1
                _note(overflow, tick, np.int64(p), neuron, VOLTAGE_WRAPPED, voltage)
            state.new_v[j] = np.int32(kept)
        counts[PEAK_VOLTAGE] = max(counts[PEAK_VOLTAGE], abs(voltage))


@kernel
def step_neurons(
    window: I32, row: np.uint64, state: State, p: np.uint64, tables: Tables, tick: int, counts: I64, overflow: I64
) -> int:
    """One tick of the neurons of population p, at which window[row:] arrives; returns how many of them spiked.

    `counts` and `overflow` are those of its sample, as in `Records`; SPIKES is left to the caller.
    """
    first, end = tables.first[p], tables.first[p + ONE]
    inhibitory = row + np.uint64(tables.resistance.size)
    peak_e, saturated_e, out_e = _transfer_within(
        window, row, state.exc, tables.init_e, state.used_exc, first, end, tables.shifts[p, 0]
    )
    peak_i, saturated_i, out_i = _transfer_within(
        window, inhibitory, state.inh, tables.init_i, state.used_inh, first, end, tables.shifts[p, 1]
    )
    low_current, high_current, low_v, high_v, out = _membrane_within(
        state.used_exc, state.used_inh, tables.i_offset, tables.resistance, tables.v_rest, tables.exp_tc, state.v,
        state.timer, state.new_v, first, end,
    )  # fmt: skip
    saturated = np.int64(saturated_e) + np.int64(saturated_i)
    is_first = saturated > 0 and overflow[EVENT] == NOTHING
    if np.int32(out_e | out_i | out) >= 0 and not is_first:
        counts[SATURATIONS] += saturated
        counts[PEAK_EXC] = max(counts[PEAK_EXC], np.int64(peak_e))
        counts[PEAK_EXC + 1] = max(counts[PEAK_EXC + 1], np.int64(peak_i))
        counts[PEAK_CURRENT] = max(counts[PEAK_CURRENT], max(np.int64(high_current), -np.int64(low_current)))
        counts[PEAK_VOLTAGE] = max(counts[PEAK_VOLTAGE], max(np.int64(high_v), -np.int64(low_v)))
    else:
        _advance_exactly(window, row, state, p, tables, tick, counts, overflow)
    n_spikes = 0
    for j in range(first, end):
        n_spikes += state.new_v[j] >= tables.v_thresh[j]
    for j in range(first, end):
        state.timer[j] = np.int32(state.timer[j] - (state.timer[j] > 0))
    for j in range(first, end):
        state.v[j] = state.new_v[j]
    if n_spikes > 0:
        for j in range(first, end):
            state.spiked[j] = state.new_v[j] >= tables.v_thresh[j]
            if state.spiked[j]:
                state.v[j], state.timer[j] = tables.v_reset[j], tables.t_refract[j]
    for j in range(first, end):
        state.exc[j] = _decayed(state.used_exc[j], tables.decay_e[j])
    for j in range(first, end):
        state.inh[j] = _decayed(state.used_inh[j], tables.decay_i[j])
    return n_spikes


@kernel
def _deliver(window: I32, row: np.uint64, unit: np.uint64, tables: Tables) -> None:
    """Add what a spike of a unit sends to the rows of the ticks at which it arrives."""
    size = np.uint64(window.size)
    for synapse in range(tables.synapse_ptr[unit], tables.synapse_ptr[unit + ONE]):
        packed = tables.synapse[synapse]
        at = row + np.uint64(np.uint32(packed))
        window[at - size if at >= size else at] += np.int32(packed >> 32)


@kernel
def run_samples(begin: int, end: int, times: I32, units: I32, offsets: I64, tables: Tables, records: Records) -> None:
    """Emulate samples begin..end, each from the initial state: v at rest, everything else empty.

    `times`, `units` (n_events,) and `offsets` (n_samples + 1,) as in `SpikeTrains`.
    """
    n_ticks, n_readout = records.readout_v.shape[1], records.readout_v.shape[2]
    n_populations, n_neurons = np.uint64(tables.first.size - 1), np.uint64(tables.resistance.size)
    n_sources = np.uint64(tables.n_sources)
    traces = records.v.size > 0
    width = np.uint64(N_TYPES) * n_neurons
    window = np.zeros(np.uint64(tables.n_rows) * width, dtype=np.int32)
    empty = np.zeros(n_neurons, dtype=np.int32)
    state = State(
        empty.copy(), empty.copy(), empty.copy(), empty.copy(), empty.copy(), empty.copy(), empty.copy(),
        np.zeros(n_neurons, dtype=np.bool_),
    )  # fmt: skip
    for sample in range(begin, end):
        window[:] = 0  # spikes in flight belong to the sample before
        state.exc[:] = 0
        state.inh[:] = 0
        state.v[:] = tables.v_rest
        state.timer[:] = 0
        row = ZERO
        event, last_event = np.uint64(offsets[sample]), np.uint64(offsets[sample + 1])
        for tick in range(n_ticks):
            while event < last_event and times[event] == tick:
                _deliver(window, row, np.uint64(units[event]), tables)
                event += ONE
            for p in range(n_populations):
                counts = records.counts[sample, p]
                n_spikes = step_neurons(window, row, state, p, tables, tick, counts, records.overflow[sample])
                if n_spikes == 0:
                    continue
                counts[SPIKES] += n_spikes
                for j in range(tables.first[p], tables.first[p + ONE]):
                    if state.spiked[j]:
                        records.neuron_counts[sample, j] += 1
                        records.first_spikes[sample, j] = min(records.first_spikes[sample, j], tick)
                        if traces:
                            records.spikes[sample, tick, j] = True
                        _deliver(window, row, n_sources + j, tables)
            if traces:
                records.exc[sample, tick] = state.used_exc
                records.inh[sample, tick] = state.used_inh
                records.v[sample, tick] = state.v
            for j in range(n_readout):
                records.readout_v[sample, tick, j] = state.v[records.readout_first + j]
            window[row : row + width] = 0
            row += width
            if row == window.size:
                row = ZERO
