"""The training loop: it learns, it resumes to the bit, it uses every sample, it freezes what is frozen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import MODELS
from toolchain.datasets import load_dataset
from toolchain.errors import CheckpointError, UnstableTrainingError
from toolchain.network_builder import build_network
from toolchain.recipe import Recipe, read_recipe
from toolchain.storage import load_arrays
from toolchain.training.checkpoints import load_network
from toolchain.training.run_folder import RunFolder, create_run_folder
from toolchain.training.trainer import prepare, train


def arrays(run: RunFolder, which: str) -> dict[str, NDArray[Any]]:
    return load_arrays(run.checkpoint(which))[0]


def assert_same_end(one: RunFolder, other: RunFolder) -> None:
    """Weights, delays and moments of both checkpoints are equal to the bit, and so is every metric but time."""
    for which in ("last", "best"):
        a, b = arrays(one, which), arrays(other, which)
        assert a.keys() == b.keys()
        for name in a:
            assert np.array_equal(a[name], b[name]), (which, name)

    def timeless(run: RunFolder) -> list[dict[str, Any]]:
        return [{k: v for k, v in line.items() if k != "seconds"} for line in run.metrics()]

    assert timeless(one) == timeless(other)


def small(*overrides: str) -> Recipe:
    return read_recipe(MODELS / "yin_yang.yaml", ["network.populations.hidden.size=12", *overrides])


def test_sequence_is_learned_by_delays_alone(tmp_path: Path) -> None:
    """From equal delays and equal, frozen weights to 100 %."""
    recipe = read_recipe(MODELS / "sequence.yaml")
    dataset = load_dataset("sequence", recipe.dataset.options)
    before = build_network(recipe, n_inputs=2, n_classes=2).projections[0]
    assert np.ptp(before.delay) == 0
    assert np.ptp(before.weight) == 0
    run = create_run_folder(tmp_path, recipe)
    result = train(run, prepare(recipe))
    after = result.network.projections[0]
    assert result.test_accuracy == 1.0
    assert result.test_samples == dataset.test.labels.size
    assert np.array_equal(before.weight, after.weight)
    # Reached and kept, not passed through.
    assert [line["valid_accuracy"] for line in run.metrics()][-20:] == [1.0] * 20
    # Coincidence: an output's own first input waits for the second, which comes 10 steps later.
    own, other = np.diag(after.slots()), np.diag(after.slots()[:, ::-1])
    assert np.all(np.abs(own - other - 10) <= 3)


def test_result_does_not_depend_on_threads(tmp_path: Path, whole: RunFolder) -> None:
    for threads in (1, 5):
        run = create_run_folder(tmp_path, whole.recipe())
        train(run, prepare(run.recipe()), threads=threads)
        assert_same_end(whole, run)


def test_seed_decides_the_result(tmp_path: Path) -> None:
    runs = []
    for seed in (1, 2):
        recipe = small("training.epochs=1", f"training.seed={seed}")
        runs.append(create_run_folder(tmp_path, recipe))
        train(runs[-1], prepare(recipe))
    assert not np.array_equal(
        arrays(runs[0], "last")["input->hidden.weight"], arrays(runs[1], "last")["input->hidden.weight"]
    )


def test_resuming_a_finished_run_changes_nothing(tmp_path: Path) -> None:
    recipe = small("training.epochs=2")
    run = create_run_folder(tmp_path, recipe)
    train(run, prepare(recipe))
    before = {which: arrays(run, which) for which in ("last", "best")}
    train(run, prepare(recipe), resume=True)
    for which, held in before.items():
        assert all(np.array_equal(held[k], v) for k, v in arrays(run, which).items())
    assert [line["epoch"] for line in run.metrics()] == [1, 2]


class Killed(BaseException):
    """Stands for the end of the process at a chosen moment."""


class KillAt:
    """A listener that ends training after so many batches."""

    def __init__(self, batches: int) -> None:
        self.left = batches

    def batch(self, epoch: int, done: int, total: int, loss: float, accuracy: float) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed

    def epoch(self, line: dict[str, Any]) -> None:
        pass


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Two epochs without an interruption."""
    recipe = small("training.epochs=2")
    run = create_run_folder(tmp_path_factory.mktemp("whole"), recipe)
    train(run, prepare(recipe))
    return run


