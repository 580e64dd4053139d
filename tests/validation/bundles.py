"""A bundle to validate, and a short way to ask for it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tests.no_pictures import no_pictures
from toolchain.deployment.deploy import Options, deploy
from toolchain.deployment.target import find_target
from toolchain.training.run_folder import RunFolder
from toolchain.validation.result import Validation
from toolchain.validation.validate import Request, validate

CHIPS = "tests.devices.chips"


def deployed(trained: RunFolder, folder: Path, target: str = "loihi2") -> Path:
    """A bundle of a copy of a run; Lava has not run it, and its report has no pictures."""
    run = RunFolder(shutil.copytree(trained.path, folder / "run"))
    with no_pictures():
        return deploy(run, find_target(target), Options(vendor_samples=0), lambda _: None)[0]


def validated(bundle: Path, *devices: str, said: list[str] | None = None, **asked: Any) -> Validation:
    """Validate on devices; what is said on the way goes to `said`."""
    return validate(bundle, Request(devices, **asked), (lambda _: None) if said is None else said.append)
