"""Tuning: a chip that differs regains what it lost, a run that was stopped goes on to the same end."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.cli.runner import run_cli
from tests.conftest import MODELS
from tests.training.test_trainer import KillAt, Killed, assert_same_end
from toolchain.datasets import load_dataset
from toolchain.datasets.splits import split_validation
from toolchain.deployment.bundle import Bundle, read_bundle
from toolchain.deployment.deploy import Options, deploy
from toolchain.deployment.target import find_target
from toolchain.devices.device import Deployed, TableDevice
from toolchain.devices.finding import find_device
from toolchain.errors import BundleError, CheckpointError, InputError, MissingDependencyError, UnansweredError
from toolchain.recipe import read_recipe
from toolchain.recipe.training_section import ValidationSection
from toolchain.training.run_folder import RunFolder, create_run_folder
from toolchain.training.trainer import prepare, train
from toolchain.tuning.beginning import Settings, tuned_recipe
from toolchain.tuning.record import FILE, read_record
from toolchain.tuning.tune import Request, Tuned, begin, tune

pytestmark = pytest.mark.usefixtures("without_pictures")

BROKEN = "mismatch,threshold=0.3,dead=0.1,seed=2"
SHORT = Settings(epochs=2, samples=320)


def quietly(text: str) -> None:
    pass


def short(bundle: Path, device: str, tmp_path: Path, **more: Any) -> RunFolder:
    return begin(bundle, Request(device, SHORT, 60.0, 100, 100, **more), tmp_path, quietly)


@pytest.fixture(scope="session")
def whole(bundles: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, Tuned]:
    """Two epochs on a chip that reports every spike, never stopped."""
    run = short(bundles["loihi2"], "tests.tuning.devices:desk", tmp_path_factory.mktemp("whole"))
    return run, tune(run, quietly, vendor=False)


@pytest.mark.parametrize("name", ["loihi2", "spinnaker1"])
def test_most_of_what_a_broken_chip_loses_is_regained(bundles: dict[str, Path], name: str, tmp_path: Path) -> None:
    """Thresholds off by 30 %, every tenth neuron dead: more than ten points, of which two thirds come back."""
    content = {p: hashlib.sha256(p.read_bytes()).digest() for p in bundles[name].rglob("*") if p.is_file()}
    settings = Settings(epochs=3, rate=0.3)
    run = begin(bundles[name], Request(BROKEN, settings), tmp_path, quietly)
    found = tune(run, quietly, vendor=False)
    emulator, before, after, _ = (rung.accuracy for rung in found.ladder)
    assert emulator - before > 0.1
    assert found.regained is not None
    assert found.regained == pytest.approx((after - before) / (emulator - before))
    assert found.regained > 2 / 3
    assert found.redeployed
    # The device, asked once more, reads of the new bundle what the ladder says.
    again = read_bundle(found.bundle)
    test = prepare(run.recipe()).dataset.test
    assert np.mean(read_on(again, BROKEN) == test.labels) == after
    assert content == {p: hashlib.sha256(p.read_bytes()).digest() for p in bundles[name].rglob("*") if p.is_file()}


def read_on(bundle: Bundle, name: str) -> NDArray[np.int64]:
    device = find_device(name, bundle.target)
    assert not isinstance(device, TableDevice)
    deployed, test = Deployed(bundle.target, bundle.quantised, bundle.recipe), prepare(bundle.recipe).dataset.test
    return device.run(deployed, test, traces=False, timeout_s=1).prediction


def test_what_is_kept_says_where_it_comes_from(whole: tuple[RunFolder, Tuned], bundles: dict[str, Path]) -> None:
    run, found = whole
    record = read_record(run.path)
    assert record.bundle == str(bundles["loihi2"].resolve())
    assert record.manifest == hashlib.sha256((bundles["loihi2"] / "manifest.yaml").read_bytes()).hexdigest()
    assert "Tuned on laboratory, from bundle loihi2" in run.recipe().about
    assert [line["epoch"] for line in run.metrics()] == [1, 2]
    assert found.bundle == run.path / "loihi2"
    report = json.loads((found.bundle / "report.json").read_text())
    by_name = {rung["rung"]: rung["accuracy"] for rung in report["ladder"]}
    assert 0 < by_name["emulator"] <= 1
    # On the first 100 test samples the ladder of tuning has what the emulator did with both bundles.
    assert [rung.samples for rung in found.ladder] == [100] * 4


@pytest.mark.parametrize("batches", [1, 12])
def test_tuning_resumes_to_the_bit(
    whole: tuple[RunFolder, Tuned], bundles: dict[str, Path], tmp_path: Path, batches: int
) -> None:
    """Ten batches an epoch: killed in the first and in the second."""
    cut = short(bundles["loihi2"], "tests.tuning.devices:desk", tmp_path)
    with pytest.raises(Killed):
        tune(cut, quietly, listener=KillAt(batches), vendor=False)
    found = tune(cut, quietly, resume=True, threads=2, vendor=False)
    assert_same_end(whole[0], cut)
    assert [r.tally for r in found.ladder] == [r.tally for r in whole[1].ladder]


def test_a_device_that_dies_now_and_then_changes_nothing(
    whole: tuple[RunFolder, Tuned], bundles: dict[str, Path], tmp_path: Path
) -> None:
    run, said = short(bundles["loihi2"], "tests.tuning.devices:weary", tmp_path), list[str]()
    found = tune(run, said.append, vendor=False)
    assert found.restarts > 2
    assert any("the board fell silent; start it again" in line for line in said)
    assert_same_end(whole[0], run)


def test_a_device_that_stays_dead_stops_it_with_what_is_kept(
    whole: tuple[RunFolder, Tuned], bundles: dict[str, Path], tmp_path: Path
) -> None:
    run = short(bundles["loihi2"], "tests.tuning.devices:fallen", tmp_path)
    with pytest.raises(UnansweredError, match=r"1 epochs are kept in .*: delayline tune --resume") as stopped:
        tune(run, quietly, vendor=False)
    assert stopped.value.exit_code == 4
    # Its next life is as long: enough for the second epoch, not for both.
    tune(run, quietly, resume=True, vendor=False)
    assert_same_end(whole[0], run)


def test_a_chip_that_is_read_at_its_outputs_is_tuned_too(bundles: dict[str, Path], tmp_path: Path) -> None:
    run, said = short(bundles["loihi2"], "tests.tuning.devices:outputs_only", tmp_path), list[str]()
    found = tune(run, said.append, vendor=False)
    assert any("reports no spikes of hidden" in line for line in said)
    assert found.ladder[2].accuracy > found.ladder[1].accuracy


def test_devices_that_cannot_be_tuned_on_are_refused(bundles: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(MissingDependencyError, match=r"is absent: no board on this desk; plug one in"):
        short(bundles["loihi2"], "tests.tuning.devices:absent", tmp_path)
    with pytest.raises(InputError, match=r"lays a network out and runs nothing"):
        short(bundles["spinnaker1"], "spynnaker", tmp_path)
    with pytest.raises(InputError, match=r"--valid-samples 9999: this set allows 1\.\."):
        begin(bundles["loihi2"], Request("emulator", valid_samples=9999), tmp_path, quietly)
    run = short(bundles["loihi2"], "tests.tuning.devices:classes_only", tmp_path)
    with pytest.raises(InputError, match=r"nothing to learn from"):
        tune(run, quietly, vendor=False)


def test_a_run_whose_bundle_is_another_or_whose_record_is_damaged_is_refused(
    bundles: dict[str, Path], tmp_path: Path
) -> None:
    run = short(bundles["loihi2"], "emulator", tmp_path)
    content = json.loads((run.path / FILE).read_text())
    for damage, error, message in (
        ({"manifest": "0" * 64}, BundleError, "another than the one that tuning began with"),
        ({"before": ["x"]}, CheckpointError, "is damaged"),
        ({"timeout_s": None}, CheckpointError, "is damaged"),
        ({"more": 1}, CheckpointError, "is damaged"),
    ):
        (run.path / FILE).write_text(json.dumps({**content, **damage}))
        with pytest.raises(error, match=message):
            tune(run, quietly, vendor=False)
    (run.path / FILE).unlink()
    with pytest.raises(CheckpointError, match=r"no tuning\.json"):
        tune(run, quietly, vendor=False)


def test_what_was_trained_on_is_not_validated_on(tmp_path: Path) -> None:
    """A fraction keeps the seed that it was drawn from, whatever seed tuning has; tuned again as well."""
    recipe = read_recipe(
        MODELS / "digits.yaml",
        ["training.epochs=1", "network.populations.hidden.size=8", "training.validation={fraction: 0.2}"],
    )
    run = create_run_folder(tmp_path, recipe)
    train(run, prepare(recipe))
    folder, _ = deploy(run, find_target("loihi2"), Options(vendor_samples=0), quietly)
    tuned = tuned_recipe(read_bundle(folder), Settings(seed=77), "")
    assert (tuned.training.seed, tuned.name) == (77, "digits_tuned")
    ours, theirs = prepare(recipe).dataset, prepare(tuned).dataset
    assert np.array_equal(ours.valid.labels, theirs.valid.labels)
    assert np.array_equal(ours.valid.spikes.times, theirs.valid.spikes.times)
    task = load_dataset("digits", recipe.dataset.options)
    other = split_validation(task, ValidationSection(fraction=0.2), "digits", 77)
    assert not np.array_equal(ours.valid.labels, other.valid.labels)


def test_command_tunes_and_says_so(
    bundles: dict[str, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bundle = str(bundles["loihi2"])
    words = ("tune", bundle, "--on", BROKEN, "--epochs", "1", "--samples", "320", "--valid-samples", "50")
    done = run_cli(capsys, monkeypatch, *words, "--no-vendor", "--runs", str(tmp_path))
    assert done.code == 0, done.err
    for part in ("device before", "device after", "regained:", "digits_tuned-1/loihi2"):
        assert part in done.out
    missing = run_cli(capsys, monkeypatch, "tune", bundle, "--on", "tests.tuning.devices:absent")
    assert (missing.code, missing.out) == (4, "")
    neither = run_cli(capsys, monkeypatch, "tune", bundle)
    assert neither.code == 2
    both = run_cli(capsys, monkeypatch, "tune", bundle, "--resume", str(tmp_path))
    assert both.code == 2
    wrong = run_cli(capsys, monkeypatch, "train", "--resume", str(tmp_path / "digits_tuned-1"))
    assert wrong.code == 2
    assert "go on with delayline tune --resume" in wrong.err
    resumed = run_cli(
        capsys, monkeypatch, "tune", "--resume", str(tmp_path / "digits_tuned-1"), "--no-vendor", "--json"
    )
    assert resumed.code == 0, resumed.err
    found = json.loads(resumed.out)
    assert [rung["rung"] for rung in found["ladder"]] == [
        "emulator before",
        "device before",
        "device after",
        "emulator after",
    ]
    assert f"{100 * found['ladder'][2]['accuracy']:.2f} %" in done.out


@pytest.mark.lava
@pytest.mark.slow
def test_lava_itself_is_tuned_on(bundles: dict[str, Path], tmp_path: Path) -> None:
    """One batch on lava-nc: the same gradient, so the same weights, as on the emulator."""
    settings = Settings(epochs=1, batch=3, samples=3)
    ends = []
    for device in ("lava", "emulator"):
        run = begin(bundles["loihi2"], Request(device, settings, 300.0, 2, 2), tmp_path, quietly)
        tune(run, quietly, vendor=False)
        ends.append(run)
    assert_same_end(*ends)
