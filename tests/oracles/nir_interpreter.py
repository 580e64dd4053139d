"""NIR graphs computed from NIR's own equations, in float64, by way of the nir package and scipy's matrix exponential.

Nothing here knows our law: an equation tau x' = -x + u whose input u is held for a step is solved by the matrix
exponential of the system (x, u), or by one Euler step. Which comes when in a step is what `hop` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import nir
import numpy as np
import scipy.linalg
from numpy.typing import NDArray

F64 = NDArray[np.float64]
NEURONS = (nir.CubaLIF, nir.CubaLI, nir.LIF, nir.LI)


@cache
def _solved(tau: float, gain: float, dt: float) -> tuple[float, float]:
    """(decay, weight of the input) of tau x' = -x + gain u over dt with u held, from expm."""
    solution = scipy.linalg.expm(np.array([[-1.0, gain], [0.0, 0.0]]) * (dt / tau))
    return float(solution[0, 0]), float(solution[0, 1])


class Interpreter:
    """One graph, flat, in steps.

    Parameters
    ----------
    graph : without inner graphs; everything that is not 0 or 1 in it has one value for each unit
    dt : s
    discretisation, hop, synapse : as `toolchain.interchange.nir.NirAssumptions` has them
    """

    def __init__(self, graph: nir.NIRGraph, dt: float, discretisation: str, hop: str, synapse: str) -> None:
        self.nodes: dict[str, Any] = graph.nodes
        self.dt, self.euler, self.within, self.jump = (
            dt,
            discretisation == "euler",
            hop == "within-step",
            synapse == "jump",
        )
        self.before: dict[str, list[str]] = {name: [] for name in self.nodes}
        for source, target in graph.edges:
            self.before[target].append(source)
        self.looped = {name for name in self.nodes if self._reaches(name, name)}
        self.given: dict[str, list[F64]] = {name: [] for name in self.nodes}
        self.current = {name: np.zeros(self._size(name)) for name in self.nodes}
        self.voltage = {name: np.zeros(self._size(name)) for name in self.nodes}

    def _size(self, name: str) -> int:
        return int(np.prod(next(iter(self.nodes[name].output_type.values()))))

    def _reaches(self, start: str, goal: str) -> bool:
        seen: set[str] = set()
        open_ = list(self.before[start])
        while open_:
            name = open_.pop()
            if name == goal:
                return True
            if name not in seen:
                seen.add(name)
                open_ += self.before[name]
        return False

    def _one_loop(self, a: str, b: str) -> bool:
        return a == b or (self._reaches(a, b) and self._reaches(b, a))

    def run(self, inputs: Mapping[str, NDArray[np.bool_]]) -> tuple[dict[str, F64], dict[str, F64]]:
        """What every neuron gives, and its voltage before the reset, (steps, units) by the name of its node."""
        steps = len(next(iter(inputs.values())))
        neurons = [n for n, node in self.nodes.items() if isinstance(node, NEURONS)]
        seen: dict[str, list[F64]] = {n: [] for n in neurons}
        for step in range(steps):
            given = {name: raster[step].astype(np.float64) for name, raster in inputs.items()}
            while len(given) < len(inputs) + len(neurons):
                for name in neurons:
                    if name in given:
                        continue
                    arriving = self._arriving(name, name, given, step)
                    if arriving is not None:
                        given[name], volts = self._step(name, arriving)
                        seen[name].append(volts)
            for name, value in given.items():
                self.given[name].append(value)
        return {n: np.array(self.given[n]) for n in neurons}, {n: np.array(seen[n]) for n in neurons}

    def _arriving(self, name: str, neuron: str, now: dict[str, F64], step: int) -> F64 | None:
        """Sum of what reaches a node in this step; None while a population that it needs has not computed it."""
        total = np.zeros(())
        for source in self.before[name]:
            value = self._value(source, neuron, now, step)
            if value is None:
                return None
            total = total + value
        return total

    def _value(self, name: str, neuron: str, now: dict[str, F64], step: int) -> F64 | None:
        """What a node gives in a step (of the past too) towards `neuron`."""
        node = self.nodes[name]
        if isinstance(node, (nir.Input, *NEURONS)):
            hop = 0 if self.within and not self._one_loop(name, neuron) else 1
            at = step - hop
            if at < 0:
                return np.zeros(self._size(name))
            return self.given[name][at] if at < len(self.given[name]) else now.get(name)
        if isinstance(node, nir.Delay):
            slots = np.rint(node.delay / self.dt).astype(int)
            parts: list[F64] = []
            for unit, slot in enumerate(slots):
                value = self._arriving(name, neuron, now, step - int(slot)) if step >= slot else np.zeros(slots.size)
                if value is None:
                    return None
                parts.append(np.broadcast_to(value, slots.shape)[unit])
            return np.array(parts)
        value = self._arriving(name, neuron, now, step)
        if value is None:
            return None
        if isinstance(node, (nir.Linear, nir.Affine)):
            return np.asarray(node.weight, dtype=np.float64) @ value
        if isinstance(node, nir.Scale):
            return np.asarray(node.scale * value, dtype=np.float64)
        assert isinstance(node, nir.Flatten), type(node)
        return value

    def _filter(self, x: F64, u: F64, tau: F64, gain: F64) -> F64:
        """tau x' = -x + gain u over a step."""
        if self.euler:
            return x + self.dt / tau * (gain * u - x)
        both = np.array([_solved(float(t), float(g), self.dt) for t, g in zip(tau, gain, strict=True)])
        return both[:, 0] * x + both[:, 1] * u

    def _step(self, name: str, arriving: F64) -> tuple[F64, F64]:
        node = self.nodes[name]
        drive: F64 = np.broadcast_to(arriving, self.voltage[name].shape).astype(np.float64)
        if isinstance(node, (nir.CubaLIF, nir.CubaLI)):
            current = self.current[name]
            if self.jump:
                drive = self._filter(current, np.zeros_like(drive), node.tau_syn, node.w_in) + node.w_in * drive
            else:
                drive = self._filter(current, drive, node.tau_syn, node.w_in)
            self.current[name] = drive
        tau = node.tau_mem if isinstance(node, (nir.CubaLIF, nir.CubaLI)) else node.tau
        volts = self._filter(self.voltage[name], drive, tau, node.r)
        if isinstance(node, (nir.LIF, nir.CubaLIF)):
            spikes = volts > node.v_threshold
            self.voltage[name] = np.where(spikes, 0.0, volts)
            return spikes.astype(np.float64), volts
        self.voltage[name] = volts
        return volts, volts
