"""What every spike of a placed network sets off on Loihi: entries that cores read, messages, hops, relays.

A spike goes as one message to each core that has a synapse for it, whatever the number of its synapses there. The core
reads the list of that axon: without an index an entry for each of its neurons, whether there is a synapse or not; with
one the synapses that exist. A weight of 0 is no synapse (`mapping.problem`), but takes its place in a list without
index, as does a pair that was pruned: `zero_reads`. Delays change when something arrives, not how often, so they do not
come in; relays are neurons like any others, and their spikes count.

Hops are links of the mesh between the tiles of two cores of one chip, along a row and along a column. Between chips
only the messages are counted: how chips lie and what a link between them takes is not public.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hardware_targets.home_cores import home_cores
from hardware_targets.loihi.integer_network import IntegerNetwork
from hardware_targets.loihi.limits import ChipLimits
from hardware_targets.loihi.mapping.formats import Formats
from hardware_targets.loihi.mapping.problem import Synapses, problem_of_network
from toolchain.cost.workload import CountKind, Sender, Site, Workload
from toolchain.deployment.target import CoreUse

I64 = NDArray[np.int64]

EVENTS = (
    CountKind("synaptic_events", "events", "spikes times synapses with a weight, on every core that they reach"),
    CountKind("dense_events", "events", "those of them that are read from lists without index"),
    CountKind("indexed_events", "events", "those of them that are read from lists with an index"),
    CountKind("zero_reads", "reads", "entries of lists without index that are read though they hold no weight"),
    CountKind("neuron_updates", "updates", "every neuron on a core, relays included, in every step"),
    CountKind("messages", "messages", "spikes times cores that they go to"),
    CountKind("input_messages", "messages", "those of them that bring input spikes"),
    CountKind("relay_spikes", "spikes", "spikes of relays, which pass spikes on for longer delays"),
)
BETWEEN_CHIPS = CountKind("messages_between_chips", "messages", "messages that leave their chip")
HOPS = (
    CountKind("hops", "hops", "links between neighbouring tiles that messages within a chip take; none for input"),
    CountKind("hops_east_west", "hops", "those of them along a row of tiles"),
    CountKind("hops_north_south", "hops", "those of them along a column"),
)
SPIKES_OUT = CountKind("spikes_out", "spikes", "spikes of neurons on cores, relays included")
MESSAGES_OUT = CountKind("messages_out", "messages", "messages that cores send; all but those of input")


def build_workload(network: IntegerNetwork, cores: Sequence[CoreUse], limits: ChipLimits) -> Workload:
    """Tables of a placed network.

    Parameters
    ----------
    network : what is on the chip, relays included
    cores : that hold its neurons; spike sources may be on cores too, and their spikes then take the mesh as any others
    """
    problem, formats = problem_of_network(network, limits), Formats(limits)
    onto = {(s.source, s.target): s for s in problem.synapses}
    columns = limits.value("mesh_columns")
    meshed = columns is not None and limits.value("cores_per_tile") is not None
    simulated = {p.name: p.kind != "spike_source" for p in network.populations}
    relays = {p.name for p in network.populations if p.relays_of is not None}
    senders = []
    for population in network.populations:
        source, size = population.name, population.size
        home = home_cores(source, size, cores)
        tables = {name: np.zeros((size, len(cores)), dtype=np.int64) for name in _AT_SITES}
        for i, core in enumerate(cores):
            synapses = onto.get((source, core.population))
            if synapses is not None:
                for name, column in _arriving(synapses, core, formats).items():
                    tables[name][:, i] = column
        arriving = tables["messages"]
        there = home >= 0
        per_spike = {
            "input_messages": np.where(there, 0, arriving.sum(axis=1)),
            "messages_out": np.where(there, arriving.sum(axis=1), 0),
            "spikes_out": np.full(size, int(simulated[source]), dtype=np.int64),
            "relay_spikes": np.full(size, int(source in relays), dtype=np.int64),
            **_ways(home, arriving, cores, limits, meshed=meshed),
        }
        senders.append(Sender(source, per_spike, tables, home))
    updates = np.array([core.size if simulated[core.population] else 0 for core in cores], dtype=np.int64)
    sites = tuple(
        Site(c.chip, c.core, c.population, c.first, c.last, "relays" if c.population in relays else "neurons")
        for c in cores
    )
    chips = (BETWEEN_CHIPS,) if len({c.chip for c in cores}) > 1 else ()
    kinds = (*EVENTS, *chips, *(HOPS if meshed else ()), SPIKES_OUT, MESSAGES_OUT)
    return Workload(kinds, sites, tuple(senders), {"neuron_updates": updates})


_AT_SITES = ("synaptic_events", "dense_events", "indexed_events", "zero_reads", "messages")


def _arriving(synapses: Synapses, core: CoreUse, formats: Formats) -> dict[str, I64]:
    """What a spike of each source neuron does at one core, (pre,) each."""
    fan_out = synapses.fan_out(core.first, core.last + 1).astype(np.int64)
    stored = formats.stored(synapses, core.first, core.last + 1)
    indexed = stored is not None and stored.format.index_bits > 0
    none = np.zeros_like(fan_out)
    return {
        "synaptic_events": fan_out,
        "dense_events": none if indexed else fan_out,
        "indexed_events": fan_out if indexed else none,
        "zero_reads": none if indexed else np.where(fan_out > 0, core.size - fan_out, 0),
        "messages": (fan_out > 0).astype(np.int64),
    }


def _ways(home: I64, arriving: I64, cores: Sequence[CoreUse], limits: ChipLimits, *, meshed: bool) -> dict[str, I64]:
    """Links that the messages of a spike of each neuron take, and how many leave their chip, (size,) each."""
    chip = np.array([c.chip for c in cores], dtype=np.int64)
    inside = home >= 0
    own = np.where(inside, home, 0)
    same = (chip[own][:, np.newaxis] == chip) & inside[:, np.newaxis]
    leaving = np.where(inside, (arriving * ~same).sum(axis=1), 0)
    if not meshed:
        return {"messages_between_chips": leaving}
    x, y = tile_positions(cores, limits)
    along = arriving * same
    east_west = (along * np.abs(x[own][:, np.newaxis] - x)).sum(axis=1)
    north_south = (along * np.abs(y[own][:, np.newaxis] - y)).sum(axis=1)
    return {
        "messages_between_chips": leaving,
        "hops": east_west + north_south,
        "hops_east_west": east_west,
        "hops_north_south": north_south,
    }


def tile_positions(cores: Sequence[CoreUse], limits: ChipLimits) -> tuple[I64, I64]:
    """Column and row of the tile of each core, (n_cores,) each; the mesh must be known (KeyError)."""
    tile = np.array([c.core for c in cores], dtype=np.int64) // limits["cores_per_tile"]
    row, column = np.divmod(tile, limits["mesh_columns"])
    return column, row
