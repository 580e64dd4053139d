"""From a recipe to a network: sizes filled in from the dataset, arrays drawn from the seed.

Each array has a generator of its own, seeded by the run's seed and the names involved, so that adding a
projection or a population does not change the numbers that another one starts from.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import RecipeError
from toolchain.network import Network, Population, Projection, make_projection
from toolchain.recipe import Initial, NetworkRecipe, ProjectionRecipe, Recipe

MAX_PAIRS = 2**31 - 1
"""Pairs of neurons of one projection: what an array index of 32 bits can say, 8 GiB of weights."""


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """An independent random stream for each combination of seed and names, the same on every machine."""
    keys = [zlib.crc32(n.encode()) if isinstance(n, str) else n for n in names]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *keys])))


def build_network(recipe: Recipe, *, n_inputs: int, n_classes: int) -> Network:
    """Build the network that training starts from.

    Parameters
    ----------
    recipe : a checked recipe
    n_inputs, n_classes : channels and labels of the dataset

    Raises
    ------
    RecipeError
        If a size in the recipe contradicts the dataset, or a projection is too large to hold.
    """
    populations = _populations(recipe.network, n_inputs, n_classes)
    sizes = {p.name: p.size for p in populations}
    for entry in recipe.network.projections:
        pairs = sizes[entry.source] * sizes[entry.target]
        if pairs > MAX_PAIRS:
            raise RecipeError(
                f"recipe network.projections: {entry.source}->{entry.target} has {pairs} pairs of neurons, at most "
                f"{MAX_PAIRS} can be held; make one of the populations smaller"
            )
    projections = tuple(_projection(p, sizes, recipe.training.seed) for p in recipe.network.projections)
    return Network(recipe.network.dt_ms, populations, projections)


def _populations(network: NetworkRecipe, n_inputs: int, n_classes: int) -> tuple[Population, ...]:
    populations = []
    for name, entry in network.populations.items():
        size = entry.size
        given = {"spike_source": n_inputs, "leaky_readout": n_classes}.get(entry.kind)
        if given is not None and size not in (None, given):
            what = "channels" if entry.kind == "spike_source" else "classes"
            raise RecipeError(
                f"recipe network.populations.{name}.size: {size}, but the dataset has {given} {what}; leave it out"
            )
        size = given if given is not None else size
        assert size is not None
        populations.append(
            Population(name, entry.kind, size, entry.tau_mem_ms, entry.tau_syn_ms, entry.threshold),
        )
    return tuple(populations)


def _projection(entry: ProjectionRecipe, sizes: dict[str, int], seed: int) -> Projection:
    shape = (sizes[entry.source], sizes[entry.target])
    name = f"{entry.source}->{entry.target}"
    weight = _draw(entry.weight, shape, generator(seed, name, "weight"))
    delay = _draw(entry.delay, shape, generator(seed, name, "delay"))
    mask = None
    if entry.density < 1:
        mask = generator(seed, name, "mask").random(shape) < entry.density
    return make_projection(entry.source, entry.target, weight, delay, mask)


def _draw(initial: Initial, shape: tuple[int, int], random: np.random.Generator) -> NDArray[np.float64]:
    if initial.normal is not None:
        return random.normal(initial.normal.mean, initial.normal.sd, shape)
    if initial.uniform is not None:
        return random.uniform(initial.uniform.low, initial.uniform.high, shape)
    return np.full(shape, initial.constant, dtype=np.float64)
