"""Where a bundle comes from: data, seed, versions, machine, hashes, and the commands that make it again."""

from __future__ import annotations

import hashlib
import json
import platform
import shlex
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from toolchain import __version__
from toolchain.datasets import Dataset
from toolchain.deployment.options import Options
from toolchain.deployment.target import Target
from toolchain.recipe import Recipe
from toolchain.training.run_folder import RunFolder, environment

NOT_REPEATED = ("vendor_timeout_s",)
"""Options that do not change what comes out."""


def provenance(
    run: RunFolder, recipe: Recipe, dataset: Dataset, target: Target, options: Options, folder: Path
) -> dict[str, Any]:
    """What a report says about where it comes from.

    Parameters
    ----------
    folder : of the bundle; every file that is in it by now is hashed (the manifest has those of the rest)
    """
    deployed = environment(recipe.training.seed)
    deployed.pop("seed")
    return {
        "run": run.path.name,
        "data": dataset.provenance,
        "binning": str(dataset.binning),
        "seed": recipe.training.seed,
        "published": recipe.published,
        "repeat": repeat_commands(run, target, options),
        "delayline": __version__,
        target.vendor: target.vendor_status(),
        "target": target.about,
        "trained_with": _trained_with(run),
        "deployed_with": {**deployed, "processor": _processor()},
        "sha256": {
            "trained network (best.safetensors)": sha256(run.checkpoint("best")),
            **{p.relative_to(folder).as_posix(): sha256(p) for p in sorted(folder.rglob("*")) if p.is_file()},
        },
    }


def repeat_commands(run: RunFolder, target: Target, options: Options) -> list[str]:
    """Commands that train the run and deploy it again, from the folder of the run."""
    words = ["delayline", "deploy", run.path.name, "--target", target.name]
    for field in fields(Options):
        value = getattr(options, field.name)
        if field.name in NOT_REPEATED or value == getattr(Options(), field.name):
            continue
        name = f"--{field.name.replace('_', '-')}"
        if field.name == "vendor_samples" and value == 0:
            words.append("--no-vendor")
            continue
        if isinstance(value, Mapping):
            words += [word for key, number in value.items() for word in (name, f"{key}={number}")]
            continue
        words += [name] if value is True else [name, str(value)]
    return [f"delayline train {shlex.quote(run.path.name)}/recipe.yaml", shlex.join(words)]


def sha256(path: Path) -> str:
    """Of a file's content, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _trained_with(run: RunFolder) -> dict[str, Any] | None:
    """The environment that training wrote down; None where it is missing or damaged."""
    try:
        found = json.loads((run.path / "environment.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _processor() -> str:
    """Model of the processor as the system names it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
