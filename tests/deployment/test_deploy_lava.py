"""Deploying with real lava-nc in the loop, and being killed while doing it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.conftest import MODELS
from tests.deployment.fakes import silent
from tests.validation.bundles import validated
from toolchain.deployment.bundle import read_bundle
from toolchain.deployment.deploy import Options, deploy
from toolchain.deployment.target import find_target
from toolchain.recipe import parse_recipe, read_recipe
from toolchain.training.run_folder import RunFolder, create_run_folder
from toolchain.training.trainer import prepare, train

pytestmark = pytest.mark.usefixtures("without_pictures")

RUNGS = ["float", "rounded_delays", "quantised_weights", "quantised_constants", "emulator", "vendor"]
FIRST_NETWORK = Path(__file__).parents[2] / "docs" / "first_network.md"


@pytest.mark.lava
def test_trained_network_passes_against_lava(tmp_path: Path, trained_run: RunFolder) -> None:
    """Train, quantise, map, export, emulate, run real Lava: every spike, u and v equal."""
    run = RunFolder(shutil.copytree(trained_run.path, tmp_path / "run"))
    folder, report = deploy(run, find_target("loihi2"), Options(vendor_samples=8), silent)
    found = json.loads((folder / "report.json").read_text())
    assert {k: v for k, v in found.items() if k != "figures"} == json.loads(json.dumps(report.to_json()))
    assert found["verdict"] == "pass", found["reasons"]
    assert found["vendor_equal"] is True
    assert (found["vendor_samples"], found["first_divergence"]) == (8, None)
    assert [r["rung"] for r in found["ladder"]] == RUNGS
    result = validated(folder, "lava", samples=3).of("lava")
    assert (result.equal, result.samples) == (True, 3)
    assert result.compared == "every u, v, spikes of hidden; every u, v, spikes of output"


@pytest.mark.lava
def test_trained_recurrent_masked_network_with_skip_equals_lava(tmp_path: Path) -> None:
    """The network of docs/first_network.md, after an epoch of training."""
    (text,) = re.findall(r"<<'YAML'\n(.*?)YAML", FIRST_NETWORK.read_text(), flags=re.DOTALL)
    recipe = parse_recipe({**yaml.safe_load(text), "training": {"epochs": 1, "batch_size": 16}}, "docs")
    run = create_run_folder(tmp_path, recipe)
    network = train(run, prepare(recipe)).network
    names = {p.name: p for p in network.projections}
    assert names["second->second"].mask is not None
    assert names["second->second"].slots().max() > 0
    assert {"first->output", "second->output"} <= set(names)
    _, report = deploy(run, find_target("loihi2"), Options(vendor_samples=3), silent)
    assert report.vendor_equal is True, report.first_divergence


@pytest.mark.lava
def test_network_read_by_its_first_spike_passes_against_lava(tmp_path: Path) -> None:
    """Trained in the chip's numbers on spiking outputs: the exported script reads the classes that the ladder does."""
    recipe = read_recipe(
        MODELS / "digits.yaml",
        [
            "network.populations.hidden.size=24",
            "network.populations.output={kind: lif, tau_mem_ms: 20, tau_syn_ms: 5}",
            "network.projections.1={from: hidden, to: output, weight: {normal: {mean: 1, sd: 0.5}}}",
            "training.readout=first_spike",
            "training.temperature_ms=2",
            "training.rates={target_spikes: 2, strength: 0.03}",
            "training.revive=0.05",
            "training.epochs=4",
            "training.quantise={from_epoch: 2, calibration_samples: 30}",
            "deployment.max_loss_points=5",
        ],
    )
    run = create_run_folder(tmp_path, recipe)
    result = train(run, prepare(recipe))
    assert result.test_accuracy > 0.5
    folder, report = deploy(run, find_target("loihi2"), Options(vendor_samples=8), silent)
    assert report.vendor_equal is True, report.first_divergence
    rungs = {r.rung: r.accuracy for r in report.ladder}
    assert list(rungs) == RUNGS
    assert rungs["quantised_constants"] == result.test_accuracy
    assert abs(rungs["emulator"] - rungs["quantised_constants"]) < 0.05
    script = [sys.executable, str(folder / "lava" / "network.py"), "--samples", "8"]
    said = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True).stdout
    assert f"accuracy {rungs['vendor']:.4f}" in said
    found = validated(folder, "emulator", "lava", samples=3)
    assert found.of("lava").equal is True
    assert found.losses["lava"].points == 0


@pytest.mark.lava
@pytest.mark.slow
def test_deployment_killed_at_any_moment_leaves_a_whole_bundle(tmp_path: Path, trained_run: RunFolder) -> None:
    """kill -9 at random moments: the bundle that was there is there, whole; the next deployment clears the rest."""
    run = RunFolder(shutil.copytree(trained_run.path, tmp_path / "run"))
    target = find_target("loihi2")
    folder, _ = deploy(run, target, Options(vendor_samples=0), silent)
    command = [sys.executable, "-m", "toolchain.cli", "deploy", str(run.path), "--vendor-samples", "2"]
    random = np.random.default_rng(0)
    killed = 0
    for _ in range(12):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(float(random.uniform(0.5, 6.0)))
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            killed += 1
        process.wait()
        if folder.exists():
            read_bundle(folder)
        else:
            assert (run.path / ".loihi2.old").is_dir(), "killed between the two renames"
    assert killed >= 3
    _, report = deploy(run, target, Options(vendor_samples=2), silent)
    assert report.vendor_equal
    assert not [p for p in run.path.iterdir() if p.name.startswith(".")]
