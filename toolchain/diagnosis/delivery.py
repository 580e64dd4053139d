"""What arrives when: spikes of the sources through synapses, into arrays of arrivals. Compiled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolchain.kernels import kernel

I64 = NDArray[np.int64]


@kernel
def deliver(
    sample: I64, time: I64, unit: I64, addend: I64, slots: I64, late: int, by_sign: bool, out: I64
) -> None:  # fmt: skip
    """Add what spikes bring.

    `sample`, `time`, `unit` (n_spikes,); `addend`, `slots` (pre, n); `out` (channels, n_samples, n_steps, n). What
    would arrive outside the sample does not.
    """
    n_steps, n = out.shape[2], out.shape[3]
    for e in range(sample.size):
        i = unit[e]
        for j in range(n):
            a = addend[i, j]
            at = time[e] + 1 + slots[i, j] + late
            if a != 0 and 0 <= at < n_steps:
                if by_sign and a < 0:
                    out[1, sample[e], at, j] -= a
                else:
                    out[0, sample[e], at, j] += a


@kernel
def correlate(
    sample: I64, time: I64, unit: I64, excess: NDArray[np.float64], known: NDArray[np.bool_],
    total: NDArray[np.float64], number: I64,
) -> None:  # fmt: skip
    """Sum of `excess` over the steps at which each unit's spikes would arrive through each slot.

    `excess`, `known` (n_samples, n_steps); `total`, `number` (pre, n_slots): the sum, and over how many steps.
    """
    n_steps, n_slots = excess.shape[1], total.shape[1]
    for e in range(sample.size):
        first = time[e] + 1
        for k in range(min(n_slots, n_steps - first)):
            if known[sample[e], first + k]:
                total[unit[e], k] += excess[sample[e], first + k]
                number[unit[e], k] += 1


@kernel
def match_lost(
    sample: I64, time: I64, unit: I64, charge: NDArray[np.float64], slots: I64, late: int,
    excess: NDArray[np.float64], known: NDArray[np.bool_], tolerance: NDArray[np.float64], sign: int,
    hits: I64, targets: I64,
) -> None:  # fmt: skip
    """Of each spike, at how many of its targets exactly what it brings is missing (sign -1) or too much (1).

    `charge`, `slots` (pre, n), `excess`, `known` (n_samples, n_steps, n); `hits`, `targets` (n_spikes,).
    """
    n_steps, n = excess.shape[1], excess.shape[2]
    for e in range(sample.size):
        for j in range(n):
            c = charge[unit[e], j]
            at = time[e] + 1 + slots[unit[e], j] + late
            # What is within the roundings cannot be told from nothing.
            if abs(c) > 2 * tolerance[j] and 0 <= at < n_steps and known[sample[e], at, j]:
                targets[e] += 1
                hits[e] += abs(excess[sample[e], at, j] - sign * c) <= tolerance[j]


@kernel
def count_meetings(
    sample: I64, time: I64, unit: I64, first: I64, last: I64, slot: I64, known: NDArray[np.bool_], number: I64
) -> None:  # fmt: skip
    """At how many known steps a spike of a unit through its slot and one through another slot arrive together.

    Spikes sorted by unit, sample and time; `first`, `last` (n_spikes,) bound those of the same unit and sample; `slot`
    (pre,), `known` (n_samples, n_steps), `number` (pre, n_slots).
    """
    n_steps, n_slots = known.shape[1], number.shape[1]
    for e in range(time.size):
        at = time[e] + 1 + slot[unit[e]]
        if at >= n_steps or not known[sample[e], at]:
            continue
        for other in range(first[e], last[e]):
            slot_of_other = at - 1 - time[other]
            if 0 <= slot_of_other < n_slots:
                number[unit[e], slot_of_other] += 1
