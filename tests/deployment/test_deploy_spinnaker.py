"""Deploying to SpiNNaker: the ladder, tables that sPyNNaker itself makes, training in the chip's numbers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import MODELS
from tests.deployment.fakes import silent
from tests.validation.bundles import validated
from toolchain.deployment.abilities import TableComparison
from toolchain.deployment.bundle import read_bundle
from toolchain.deployment.deploy import Options, deploy
from toolchain.deployment.request import PlacementRequest
from toolchain.deployment.target import Target, find_target
from toolchain.devices.device import Deployed
from toolchain.devices.own import MappingDevice
from toolchain.errors import InputError
from toolchain.recipe import read_recipe
from toolchain.training.run_folder import RunFolder, create_run_folder
from toolchain.training.trainer import prepare, train

pytestmark = pytest.mark.usefixtures("without_pictures")

RUNGS = ["float", "rounded_delays", "quantised_weights", "quantised_constants", "emulator"]


def run_of(path: Path, *overrides: str) -> RunFolder:
    common = ["network.populations.hidden.size=24", "training.epochs=3", "deployment.target=spinnaker1"]
    recipe = read_recipe(MODELS / "digits.yaml", [*common, *overrides])
    run = create_run_folder(path, recipe)
    train(run, prepare(recipe), threads=1)
    return run


@pytest.fixture(scope="module")
def long_delays(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Digits with delays of up to 250 slots, far beyond what a core of 256 neurons holds."""
    return run_of(
        tmp_path_factory.mktemp("runs"),
        "training.max_slot=250",
        "network.projections.0.delay={uniform: {low: 0, high: 250}}",
        "dataset.options.steps=300",
    )


@pytest.fixture
def run(tmp_path: Path, long_delays: RunFolder) -> RunFolder:
    return RunFolder(shutil.copytree(long_delays.path, tmp_path / "run"))


def target() -> Target:
    return find_target("spinnaker1")


def test_a_trained_network_passes_and_spynnaker_makes_the_same_tables(run: RunFolder) -> None:
    pytest.importorskip("spynnaker", reason="sPyNNaker is not installed")
    folder, _ = deploy(run, target(), Options(), silent)
    found = json.loads((folder / "report.json").read_text())
    assert found["verdict"] == "pass", found["reasons"]
    assert [r["rung"] for r in found["ladder"]] == RUNGS
    assert found["vendor_equal"] is True
    assert found["vendor_samples"] == 0
    assert found["tables"]["equal"] is True
    synapses = sum(p.n_synapses for p in read_bundle(folder).quantised.integers.projections)  # type: ignore[attr-defined]
    assert found["tables"]["synapses"] == synapses > 1000
    assert "hold its longest delay" in found["placement_reasons"]["hidden"]
    assert "words that spynnaker writes" in (folder / "report.html").read_text()


def test_a_bundle_computes_what_was_deployed_and_loses_nothing(run: RunFolder) -> None:
    folder, report = deploy(run, target(), Options(vendor_samples=0), silent)
    rungs = {r.rung: r.accuracy for r in report.ladder}
    assert abs(rungs["float"] - rungs["emulator"]) <= 0.005
    assert report.reasons == ["not compared with spynnaker: no vendor samples were asked for"]
    assert validated(folder, "emulator").ladder[0].accuracy == rungs["emulator"]
    longest = max(int(p.slots().max()) for p in read_bundle(folder).quantised.rounded.projections)
    assert 200 < longest <= 250


class OtherTables:
    """The target, with tools of the vendor that lay networks out in another way."""

    def __init__(self) -> None:
        self._target = target()
        self.asked: list[PlacementRequest] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target, name)

    def compare_tables(
        self, quantised: Any, exported: Path, *, timeout_s: float, request: PlacementRequest
    ) -> TableComparison:
        self.asked.append(request)
        return TableComparison(False, 100, 10, "core 3, PopTable, word 4: theirs 00000001, ours 00000000")


def test_other_tables_fail_and_are_named(run: RunFolder) -> None:
    folder, report = deploy(run, OtherTables(), Options(), silent)
    assert report.verdict == "fail"
    assert report.reasons == ["spynnaker writes other tables: core 3, PopTable, word 4: theirs 00000001, ours 00000000"]
    assert "writes other tables: core 3" in (folder / "report.html").read_text()
    found = validated(folder, "tests.devices.chips:other_tables")
    assert (found.of("other_tables").equal, found.ladder, found.passed) == (False, [], False)
    assert found.to_json()["devices"][0]["tables"]["difference"].startswith("core 3")


def test_a_bundle_is_compared_with_the_placement_that_was_asked_for(run: RunFolder) -> None:
    other = OtherTables()
    folder, report = deploy(run, other, Options(chips=4, neurons_per_core={"hidden": 8}), silent)
    assert {r.name: r.limit for r in report.placement.resources}["chips"] == 4
    assert json.loads((folder / "spynnaker" / "network.json").read_text())["board_version"] == 3
    asked = PlacementRequest(4, {"hidden": 8})
    bundle = read_bundle(folder)
    assert bundle.request == asked
    deployed = Deployed(other, bundle.quantised, bundle.recipe, bundle.request)
    MappingDevice(other).compare(deployed, folder / "spynnaker", timeout_s=60)
    assert other.asked == [asked] * 2
    assert "8 neurons a core, as was asked for" in (folder / "report.html").read_text()


def test_samples_of_tools_that_run_none_are_refused(run: RunFolder) -> None:
    folder, _ = deploy(run, target(), Options(vendor_samples=0), silent)
    with pytest.raises(InputError, match="--samples 3: spynnaker lays a network out and runs no sample; leave it out"):
        validated(folder, "spynnaker", samples=3)


@pytest.mark.parametrize("forward", ["rounded", "emulator"])
def test_trained_in_the_chips_numbers_nothing_is_lost(tmp_path: Path, forward: str) -> None:
    run = run_of(tmp_path, f"training.quantise={{from_epoch: 1, forward: {forward}}}")
    _, report = deploy(run, target(), Options(vendor_samples=0), silent)
    accuracies = {r.rung: r.accuracy for r in report.ladder}
    assert accuracies["float"] == accuracies["quantised_weights"]
    assert max(p.rms_error for p in report.projections) < 1e-6, "the grid of training is that of the bundle"
    if forward == "emulator":
        summary = json.loads(run.summary_file.read_text())
        assert summary["test_accuracy"] == accuracies["emulator"], "trained and scored in the same arithmetic"
    assert np.isfinite(accuracies["emulator"])
