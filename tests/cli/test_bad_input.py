"""What a person gets who makes a mistake: one line, the right exit code, and everything still there."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.cli.runner import Finished, run_cli
from tests.conftest import MODELS
from toolchain.training.run_folder import RunFolder

pytestmark = pytest.mark.usefixtures("without_pictures")

Cli = Callable[..., Finished]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    """The command, run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: run_cli(capsys, monkeypatch, *arguments)


@pytest.fixture
def run(tmp_path: Path, trained_run: RunFolder) -> RunFolder:
    return RunFolder(shutil.copytree(trained_run.path, tmp_path / "run"))


def one_line(finished: Finished, code: int, *words: str) -> None:
    """The command ended with this code and one line on standard error that holds all of these words."""
    lines = finished.err.strip().splitlines()
    assert finished.code == code, finished
    assert finished.out == ""
    assert len(lines) == 1, finished.err
    for word in words:
        assert word in lines[0], lines[0]


def recipe_file(folder: Path, change: Callable[[dict], None]) -> Path:  # type: ignore[type-arg]
    data = yaml.safe_load((MODELS / "digits.yaml").read_text())
    change(data)
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d["training"].update(epoch=3), ["unknown key 'training.epoch'", "did you mean 'epochs'"]),
        (lambda d: d["network"]["projections"][0].update(dely=0), ["projections.0.dely", "'delay'"]),
        (lambda d: d["training"].update(epochs="many"), ["training.epochs", "'many'"]),
        (lambda d: d["training"].update(epochs=True), ["training.epochs", "valid integer", "got True"]),
        (lambda d: d["training"].update(batch_size=0), ["training.batch_size", "greater than or equal to 1", "got 0"]),
        (lambda d: d["network"]["projections"][0].update(delay=-3), ["projections.0.delay", "-3", "below 0 slots"]),
        (lambda d: d["network"]["projections"][0].update(delay=80), ["projections.0.delay", "80", "max_slot 62"]),
        (lambda d: d["network"]["projections"][1].update(to="outptu"), ["'outptu' does not exist", "'output'"]),
        (lambda d: d["network"]["projections"][1].update({"from": "output"}), ["leaky_readout and never spikes"]),
        (lambda d: d["network"]["populations"]["input"].update(size=63), ["63", "64 channels"]),
        (lambda d: d["network"]["populations"]["hidden"].pop("size"), ["populations.hidden.size"]),
        (lambda d: d["dataset"].update(task="digit"), ["'digit' does not exist", "'digits'"]),
        (
            lambda d: d["dataset"]["options"].update(stepz=3),
            ["unknown key 'dataset.options.stepz'", "'steps'"],
        ),
        (lambda d: d.pop("network"), ["'network' is missing"]),
        (lambda d: d.update(name="../x"), ["name"]),
    ],
)
def test_wrong_recipe(cli: Cli, tmp_path: Path, change: Callable[[dict], None], words: list[str]) -> None:  # type: ignore[type-arg]
    """Nothing is written but the recipe that was there."""
    path = recipe_file(tmp_path, change)
    one_line(cli("train", str(path)), 2, *words)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.yaml"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a: [1", ["not YAML"]),
        (b"\xff\xfe", ["not UTF-8"]),
        (b"- 1", ["holds list"]),
        (b"a: !!python/object/apply:os.getcwd []", ["not YAML"]),
        (b"", ["holds NoneType"]),
    ],
)
def test_file_that_is_no_recipe(cli: Cli, tmp_path: Path, content: bytes, words: list[str]) -> None:
    (tmp_path / "r.yaml").write_bytes(content)
    one_line(cli("train", "r.yaml"), 2, "r.yaml", *words)


def test_recipe_that_does_not_exist(cli: Cli) -> None:
    one_line(cli("train", "nowhere.yaml"), 2, "nowhere.yaml", "No such file")
    one_line(cli("train", "yin_yan"), 2, "'yin_yan' does not exist", "yin_yang")
    one_line(cli("train"), 2, "neither RECIPE nor --resume")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("training.epochs", ["must be key.path=value"]),
        ("training.epocs=3", ["training.epocs", "'epochs'"]),
        ("training.epochs=[", ["not YAML"]),
        ("network.projections.7.delay=1", ["'7' must be an index below 2"]),
        ("name.x=1", ["name is a value and has no key 'x'"]),
    ],
)
def test_wrong_override(cli: Cli, override: str, words: list[str]) -> None:
    one_line(cli("train", "digits", "--set", override), 2, *words)