@pytest.mark.parametrize("batches", [1, 99, 100, 101, 150])
def test_interrupted_run_resumes_to_the_bit(tmp_path: Path, whole: RunFolder, batches: int) -> None:
    """100 batches an epoch: before, at and after the end of one."""
    cut = create_run_folder(tmp_path, whole.recipe())
    with pytest.raises(Killed):
        train(cut, prepare(cut.recipe()), listener=KillAt(batches))
    train(cut, prepare(cut.recipe()), resume=True)
    assert_same_end(whole, cut)


@pytest.mark.slow
def test_run_killed_again_and_again_resumes_to_the_bit(tmp_path: Path) -> None:
    """kill -9 at random moments, as often as it takes."""
    recipe = small("training.epochs=12")
    whole, cut = (create_run_folder(tmp_path, recipe) for _ in range(2))
    train(whole, prepare(recipe))
    random = np.random.default_rng(0)
    command = [sys.executable, "-m", "toolchain.cli", "train", "--resume", str(cut.path)]
    kills = 0
    while not cut.summary_file.exists():
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(float(random.uniform(1.0, 3.0)))
        if process.poll() is None and kills < 6:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills > 0
    assert_same_end(whole, cut)


def test_torn_last_line_of_metrics_is_repaired(tmp_path: Path) -> None:
    recipe = small("training.epochs=2")
    run = create_run_folder(tmp_path, recipe)
    train(run, prepare(recipe))
    text = run.metrics_file.read_text()
    run.metrics_file.write_text(text[: len(text) - 20])
    train(run, prepare(recipe), resume=True)
    assert run.metrics_file.read_text() == text


def test_resuming_with_another_network_is_refused(tmp_path: Path) -> None:
    recipe = small("training.epochs=1")
    run = create_run_folder(tmp_path, recipe)
    train(run, prepare(recipe))
    with pytest.raises(CheckpointError, match="its network is not that of the recipe"):
        train(run, prepare(small("training.epochs=1", "network.populations.hidden.size=13")), resume=True)


def test_every_sample_is_used_also_in_a_last_partial_batch(tmp_path: Path) -> None:
    """5000 samples in batches of 1999: the last one holds 1002."""
    seen: list[tuple[int, int]] = []

    class Count(KillAt):
        def batch(self, epoch: int, done: int, total: int, loss: float, accuracy: float) -> None:
            seen.append((done, total))

    recipe = small("training.epochs=1", "training.batch_size=1999")
    train(create_run_folder(tmp_path, recipe), prepare(recipe), listener=Count(0))
    assert seen == [(1999, 5000), (3998, 5000), (5000, 5000)]


def test_delays_stay_in_range_and_clips_are_counted(tmp_path: Path) -> None:
    recipe = small("training.epochs=2", "training.max_slot=3", "training.delay_rate=2")
    run = create_run_folder(tmp_path, recipe)
    train(run, prepare(recipe))
    delays = load_network(run.checkpoint("last")).projections[0].delay
    assert delays.min() >= 0
    assert delays.max() <= 3
    assert run.metrics()[-1]["delays_clipped"] > 0


def test_training_that_diverges_says_so_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    recipe = small("training.epochs=2", "training.weight_rate=1e37")
    run = create_run_folder(tmp_path, recipe)
    with pytest.raises(UnstableTrainingError, match=r"loss of epoch 1 is .*lower training.weight_rate 1e\+37"):
        train(run, prepare(recipe))
    assert load_network(run.checkpoint("last")).projections[0].weight.max() < 100


@pytest.mark.parametrize("text", [b"\xff\xfe\n", b"1\n", b"[1]\n", b"{}\n", b"null\n", b'{"epoch": "x"}\n'])
def test_metrics_that_are_none_are_not_believed(tmp_path: Path, whole: RunFolder, text: bytes) -> None:
    run = RunFolder(tmp_path)
    run.metrics_file.write_bytes(whole.metrics_file.read_bytes() + text)
    assert run.metrics() == whole.metrics()
