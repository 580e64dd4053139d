"""A core of neurons (IF_curr_exp) in the shipped ARM code: initialisation, synaptic rows, ring transfer, update.

What is run is whole functions, without a patch. Only the spike processing around them (interrupts, memory transfers and
the look-up in the population table) is left to the caller.

| address | function | called by |
|---|---|---|
| 0x16b4 | initialise neurons, thresholds and synapses from the parameters in shared memory | `initialise` |
| 0x0c08 | add the fixed synapses of a row to the ring buffers | `add_row` |
| 0x2928 | add a slice of the ring buffers to the synaptic values and clear it | `transfer` |
| 0x220c | update all neurons in one tick: record, membrane, threshold, send, decay | `update` |
| 0x4dd8, 0x4e1c | expk, expulr | `expk`, `expulr` |
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hardware_targets.spinnaker.fixed_point import host_rounded
from hardware_targets.spinnaker.integer_network import NeuronParameters
from hardware_targets.spinnaker.machine_code.machine import STACK_TOP, Machine

NEURONS, SYNAPSES = 0x400168, 0x400114
"""Global structures of the two halves of the program."""
LOOP = 0xF000
"""Unused instruction memory."""
KEY, COLOUR_BITS = 0x5000, 4

V, V_REST, RESISTANCE, EXP_TC, I_OFFSET, TIMER, V_RESET, T_REFRACT = range(8)
"""Words of a neuron."""
DECAY_E, INIT_E, VALUE_E, DECAY_I, INIT_I, VALUE_I = range(6)
"""Words of its synapses."""


@dataclass(frozen=True)
class Ticked:
    """What one tick of `NeuronCore.update` did: spiking neurons, and v, exc and inh as it records them, (n,) each."""

    spikes: list[int]
    v: NDArray[np.int32]
    exc: NDArray[np.int32]
    inh: NDArray[np.int32]


class NeuronCore:
    """Some neurons on one core.

    Parameters
    ----------
    n : number of neurons
    shifts : ring-buffer shift of either type
    slots : ticks that the ring buffer holds, a power of two
    index_bits : bits of a neuron's number in a synaptic word; as many as it takes if left out
    """

    def __init__(
        self, n: int, shifts: tuple[int, int] = (0, 0), slots: int = 16, index_bits: int | None = None
    ) -> None:
        self.n, self.slots = n, slots
        self.index_bits = max(n - 1, 1).bit_length() if index_bits is None else index_bits
        stride = 1 << self.index_bits
        machine = self._machine = Machine("IF_curr_exp.aplx", 0x400000)
        self._neurons, self._synapses = machine.allocate(32 * n), machine.allocate(24 * n)
        self._thresholds, self._parameters = machine.allocate(4 * n), machine.allocate(4 * (15 * n + 2))
        self._ring, self._row = machine.allocate(4 * stride * slots), machine.allocate(4 * 0x10000)
        self._recorded = [machine.allocate(4 * n) for _ in range(3)]
        self._fired = machine.allocate(4 * (n // 32 + 1))
        self._written = machine.allocate(4)
        shift_words = machine.allocate(8)
        machine.write(shift_words, *shifts)
        g = NEURONS
        for offset, value in {
            0x4C: 1,  # steps of a tick
            0x50: self._neurons,
            0x54: self._synapses,
            0x58: self._thresholds,
            0x5C: n,
            0x74: stride,
            0x78: 2,
            0x80: shift_words,
            0x7C: (1 << COLOUR_BITS) - 1,
            0x84: self._filled(KEY + (np.arange(n) << COLOUR_BITS), "<u4"),
        }.items():
            machine.write(g + offset, value)
        machine.write_byte(g + 0x70, 1)  # has a key to send with
        self._set_up_recording()
        bits = self.index_bits + 1
        for offset, value in {
            0x0C: bits,
            0x28: slots - 1,
            0x2C: ((1 << (16 - bits)) - 1) << bits,
            0x38: slots * 2 * stride - 1,
            0x3C: self._ring,
        }.items():
            machine.write(SYNAPSES + offset, value)

    def _filled(self, values: NDArray[np.int64], dtype: str) -> int:
        address = self._machine.allocate(4 * values.size + 4)
        self._machine.put(address, values.astype(dtype))
        return address

    def _set_up_recording(self) -> None:
        """Values go to buffers as usual; with a rate of 1 and a count that stays 0 no buffer is ever shipped off."""
        machine = self._machine
        order = self._filled(np.arange(self.n), "<u2")
        recorders, spikes = machine.allocate(0x60), machine.allocate(0x20)
        for rate in range(3):
            machine.write(recorders + 4 + 0x18 * rate, 1)
        machine.write(spikes, 1)
        machine.write(NEURONS, recorders)
        machine.write(NEURONS + 0x04, self._filled(np.array(self._recorded), "<u4"))
        machine.write(NEURONS + 0x08, self._filled(np.array([order] * 3), "<u4"))
        machine.write(NEURONS + 0x0C, spikes)
        machine.write(NEURONS + 0x10, self._filled(np.array([self._fired]), "<u4"))
        machine.write(NEURONS + 0x14, self._filled(np.array([order]), "<u4"))

    def initialise(
        self, neurons: NDArray[np.int32], thresholds: NDArray[np.int32], synapses: NDArray[np.int32]
    ) -> None:
        """Set all up from what the host writes.

        Parameters
        ----------
        neurons : (n, 9) v, v_rest, cm, tau_m, i_offset, v_reset, tau_refrac, refractory timer, time step
        thresholds : (n,)
        synapses : (n, 5) tau and initial value of excitatory, then of inhibitory synapses, time step
        """
        self._machine.put(
            self._parameters, np.concatenate(([1], neurons.ravel(), thresholds, synapses.ravel())).astype("<i4")
        )
        self._machine.call(0x16B4, self._parameters, self.n, 0)

    def set_up(self, parameters: NeuronParameters, dt_ms: float) -> None:
        """Initialise as sPyNNaker's host does: v at rest, nothing on the synapses."""
        p, nothing = parameters, np.zeros_like(parameters.cm)
        dt = np.full_like(nothing, host_rounded(dt_ms))
        fields = (p.v_rest, p.v_rest, p.cm, p.tau_m, p.i_offset, p.v_reset, p.tau_refrac, nothing, dt)
        synapses = np.stack((p.tau_syn_e, nothing, p.tau_syn_i, nothing, dt), axis=1)
        self.initialise(np.stack(fields, axis=1), p.v_thresh, synapses)

    @property
    def neurons(self) -> NDArray[np.int32]:
        """State and constants, (n, 8)."""
        return self._machine.words(self._neurons, self.n, 8)

    @neurons.setter
    def neurons(self, words: NDArray[np.int32]) -> None:
        """Set them."""
        self._machine.put(self._neurons, words.astype("<i4"))

    @property
    def synapses(self) -> NDArray[np.int32]:
        """State and constants, (n, 6)."""
        return self._machine.words(self._synapses, self.n, 6)

    @synapses.setter
    def synapses(self, words: NDArray[np.int32]) -> None:
        """Set them."""
        self._machine.put(self._synapses, words.astype("<i4"))

    @property
    def thresholds(self) -> NDArray[np.int32]:
        """(n,)."""
        return self._machine.words(self._thresholds, self.n)

    @thresholds.setter
    def thresholds(self, words: NDArray[np.int32]) -> None:
        """Set them."""
        self._machine.put(self._thresholds, words.astype("<i4"))

    def row(self, synapses: list[tuple[int, int, int, int]]) -> NDArray[np.uint32]:
        """Words of a row of (weight, delay, type, neuron), the delay cut to the slots of the ring buffer."""
        bits = self.index_bits
        words = [w << 16 | (d % self.slots) << (bits + 1) | t << bits | j for w, d, t, j in synapses]
        return np.array([0, len(words), 0, *words], dtype=np.uint32)

    def add_row(self, time: int, row: NDArray[np.uint32]) -> None:
        """Add a row for a spike that was sent in this very tick."""
        self._machine.put(self._row, row.astype("<u4"))
        mask = (1 << COLOUR_BITS) - 1
        self._machine.call(0x0C08, time, time & mask, mask, self._row, stacked=self._written)

    @property
    def saturations(self) -> int:
        """Synapses so far that found their ring entry too full."""
        return self._machine.word(SYNAPSES + 0x50)

    def ring_slice(self, time: int) -> NDArray[np.uint16]:
        """The entries of a tick, (2, n)."""
        stride = 1 << self.index_bits
        entries = self._machine.halfwords(self._slice(time), 2 * stride).reshape(2, stride)
        return entries[:, : self.n]

    def put_ring_slice(self, time: int, entries: NDArray[np.uint16]) -> None:
        """Set the entries of a tick, (2, n)."""
        full = np.zeros((2, 1 << self.index_bits), dtype="<u2")
        full[:, : self.n] = entries
        self._machine.put(self._slice(time), full)

    def _slice(self, time: int) -> int:
        return self._ring + 4 * (time % self.slots << self.index_bits)

    def transfer(self, time: int) -> None:
        """Move the slice of a tick into the synaptic values."""
        self._machine.call(0x2928, self._slice(time))

    def update(self, time: int) -> Ticked:
        """Update all neurons."""
        machine = self._machine
        machine.sent.clear()
        machine.put(self._fired, np.zeros(self.n // 32 + 1, dtype="<u4"))
        colour = machine.word(NEURONS + 0x88)
        machine.call(0x220C, time)
        sent = [(key - KEY, payload) for key, payload in machine.sent]
        assert all(payload is None and key & 15 == colour for key, payload in sent)
        spikes = [key >> COLOUR_BITS for key, _ in sent]
        bits = np.unpackbits(machine.words(self._fired, self.n // 32 + 1).view(np.uint8), bitorder="little")
        assert np.flatnonzero(bits).tolist() == spikes, "the keys sent are the spikes recorded"
        return Ticked(spikes, *(machine.words(at, self.n) for at in self._recorded))


def expk(x: NDArray[np.int32]) -> NDArray[np.int32]:
    """e^x, s16.15 of s16.15, by the ARM code."""
    return _mapped(0x4DD8, x).view(np.int32)


def expulr(x: NDArray[np.int32]) -> NDArray[np.uint32]:
    """Fraction of e^x, u0.32 of s16.15, by the ARM code."""
    return _mapped(0x4E1C, x)


def _mapped(function: int, x: NDArray[np.int32]) -> NDArray[np.uint32]:
    """A function of one argument of each of many; the loop around it is ours, as a call from here takes long."""
    machine = Machine("IF_curr_exp.aplx", (8 * x.size + 0x2000) & ~0xFFF)
    arguments, results = machine.allocate(4 * x.size), machine.allocate(4 * x.size)
    machine.put(arguments, x.astype("<i4"))
    loop = (
        0xE4940004,  # ldr r0, [r4], #4
        0xE1A0E00F,  # mov lr, pc
        0xE12FFF17,  # bx r7
        0xE4860004,  # str r0, [r6], #4
        0xE1540005,  # cmp r4, r5
        0x1AFFFFF9,  # bne to the first
    )
    machine.write(LOOP, *loop)
    machine.run(
        LOOP, LOOP + 4 * len(loop), sp=STACK_TOP, r4=arguments, r5=arguments + 4 * x.size, r6=results, r7=function
    )
    return machine.words(results, x.size).view(np.uint32)
