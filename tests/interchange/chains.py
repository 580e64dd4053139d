"""Random chains in Loihi's integers: what a NetX file can hold, with the corners of its formats."""

from __future__ import annotations

import numpy as np

from hardware_targets.loihi.integer_network import READOUT_VTH, IntegerNetwork, IntegerPopulation, IntegerProjection
from hardware_targets.loihi.quantised import LoihiQuantised
from tests.loihi.small_networks import trains
from toolchain.network import Network, Population, make_projection
from toolchain.spikes import SpikeTrains

N_STEPS = 60


def quantised_of(network: IntegerNetwork) -> LoihiQuantised:
    """A quantised network around integers that were not trained: its float network is of the same shape."""
    populations = tuple(Population(p.name, p.kind, p.size) for p in network.populations)
    projections = tuple(make_projection(p.source, p.target, p.addend, p.slots, p.mask) for p in network.projections)
    nothing = {p.name: 0 for p in network.projections}
    return LoihiQuantised("loihi2", network, Network(network.dt_ms, populations, projections), nothing, nothing)


def random_chain(seed: int, *, exponents: tuple[int, ...] = (-1, 0)) -> tuple[IntegerNetwork, SpikeTrains]:
    """One to three layers behind a spike source, of sizes that often agree, and one sample of input.

    Weights are of both signs, of one, or sparse; delays up to 62, or none at all.
    """
    random = np.random.default_rng(seed)
    n_layers = 1 + seed % 3
    sizes = random.integers(2, 7, n_layers + 1).tolist()
    if seed % 4 == 0:
        sizes = [sizes[0]] * (n_layers + 1)
    names = ["in", *(f"h{i}" for i in range(1, n_layers)), "out"]
    populations = [IntegerPopulation("in", "spike_source", sizes[0])]
    projections = []
    for before, name, pre, post in zip(names[:-1], names[1:], sizes[:-1], sizes[1:], strict=True):
        du, dv = int(random.choice([0, 409, 2000, 4095])), int(random.choice([0, 200, 1500, 4096]))
        if name == "out" and seed % 2:
            populations.append(IntegerPopulation(name, "leaky_readout", post, du, dv, READOUT_VTH, 8.0))
        else:
            populations.append(IntegerPopulation(name, "lif", post, du, dv, int(random.integers(20, 300)), 8.0))
        low, high = ((-128, 128), (0, 128), (-60, 90), (1, 9))[int(random.integers(4))]
        weight = (2 * random.integers(low, high, (pre, post))).astype(np.int32)
        weight[0, 0] = 2 * max(low + 1, 1)
        slots = random.integers(0, int(random.choice([1, 4, 63])), (pre, post))
        mask = random.random((pre, post)) < 0.7 if random.random() < 0.3 else None
        if mask is not None:
            mask[0, 0] = True
            weight, slots = np.where(mask, weight, 0).astype(np.int32), np.where(mask, slots, 0)
        exponent = int(random.choice(exponents))
        projections.append(IntegerProjection(before, name, weight, exponent, slots.astype(np.int64), mask))
    # The order in which populations are listed is not that of the chain.
    listed = tuple(populations[i] for i in random.permutation(len(populations)))
    raster = random.random((N_STEPS, sizes[0])) < random.uniform(0.05, 0.3)
    return IntegerNetwork(1.0, listed, tuple(projections)), trains(raster)


def looped_chain(seed: int) -> tuple[IntegerNetwork, SpikeTrains]:
    """Without delays, and with a recurrent projection whose exponent and signs are others."""
    random = np.random.default_rng(seed)
    populations = (
        IntegerPopulation("in", "spike_source", 5),
        IntegerPopulation("hid", "lif", 4, 818, 199, 150, 8.0),
        IntegerPopulation("out", "leaky_readout", 3, 409, 100, READOUT_VTH, 8.0),
    )
    nothing = np.zeros((5, 5), dtype=np.int64)
    projections = (
        IntegerProjection("in", "hid", (2 * random.integers(0, 60, (5, 4))).astype(np.int32), 0, nothing[:5, :4]),
        IntegerProjection("hid", "hid", (2 * random.integers(-60, 0, (4, 4))).astype(np.int32), -1, nothing[:4, :4]),
        IntegerProjection("hid", "out", (2 * random.integers(-60, 60, (4, 3))).astype(np.int32), 0, nothing[:4, :3]),
    )
    return IntegerNetwork(1.0, populations, projections), trains(random.random((N_STEPS, 5)) < 0.3)
