"""One neuron of the integer emulator, apart from its network: what it computes from spikes that are given.

The equations are those of `emulator`. Beside them the same with integers of any size: what differs between the two is
what saturating and wrapping did, what differs between the second and real numbers is the floor of every product.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hardware_targets.spinnaker.emulator_tables import RING_MAX
from hardware_targets.spinnaker.fixed_point import FRACTION_BITS, NeuronConstants, initialise
from hardware_targets.spinnaker.integer_network import (
    EXCITATORY,
    INHIBITORY,
    LARGEST_WEIGHT,
    N_TYPES,
    ONE,
    IntegerNetwork,
)
from hardware_targets.spinnaker.rounding import stored_weights, weight_step
from toolchain.deployment.abilities import ChipWeights, Overflow, Replay
from toolchain.network import Network

Events = tuple[NDArray[np.int64], NDArray[np.int64]]


def weights_on_chip(integers: IntegerNetwork, network: Network, name: str) -> ChipWeights:
    """Weights that the integers of a projection stand for; clipped are those beyond 16 bits.

    Parameters
    ----------
    network : trained weights
    """
    ours = next(p for p in integers.projections if p.name == name)
    trained = next(p for p in network.projections if p.name == name)
    target = integers[ours.target]
    steps = np.where(ours.weight < 0, weight_step(target.shifts[1]), weight_step(target.shifts[0]))
    stored = stored_weights(trained.weight.astype(np.float64), target.scale, target.shifts)
    return ChipWeights(np.where(ours.exists, ours.weight * steps / target.scale, 0.0), np.abs(stored) > LARGEST_WEIGHT)


class _Neuron:
    """State of a neuron and its tick, with 32 bits or as many as it takes."""

    def __init__(self, chip: NeuronConstants, neuron: int, shifts: tuple[int, int], *, bounded: bool) -> None:
        self._bounded, self._shifts = bounded, shifts
        self._init, self._decay = ([int(a[t, neuron]) for t in range(N_TYPES)] for a in (chip.init, chip.decay))
        self._i_offset, self._resistance = int(chip.i_offset[neuron]), int(chip.resistance[neuron])
        self._v_rest, self._exp_tc = int(chip.v_rest[neuron]), int(chip.exp_tc[neuron])
        self._v_reset, self._t_refract = int(chip.v_reset[neuron]), int(chip.t_refract[neuron])
        self.threshold = int(chip.v_thresh[neuron])
        self._value, self._v, self._timer = [0] * N_TYPES, self._v_rest, 0
        self.saturated = self.wrapped = False

    def _kept(self, value: int) -> int:
        """What of a number stays: its low 32 bits, signed."""
        return ((value + 2**31) & (2**32 - 1)) - 2**31 if self._bounded else value

    def tick(self, entries: tuple[int, int], reset: bool) -> int:
        """Voltage of one tick before the reset; what happened in it is in `saturated` and `wrapped`."""
        self.saturated = self.wrapped = False
        used = []
        for kind, entry in enumerate(entries):
            if self._bounded and entry > RING_MAX:
                self.saturated, entry = True, RING_MAX
            arriving, init, before = entry << self._shifts[kind], self._init[kind], self._value[kind]
            true = before + ((arriving * init) >> 32)
            used.append(self._kept(before + ((self._kept(arriving) * init) >> 32)))
            self.wrapped |= used[kind] != true
            self._value[kind] = (used[kind] * self._decay[kind]) >> 32
        if self._timer <= 0:
            true = used[EXCITATORY] - used[INHIBITORY] + self._i_offset
            current = self._kept(true)
            alpha = ((current * self._resistance) >> FRACTION_BITS) + self._v_rest
            voltage = alpha - ((self._exp_tc * (alpha - self._v)) >> FRACTION_BITS)
            alpha = self._kept(alpha)
            # Terms may wrap and their sum be right: only what differs in the end has wrapped.
            kept = self._kept(alpha - self._kept((self._exp_tc * self._kept(alpha - self._v)) >> FRACTION_BITS))
            self.wrapped |= current != true or kept != voltage
            self._v = kept
        else:
            self._timer -= 1
        voltage = self._v
        if reset:
            self._v, self._timer = self._v_reset, self._t_refract
        return voltage


def replay(
    integers: IntegerNetwork, population: str, neuron: int, spikes: Mapping[str, Events], n_steps: int
) -> Replay:
    """See `toolchain.deployment.abilities.ReplayingTarget.replay`; steps are ticks here."""
    excitatory, inhibitory = (row.tolist() for row in _arriving(integers, population, neuron, spikes, n_steps))
    times, units = spikes.get(population, (np.zeros(0, dtype=np.int64),) * 2)
    resets = set(times[units == neuron].tolist())
    neurons = integers[population]
    assert neurons.parameters is not None, "a simulated population has parameters"
    chip = initialise(neurons.parameters, integers.dt_ms)
    bounded, free = (_Neuron(chip, neuron, neurons.shifts, bounded=b) for b in (True, False))
    voltages, unbounded = np.zeros(n_steps), np.zeros(n_steps)
    overflows: list[tuple[int, Overflow]] = []
    for step in range(n_steps):
        entries, reset = (excitatory[step], inhibitory[step]), step in resets
        voltages[step] = bounded.tick(entries, reset)
        unbounded[step] = free.tick(entries, reset)
        if bounded.saturated:
            overflows.append((step, "saturated_ring_buffer"))
        if bounded.wrapped:
            overflows.append((step, "wrapped_state"))
    scale = ONE * neurons.scale
    return Replay(voltages / scale, unbounded / scale, bounded.threshold / scale, 1 / scale, tuple(overflows))


def _arriving(
    integers: IntegerNetwork, population: str, neuron: int, spikes: Mapping[str, Events], n_steps: int
) -> NDArray[np.int64]:
    """Sum of stored weights that arrive in each tick, (N_TYPES, n_steps)."""
    total = np.zeros((N_TYPES, n_steps), dtype=np.int64)
    for projection in integers.incoming(population):
        times, units = spikes[projection.source]
        weight = projection.weight[:, neuron].astype(np.int64)
        at = times + projection.delay[:, neuron][units]
        here = (at < n_steps) & projection.exists[:, neuron][units]
        np.add.at(total, ((weight[units[here]] < 0).astype(np.int64), at[here]), np.abs(weight[units[here]]))
    return total
