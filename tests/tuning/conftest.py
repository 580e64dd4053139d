"""Bundles of a small trained network, for both chips; no test changes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.validation.bundles import deployed
from toolchain.training.run_folder import RunFolder

TARGETS = ("loihi2", "spinnaker1")


@pytest.fixture(scope="session")
def bundles(trained_run: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Target -> bundle; of copies, as the run itself is that of other tests too."""
    return {name: deployed(trained_run, tmp_path_factory.mktemp("bundles"), name) for name in TARGETS}
