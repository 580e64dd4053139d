"""The law of a tick in whole numbers of Python, one neuron at a time: slow, and no kernel of the emulator's."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace

import numpy as np

from hardware_targets.spinnaker.fixed_point import initialise
from hardware_targets.spinnaker.integer_network import IntegerNetwork
from toolchain.spikes import SpikeTrains


def wrap(x: int) -> int:
    """Low 32 bits, signed."""
    return (x + 2**31) % 2**32 - 2**31


@dataclass
class Neuron:
    """Constants and state; the two types in the order excitatory, inhibitory."""

    shifts: tuple[int, int]
    resistance: int
    exp_tc: int
    v_rest: int
    i_offset: int
    v_reset: int
    v_thresh: int
    t_refract: int
    decay: tuple[int, int]
    init: tuple[int, int]
    v: int = 0
    timer: int = 0
    value: list[int] = field(default_factory=lambda: [0, 0])


@dataclass
class Seen:
    """What happened to one population in one sample; `events` are (tick, neuron, what, value)."""

    exc: list[list[int]] = field(default_factory=list)
    inh: list[list[int]] = field(default_factory=list)
    v: list[list[int]] = field(default_factory=list)
    spikes: list[list[bool]] = field(default_factory=list)
    saturations: int = 0
    wraps: int = 0
    ring_peaks: list[int] = field(default_factory=lambda: [0, 0])
    current_peak: int = 0
    voltage_peak: int = 0
    events: list[tuple[int, int, str, int]] = field(default_factory=list)

    def note(self, tick: int, neuron: int, what: str, value: int) -> None:
        self.events.append((tick, neuron, what, value))
        if what.startswith("ring"):
            self.saturations += 1
        else:
            self.wraps += 1


def make_neurons(network: IntegerNetwork) -> dict[str, list[Neuron]]:
    """Neurons of each population at the start of a sample."""
    found = {}
    for p in network.simulated:
        assert p.parameters is not None
        c = initialise(p.parameters, network.dt_ms)
        columns = (c.resistance, c.exp_tc, c.v_rest, c.i_offset, c.v_reset, c.v_thresh, c.t_refract)
        rows = zip(*(column.tolist() for column in columns), c.decay.T.tolist(), c.init.T.tolist(), strict=True)
        found[p.name] = [Neuron(p.shifts, *row) for row in rows]
        for neuron in found[p.name]:
            neuron.v = neuron.v_rest
    return found


def step(neuron: Neuron, entries: list[int], seen: Seen, tick: int, index: int) -> tuple[list[int], bool]:
    """One tick of a neuron at which these entries arrive; returns the values that the membrane used, and its spike."""
    for kind, name in enumerate(("excitatory", "inhibitory")):
        entry = entries[kind]
        seen.ring_peaks[kind] = max(seen.ring_peaks[kind], entry)
        if entry > 0xFFFF:
            seen.note(tick, index, f"ring {name}", entry)
            entry = 0xFFFF
        true = neuron.value[kind] + ((entry << neuron.shifts[kind]) * neuron.init[kind] >> 32)
        neuron.value[kind] = wrap(neuron.value[kind] + (wrap(entry << neuron.shifts[kind]) * neuron.init[kind] >> 32))
        if neuron.value[kind] != true:
            seen.note(tick, index, f"{name} value", true)
    used = list(neuron.value)
    voltage = neuron.v
    if neuron.timer <= 0:
        true = used[0] - used[1] + neuron.i_offset
        current = wrap(true)
        seen.current_peak = max(seen.current_peak, abs(true))
        if current != true:
            seen.note(tick, index, "current", true)
        alpha = (current * neuron.resistance >> 15) + neuron.v_rest
        voltage = alpha - (neuron.exp_tc * (alpha - neuron.v) >> 15)
        alpha = wrap(wrap(current * neuron.resistance >> 15) + neuron.v_rest)
        neuron.v = wrap(alpha - wrap(neuron.exp_tc * wrap(alpha - neuron.v) >> 15))
        if neuron.v != voltage:
            seen.note(tick, index, "voltage", voltage)
    else:
        neuron.timer -= 1
    seen.voltage_peak = max(seen.voltage_peak, abs(voltage))
    spike = neuron.v >= neuron.v_thresh
    if spike:
        neuron.v, neuron.timer = neuron.v_reset, neuron.t_refract
    neuron.value = [x * u >> 32 for x, u in zip(neuron.value, neuron.decay, strict=True)]
    return used, spike


def faulty_step(
    neuron: Neuron, entries: list[int], *, dead: bool = False, resets: bool = True
) -> tuple[list[int], bool, int]:
    """One tick of a neuron that may never spike, or stay as it is after a spike; used values, spike, v."""
    usual, threshold = neuron.v_reset, neuron.v_thresh
    before = replace(neuron, v_thresh=2**31, value=list(neuron.value))
    used, _ = step(before, entries, Seen(), 0, 0)
    spike = before.v >= threshold and not dead
    neuron.v, neuron.timer, neuron.value = before.v, before.timer, before.value
    if spike:
        neuron.v, neuron.timer = usual if resets else neuron.v, neuron.t_refract
    return used, spike, neuron.v


def synapses_of(network: IntegerNetwork) -> dict[tuple[str, int], list[tuple[str, int, int, int, int]]]:
    """(source, pre) -> (target, post, type, weight, delay) of its synapses."""
    found: dict[tuple[str, int], list[tuple[str, int, int, int, int]]] = defaultdict(list)
    for p in network.projections:
        for pre, post in np.argwhere(p.exists).tolist():
            weight = int(p.weight[pre, post])
            found[p.source, pre].append((p.target, post, int(weight < 0), abs(weight), int(p.delay[pre, post])))
    return found


def inputs_of(network: IntegerNetwork, spikes: SpikeTrains, sample: int) -> dict[int, list[tuple[str, int]]]:
    """Tick -> the source neurons that spike in it."""
    units = [(p.name, neuron) for p in network.sources for neuron in range(p.size)]
    found: dict[int, list[tuple[str, int]]] = defaultdict(list)
    for event in range(int(spikes.offsets[sample]), int(spikes.offsets[sample + 1])):
        found[int(spikes.times[event])].append(units[spikes.units[event]])
    return found


def reference(network: IntegerNetwork, spikes: SpikeTrains, sample: int) -> dict[str, Seen]:
    """Run one sample; what each simulated population did."""
    neurons, synapses, inputs = make_neurons(network), synapses_of(network), inputs_of(network, spikes, sample)
    ring: dict[tuple[int, str, int, int], int] = defaultdict(int)
    seen = {name: Seen() for name in neurons}
    for tick in range(spikes.n_steps):
        fired = list(inputs[tick])
        for name, members in neurons.items():
            used, spiked = [], []
            for index, neuron in enumerate(members):
                entries = [ring[tick, name, index, kind] for kind in range(2)]
                values, spike = step(neuron, entries, seen[name], tick, index)
                used.append(values)
                spiked.append(spike)
            seen[name].exc.append([values[0] for values in used])
            seen[name].inh.append([values[1] for values in used])
            seen[name].v.append([neuron.v for neuron in members])
            seen[name].spikes.append(spiked)
            fired += [(name, index) for index in np.flatnonzero(spiked).tolist()]
        for unit in fired:
            for target, post, kind, weight, delay in synapses[unit]:
                ring[tick + delay, target, post, kind] += weight
    return seen
