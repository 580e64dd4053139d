from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.runner import run_cli
from tests.datasets.cochlea.wavs import spoken
from toolchain.datasets.spike_file import SpikeFile


@pytest.fixture(autouse=True)
def no_shared_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DELAYLINE_CACHE", raising=False)


def test_convert_says_what_it_did(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = spoken(tmp_path / "digits"), tmp_path / "out.h5"
    # On a busy machine the kernels are compiled long enough for a line of progress.
    monkeypatch.setattr("toolchain.cli.convert_command.SECONDS_BETWEEN_LINES", float("inf"))
    done = run_cli(capsys, monkeypatch, "data", "convert", str(folder), str(out))
    assert done.code == 0
    assert done.err == ""
    for words in ("4 samples (real recordings)", "2 by fsdd: 0, 1", "2: a, b", "8000 Hz", "231 of 700 channels"):
        assert words in done.out
    assert SpikeFile.open(out).labels.size == 4


def test_convert_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, out = spoken(tmp_path / "digits"), tmp_path / "out.h5"
    (folder / "1_a_7.wav").write_bytes(b"no sound")
    options = ["--json", "--skip-broken", "--synthetic", "--causal", "--seed", "3", "--jobs", "2", "--labels", "fsdd"]
    done = run_cli(capsys, monkeypatch, "data", "convert", str(folder), str(out), *options)
    assert done.code == 0
    found = json.loads(done.out)
    assert (found["samples"], found["real"], found["seed"], found["causal"]) == (4, False, 3, True)
    assert found["skipped"][0]["file"] == "1_a_7.wav"
    assert "cannot be read as WAV" in found["skipped"][0]["reason"]
    assert not SpikeFile.open(out).origin.real


def test_convert_refuses_broken_recordings_with_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = spoken(tmp_path / "digits"), tmp_path / "out.h5"
    (folder / "1_a_7.wav").write_bytes(b"no sound")
    done = run_cli(capsys, monkeypatch, "data", "convert", str(folder), str(out))
    assert done.code == 2
    assert done.out == ""
    assert "1_a_7.wav" in done.err
    assert not out.exists()


def test_convert_shows_a_bar_on_a_terminal_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = spoken(tmp_path / "digits"), tmp_path / "out.h5"
    monkeypatch.setattr("toolchain.cli.convert_command.sys.stderr.isatty", lambda: True, raising=False)
    done = run_cli(capsys, monkeypatch, "data", "convert", str(folder), str(out), "--json")
    assert done.code == 0
    assert json.loads(done.out)["samples"] == 4