def test_run_folder_without_a_checkpoint(cli: Cli, run: RunFolder) -> None:
    one_line(cli("deploy", "nowhere"), 2, "run folder nowhere does not exist", "--dry-run")
    one_line(cli("deploy", str(run.path), "--set", "training.seed=2"), 2, "its recipe is frozen", "training.seed=2")
    one_line(cli("deploy", str(run.path), "--set", "training.seed=2", "--dry-run"), 2, "its recipe is frozen")
    run.checkpoint("best").unlink()
    one_line(cli("deploy", str(run.path)), 2, "best.safetensors does not exist", "train")
    run.recipe_file.unlink()
    one_line(cli("deploy", str(run.path)), 2, "no recipe.yaml")


@pytest.mark.parametrize("size", [0, 7, 100, 5000, -1])
def test_truncated_checkpoint(cli: Cli, run: RunFolder, size: int) -> None:
    for which, command in (("best", ["deploy", str(run.path)]), ("last", ["train", "--resume", str(run.path)])):
        file = run.checkpoint(which)
        whole = file.read_bytes()
        file.write_bytes(whole[:size])
        finished = cli(*command)
        assert finished.code == 2
        assert "truncated" in finished.err.splitlines()[-1]
        assert file.read_bytes() == whole[:size]
        file.write_bytes(whole)


def test_resume_with_a_recipe_or_an_override(cli: Cli, run: RunFolder) -> None:
    one_line(cli("train", "digits", "--resume", str(run.path)), 2, "takes no RECIPE, --set, --backend or --seeds")
    one_line(cli("train", "--resume", str(run.path), "--set", "training.epochs=9"), 2, "takes no RECIPE")
    one_line(cli("train", "--resume", "nowhere"), 2, "run folder nowhere does not exist")


def test_unknown_target(cli: Cli, run: RunFolder) -> None:
    one_line(cli("deploy", str(run.path), "--target", "loihi"), 2, "target 'loihi' does not exist", "'loihi2'")


def test_more_chips_than_any_system_has(cli: Cli, run: RunFolder) -> None:
    finished = cli("deploy", str(run.path), "--chips", "2000")
    assert finished.code == 2
    assert finished.err.splitlines()[-1].startswith("InputError: chips: 2000 of loihi2 were asked for; the largest")
    one_line(cli("deploy", "digits", "--dry-run", "--chips", "2000"), 2, "chips: 2000 of loihi2", "give 1 to 1152")


