"""Recipes: YAML in, a typed and complete description of dataset, network, training and deployment out.

A recipe that is read without an error can be run: names are resolved, ranges checked, and an unknown
key is refused with the nearest known one. Values that the recipe leaves out are filled in here and
nowhere else; `Recipe.dump` writes the completed recipe, which is what a run folder freezes.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from toolchain.errors import NetworkError, RecipeError
from toolchain.network import Kind, Population
from toolchain.readouts import ReadoutName

MAX_NEURONS = 1_000_000
MAX_YAML_NODES = 100_000
LARGEST_VALUE = 1e9


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, but 1e-3 is a number, as in YAML 1.2 and as anybody writes it, and not a text."""


class _Dumper(yaml.SafeDumper):
    """Puts quotes around a text that `_Loader` would take for a number."""


for _side in (_Loader, _Dumper):
    _side.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$", re.ASCII), list("-+.0123456789")
    )


class Section(BaseModel):
    """Base of every part of a recipe: immutable, unknown keys refused, no silent conversion of types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, populate_by_name=True)


S = TypeVar("S", bound=Section)
Value = Annotated[float, Field(ge=-LARGEST_VALUE, le=LARGEST_VALUE)]


class Normal(Section):
    """Values drawn from a normal distribution."""

    mean: Value = 0.0
    sd: Annotated[float, Field(ge=0, le=LARGEST_VALUE)] = 1.0


class Uniform(Section):
    """Values drawn uniformly from [low, high)."""

    low: Value = 0.0
    high: Value

    @model_validator(mode="after")
    def _ordered(self) -> Uniform:
        if self.high < self.low:
            raise ValueError(f"high {self.high} is below low {self.low}")
        return self


class Initial(Section):
    """How an array starts: exactly one of a constant, a normal or a uniform distribution.

    A bare number in the recipe means a constant.
    """

    constant: Value | None = None
    normal: Normal | None = None
    uniform: Uniform | None = None

    @model_validator(mode="before")
    @classmethod
    def _bare_number(cls, value: Any) -> Any:
        if isinstance(value, bool):
            raise ValueError("must be a number, a normal or a uniform distribution, not true or false")
        return {"constant": value} if isinstance(value, (int, float)) else value

    @model_validator(mode="after")
    def _one_kind(self) -> Initial:
        given = [k for k in ("constant", "normal", "uniform") if getattr(self, k) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of constant, normal, uniform, not {given or 'none'}")
        return self

    @property
    def lowest(self) -> float:
        """Smallest value that can be drawn (minus infinity for a normal distribution that is not constant)."""
        if self.constant is not None:
            return self.constant
        if self.uniform is not None:
            return self.uniform.low
        assert self.normal is not None
        return self.normal.mean if self.normal.sd == 0 else float("-inf")


class PopulationRecipe(Section):
    """One population; a spike source may leave out its size, which then is that of the dataset."""

    kind: Kind
    size: Annotated[int, Field(ge=1, le=MAX_NEURONS)] | None = None
    tau_mem_ms: Annotated[float, Field(gt=0)] = 20.0
    tau_syn_ms: Annotated[float, Field(gt=0)] = 5.0
    threshold: Annotated[float, Field(gt=0)] = 1.0


class ProjectionRecipe(Section):
    """One projection: initial weights and delays, which of them learn, and how much faster than the rest.

    `density` below 1 keeps each synapse with that probability (a mask, fixed for the whole run).
    """

    source: str = Field(alias="from")
    target: str = Field(alias="to")
    weight: Initial
    delay: Initial = Initial(constant=0.0)
    learn_weight: bool = True
    learn_delay: bool = False
    weight_rate_factor: Annotated[float, Field(gt=0)] = 1.0
    density: Annotated[float, Field(gt=0, le=1)] = 1.0

    @field_validator("delay")
    @classmethod
    def _delay_not_negative(cls, delay: Initial) -> Initial:
        if delay.normal is not None and delay.normal.sd > 0:
            raise ValueError("a delay cannot start from a normal distribution, it would be negative; use uniform")
        if delay.lowest < 0:
            raise ValueError(f"delay {delay.lowest:g} is below 0 slots; slot 0 already arrives one step after")
        return delay


class NetworkRecipe(Section):
    """The network: step length, populations by name, projections."""

    dt_ms: Annotated[float, Field(gt=0)] = 1.0
    populations: dict[str, PopulationRecipe]
    projections: Annotated[list[ProjectionRecipe], Field(min_length=1)]

    @model_validator(mode="after")
    def _ends_exist(self) -> NetworkRecipe:
        for i, projection in enumerate(self.projections):
            for end, name in (("from", projection.source), ("to", projection.target)):
                if name not in self.populations:
                    raise ValueError(
                        f"projections.{i}.{end}: population {name!r} does not exist"
                        + _nearest(name, list(self.populations))
                    )
            if self.populations[projection.target].kind == "spike_source":
                raise ValueError(f"projections.{i}.to: {projection.target} is a spike_source and takes no input")
            if self.populations[projection.source].kind == "leaky_readout":
                raise ValueError(f"projections.{i}.from: {projection.source} is a leaky_readout and never spikes")
        pairs = [(p.source, p.target) for p in self.projections]
        for i, pair in enumerate(pairs):
            if pair in pairs[:i]:
                raise ValueError(f"projections.{i}: {pair[0]}->{pair[1]} is given twice; merge the two into one")
        for kind in ("leaky_readout", "spike_source"):
            n = sum(p.kind == kind for p in self.populations.values())
            if n != 1:
                raise ValueError(f"populations: {n} of kind {kind}, must be exactly 1")
        for name, population in self.populations.items():
            try:
                Population(name, population.kind, 1)
            except NetworkError as error:
                raise ValueError(f"populations: {error}") from error
            if population.kind == "lif" and population.size is None:
                raise ValueError(f"populations.{name}.size: a lif population needs a size")
            if population.kind != "spike_source" and name not in (p.target for p in self.projections):
                raise ValueError(f"populations.{name}: no projection leads to it; add one or remove the population")
        return self


class DatasetRecipe(Section):
    """Which task, and its options; the options are checked by the task's own module."""

    task: str
    options: dict[str, Any] = {}


