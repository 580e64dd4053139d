"""A whole network in the chip's own code: every core of its plan, loaded with the words of its tables.

The ARM code initialises and updates every neuron, adds every synaptic row to its ring buffer, and holds and sends again
what a delay extension delays. What is done here is what the communication fabric and the memory controller do: a packet
goes to the cores whose population table knows its key, the row that the table names is fetched from the core's words,
and given to the code. All packets of a tick arrive in that tick, none is lost.

The population table is read by its format (`population_table`), not with the code that wrote it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from hardware_targets.spinnaker.integer_network import IntegerNetwork, NeuronParameters
from hardware_targets.spinnaker.machine_code.delay_core import DelayCore
from hardware_targets.spinnaker.machine_code.neuron_core import NeuronCore, V
from hardware_targets.spinnaker.tables import DELAY_PARAMS, POP_TABLE, SYN_BLOCKS, SYNAPSE_PARAMS, TableCore, Tables
from toolchain.spikes import SpikeTrains

U32 = NDArray[np.uint32]
COLOUR_BITS = 4
HEADER_WORDS = 3
NO_ROWS = 0xFFFFFF
ROW_UNIT_WORDS = 4


@dataclass(frozen=True)
class BoardTraces:
    """What the cores did with one sample, population -> (n_ticks, n).

    Attributes
    ----------
    exc, inh : int32, synaptic values as the membrane takes them
    v : int32, at the end of the tick
    spikes : bool
    """

    exc: dict[str, NDArray[np.int32]]
    inh: dict[str, NDArray[np.int32]]
    v: dict[str, NDArray[np.int32]]
    spikes: dict[str, NDArray[np.bool_]]


class _Neurons:
    """A core of neurons with its tables in SDRAM."""

    def __init__(self, core: TableCore, parameters: NeuronParameters, dt_ms: float, key: int | None) -> None:
        self.population, self.first, self.last, self.key = core.core.vertex, core.core.first, core.core.last, key
        _, _, index_bits, _, slot_bits, _, _, *shifts = (int(w) for w in core.regions[SYNAPSE_PARAMS])
        self.code = NeuronCore(core.core.size, (shifts[0], shifts[1]), 1 << slot_bits, index_bits)
        own = slice(self.first, self.last + 1)
        self.code.set_up(
            NeuronParameters(**{f.name: getattr(parameters, f.name)[own] for f in fields(NeuronParameters)}), dt_ms
        )
        self._rows = core.regions[SYN_BLOCKS]
        table = core.regions[POP_TABLE].tolist()
        entries = [table[2 + 5 * i : 7 + 5 * i] for i in range(table[0])]
        self._addresses = table[2 + 5 * table[0] :]
        self._entries = {(key, mask): rest for key, mask, *rest in entries}
        self._masks = sorted({mask for _, mask in self._entries})
        self._known: dict[int, list[U32]] = {}

    def receive(self, tick: int, key: int) -> None:
        """Add the rows of a packet that was sent in this tick."""
        sender = key >> COLOUR_BITS
        if sender not in self._known:
            self._known[sender] = list(self._found(key))
        for row in self._known[sender]:
            self.code.add_row(tick, row)

    def _found(self, key: int) -> Iterator[U32]:
        """Rows of a key, those without a synapse left out."""
        for mask in self._masks:
            if (entry := self._entries.get((key & mask, mask))) is None:
                continue
            third, fourth, fifth = entry
            shift, core_mask = fourth >> 16, fourth & 0xFFFF
            neuron = (key & (1 << shift) - 1) >> COLOUR_BITS
            row = (key >> shift & core_mask) * (fifth & 0xFFFF) + neuron
            start = third & 0x1FFF
            for address in self._addresses[start : start + (third >> 16)]:
                if address >> 8 != NO_ROWS:
                    width = (address & 0xFF) + 1 + HEADER_WORDS
                    begin = (address >> 8) * ROW_UNIT_WORDS + row * width
                    if self._rows[begin + 1]:
                        yield self._rows[begin : begin + width]


class Board:
    """A network ready for one sample, each neuron at rest.

    Parameters
    ----------
    network : for the parameters of neurons; synapses and delays are those of the tables
    tables : of the same network
    """

    def __init__(self, network: IntegerNetwork, tables: Tables) -> None:
        self._sources: list[tuple[int, int, int]] = []  # unit of the samples, number of units, key of the core
        self._neurons: list[_Neurons] = []
        self._delays = [
            DelayCore(tuple(int(w) for w in core.regions[DELAY_PARAMS])) for core in tables.cores if core.core.extension
        ]
        self._sizes = {p.name: p.size for p in network.simulated}
        unit = 0
        for population in network.populations:
            keys = tables.keys.get(population.name)
            for core in tables.of(population.name):
                key = None if keys is None else keys.core_keys[core.core.index]
                if population.parameters is None:
                    if key is not None:
                        self._sources.append((unit + core.core.first, core.core.size, key))
                else:
                    self._neurons.append(_Neurons(core, population.parameters, network.dt_ms, key))
            unit += population.size if population.parameters is None else 0

    def run(self, spikes: SpikeTrains) -> BoardTraces:
        """Run one sample from rest; `spikes` has that one."""
        n = spikes.n_steps
        exc, inh, v = ({name: np.zeros((n, s), dtype=np.int32) for name, s in self._sizes.items()} for _ in range(3))
        traces = BoardTraces(exc, inh, v, {name: np.zeros((n, s), dtype=np.bool_) for name, s in self._sizes.items()})
        arriving = self._input_keys(spikes)
        for tick in range(n):
            colour = tick & (1 << COLOUR_BITS) - 1
            sent = [key | colour for key in arriving.get(tick, ())]
            for core in self._neurons:
                sent += self._update(core, tick, colour, traces)
            for delay in self._delays:
                sent += [key for key, count in delay.tick() for _ in range(count)]
            for key in sent:
                for core in self._neurons:
                    core.receive(tick, key)
                for delay in self._delays:
                    delay.receive(key)
        return traces

    @property
    def saturations(self) -> int:
        """Synapses that found their ring entry too full."""
        return sum(core.code.saturations for core in self._neurons)

    def _update(self, core: _Neurons, tick: int, colour: int, traces: BoardTraces) -> list[int]:
        """One tick of a core; returns the keys that it sends."""
        core.code.transfer(tick)
        ticked = core.code.update(tick)
        name, own = core.population, slice(core.first, core.last + 1)
        traces.exc[name][tick, own], traces.inh[name][tick, own] = ticked.exc, ticked.inh
        traces.v[name][tick, own] = core.code.neurons[:, V]
        for neuron in ticked.spikes:
            traces.spikes[name][tick, core.first + neuron] = True
        if core.key is None:
            return []
        return [core.key | neuron << COLOUR_BITS | colour for neuron in ticked.spikes]

    def _input_keys(self, spikes: SpikeTrains) -> Mapping[int, list[int]]:
        """Tick -> keys of the sources that spike, without colour."""
        found: dict[int, list[int]] = {}
        for tick, unit in zip(spikes.times.tolist(), spikes.units.tolist(), strict=True):
            for first, size, key in self._sources:
                if first <= unit < first + size:
                    found.setdefault(tick, []).append(key | (unit - first) << COLOUR_BITS)
        return found
