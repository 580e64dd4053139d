from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.runner import run_cli
from toolchain.datasets.spike_file import SpikeFile


def test_gather_says_what_it_wrote_and_what_it_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "a.npz", times=[1, 2, 3], units=[0, 1, 0], offsets=[0, 2, 3], labels=["no", "yes"], other=[1])
    command = ["data", "gather", str(tmp_path / "a.npz"), str(tmp_path / "out.h5")]
    done = run_cli(capsys, monkeypatch, *command, "--unit", "ms", "--units", "7", "--what", "my sensor")
    assert (done.code, done.err) == (0, "")
    for words in (
        "2 samples (real recordings) of 1 files, 3 events on 7 units", "2 by file: no, yes", "ms in 2 samples",
        "the longest lasts 0.003 s", "1 arrays of other names left out (other)",
    ):  # fmt: skip
        assert words in done.out
    assert SpikeFile.open(tmp_path / "out.h5").origin.what == "my sensor"


def test_gather_as_json_and_of_synthetic_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "a.npz", rasters=np.ones((2, 3, 4)))
    options = ["--dt-ms", "2", "--labels", "none", "--synthetic", "--json"]
    done = run_cli(capsys, monkeypatch, "data", "gather", str(tmp_path), str(tmp_path / "out.h5"), *options)
    assert done.code == 0
    found = json.loads(done.out)
    assert (found["samples"], found["events"], found["units"], found["real"]) == (2, 24, 4, False)
    assert (found["times_in"], found["longest_s"]) == ({"steps": 2}, 0.004)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "give --unit s, ms, us or steps"),
        (["--unit", "ms", "--sensor", "9by9"], "--sensor 9by9: is no width and height"),
        (["--unit", "days"], "--unit days: is none of s, ms, us, steps"),
    ],
)
def test_gather_refuses_with_exit_code_2(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    words: str,
) -> None:
    np.savez(tmp_path / "a.npz", times=[1], units=[0], labels=[0])
    done = run_cli(capsys, monkeypatch, "data", "gather", str(tmp_path / "a.npz"), str(tmp_path / "out.h5"), *options)
    assert done.code == 2
    assert done.out == ""
    assert words in done.err
    assert not (tmp_path / "out.h5").exists()
