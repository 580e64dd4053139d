"""Training for a chip: what the target of a recipe says about delays and numbers, before and during training.

Where the forward pass is not the engine's own, a `Machine` runs it: the target's emulator here, any device in
`toolchain.tuning`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from toolchain.datasets import Dataset, Samples
from toolchain.deployment.target import Target, TrainingFormat, find_target
from toolchain.errors import RecipeError
from toolchain.network import Network
from toolchain.network_builder import generator
from toolchain.observed import Observed
from toolchain.recipe import Recipe
from toolchain.spikes import SpikeTrains
from toolchain.training.straight_through import StraightThrough


def complete_recipe(recipe: Recipe) -> Recipe:
    """Fill in what only the target knows: `training.max_slot`, where the recipe leaves it out.

    Raises
    ------
    InputError
        If there is no such target.
    RecipeError
        If a delay starts above its largest slot, or a recipe that trains in its numbers allows larger ones and does
        not have them extended.
    """
    settings = recipe.training
    if settings.max_slot is not None and settings.quantise is None:
        return recipe
    largest = find_target(recipe.deployment.target).largest_slot()
    if settings.max_slot is None:
        return recipe.with_max_slot(largest)
    if settings.max_slot > largest and not recipe.deployment.extend_delays:
        raise RecipeError(
            f"recipe training.max_slot: {settings.max_slot}, but training.quantise is for {recipe.deployment.target}, "
            f"whose largest slot is {largest}; leave max_slot out, or set deployment.extend_delays: true"
        )
    return recipe


class Machine(Protocol):
    """Runs the forward pass of training in place of the engine."""

    def observe(self, network: Network, number_format: TrainingFormat, samples: Samples) -> Observed:
        """What it does with a network whose weights lie on the grid of a format.

        Parameters
        ----------
        samples : with their labels, which only texts for people may use
        """


@dataclass(frozen=True)
class EmulatorMachine:
    """The emulator of a target."""

    target: Target

    def observe(self, network: Network, number_format: TrainingFormat, samples: Samples) -> Observed:
        """See `Target.observe`."""
        return self.target.observe(network, number_format.hint, samples.spikes)


@dataclass(frozen=True)
class ChipNumbers:
    """Where a run takes the number format of its target from, and from which epoch on it trains in it.

    Attributes
    ----------
    target : whose numbers they are
    calibration : samples that the format is chosen on
    from_epoch : epochs in fine numbers before
    machine : what runs the forward pass; None for the float step on rounded weights
    begin_in : format to begin with, before the first epoch; None to let the target choose after `from_epoch`
    """

    target: Target
    calibration: SpikeTrains
    from_epoch: int
    machine: Machine | None
    begin_in: TrainingFormat | None = None

    @classmethod
    def of(cls, recipe: Recipe, dataset: Dataset, network: Network) -> ChipNumbers | None:
        """None where the recipe does not ask for it; calibration samples are drawn from the training set.

        Raises
        ------
        TargetLimitError
            If the target cannot hold the network as it is before training, whatever its weights become: neurons with
            time constants of their own, for one. Better now than after the epochs in fine numbers.
        """
        section = recipe.training.quantise
        if section is None:
            return None
        n = dataset.train.labels.size
        chosen = np.sort(generator(recipe.training.seed, "calibration").permutation(n)[: section.calibration_samples])
        target = find_target(recipe.deployment.target)
        target.training_format(network, dataset.train.spikes.select(chosen[:1]))
        calibration = dataset.train.spikes.select(chosen)
        machine = EmulatorMachine(target) if section.forward == "emulator" else None
        return cls(target, calibration, section.from_epoch, machine)

    def choose(self, network: Network) -> StraightThrough:
        """The target's format for the network as it is now; raises TargetLimitError where there is none."""
        return StraightThrough.over(network, self.target.training_format(network, self.calibration))


def held(weights: NDArray[np.float32], grid: StraightThrough | None) -> tuple[NDArray[np.float32], int]:
    """Weights as the forward pass uses them, and how many were clipped to the range of the format."""
    return (weights, 0) if grid is None else grid.round(weights)
