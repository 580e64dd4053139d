"""The network without a time grid: float64, an event queue, closed-form membranes, exact threshold crossings.

Between events a neuron follows tau_m V' = -V + I, tau_s I' = -I in closed form:

    I(t) = I0 b,   V(t) = (V0 - c I0) a + c I0 b,   a = e^(-t/tau_m), b = e^(-t/tau_s), c = tau_s / (tau_s - tau_m)

V has at most one extremum there, so the first crossing of the threshold is bracketed exactly and found by
bisection to the last bit. The pieces between events are kept: `event_exact_losses` reads them. Nothing is shared with
the kernels or with the reference on a grid: differences of such a loss are the true gradient.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Layer:
    """A population, times in ms; `threshold` infinite for a readout, `single_spike` if no neuron spikes again."""

    size: int
    tau_mem: float
    tau_syn: float
    threshold: float = math.inf
    single_spike: bool = False


@dataclass(frozen=True)
class Synapses:
    """(pre, post) weights and delays; delays in ms, > 0."""

    source: str
    target: str
    weight: F64
    delay: F64


class Piece(NamedTuple):
    """A neuron between two events: its state at `start`, and nothing that arrives before `end` (ms)."""

    start: float
    end: float
    current: float
    voltage: float
    layer: Layer

    def course(self, t: float) -> tuple[float, float]:
        """Current and voltage at `start + t`."""
        a, b = math.exp(-t / self.layer.tau_mem), math.exp(-t / self.layer.tau_syn)
        c = self.layer.tau_syn / (self.layer.tau_syn - self.layer.tau_mem)
        return self.current * b, (self.voltage - c * self.current) * a + c * self.current * b

    def extremum(self) -> float:
        """Time after `start` of the extremum of V, if no further input comes; not above 0 if there is none."""
        tau_m, tau_s = self.layer.tau_mem, self.layer.tau_syn
        c = tau_s / (tau_s - tau_m)
        if self.voltage == c * self.current or self.current == 0:
            return 0.0
        # V' = 0: (V0 - c I0) / tau_m * a = -c I0 / tau_s * b
        ratio = -(c * self.current / tau_s) / ((self.voltage - c * self.current) / tau_m)
        return math.log(ratio) / (1 / tau_s - 1 / tau_m) if ratio > 0 else 0.0


@dataclass
class Neuron:
    """State at time `at`, the pieces that led there, and its spikes.

    `slopes` are I - V at its spikes, `near_miss` the least distance of a peak from threshold: how far from being
    ill-conditioned a network is.
    """

    layer: Layer
    at: float = 0.0
    current: float = 0.0
    voltage: float = 0.0
    version: int = 0
    pieces: list[Piece] = field(default_factory=list)
    spikes: list[float] = field(default_factory=list)
    slopes: list[float] = field(default_factory=list)
    near_miss: float = math.inf

    def ahead(self, end: float = math.inf) -> Piece:
        """The course from now on, if nothing arrives before `end`."""
        return Piece(self.at, end, self.current, self.voltage, self.layer)

    def crossing(self) -> float:
        """Time after `at` of the first crossing of the threshold from below, if no further input comes; or infinity."""
        theta = self.layer.threshold
        if self.layer.single_spike and self.spikes:
            return math.inf
        if math.isinf(theta) or self.current <= theta:
            return math.inf  # V rises towards I, and I only falls
        piece = self.ahead()
        peak = piece.extremum()
        if peak <= 0:
            return math.inf
        height = piece.course(peak)[1]
        self.near_miss = min(self.near_miss, abs(height - theta))
        if height < theta:
            return math.inf
        low, high = 0.0, peak
        while True:
            middle = 0.5 * (low + high)
            if middle in (low, high):
                return high
            if piece.course(middle)[1] < theta:
                low = middle
            else:
                high = middle

    def advance(self, time: float) -> None:
        """Move the state to `time`."""
        piece = self.ahead(time)
        self.pieces.append(piece)
        self.current, self.voltage = piece.course(time - self.at)
        self.at = time


def simulate(
    layers: Mapping[str, Layer],
    synapses: Sequence[Synapses],
    inputs: Mapping[str, Sequence[tuple[float, int]]],
    horizon: float,
    others: Mapping[tuple[str, int], Layer] | None = None,
) -> dict[str, list[Neuron]]:
    """Run until `horizon` (ms). `inputs`: spike source -> (time, unit). Returns the neurons of each layer.

    `others` : (layer, neuron) -> the constants of a neuron that differs from its layer
    """
    of = others or {}
    neurons = {name: [Neuron(of.get((name, i), layer)) for i in range(layer.size)] for name, layer in layers.items()}
    queue: list[tuple[float, int, str, int, float, int]] = []  # time, order, layer, neuron, weight, version
    order = 0

    def send(source: str, unit: int, time: float) -> None:
        nonlocal order
        for s in synapses:
            if s.source == source:
                for j in range(s.weight.shape[1]):
                    order += 1
                    arrival = time + float(s.delay[unit, j])
                    heapq.heappush(queue, (arrival, order, s.target, j, float(s.weight[unit, j]), -1))

    def expect(name: str, j: int) -> None:
        """Queue the next spike of a neuron; an arrival before it makes it void by the version."""
        nonlocal order
        neuron = neurons[name][j]
        neuron.version += 1
        after = neuron.crossing()
        if after < math.inf:
            order += 1
            heapq.heappush(queue, (neuron.at + after, order, name, j, 0.0, neuron.version))

    for source, events in inputs.items():
        for time, unit in events:
            send(source, unit, time)
    while queue and queue[0][0] < horizon:
        time, _, name, j, weight, version = heapq.heappop(queue)
        neuron = neurons[name][j]
        if version == -1:
            neuron.advance(time)
            neuron.current += weight
        elif version == neuron.version:
            neuron.advance(time)
            neuron.slopes.append(neuron.current - neuron.voltage)
            neuron.voltage = 0.0
            neuron.spikes.append(time)
            send(name, j, time)
        else:
            continue
        expect(name, j)
    for group in neurons.values():
        for neuron in group:
            neuron.advance(horizon)
    return neurons
