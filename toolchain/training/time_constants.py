"""Time constants that learn: each neuron has its own, and what learns is its logarithm, so that it stays above 0.

They are held as they are, in float64, and multiplied by the exponential of each of Adam's steps: a checkpoint of the
network holds them to the bit.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from toolchain.event_graph import EventGraph
from toolchain.network import TIME_CONSTANTS, Network, NeuronConstants, Population
from toolchain.recipe import Recipe
from toolchain.training.backends import BatchGradient
from toolchain.training.optimiser import Adam


class TimeConstants:
    """Those of a network that its recipe lets learn.

    Attributes
    ----------
    learned : population -> names of its fields that learn; without populations of which none does
    rate : (2 n_neurons,) step size of the logarithm of each tau_mem, then of each tau_syn; 0 where it does not learn
    """

    def __init__(self, network: Network, graph: EventGraph, recipe: Recipe) -> None:
        populations = recipe.network.populations
        self.learned = {name: p.learned for name, p in populations.items() if p.learned}
        self._populations = {name: network[name] for name in self.learned}
        self._parts = {name: graph.neurons(p) for name, p in self._populations.items()}
        (self._low, self._high), self._dt_ms = recipe.training.tau_range_ms, network.dt_ms
        self._learns = np.zeros((2, graph.n_neurons), dtype=np.bool_)
        self._ms: NDArray[np.float64] = np.ones((2, graph.n_neurons))
        for name, fields in self.learned.items():
            for field in fields:
                self._learns[TIME_CONSTANTS.index(field), self._parts[name]] = True
        self.rate = (recipe.training.tau_rate * self._learns).astype(np.float32).ravel()
        self.take(network)

    def take(self, network: Network) -> None:
        """Go on from the values of this network, which differs in nothing else."""
        for name, part in self._parts.items():
            for kind, field in enumerate(TIME_CONSTANTS):
                self._ms[kind, part] = getattr(network[name], field)

    def step(self, adam: Adam, gradient: BatchGradient, factor: float) -> int:
        """Move by one step of size ``factor * rate``; returns how many had to be kept within the range."""
        change = np.zeros(self._ms.size, dtype=np.float32)
        adam.step(change, np.concatenate([gradient.tau_mem, gradient.tau_syn]), factor)
        moved = self._ms * np.exp(change.astype(np.float64).reshape(self._ms.shape))
        inside = np.clip(moved, self._low, self._high)
        self._ms = np.where(self._learns, inside, self._ms)
        return int(np.count_nonzero(self._learns & (inside != moved)))

    def constants(self) -> dict[str, NeuronConstants]:
        """What the engine multiplies with, of each population that learns."""
        return {name: NeuronConstants.of(p, self._dt_ms) for name, p in self._current().items()}

    def onto(self, network: Network) -> Network:
        """The network with the time constants as they are now, one for each neuron where they learn."""
        current = self._current()
        return replace(network, populations=tuple(current.get(p.name, p) for p in network.populations))

    def _current(self) -> dict[str, Population]:
        found = {}
        for name, population in self._populations.items():
            fields = self.learned[name]
            mem, syn = (tuple(row) for row in self._ms[:, self._parts[name]].tolist())
            found[name] = replace(
                population,
                tau_mem_ms=mem if "tau_mem_ms" in fields else population.tau_mem_ms,
                tau_syn_ms=syn if "tau_syn_ms" in fields else population.tau_syn_ms,
            )
        return found
