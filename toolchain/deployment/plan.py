"""A network before training, as far as it can be known: sizes, which synapses exist, and the largest slots.

What training will make of weights and delays is unknown, so a plan has no weights, and of each projection the largest
slot that training can reach.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.datasets import TaskSizes, task_sizes
from toolchain.errors import RecipeError
from toolchain.network import Population, TimeConstant
from toolchain.network_builder import build_populations, draw_mask
from toolchain.recipe import ProjectionRecipe, Recipe


@dataclass(frozen=True, eq=False)
class ProjectionPlan:
    """Synapses of one projection before training.

    Attributes
    ----------
    source, target : population names
    largest_slot : that a delay can have after training, steps
    mask : (pre, post) bool, the synapses that exist; None where every pair has one
    """

    source: str
    target: str
    largest_slot: int
    mask: NDArray[np.bool_] | None = None

    @property
    def name(self) -> str:
        """``source->target``."""
        return f"{self.source}->{self.target}"


@dataclass(frozen=True, eq=False)
class NetworkPlan:
    """A network before training.

    Attributes
    ----------
    dt_ms : length of a step, ms
    populations : a time constant that learns or is drawn is a tuple of one number a neuron, as after training
    projections : in the order of the recipe
    assumptions : what of it is no fact of the recipe, one line each
    """

    dt_ms: float
    populations: tuple[Population, ...]
    projections: tuple[ProjectionPlan, ...]
    assumptions: tuple[str, ...] = ()


def plan_network(recipe: Recipe, largest_slot: int) -> NetworkPlan:
    """The network of a recipe, without its data and without training.

    Parameters
    ----------
    recipe : a checked recipe
    largest_slot : `training.max_slot` where the recipe leaves it out

    Raises
    ------
    RecipeError
        If only the files of a task say how many channels and classes it has and the recipe does not, if a size in the
        recipe contradicts the task, or an option of the task is not right.
    """
    sizes, assumptions = _sizes(recipe)
    traces = sizes.n_traces if recipe.training.readout == "trace" else None
    populations = build_populations(recipe, n_inputs=sizes.n_inputs, n_classes=sizes.n_classes, n_traces=traces)
    of = {p.name: p.size for p in populations}
    given = recipe.training.max_slot
    learned = any(entry.learn_delay for entry in recipe.network.projections)
    if learned:
        most = largest_slot if given is None else given
        assumptions.append(f"delays that learn may become any slot up to training.max_slot, {most}")
    assumptions.append("weights that are not trained yet take any value of the format")
    projections = tuple(
        ProjectionPlan(
            entry.source,
            entry.target,
            _largest_slot(entry, largest_slot if given is None else given),
            draw_mask(entry, (of[entry.source], of[entry.target]), recipe.training.seed),
        )
        for entry in recipe.network.projections
    )
    settled = tuple(_after_training(p, recipe) for p in populations)
    return NetworkPlan(recipe.network.dt_ms, settled, projections, tuple(assumptions))


def _sizes(recipe: Recipe) -> tuple[TaskSizes, list[str]]:
    """Channels and classes: of the task, or of the recipe where the task's files may have others."""
    network, task = recipe.network, recipe.dataset.task
    source = next(name for name, p in network.populations.items() if p.kind == "spike_source")
    stated = (network.populations[source].size, network.populations[network.output].size)
    sizes = task_sizes(task, recipe.dataset.options)
    if sizes is None:
        if stated[0] is None or stated[1] is None:
            raise RecipeError(
                f"recipe dataset.task: only the files of task {task} say how many channels and classes they have; give "
                f"network.populations.{source}.size and network.populations.{network.output}.size, in the recipe or "
                "with --set"
            )
        return TaskSizes(stated[0], stated[1]), [f"{stated[0]} channels and {stated[1]} outputs, as the recipe says"]
    if sizes.fixed:
        return sizes, []
    sizes = replace(sizes, n_inputs=stated[0] or sizes.n_inputs, n_classes=stated[1] or sizes.n_classes)
    return sizes, [f"{sizes.n_inputs} channels and {sizes.n_classes} classes; the files of task {task} may have others"]


def _largest_slot(entry: ProjectionRecipe, max_slot: int) -> int:
    """Largest slot after training: delays are rounded half to even."""
    if entry.learn_delay:
        return max_slot
    # A delay starts as a constant or from a uniform distribution: both have a highest value.
    return int(np.rint(entry.delay.highest))


def _after_training(population: Population, recipe: Recipe) -> Population:
    """Time constants that learn are one a neuron."""
    fields: dict[str, Any] = {}
    for name in recipe.network.populations[population.name].learned:
        tau: TimeConstant = getattr(population, name)
        fields[name] = tau if isinstance(tau, tuple) else (tau,) * population.size
    return replace(population, **fields)
