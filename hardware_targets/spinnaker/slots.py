"""How many delay slots a core has, and how many extension stages a longer delay takes: sPyNNaker's own formulas.

A core's ring buffer has 2^14 entries for all of its neurons, both synapse types and all delays, each rounded up to a
power of two: with fewer neurons on a core there are more slots. All delays here are ticks; sPyNNaker computes in ms,
with rounding errors of floating point, and so do these functions.

Source: sPyNNaker 7.4.1, `PopulationVertex.max_delay_steps_incoming`, `delay_support_adder`; facts of the project,
spinnaker.md sections 1.2 and 2.1.
"""

from __future__ import annotations

import math

from hardware_targets.limit_file import ChipLimits
from hardware_targets.spinnaker.integer_network import N_TYPES
from toolchain.errors import TargetLimitError


def bits_for(values: int) -> int:
    """Bits that sPyNNaker takes to tell so many values apart: 1 for a single one."""
    return 1 if values == 1 else max(0, values - 1).bit_length()


def index_bits(neurons: int) -> int:
    """Bits of a neuron's number in a synaptic word, for so many neurons on a core."""
    return bits_for(neurons)


TYPE_BITS = bits_for(N_TYPES)
MICROSECONDS = 1000.0
"""In a ms."""


def slots_available(neurons: int, limits: ChipLimits) -> int:
    """Delay slots of a core with so many neurons, ticks."""
    return int(2 ** (limits["ring_buffer_bits"] - index_bits(neurons) - TYPE_BITS))


def most_neurons(slots: int, limits: ChipLimits) -> int:
    """Most neurons on a core that leave so many slots; 0 if no number does."""
    neurons = limits["neurons_per_core"]
    while neurons and slots_available(neurons, limits) < slots:
        neurons -= 1
    return neurons


def slots_used(longest: int, neurons: int, dt_ms: float, limits: ChipLimits) -> int:
    """Slots that a core is given for its longest incoming delay, ticks: a power of two; also the length of a stage."""
    wanted = 2 ** bits_for(math.ceil(in_ms(longest, dt_ms) / dt_ms))
    return int(min(wanted, slots_available(neurons, limits)))


def stages_needed(longest: int, stage: int, dt_ms: float) -> int:
    """Extension stages for a delay of `longest` ticks onto cores with `stage` slots; 0 if they hold it themselves."""
    held = in_ms(stage, dt_ms)
    wanted = in_ms(longest, dt_ms)
    return 0 if held >= wanted else math.ceil(wanted / held) - 1


def longest_possible(neurons: int, limits: ChipLimits) -> int:
    """Longest delay with all stages there are, ticks."""
    return (limits["delay_stages"] + 1) * slots_available(neurons, limits)


def counters_bytes(stages: int, stage: int, neurons: int) -> int:
    """DTCM that a delay extension takes to count spikes: a byte a neuron and tick, ticks as a power of two."""
    return int(2 ** bits_for(stages * stage + 1)) * neurons


def check_step(dt_ms: float) -> None:
    """Refuse a step that sPyNNaker would replace by another one (TargetLimitError): it counts in whole microseconds.

    Source: sPyNNaker 7.4.1, `pyNN/spinnaker.py`: ``ceil(timestep * 1000)``.
    """
    taken = math.ceil(dt_ms * MICROSECONDS)
    if taken / MICROSECONDS == dt_ms:
        return
    near = (k for k in (taken - 1, taken, taken + 1) if k > 0 and math.ceil(k / MICROSECONDS * MICROSECONDS) == k)
    nearest = min(near, key=lambda k: abs(k / MICROSECONDS - dt_ms)) / MICROSECONDS
    raise TargetLimitError(
        f"network: dt_ms of {dt_ms!r} is none that sPyNNaker can keep, it counts whole microseconds and would take "
        f"{taken}; train with dt_ms: {nearest!r}"
    )


def in_ms(ticks: int, dt_ms: float) -> float:
    """A delay in ms as sPyNNaker holds it."""
    return ticks * dt_ms
