"""One neuron of the integer emulator, apart from its network: what it computes from spikes that are given.

The equations are those of `emulator`. Beside them the same with integers of any size: what differs between the two is
what wrapping and clipping did, what differs between the second and real numbers is the decay, rounded toward zero at
every step.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hardware_targets.loihi.constants import shared_constants
from hardware_targets.loihi.emulator_tables import STATE_MAX
from hardware_targets.loihi.integer_network import IntegerNetwork
from hardware_targets.loihi.limits import ChipLimits
from hardware_targets.loihi.rounding import SHIFT
from toolchain.deployment.abilities import ChipWeights, Overflow, Replay
from toolchain.network import Network

Events = tuple[NDArray[np.int64], NDArray[np.int64]]


def weights_on_chip(integers: IntegerNetwork, network: Network, name: str, limits: ChipLimits) -> ChipWeights:
    """Weights that the integers of a projection stand for; clipped are those that round to nothing the format has.

    Parameters
    ----------
    network : trained weights
    """
    ours = next(p for p in integers.projections if p.name == name)
    trained = next(p for p in network.projections if p.name == name)
    factor = shared_constants(network[ours.target], network.dt_ms).gain * integers[ours.target].scale
    halves = np.rint(trained.weight.astype(np.float64) * factor / 2.0 ** (ours.exponent + 1))
    # Integer weights are even, so that the format has half as many.
    beyond = (halves < limits["weight_min"] // 2) | (halves > limits["weight_max"] // 2)
    return ChipWeights(ours.addend / factor, beyond)


def replay(
    integers: IntegerNetwork, population: str, neuron: int, spikes: Mapping[str, Events], n_steps: int
) -> Replay:
    """See `toolchain.deployment.abilities.ReplayingTarget.replay`; delays need no relays here."""
    neurons = integers[population]
    arriving = _arriving(integers, population, neuron, spikes, n_steps).tolist()
    times, units = spikes.get(population, (np.zeros(0, dtype=np.int64),) * 2)
    resets = set(times[units == neuron].tolist())
    keep_u, keep_v = 4096 - (neurons.du + 1), 4096 - neurons.dv
    voltages, unbounded = np.zeros(n_steps), np.zeros(n_steps)
    overflows: list[tuple[int, Overflow]] = []
    u = v = free_u = free_v = 0
    for step in range(n_steps):
        # Python's integers have any size, and its >> floors: the magnitude is shifted.
        added = arriving[step] << 6
        free_u = _decayed(free_u, keep_u) + added
        free_v = _decayed(free_v, keep_v) + free_u
        current = _decayed(u, keep_u) + added
        u = ((current + 2**31) & (2**32 - 1)) - 2**31
        if u > 2**23:
            u -= 2**24
        elif u <= -(2**23):
            u += 2**24
        if u != current:
            overflows.append((step, "wrapped_current"))
        voltage = _decayed(v, keep_v) + u
        v = min(max(voltage, -STATE_MAX), STATE_MAX)
        if v != voltage:
            overflows.append((step, "clipped_voltage"))
        voltages[step], unbounded[step] = v, free_v
        if step in resets:
            v = free_v = 0
    scale = SHIFT * neurons.scale
    # The chip asks v > vth << 6, so the smallest voltage that spikes is one more.
    return Replay(voltages / scale, unbounded / scale, (neurons.vth * SHIFT + 1) / scale, 1 / scale, tuple(overflows))


def _decayed(state: int, keep: int) -> int:
    kept = (abs(state) * keep) >> 12
    return kept if state >= 0 else -kept


def _arriving(
    integers: IntegerNetwork, population: str, neuron: int, spikes: Mapping[str, Events], n_steps: int
) -> NDArray[np.int64]:
    """Sum of what arrives at a neuron in each step, (n_steps,)."""
    total = np.zeros(n_steps, dtype=np.int64)
    for projection in integers.projections:
        if projection.target != population:
            continue
        times, units = spikes[projection.source]
        addend = np.where(projection.exists[:, neuron], projection.addend[:, neuron], 0)
        at = times + 1 + projection.slots[:, neuron][units]
        within = at < n_steps
        np.add.at(total, at[within], addend[units[within]])
    return total
