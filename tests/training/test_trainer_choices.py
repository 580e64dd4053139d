"""What a recipe may choose of training: each choice shows in the run, and all together resume to the bit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.test_trainer import KillAt, Killed, arrays, assert_same_end, small
from toolchain.datasets import load_dataset
from toolchain.errors import RecipeError
from toolchain.recipe import Recipe
from toolchain.training.checkpoints import load_network
from toolchain.training.run_folder import RunFolder, create_run_folder
from toolchain.training.trainer import TrainingResult, prepare, train

# 500 of the 5000 samples are left to train on: 10 batches an epoch.
FEW = ("training.validation={fraction: 0.9}", "training.epochs=3", "training.rate_decay=1")
EVERYTHING = (
    "training.validation={fraction: 0.9}",
    "training.epochs=30",
    "training.rate_decay=1",
    "training.augmentation={channel_shift: 1, time_shift: 5, blend: 100, dropout: 0.05}",
    "training.schedule={decay: plateau, patience: 1, factor: 0.3, warm_up: {batches: 17, from: 0.05, which: both}}",
    "training.early_stop={patience: 2, watch: valid_accuracy}",
    "training.revive=0.05",
    "training.weight_rate=0.8",
    "training.seed=2",
)


def trained(folder: Path, recipe: Recipe) -> tuple[RunFolder, TrainingResult]:
    run = create_run_folder(folder, recipe)
    return run, train(run, prepare(recipe))


def summary(run: RunFolder) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run.summary_file.read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run with every choice at once, without an interruption."""
    return trained(tmp_path_factory.mktemp("whole"), small(*EVERYTHING))[0]


def test_the_run_that_is_interrupted_below_uses_every_choice(whole: RunFolder) -> None:
    lines = whole.metrics()
    assert summary(whole)["ended"] == "early_stop"
    assert len(lines) < 30
    assert min(line["rate_factor"] for line in lines) < 1
    for count in ("outside", "merged", "removed"):
        assert sum(line["augmentation"][count] for line in lines) > 0, count
    assert sum(line["revived"] for line in lines) > 0


@pytest.mark.parametrize("batches", [1, 24, 30])
def test_a_run_with_everything_resumes_to_the_bit(tmp_path: Path, whole: RunFolder, batches: int) -> None:
    """600 samples an epoch with the blends, 12 batches: within, at and after the end of one."""
    cut = create_run_folder(tmp_path, whole.recipe())
    for at in (batches, 14):
        with pytest.raises(Killed):
            train(cut, prepare(cut.recipe()), resume=True, listener=KillAt(at))
    train(cut, prepare(cut.recipe()), resume=True)
    assert_same_end(whole, cut)
    assert summary(cut) == summary(whole)


def test_early_stopping_ends_when_nothing_has_become_better_for_so_long(whole: RunFolder) -> None:
    found = [line["valid_accuracy"] for line in whole.metrics()]
    assert len(found) - 1 - found.index(max(found)) == 2
    assert summary(whole)["epochs"] == len(found)


@pytest.mark.parametrize("watch", ["valid_accuracy", "train_accuracy"])
def test_what_is_watched_decides_when_training_ends(tmp_path: Path, watch: str) -> None:
    """Without a rate nothing ever becomes better than in the first epoch."""
    frozen = ("training.weight_rate=0", "training.delay_rate=0", "training.epochs=9")
    run, result = trained(tmp_path, small(*FEW, *frozen, f"training.early_stop={{patience: 2, watch: {watch}}}"))
    assert (result.ended, len(run.metrics())) == ("early_stop", 3)


def test_why_training_ended_is_recorded(tmp_path: Path) -> None:
    run, result = trained(tmp_path, small(*FEW))
    assert (result.ended, summary(run)["ended"], summary(run)["epochs"]) == ("epochs", "epochs", 3)
    run, result = trained(tmp_path, small(*FEW, "training.stop_at_accuracy=0.1"))
    assert (result.ended, summary(run)["ended"], summary(run)["epochs"]) == ("accuracy", "accuracy", 0)


def test_resuming_a_run_that_stopped_early_changes_nothing(whole: RunFolder) -> None:
    before, text = arrays(whole, "last"), whole.summary_file.read_text()
    assert train(whole, prepare(whole.recipe()), resume=True).ended == "early_stop"
    assert all(np.array_equal(before[k], v) for k, v in arrays(whole, "last").items())
    assert whole.summary_file.read_text() == text


def test_validation_on_a_fraction_takes_it_from_the_training_set() -> None:
    task = prepare(small(*FEW))
    own = load_dataset("yin_yang", task.recipe.dataset.options)
    assert (task.dataset.train.labels.size, task.dataset.valid.labels.size) == (500, 4500)
    assert task.dataset.test.labels.size == own.test.labels.size
    assert "0.9 of the training set (4500 samples)" in task.dataset.provenance


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.validation={speaker: 4}", "task yin_yang does not know who spoke"),
        ("training={readout: trace, loss: mse}", "mse needs target traces, which task yin_yang has not"),
    ],
)
def test_what_the_data_lack_is_refused_before_training(override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        prepare(small(override))


def test_outputs_of_target_traces_are_as_many_as_the_traces() -> None:
    recipe = small("training={readout: trace, loss: mse}")
    data = load_dataset("yin_yang", recipe.dataset.options)
    targets = np.zeros((3, 7, data.n_steps), dtype=np.float32)
    assert prepare(recipe, replace(data, targets=targets)).network.readout.size == 7


def test_warm_up_makes_the_first_step_small_and_leaves_delays_alone(tmp_path: Path) -> None:
    """Adam's first step is the step size for each parameter with a gradient."""
    one_batch = ("training.epochs=1", "training.batch_size=500", "training.delay_rate=0.5", "training.weight_rate=0.1")
    moved = {}
    for name, schedule in (("cold", "{warm_up: {batches: 5, from: 0.01}}"), ("hot", "{}")):
        recipe = small(*FEW, *one_batch, f"training.schedule={schedule}")
        run, _ = trained(tmp_path / name, recipe)
        before, after = prepare(recipe).network.projections[0], load_network(run.checkpoint("last")).projections[0]
        moved[name] = np.abs(after.weight - before.weight).max(), np.abs(after.delay - before.delay).max()
    assert moved["hot"][0] == pytest.approx(0.1, rel=1e-3)
    assert moved["cold"][0] == pytest.approx(0.001, rel=1e-3)
    assert moved["cold"][1] == moved["hot"][1] == pytest.approx(0.5, rel=1e-3)


def test_revival_wakes_neurons_that_no_gradient_reaches(tmp_path: Path) -> None:
    weak = ("network.projections.0.weight=0.01", "training.epochs=4", "training.weight_rate=0.001")
    dead, _ = trained(tmp_path, small(*FEW, *weak))
    assert [line["silent_neurons"]["hidden"] for line in dead.metrics()] == [12] * 4
    assert [line["revived"] for line in dead.metrics()] == [0] * 4
    woken, _ = trained(tmp_path, small(*FEW, *weak, "training.revive=3"))
    assert woken.metrics()[0]["revived"] == 12
    assert woken.metrics()[-1]["silent_neurons"]["hidden"] == 0
    assert woken.metrics()[-1]["revived"] == 0
