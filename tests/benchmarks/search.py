"""Choose settings on validation data alone, with equal effort for every condition, then score new seeds.

    python -m tests.benchmarks.search yin_yang --jobs 2

A search (`searches/NAME.yaml`) has a recipe, conditions to be compared (a few --set each) and choices of settings.
The same settings, drawn once from the choices, are trained in every condition from one seed; the best few of each
condition by validation accuracy from two more; the best of those by its mean is then trained from seeds that had no
part in the choice, and only these runs are scored on the test set. Finished runs are kept in
``build/search/NAME.jsonl``, so a search that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from toolchain.cli.train_command import find_recipe
from toolchain.recipe import read_recipe
from toolchain.training.run_folder import create_run_folder
from toolchain.training.sweep import Spread
from toolchain.training.trainer import prepare, train

SEARCHES = Path(__file__).parent / "searches"
CHOOSING, SCORING = (101, 102, 103), tuple(range(11, 19))


@dataclass(frozen=True)
class Job:
    """One training: a condition with settings, from a seed; `scored` on the test set or not."""

    condition: str
    settings: tuple[str, ...]
    overrides: tuple[str, ...]
    seed: int
    scored: bool

    @property
    def key(self) -> str:
        return json.dumps([self.condition, self.settings, self.seed, self.scored])


def run(recipe: str, job: Job) -> dict[str, Any]:
    """Train one job on one thread."""
    overrides = [*job.settings, *job.overrides, f"training.seed={job.seed}"]
    checked = read_recipe(find_recipe(recipe), overrides)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        result = train(create_run_folder(Path(folder), checked), prepare(checked), threads=1)
    line: dict[str, Any] = {"key": job.key, "valid": result.valid_accuracy, "seconds": time.monotonic() - started}
    if job.scored:
        line["test"] = result.test_accuracy
    return line


def _work(task: tuple[str, Job]) -> dict[str, Any]:
    return run(*task)


class Search:
    """A search and the runs of it that are finished."""

    def __init__(self, name: str, settings: int, best: int, seeds: tuple[int, ...], jobs: int, folder: Path) -> None:
        plan = yaml.safe_load((SEARCHES / f"{name}.yaml").read_text(encoding="utf-8"))
        self.recipe: str = plan["recipe"]
        self.conditions: dict[str, list[str]] = plan["conditions"]
        self.best, self.seeds, self.jobs = best, seeds, jobs
        random = np.random.default_rng(0)
        drawn: dict[tuple[str, ...], None] = {}
        while len(drawn) < settings:
            values = (f"{key}={values[random.integers(len(values))]}" for key, values in plan["choices"].items())
            drawn[tuple(values)] = None
        self.settings = list(drawn)
        self.file = folder / f"{name}.jsonl"
        self.file.parent.mkdir(parents=True, exist_ok=True)
        lines = self.file.read_text(encoding="utf-8").splitlines() if self.file.exists() else []
        self.done: dict[str, dict[str, Any]] = {line["key"]: line for line in map(json.loads, lines)}

    def run(self) -> None:
        first = [(c, s, CHOOSING[0]) for c in self.conditions for s in self.settings]
        self._finish(self._job(*entry) for entry in first)
        finalists = {
            c: sorted(self.settings, key=lambda s: -self._valid(c, s, 1))[: self.best] for c in self.conditions
        }
        self._finish(self._job(c, s, seed) for c, some in finalists.items() for s in some for seed in CHOOSING[1:])
        chosen = {c: max(some, key=lambda s: self._valid(c, s, len(CHOOSING))) for c, some in finalists.items()}
        self._finish(self._job(c, s, seed, scored=True) for c, s in chosen.items() for seed in self.seeds)
        for condition, settings in chosen.items():
            scores = [100 * self._line(condition, settings, seed, scored=True)["test"] for seed in self.seeds]
            spread = Spread.of(scores)
            print(f"{condition}: test {spread.mean:.2f} ± {spread.deviation:.2f} over {len(scores)} new seeds")
            print(f"    chosen at {100 * self._valid(condition, settings, len(CHOOSING)):.2f} on validation data: "
                  + " ".join(f"--set '{s}'" for s in (*settings, *self.conditions[condition])))  # fmt: skip

    def _job(self, condition: str, settings: tuple[str, ...], seed: int, *, scored: bool = False) -> Job:
        return Job(condition, settings, tuple(self.conditions[condition]), seed, scored)

    def _line(self, condition: str, settings: tuple[str, ...], seed: int, *, scored: bool = False) -> dict[str, Any]:
        return self.done[self._job(condition, settings, seed, scored=scored).key]

    def _valid(self, condition: str, settings: tuple[str, ...], seeds: int) -> float:
        return statistics.mean(float(self._line(condition, settings, seed)["valid"]) for seed in CHOOSING[:seeds])

    def _finish(self, jobs: Iterable[Job]) -> None:
        left = [(self.recipe, job) for job in jobs if job.key not in self.done]
        with multiprocessing.get_context("spawn").Pool(self.jobs) as pool, self.file.open("a", encoding="utf-8") as out:
            for line in pool.imap_unordered(_work, left):
                self.done[line["key"]] = line
                out.write(json.dumps(line) + "\n")
                out.flush()
                print(f"{line['key']} valid {100 * line['valid']:.2f} in {line['seconds']:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("search", choices=sorted(file.stem for file in SEARCHES.glob("*.yaml")))
    parser.add_argument("--settings", type=int, default=12, help="settings to try in each condition")
    parser.add_argument("--best", type=int, default=3, help="how many of them get more seeds")
    parser.add_argument("--seeds", type=int, nargs="+", default=SCORING, help="seeds to score")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("build/search"))
    options = parser.parse_args()
    Search(options.search, options.settings, options.best, tuple(options.seeds), options.jobs, options.folder).run()


if __name__ == "__main__":
    main()
