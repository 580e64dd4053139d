"""Networks and inputs for tests: small, random, of every shape that a recipe can describe."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolchain.network import Network, Population, Projection, make_projection
from toolchain.spikes import SpikeTrains, bin_events

SHAPES = ("feedforward", "two_layers", "recurrent", "skip", "two_coupled", "recurrent_masked")


def random_network(
    shape: str, random: np.random.Generator, max_slot: int = 9, *, spiking_output: bool = False
) -> Network:
    """A network of one of `SHAPES`, with weights that make its neurons spike now and then.

    Its three outputs are leaky readouts, or lif neurons some of which stay silent.
    """

    def layer(name: str) -> Population:
        return Population(
            name, "lif", int(random.integers(3, 6)), 15 + 10 * random.random(), 3 + 4 * random.random(), 0.8
        )

    populations = [Population("in", "spike_source", 5)]
    populations += [layer("a")] + ([layer("b")] if shape in ("two_layers", "skip", "two_coupled") else [])
    populations += [Population("out", "lif" if spiking_output else "leaky_readout", 3, 20.0, 5.0, 0.7)]
    sizes = {p.name: p.size for p in populations}
    last = populations[-2].name
    edges = {
        "feedforward": [("in", "a")],
        "two_layers": [("in", "a"), ("a", "b")],
        "recurrent": [("in", "a"), ("a", "a")],
        "skip": [("in", "a"), ("a", "b"), ("in", "b"), ("in", "out"), ("a", "out")],
        "two_coupled": [("in", "a"), ("a", "b"), ("b", "a"), ("b", "b")],
        "recurrent_masked": [("in", "a"), ("a", "a")],
    }[shape] + [(last, "out")]

    def projection(source: str, target: str) -> Projection:
        size = (sizes[source], sizes[target])
        mean = 3.0 if source == "in" else 1.2 if target == "out" and spiking_output else 0.5
        mask = random.random(size) < 0.6 if shape == "recurrent_masked" else None
        return make_projection(source, target, random.normal(mean, 1.0, size), random.uniform(0, max_slot, size), mask)

    return Network(1.0, tuple(populations), tuple(projection(*edge) for edge in edges))


def random_spikes(random: np.random.Generator, n_samples: int, n_units: int, n_steps: int, rate: float) -> SpikeTrains:
    """Independent spikes, some of them in the last step."""
    samples = []
    for _ in range(n_samples):
        raster = random.random((n_units, n_steps)) < rate
        units, times = np.nonzero(raster)
        samples.append((times, units))
    return bin_events(samples, n_units, n_steps)[0]


def raster(spikes: SpikeTrains, sample: int) -> NDArray[np.bool_]:
    """One sample as (steps, units)."""
    return spikes.dense(sample).T
