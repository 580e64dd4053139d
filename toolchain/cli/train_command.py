"""`delayline train`."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolchain.cli.making_progress import shown_making
from toolchain.cli.output import percent, say
from toolchain.errors import CheckpointError, InputError
from toolchain.recipe import read_recipe

if TYPE_CHECKING:
    from toolchain.datasets import Dataset
    from toolchain.training.backends import Engine
    from toolchain.training.run_folder import RunFolder
    from toolchain.training.sweep import Sweep
    from toolchain.training.trainer import Task


@dataclass(frozen=True)
class TrainRequest:
    """What `delayline train` is asked for, named as its options are; `overrides` is what `--set` gives."""

    recipe: str | None
    overrides: list[str]
    runs: Path
    resume: Path | None
    seeds: int | None
    threads: int | None
    backend: str | None
    print_config: bool
    dry_run: bool
    json: bool


def run(request: TrainRequest) -> Any:
    """Train, or say what would be trained; as one of several processes where an MPI launcher started them."""
    from toolchain.training.backends.genn.folders import own_folders
    from toolchain.training.backends.genn.ranks import find_ranks

    ranks = find_ranks()
    with own_folders(ranks, request.runs, request.resume, say) as folders:
        result = _run(replace(request, runs=folders.runs, resume=folders.resume))
    return result if ranks.index == 0 else None


def _run(request: TrainRequest) -> Any:
    from toolchain.interchange.into_run import is_imported
    from toolchain.training.chip import complete_recipe
    from toolchain.training.engines import require_one_process, say_backend, training_engine
    from toolchain.training.run_folder import RunFolder, create_run_folder
    from toolchain.training.sweep import create_sweep, load_sweep
    from toolchain.training.trainer import prepare
    from toolchain.tuning.record import is_tuned

    resume, threads, json = request.resume, request.threads, request.json
    sweep = None
    if resume is not None:
        if request.recipe or request.overrides or request.seeds or request.backend:
            raise InputError(
                f"--resume {resume}: takes no RECIPE, --set, --backend or --seeds, the run's recipe is frozen; leave "
                "them out"
            )
        if resume.is_file():
            sweep = load_sweep(resume)
        elif not resume.is_dir():
            raise CheckpointError(f"run folder {resume} does not exist; give a folder that `delayline train` made")
        run_folder = RunFolder(resume)
        if is_tuned(resume):
            raise InputError(f"run folder {resume}: is of tuning; go on with delayline tune --resume {resume}")
        if is_imported(resume):
            raise InputError(
                f"run folder {resume}: is imported, without the moments of an optimiser that training goes on from; "
                "deploy it, and go on with delayline tune on a device"
            )
        recipe = sweep.recipe if sweep else run_folder.recipe()
    elif request.recipe is None:
        raise InputError("train: neither RECIPE nor --resume given; try `delayline train yin_yang`")
    else:
        chosen = [f"training.backend={request.backend}"] if request.backend else []
        recipe = read_recipe(find_recipe(request.recipe), [*request.overrides, *chosen])
    recipe = complete_recipe(recipe)
    require_one_process(recipe)
    if request.print_config:
        return recipe.model_dump(mode="json", by_alias=True) if json else recipe.dump().rstrip()
    if request.dry_run:
        with shown_making():
            return _sizes(prepare(recipe), json)
    if sweep is not None:
        return _sweep(sweep, threads, json)
    with shown_making():
        task = prepare(recipe)
    runs_on = say_backend(recipe, task.dataset, task.network)
    if runs_on is not None:
        say(f"backend: {runs_on}")
    if request.seeds is not None:
        return _sweep(create_sweep(request.runs, recipe, request.seeds), threads, json)
    # Whatever keeps the network from being loaded shall leave no run folder behind.
    engine = training_engine(task.recipe, task.dataset, task.network, threads)
    if resume is None:
        run_folder = create_run_folder(request.runs, recipe)
        say(f"train {recipe.name} -> {run_folder.path}")
    else:
        say(f"resume {run_folder.path}")
    _say_data(task.dataset)
    return _train(run_folder, task, engine, resume is not None, json)


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


def _say_data(dataset: Dataset) -> None:
    """What is trained on, real or synthetic, and what binning removed: before every training."""
    say(f"data: {dataset.provenance}")
    say(f"binning: {dataset.binning}")


def _train(run_folder: RunFolder, task: Task, engine: Engine, resume: bool, json: bool) -> Any:
    from toolchain.training.trainer import train

    started = time.monotonic()
    try:
        with progress_listener(task.recipe.training.epochs) as listener:
            result = train(run_folder, task, resume=resume, listener=listener, engine=engine)
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
            "data": task.dataset.provenance,
            "binning": vars(task.dataset.binning),
            "seconds": round(time.monotonic() - started, 1),
        }
    return (
        f"{run_folder.path}: test {percent(result.test_accuracy)} of {result.test_samples} samples, "
        f"validation {percent(result.valid_accuracy)} (best, epoch {result.best_epoch}), "
        f"{time.monotonic() - started:.0f} s"
    )


def _sweep(sweep: Sweep, threads: int | None, json: bool) -> Any:
    from toolchain.training.sweep import run_sweep

    try:
        run_sweep(
            sweep,
            threads=threads,
            loaded=_say_data,
            listen=lambda: progress_listener(sweep.recipe.training.epochs),
            started=lambda seed, run: say(f"train {sweep.recipe.name}, seed {seed.seed} -> {run.path}"),
        )
    except KeyboardInterrupt:
        say(f"go on with: delayline train --resume {sweep.path}")
        raise
    if json:
        return {"sweep": str(sweep.path), **sweep.to_json()}
    lines = [
        f"seed {s.seed}: test {percent(s.result.test_accuracy)}, validation {percent(s.result.valid_accuracy)} "
        f"(best, epoch {s.result.best_epoch}), {sweep.run_folder(s).path}"
        for s in sweep.seeds
        if s.result
    ]
    words = (("test", "test_accuracy"), ("validation", "valid_accuracy"))
    spreads = (f"{w} {100 * sweep.spreads[k].mean:.2f} ± {100 * sweep.spreads[k].deviation:.2f} %" for w, k in words)
    return "\n".join([*lines, f"{sweep.path}: {', '.join(spreads)} over {len(lines)} seeds"])


def progress_listener(epochs: int) -> Any:
    """A progress bar on a terminal; on anything else a line now and then."""
    if sys.stderr.isatty():
        from toolchain.cli.progress import Bar

        return Bar(epochs)
    from toolchain.cli.progress import Lines

    return Lines(epochs)


def _sizes(task: Task, json: bool) -> Any:
    from toolchain.training.engines import say_backend

    dataset, network = task.dataset, task.network
    runs_on = say_backend(task.recipe, dataset, network)
    sizes = {
        "recipe": task.recipe.name,
        "data": dataset.provenance,
        "samples": {s: getattr(dataset, s).labels.size for s in ("train", "valid", "test")},
        "steps": dataset.n_steps,
        "populations": {p.name: p.size for p in network.populations},
        "projections": {p.name: p.n_synapses for p in network.projections},
        "binning": str(dataset.binning),
        **({} if runs_on is None else {"backend": runs_on}),
    }
    if json:
        return sizes
    return "\n".join(f"{key + ':':<13} {value}" for key, value in sizes.items())
