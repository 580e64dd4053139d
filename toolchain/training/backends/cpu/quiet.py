"""Neurons to which little happens: from arrival to arrival in closed form, whatever the number of steps between.

m steps after a step with current I and voltage V, if nothing arrives and nothing spikes,

    I[m] = I beta^m,   V[m] = (V + c I) alpha^m - c I beta^m,   c = gain beta / (alpha - beta)

which is the step of `toolchain.network` taken m times, not an approximation of it. V has one maximum at most, before
which it is concave, so the first step at or above threshold is found by Newton's method from the left and a check
of the steps beside it. The adjoints decay in closed form likewise and are evaluated where a spike arrived, and nowhere
else. A neuron with n arrivals and spikes costs n exponentials, not a loop over steps: a time step of 5 us costs what
one of 1 ms does.

Groups with a cycle, leaky readouts, which have to be read at every step, and equal time constants, where the closed
form is another one, are left to the kernels that step.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from toolchain.kernels import kernel
from toolchain.training.backends.cpu.layout import F32, Groups, Synapses
from toolchain.training.backends.cpu.simd import lowest_bit
from toolchain.training.backends.cpu.state import Neurons, Reel, Scratch, Sums

ONE, EIGHT, WORD = np.uint64(1), np.uint64(8), np.uint64(64)


@kernel
def is_quiet(
    group: np.uint64, steps: np.uint64, n_sources: np.uint64, groups: Groups, neurons: Neurons, reel: Reel,
    slot: np.uint64,
) -> bool:  # fmt: skip
    """Whether a group is cheaper in closed form; the same answer forward and backward, as it rests on what arrives."""
    if groups.cyclic[group] > 0 or groups.leaky[group] > 0:
        return False
    block, ptr = groups.block[group], reel.ptr[slot]
    row = block * EIGHT
    for r in range(row, row + groups.first[group + ONE] - groups.first[group]):
        if neurons.alpha64[r] == 0.0:
            return False
    arrivals = np.uint64(0)
    for entry in range(groups.entry_ptr[block], groups.entry_ptr[block + ONE]):
        pre = np.uint64(groups.entry_pre[entry])
        arrivals += (ptr[pre + ONE] - ptr[pre]) * EIGHT
    for e in range(groups.single_ptr[row], groups.single_ptr[row + EIGHT]):
        pre = np.uint64(groups.single_pre[e])
        arrivals += ptr[pre + ONE] - ptr[pre]
    return bool(arrivals * np.uint64(groups.steps_per_arrival) < steps * EIGHT)


@kernel
def first_crossing(
    current: float, voltage: float, alpha: float, beta: float, gain: float, threshold: float, steps: int
) -> int:
    """First m in 1..steps with V[m] >= threshold, 0 if there is none; `voltage` is below threshold."""
    c = gain * beta / (alpha - beta)
    # V[m] = slow * exp(-p m) - fast * exp(-q m) with p < q
    slow, fast, p, q = voltage + c * current, c * current, -math.log(alpha), -math.log(beta)
    if p > q:
        slow, fast, p, q = -fast, -slow, q, p
    if steps < 1 or slow < threshold or q * fast <= p * slow:
        return 0
    peak = math.log(q * fast / (p * slow)) / (q - p)
    below = steps if peak >= steps else int(peak)  # V rises up to here
    last = below
    if slow * math.exp(-p * below) - fast * math.exp(-q * below) < threshold or below == 0:
        last = below + 1
        if last > steps or slow * math.exp(-p * last) - fast * math.exp(-q * last) < threshold:
            return 0
        return last
    m = 0.0
    for _ in range(60):
        a, b = slow * math.exp(-p * m), fast * math.exp(-q * m)
        rise = q * b - p * a
        step = (threshold - (a - b)) / rise if rise > 0.0 else 0.0
        m += step
        if step < 0.01:
            break
    found = min(max(int(m), 1), last)
    while found > 1 and slow * math.exp(-p * (found - 1)) - fast * math.exp(-q * (found - 1)) >= threshold:
        found -= 1
    while found < last and slow * math.exp(-p * found) - fast * math.exp(-q * found) < threshold:
        found += 1
    return found


@kernel
def _mark(
    first: np.uint64, last: np.uint64, shift: np.uint64, weight: np.float32, steps: np.uint64, time: NDArray[np.uint32],
    quiet: F32, busy: NDArray[np.uint64],
) -> None:  # fmt: skip
    """Enter what the spikes at these places of the reel deliver."""
    for s in range(first, last):
        at = np.uint64(time[s]) + shift
        if at < steps:
            quiet[at] += weight
            busy[at // WORD] |= ONE << (at % WORD)


@kernel
def simulate_quiet(
    group: np.uint64, steps: np.uint64, n_sources: np.uint64, groups: Groups, neurons: Neurons, synapses: Synapses,
    scratch: Scratch, reel: Reel, slot: np.uint64,
) -> np.uint64:  # fmt: skip
    """Simulate a group of one block; its spikes go to `scratch.event_*`, neuron by neuron. Returns how many."""
    block, ptr = groups.block[group], reel.ptr[slot]
    quiet, busy = scratch.quiet, scratch.busy
    words = (steps + WORD - ONE) // WORD
    n_events = np.uint64(0)
    for lane in range(groups.first[group + ONE] - groups.first[group]):
        row = block * EIGHT + lane
        for entry in range(groups.entry_ptr[block], groups.entry_ptr[block + ONE]):
            pre = np.uint64(groups.entry_pre[entry])
            e = entry * EIGHT + lane
            shift = np.uint64(synapses.entry_offset[e]) // EIGHT
            _mark(ptr[pre], ptr[pre + ONE], shift, synapses.entry_weight[e], steps, reel.time, quiet, busy)
        for e in range(groups.single_ptr[row], groups.single_ptr[row + ONE]):
            pre = np.uint64(groups.single_pre[e])
            shift = np.uint64(synapses.single_offset[e]) // EIGHT
            _mark(ptr[pre], ptr[pre + ONE], shift, synapses.single_weight[e], steps, reel.time, quiet, busy)
        alpha, beta = neurons.alpha64[row], neurons.beta64[row]
        gain, threshold = float(neurons.gain[row]), float(neurons.threshold[row])
        c = gain * beta / (alpha - beta)
        log_alpha, log_beta = math.log(alpha), math.log(beta)
        current = voltage = 0.0
        reset = float(neurons.reset[row])
        now = -1
        count = np.uint64(0)
        spent = False
        for word in range(words + ONE):
            bits = busy[word] if word < words else ONE
            if word < words:
                busy[word] = np.uint64(0)
            while bits != np.uint64(0):
                at = int(word * WORD + lowest_bit(bits)) if word < words else int(steps)
                bits &= bits - ONE
                while not spent:
                    m = first_crossing(current, voltage, alpha, beta, gain, threshold, at - 1 - now)
                    if m == 0:
                        break
                    slow, fast = math.exp(log_alpha * m), math.exp(log_beta * m)
                    voltage = (voltage + c * current) * slow - c * current * fast
                    current *= fast
                    now += m
                    _emit(scratch, n_events, lane, now, current - voltage)
                    n_events += ONE
                    count += ONE
                    voltage, spent = 0.0, reset < 0.0
                if word == words:
                    break
                if spent:
                    quiet[at] = np.float32(0)
                    continue
                left = float(at - now)
                slow, fast = math.exp(log_alpha * left), math.exp(log_beta * left)
                weight = float(quiet[at])
                quiet[at] = np.float32(0)
                voltage = (voltage + c * current) * slow - c * current * fast + gain * weight
                current = current * fast + weight
                now = int(at)
                if voltage >= threshold:
                    _emit(scratch, n_events, lane, now, current - voltage)
                    n_events += ONE
                    count += ONE
                    voltage, spent = 0.0, reset < 0.0
        scratch.fill[lane] = count
    return n_events


@kernel
def _emit(scratch: Scratch, place: np.uint64, lane: np.uint64, time: int, slope: float) -> None:
    scratch.event_row[place] = np.uint32(lane)
    scratch.event_time[place] = np.uint32(time)
    scratch.event_slope[place] = np.float32(slope)


@kernel
def _decayed(
    arrival: np.uint64, first: np.uint64, last: np.uint64, time: NDArray[np.uint32], lambda_i: F32, lambda_v: F32,
    end_i: float, end_v: float, steps: np.uint64, log_alpha: float, log_beta: float, coupling: float,
) -> tuple[float, float]:  # fmt: skip
    """lambda_I and lambda_V of a neuron at a step, from its own next spike at or after it, or from the end."""
    s = first
    while s < last and np.uint64(time[s]) < arrival:
        s += ONE
    if s < last:
        m = float(np.uint64(time[s]) - arrival)
        i, v = float(lambda_i[s]), float(lambda_v[s])
    else:
        m = float(steps - ONE - arrival)
        i, v = end_i, end_v
    slow, fast = math.exp(log_alpha * m), math.exp(log_beta * m)
    return i * fast + coupling * v * (slow - fast), v * slow


@kernel
def adjoint_quiet(
    group: np.uint64, steps: np.uint64, n_sources: np.uint64, groups: Groups, neurons: Neurons, synapses: Synapses,
    reel: Reel, slot: np.uint64, kick: F32, floor: np.float32, guarded: NDArray[np.int64], sums: Sums,
) -> None:  # fmt: skip
    """Adjoints of a group of one block at its own spikes and where something arrived; see `backward`.

    lambda_I and lambda_V after the jump of each of its spikes take the places of `jump` and `slope` on the reel,
    which have been used by then. `kick` (8 output blocks,) enters lambda_V of an output at the last step.
    """
    block, ptr, time = groups.block[group], reel.ptr[slot], reel.time
    for lane in range(groups.first[group + ONE] - groups.first[group]):
        row = block * EIGHT + lane
        unit = n_sources + groups.first[group] + lane
        log_alpha, log_beta = math.log(neurons.alpha64[row]), math.log(neurons.beta64[row])
        coupling = log_beta / (log_beta - log_alpha)  # tau_mem / (tau_mem - tau_syn)
        first, last = ptr[unit], ptr[unit + ONE]
        end_i = end_v = 0.0
        if groups.output[group] > np.uint64(0):
            end_v = float(kick[(groups.output[group] - ONE) * EIGHT + lane])
        i, v, at = end_i, end_v, steps - ONE
        for back in range(last - first):
            s = last - ONE - back
            m = float(at - np.uint64(time[s]))
            slow, fast = math.exp(log_alpha * m), math.exp(log_beta * m)
            i, v = i * fast + coupling * v * (slow - fast), v * slow
            at = np.uint64(time[s])
            slope = reel.slope[s]
            if slope < floor:
                guarded[0] += 1
                slope = floor
            v += (float(neurons.threshold[row]) * v + float(reel.jump[s])) / float(slope) - float(neurons.push[row])
            reel.jump[s], reel.slope[s] = np.float32(i), np.float32(v)
        for entry in range(groups.entry_ptr[block], groups.entry_ptr[block + ONE]):
            pre = np.uint64(groups.entry_pre[entry])
            e = entry * EIGHT + lane
            _collect(
                ptr[pre], ptr[pre + ONE], np.uint64(synapses.entry_offset[e]) // EIGHT, synapses.entry_weight[e],
                pre >= n_sources, first, last, end_i, end_v, steps, log_alpha, log_beta, coupling, reel, sums.entry, e,
            )  # fmt: skip
        for e in range(groups.single_ptr[row], groups.single_ptr[row + ONE]):
            pre = np.uint64(groups.single_pre[e])
            _collect(
                ptr[pre], ptr[pre + ONE], np.uint64(synapses.single_offset[e]) // EIGHT, synapses.single_weight[e],
                pre >= n_sources, first, last, end_i, end_v, steps, log_alpha, log_beta, coupling, reel, sums.single, e,
            )  # fmt: skip


@kernel
def _collect(
    begin: np.uint64, end: np.uint64, shift: np.uint64, weight: np.float32, with_jump: bool, first: np.uint64,
    last: np.uint64, end_i: float, end_v: float, steps: np.uint64, log_alpha: float, log_beta: float, coupling: float,
    reel: Reel, sums: F32, e: np.uint64,
) -> None:  # fmt: skip
    """Add a synapse's readings of the adjoints to its sums, and to R of its source's spikes."""
    total_i = total_d = 0.0
    for s in range(begin, end):
        arrival = np.uint64(reel.time[s]) + shift
        if arrival < steps:
            i, v = _decayed(
                arrival, first, last, reel.time, reel.jump, reel.slope, end_i, end_v, steps, log_alpha, log_beta,
                coupling
            )  # fmt: skip
            total_i += i
            total_d += i - v
            if with_jump:
                reel.jump[s] -= np.float32(float(weight) * (i - v))
    sums[np.uint64(2) * e] += np.float32(total_i)
    sums[np.uint64(2) * e + ONE] += np.float32(total_d)
