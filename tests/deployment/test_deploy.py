"""Deploying a trained run: the verdict says what happened, and an error loses nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.deployment.fakes import FaultyVendor, silent
from tests.validation.bundles import validated
from toolchain.deployment.bundle import read_bundle
from toolchain.deployment.deploy import Options, deploy
from toolchain.deployment.target import Traces
from toolchain.errors import InputError, MissingDependencyError, TargetLimitError
from toolchain.storage import write_atomically
from toolchain.training.run_folder import RunFolder

pytestmark = pytest.mark.usefixtures("without_pictures")

RUNGS = ["float", "rounded_delays", "quantised_weights", "quantised_constants", "emulator", "vendor"]


@pytest.fixture
def run(tmp_path: Path, trained_run: RunFolder) -> RunFolder:
    """A copy of the trained run that a test may change."""
    return RunFolder(shutil.copytree(trained_run.path, tmp_path / "run"))


def content(folder: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return loaded


def test_report_keeps_its_promised_keys(run: RunFolder) -> None:
    folder, _ = deploy(run, FaultyVendor(), Options(), silent)
    found = content(folder)
    assert found["verdict"] == "pass"
    assert found["target"] == "loihi2"
    assert {"rung", "accuracy", "samples"} <= set(found["ladder"][0])
    for rung in found["ladder"]:
        assert rung["tally"]["correct"] == pytest.approx(rung["accuracy"] * rung["samples"])
        assert rung["tally"]["low"] <= rung["accuracy"] <= rung["tally"]["high"]
    assert {"name", "used", "limit"} <= set(found["resources"][0])
    assert found["cores"][0]["formats"]["input->hidden"].startswith("dense, ")
    assert json.loads((folder / "placement.json").read_text()) == found["cores"]
    assert all(r["samples"] == 300 for r in found["ladder"][:-1])
    assert found["ladder"][-1]["samples"] == 8
    page = (folder / "report.html").read_text()
    assert "pass" in page
    assert page.lstrip().lower().startswith("<!doctype html>")


def test_planted_difference_fails_and_is_named(run: RunFolder) -> None:
    def fault(traces: Traces) -> None:
        np.asarray(traces.v["hidden"])[2, 17, 5] += 1

    folder, report = deploy(run, FaultyVendor(fault), Options(), silent)
    assert report.verdict == "fail"
    found = content(folder)["first_divergence"]
    assert {k: found[k] for k in ("sample", "layer", "neuron", "step")} == {
        "sample": 2,
        "layer": "hidden",
        "neuron": 5,
        "step": 17,
    }
    assert "sample 2, layer hidden, neuron 5, step 17" in report.reasons[0]


def test_without_vendor_the_verdict_is_no_pass(run: RunFolder) -> None:
    folder, report = deploy(run, FaultyVendor(absent=True), Options(vendor_samples=0), silent)
    assert report.verdict == "fail"
    assert report.vendor_equal is False
    assert "not compared with lava" in report.reasons[0]
    assert (folder / "lava" / "network.py").is_file()


def test_absent_vendor_leaves_the_old_bundle(run: RunFolder) -> None:
    folder, _ = deploy(run, FaultyVendor(), Options(), silent)
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    with pytest.raises(MissingDependencyError):
        deploy(run, FaultyVendor(absent=True), Options(), silent)
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    assert not [p for p in run.path.iterdir() if p.name.startswith(".")]


def test_too_long_delay_is_refused_or_cut_and_counted(run: RunFolder) -> None:
    """The message names synapse, slot, limit and remedy; --clip-delays cuts and the report counts."""
    import toolchain.training.checkpoints as checkpoints
    from toolchain.network import make_projection

    network = checkpoints.load_network(run.checkpoint("best"))
    first = network.projections[0]
    delay = first.delay.copy()
    delay[3, 7], delay[5, 1] = 97.2, 63.0
    changed = network.with_arrays({first.name: (first.weight, make_projection("a", "b", delay, delay).delay)})
    progress = checkpoints.Progress(3, 3, 0.0, 0.0, {})
    checkpoints.save_checkpoint(run.checkpoint("best"), changed, {}, progress)
    with pytest.raises(TargetLimitError, match=r"input->hidden: delay slot 97 of synapse \(3, 7\) exceeds 62") as error:
        deploy(run, FaultyVendor(), Options(), silent)
    assert "(2 synapses do)" in str(error.value)
    assert "--clip-delays" in str(error.value)
    folder, _ = deploy(run, FaultyVendor(), Options(clip_delays=True), silent)
    assert [p["delays_clipped"] for p in content(folder)["projections"]] == [2, 0]


def test_killed_deployment_leaves_nothing_that_the_next_does_not_clear(run: RunFolder) -> None:
    write_atomically(run.path / ".loihi2.new-x1" / "half", b"")
    folder, _ = deploy(run, FaultyVendor(), Options(), silent)
    # Killed between the two renames: the old bundle is aside, nothing is in its place.
    folder.rename(run.path / ".loihi2.old")
    again, _ = deploy(run, FaultyVendor(), Options(), silent)
    assert again == folder
    assert sorted(p.name for p in run.path.iterdir() if p.name.startswith(".")) == []
    read_bundle(folder)


def test_deploying_twice_gives_the_same_numbers(run: RunFolder) -> None:
    folder, _ = deploy(run, FaultyVendor(), Options(), silent)
    first = {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    deploy(run, FaultyVendor(), Options(), silent)
    assert {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()} == first


def test_emulator_validation_repeats_the_rung(run: RunFolder) -> None:
    folder, _ = deploy(run, FaultyVendor(), Options(), silent)
    rung = next(r for r in content(folder)["ladder"] if r["rung"] == "emulator")
    (again,) = validated(folder, "emulator").ladder
    assert (again.accuracy, again.samples) == (rung["accuracy"], rung["samples"])


def test_more_vendor_samples_than_there_are_is_refused(run: RunFolder) -> None:
    with pytest.raises(InputError, match="--vendor-samples 301: the test set of digits has 300"):
        deploy(run, FaultyVendor(), Options(vendor_samples=301), silent)


def test_a_network_that_follows_traces_is_refused_before_anything_is_written(run: RunFolder) -> None:
    recipe = yaml.safe_load(run.recipe_file.read_text())
    recipe["training"] = {"readout": "trace", "loss": "mse"}
    run.recipe_file.write_text(yaml.safe_dump(recipe))
    with pytest.raises(InputError, match="it follows target traces"):
        deploy(run, FaultyVendor(), Options(), silent)
    assert not (run.path / "loihi2").exists()
