"""Synapse formats: how many bits the synapses of one projection take on one core, in the cheapest format there is.

Without an index a format lists the neurons of the core in order, one entry each, whether the synapse exists or not;
with one it lists the synapses that exist. Either way an entry has weight and delay bits, as few as this core's
synapses need and the chip offers. The memory of one incoming axon, as nengo-loihi counts it for Loihi 1 (block.py,
bits_per_axon): blocks of up to 64 entries, each block with a header of 10 bits, rounded up to words of 64 bits.
The vendor's compiler is closed and may choose otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hardware_targets.loihi.limits import ChipLimits
from hardware_targets.loihi.mapping.problem import Synapses


@dataclass(frozen=True)
class SynapseFormat:
    """Bits of one entry; `index_bits` 0 where entries carry no index."""

    weight_bits: int
    delay_bits: int
    index_bits: int = 0

    @property
    def bits(self) -> int:
        """Of one entry."""
        return self.weight_bits + self.delay_bits + self.index_bits

    def __str__(self) -> str:
        kind = f"indexed, {self.index_bits} index + " if self.index_bits else "dense, "
        return f"{kind}{self.weight_bits} weight + {self.delay_bits} delay bits"


@dataclass(frozen=True)
class Stored:
    """Synapses of one projection on one core.

    Attributes
    ----------
    format, bits : how they are stored, and the memory that takes
    axons : source neurons with at least one of them
    deepest : largest slot
    """

    format: SynapseFormat
    bits: int
    axons: int
    deepest: int


class Formats:
    """The formats of a chip, and what they make of slices; remembers what does not depend on the neurons of a slice."""

    def __init__(self, limits: ChipLimits) -> None:
        self._memory = tuple(limits[n] for n in ("synapses_per_block", "block_header_bits", "memory_word_bits"))
        self._choices = {name: _smallest_of(limits.choices[name].value) for name in limits.choices}
        self._tables: dict[int, NDArray[np.int64]] = {}
        self._alike: dict[tuple[str, int], Stored | None] = {}

    def stored(self, synapses: Synapses, first: int, last: int) -> Stored | None:
        """What target neurons first..last-1 need of a projection; None if no synapse leads to them."""
        if not synapses.alike:
            return self._stored(synapses, first, last)
        key = synapses.name, last - first
        if key not in self._alike:
            self._alike[key] = self._stored(synapses, 0, last - first)
        return self._alike[key]

    def _stored(self, synapses: Synapses, first: int, last: int) -> Stored | None:
        fan_out = synapses.fan_out(first, last)
        axons = int(np.count_nonzero(fan_out))
        if not axons:
            return None
        width = last - first
        deepest, low, high, step = synapses.needs(first, last)
        weight_bits = self._at_least("weight_bits", min(synapses.bits, needed_weight_bits(low, high, step)))
        delay_bits = self._at_least("delay_bits", deepest.bit_length())
        # The range of weights and of slots is checked where the network is made: there are formats for them.
        assert weight_bits is not None
        assert delay_bits is not None
        dense = SynapseFormat(weight_bits, delay_bits)
        best = Stored(dense, axons * int(self.axon_bits(width, dense.bits)[width]), axons, deepest)
        index_bits = self._at_least("index_bits", max(1, (width - 1).bit_length()))
        if index_bits is not None and synapses.counts is not None:
            indexed = SynapseFormat(weight_bits, delay_bits, index_bits)
            bits = int(self.axon_bits(width, indexed.bits)[fan_out].sum())
            if bits < best.bits:
                best = Stored(indexed, bits, axons, deepest)
        return best

    def axon_bits(self, most: int, entry_bits: int) -> NDArray[np.int64]:
        """Synaptic memory of an axon with 0, 1, 2 ... entries on a core, up to `most` at least, bits."""
        known = self._tables.get(entry_bits)
        if known is None or known.size <= most:
            block, header, word = self._memory
            full, rest = np.divmod(np.arange(2 * most + block), block)
            full_words = -(-(block * entry_bits + header) // word)
            rest_words = np.where(rest > 0, -(-(rest * entry_bits + header) // word), 0)
            known = self._tables[entry_bits] = (full * full_words + rest_words) * word
        return known

    def _at_least(self, name: str, bits: int) -> int | None:
        """The smallest choice of a field with at least so many bits; None if there is none."""
        choices = self._choices[name]
        return choices[bits] if bits < len(choices) else None


def _smallest_of(choices: tuple[int, ...]) -> list[int]:
    """For 0, 1, 2 ... the smallest choice that is not below."""
    return [next(choice for choice in choices if choice >= least) for least in range(choices[-1] + 1)]


def needed_weight_bits(low: int, high: int, step: int) -> int:
    """Bits of weights low..high that are multiples of `step`, a power of two; with a sign where both signs occur.

    The chip holds a weight of b bits as its highest bits, so fewer bits are a coarser step, and small weights are
    shifted up with the exponent lowered as much. Of one sign, 8 bits reach 255 and not 256.
    """
    low, high = low // step, high // step
    if (low == 0 or high == 0) and step * max(-low, high) < 256:
        return max(-low, high).bit_length()
    return max(high.bit_length(), (-low - 1).bit_length()) + 1


def delay_depth(slot: int, limits: ChipLimits) -> int:
    """Smallest depth of a delay buffer in which `slot` is usable; `slot` is at most the chip's largest."""
    usable = limits["delay_slots_unusable"]
    return next(depth for depth in limits.choices["delay_depths"].value if slot <= depth - usable)
