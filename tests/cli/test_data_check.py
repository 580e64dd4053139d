"""`delayline data check` as a person or a script calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.runner import run_cli
from tests.datasets.layouts import fsdd_folder, shd_file


def test_a_file_that_can_be_used_ends_well_and_says_what_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = shd_file(tmp_path / "shd_train.h5", [*range(20)] * 2, [0, 1] * 20)
    finished = run_cli(capsys, monkeypatch, "data", "check", str(path))
    assert finished.code == 0
    text = " ".join(finished.out.split())
    for word in ("Spiking Heidelberg Digits, train", "real recordings", "unknown", "0 20, 1 20", "8156", "null 2"):
        assert word in text
    assert "warning" in text
    assert finished.err == f"look at {path}\n"


def test_json_gives_everything_of_a_folder_and_an_error_ends_with_2(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fsdd_folder(tmp_path)
    (tmp_path / "broken.h5").write_text("no HDF5")
    finished = run_cli(capsys, monkeypatch, "data", "check", str(tmp_path), "--json")
    assert finished.code == 2
    found = json.loads(finished.out)
    assert found["ok"] is False
    digits, broken = found["inspections"]
    assert (digits["samples"], digits["real"], digits["findings"]) == (200, True, [])
    assert [f["level"] for f in broken["findings"]] == ["error"]


def test_brackets_in_a_file_are_text_not_markup(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    keys = ("[red]a", "[/]b")
    path = shd_file(tmp_path / "[bold]x.h5", [0, 1], [0, 1], keys=keys, what="[link=http://x]y[/link]")
    finished = run_cli(capsys, monkeypatch, "data", "check", str(path))
    assert finished.code == 0
    for text in ("[red]a 1", "[/]b 1", "[link=http://x]y[/link]"):
        assert text in finished.out


def test_nothing_at_a_path_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    finished = run_cli(capsys, monkeypatch, "data", "check", str(tmp_path / "nowhere"))
    assert finished.code == 2
    assert finished.out == ""
    assert finished.err.endswith("nowhere: does not exist; give a file or folder of recordings\n")
