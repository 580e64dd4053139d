"""Revival: a neuron that never spikes has no gradient, so its incoming weights are raised until it does.

A neuron that was silent in a whole epoch gets the same amount on all of its incoming feedforward weights: those of
projections from other populations that learn. Recurrent weights inside its own population stay as they are, and
synapses that do not exist stay absent.

Source: 0.002 after each epoch in the published training (facts/training.md section 2.2).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolchain.event_graph import EventGraph
from toolchain.network import Network


class Revival:
    """Which weight each silent neuron is revived by.

    Parameters
    ----------
    network, graph : the network and its canonical order
    learns : (n_synapses,) whether each weight learns
    amount : what a weight is raised by, > 0; 0 to revive nobody
    """

    def __init__(self, network: Network, graph: EventGraph, learns: NDArray[np.bool_], amount: float) -> None:
        self.amount = np.float32(amount)
        posts = []
        for projection in network.projections:
            target = network[projection.target]
            post = np.nonzero(np.ones(projection.weight.shape) if projection.mask is None else projection.mask)[1]
            feedforward = target.kind == "lif" and projection.source != projection.target
            posts.append(post + graph.neurons(target).start if feedforward else np.full(post.size, -1))
        post = np.concatenate([np.zeros(0, dtype=np.int64), *posts])
        self._synapses = np.flatnonzero((post >= 0) & learns)
        self._neurons = post[self._synapses]

    def revive(self, weights: NDArray[np.float32], neuron_spikes: NDArray[np.int64]) -> int:
        """Raise the weights of silent neurons in place.

        Parameters
        ----------
        weights : (n_synapses,) in canonical order
        neuron_spikes : (n_neurons,) spikes of each simulated neuron over the epoch

        Returns
        -------
        how many neurons were revived; a silent one without a weight that could be raised is none
        """
        if self.amount == 0:
            return 0
        silent = neuron_spikes[self._neurons] == 0
        weights[self._synapses[silent]] += self.amount
        return int(np.unique(self._neurons[silent]).size)
