"""Validation: every device in its own process, the ladder in any order, differences located, nothing lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.cli.runner import run_cli
from tests.devices.chips import FAULT
from tests.validation.bundles import CHIPS, deployed, validated
from toolchain.deployment.bundle import read_bundle
from toolchain.errors import InputError, TargetLimitError
from toolchain.training.run_folder import RunFolder
from toolchain.validation.gate import Gate, junit
from toolchain.validation.result import Check, DeviceResult, Validation

pytestmark = pytest.mark.usefixtures("without_pictures")

SAMPLES = 24


@pytest.fixture(scope="module")
def prepared(trained_run: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle on which the emulator has run its first samples already."""
    bundle = deployed(trained_run, tmp_path_factory.mktemp("bundle"))
    validated(bundle, "float", "emulator", samples=SAMPLES)
    return bundle


@pytest.fixture
def bundle(prepared: Path, tmp_path: Path) -> Path:
    return shutil.copytree(prepared, tmp_path / "loihi2")


def test_rungs_come_in_the_order_asked_for_and_equal_those_of_deployment(bundle: Path) -> None:
    found = validated(bundle, "emulator", "float")
    assert [r.rung for r in found.ladder] == ["emulator", "float"]
    deployed_ladder = {r["rung"]: r for r in json.loads((bundle / "report.json").read_text())["ladder"]}
    for rung in found.ladder:
        assert rung.tally is not None
        assert (rung.accuracy, rung.samples) == (deployed_ladder[rung.rung]["accuracy"], 300)
        assert [list(row) for row in rung.tally.confusion] == deployed_ladder[rung.rung]["tally"]["confusion"]
    assert json.loads((bundle / "validation" / "test.json").read_text()) == json.loads(json.dumps(found.to_json()))


def test_what_is_there_is_not_run_again(bundle: Path) -> None:
    said: list[str] = []
    validated(bundle, "emulator", samples=SAMPLES, said=said)
    assert said == [f"emulator: {SAMPLES} of {SAMPLES} samples are there already"]
    said.clear()
    validated(bundle, "emulator", samples=SAMPLES, said=said, anew=True)
    assert said == [f"emulator: {SAMPLES} of {SAMPLES} samples"]


def test_a_device_that_does_what_the_emulator_does_is_equal(bundle: Path) -> None:
    found = validated(bundle, f"{CHIPS}:faithful", samples=SAMPLES).of("faithful")
    assert (found.equal, found.different, found.samples) == (True, 0, SAMPLES)
    assert found.compared == "every u, v, spikes of hidden; every u, v, spikes of output"
    read = validated(bundle, f"{CHIPS}:outputs", samples=SAMPLES).of("outputs")
    assert (read.equal, read.compared) == (True, "every v of output")


