"""Chains of Linear, Scale, Delay and the like between populations, folded to one weight and one delay for each pair.

A signal is what one population contributes to a node: for each unit of the node a weighted, delayed sum over the
population's spikes,

    x_j(t) = sum over i of w_ij s_i(t - d_ij)

Linear maps signals to signals exactly, as long as no pair (i, j) is reached with two different delays; that is refused.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import InterchangeError
from toolchain.interchange.nir.graph_file import F64, MAX_ENTRIES, Graph, Node, shown

NEURONS = ("CubaLIF", "CubaLI", "LIF", "LI")
PASSING = ("Identity", "Flatten", "Linear", "Affine", "Scale", "Delay")
SAME_DELAY = 1e-6
"""Steps between two delays that are the same but for rounding."""
MAX_SLOT = 1_000_000
"""Steps: a delay beyond is an error of units."""
MAX_WORK = 2**36
"""Multiplications for one product of matrices whose entries have delays."""


@dataclass
class Folded:
    """What one population contributes to a node.

    Attributes
    ----------
    weight : (pre, post) float64
    delay : (pre, post) float64, steps; 0 where not connected
    connected : (pre, post) bool
    """

    weight: F64
    delay: F64
    connected: NDArray[np.bool_]


@dataclass
class _Diagonal:
    """A signal of a population whose unit i reaches unit i alone: (n,) each."""

    weight: F64
    delay: F64

    def folded(self, node: Node) -> Folded:
        n = self.weight.size
        if n * n > MAX_ENTRIES:
            raise node.refuse(f"connects {n} units one to one, {n * n} pairs; at most {MAX_ENTRIES} can be held")
        weight, delay = np.diag(self.weight), np.diag(np.where(self.weight != 0, self.delay, 0.0))
        return Folded(weight, delay, weight != 0)


_Signal = _Diagonal | Folded


def fold(graph: Graph, sizes: dict[str, int], dt_s: float) -> dict[tuple[str, str], Folded]:
    """Every projection of a graph, by the names of its source and target node.

    Parameters
    ----------
    graph : nodes and edges; populations are Input and the neurons
    sizes : units that leave each node
    dt_s : length of a step, s

    Returns
    -------
    for each pair of populations between which a chain leads: weights as in the file, delays in steps

    Raises
    ------
    InterchangeError
        If a node is none that passes signals on, a loop has no neuron in it, a bias is not 0, shapes do not fit or a
        pair has two delays; the message names the node.
    """
    after: dict[str, list[str]] = defaultdict(list)
    waiting: dict[str, int] = defaultdict(int)
    for source, target in graph.edges:
        after[source].append(target)
        if graph.nodes[source].kind in PASSING:
            waiting[target] += 1
    arrived: dict[str, dict[str, _Signal]] = defaultdict(dict)
    projections: dict[tuple[str, str], Folded] = {}

    def send(node: str, source: str, signal: _Signal) -> None:
        for name in after[node]:
            target = graph.nodes[name]
            if target.kind in NEURONS:
                _expect(target, graph.nodes[node], _width(signal), sizes[name])
                sum_ = projections.get((source, name)) or _nothing(sizes[source], sizes[name], target)
                projections[source, name] = _join(sum_, signal, target, graph.nodes[node])
            elif target.kind in PASSING:
                so_far = arrived[name].get(source)
                arrived[name][source] = signal if so_far is None else _merged(so_far, signal, target, graph.nodes[node])

    for name, node in graph.nodes.items():
        if node.kind == "Input" or node.kind in NEURONS:
            send(name, name, _Diagonal(np.ones(sizes[name]), np.zeros(sizes[name])))
    ready = [n for n, node in graph.nodes.items() if node.kind in PASSING and waiting[n] == 0]
    passed = 0
    while ready:
        name = ready.pop()
        passed += 1
        signals = arrived.pop(name, {})
        if signals:
            for source, signal in _through(graph.nodes[name], signals, dt_s).items():
                send(name, source, signal)
        for follower in after[name]:
            waiting[follower] -= 1
            if waiting[follower] == 0 and graph.nodes[follower].kind in PASSING:
                ready.append(follower)
    stuck = sorted(n for n, node in graph.nodes.items() if node.kind in PASSING and waiting[n] > 0)
    if stuck:
        raise graph.nodes[stuck[0]].refuse(
            "is in, or behind, a loop without a neuron, which has no meaning in steps; put a neuron into the loop"
        )
    return projections


def _nothing(pre: int, post: int, node: Node) -> Folded:
    if pre * post > MAX_ENTRIES:
        raise node.refuse(f"receives {pre} x {post} pairs of units; at most {MAX_ENTRIES} can be held")
    return Folded(np.zeros((pre, post)), np.zeros((pre, post)), np.zeros((pre, post), dtype=np.bool_))


def _width(signal: _Signal) -> int:
    return signal.weight.shape[-1]


def _expect(node: Node, before: Node, found: int, expected: int) -> None:
    if found != expected:
        raise node.refuse(f"takes {expected} units, but {shown(before.name)} gives {found}; make the shapes fit")


def _merged(a: _Signal, b: _Signal, node: Node, before: Node) -> _Signal:
    """The sum of two signals of one population, of which `before` gave the second."""
    _expect(node, before, _width(b), _width(a))
    if isinstance(a, _Diagonal) and isinstance(b, _Diagonal):
        there = (a.weight != 0) & (b.weight != 0)
        if not np.any(there & (np.abs(a.delay - b.delay) > SAME_DELAY)):
            return _Diagonal(a.weight + b.weight, np.where(a.weight != 0, a.delay, b.delay))
    left = a.folded(before) if isinstance(a, _Diagonal) else a
    return _join(Folded(left.weight.copy(), left.delay.copy(), left.connected.copy()), b, node, before)


def _join(sum_: Folded, signal: _Signal, node: Node, before: Node) -> Folded:
    """Add a signal to a sum, in place."""
    added = signal.folded(before) if isinstance(signal, _Diagonal) else signal
    clash = sum_.connected & added.connected & (np.abs(sum_.delay - added.delay) > SAME_DELAY)
    if np.any(clash):
        raise _two_delays(before, clash, sum_.delay, added.delay)
    sum_.weight += added.weight
    new = added.connected & ~sum_.connected
    sum_.delay[new] = added.delay[new]
    sum_.connected |= added.connected
    return sum_


def _two_delays(node: Node, clash: NDArray[np.bool_], one: F64, other: F64) -> InterchangeError:
    pre, post = (int(i) for i in np.argwhere(clash)[0])
    return node.refuse(
        f"gives unit {post} the spikes of unit {pre} {other[pre, post]:g} steps late, and they come {one[pre, post]:g} "
        "steps late "
        "too; a pair of neurons has one synapse here: put a neuron or a population between"
    )


def _through(node: Node, signals: dict[str, _Signal], dt_s: float) -> dict[str, _Signal]:
    """What leaves a node that passes signals on."""
    if node.kind in ("Identity", "Flatten"):
        return signals
    if node.kind in ("Linear", "Affine"):
        return _linear(node, signals)
    values = node.parameter("scale" if node.kind == "Scale" else "delay").ravel()
    if node.kind == "Delay":
        values = _steps(node, values, dt_s)
    found: dict[str, _Signal] = {}
    for source, signal in signals.items():
        if values.size not in (1, _width(signal)):
            raise node.refuse(f"has {values.size} values for {_width(signal)} units; give one for each")
        if node.kind == "Scale":
            weight, delay = signal.weight * values, signal.delay
        else:
            weight, delay = signal.weight, signal.delay + values
        if isinstance(signal, _Diagonal):
            found[source] = _Diagonal(weight, delay)
        else:
            connected = signal.connected & (weight != 0)
            found[source] = Folded(weight, np.where(connected, delay, 0.0), connected)
    return found


def _steps(node: Node, seconds: F64, dt_s: float) -> F64:
    """Delays in steps; one that differs from a whole number by no more than float32 rounds off is that number."""
    if seconds.min(initial=0.0) < 0:
        raise node.refuse(f"has a delay of {seconds.min():g} s; must not be below 0")
    steps = seconds / dt_s
    if not steps.max(initial=0.0) <= MAX_SLOT:
        raise node.refuse(
            f"has a delay of {seconds.max():g} s, {steps.max():g} steps of {dt_s:g} s; at most {MAX_SLOT}: are both in "
            "seconds?"
        )
    whole = np.rint(steps)
    close: F64 = np.where(np.abs(steps - whole) <= SAME_DELAY + 2e-7 * whole, whole, steps)
    return close


def _linear(node: Node, signals: dict[str, _Signal]) -> dict[str, _Signal]:
    """W x + b with W stored as (post, pre); b must be 0."""
    if node.kind == "Affine":
        bias = node.parameter("bias", default=0.0)
        if np.any(bias != 0):
            raise node.refuse(
                f"has a bias of {bias.ravel()[np.argmax(np.abs(bias))]:g}, which no synapse here can mean; train with "
                "bias=False"
            )
    weight = node.parameter("weight")
    if weight.ndim != 2:
        raise node.refuse(f"has weights of shape {weight.shape}; must be (post, pre)")
    matrix = np.ascontiguousarray(weight.T)
    found: dict[str, _Signal] = {}
    for source, signal in signals.items():
        if _width(signal) != matrix.shape[0]:
            raise node.refuse(f"takes {matrix.shape[0]} units, but {_width(signal)} arrive; make the shapes fit")
        if isinstance(signal, _Diagonal):
            product = signal.weight[:, np.newaxis] * matrix
            connected = product != 0
            found[source] = Folded(product, np.where(connected, signal.delay[:, np.newaxis], 0.0), connected)
        else:
            found[source] = _product(node, signal, matrix)
    return found


def _product(node: Node, signal: Folded, matrix: F64) -> Folded:
    """A weighted sum of delayed sums; every way from i to j has to have the same delay."""
    (pre, _), post = signal.weight.shape, matrix.shape[1]
    delays = np.unique(signal.delay[signal.connected])
    if pre * post > MAX_ENTRIES or signal.weight.size * post * max(1, delays.size) > MAX_WORK:
        raise node.refuse(
            f"follows weights with {delays.size} delays, {pre} to {post} units: too much to fold; merge the matrices "
            "yourself"
        )
    there = (matrix != 0).astype(np.float64)
    weight, delay, connected = np.zeros((pre, post)), np.zeros((pre, post)), np.zeros((pre, post), dtype=np.bool_)
    for value in delays:
        of_this = signal.connected & (signal.delay == value)
        part = Folded(np.where(of_this, signal.weight, 0.0) @ matrix, np.zeros(0), (of_this @ there) > 0)
        clash = connected & part.connected & (np.abs(delay - value) > SAME_DELAY)
        if np.any(clash):
            raise _two_delays(node, clash, delay, np.full((pre, post), value))
        weight += part.weight
        delay[part.connected & ~connected] = value
        connected |= part.connected
    return Folded(weight, delay, connected)