class TrainingRecipe(Section):
    """How to learn.

    Rates are Adam step sizes: of weights in units of weight, of delays in slots. `rate_decay` multiplies
    both after every epoch.
    """

    backend: Literal["cpu"] = "cpu"
    readout: ReadoutName = "exp_weighted_average"
    loss: Literal["cross_entropy"] = "cross_entropy"
    epochs: Annotated[int, Field(ge=0, le=100_000)] = 50
    batch_size: Annotated[int, Field(ge=1)] = 32
    weight_rate: Annotated[float, Field(ge=0)] = 1e-3
    delay_rate: Annotated[float, Field(ge=0)] = 0.1
    rate_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_slot: Annotated[int, Field(ge=0, le=65_534)] = 62
    min_slope: Annotated[float, Field(gt=0)] = 0.05
    stop_at_accuracy: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=0)] = 0


class DeploymentRecipe(Section):
    """Defaults of ``delayline deploy`` for this network."""

    target: str = "loihi2"
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
            if highest > limit:
                raise ValueError(
                    f"network.projections.{i}.delay: starts at up to slot {highest:g}, above training.max_slot {limit}"
                )
        return self

    def dump(self) -> str:
        """The completed recipe as YAML; reading it back gives an equal recipe."""
        content = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        text: str = yaml.dump(content, Dumper=_Dumper, sort_keys=False)
        return text


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
    data = _load_yaml(text, f"recipe {path}")
    if not isinstance(data, dict):
        raise RecipeError(f"recipe {path}: holds {type(data).__name__}, must be a mapping with a key 'dataset'")
    for override in overrides:
        _apply(data, override)
    return parse_recipe(data, str(path))


def parse_recipe(data: Mapping[str, Any], origin: str) -> Recipe:
    """Check a recipe given as plain data; `origin` names it in errors. Raises RecipeError."""
    return check_section(Recipe, data, origin)


