"""Validation on a chip: every output compared, and what is missing said by name."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from hardware_targets.loihi import Loihi2Target
from tests.cli.runner import run_cli
from tests.loihi.lava_loihi_stand_in import write_stand_in
from tests.validation.bundles import validated
from toolchain.datasets import Samples, load_dataset
from toolchain.deployment.abilities import HardwareTarget
from toolchain.deployment.bundle import read_bundle
from toolchain.deployment.deploy import Options, deploy
from toolchain.deployment.target import Quantised, Traces, find_target
from toolchain.devices.device import Deployed
from toolchain.devices.own import ChipDevice, EmulatorDevice
from toolchain.errors import InputError
from toolchain.spikes import SpikeTrains
from toolchain.training.run_folder import RunFolder

pytestmark = pytest.mark.usefixtures("without_pictures")


@pytest.fixture
def folder(trained_run: RunFolder, tmp_path: Path) -> Path:
    """A bundle of the small digits network, with 8 samples."""
    run = RunFolder(shutil.copytree(trained_run.path, tmp_path / "run"))
    return deploy(run, find_target("loihi2"), Options(vendor_samples=0), lambda _: None)[0]


class WithChip(Loihi2Target):
    """Loihi 2 with a chip that does what the emulator does."""

    def __init__(self, quantised: Quantised) -> None:
        super().__init__("loihi2", "for tests")
        self.quantised = quantised
        self.exported: list[int] = []

    def run_hardware(self, exported: Path, *, samples: int, timeout_s: float) -> Traces:
        """Return v of the readout, of the samples that were exported."""
        with np.load(exported / "samples.npz") as archive:
            times, units, offsets = (archive[name] for name in ("times", "units", "offsets"))
            spikes = SpikeTrains(times, units, offsets, int(archive["n_units"]), int(archive["n_steps"]))
        self.exported.append(spikes.n_samples)
        return Traces({}, {"output": self.emulate_traces(self.quantised, spikes).v["output"]}, {})


def test_the_chip_runs_what_is_exported_for_it_and_its_outputs_are_read(folder: Path) -> None:
    """Any samples of the data, not only those that the bundle carries."""
    bundle = read_bundle(folder)
    target = WithChip(bundle.quantised)
    assert isinstance(target, HardwareTarget)
    recipe = bundle.recipe
    test = load_dataset(recipe.dataset.task, recipe.dataset.options).test
    chosen = Samples(test.spikes.select(range(100, 106)), test.labels[100:106])
    deployed = Deployed(target, bundle.quantised, recipe)
    found = ChipDevice(target).run(deployed, chosen, traces=True, timeout_s=1)
    emulated = EmulatorDevice().run(deployed, chosen, traces=True, timeout_s=1)
    assert target.exported == [6]
    assert np.array_equal(found.prediction, emulated.prediction)
    assert found.traces is not None
    assert emulated.traces is not None
    assert np.array_equal(found.traces.v["output"], emulated.traces.v["output"])
    assert (dict(found.traces.u), dict(found.traces.spikes)) == ({}, {})


def test_devices_are_named(folder: Path) -> None:
    with pytest.raises(InputError, match=r"device 'chip' does not exist for loihi2; known: float, .*, lava, loihi2"):
        validated(folder, "chip", samples=1)


def test_a_bundle_for_loihi1_is_not_run_on_loihi2(
    trained_run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it is told to run on, and what it says of itself."""
    run = RunFolder(shutil.copytree(trained_run.path, tmp_path / "run"))
    folder, _ = deploy(run, find_target("loihi1"), Options(vendor_samples=0), lambda _: None)
    refused = run_cli(capsys, monkeypatch, "validate", str(folder), "--on", "loihi2")
    assert (refused.code, refused.out) == (2, "")
    assert "device 'loihi2' does not exist for loihi1" in refused.err
    assert "quantised_constants, emulator, mismatch, onnx, lava" in refused.err
    assert validated(folder, "emulator", samples=5).of("emulator").samples == 5
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
    assert missing.code == 4
    assert "absent: loihi2: --on loihi2 needs lava-loihi, Intel's extension of Lava" in missing.out
    monkeypatch.setenv("PYTHONPATH", str(write_stand_in(tmp_path / "stand_in")))
    done = run_cli(capsys, monkeypatch, "validate", str(folder), "--on", "loihi2", "--samples", "2")
    assert done.code == 0, done.err
    assert "  2 samples\n" in done.out
    assert "every v of output equals the emulator's" in done.out
