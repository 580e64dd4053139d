"""`delayline train`."""

from __future__ import annotations

import sys
import time
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolchain.cli.output import percent, say
from toolchain.errors import CheckpointError, InputError
from toolchain.recipe import read_recipe

if TYPE_CHECKING:
    from toolchain.training.run_folder import RunFolder
    from toolchain.training.trainer import Task


def run(
    recipe_name: str | None,
    overrides: list[str],
    runs: Path,
    resume: Path | None,
    threads: int | None,
    print_config: bool,
    dry_run: bool,
    json: bool,
) -> Any:
    """Train, or say what would be trained."""
    from toolchain.training.run_folder import RunFolder, create_run_folder
    from toolchain.training.trainer import prepare

    if resume is not None:
        if recipe_name or overrides:
            raise InputError(
                f"--resume {resume}: takes neither RECIPE nor --set, the run's recipe is frozen; leave them out"
            )
        if not resume.is_dir():
            raise CheckpointError(f"run folder {resume} does not exist; give a folder that `delayline train` made")
        run_folder = RunFolder(resume)
        recipe = run_folder.recipe()
    elif recipe_name is None:
        raise InputError("train: neither RECIPE nor --resume given; try `delayline train yin_yang`")
    else:
        recipe = read_recipe(find_recipe(recipe_name), overrides)
    if print_config:
        return recipe.model_dump(mode="json", by_alias=True) if json else recipe.dump().rstrip()
    task = prepare(recipe)
    if dry_run:
        return _sizes(task, json)
    if resume is None:
        run_folder = create_run_folder(runs, recipe)
        say(f"train {recipe.name} -> {run_folder.path}")
    else:
        say(f"resume {run_folder.path}")
    return _train(run_folder, task, resume is not None, threads, json)


def find_recipe(name: str) -> Path:
    """A path as given, or a recipe that comes with delayline by its bare name."""
    path = Path(name)
    if path.exists() or path.suffix or len(path.parts) != 1:
        return path
    shipped = resources.files("models")
    known = sorted(p.name.removesuffix(".yaml") for p in shipped.iterdir() if p.name.endswith(".yaml"))
    if name not in known:
        raise InputError(
            f"recipe {name!r} does not exist; shipped: {', '.join(known)}, or give the path of a YAML file"
        )
    with resources.as_file(shipped.joinpath(f"{name}.yaml")) as file:
        return file


def _train(run_folder: RunFolder, task: Task, resume: bool, threads: int | None, json: bool) -> Any:
    from toolchain.training.trainer import train

    started = time.monotonic()
    try:
        with progress_listener(task.recipe.training.epochs) as listener:
            result = train(run_folder, task, resume=resume, listener=listener, threads=threads)
    except KeyboardInterrupt:
        say(f"go on with: delayline train --resume {run_folder.path}")
        raise
    if json:
        return {
            "run": str(run_folder.path),
            "best_epoch": result.best_epoch,
            "valid_accuracy": result.valid_accuracy,
            "test_accuracy": result.test_accuracy,
            "test_samples": result.test_samples,
            "seconds": round(time.monotonic() - started, 1),
        }
    return (
        f"{run_folder.path}: test {percent(result.test_accuracy)} of {result.test_samples} samples, "
        f"validation {percent(result.valid_accuracy)} (best, epoch {result.best_epoch}), "
        f"{time.monotonic() - started:.0f} s"
    )


def progress_listener(epochs: int) -> Any:
    """A progress bar on a terminal; on anything else a line now and then."""
    if sys.stderr.isatty():
        from toolchain.cli.progress import Bar

        return Bar(epochs)
    from toolchain.cli.progress import Lines

    return Lines(epochs)


def _sizes(task: Task, json: bool) -> Any:
    dataset, network = task.dataset, task.network
    sizes = {
        "recipe": task.recipe.name,
        "data": dataset.provenance,
        "samples": {s: getattr(dataset, s).labels.size for s in ("train", "valid", "test")},
        "steps": dataset.n_steps,
        "populations": {p.name: p.size for p in network.populations},
        "projections": {p.name: p.n_synapses for p in network.projections},
        "binning": str(dataset.binning),
    }
    if json:
        return sizes
    return "\n".join(f"{key + ':':<13} {value}" for key, value in sizes.items())