def test_network_that_does_not_fit(cli: Cli, run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 3; the dry run says the same; the run folder is as it was."""
    import dataclasses

    from hardware_targets.loihi import limits, target

    chip = limits.read_limits("loihi2")
    cramped = {**chip.table, "cores": dataclasses.replace(chip.table["cores"], value=1)}
    monkeypatch.setattr(target, "read_limits", lambda name: dataclasses.replace(chip, table=cramped))
    before = sorted(p.name for p in run.path.iterdir())
    for extra in ([], ["--dry-run"]):
        finished = cli("deploy", str(run.path), "--chips", "1", *extra)
        assert finished.code == 3
        *_, head, change = finished.err.splitlines()
        assert head.startswith("TargetLimitError: network: needs 2 cores, loihi2 has 1 (1 too many, 2 times the limit)")
        assert change == "  2 chips in place of 1 (100 % more): --chips 2"
    assert cli("deploy", str(run.path), "--chips", "2", "--dry-run").code == 0
    assert sorted(p.name for p in run.path.iterdir()) == before


def test_lava_missing(cli: Cli, run: RunFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Exit code 4 with the remedy; with --no-vendor the bundle is written and the verdict is no pass."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "$@"\n')
    python.chmod(0o755)
    monkeypatch.setenv("DELAYLINE_LAVA_PYTHON", str(python))
    finished = cli("deploy", str(run.path))
    assert finished.code == 4
    assert "lava" in finished.err.splitlines()[-1]
    assert "pip install" in finished.err.splitlines()[-1]
    assert not (run.path / "loihi2").exists()
    finished = cli("deploy", str(run.path), "--no-vendor", "--json")
    assert finished.code == 1
    found = json.loads(finished.out)
    assert (found["verdict"], found["vendor_equal"], found["vendor_samples"]) == ("fail", False, 0)
    finished = cli("doctor")
    assert finished.code == 0
    assert "lava-nc is not installed" in finished.out


def test_lava_hanging(cli: Cli, run: RunFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nsleep 100\n")
    python.chmod(0o755)
    monkeypatch.setenv("DELAYLINE_LAVA_PYTHON", str(python))
    finished = cli("deploy", str(run.path), "--vendor-timeout", "1")
    assert finished.code == 4
    assert "--vendor-timeout" in finished.err.splitlines()[-1]
    assert not [p for p in run.path.iterdir() if "loihi2" in p.name]


def test_bundle_that_is_none_or_was_changed(cli: Cli, run: RunFolder) -> None:
    for command in (["validate"], ["report"]):
        one_line(cli(*command, str(run.path)), 2, "give a folder that `delayline deploy` made")
    cli("deploy", str(run.path), "--no-vendor")
    bundle = run.path / "loihi2"
    one_line(cli("validate", str(bundle), "--on", "lavva"), 2, "device 'lavva' does not exist", "mismatch, onnx, lava")
    one_line(cli("validate", str(bundle), "--on", "emulator", "--samples", "301"), 2, "1..300")
    one_line(cli("validate", str(bundle), "--on", "lava", "--samples", "301"), 2, "1..300")
    one_line(cli("validate", str(bundle), "--on", "emulator", "--set", "tests"), 2, "none of test, valid, train")
    one_line(cli("validate", str(bundle), "--on", "nobody:chip"), 4, "cannot be loaded", "leave it out")
    one_line(cli("validate", str(bundle), "--on", "emulator", "--junit", str(bundle)), 2, "is a folder")
    (bundle / "report.json").write_text("{")
    one_line(cli("report", str(bundle)), 2, "report.json is damaged")
    one_line(cli("validate", str(bundle), "--on", "emulator"), 2, "report.json was changed")


def test_place_that_cannot_be_written(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    one_line(cli("train", "sequence", "--runs", "file/runs"), 2, "cannot make a run folder", "--runs")


def test_debug_shows_the_stack(cli: Cli, run: RunFolder) -> None:
    from toolchain.errors import InputError

    with pytest.raises(InputError):
        cli("--debug", "deploy", str(run.path), "--target", "x")


def test_option_that_does_not_exist(cli: Cli) -> None:
    assert cli("train", "--epochs", "3").code == 2
    assert cli("fly").code == 2


def test_network_too_large_to_hold(cli: Cli, tmp_path: Path) -> None:
    def change(data: dict) -> None:  # type: ignore[type-arg]
        data["network"]["populations"]["hidden"]["size"] = 1_000_000
        data["network"]["projections"].append({"from": "hidden", "to": "hidden", "weight": 1})

    one_line(cli("train", str(recipe_file(tmp_path, change))), 2, "hidden->hidden", "1000000000000 pairs", "smaller")


def test_network_that_cannot_be_loaded_leaves_no_run_folder(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that GeNN cannot compile."""
    from toolchain.errors import MissingDependencyError
    from toolchain.training import engines

    def refuse(*of: object) -> None:
        raise MissingDependencyError("backend genn: the model cannot be built")

    monkeypatch.setattr(engines, "training_engine", refuse)
    one_line(cli("train", "sequence"), 4, "cannot be built")
    assert not Path("runs").exists()


def test_ctrl_c_says_how_to_go_on(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from toolchain.training import trainer

    def stop(self: object, progress: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer._Trainer, "_epoch", stop)
    finished = cli("train", "sequence")
    assert finished.code == 130
    assert "delayline train --resume runs/sequence-1" in finished.err
    assert finished.err.splitlines()[-1] == "stopped; what was written before is whole"
    monkeypatch.undo()


def test_ctrl_c_in_a_validation_says_that_it_goes_on(cli: Cli, run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    from toolchain.validation import validate

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    cli("deploy", str(run.path), "--no-vendor")
    monkeypatch.setattr(validate, "run_device", stop)
    finished = cli("validate", str(run.path / "loihi2"), "--on", "emulator")
    assert finished.code == 130
    said = [
        "what is finished is kept: the same command goes on from there",
        "stopped; what was written before is whole",
    ]
    assert finished.err.splitlines()[-2:] == said


def test_disk_that_refuses_is_one_line(cli: Cli, run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device", "arrays.npz")

    monkeypatch.setattr(np, "savez", refuse)
    monkeypatch.setattr(np, "savez_compressed", refuse)
    finished = cli("deploy", str(run.path), "--no-vendor")
    assert finished.code == 2
    assert "No space left on device" in finished.err.splitlines()[-1]
    assert not [p for p in run.path.iterdir() if "loihi2" in p.name]


def test_sigterm_ends_the_vendor_process_too(run: RunFolder, tmp_path: Path) -> None:
    """A batch system that ends `deploy` leaves no Lava behind."""
    python, mark = tmp_path / "python", tmp_path / "pid"
    python.write_text(f"#!/bin/sh\necho $$ > {mark}.part; mv {mark}.part {mark}\nexec sleep 1000\n")
    python.chmod(0o755)
    process = subprocess.Popen(
        [sys.executable, "-m", "toolchain.cli", "deploy", str(run.path)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "DELAYLINE_LAVA_PYTHON": str(python)},
        stderr=subprocess.DEVNULL,
    )
    wait_until(mark.exists)
    vendor = int(mark.read_text())
    process.terminate()
    assert process.wait(30) == 128 + signal.SIGTERM
    wait_until(lambda: not is_running(vendor))
    assert not [p for p in run.path.iterdir() if "loihi2" in p.name]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "nothing happened for a minute"
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
