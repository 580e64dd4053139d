"""What a delay extension core does: it holds every spike of its source slice and sends it again, once a stage.

    counter[(t + lateness) mod n_slots][n] += 1      8 bits, saturates: a spike of neuron n that is handled at tick t
    at tick t, for stage s = 1..n_stages with s P <= t:  send counter[(t - s P) mod n_slots][n] spikes of n,
        key = (base + (((s - 1) n_atoms + n) << colour_bits)) | colour of t

P is the number of ticks of a stage, n_slots the power of two above n_stages P. The colour is the low bits of the tick
in which a packet is sent; lateness is how many ticks ago that was. A core of neurons takes it off the delay that is
left, this one **adds** it, so that a late spike comes out later still by as much: sPyNNaker 7.4.1 does so, and so does
this. A spike that is on time leaves stage s after s P ticks and arrives after s P + r, r being what its synapse has.

Source: `delay_extension.aplx` of sPyNNaker 7.4.1, read from its disassembly; tests hold this against that code.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FULL_COUNTER = 255


@dataclass(frozen=True)
class ExtensionParameters:
    """Of one core, as in words 1 to 8 of its region `delay_params`.

    Parameters
    ----------
    key : sent with, of neuron 0 in the first stage
    incoming_key, incoming_mask : of the packets that are its own
    n_atoms : neurons of the source slice
    n_stages : of this many ticks each ...
    delay_per_stage : ... P
    colour_bits : of a key that hold the tick of sending
    """

    key: int
    incoming_key: int
    incoming_mask: int
    n_atoms: int
    n_stages: int
    delay_per_stage: int
    colour_bits: int = 4

    @property
    def longest(self) -> int:
        """Ticks for which the last stage holds a spike."""
        return self.n_stages * self.delay_per_stage

    @property
    def n_slots(self) -> int:
        """Ticks that the core has counters for."""
        return 1 << self.longest.bit_length()


class DelayExtension:
    """One core, tick by tick.

    Attributes
    ----------
    saturations : spikes lost since their counter was full
    strangers : spikes that were not of the source slice
    """

    def __init__(self, parameters: ExtensionParameters) -> None:
        self._parameters = parameters
        self._counters: NDArray[np.uint8] = np.zeros((parameters.n_slots, parameters.n_atoms), dtype=np.uint8)
        self._time = -1
        self.saturations = self.strangers = 0

    def tick(self) -> list[tuple[int, int]]:
        """Go to the next tick; returns key and number of spikes (the payload, if above 1) of each packet, in order."""
        p = self._parameters
        self._time += 1
        if self._time > p.longest:
            self._counters[(self._time - 1 - p.longest) % p.n_slots] = 0
        colour = self._time % (1 << p.colour_bits)
        sent = []
        for stage in range(min(p.n_stages, self._time // p.delay_per_stage)):
            counts = self._counters[(self._time - (stage + 1) * p.delay_per_stage) % p.n_slots]
            for neuron in np.flatnonzero(counts).tolist():
                key = (p.key + ((stage * p.n_atoms + neuron) << p.colour_bits)) | colour
                sent.append((key, int(counts[neuron])))
        return sent

    def receive(self, key: int, spikes: int = 0) -> None:
        """Take a packet in the tick that is now; `spikes` is its payload, 0 without one.

        Its queue of 255 packets that wait at a time is not part of this.
        """
        p, spikes = self._parameters, max(spikes, 1)
        low = key & ~p.incoming_mask
        neuron, colours = low >> p.colour_bits, 1 << p.colour_bits
        if key & p.incoming_mask != p.incoming_key or neuron >= p.n_atoms:
            self.strangers += spikes
            return
        lateness = (self._time - low) % colours
        slot = (self._time + lateness) % p.n_slots
        held = int(self._counters[slot, neuron]) + spikes
        self._counters[slot, neuron] = min(held, FULL_COUNTER)
        self.saturations += max(0, held - FULL_COUNTER)
