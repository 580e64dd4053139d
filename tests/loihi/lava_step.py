"""One step of one neuron as Lava's source has it, slow and plain: what the emulator's kernels are held to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LIMIT = 2**23
U_MAX = 2**31 - 2**24
"""What a wrap by 2^24 can leave of any int32."""


def int32(value: int) -> int:
    """What is left of an integer in 32 bits."""
    return int(np.int64(value).astype(np.int32))


@dataclass(frozen=True)
class Neuron:
    """One neuron before a step, and the sum of the weights that arrive in it."""

    u: int
    v: int
    arriving: int


@dataclass(frozen=True)
class Stepped:
    """The same after it, with the values that did not fit as they were before."""

    u: int
    v: int
    current: int
    voltage: int


def lava_step(neuron: Neuron, du: int, dv: int) -> Stepped:
    """Lava 0.10.0, `proc/lif/models.py`, `AbstractPyLifModelFixed.subthr_dynamics`, line by line, in exact integers.

    Whatever Lava keeps in int32 goes through `int32`.
    """
    decayed_curr = neuron.u * (4096 - (du + 1))
    decayed_curr = int(np.sign(decayed_curr)) * (abs(decayed_curr) >> 12)
    current = decayed_curr + neuron.arriving * 2**6
    wrapped_curr = int32(int32(decayed_curr) + int32(neuron.arriving * 2**6))
    if wrapped_curr > LIMIT:
        wrapped_curr -= 2 * LIMIT
    elif wrapped_curr <= -LIMIT:
        wrapped_curr += 2 * LIMIT
    decayed_volt = neuron.v * (4096 - dv)
    decayed_volt = int(np.sign(decayed_volt)) * (abs(decayed_volt) >> 12)
    voltage = decayed_volt + wrapped_curr
    return Stepped(wrapped_curr, int(np.clip(int32(voltage), -LIMIT + 1, LIMIT - 1)), current, voltage)
