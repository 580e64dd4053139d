"""Validation on a chip: every output compared, and what is missing said by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hardware_targets.loihi import Loihi2Target
from tests.cli.runner import run_cli
from tests.loihi.lava_loihi_stand_in import write_stand_in
from toolchain.deployment import bundle
from toolchain.deployment.abilities import HardwareTarget
from toolchain.deployment.deploy import Options, deploy
from toolchain.deployment.target import Quantised, Traces, find_target
from toolchain.errors import InputError
from toolchain.spikes import SpikeTrains
from toolchain.training.run_folder import RunFolder
from toolchain.validation.validate import validate

pytestmark = pytest.mark.usefixtures("without_pictures")


@pytest.fixture
def folder(trained_run: RunFolder, tmp_path: Path) -> Path:
    """A bundle of the small digits network, with 8 samples."""
    run = RunFolder(shutil.copytree(trained_run.path, tmp_path / "run"))
    return deploy(run, find_target("loihi2"), Options(vendor_samples=0), lambda _: None)[0]


class WithChip(Loihi2Target):
    """Loihi 2 with a chip that does what the emulator does, but for `change`."""

    def __init__(self, change: Callable[[Traces], None]) -> None:
        super().__init__("loihi2", "for tests")
        self.change = change
        self.emulated = Traces({}, {}, {})

    def emulate_traces(self, quantised: Quantised, spikes: SpikeTrains) -> Traces:
        """Run the emulator and remember what it said."""
        self.emulated = super().emulate_traces(quantised, spikes)
        return self.emulated

    def run_hardware(self, exported: Path, *, samples: int, timeout_s: float) -> Traces:
        """Return v of the readout, changed."""
        assert (exported / "network.py").is_file()
        outputs = Traces({}, {"output": self.emulated.v["output"][:samples].copy()}, {})
        self.change(outputs)
        return outputs


def with_chip(monkeypatch: pytest.MonkeyPatch, change: Callable[[Traces], None]) -> None:
    target = WithChip(change)
    assert isinstance(target, HardwareTarget)
    monkeypatch.setattr(bundle, "find_target", lambda name: target)


def test_outputs_of_a_chip_are_compared(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_chip(monkeypatch, lambda outputs: None)
    result = validate(folder, "loihi2", samples=5, timeout_s=1)
    assert (result.device, result.samples, result.equal, result.compared) == ("loihi2", 5, True, "every output")
    assert result.accuracy == validate(folder, "emulator", samples=5, timeout_s=1).accuracy
    assert json.loads((folder / "validation-loihi2.json").read_text()) == result.to_json()


def test_the_first_output_that_differs_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def change(outputs: Traces) -> None:
        np.asarray(outputs.v["output"])[2, 7, 3] += 1

    with_chip(monkeypatch, change)
    result = validate(folder, "loihi2", samples=None, timeout_s=1)
    assert result.equal is False
    found = result.first_divergence
    assert found is not None
    assert (found.sample, found.layer, found.neuron, found.step, found.quantity) == (2, "output", 3, 7, "v")
    assert found.theirs == found.ours + 1


def test_devices_are_named(folder: Path) -> None:
    with pytest.raises(InputError, match="device 'chip' does not exist for loihi2; known: emulator, lava, loihi2"):
        validate(folder, "chip", samples=1, timeout_s=1)


def test_a_bundle_for_loihi1_is_not_run_on_loihi2(
    trained_run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it is told to run on, and what it says of itself."""
    run = RunFolder(shutil.copytree(trained_run.path, tmp_path / "run"))
    folder, _ = deploy(run, find_target("loihi1"), Options(vendor_samples=0), lambda _: None)
    refused = run_cli(capsys, monkeypatch, "validate", str(folder), "--on", "loihi2")
    assert (refused.code, refused.out) == (2, "")
    assert "device 'loihi2' does not exist for loihi1; known: emulator, lava" in refused.err
    assert validate(folder, "emulator", samples=5, timeout_s=1).samples == 5
    readme, script = (folder / "lava/README.md").read_text(), (folder / "lava/network.py").read_text()
    assert "## On a Loihi 1 chip" in readme
    assert "No public software brings this network onto a Loihi 1 chip" in readme
    assert "NxSDK" in readme
    assert "chip='loihi1'" in script
    for words in ("--on loihi2", "SLURM", "Loihi 2 chip", "oheogulch"):
        assert words not in readme, words
        assert words not in script, words
    assert "{" not in readme, "nothing was left to fill in"


@pytest.mark.lava
def test_command_says_what_is_missing_and_runs_where_it_is_not(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    missing = run_cli(capsys, monkeypatch, "validate", str(folder), "--on", "loihi2", "--samples", "1")
    assert (missing.code, missing.out) == (4, "")
    assert "loihi2: --on loihi2 needs lava-loihi, Intel's extension of Lava" in missing.err
    assert not (folder / "validation-loihi2.json").exists()
    monkeypatch.setenv("PYTHONPATH", str(write_stand_in(tmp_path / "stand_in")))
    done = run_cli(capsys, monkeypatch, "validate", str(folder), "--on", "loihi2", "--samples", "2")
    assert done.code == 0, done.err
    assert "of 2 samples; every output equals the emulator's" in done.out
