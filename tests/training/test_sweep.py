"""Sweeps: each seed as if trained alone, interrupted and resumed without loss, and no file that is not one believed."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from tests.training.test_trainer import KillAt, Killed, assert_same_end
from toolchain.errors import CheckpointError, InputError
from toolchain.recipe import Recipe, parse_recipe
from toolchain.training.run_folder import RunFolder, create_run_folder
from toolchain.training.sweep import Seed, Spread, Sweep, create_sweep, load_sweep, run_sweep
from toolchain.training.trainer import Listener, TrainingResult, prepare, train

# 12 samples in 3 batches an epoch, 4 epochs a seed.
RECIPE = parse_recipe(
    {
        "name": "small",
        "dataset": {"task": "sequence", "options": {"repeats": 6}},
        "network": {
            "populations": {"in": {"kind": "spike_source"}, "out": {"kind": "leaky_readout"}},
            "projections": [{"from": "in", "to": "out", "weight": {"normal": {}}, "learn_delay": True}],
        },
        "training": {"seed": 11, "epochs": 4, "batch_size": 4},
    },
    "R",
)


def killing(batches: int) -> Callable[[], AbstractContextManager[Listener]]:
    """Ends the process after so many batches over all seeds."""
    listener = KillAt(batches)
    return lambda: nullcontext(listener)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    return run_sweep(create_sweep(tmp_path_factory.mktemp("whole"), RECIPE, 3))


def test_each_seed_is_what_it_is_alone(whole: Sweep, tmp_path: Path) -> None:
    assert [s.seed for s in whole.seeds] == [11, 12, 13]
    for seed in whole.seeds:
        training = RECIPE.training.model_copy(update={"seed": seed.seed})
        recipe: Recipe = RECIPE.model_copy(update={"training": training})
        alone = create_run_folder(tmp_path, recipe)
        result = train(alone, prepare(recipe))
        assert_same_end(whole.run_folder(seed), alone)
        assert seed.result is not None
        assert (seed.result.test_accuracy, seed.result.ended) == (result.test_accuracy, result.ended)


def test_the_summary_is_mean_and_deviation_over_the_seeds(whole: Sweep) -> None:
    held = json.loads(whole.path.read_text(encoding="utf-8"))
    for key in ("test_accuracy", "valid_accuracy"):
        values = [s["result"][key] for s in held["seeds"]]
        assert held["summary"][key] == {"mean": statistics.mean(values), "deviation": statistics.stdev(values)}
    assert held["finished"] == 3
    assert Spread.of([0.5]) == Spread(0.5, 0.0)
    assert Spread.of([1.0, 2.0, 3.0]) == Spread(2.0, 1.0)


@pytest.mark.parametrize("batches", [1, 5, 12, 13, 20, 36])
def test_an_interrupted_sweep_goes_on_to_the_same_end(whole: Sweep, tmp_path: Path, batches: int) -> None:
    """12 batches a seed: within the first, the second and the last batch of all."""
    cut = create_sweep(tmp_path, RECIPE, 3)
    with pytest.raises(Killed):
        run_sweep(cut, listen=killing(batches))
    held = load_sweep(cut.path)
    assert [s.result is not None for s in held.seeds] == [12 * (i + 1) < batches for i in range(3)]
    trained: list[int] = []

    def note(seed: Seed, run: RunFolder, result: TrainingResult) -> None:
        trained.append(seed.seed)

    run_sweep(held, finished=note)
    assert trained == [s.seed for i, s in enumerate(held.seeds) if 12 * (i + 1) >= batches]
    for ours, theirs in zip(held.seeds, whole.seeds, strict=True):
        assert ours.result == theirs.result
        assert_same_end(held.run_folder(ours), whole.run_folder(theirs))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["small-1", "small-2", "small-3", "small-sweep-1.json"]


def test_a_finished_sweep_trains_nothing(whole: Sweep) -> None:
    before = whole.path.read_text()
    run_sweep(load_sweep(whole.path), listen=killing(1))
    assert whole.path.read_text() == before


def test_sweeps_are_numbered(tmp_path: Path) -> None:
    assert [create_sweep(tmp_path, RECIPE, 1).path.name for _ in range(2)] == [
        "small-sweep-1.json", "small-sweep-2.json"
    ]  # fmt: skip
    with pytest.raises(InputError, match="--seeds 0: a sweep needs at least 1 seed"):
        create_sweep(tmp_path, RECIPE, 0)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot make a sweep under"):
        create_sweep(tmp_path / "file" / "runs", RECIPE, 1)


def test_a_run_folder_of_another_recipe_is_not_gone_on_with(tmp_path: Path) -> None:
    sweep = create_sweep(tmp_path, RECIPE, 1)
    create_run_folder(tmp_path, RECIPE.model_copy(update={"about": "another"}))
    sweep.seeds[0].run = "small-1"
    with pytest.raises(CheckpointError, match="small-1 of seed 11 holds another recipe; start anew"):
        run_sweep(sweep)


RESULT = {"best_epoch": 1, "valid_accuracy": 0.5, "test_accuracy": 0.5, "ended": "epochs"}


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"format": None},
        {"seeds": None},
        {"seeds": [1]},
        {"seeds": [{"seed": -1, "run": None, "result": None}]},
        {"seeds": [{"seed": True, "run": None, "result": None}]},
        {"seeds": [{"seed": 1, "run": "../x", "result": None}]},
        {"seeds": [{"seed": 1, "run": "..", "result": None}]},
        {"seeds": [{"seed": 1, "run": "/x", "result": None}]},
        {"seeds": [{"seed": 1, "run": "", "result": None}]},
        {"seeds": [{"seed": 1, "run": None, "result": {}}]},
        {"seeds": [{"seed": 1, "run": None, "result": {**RESULT, "test_accuracy": "1"}}]},
        {"seeds": [{"seed": 1, "run": None, "result": {**RESULT, "best_epoch": None}}]},
        {"recipe": {}},
        {"recipe": 1},
    ],
    ids=str,
)
def test_a_file_that_no_sweep_wrote_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    sweep = create_sweep(tmp_path, RECIPE, 1)
    assert load_sweep(sweep.path).seeds == sweep.seeds
    sweep.path.write_text(json.dumps({**sweep.to_json(), **change}))
    with pytest.raises(CheckpointError) as caught:
        load_sweep(sweep.path)
    assert str(sweep.path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"1", b"\xff", b"{}", b"[" * 100_000])
def test_a_file_that_holds_no_sweep_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    for path in (tmp_path / "x.json", tmp_path / "absent.json", tmp_path):
        with pytest.raises(CheckpointError, match="give a file that --seeds wrote"):
            load_sweep(path)
