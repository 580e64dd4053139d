"""`delayline data make`: what it writes, what it prints, and what it says when it cannot."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.cli.runner import run_cli
from toolchain.datasets.spike_file import SpikeFile
from toolchain.datasets.spoken_digits.make import MadeSample, Maker
from toolchain.datasets.spoken_digits.plan import Settings
from toolchain.datasets.spoken_digits.speech import library_and_data
from toolchain.datasets.synthetic_braille import synthetic_braille


def test_synthetic_braille_is_written_as_three_spike_files(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    arguments = ("data", "make", "synthetic_braille", str(tmp_path), "--repeats", "10", "--seed", "4", "--json")
    finished = run_cli(capsys, monkeypatch, *arguments)
    assert finished.code == 0
    made = json.loads(finished.out)
    assert {part: entry["samples"] for part, entry in made.items()} == {"train": 189, "test": 54, "valid": 27}
    trials = synthetic_braille(10, 2, seed=4)
    file = SpikeFile.open(Path(made["test"]["file"]))
    events, expected = file.read(np.arange(54)), trials.read(np.arange(189, 243))
    assert np.array_equal(file.labels, trials.labels[189:243])
    assert np.array_equal(events.units, expected.units)
    np.testing.assert_allclose(events.times, expected.times, rtol=1e-6)
    assert "synthetic Braille at threshold 2, test, synthetic, delayline synthetic Braille 1, seed 4" in str(
        file.origin
    )


def test_a_threshold_that_the_model_is_not_made_for_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    finished = run_cli(capsys, monkeypatch, "data", "make", "synthetic_braille", str(tmp_path), "--threshold", "3")
    assert finished.code == 2
    assert "threshold 3" in finished.err
    assert not list(tmp_path.iterdir())


def test_spoken_digits_are_counted_on_standard_error_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With samples that are drawn and not spoken."""

    def sample(maker: Maker, part: str, index: int) -> MadeSample:
        return MadeSample(np.array([0.5], dtype=np.float32), np.array([index], dtype=np.int32), index % 20, 0)

    monkeypatch.setattr(Maker, "sample", sample)
    maker = Maker(0, Settings(), "none")
    monkeypatch.setattr(
        "toolchain.datasets.spoken_digits.make.find_maker",
        lambda seed, settings, causal: replace(maker, seed=seed, settings=settings, causal=causal),
    )
    command = ("data", "make", "spoken_digits", str(tmp_path), "--train", "30", "--valid", "2", "--test", "3")
    finished = run_cli(capsys, monkeypatch, *command, "--jobs", "1", "--seed", "8", "--json")
    assert finished.code == 0
    made = json.loads(finished.out)
    assert {part: entry["samples"] for part, entry in made.items()} == {"train": 30, "valid": 2, "test": 3}
    assert "synthetic" in made["train"]["of"]
    assert "seed 8" in made["train"]["of"]
    assert finished.err.splitlines() == [
        "  making synthetic spoken digits: 20 of 35",
        "  making synthetic spoken digits: 35 of 35",
    ]
    finished = run_cli(capsys, monkeypatch, *command, "--seed", "9")
    assert finished.code == 2
    assert "its seed is '8', to be made is '9'" in finished.err
    finished = run_cli(capsys, monkeypatch, *command, "--seed", "8", "--train-speakers", "20")
    assert finished.code == 2
    assert "its train_speakers is '16', to be made is '20'" in finished.err


def test_without_espeak_the_command_says_how_to_get_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    library_and_data.cache_clear()
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    finished = run_cli(capsys, monkeypatch, "data", "make", "spoken_digits", str(tmp_path))
    library_and_data.cache_clear()
    assert finished.code == 4
    assert "pip install 'delayline[speech]'" in finished.err
    assert not list(tmp_path.iterdir())
