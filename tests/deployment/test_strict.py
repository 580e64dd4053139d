"""Strict deployment and validation: a state that overflows is an error that loses nothing, and exit code 3."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.runner import run_cli
from tests.deployment.fakes import CarelessTarget, FaultyVendor, silent
from tests.validation.bundles import validated
from toolchain.deployment.bundle import read_bundle
from toolchain.deployment.deploy import Options, deploy
from toolchain.errors import TargetLimitError
from toolchain.training.run_folder import RunFolder

pytestmark = pytest.mark.usefixtures("without_pictures")

OVERFLOW = r"^population \w+: in sample \d+, neuron \d+, step \d+, the (current|voltage) -?\d+ .*; raise deployment\."


@pytest.fixture
def run(tmp_path: Path, trained_run: RunFolder) -> RunFolder:
    """A copy of the trained run that a test may change."""
    return RunFolder(shutil.copytree(trained_run.path, tmp_path / "run"))


def test_strict_deployment_of_a_careful_quantisation_is_the_usual_one(run: RunFolder) -> None:
    _, usual = deploy(run, FaultyVendor(), Options(), silent)
    _, strict = deploy(run, FaultyVendor(), Options(strict=True), silent)
    # They were asked for with other commands, which is all.
    assert replace(strict, provenance={}) == replace(usual, provenance={})
    assert {k for k in strict.provenance if strict.provenance[k] != usual.provenance[k]} == {"repeat"}


def test_strict_deployment_refuses_an_overflow_and_leaves_the_old_bundle(run: RunFolder) -> None:
    folder, _ = deploy(run, FaultyVendor(), Options(), silent)
    before = (folder / "manifest.yaml").read_bytes()
    with pytest.raises(TargetLimitError, match=OVERFLOW):
        deploy(run, CarelessTarget(), Options(strict=True), silent)
    assert (folder / "manifest.yaml").read_bytes() == before
    read_bundle(folder)


def test_strict_validation_refuses_an_overflow_before_a_device_runs(
    run: RunFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, report = deploy(run, CarelessTarget(), Options(), silent)
    assert sum(sum(events.values()) for events in report.overflows.values()) > 0
    assert validated(folder, "emulator", samples=4).of("emulator").samples == 4
    with pytest.raises(TargetLimitError, match=OVERFLOW):
        validated(folder, "lava", samples=4, strict=True)
    assert not (folder / "validation/test/lava").exists(), "it is not started"
    refused = run_cli(capsys, monkeypatch, "validate", str(folder), "--on", "emulator", "--strict")
    assert (refused.code, refused.out) == (3, "")
    assert "in sample 0, neuron" in refused.err
    assert len(refused.err.splitlines()) == 1


def test_the_command_deploys_and_validates_strictly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_cli(capsys, monkeypatch, "train", "sequence")
    deployed = run_cli(capsys, monkeypatch, "deploy", "runs/sequence-1", "--no-vendor", "--strict")
    assert deployed.out.startswith("verdict: fail  sequence on loihi2")
    bundle = "runs/sequence-1/loihi2"
    assert run_cli(capsys, monkeypatch, "validate", bundle, "--on", "emulator", "--strict").code == 0
