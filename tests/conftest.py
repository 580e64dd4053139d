"""Fixtures that more than one folder of tests uses."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.no_pictures import no_pictures
from toolchain.recipe import Recipe, read_recipe
from toolchain.training.run_folder import RunFolder, create_run_folder
from toolchain.training.trainer import prepare, train

MODELS = Path(__file__).parent.parent / "models"


def lava_is_installed() -> bool:
    """Whether lava-nc is in this environment or in the one that DELAYLINE_LAVA_PYTHON names."""
    if os.environ.get("DELAYLINE_LAVA_PYTHON"):
        return True
    try:
        importlib.metadata.version("lava-nc")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs Lava where set-up reported it absent."""
    if lava_is_installed():
        return
    for item in items:
        if item.get_closest_marker("lava"):
            item.add_marker(pytest.mark.skip(reason="lava-nc is not installed; set-up said so and how to get it"))


@pytest.fixture(scope="session")
def digits_recipe() -> Recipe:
    """The shipped digits recipe, cut to a few seconds."""
    return read_recipe(
        MODELS / "digits.yaml",
        ["training.epochs=3", "network.populations.hidden.size=24", "deployment.max_loss_points=5"],
    )


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory: pytest.TempPathFactory, digits_recipe: Recipe) -> RunFolder:
    """A run folder of a small trained network; tests that change it copy it first."""
    run = create_run_folder(tmp_path_factory.mktemp("runs"), digits_recipe)
    train(run, prepare(digits_recipe))
    return run


@pytest.fixture
def without_pictures() -> Iterator[None]:
    """Deployments without what takes longer than the rest of them; tests/report and tests/attribution look at that."""
    with no_pictures():
        yield
