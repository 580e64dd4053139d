"""Tables as a person reads them: populations, cores and keys, then what each core receives and how it delays it.

Read back from the words, not from what they were made of: what is printed is what a core would find.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hardware_targets.spinnaker.limits import WORD_BYTES
from hardware_targets.spinnaker.placing import Place
from hardware_targets.spinnaker.pynn_view import RECEPTORS
from hardware_targets.spinnaker.tables import DELAY_PARAMS, POP_TABLE, SYN_BLOCKS, SYNAPSE_PARAMS, TableCore, Tables
from toolchain.errors import BundleError

U32 = NDArray[np.uint32]
HEADER_WORDS = 3
NO_ROWS = 0xFFFFFF
SYNAPSES_SHOWN = 4


def describe_tables(tables: Tables, *, rows: int = 2) -> str:
    """Lines for every vertex, and below it for every core.

    Parameters
    ----------
    rows : how many rows of each matrix are shown decoded, of the first core of each population
    """
    lines: list[str] = []
    for vertex in dict.fromkeys(core.core.vertex for core in tables.cores):
        cores = tables.of(vertex)
        size = sum(core.core.size for core in cores)
        keys = tables.keys.get(vertex)
        sent = f"key {keys.key:08x} mask {keys.mask:08x}" if keys else "sends to nobody"
        kind = "delay extension" if cores[0].core.extension else "population"
        lines.append(f"{kind} {vertex}: {size} neurons on {several(len(cores), 'core')}, {sent}")
        for core in cores:
            own = f", key {keys.core_keys[core.core.index]:08x} mask {keys.core_mask:08x}" if keys else ""
            where = _where(core.core.place)
            lines.append(f"  core {core.core.index} at {where}: neurons {core.core.first}..{core.core.last}{own}")
            if DELAY_PARAMS in core.regions:
                lines += _delay_lines(core.regions[DELAY_PARAMS])
            if POP_TABLE in core.regions:
                lines += _core_lines(tables, core, rows if core is cores[0] else 0)
    for name in tables.misplaced:
        lines.append(f"note: sPyNNaker 7.4.1 writes synapses of {name} into other rows than its cores read")
    return "\n".join(lines)


def several(number: int, what: str) -> str:
    """A number of something, in words."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _where(place: Place | None) -> str:
    return f"chip {place.x},{place.y} core {place.core}" if place else "a place that sPyNNaker chooses"


def _delay_lines(words: U32) -> Iterator[str]:
    has_key, key, incoming, mask, neurons, stages, ticks, drops, colours = (int(w) for w in words)
    sends = f"sends with key {key:08x}" if has_key else "sends nothing"
    late = "drops late spikes" if drops else "keeps late spikes"
    yield f"    delay_params: hears {incoming:08x} mask {mask:08x}, {neurons} neurons, {late}, {colours} colour bits"
    yield f"    {stages} stage{'s' if stages > 1 else ''} of {ticks} ticks, {sends}"
    for stage in range(stages):
        first = key + (stage * neurons << colours)
        last = first + (neurons << colours) - 1
        yield f"      stage {stage + 1}: {(stage + 1) * ticks} ticks later, keys {first:08x}..{last:08x}"


def _core_lines(tables: Tables, core: TableCore, rows: int) -> Iterator[str]:
    parameters = [int(w) for w in core.regions[SYNAPSE_PARAMS]]
    neurons, types, _, _, slot_bits, _, buffer = parameters[:7]
    shifts = ", ".join(f"{name} {shift}" for name, shift in zip(RECEPTORS.values(), parameters[7:], strict=True))
    yield (
        f"    ring buffers: {neurons} neurons, {types} types, {2**slot_bits} slots; shifts: {shifts}; "
        f"room for {buffer} spikes"
    )
    table = core.regions[POP_TABLE].tolist()
    addresses = table[2 + 5 * table[0] :]
    by_key = {keys.key: name for name, keys in tables.keys.items()}
    for entry in range(table[0]):
        key, mask, third, fourth, fifth = table[2 + 5 * entry : 7 + 5 * entry]
        start, count = third & 0x1FFF, third >> 16
        if key not in by_key:
            raise BundleError(
                f"tables of {core.core.vertex}: no vertex has the key {key:08x} of an entry; deploy again"
            )
        yield (
            f"    entry {by_key[key]}: key {key:08x} mask {mask:08x}, "
            f"core mask {fourth & 0xFFFF:x} shift {fourth >> 16}, {fifth & 0xFFFF} rows a core"
        )
        for address in addresses[start : start + count]:
            yield from _matrix_lines(tables, core, by_key[key], address, rows)


def _matrix_lines(tables: Tables, core: TableCore, vertex: str, address: int, rows: int) -> Iterator[str]:
    if address >> 8 == NO_ROWS:
        yield "      no synapses"
        return
    width = (address & 0xFF) + 1 + HEADER_WORDS
    start = (address >> 8) * 16 // WORD_BYTES
    n_rows = sum(_rows_of(sender) for sender in tables.of(vertex))
    words = core.regions[SYN_BLOCKS][start : start + n_rows * width]
    if words.size != n_rows * width:
        raise BundleError(f"tables of {core.core.vertex}: rows of {vertex} end before their matrix does; deploy again")
    matrix = words.reshape(n_rows, width)
    yield (
        f"      at byte {start * WORD_BYTES}: {several(n_rows, 'row')} of {several(width - HEADER_WORDS, 'word')}, "
        f"{several(int(matrix[:, 1].sum()), 'synapse')}"
    )
    for row in np.flatnonzero(matrix[:, 1])[:rows].tolist():
        held = matrix[row, HEADER_WORDS : HEADER_WORDS + int(matrix[row, 1])]
        shown = [synapse_text(int(word), core) for word in held[:SYNAPSES_SHOWN]]
        if held.size > SYNAPSES_SHOWN:
            shown.append(f"and {held.size - SYNAPSES_SHOWN} more")
        yield f"        row {row}: {'; '.join(shown)}"


def _rows_of(sender: TableCore) -> int:
    """Rows that one core of a vertex has in a matrix: a row a neuron, for an extension one a neuron and stage."""
    words = sender.regions.get(DELAY_PARAMS)
    return sender.core.size * (1 if words is None else int(words[5]))


def synapse_text(word: int, core: TableCore) -> str:
    """A synaptic word of a core, decoded."""
    _, _, index_bits, type_bits, slot_bits = (int(w) for w in core.regions[SYNAPSE_PARAMS][:5])
    target = core.core.first + (word & (1 << index_bits) - 1)
    kind = word >> index_bits & (1 << type_bits) - 1
    delay = word >> index_bits + type_bits & (1 << slot_bits) - 1 or 1 << slot_bits
    return f"to {target}, {RECEPTORS[kind]} {word >> 16}, {several(delay, 'tick')}"
