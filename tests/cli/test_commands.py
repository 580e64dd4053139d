"""The commands as the README shows them."""

from __future__ import annotations

import importlib.metadata
import json
import re
import sys
from pathlib import Path

import pytest
import yaml

from tests.cli.runner import run_cli
from toolchain.recipe import parse_recipe

pytestmark = pytest.mark.usefixtures("without_pictures")


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def test_help_lists_commands_and_exit_codes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    finished = run_cli(capsys, monkeypatch, "--help")
    assert finished.code == 0
    for word in ("train", "deploy", "validate", "report", "targets", "doctor", "3 does not fit"):
        assert word in " ".join(finished.out.split())


def test_train_prints_one_result_and_keeps_progress_off_standard_output(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["train", "sequence", "--set", "training.epochs=4", "--json"]
    finished = run_cli(capsys, monkeypatch, *arguments)
    assert finished.code == 0
    result = json.loads(finished.out)
    assert result["run"] == "runs/sequence-1"
    # What it was trained on is said before training, and stands in the result.
    assert "synthetic by definition" in result["data"]
    assert result["binning"] == {"merged": 0, "late": 0}
    assert f"data: {result['data']}\nbinning: 0 events merged" in finished.err
    assert result["test_samples"] == 8
    names = sorted(p.name for p in Path("runs/sequence-1").iterdir())
    assert names == ["checkpoints", "environment.json", "metrics.jsonl", "recipe.yaml", "summary.json"]
    # A second run takes the next free number and leaves the first alone.
    again = json.loads(run_cli(capsys, monkeypatch, *arguments).out)
    assert again["run"] == "runs/sequence-2"
    assert {k: v for k, v in again.items() if k not in ("run", "seconds")} == {
        k: v for k, v in result.items() if k not in ("run", "seconds")
    }


def test_print_config_gives_the_completed_recipe(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    finished = run_cli(capsys, monkeypatch, "train", "digits", "--set", "training.seed=7", "--print-config")
    recipe = parse_recipe(yaml.safe_load(finished.out), "printed")
    assert (recipe.training.seed, recipe.training.min_slope) == (7, 0.05)
    assert not Path("runs").exists()


def test_dry_run_says_sizes_and_writes_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    finished = run_cli(capsys, monkeypatch, "train", "yin_yang", "--dry-run", "--json")
    sizes = json.loads(finished.out)
    assert sizes["samples"] == {"train": 5000, "valid": 1000, "test": 1000}
    assert sizes["projections"] == {"input->hidden": 120, "hidden->output": 90}
    assert not Path("runs").exists()


def test_deploy_report_and_validate(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    run_cli(capsys, monkeypatch, "train", "sequence")
    dry = run_cli(capsys, monkeypatch, "deploy", "runs/sequence-1", "--dry-run")
    assert dry.code == 0
    assert "cores" in dry.out
    assert not Path("runs/sequence-1/loihi2").exists()
    finished = run_cli(capsys, monkeypatch, "deploy", "runs/sequence-1", "--target", "loihi2", "--no-vendor")
    assert finished.code == 1
    assert finished.out.startswith("verdict: fail  sequence on loihi2")
    again = run_cli(capsys, monkeypatch, "report", "runs/sequence-1/loihi2")
    assert (again.code, again.out) == (0, finished.out)
    content = json.loads(run_cli(capsys, monkeypatch, "report", "runs/sequence-1/loihi2", "--json").out)
    first = content["ladder"][0]
    assert (first["rung"], first["accuracy"], first["samples"]) == ("float", 1.0, 8)
    scored = run_cli(capsys, monkeypatch, "validate", "runs/sequence-1/loihi2", "--on", "emulator")
    assert scored.code == 0
    assert scored.out.splitlines() == [
        "validation: pass  sequence on loihi2, test set of 8",
        "  emulator   100.00 %  [67.56 %, 100.00 %]  8 samples",
        "  report: runs/sequence-1/loihi2/validation/test.html",
    ]


def test_targets_lists_every_limit_with_its_source(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    targets = json.loads(run_cli(capsys, monkeypatch, "targets", "--json").out)
    assert "loihi2" in [target["name"] for target in targets]
    text = run_cli(capsys, monkeypatch, "targets").out
    assert " 8 16 32 64 slots" in text
    for target in targets:
        for limit in target["limits"]:
            assert limit["name"] in text
            assert limit["source"] in text


def test_doctor_names_this_interpreter(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    found = json.loads(run_cli(capsys, monkeypatch, "doctor", "--json").out)
    assert sys.executable in found["python"]
    assert "loihi2 vendor code" in found
    assert re.fullmatch(r"[0-9.]+", found["h5py"])


def test_doctor_says_how_to_get_what_is_absent(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    version = importlib.metadata.version

    def without_espeak(name: str) -> str:
        if name == "espeakng-loader":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", without_espeak)
    finished = run_cli(capsys, monkeypatch, "doctor")
    assert finished.code == 0
    assert "pip install 'delayline[speech]' to make spoken digits" in finished.out


def test_several_seeds_are_trained_by_one_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["train", "sequence", "--set", "training.epochs=2", "--seeds", "2"]
    finished = run_cli(capsys, monkeypatch, *arguments)
    assert finished.code == 0
    first, second, last = finished.out.splitlines()
    assert first.startswith("seed 1: test ")
    assert first.endswith("runs/sequence-1")
    assert second.endswith("runs/sequence-2")
    assert last.startswith("runs/sequence-sweep-1.json: test ")
    assert " ± " in last
    assert last.endswith("over 2 seeds")
    again = json.loads(run_cli(capsys, monkeypatch, "train", "--resume", "runs/sequence-sweep-1.json", "--json").out)
    assert [s["run"] for s in again["seeds"]] == ["sequence-1", "sequence-2"]
    assert set(again["summary"]["test_accuracy"]) == {"mean", "deviation"}
    both = run_cli(capsys, monkeypatch, "train", "--resume", "runs/sequence-sweep-1.json", "--seeds", "3")
    assert both.code == 2
    assert "takes no RECIPE, --set, --backend or --seeds" in both.err


def test_an_interrupted_sweep_says_how_to_go_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from toolchain.training import sweep

    def stop(*given: object, **more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sweep, "run_sweep", stop)
    stopped = run_cli(capsys, monkeypatch, "train", "sequence", "--seeds", "2")
    assert stopped.code == 130
    assert "go on with: delayline train --resume runs/sequence-sweep-1.json" in stopped.err
    assert sweep.load_sweep(Path("runs/sequence-sweep-1.json")).spreads == {}
