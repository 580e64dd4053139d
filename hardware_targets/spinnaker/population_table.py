"""The master population table: where the rows lie of the vertex that a key comes from.

    words: n_entries, n_addresses, entries of 5 words in rising order of key, addresses
    entry:   key | mask | start[13] colour bits[3] addresses[16] | core mask[16] core shift[16] | neurons[16] words[16]
    address: row words - 1 [8] | bytes / 16 [24]; all ones in the upper bits where a matrix has no synapse

An entry stands for a vertex, a population or its delay extension, and has an address for each matrix of its spikes. The
row of a key is (number of the core) * neurons + (the bits below it without colour), where neurons are those of a full
core, times stages for an extension.

Source: sPyNNaker 7.4.1, master_pop_table.py, synaptic_matrices.py; facts of the project, spinnaker.md section 1.7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hardware_targets.limit_file import ChipLimits
from hardware_targets.spinnaker.keys import VertexKeys
from toolchain.errors import TargetLimitError

U32 = NDArray[np.uint32]
BITS_IN_WORD = 32
COLOUR_AT, COUNT_AT, SHIFT_AT, WORDS_AT, ADDRESS_AT = 13, 16, 16, 16, 8


@dataclass(frozen=True)
class Address:
    """Where one matrix begins, bytes from the start of all rows, and the words of its rows; 0 without synapses."""

    offset: int
    row_words: int


@dataclass(frozen=True)
class TableEntry:
    """One vertex whose spikes a core receives.

    Attributes
    ----------
    vertex : for people
    neurons : rows of each full core of it: its neurons, times stages for an extension
    addresses : one for each matrix
    """

    vertex: str
    keys: VertexKeys
    neurons: int
    addresses: tuple[Address, ...]


def population_table(entries: Sequence[TableEntry], limits: ChipLimits) -> U32:
    """Words of the table.

    Raises
    ------
    TargetLimitError
        If the table has more addresses than it can count, or an entry a figure beyond its field.
    """
    total = sum(len(entry.addresses) for entry in entries)
    if total > limits["table_addresses"]:
        raise TargetLimitError(
            f"population table: {total} addresses, {limits.chip} counts up to {limits['table_addresses']}; have fewer "
            "projections onto one population"
        )
    words = [len(entries), total]
    addresses: list[int] = []
    for entry in sorted(entries, key=lambda e: e.keys.key):
        core_mask = 2 ** (len(entry.keys.core_keys) - 1).bit_length() - 1
        for what, value, bits in (
            ("cores", core_mask, limits["core_mask_bits"]),
            ("neurons a core", entry.neurons, limits["table_neurons_bits"]),
        ):
            if value >= 2**bits:
                raise TargetLimitError(
                    f"population table: {entry.vertex} has {value} {what}, its entry holds up to {2**bits - 1}; "
                    "split the population in two"
                )
        words += [
            entry.keys.key,
            entry.keys.mask,
            len(addresses) | limits["colour_bits"] << COLOUR_AT | len(entry.addresses) << COUNT_AT,
            core_mask | entry.keys.atom_bits << SHIFT_AT,
            entry.neurons | -(-entry.neurons // BITS_IN_WORD) << WORDS_AT,
        ]
        addresses += [_address_word(entry.vertex, address, limits) for address in entry.addresses]
    return np.array(words + addresses, dtype=np.uint32)


def _address_word(vertex: str, address: Address, limits: ChipLimits) -> int:
    none = int(2 ** limits["address_bits"]) - 1
    if not address.row_words:
        return none << ADDRESS_AT
    scaled = address.offset // limits["address_unit_bytes"]
    if scaled >= none:
        raise TargetLimitError(
            f"population table: rows of {vertex} begin at byte {address.offset}, an address reaches "
            f"{(none - 1) * limits['address_unit_bytes']}; put fewer neurons on a core"
        )
    return address.row_words - 1 | scaled << ADDRESS_AT
