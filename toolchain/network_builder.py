"""From a recipe to a network: sizes filled in from the dataset, arrays drawn from the seed.

Each array has a generator of its own, seeded by the run's seed and the names involved, so that adding a
projection or a population does not change the numbers that another one starts from.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import RecipeError
from toolchain.network import Network, Population, Projection, TimeConstant, make_projection
from toolchain.recipe import Initial, ProjectionRecipe, Recipe
from toolchain.recipe.network_section import LOWEST_TAU_MS

MAX_PAIRS = 2**31 - 1
"""Pairs of neurons of one projection: what an array index of 32 bits can say, 8 GiB of weights."""


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """An independent random stream for each combination of seed and names, the same on every machine."""
    keys = [zlib.crc32(n.encode()) if isinstance(n, str) else n for n in names]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *keys])))


def build_network(recipe: Recipe, *, n_inputs: int, n_classes: int, n_traces: int | None = None) -> Network:
    """Build the network that training starts from.

    Parameters
    ----------
    recipe : a checked recipe
    n_inputs, n_classes : channels and labels of the dataset
    n_traces : outputs of the target traces, where the network learns those and not one output a class

    Raises
    ------
    RecipeError
        If a size in the recipe contradicts the dataset, or a projection is too large to hold.
    """
    populations = build_populations(recipe, n_inputs=n_inputs, n_classes=n_classes, n_traces=n_traces)
    sizes = {p.name: p.size for p in populations}
    projections = tuple(_projection(p, sizes, recipe.training.seed) for p in recipe.network.projections)
    return Network(recipe.network.dt_ms, populations, projections)


def build_populations(
    recipe: Recipe, *, n_inputs: int, n_classes: int, n_traces: int | None = None
) -> tuple[Population, ...]:
    """Populations that training starts from; parameters as `build_network`.

    Raises
    ------
    RecipeError
        If a size in the recipe contradicts the dataset, or a projection is too large to hold.
    """
    outputs = (n_classes, "classes") if n_traces is None else (n_traces, "target traces")
    network, seed = recipe.network, recipe.training.seed
    sizes = {network.output: outputs}
    sizes |= {n: (n_inputs, "channels") for n, p in network.populations.items() if p.kind == "spike_source"}
    populations = []
    for name, entry in network.populations.items():
        given, what = sizes.get(name, (entry.size, ""))
        if entry.size not in (None, given):
            raise RecipeError(
                f"recipe network.populations.{name}.size: {entry.size}, but the dataset has {given} {what}; "
                "leave it out"
            )
        assert given is not None
        tau_mem, tau_syn = (
            _time_constant(tau, given, generator(seed, name, field))
            for field, tau in (("tau_mem", entry.tau_mem_ms), ("tau_syn", entry.tau_syn_ms))
        )
        populations.append(Population(name, entry.kind, given, tau_mem, tau_syn, entry.threshold, entry.single_spike))
    _check_pairs(recipe, {p.name: p.size for p in populations})
    return tuple(populations)


def _check_pairs(recipe: Recipe, sizes: dict[str, int]) -> None:
    for entry in recipe.network.projections:
        pairs = sizes[entry.source] * sizes[entry.target]
        if pairs > MAX_PAIRS:
            raise RecipeError(
                f"recipe network.projections: {entry.source}->{entry.target} has {pairs} pairs of neurons, at most "
                f"{MAX_PAIRS} can be held; make one of the populations smaller"
            )


def _time_constant(initial: Initial, size: int, random: np.random.Generator) -> TimeConstant:
    """One number for all neurons, or one drawn for each; draws of a normal distribution below the floor are redrawn."""
    if initial.constant is not None:
        return initial.constant
    drawn = _draw(initial, (size,), random)
    while initial.normal is not None and np.any(low := drawn < LOWEST_TAU_MS):
        # At least half of the draws are above the floor, for the recipe's mean is.
        drawn[low] = _draw(initial, (int(np.count_nonzero(low)),), random)
    return tuple(drawn.tolist())


def _projection(entry: ProjectionRecipe, sizes: dict[str, int], seed: int) -> Projection:
    shape = (sizes[entry.source], sizes[entry.target])
    name = f"{entry.source}->{entry.target}"
    weight = _draw(entry.weight, shape, generator(seed, name, "weight"))
    delay = _draw(entry.delay, shape, generator(seed, name, "delay"))
    return make_projection(entry.source, entry.target, weight, delay, draw_mask(entry, shape, seed))


def draw_mask(entry: ProjectionRecipe, shape: tuple[int, int], seed: int) -> NDArray[np.bool_] | None:
    """Which synapses of a projection exist, (pre, post); None where all do."""
    if entry.density == 1:
        return None
    mask: NDArray[np.bool_] = generator(seed, f"{entry.source}->{entry.target}", "mask").random(shape) < entry.density
    return mask


def _draw(initial: Initial, shape: tuple[int, ...], random: np.random.Generator) -> NDArray[np.float64]:
    if initial.normal is not None:
        return random.normal(initial.normal.mean, initial.normal.sd, shape)
    if initial.uniform is not None:
        return random.uniform(initial.uniform.low, initial.uniform.high, shape)
    return np.full(shape, initial.constant, dtype=np.float64)
