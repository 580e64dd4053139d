"""Bundles of a small trained network, for both chips; no test changes them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from toolchain.deployment.deploy import Options, deploy
from toolchain.deployment.target import find_target
from toolchain.training.run_folder import RunFolder

TARGETS = ("loihi2", "spinnaker1")


@pytest.fixture(scope="session")
def bundles(trained_run: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Target -> bundle; of a copy, as the run itself is that of other tests too."""
    run = RunFolder(shutil.copytree(trained_run.path, tmp_path_factory.mktemp("bundles") / trained_run.path.name))
    options = Options(vendor_samples=0)
    return {name: deploy(run, find_target(name), options, lambda text: None)[0] for name in TARGETS}
