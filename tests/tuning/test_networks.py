"""Networks of other kinds than the usual one are tuned too."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import MODELS
from tests.no_pictures import no_pictures
from tests.training.test_trainer import assert_same_end
from tests.tuning.test_tune import BROKEN, quietly
from toolchain.deployment.bundle import read_bundle
from toolchain.deployment.deploy import Options, deploy
from toolchain.deployment.target import find_target
from toolchain.errors import CheckpointError
from toolchain.recipe import parse_recipe, read_recipe
from toolchain.training.run_folder import create_run_folder
from toolchain.training.straight_through import StraightThrough
from toolchain.training.trainer import prepare, train
from toolchain.tuning.beginning import Settings, first_network, tuned_recipe
from toolchain.tuning.tune import Request, begin, tune

pytestmark = pytest.mark.usefixtures("without_pictures")


@pytest.fixture(scope="module")
def learned_taus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle for SpiNNaker, each of whose neurons has learned a time constant of its own."""
    learning = [f"network.populations.{name}.learn_tau_mem=true" for name in ("hidden", "output")]
    recipe = read_recipe(
        MODELS / "digits.yaml",
        ["training.epochs=1", "network.populations.hidden.size=8", "training.tau_rate=0.05", *learning],
    )
    run = create_run_folder(tmp_path_factory.mktemp("taus"), recipe)
    train(run, prepare(recipe))
    with no_pictures():
        return deploy(run, find_target("spinnaker1"), Options(vendor_samples=0), quietly)[0]


def test_constants_of_single_neurons_are_kept_in_a_checkpoint(learned_taus: Path) -> None:
    bundle = read_bundle(learned_taus)
    network, number_format = first_network(bundle, tuned_recipe(bundle, Settings(), ""))
    header = json.loads(json.dumps(StraightThrough.over(network, number_format).header()))
    restored = StraightThrough.restore(network, header).format.constants
    assert np.unique(number_format.constants["hidden"].alpha).size > 1
    for name, constants in number_format.constants.items():
        for key, value in vars(constants).items():
            assert np.array_equal(getattr(restored[name], key), value), (name, key)
    header["constants"]["hidden"]["alpha"].pop()
    with pytest.raises(CheckpointError, match=r"\(7,\) constants for 8 neurons"):
        StraightThrough.restore(network, header)


def test_a_network_that_learned_its_time_constants_is_tuned(
    learned_taus: Path, tmp_path: Path, without_pictures: None
) -> None:
    """They stay as they were learned, and a run that is done and asked again ends in the same."""
    settings = Settings(epochs=1, samples=64)
    run, again = (begin(learned_taus, Request(BROKEN, settings, 60.0, 20, 20), tmp_path, quietly) for _ in range(2))
    found = tune(run, quietly, vendor=False)
    first = read_bundle(learned_taus).quantised.trained
    assert read_bundle(found.bundle).quantised.trained["hidden"].tau_mem_ms == first["hidden"].tau_mem_ms
    assert isinstance(first["hidden"].tau_mem_ms, tuple)
    tune(again, quietly, vendor=False)
    tune(again, quietly, resume=True, vendor=False)
    assert_same_end(run, again)


def test_a_network_that_was_trained_on_a_gpu_is_tuned_where_there_is_none(learned_taus: Path) -> None:
    bundle = read_bundle(learned_taus)
    data = bundle.recipe.model_dump(mode="json", by_alias=True, exclude_none=True)
    data["training"] |= {"backend": "genn", "genn": {"code": "cuda", "adam": "device"}}
    for population in data["network"]["populations"].values():
        population |= {"learn_tau_mem": False}
    recipe = tuned_recipe(replace(bundle, recipe=parse_recipe(data, "R")), Settings(), "")
    assert (recipe.training.backend, recipe.training.genn.adam) == ("cpu", "auto")
