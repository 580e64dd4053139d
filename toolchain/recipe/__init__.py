"""Recipes: YAML in, a typed and complete description of dataset, network, training and deployment out.

A recipe that is read without an error can be run: names are resolved, ranges checked, and an unknown
key is refused with the nearest known one. Values that the recipe leaves out are filled in here and
nowhere else; `Recipe.dump` writes the completed recipe, which is what a run folder freezes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from toolchain.errors import RecipeError
from toolchain.recipe.initial import Initial, Normal, Uniform
from toolchain.recipe.network_section import NetworkRecipe, PopulationRecipe, ProjectionRecipe
from toolchain.recipe.sections import Section, Speakers, check_section, nearest
from toolchain.recipe.training_section import TrainingRecipe
from toolchain.recipe.yaml_text import apply_override, dump_yaml, load_yaml

__all__ = [
    "DatasetRecipe",
    "DeploymentRecipe",
    "Initial",
    "NetworkRecipe",
    "Normal",
    "PopulationRecipe",
    "ProjectionRecipe",
    "Recipe",
    "Section",
    "Speakers",
    "TrainingRecipe",
    "Uniform",
    "check_section",
    "parse_recipe",
    "read_recipe",
]


class DatasetRecipe(Section):
    """Which task, and its options; the options are checked by the task's own module."""

    task: str
    options: dict[str, Any] = Field(default_factory=dict)


class DeploymentRecipe(Section):
    """Defaults of ``delayline deploy`` for this network.

    With `extend_delays`, delays beyond the target's largest slot are kept by delay extension, and training in the
    target's numbers may use them. `prune` is the share of synapses that are removed; with `cores`, as many go as it
    takes to fit on so many.
    """

    target: str = "loihi2"
    extend_delays: bool = False
    prune: Annotated[float, Field(ge=0, lt=1)] = 0.0
    cores: Annotated[int, Field(ge=1)] | None = None
    vendor_samples: Annotated[int, Field(ge=0)] = 8
    calibration_samples: Annotated[int, Field(ge=1)] = 200
    max_loss_points: Annotated[float, Field(ge=0)] = 1.0


class Recipe(Section):
    """A complete recipe."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    about: str = ""
    published: str = ""
    dataset: DatasetRecipe
    network: NetworkRecipe
    training: TrainingRecipe = TrainingRecipe()
    deployment: DeploymentRecipe = DeploymentRecipe()

    @model_validator(mode="after")
    def _delays_in_range(self) -> Recipe:
        for i, projection in enumerate(self.network.projections):
            delay, limit = projection.delay, self.training.max_slot
            highest = delay.constant if delay.constant is not None else delay.uniform.high if delay.uniform else 0.0
            if limit is not None and highest > limit:
                raise ValueError(
                    f"network.projections.{i}.delay: starts at up to slot {highest:g}, above training.max_slot {limit}"
                )
        return self

    @model_validator(mode="after")
    def _training_fits_the_network(self) -> Recipe:
        output, hidden = self.network.output, self.network.hidden
        needed = "lif" if self.training.objective().spiking else "leaky_readout"
        kind = self.network.populations[output].kind
        if kind != needed:
            raise ValueError(
                f"training.readout: {self.training.readout} reads a {needed} population, but the output "
                f"{output} is of kind {kind}; change one of them"
            )
        for name, population in self.network.populations.items():
            self._check_learned(name, population)
        for name in self.training.rates.strength_of:
            if name not in hidden:
                known = nearest(name, hidden) if hidden else "; the network has none"
                raise ValueError(f"training.rates.strength_of: {name!r} is no hidden lif population{known}")
        if self.training.backend == "genn" and self.training.genn.adam == "device" and self.adam_needs_host:
            raise ValueError(f"training.genn.adam: device needs the host, as {self.adam_needs_host}; give auto or host")
        return self

    @property
    def adam_needs_host(self) -> str | None:
        """Why the steps of the optimiser cannot be taken on the device, or None where they can."""
        if self.training.quantise is not None:
            return "training.quantise rounds the weights of each batch there"
        if any(population.learned for population in self.network.populations.values()):
            return "time constants learn there"
        return None

    def _check_learned(self, name: str, population: PopulationRecipe) -> None:
        """Time constants that learn start where they may be, and are not trained in the numbers of a chip."""
        low, high = self.training.tau_range_ms
        for field in population.learned:
            where = f"network.populations.{name}"
            if self.training.quantise is not None:
                raise ValueError(
                    f"{where}.learn_{field.removesuffix('_ms')}: training.quantise is for a chip, which holds one time "
                    "constant for a whole population; leave one of the two out"
                )
            tau: Initial = getattr(population, field)
            for value in (tau.lowest, tau.highest):
                if math.isfinite(value) and not low <= value <= high:
                    raise ValueError(
                        f"{where}.{field}: learns and starts at {value:g} ms, outside training.tau_range_ms "
                        f"[{low:g}, {high:g}]; change one of the two"
                    )

    def with_max_slot(self, largest: int) -> Recipe:
        """The recipe with `training.max_slot` filled in; raises RecipeError if a delay starts above it."""
        data = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        data["training"]["max_slot"] = largest
        return parse_recipe(data, self.name)

    def dump(self) -> str:
        """The completed recipe as YAML; reading it back gives an equal recipe."""
        content = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return dump_yaml(content)


def read_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe file, apply ``key.path=value`` overrides (values are YAML) and check the result.

    Raises
    ------
    RecipeError
        If the file cannot be read, is not YAML, or describes something that cannot be run. The message
        names the file, the key, the value and, for an unknown key, the nearest known one.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RecipeError(f"recipe {path}: {error.strerror or error}; give the path of a YAML file") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"recipe {path}: not UTF-8 text ({error.reason} at byte {error.start})") from error
    data = load_yaml(text, f"recipe {path}")
    if not isinstance(data, dict):
        raise RecipeError(f"recipe {path}: holds {type(data).__name__}, must be a mapping with a key 'dataset'")
    for override in overrides:
        apply_override(data, override)
    return parse_recipe(data, str(path))


def parse_recipe(data: Mapping[str, Any], origin: str) -> Recipe:
    """Check a recipe given as plain data; `origin` names it in errors. Raises RecipeError."""
    return check_section(Recipe, data, origin)
