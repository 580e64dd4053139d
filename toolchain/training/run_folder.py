"""A run folder: everything that is needed to say what was trained, and to go on with it.

recipe.yaml        the completed recipe, frozen
environment.json   versions, seed, machine
metrics.jsonl      one line an epoch
summary.json       accuracy of the best checkpoint on the test set and why training ended, written at the end
checkpoints/       last.safetensors, best.safetensors
"""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from toolchain import __version__
from toolchain.errors import CheckpointError, InputError
from toolchain.recipe import Recipe, read_recipe
from toolchain.storage import write_atomically, write_json

PACKAGES = ("h5py", "numpy", "numba", "safetensors", "scikit-learn", "scipy")


@dataclass(frozen=True)
class RunFolder:
    """Paths inside a run folder."""

    path: Path

    @property
    def recipe_file(self) -> Path:
        """The frozen recipe."""
        return self.path / "recipe.yaml"

    @property
    def metrics_file(self) -> Path:
        """One JSON object a line, one line an epoch."""
        return self.path / "metrics.jsonl"

    @property
    def summary_file(self) -> Path:
        """Written when training is complete."""
        return self.path / "summary.json"

    def checkpoint(self, which: str) -> Path:
        """``last`` or ``best``."""
        return self.path / "checkpoints" / f"{which}.safetensors"

    def recipe(self) -> Recipe:
        """Read the frozen recipe; raises CheckpointError if this is no run folder."""
        if not self.recipe_file.is_file():
            raise CheckpointError(
                f"run folder {self.path}: no recipe.yaml in it; give a folder that `delayline train` made"
            )
        return read_recipe(self.recipe_file)

    def metrics(self) -> list[dict[str, Any]]:
        """Lines of metrics.jsonl; a last line cut short by a crash is left out."""
        if not self.metrics_file.is_file():
            return []
        lines: list[dict[str, Any]] = []
        for text in self.metrics_file.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                break
            if not isinstance(line, dict) or not isinstance(line.get("epoch"), int):
                break
            lines.append(line)
        return lines

    def write_metrics(self, lines: list[dict[str, Any]]) -> None:
        """Replace metrics.jsonl."""
        write_atomically(
            self.metrics_file, "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines).encode()
        )


def create_run_folder(root: Path, recipe: Recipe) -> RunFolder:
    """Make ``root/NAME-n`` with the first n that is free, and freeze the recipe in it."""
    number = 1
    try:
        root.mkdir(parents=True, exist_ok=True)
        while True:
            path = root / f"{recipe.name}-{number}"
            try:
                path.mkdir()
                break
            except FileExistsError:
                number += 1
    except OSError as error:
        raise InputError(
            f"cannot make a run folder under {root}: {error.strerror}; choose another with --runs"
        ) from error
    run = RunFolder(path)
    write_atomically(run.recipe_file, recipe.dump().encode())
    write_json(run.path / "environment.json", environment(recipe.training.seed))
    return run


def environment(seed: int) -> dict[str, Any]:
    """What a result depends on besides the recipe."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "absent"
    return {
        "delayline": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": platform.system(),
        "packages": versions,
        "seed": seed,
    }
