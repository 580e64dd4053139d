"""A delay extension core in the shipped ARM code: its parameters, its tick, its spikes.

| address | what | called by |
|---|---|---|
| 0x0af4-0x0b80, 0x0cf0-0x0d04 | take over the words of the parameter region | the constructor |
| 0x0584-0x06c4, 0x06d0-0x06e4 | timer: step the time, clear what is done with, set the colour | `tick` |
| 0x0818 | background task: send what is due | `tick` |
| 0x076c | packet received: into the queue | `receive` |
| 0x0430 | queue: count the spikes for later | `receive` |
"""

from __future__ import annotations

import numpy as np

from hardware_targets.spinnaker.machine_code.machine import STACK_TOP, Machine

DELAYS, TIME = 0x400014, 0x400000
QUEUE_SIZE = 256


class DelayCore:
    """One core.

    Parameters
    ----------
    words : the nine of its parameter region: has a key, key, incoming key and mask, atoms, stages, ticks of a stage,
        whether to drop late packets, bits of colour
    """

    def __init__(self, words: tuple[int, ...]) -> None:
        machine = self._machine = Machine("delay_extension.aplx", 0x400000)
        region = machine.allocate(36)
        machine.write(region, *words)
        registers = {"r5": DELAYS, "r7": region, "sp": STACK_TOP}
        machine.run(0xAF4, 0xB80, **registers)
        machine.run(0xCF0, 0xD04, **registers)
        n_atoms, self.slots = words[4], machine.word(DELAYS + 0x44) + 1
        counters = machine.allocate(n_atoms * self.slots)
        pointers = machine.allocate(4 * self.slots)
        machine.put(pointers, (counters + n_atoms * np.arange(self.slots)).astype("<u4"))
        machine.write(DELAYS + 0x3C, pointers)
        queue = machine.allocate(16 + 4 * QUEUE_SIZE)
        machine.write(queue, QUEUE_SIZE - 1, 0, 0, 0)
        machine.write(DELAYS + 0x10, queue)
        machine.write(TIME, -1)

    def tick(self) -> list[tuple[int, int]]:
        """Go to the next tick; returns key and number of spikes of each packet that is sent."""
        machine = self._machine
        machine.sent.clear()
        registers = {"r4": DELAYS, "r6": TIME, "sp": STACK_TOP}
        machine.run(0x584, 0x6C4, **registers)
        machine.run(0x6D0, 0x6E4, **registers)
        machine.call(0x818, machine.word(TIME), 0)
        return [(key, 1 if payload is None else payload) for key, payload in machine.sent]

    def receive(self, key: int, spikes: int = 0) -> None:
        """Take a packet in the tick that is now, its payload the number of spikes; 0 without one."""
        self._machine.write_byte(DELAYS + 0x50, 1)  # as if the queue were being worked on: nothing to trigger
        self._machine.call(0x76C, key, spikes)
        self._machine.call(0x430)

    @property
    def saturations(self) -> int:
        """Spikes lost as their counter was full."""
        return self._machine.word(DELAYS + 0x14)

    @property
    def strangers(self) -> int:
        """Spikes whose key was not of the source, or of no neuron of it."""
        return self._machine.word(DELAYS + 0x18) + self._machine.word(DELAYS + 0x1C)
