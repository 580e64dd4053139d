"""Bundles of a small trained network, for both chips; no test changes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolchain.deployment.deploy import Options, deploy
from toolchain.deployment.target import find_target
from toolchain.training.run_folder import RunFolder


@pytest.fixture(scope="session")
def bundles(trained_run: RunFolder) -> dict[str, Path]:
    """Target -> bundle."""
    options = Options(vendor_samples=0)
    return {name: deploy(trained_run, find_target(name), options, lambda text: None)[0] for name in TARGETS}


TARGETS = ("loihi2", "spinnaker1")
