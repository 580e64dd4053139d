"""A NIR file as a network: what every node means here, or the name of the first that can mean nothing."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import NetworkError
from toolchain.interchange.imported import Imported
from toolchain.interchange.nir.assumptions import NirAssumptions
from toolchain.interchange.nir.folding import NEURONS, PASSING, Folded, fold
from toolchain.interchange.nir.graph_file import F64, Graph, NirFile, Node, open_nir, plain, read_graph, shown
from toolchain.interchange.nir.latency import latencies, loops
from toolchain.interchange.nir.names import population_names
from toolchain.interchange.nir.neurons import NO_SYNAPSE, Neurons, one_or_each, read_neurons, step_from_parameters
from toolchain.interchange.nir.notes import exact_constants, read_notes
from toolchain.network import Network, Population, Projection, make_projection

REFUSED = {
    "I": "has no leak, and every neuron here has one; train with LI",
    "IF": "has no leak, and every neuron here has one; train with LIF",
    "Threshold": "is a neuron without a voltage that lasts; train with LIF",
    "Conv1d": "is a convolution; write it out as a Linear",
    "Conv2d": "is a convolution; write it out as a Linear",
    "SumPool2d": "is a pooling; write it out as a Linear",
    "AvgPool2d": "is a pooling; write it out as a Linear",
}
"""Why a type of NIR has no meaning here, and what to do; others are unknown."""
LONG_S, LONG_STEPS = 1.0, 1000.0
"""A time constant beyond both is said: NIR's documents have ms, its tools write seconds."""


def read_nir(path: Path, assume: NirAssumptions) -> Imported:
    """Read a NIR file of this program or of another.

    Parameters
    ----------
    path : of the file
    assume : what a file does not say itself

    Returns
    -------
    the network, and every assumption and rounding that went into it, a sentence each

    Raises
    ------
    InterchangeError
        If the file is damaged, or a node means nothing here; the message names it.
    """
    with open_nir(path) as file, np.errstate(all="ignore"):
        return _Reader(file, assume).read()


