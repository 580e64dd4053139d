"""What every spike of a placed network sets off on SpiNNaker: packets, links, rows, synaptic events, delayed packets.

A spike is one multicast packet. It goes to every core that has a synapse from any neuron of the core that sends,
however long its delay, and to the core of the delay extension where there is one (sPyNNaker 7.4.1,
`FromListConnector.get_connected_vertices`, which knows slices of neurons and not neurons). That core sends it again
once for every stage, whether anybody needs that stage or not, to all cores of the targets that the extension serves. A
core that takes a packet goes through a row for each type of which the neuron has synapses there; a weight that became 0
is no synapse and lies in no row, so there are no events for nothing.

Source: facts of the project, spinnaker.md sections 1 and 2.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hardware_targets.home_cores import home_cores
from hardware_targets.spinnaker.delay_tables import split_delay
from hardware_targets.spinnaker.integer_network import IntegerNetwork, IntegerProjection
from hardware_targets.spinnaker.layout import Layout
from hardware_targets.spinnaker.limits import Board, SpinnakerLimits
from hardware_targets.spinnaker.planner import DELAYED
from hardware_targets.spinnaker.problem import TYPES, problem_of_network
from hardware_targets.spinnaker.routes import Routes
from toolchain.cost.workload import CountKind, Sender, Site, Workload
from toolchain.deployment.target import CoreUse

I64 = NDArray[np.int64]

KINDS = (
    CountKind("synaptic_events", "events", "spikes times synapses, on every core that they reach"),
    CountKind("rows", "rows", "rows with synapses that cores go through, one for each type of a source"),
    CountKind("neuron_updates", "updates", "every neuron on a core in every tick"),
    CountKind("messages", "messages", "packets times cores that they go to, delayed ones included"),
    CountKind("packets", "packets", "multicast packets that cores of neurons and sources send: one a spike"),
    CountKind("delay_packets", "packets", "packets that delay extensions send: one a spike and stage"),
    CountKind("spikes_out", "spikes", "spikes of neurons on cores"),
)
LINKS = (
    CountKind("hops", "hops", "links between neighbouring chips that packets cross, once for all cores beyond"),
    CountKind("router_passes", "passes", "routers that packets go through: links and the one where it starts"),
)
_AT_SITES = ("synaptic_events", "rows", "messages")


def build_workload(
    network: IntegerNetwork, cores: Sequence[CoreUse], limits: SpinnakerLimits, board: Board | None
) -> Workload:
    """Tables of a placed network.

    Parameters
    ----------
    network : the one that was placed
    cores : of all populations, spike sources and delay extensions included
    board : the one that they lie on; None where there are several, whose chips are not known: no links are counted
    """
    layout = layout_of(network, cores, limits)
    routes = Routes(board) if board is not None and all(c.position for c in cores) else None
    senders = []
    for population in network.populations:
        if population.name not in layout.sources:
            # It has no key to send with.
            none = np.zeros(population.size, dtype=np.int64)
            spikes_out = none + (population.kind != "spike_source")
            home = home_cores(population.name, population.size, cores)
            senders.append(Sender(population.name, {"spikes_out": spikes_out}, {}, home))
            continue
        senders += _senders(network, population.name, cores, layout, routes)
    updates = [c.size if _kind(network, c.population) not in ("spike_source", None) else 0 for c in cores]
    sites = tuple(
        Site(c.chip, c.core, c.population, c.first, c.last, _WHAT.get(_kind(network, c.population), "neurons"))
        for c in cores
    )
    kinds = (*KINDS, *(LINKS if routes else ()))
    return Workload(kinds, sites, tuple(senders), {"neuron_updates": np.array(updates, dtype=np.int64)})


_WHAT = {"spike_source": "spike source", None: "delay extension"}


def layout_of(network: IntegerNetwork, cores: Sequence[CoreUse], limits: SpinnakerLimits) -> Layout:
    """Layout that cores were placed in: the first core of a population is a full one."""
    neurons: dict[str, int] = {}
    for core in cores:
        neurons[core.population] = max(neurons.get(core.population, 0), core.size)
    own = {p.name: neurons[p.name] for p in network.populations}
    return Layout(problem_of_network(network), own, limits)


def _kind(network: IntegerNetwork, name: str) -> str | None:
    """Kind of a population, None for a delay extension."""
    return next((p.kind for p in network.populations if p.name == name), None)


def _senders(
    network: IntegerNetwork, source: str, cores: Sequence[CoreUse], layout: Layout, routes: Routes | None
) -> list[Sender]:
    """The population itself, and each stage of its delay extension."""
    size = network[source].size
    simulated = network[source].kind != "spike_source"
    home = home_cores(source, size, cores)
    stages = layout.stages.get(source, 0)
    extended = {p.target for p in layout.extended(source)}
    length = layout.stage_lengths(source).pop() if stages else 0
    joined = {p.target: p for p in network.outgoing(source)}
    reached = _reached(joined, home, cores)
    delayed_home = home_cores(f"{source}{DELAYED}", size, cores) if stages else home
    found = []
    for stage in range(stages + 1):
        sites = [i for i, c in enumerate(cores) if c.population in (extended if stage else joined)]
        tables = {kind: np.zeros((size, len(cores)), dtype=np.int64) for kind in _AT_SITES}
        for i in sites:
            core = cores[i]
            projection, slots = joined[core.population], layout.slots[core.population]
            here = slice(core.first, core.last + 1)
            mine = projection.exists[:, here] & (split_delay(_delay(projection)[:, here], slots)[0] == stage)
            tables["synaptic_events"][:, i] = mine.sum(axis=1)
            tables["rows"][:, i] = sum((mine & projection.of_type(kind)[:, here]).any(axis=1) for kind in TYPES)
            tables["messages"][:, i] = reached[:, i]
        begin = delayed_home if stage else home
        if stages and not stage:
            tables["messages"][np.arange(size), delayed_home] = 1
        per_spike = {
            "packets": np.full(size, int(not stage), dtype=np.int64),
            "delay_packets": np.full(size, int(stage > 0), dtype=np.int64),
            "spikes_out": np.full(size, int(simulated and not stage), dtype=np.int64),
            **_links(begin, tables["messages"], cores, routes),
        }
        found.append(Sender(source, per_spike, tables, begin, lag=stage * length))
    return found


def _delay(projection: IntegerProjection) -> I64:
    """Delays, 1 where there is no synapse; (pre, post)."""
    return np.where(projection.exists, projection.delay, 1).astype(np.int64)


def _reached(joined: dict[str, IntegerProjection], home: I64, cores: Sequence[CoreUse]) -> I64:
    """Whether a packet of each neuron goes to each core, (size, n_cores): the same for all neurons of a core."""
    found = np.zeros((home.size, len(cores)), dtype=np.int64)
    for i, core in enumerate(cores):
        if core.population in joined:
            any_synapse = joined[core.population].exists[:, core.first : core.last + 1].any(axis=1)
            for sender in np.unique(home):
                found[home == sender, i] = int(any_synapse[home == sender].any())
    return found


def _links(home: I64, messages: I64, cores: Sequence[CoreUse], routes: Routes | None) -> dict[str, I64]:
    """Links that a packet of each neuron crosses, (size,), and routers that it goes through."""
    if routes is None:
        return {}
    links = np.zeros(home.size, dtype=np.int64)
    for sender in np.unique(home):
        mine = home == sender
        targets = {cores[i].position for i in np.flatnonzero(messages[mine][0])}
        begin = cores[sender].position
        assert begin is not None, "there are routes where all cores have a position"
        links[mine] = routes.links(begin, [t for t in targets if t is not None])
    return {"hops": links, "router_passes": links + 1}
