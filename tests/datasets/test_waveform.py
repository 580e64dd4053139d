"""The waveform task: frozen patterns, moved spikes that are never lost, curves that outputs can follow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import MODELS
from toolchain.datasets import load_dataset
from toolchain.datasets.waveform import PERIODS
from toolchain.errors import InputError, RecipeError
from toolchain.recipe import read_recipe
from toolchain.training.run_folder import create_run_folder
from toolchain.training.trainer import prepare, train


def test_curves_are_sums_of_the_periods_after_the_start() -> None:
    """Behind the first tenth, where they rise, nothing but the four sinusoids is left; the peak is 1."""
    targets = load_dataset("waveform", {}).targets
    assert targets is not None
    assert targets.shape == (3, 2, 300)
    assert np.abs(targets).max(axis=2) == pytest.approx(np.ones((3, 2)))
    assert np.abs(targets[..., 0]).max() < 0.2
    time = np.arange(31, 301) / 300
    basis = np.concatenate([[np.sin(2 * np.pi * p * time), np.cos(2 * np.pi * p * time)] for p in PERIODS])
    curves = targets[..., 30:].reshape(6, -1).T
    left = curves - basis.T @ np.linalg.lstsq(basis.T, curves, rcond=None)[0]
    assert np.abs(left).max() < 1e-5


def test_samples_of_a_class_are_one_pattern_with_moved_spikes() -> None:
    still = load_dataset("waveform", {"jitter": 0.0})
    moved = load_dataset("waveform", {"jitter": 1.0})
    for label in range(3):
        patterns = {still.train.spikes.dense(int(s)).tobytes() for s in np.flatnonzero(still.train.labels == label)}
        assert len(patterns) == 1
    counts = [np.diff(d.train.spikes.offsets).sum() for d in (still, moved)]
    assert abs(counts[0] - counts[1]) < 0.02 * counts[0]  # spikes that meet become one, and are counted
    assert moved.binning.merged > 0
    assert moved.binning.late == 0
    assert not np.array_equal(moved.train.spikes.dense(0), moved.valid.spikes.dense(0))


def test_delays_and_weights_learn_to_draw_the_curves(tmp_path: Path) -> None:
    recipe = read_recipe(MODELS / "waveform.yaml", ["training.epochs=15"])
    run = create_run_folder(tmp_path, recipe)
    result = train(run, prepare(recipe))
    losses = [line["valid_loss"] for line in run.metrics()]
    assert losses[-1] < 0.1 * losses[0]
    assert result.test_accuracy > 0.95  # the curve of its own class is the nearest


def test_a_network_that_follows_curves_is_not_deployed(tmp_path: Path) -> None:
    from toolchain.deployment.deploy import Options, deploy
    from toolchain.deployment.target import find_target

    recipe = read_recipe(MODELS / "waveform.yaml", ["training.epochs=0"])
    run = create_run_folder(tmp_path, recipe)
    train(run, prepare(recipe))
    with pytest.raises(InputError, match="it follows target traces"):
        deploy(run, find_target("loihi2"), Options(vendor_samples=0), lambda text: None)


@pytest.mark.parametrize("options", [{"classes": 1}, {"steps": 5}, {"jitter": -1.0}, {"spikes": 0.0}])
def test_options_out_of_range_are_refused(options: dict[str, float]) -> None:
    (name,) = options
    with pytest.raises(RecipeError, match=rf"dataset\.options\.{name}"):
        load_dataset("waveform", options)