class _Reader:
    """One file on its way to a network."""

    def __init__(self, file: NirFile, assume: NirAssumptions) -> None:
        self.file, self.assume = file, assume
        self.assumed: list[str] = []
        self.graph: Graph = read_graph(file)
        self.notes = read_notes(file)
        self.dt_ms = self._step()

    def read(self) -> Imported:
        nodes = self.graph.nodes
        output = self._check_kinds()
        sizes = self._sizes()
        dt_s = self.dt_ms / 1000.0
        neurons = {
            name: read_neurons(node, sizes[name], dt_s, self.dt_ms, self.assume)
            for name, node in nodes.items()
            if node.kind in NEURONS
        }
        folded = fold(self.graph, sizes, dt_s)
        self._say_what_is_assumed(neurons)
        members = [n for n, node in nodes.items() if node.kind == "Input" or node.kind in NEURONS]
        names, renamed = population_names(members)
        if renamed:
            self.assumed.append(renamed)
        populations = [self._population(names[n], sizes[n], neurons.get(n)) for n in members]
        populations = self._ordered(populations, [(names[a], names[b]) for a, b in folded])
        projections = self._projections(folded, neurons, names, [p.name for p in populations])
        try:
            network = Network(self.dt_ms, tuple(populations), tuple(projections))
            readout = network.readout
        except NetworkError as error:
            raise self.file.refuse(f"is no network here: {error}") from error
        if readout.name != names[output]:
            raise nodes[output].refuse(
                f"is what the Output shows, but it feeds others, and {shown(readout.name)} feeds none; put the Output "
                "behind that one"
            )
        return Imported(network, tuple(self.assumed))

    # The step

    def _step(self) -> float:
        noted, given = None if self.notes is None else self.notes.dt_ms, self.assume.dt_ms
        if given is None and noted is None:
            looks = self._step_of_parameters()
            hint = "" if looks is None else f" (its w_in and r look like a step of {looks:.6g} ms)"
            raise self.file.refuse(f"does not say the length of a step{hint}; give it with --dt-ms")
        if given is None:
            assert noted is not None
            return noted
        if noted is not None and noted != given:
            self.assumed.append(
                f"Steps are {given:g} ms long as asked for, though the file was written for {noted:g} ms."
            )
        elif noted is None:
            self.assumed.append(f"Steps are {given:g} ms long as asked for; the file does not say it.")
            looks = self._step_of_parameters()
            if looks is not None and not math.isclose(looks, given, rel_tol=1e-3):
                self.assumed.append(
                    f"Its w_in and r look like steps of {looks:.6g} ms: if that is the tool's, give it with --dt-ms."
                )
        return given

    def _step_of_parameters(self) -> float | None:
        """The step, ms, that all neurons look like which look like one; a hint."""
        hints = {step_from_parameters(n) for n in self.graph.nodes.values() if n.kind in NEURONS} - {None}
        if len(hints) != 1:
            return None
        (seconds,) = hints
        return None if seconds is None else seconds * 1000

    # The graph as a whole

    def _check_kinds(self) -> str:
        """Refuse what has no meaning; the name of the node that the Output shows."""
        nodes, before = self.graph.nodes, defaultdict(list)
        for source, target in self.graph.edges:
            before[target].append(source)
            first, second = nodes[source], nodes[target]
            if second.kind == "Input":
                raise second.refuse(f"receives {shown(source)}; an Input receives nothing")
            if first.kind == "Output":
                raise first.refuse(f"feeds {shown(target)}; an Output feeds nothing")
            if first.kind in ("LI", "CubaLI") and second.kind != "Output":
                raise first.refuse(
                    f"never spikes, but feeds {shown(target)}; only spikes travel here: use a LIF or CubaLIF"
                )
        for node in nodes.values():
            if node.kind not in (*NEURONS, *PASSING, "Input", "Output"):
                known = ", ".join(sorted({*NEURONS, *PASSING, "Input", "Output"} - {"Identity"}))
                raise node.refuse(REFUSED.get(node.kind, f"is of a type that is not known; read are {known}"))
        if not any(node.kind == "Input" for node in nodes.values()):
            raise self.file.refuse("the graph has no Input; add one before the first node")
        outputs = [node for node in nodes.values() if node.kind == "Output"]
        if len(outputs) != 1:
            raise self.file.refuse(
                f"the graph has {len(outputs)} Outputs ({', '.join(shown(n.name) for n in outputs[:5])}); must be 1, "
                "behind what is read"
            )
        shown_by = outputs[0].name
        while nodes[shown_by].kind in ("Output", "Identity", "Flatten"):
            if len(before[shown_by]) != 1:
                raise nodes[shown_by].refuse(f"shows {len(before[shown_by])} nodes; must show one population")
            shown_by = before[shown_by][0]
        if nodes[shown_by].kind not in NEURONS:
            raise outputs[0].refuse(
                f"shows {shown(shown_by)}, a {nodes[shown_by].kind}; must show a population: put it behind a LI, "
                "CubaLI, LIF or CubaLIF"
            )
        return shown_by

    def _sizes(self) -> dict[str, int]:
        """Units that leave each node; a node with one value for all has as many as arrive."""
        own = {name: _own_size(node) for name, node in self.graph.nodes.items()}
        after: dict[str, list[str]] = defaultdict(list)
        for source, target in self.graph.edges:
            after[source].append(target)
        sizes = {name: size for name, size in own.items() if size is not None}
        ready = list(sizes)
        while ready:
            name = ready.pop()
            for follower in after[name]:
                if follower not in sizes:
                    sizes[follower] = sizes[name]
                    ready.append(follower)
        spread = sorted(
            n for n, size in sizes.items() if size > 1 and own[n] is None and self.graph.nodes[n].kind in NEURONS
        )
        if spread:
            self.assumed.append(
                f"{_listed(spread)}: one value of each parameter stands for all units, as many as arrive."
            )
        for name in self.graph.nodes:
            sizes.setdefault(name, 1)
        return sizes

    # Populations

    def _population(self, name: str, size: int, neurons: Neurons | None) -> Population:
        try:
            if neurons is None:
                return Population(name, "spike_source", size)
            tau_mem, tau_syn = one_or_each(neurons.tau_mem_ms), one_or_each(neurons.tau_syn_ms)
            return Population(name, neurons.kind, size, tau_mem, tau_syn, neurons.threshold)
        except NetworkError as error:
            raise self.file.refuse(str(error)) from error

    def _ordered(self, populations: list[Population], edges: Collection[tuple[str, str]]) -> list[Population]:
        """In the order of our metadata, with the constants there; else inputs first and by stage."""
        names = [p.name for p in populations]
        notes = self.notes
        if notes is not None:
            noted = notes.populations
            if set(noted) == set(names) and all(
                (noted[p.name].kind, noted[p.name].size) == (p.kind, p.size) for p in populations
            ):
                exact = {p.name: exact_constants(p, noted[p.name]) for p in populations}
                return [exact[name] for name in noted]
            self.assumed.append(
                "The populations that the file's metadata describe are not those of its graph, and were not believed."
            )
            self.notes = None
        level = latencies(names, edges)
        return sorted(
            populations, key=lambda p: (p.kind != "spike_source", p.kind == "leaky_readout", level[p.name], p.name)
        )

    # Projections

    def _projections(
        self,
        folded: dict[tuple[str, str], Folded],
        neurons: dict[str, Neurons],
        names: dict[str, str],
        order: list[str],
    ) -> list[Projection]:
        edges = [(names[a], names[b]) for a, b in folded]
        loop, level = loops(order, edges), latencies(order, edges)
        within = self.assume.hop == "within-step"
        counts = _Counts()
        built: dict[tuple[str, str], Projection] = {}
        for (a, b), entry in folded.items():
            source, target = names[a], names[b]
            weight64 = entry.weight * neurons[b].factor
            weight = weight64.astype(np.float32)
            if not np.all(np.isfinite(weight)):
                pre, post = (int(i) for i in np.argwhere(~np.isfinite(weight))[0])
                raise self.graph.nodes[b].refuse(
                    f"the weight from unit {pre} of {shown(source)} to unit {post} becomes {weight64[pre, post]:g}; "
                    "must fit into 32 bits"
                )
            # tau_syn/dt and back may cost the last of 64 bits, which is none of what 32 bits round off.
            counts.rounded += int(np.count_nonzero(np.abs(weight - weight64) > 1e-14 * np.abs(weight64)))
            counts.vanished += int(np.count_nonzero((weight == 0) & entry.connected))
            delay, mask = self._noted(source, target, weight, entry, counts)
            shift = level[target] - level[source] - 1 if within and loop[source] != loop[target] else 0
            there = np.ones_like(entry.connected) if mask is None else mask
            delay = np.where(there, delay + shift, 0.0)
            built[source, target] = make_projection(source, target, weight, delay, mask)
        self._say_what_was_rounded(counts)
        if within:
            self._say_latencies(
                {n: level[n] for n in order if level[n]}, [n for n in order if list(loop.values()).count(loop[n]) > 1]
            )
        noted = [] if self.notes is None else [(s, t) for s, t, _ in self.notes.projections]
        if set(noted) == set(built) and len(noted) == len(built):
            return [built[pair] for pair in noted]
        place = {name: i for i, name in enumerate(order)}
        return [built[pair] for pair in sorted(built, key=lambda pair: (place[pair[1]], place[pair[0]]))]

    def _noted(
        self, source: str, target: str, weight: NDArray[np.float32], entry: Folded, counts: _Counts
    ) -> tuple[F64, NDArray[np.bool_] | None]:
        """Delays and mask: those of our metadata where they agree with the graph, else the graph's."""
        notes, name = self.notes, f"{source}->{target}"
        masked = {(s, t): m for s, t, m in notes.projections}.get((source, target)) if notes is not None else None
        if notes is not None and masked is not None:
            shape = (weight.shape[0], weight.shape[1])
            mask = notes.array(name, "mask", shape, "u") if masked else np.ones(shape, dtype=np.uint8)
            there = np.zeros(shape, dtype=np.bool_) if mask is None else mask.astype(np.bool_)
            noted = notes.array(name, "delay", shape, "f")
            delay = entry.delay if noted is None else noted.astype(np.float64)
            if (
                not np.any((entry.connected | (delay != 0)) & ~there)
                and delay.min(initial=0.0) >= 0
                and not np.any((np.rint(delay) != np.rint(entry.delay)) & entry.connected)
            ):
                return delay, there if masked else None
            self.assumed.append(
                f"The metadata about the synapses {name} contradict the graph, and were not believed: pairs without a "
                "weight have no synapse."
            )
        counts.unconnected += int(entry.connected.size - np.count_nonzero(entry.connected))
        counts.fractional += int(np.count_nonzero(entry.delay != np.rint(entry.delay)))
        return entry.delay, None if np.all(entry.connected) else entry.connected

    # What is said about it

    def _say_what_is_assumed(self, neurons: dict[str, Neurons]) -> None:
        assume = self.assume
        ours = self.notes is not None
        if not (ours and assume.discretisation == "exponential"):
            self.assumed.append(
                "Discretisation: a state decays by exp(-dt/tau) in a step."
                if assume.discretisation == "exponential"
                else "Discretisation: a state decays by 1 - dt/tau in a step (Euler); time constants here are those "
                "whose exp(-dt/tau) is the same."
            )
        if not (ours and assume.hop == "step"):
            self.assumed.append(
                "Time: a spike arrives in the step after it, and later by its delay."
                if assume.hop == "step"
                else "Time: in the tool a spike arrives in the same step, and in a loop in the next."
            )
        cuba = [n for n in neurons if self.graph.nodes[n].kind.startswith("Cuba")]
        if assume.synapse == "jump" and not cuba:
            raise self.file.refuse("has no CubaLIF or CubaLI, so no current that could jump; leave --synapse out")
        limit_ms = max(LONG_S * 1000, LONG_STEPS * self.dt_ms)
        long = sorted(n for n, found in neurons.items() if found.tau_mem_ms.max() > limit_ms)
        if long and not ours:
            longest = max(float(neurons[n].tau_mem_ms.max()) for n in long)
            self.assumed.append(
                f"{_listed(long)}: time constants are read as seconds, up to {longest / 1000:g} s or "
                f"{longest / self.dt_ms:g} steps; if the file has ms, write it again in seconds."
            )
        if cuba and not (ours and assume.synapse == "pulse"):
            self.assumed.append(
                "Synapses: a spike is an input of height 1 to the current, for one step."
                if assume.synapse == "pulse"
                else "Synapses: a spike raises the current by w_in at once."
            )
        without = sorted(set(neurons) - set(cuba))
        if without:
            self.assumed.append(
                f"{_listed(without)}: without a synaptic current; tau_syn is 1/{NO_SYNAPSE:g} of a step, whose current "
                f"is gone after one step, and weights are {NO_SYNAPSE:g} times the file's."
            )
        scaled = sorted(n for n, found in neurons.items() if found.scaled)
        if scaled:
            self.assumed.append(
                f"{_listed(scaled)}: thresholds differ from neuron to neuron; V and the weights onto each are scaled "
                "so that all are 1."
            )
        if not ours and any(found.kind == "lif" for found in neurons.values()):
            self.assumed.append(
                "Threshold: a voltage of exactly the threshold makes a spike here, in NIR only one above it."
            )

    def _say_what_was_rounded(self, counts: _Counts) -> None:
        if counts.rounded:
            self.assumed.append(f"{counts.rounded} weights were rounded to 32 bits.")
        if counts.vanished:
            self.assumed.append(f"{counts.vanished} weights are too small for 32 bits and became 0.")
        if counts.unconnected:
            self.assumed.append(f"{counts.unconnected} pairs of neurons with a weight of 0 have no synapse.")
        if counts.fractional:
            self.assumed.append(
                f"{counts.fractional} delays are no whole number of steps; they are kept, and rounded half to even "
                "where they are used."
            )

    def _say_latencies(self, late: dict[str, int], looped: list[str]) -> None:
        listed = ", ".join(f"{name} {steps}" for name, steps in list(late.items())[:20]) + (
            ", ..." if len(late) > 20 else ""
        )
        self.assumed.append(f"Spikes come later here than in the tool, by so many steps: {listed}.")
        if looped:
            self.assumed.append(
                f"{_listed(looped)}: in a loop of several populations; each connection within it is taken to take one "
                "step."
            )


@dataclass
class _Counts:
    rounded: int = 0
    vanished: int = 0
    unconnected: int = 0
    fractional: int = 0


def _own_size(node: Node) -> int | None:
    """Units that leave a node, where its parameters say it: one value may stand for all units."""
    if node.kind == "Input":
        lengths = node.shape("shape")
        if lengths is None:
            raise node.refuse("has no shape; write the number of units that it feeds")
        return int(np.prod(lengths))
    if node.kind in ("Linear", "Affine"):
        shape = node.declared("weight")
        return shape[0] if len(shape) == 2 else None
    several: tuple[str, ...] = {"Scale": ("scale",), "Delay": ("delay",)}.get(node.kind, ())
    if node.kind in NEURONS:
        several = ("tau_mem" if node.kind.startswith("Cuba") else "tau", "r")
    size = max((int(np.prod(node.declared(name))) for name in several), default=1)
    return size if size > 1 else None


def _listed(names: Collection[str]) -> str:
    some = list(names)
    return ", ".join(plain(n) for n in some[:10]) + (f" and {len(some) - 10} more" if len(some) > 10 else "")
