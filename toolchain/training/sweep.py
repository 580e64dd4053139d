"""A sweep: one recipe trained from several seeds, one after another, each in a run folder of its own.

``NAME-sweep-n.json`` beside the run folders holds the recipe and, for each seed, its run folder and its result. It is
written after every step, so a sweep that was interrupted goes on where it was: finished seeds are kept, the one under
way is resumed from its last checkpoint.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from toolchain.datasets import Dataset, load_dataset
from toolchain.errors import CheckpointError, InputError, RecipeError
from toolchain.recipe import Recipe, parse_recipe
from toolchain.storage import write_json
from toolchain.training.run_folder import RunFolder, create_run_folder
from toolchain.training.trainer import Listener, Silent, TrainingResult, prepare, train

FORMAT = 1


@dataclass(frozen=True)
class SeedResult:
    """What one seed came to."""

    best_epoch: int
    valid_accuracy: float
    test_accuracy: float
    ended: str


@dataclass
class Seed:
    """One seed of a sweep; `run` is the name of its run folder, None before it has one."""

    seed: int
    run: str | None = None
    result: SeedResult | None = None


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation (of the sample, n - 1; 0 of one value) over seeds."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Spread of at least one value."""
        return cls(statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0)


@dataclass
class Sweep:
    """A recipe and its seeds, as they lie in the file at `path`."""

    path: Path
    recipe: Recipe
    seeds: list[Seed]

    @property
    def spreads(self) -> dict[str, Spread]:
        """Test and validation accuracy over the seeds that are finished; empty before the first is."""
        done = [s.result for s in self.seeds if s.result is not None]
        return {k: Spread.of([getattr(r, k) for r in done]) for k in ("test_accuracy", "valid_accuracy") if done}

    def run_folder(self, seed: Seed) -> RunFolder:
        """Run folder of a seed that has one."""
        assert seed.run is not None
        return RunFolder(self.path.parent / seed.run)

    def recipe_of(self, seed: Seed) -> Recipe:
        """The recipe with this seed."""
        training = self.recipe.training.model_copy(update={"seed": seed.seed})
        return self.recipe.model_copy(update={"training": training})

    def to_json(self) -> dict[str, Any]:
        """What the file holds: the recipe, every seed, and the summary so far."""
        return {
            "format": FORMAT,
            "recipe": self.recipe.model_dump(mode="json", by_alias=True, exclude_none=True),
            "seeds": [asdict(s) for s in self.seeds],
            "finished": sum(s.result is not None for s in self.seeds),
            "summary": {k: asdict(s) for k, s in self.spreads.items()},
        }

    def write(self) -> None:
        """Replace the file."""
        write_json(self.path, self.to_json())


def create_sweep(root: Path, recipe: Recipe, count: int) -> Sweep:
    """Make the file of a sweep over `count` seeds from that of the recipe on, ``root/NAME-sweep-n.json``.

    Raises
    ------
    InputError
        If there is not at least one seed, or no file can be made under `root`.
    """
    if count < 1:
        raise InputError(f"--seeds {count}: a sweep needs at least 1 seed; give a larger number")
    number = 1
    try:
        root.mkdir(parents=True, exist_ok=True)
        while True:
            path = root / f"{recipe.name}-sweep-{number}.json"
            try:
                path.touch(exist_ok=False)
                break
            except FileExistsError:
                number += 1
    except OSError as error:
        raise InputError(f"cannot make a sweep under {root}: {error.strerror}; choose another with --runs") from error
    first = recipe.training.seed
    sweep = Sweep(path, recipe, [Seed(first + i) for i in range(count)])
    sweep.write()
    return sweep


def load_sweep(path: Path) -> Sweep:
    """Read the file of a sweep; raises CheckpointError if it is none."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise CheckpointError(f"sweep {path}: format {data['format']!r}, this version reads {FORMAT}; start anew")
        seeds = [_seed(entry) for entry in data["seeds"]]
        recipe = parse_recipe(data["recipe"], str(path))
    except OSError as error:
        raise CheckpointError(f"sweep {path}: {error.strerror or error}; give a file that --seeds wrote") from error
    except (RecipeError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        what = " ".join(str(error).split())
        raise CheckpointError(f"sweep {path}: {type(error).__name__} {what}; give a file that --seeds wrote") from error
    return Sweep(path, recipe, seeds)


def _seed(entry: dict[str, Any]) -> Seed:
    seed, run, result = entry["seed"], entry["run"], entry["result"]
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed {seed!r} is not a whole number of at least 0")
    # The name is joined to the folder of the file, and may lead nowhere else.
    if run is not None and (not isinstance(run, str) or Path(run).name != run or run in ("", "..")):
        raise ValueError(f"run {run!r} is not the name of a run folder")
    found = None if result is None else SeedResult(**result)
    numbers = () if found is None else (found.best_epoch, found.valid_accuracy, found.test_accuracy)
    if any(isinstance(n, bool) or not isinstance(n, (int, float)) for n in numbers):
        raise ValueError(f"result of seed {seed} is not one of numbers")
    return Seed(seed, run, found)


def run_sweep(
    sweep: Sweep,
    *,
    threads: int | None = None,
    loaded: Callable[[Dataset], None] = lambda dataset: None,
    listen: Callable[[], AbstractContextManager[Listener]] = lambda: nullcontext(Silent()),
    started: Callable[[Seed, RunFolder], None] = lambda seed, run: None,
    finished: Callable[[Seed, RunFolder, TrainingResult], None] = lambda seed, run, result: None,
) -> Sweep:
    """Train every seed of a sweep that is not finished, in order, and return the sweep with all results.

    Parameters
    ----------
    sweep : its file is kept up to date
    threads : as of `toolchain.training.trainer.train`
    loaded : told of the data, once
    listen : makes the listener of one run
    started, finished : told of each seed that is trained here

    Raises
    ------
    CheckpointError, RecipeError, UnstableTrainingError
        As `prepare` and `train`; results of the seeds before are in the file.
    """
    dataset = load_dataset(sweep.recipe.dataset.task, sweep.recipe.dataset.options)
    loaded(dataset)
    for seed in sweep.seeds:
        if seed.result is not None:
            continue
        recipe = sweep.recipe_of(seed)
        task = prepare(recipe, dataset)
        if seed.run is None:
            seed.run = create_run_folder(sweep.path.parent, recipe).path.name
            sweep.write()
        run = sweep.run_folder(seed)
        if run.recipe() != recipe:
            raise CheckpointError(
                f"sweep {sweep.path}: run folder {run.path} of seed {seed.seed} holds another recipe; start anew"
            )
        started(seed, run)
        with listen() as listener:
            result = train(run, task, resume=True, listener=listener, threads=threads)
        seed.result = SeedResult(result.best_epoch, result.valid_accuracy, result.test_accuracy, result.ended)
        sweep.write()
        finished(seed, run, result)
    return sweep
