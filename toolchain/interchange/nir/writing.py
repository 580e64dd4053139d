"""A network as a NIR file that stands alone, in SI units: seconds, and volts for our voltage without unit.

Every synapse of slot k lies in the group of its slot:

    source -> Delay(k dt) -> Linear(weights of slot k, else 0) -> target

and what reaches a node is summed. Slot 0 has no Delay: the one step that every projection takes in itself is a matter
of how a tool computes, not of the graph. Neurons are CubaLIF and CubaLI with w_in = tau_syn/dt and R = 1: a spike is a
pulse of height 1 that lasts one step, and the step of our law is then NIR's equations with each state solved over the
step, the current first, and the input held (exponential Euler):

    I = g I_ours,   v = V,   g = (tau_syn/dt)(1 - exp(-dt/tau_syn))

Source: nir 1.0.8 for the file; `toolchain.network` for the law. `docs/interchange.md` derives it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import InterchangeError, NetworkError
from toolchain.interchange.nir import notes
from toolchain.interchange.nir.folding import MAX_SLOT
from toolchain.interchange.nir.graph_file import MAX_ENTRIES, MAX_NODES, MAX_TOTAL
from toolchain.interchange.nir.latency import uneven
from toolchain.interchange.nir.names import LONGEST
from toolchain.network import Network, Population, Projection
from toolchain.storage import write_atomically

NIR_VERSION = "1.0.8"
COMPRESSED_FROM = 256
"""Entries: a smaller array takes more room in a compressed chunk than as it is."""


@dataclass(frozen=True)
class NirWritten:
    """What was written, and what the file says less exactly than the network.

    Attributes
    ----------
    nodes, edges : of the graph
    delays_rounded : synapses whose delay was no whole step; the graph has the rounded one, metadata the other
    weights_zero : synapses of weight 0, of which the graph has nothing
    warnings : one sentence each: where another tool may compute another network
    """

    nodes: int
    edges: int
    delays_rounded: int
    weights_zero: int
    warnings: tuple[str, ...]


def write_nir(network: Network, path: Path) -> NirWritten:
    """Write a network as a NIR file, to the byte the same every time.

    Parameters
    ----------
    network : with at least one spike_source and exactly one readout
    path : of the file, written whole or not at all

    Raises
    ------
    InterchangeError
        If NIR cannot say something: neurons that spike once, no input, several outputs, a value that is not finite in
        seconds, or a file too large to be read again.
    InputError
        If the disk refuses.
    """
    import h5py

    readout = _check(network)
    graph = _Graph({}, [])
    for population in network.populations:
        graph.nodes[population.name] = _neurons(population, network.dt_ms)
    for projection in network.projections:
        _slots(graph, projection, network.dt_ms)
    name = graph.free(f"{readout.name}.output")
    graph.nodes[name] = {"type": "Output", "shape": np.array([readout.size], dtype=np.int64)}
    graph.edges.append((readout.name, name))
    if len(graph.nodes) > MAX_NODES:
        raise InterchangeError(
            f"file {path}: would have {len(graph.nodes)} nodes, one or two for each slot of each projection; at most "
            f"{MAX_NODES}: "
            "train with a smaller max_slot"
        )
    entries = sum(v.size for node in graph.nodes.values() for v in node.values() if not isinstance(v, str))
    # Metadata have a mask and a delay for each weight at most.
    entries += sum(2 * p.weight.size for p in network.projections)
    if entries > MAX_TOTAL:
        raise InterchangeError(
            f"file {path}: would have {entries} numbers, a dense matrix for each slot of each projection; at most "
            f"{MAX_TOTAL} can be read again: train with a smaller max_slot"
        )
    # The image of the whole file in memory, so that the disk never sees a part of it.
    with h5py.File("nir", "w", driver="core", backing_store=False) as file:
        _write(file, network, graph)
        file.flush()
        image = file.id.get_file_image()
    write_atomically(path, image)
    weights_zero = sum(p.n_synapses - int(np.count_nonzero(p.weight)) for p in network.projections)
    rounded = sum(int(np.count_nonzero(p.delay != p.slots())) for p in network.projections)
    return NirWritten(len(graph.nodes), len(graph.edges), rounded, weights_zero, _warnings(network))


@dataclass(frozen=True)
class _OfSlot:
    """Weights (post, pre) of one slot of a projection and 0 elsewhere, made when they are written: all of a projection
    together are many times the projection.
    """

    weight: NDArray[np.float32]
    slots: NDArray[np.int32]
    slot: int

    @property
    def size(self) -> int:
        return self.weight.size

    def array(self) -> NDArray[np.float32]:
        return np.where(self.slots == self.slot, self.weight, np.float32(0))


_Value = str | NDArray[Any] | _OfSlot


@dataclass
class _Graph:
    nodes: dict[str, dict[str, _Value]]
    edges: list[tuple[str, str]]

    def free(self, name: str) -> str:
        """The name, or with lines behind it until no population and no node has it."""
        while name in self.nodes:
            name += "_"
        return name


def _check(network: Network) -> Population:
    """What NIR cannot say; the readout."""
    try:
        readout = network.readout
    except NetworkError as error:
        raise InterchangeError(f"{error}; NIR needs one Output") from error
    if not network.of_kind("spike_source"):
        raise InterchangeError("network: has no spike_source; NIR needs an Input")
    for population in network.populations:
        if population.single_spike:
            raise InterchangeError(
                f"population {population.name}: single_spike is true, and NIR has no refractory period; train with "
                "single_spike: false"
            )
        if len(population.name) > LONGEST:
            raise InterchangeError(
                f"population {population.name[:20]}...: has a name of {len(population.name)} characters, at most "
                f"{LONGEST} can be read again; rename it"
            )
    for projection in network.projections:
        largest = int(projection.slots().max(initial=0)) if np.all(projection.delay <= MAX_SLOT) else MAX_SLOT + 1
        if projection.weight.size > MAX_ENTRIES or largest > MAX_SLOT:
            raise InterchangeError(
                f"projection {projection.name}: {projection.weight.size} pairs and delays up to "
                f"{projection.delay.max():g} steps; at most "
                f"{MAX_ENTRIES} and {MAX_SLOT} can be read again"
            )
    return readout


def _neurons(population: Population, dt_ms: float) -> dict[str, _Value]:
    n = population.size
    if population.kind == "spike_source":
        return {"type": "Input", "shape": np.array([n], dtype=np.int64)}
    tau_mem, tau_syn = (
        np.broadcast_to(np.asarray(tau, dtype=np.float64), (n,))
        for tau in (population.tau_mem_ms, population.tau_syn_ms)
    )
    node: dict[str, NDArray[np.float64]] = {
        "tau_syn": tau_syn / 1000.0,
        "tau_mem": tau_mem / 1000.0,
        "r": np.ones(n),
        "v_leak": np.zeros(n),
        "w_in": tau_syn / dt_ms,
    }
    spiking = population.kind == "lif"
    if spiking:
        node |= {"v_threshold": np.full(n, population.threshold), "v_reset": np.zeros(n)}
    for name in ("tau_syn", "tau_mem", "w_in"):
        wrong = ~(np.isfinite(node[name]) & (node[name] > 0))
        if np.any(wrong):
            neuron = int(np.argmax(wrong))
            raise InterchangeError(
                f"population {population.name}: {name} of neuron {neuron} would be {node[name][neuron]:g} in NIR; must "
                "be finite and above 0"
            )
    return {"type": "CubaLIF" if spiking else "CubaLI", **node}


def _slots(graph: _Graph, projection: Projection, dt_ms: float) -> None:
    """One Linear for each slot that a weight is in, behind a Delay where the slot is not 0."""
    weight = np.ascontiguousarray(projection.weight.T)
    slots = np.ascontiguousarray(projection.slots().T, dtype=np.int32)
    # A projection without any weight is there all the same: it decides which population is the readout.
    for slot in np.unique(slots[weight != 0]).tolist() or [0]:
        name = graph.free(f"{projection.target}.{projection.source}.d{slot:03d}")
        graph.nodes[name] = {"type": "Linear", "weight": _OfSlot(weight, slots, slot)}
        before = projection.source
        if slot:
            delay = graph.free(f"{name}.delay")
            seconds = np.full(projection.weight.shape[0], slot * dt_ms / 1000.0)
            graph.nodes[delay] = {"type": "Delay", "delay": seconds}
            graph.edges.append((before, delay))
            before = delay
        graph.edges += [(before, name), (name, projection.target)]


def _write(file: Any, network: Network, graph: _Graph) -> None:
    import h5py

    text = h5py.string_dtype()

    def put(group: Any, name: str, value: _Value) -> None:
        if isinstance(value, str):
            group.create_dataset(name, data=value, dtype=text, track_times=False)
            return
        # Bytes unshuffled: a weight among zeros is then one place in the file instead of four.
        packed = {"compression": "gzip", "compression_opts": 4} if value.size >= COMPRESSED_FROM else {}
        data = value.array() if isinstance(value, _OfSlot) else value
        group.create_dataset(name, data=data, track_times=False, **packed)

    put(file, "version", NIR_VERSION)
    root = file.create_group("node")
    put(root, "type", "NIRGraph")
    nodes = root.create_group("nodes")
    for name, node in graph.nodes.items():
        group = nodes.create_group(name)
        for field, value in node.items():
            put(group, field, value)
    root.create_dataset("edges", data=np.array(graph.edges, dtype=object), dtype=text, track_times=False)
    metadata = root.create_group("metadata")
    put(metadata, notes.KEY, notes.description(network))
    held = metadata.create_group(notes.ARRAYS)
    for projection in network.projections:
        for field, array in notes.arrays(projection).items():
            put(held, f"{projection.name}.{field}", array)


def _warnings(network: Network) -> tuple[str, ...]:
    edges = [(p.source, p.target) for p in network.projections]
    found = uneven([p.name for p in network.populations], edges)
    if not found:
        return ()
    names = ", ".join(f"{source}->{target}" for source, target in found)
    return (
        "Here every projection takes one step in itself. A tool that passes spikes on within a step computes another "
        f"network, because of {names}: "
        "they skip a stage or are in a loop of several populations. Read the file with a tool that takes a step for "
        "each connection.",
    )
