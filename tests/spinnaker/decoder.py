"""Synapses as the machine finds them: from keys through delay extensions, population tables and rows, back to a list.

Written from what the ARM code does (facts of the project, spinnaker.md sections 1.3, 1.4, 1.7, 2.4), for the words of
any tables, ours or sPyNNaker's; nothing of the code under test is used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

U32 = NDArray[np.uint32]
COLOURS = 4

Synapse = tuple[str, int, str, int, int, int, int]
"""Source, its neuron, target, its neuron, type, stored weight, delay in ticks."""


@dataclass(frozen=True)
class Sender:
    """A core that sends spikes of neurons from `first` on, `size` of them, with this key."""

    population: str
    key: int
    first: int
    size: int


@dataclass(frozen=True)
class Receiver:
    """A core with neurons from `first` on, and its regions."""

    population: str
    first: int
    regions: Mapping[str, U32]


def decode(senders: Sequence[Sender], receivers: Sequence[Receiver], extensions: Sequence[U32]) -> Counter[Synapse]:
    """Every synapse that a spike of any neuron reaches; `extensions` are the regions `delay_params`."""
    found: Counter[Synapse] = Counter()
    tables = [(receiver, dict(_entries(receiver.regions["PopTable"]))) for receiver in receivers]
    for sender in senders:
        for local in range(sender.size):
            for key, later in _sent(sender.key + (local << COLOURS), extensions):
                for receiver, entries in tables:
                    for target, kind, weight, delay in _synapses(key, entries, receiver):
                        neuron = sender.first + local
                        pre, post = (sender.population, neuron), (receiver.population, receiver.first + target)
                        synapse: Synapse = (*pre, *post, kind, weight, later + delay)
                        found[synapse] += 1
    return found


def _sent(key: int, extensions: Sequence[U32]) -> Iterator[tuple[int, int]]:
    """A key, and those with which extensions send it again: (key, ticks later)."""
    yield key, 0
    for words in extensions:
        has_key, own, incoming, mask, neurons, stages, ticks, _, colours = (int(w) for w in words)
        if has_key and key & mask == incoming:
            local = (key & ~mask & 0xFFFFFFFF) >> colours
            assert local < neurons, "a spike of a neuron that the extension does not know"
            for stage in range(stages):
                yield own + ((stage * neurons + local) << colours), (stage + 1) * ticks


def _entries(table: U32) -> Iterator[tuple[tuple[int, int], tuple[int, ...]]]:
    """(key, mask) -> colour bits, core mask, core shift, neurons, addresses."""
    words = table.tolist()
    n_entries, n_addresses = words[:2]
    addresses = words[2 + 5 * n_entries :]
    assert len(addresses) == n_addresses
    keys = [words[2 + 5 * i] for i in range(n_entries)]
    assert keys == sorted(set(keys)), "the search is binary"
    for i in range(n_entries):
        key, mask, third, fourth, fifth = words[2 + 5 * i : 7 + 5 * i]
        start, colours, count = third & 0x1FFF, third >> 13 & 7, third >> 16
        assert fifth >> 16 == -(-(fifth & 0xFFFF) // 32)
        cores = (colours, fourth & 0xFFFF, fourth >> 16, fifth & 0xFFFF)
        yield (key, mask), (*cores, *addresses[start : start + count])


def _synapses(
    key: int, entries: Mapping[tuple[int, int], tuple[int, ...]], receiver: Receiver
) -> Iterator[tuple[int, int, int, int]]:
    """Neuron on the core, type, weight and delay of the synapses that a key leads to."""
    matching = [of for (own, mask), of in entries.items() if key & mask == own]
    assert len(matching) <= 1, "two entries match one key"
    if not matching:
        return
    colours, core_mask, core_shift, neurons, *addresses = matching[0]
    (mask,) = (mask for (own, mask) in entries if key & mask == own)
    core = key >> core_shift & core_mask
    local = (key & ~(mask | core_mask << core_shift) & 0xFFFFFFFF) >> colours
    row = core * neurons + local
    _, _, index_bits, type_bits, slot_bits = (int(w) for w in receiver.regions["SynapseParams"][:5])
    blocks = receiver.regions["SynBlocks"]
    for address in addresses:
        if address >> 8 == 0xFFFFFF:
            continue
        row_words = (address & 0xFF) + 1
        start = (address >> 8) * 4 + row * (row_words + 3)
        plastic, fixed, controls = (int(w) for w in blocks[start : start + 3])
        assert plastic == controls == 0
        assert fixed <= row_words, "a row is longer than its table says"
        for word in blocks[start + 3 : start + 3 + fixed].tolist():
            slot = word >> index_bits + type_bits & (1 << slot_bits) - 1
            kind = word >> index_bits & (1 << type_bits) - 1
            yield word & (1 << index_bits) - 1, kind, word >> 16, slot or 1 << slot_bits