def test_the_first_difference_is_found_in_whichever_sample_it_is(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted in all samples with as many spikes as sample 13: v of neuron 5 of step 7 is one too high."""
    from toolchain.datasets import load_dataset

    recipe = read_bundle(bundle).recipe
    counts = np.diff(load_dataset(recipe.dataset.task, recipe.dataset.options).test.spikes.offsets)[:SAMPLES]
    monkeypatch.setenv(FAULT, f"{counts[13]} 5 7")
    found = validated(bundle, f"{CHIPS}:wrong", samples=SAMPLES).of("wrong")
    planted = np.flatnonzero(counts == counts[13]).tolist()
    assert (found.equal, list(found.differing), found.different) == (False, planted, len(planted))
    first = found.first_divergence
    assert first is not None
    assert (first.sample, first.layer, first.neuron, first.step, first.quantity) == (planted[0], "hidden", 5, 7, "v")
    assert first.theirs == first.ours + 1
    assert found.diagnosis is not None
    assert found.diagnosis.window is not None
    assert found.diagnosis.window.sample == planted[0]
    places = [f.first for f in found.diagnosis.findings] + [u.first for u in found.diagnosis.unexplained]
    assert places
    assert all(place[0] in planted for place in places)
    assert [f"sample {planted[0]}" in cause for cause in found.causes] == [True]


def test_absent_devices_are_listed_with_what_is_missing(
    bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is known not to be there, the other only when it is asked; what is there is validated all the same."""
    found = validated(bundle, f"{CHIPS}:deaf", "emulator", f"{CHIPS}:unplugged", samples=SAMPLES)
    assert [d.device for d in found.absent] == ["deaf", "unplugged"]
    assert all(d.absent is not None and "plug it in" in d.absent for d in found.absent)
    assert found.of("emulator").samples == SAMPLES
    shown = run_cli(
        capsys, monkeypatch, "validate", str(bundle), "--on", f"{CHIPS}:deaf", "--on", "emulator", "--samples", "24"
    )
    assert shown.code == 4
    assert shown.out.startswith("validation: pass, without deaf  digits on loihi2, test set of 300\n")
    assert "absent: nothing answers at its address; plug it in" in shown.out


def test_a_device_that_cannot_say_what_it_lacks_is_absent(
    bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = validated(bundle, f"{CHIPS}:dumb", "emulator", samples=SAMPLES)
    assert [d.absent for d in found.absent] == [
        "asking dumb what it lacks failed (OSError: no such bus); correct its missing()"
    ]
    assert found.of("emulator").samples == SAMPLES


def test_two_devices_of_one_name_are_refused(bundle: Path) -> None:
    """The second had the results of the first."""
    with pytest.raises(InputError, match=rf"--on {CHIPS}:twin: is called faithful, as is --on {CHIPS}:faithful"):
        validated(bundle, f"{CHIPS}:faithful", f"{CHIPS}:twin", samples=SAMPLES)


def test_a_junit_file_can_be_read_whatever_a_device_says() -> None:
    said = "\x1b[31mno \x00frames\ud800 <&> \ufffe\n"
    devices = [DeviceResult("chip\x07", "", failed=said), DeviceResult("gone", "", absent=said)]
    found = Validation("n\x01", "loihi2", "test", 3, devices, [], {}, [Check("holds\x02", False, said)])
    suite = ElementTree.fromstring(junit(found))
    assert suite.get("name") == "delayline.n?.loihi2"
    error = suite.find("testcase/error")
    assert error is not None
    assert error.get("message") == "?[31mno ?frames? <&> ?\n"
    assert [case.get("name") for case in suite] == ["device chip?", "device gone", "holds?"]


def test_other_sets_are_kept_apart(bundle: Path) -> None:
    """The validation set is not the test set: other samples, another journal."""
    found = validated(bundle, "emulator", set_name="valid", samples=8)
    assert (found.set_name, found.of("emulator").samples) == ("valid", 8)
    assert (bundle / "validation/valid/emulator").is_dir()
    assert (bundle / "validation/valid.json").is_file()
    with pytest.raises(InputError, match="--set train_: is none of test, valid, train"):
        validated(bundle, "emulator", set_name="train_")


def test_another_bundle_in_the_same_place_is_run_anew(bundle: Path) -> None:
    manifest = (bundle / "manifest.yaml").read_text()
    (bundle / "manifest.yaml").write_text(f"{manifest}# changed\n")
    said: list[str] = []
    validated(bundle, "emulator", samples=4, said=said)
    assert said[0] == "emulator: forget earlier results, which belong to another bundle"


def test_conditions_decide(bundle: Path, tmp_path: Path) -> None:
    reached = validated(bundle, "float", "emulator", samples=SAMPLES)
    accuracy = 100 * reached.ladder[1].accuracy
    kept = validated(
        bundle,
        "emulator",
        f"{CHIPS}:faithful",
        samples=SAMPLES,
        gate=Gate(max_loss=100, min_accuracy=accuracy, require_equal=(f"{CHIPS}:faithful",)),
    )
    assert [c.passed for c in kept.checks] == [True] * 6
    assert [r.rung for r in kept.ladder] == ["float", "emulator", "faithful"], "a loss is counted from float on"
    assert kept.passed
    above = validated(bundle, "emulator", samples=SAMPLES, gate=Gate(min_accuracy=min(100, accuracy + 0.01)))
    assert above.passed is (accuracy == 100)
    absent = validated(bundle, f"{CHIPS}:deaf", gate=Gate(require_equal=("deaf",)))
    assert [(c.passed, c.reason) for c in absent.checks] == [
        (False, "deaf is absent: nothing answers at its address; plug it in")
    ]
    with pytest.raises(InputError, match="--require-equal lava: it is not among the devices emulator; add --on lava"):
        validated(bundle, "emulator", gate=Gate(require_equal=("lava",)))


@pytest.mark.parametrize(("loss", "accuracy"), [(-1.0, None), (None, 100.5), (float("nan"), None)])
def test_conditions_that_cannot_be_are_refused(loss: float | None, accuracy: float | None) -> None:
    with pytest.raises(InputError, match="must be 0 to 100 points"):
        Gate(loss, accuracy)


def test_the_command_tells_a_build(
    bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(FAULT, "-1 0 0")  # no sample: it is not wrong
    file = tmp_path / "found.xml"
    shown = run_cli(
        capsys,
        monkeypatch,
        "validate",
        str(bundle),
        *("--on", "emulator", "--on", f"{CHIPS}:wrong", "--on", f"{CHIPS}:deaf", "--samples", "8"),
        *("--require-equal", "deaf", "--min-accuracy", "0", "--junit", str(file)),
    )
    assert shown.code == 1
    assert "FAILS: deaf equals the emulator: deaf is absent" in shown.out
    suite = ElementTree.parse(file).getroot()
    assert {k: suite.get(k) for k in ("tests", "failures", "errors", "skipped")} == {
        "tests": "6",
        "failures": "1",
        "errors": "0",
        "skipped": "1",
    }
    cases = {case.get("name"): [child.tag for child in case] for case in suite}
    assert cases == {
        "device emulator": ["system-out"],
        "device wrong": ["system-out"],
        "device deaf": ["skipped"],
        "accuracy of emulator": [],
        "accuracy of wrong": [],
        "deaf equals the emulator": ["failure"],
    }


def test_devices_of_a_bundle_are_listed(
    bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = run_cli(capsys, monkeypatch, "validate", str(bundle), "--list-devices", "--json")
    names = [d["device"] for d in json.loads(shown.out)]
    assert names[:5] == ["float", "rounded_delays", "quantised_weights", "quantised_constants", "emulator"]
    assert {"lava", "loihi2"} <= set(names)


def test_a_nearly_right_name_is_recognised(bundle: Path) -> None:
    with pytest.raises(InputError, match="device 'emulater' does not exist for loihi2; did you mean 'emulator'"):
        validated(bundle, "emulater")
    for samples in (0, 301):
        with pytest.raises(InputError, match=f"--samples {samples}: the test set allows 1..300"):
            validated(bundle, "emulator", samples=samples)


def test_a_state_that_overflows_is_refused_before_any_device_runs(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hardware_targets.loihi import Loihi2Target

    def overflow(*_: object, strict: bool = False) -> None:
        assert strict
        raise TargetLimitError("population hidden: u wraps")

    monkeypatch.setattr(Loihi2Target, "emulate", overflow)
    with pytest.raises(TargetLimitError, match="u wraps"):
        validated(bundle, f"{CHIPS}:faithful", samples=4, strict=True)
    assert not (bundle / "validation/test/faithful").exists()