def check_section(section: type[S], data: Mapping[str, Any], origin: str, prefix: str = "") -> S:
    """Check plain data against a section; `prefix` is the place of the section in the recipe, with a dot.

    Raises
    ------
    RecipeError
        Naming every key that is unknown (with the nearest known one), missing, of a wrong type or out of range.
    """
    try:
        return section.model_validate(dict(data))
    except ValidationError as error:
        raise RecipeError(f"recipe {origin}: {'; '.join(_messages(error, section, prefix))}") from error


def _load_yaml(text: str, origin: str) -> Any:
    """Read YAML into plain data of which no two places share a part; `origin` names it in errors."""
    try:
        return _unshared(_Loader(text).get_single_data(), [MAX_YAML_NODES])
    except (yaml.YAMLError, RecursionError, ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        # PyYAML lets whatever its constructors raise through: 2001-99-99 is a ValueError, !!bool x a KeyError.
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        problem = " ".join(str(getattr(error, "problem", None) or type(error).__name__).split())
        raise RecipeError(f"{origin}{where}: not YAML that a recipe can hold: {problem}; correct it") from error


def _unshared(node: Any, left: list[int]) -> Any:
    """Copy in which an alias is a copy of its anchor, so that an override changes one place only."""
    left[0] -= 1
    if left[0] < 0:
        raise ValueError(f"more than {MAX_YAML_NODES} nodes")
    if isinstance(node, dict):
        return {key: _unshared(value, left) for key, value in node.items()}
    return [_unshared(value, left) for value in node] if isinstance(node, list) else node


def _apply(data: dict[str, Any], override: str) -> None:
    path, separator, text = override.partition("=")
    keys = path.strip().split(".")
    if not separator or not all(keys):
        raise RecipeError(f"--set {override!r}: must be key.path=value, as in --set training.epochs=5")
    value = _load_yaml(text, f"--set {override!r}")
    node: Any = data
    for depth, key in enumerate(keys):
        last = depth == len(keys) - 1
        if isinstance(node, list):
            if not (key.isascii() and key.isdigit()) or int(key) >= len(node):
                raise RecipeError(f"--set {path}: {key!r} must be an index below {len(node)}")
            if last:
                node[int(key)] = value
            else:
                node = node[int(key)]
        elif isinstance(node, dict):
            if last:
                node[key] = value
            else:
                node = node.setdefault(key, {})
        else:
            raise RecipeError(f"--set {path}: {'.'.join(keys[:depth])} is a value and has no key {key!r}")


def _messages(error: ValidationError, root: type[Section], prefix: str) -> Iterator[str]:
    for problem in error.errors():
        where = prefix + ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            known = _known_keys(root, problem["loc"][:-1])
            yield f"unknown key {where!r}{_nearest(str(problem['loc'][-1]), known)}"
        elif problem["type"] == "missing":
            yield f"key {where!r} is missing"
        elif problem["type"] == "value_error":
            text = str(problem["ctx"]["error"])
            yield f"{where}: {text}" if where else text
        else:
            yield f"{where}: {problem['msg'][0].lower()}{problem['msg'][1:]}, got {_shown(problem['input'])}"


def _shown(value: object) -> str:
    """A value on one line, cut where it is long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        return f"a {type(value).__name__} too large to print"
    return text if len(text) <= 60 else text[:57] + "..."


def _known_keys(root: type[Section], location: tuple[int | str, ...]) -> list[str]:
    """Keys that the section at a location below `root` has."""
    model: Any = root
    for part in location:
        if isinstance(part, int):
            continue
        fields = {(f.alias or name): f for name, f in model.model_fields.items()}
        if part in fields:
            model = _section_of(fields[str(part)].annotation) or model
    return [f.alias or name for name, f in model.model_fields.items()]


def _section_of(annotation: Any) -> Any:
    """The Section inside an annotation such as ``list[ProjectionRecipe]`` or ``Normal | None``."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _section_of(argument)
        if found:
            return found
    return None


def _nearest(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"
