"""`delayline inspect`: tables where a target can show them, its placement where it cannot."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from hardware_targets.loihi import loihi2
from tests.cli.runner import run_cli
from tests.deployment.fakes import FaultyVendor
from tests.no_pictures import no_pictures
from toolchain.deployment.abilities import InspectableTarget
from toolchain.deployment.deploy import Options, deploy
from toolchain.training.run_folder import RunFolder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, trained_run: RunFolder) -> Path:
    run = RunFolder(shutil.copytree(trained_run.path, tmp_path_factory.mktemp("deployed") / "run"))
    with no_pictures():
        return deploy(run, FaultyVendor(), Options(), lambda text: None)[0]


def describe(bundle_folder: Path, *, rows: int) -> str:
    """A target's own description of a bundle."""
    assert (bundle_folder / "manifest.yaml").is_file()
    return f"{rows} rows\nof tables"


def test_a_target_without_tables_shows_its_placement(
    bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    finished = run_cli(capsys, monkeypatch, "inspect", str(bundle))
    assert finished.code == 0
    cores = json.loads((bundle / "placement.json").read_text())
    assert f"{len(cores)} cores of loihi2; its bundles hold no tables" in finished.out
    first = cores[0]
    assert f"chip 0 core 0: {first['population']}, neurons 0..{first['last']}" in finished.out
    found = json.loads(run_cli(capsys, monkeypatch, "inspect", str(bundle), "--json").out)
    assert found == {"target": "loihi2", "placement": cores, "tables": None}


def test_a_target_with_tables_shows_as_many_rows_as_are_asked_for(
    bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not isinstance(loihi2, InspectableTarget)
    monkeypatch.setattr(loihi2, "describe", describe, raising=False)
    assert isinstance(loihi2, InspectableTarget)
    assert run_cli(capsys, monkeypatch, "inspect", str(bundle)).out == "2 rows\nof tables\n"
    assert run_cli(capsys, monkeypatch, "inspect", str(bundle), "--rows", "7").out == "7 rows\nof tables\n"
    found = json.loads(run_cli(capsys, monkeypatch, "inspect", str(bundle), "--json").out)
    assert found["tables"] == ["2 rows", "of tables"]


def test_what_is_no_bundle_is_refused_with_one_line(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    finished = run_cli(capsys, monkeypatch, "inspect", str(tmp_path))
    assert finished.code == 2
    assert "no manifest.yaml in it" in finished.err
    damaged = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    (damaged / "placement.json").write_text("[]")
    finished = run_cli(capsys, monkeypatch, "inspect", str(damaged))
    assert finished.code == 2
    assert "placement.json was changed after it was written" in finished.err
    assert run_cli(capsys, monkeypatch, "inspect", str(bundle), "--rows", "-1").code == 2
