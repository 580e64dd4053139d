"""A run folder of a network that was trained elsewhere: deployed, validated and tuned like any other.

The recipe that is given says what the network is for: data, how a class is read, what deployment may lose. Its network
section becomes a description of what was imported, and it freezes with that.
"""

from __future__ import annotations

import hashlib
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import InterchangeError
from toolchain.interchange.imported import Imported
from toolchain.network import TIME_CONSTANTS, Network, Population, Projection, TimeConstant
from toolchain.recipe import Recipe, parse_recipe
from toolchain.storage import write_json
from toolchain.training.checkpoints import Progress, save_checkpoint
from toolchain.training.run_folder import RunFolder, create_run_folder

SUFFIX = "_imported"
FILE = "import.json"


@dataclass(frozen=True)
class ImportedRun:
    """A run folder that was made, and what its network does, in float.

    Attributes
    ----------
    accuracy : of the test set
    assumed : what reading and describing the network took for granted, a sentence each
    """

    run: RunFolder
    network: Network
    accuracy: float
    test_samples: int
    assumed: tuple[str, ...]


def make_run(
    imported: Imported,
    recipe: Recipe,
    runs: Path,
    origin: Mapping[str, Any],
    number_format: dict[str, Any] | None = None,
) -> ImportedRun:
    """Make a run folder, with the network as its best checkpoint.

    Parameters
    ----------
    imported : what was read
    recipe : data, reading and deployment; its network is replaced
    runs : folder in which the run folder is made
    origin : where the network is from, JSON types; kept in ``import.json``
    number_format : that of a target in whose integers it was (`StraightThrough.header`), so that deployment takes the
        same ones

    Raises
    ------
    InterchangeError
        If the network is none that a recipe can describe.
    RecipeError
        If it does not fit the recipe's data or what its output is read by; or the data are not there.
    """
    from toolchain.training.engines import training_engine
    from toolchain.training.trainer import prepare

    network = imported.network
    described, said = describe_in(recipe, network)
    task = prepare(described)
    engine = training_engine(described, task.dataset, network, None)
    valid, test = (engine.respond(s.spikes, s.labels) for s in (task.dataset.valid, task.dataset.test))
    valid_accuracy = float(np.mean(valid.prediction == task.dataset.valid.labels))
    accuracy = float(np.mean(test.prediction == task.dataset.test.labels))
    progress = Progress(0, 0, valid_accuracy, float(valid.loss.mean()), {}, number_format=number_format)
    assumed = (*imported.assumed, *said)
    summary = {
        "best_epoch": 0,
        "epochs": 0,
        "ended": "imported",
        "valid_accuracy": valid_accuracy,
        "test_accuracy": accuracy,
        "test_samples": task.dataset.test.labels.size,
        "data": task.dataset.provenance,
        "binning": vars(task.dataset.binning),
    }
    run = create_run_folder(runs, described)
    try:
        # First of all that it is imported: without that it would pass for one that was just begun to be trained.
        write_json(run.path / FILE, {**origin, "assumed": list(assumed)})
        save_checkpoint(run.checkpoint("best"), network, {}, progress)
        write_json(run.summary_file, summary)
    except BaseException:
        shutil.rmtree(run.path, ignore_errors=True)
        raise
    return ImportedRun(run, network, accuracy, task.dataset.test.labels.size, assumed)


def is_imported(run: Path) -> bool:
    """Whether a run folder is of a network that was imported."""
    return (run / FILE).is_file()


def file_hash(path: Path) -> str:
    """SHA-256 of a file, or of names and content of all files below a folder."""
    found = hashlib.sha256()
    for file in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
        if file != path:
            found.update(file.relative_to(path).as_posix().encode() + b"\0")
        with file.open("rb") as content:
            while chunk := content.read(1 << 20):
                found.update(chunk)
    return found.hexdigest()


def describe_in(recipe: Recipe, network: Network) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe with a description of a network in place of its own, and what else had to change in it, as sentences.

    Raises
    ------
    InterchangeError
        If the network has not exactly one spike source.
    RecipeError
        If the rest of the recipe does not fit it.
    """
    sources = network.of_kind("spike_source")
    if len(sources) != 1:
        names = ", ".join(p.name for p in sources) or "none"
        raise InterchangeError(
            f"network: has {len(sources)} spike sources ({names}), a recipe has one; join them into one "
            "where the network is from"
        )
    data: dict[str, Any] = recipe.model_dump(mode="json", by_alias=True, exclude_none=True)
    said = []
    data["network"] = {
        "dt_ms": network.dt_ms,
        "populations": {p.name: _population(p) for p in network.populations},
        "projections": [_projection(p) for p in network.projections],
    }
    training, limit = data["training"], recipe.training.max_slot
    longest = max((math.ceil(p.delay.max(initial=0)) for p in network.projections), default=0)
    if limit is not None and longest > limit:
        training["max_slot"] = longest
        said.append(f"training.max_slot of the recipe raised from {limit} to {longest}, for the longest delay")
    strengths, passing_on = (
        training["rates"]["strength_of"],
        {p.source for p in network.projections if p.source != p.target},
    )
    hidden = passing_on & {p.name for p in network.of_kind("lif")}
    for name in [n for n in strengths if n not in hidden]:
        del strengths[name]
        said.append(
            f"training.rates.strength_of.{name} of the recipe left out: the network has no such hidden population"
        )
    # It is not trained by this recipe, and where it is deployed there may be no GPU.
    training |= {"backend": "cpu", "genn": {}}
    training.pop("quantise", None)
    data["name"] = recipe.name if recipe.name.endswith(SUFFIX) else recipe.name + SUFFIX
    return parse_recipe(data, data["name"]), tuple(said)


def _population(population: Population) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": population.kind, "size": population.size}
    if population.kind != "spike_source":
        found |= {tau: _time_constant(getattr(population, tau)) for tau in TIME_CONSTANTS}
    if population.kind == "lif":
        found |= {"threshold": population.threshold, "single_spike": population.single_spike}
    return found


def _time_constant(value: TimeConstant) -> Any:
    """A number, or the range of those of the neurons; the checkpoint has each."""
    return {"uniform": {"low": min(value), "high": max(value)}} if isinstance(value, tuple) else value


def _projection(projection: Projection) -> dict[str, Any]:
    """A projection like it: of weights with the same mean and deviation, and delays in the same range."""
    there = np.ones(projection.weight.shape, dtype=np.bool_) if projection.mask is None else projection.mask
    weight, delay = projection.weight[there], projection.delay[there]
    found: dict[str, Any] = {
        "from": projection.source,
        "to": projection.target,
        "weight": {"normal": {"mean": float(weight.mean()), "sd": float(weight.std())}} if weight.size else 0.0,
        "delay": _range(delay),
        "learn_delay": bool(np.any(delay != 0)),
    }
    if weight.size and projection.mask is not None:
        found["density"] = weight.size / there.size
    return found


def _range(delay: NDArray[np.float32]) -> Any:
    low, high = (float(delay.min()), float(delay.max())) if delay.size else (0.0, 0.0)
    return low if low == high else {"uniform": {"low": low, "high": high}}
