"""Checkpoints and run folders: back to the bit, or refused; never half, never another network's."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.networks import SHAPES, random_network
from tests.test_network import JSON, replaced
from toolchain.errors import CheckpointError, InputError
from toolchain.event_graph import flatten
from toolchain.network import Network, make_projection
from toolchain.recipe import Recipe, parse_recipe
from toolchain.storage import load_arrays, save_arrays
from toolchain.training.checkpoints import FORMAT, Progress, load_checkpoint, load_network, save_checkpoint
from toolchain.training.optimiser import Adam
from toolchain.training.patience import Patience
from toolchain.training.run_folder import RunFolder, create_run_folder
from toolchain.training.schedule import Plateau

GONE: Any = object()
PROGRESS = Progress(
    7, 5, 0.75, 0.5, {"epoch": 7, "valid_loss": 0.5, "silent_neurons": {"a": 1}}, Plateau(0.25, Patience(0.5, 2)),
    Patience(0.75, 3),
)  # fmt: skip
NETWORK = random_network("recurrent_masked", np.random.default_rng(1))
assert NETWORK["a"].size != NETWORK["in"].size, "a transposed array must not fit"
Arrays = dict[str, NDArray[Any]]
quick = settings(deadline=None, max_examples=60)


def optimisers(network: Network, seed: int | None = None) -> dict[str, Adam]:
    """Fresh optimisers of a network, or with random moments as in the middle of a run."""
    n = flatten(network, "weight").size
    found = {name: Adam(np.full(n, rate, dtype=np.float32)) for name, rate in (("weight", 0.01), ("delay", 0.5))}
    if seed is not None:
        random = np.random.default_rng(seed)
        for adam in found.values():
            adam.first, adam.second = (random.random(n).astype(np.float32) for _ in range(2))
            adam.steps = int(random.integers(1, 10_000))
    return found


def parameters(network: Network) -> list[list[float]]:
    return [flatten(network, field).tolist() for field in ("weight", "delay")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture(scope="module")
def good(folder: Path) -> Path:
    """A checkpoint of NETWORK."""
    save_checkpoint(folder / "good", NETWORK, optimisers(NETWORK, seed=1), PROGRESS)
    return folder / "good"


def rewritten(good: Path, arrays: Arrays | None = None, header: dict[str, Any] | None = None) -> Path:
    """A copy of a checkpoint with some arrays and header entries replaced, or left out where they are `GONE`."""
    old_arrays, old_header = load_arrays(good)
    merged = ({**old_arrays, **(arrays or {})}, {**old_header, **(header or {})})
    kept_arrays, kept_header = ({k: v for k, v in part.items() if v is not GONE} for part in merged)
    path = good.with_name("rewritten")
    save_arrays(path, kept_arrays, kept_header)
    return path


def load(path: Path, network: Network = NETWORK) -> tuple[Network, Progress]:
    return load_checkpoint(path, network, optimisers(network))


def outcome(read: Callable[..., object], *given: object) -> str:
    """The message with which something is refused, or nothing; any exception but CheckpointError is a failure."""
    message = ""
    try:
        read(*given)
    except CheckpointError as error:
        message = str(error)
    assert "\n" not in message
    return message


@given(st.sampled_from(SHAPES), st.integers(0, 2**32 - 1))
@quick
def test_a_checkpoint_comes_back_to_the_bit(folder: Path, shape: str, seed: int) -> None:
    network = random_network(shape, np.random.default_rng(seed))
    before = optimisers(network, seed)
    path = folder / "round"
    save_checkpoint(path, network, before, PROGRESS)
    after = optimisers(network)
    found, progress = load_checkpoint(path, network, after)
    assert progress == PROGRESS
    for other in (found, load_network(path)):
        assert other.describe() == network.describe()
        assert parameters(other) == parameters(network)
    for name, adam in before.items():
        assert after[name].steps == adam.steps
        assert after[name].first.tolist() == adam.first.tolist()
        assert after[name].second.tolist() == adam.second.tolist()


def test_a_loaded_optimiser_goes_on_as_the_saved_one_would(good: Path) -> None:
    before, after = optimisers(NETWORK, seed=1), optimisers(NETWORK)
    load_checkpoint(good, NETWORK, after)
    gradient = np.random.default_rng(3).normal(size=before["weight"].rate.size).astype(np.float32)
    for name in before:
        one, other = np.ones_like(gradient), np.ones_like(gradient)
        before[name].step(one, gradient, 0.5)
        after[name].step(other, gradient, 0.5)
        assert one.tolist() == other.tolist()


def test_parameters_come_from_the_file_and_not_from_the_network_given(good: Path) -> None:
    other = NETWORK.with_arrays({p.name: (p.weight * 0, p.delay * 0) for p in NETWORK.projections})
    assert parameters(load(good, other)[0]) == parameters(NETWORK)


def test_a_failed_save_leaves_the_last_checkpoint(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "kept" / "last"
    save_checkpoint(path, NETWORK, optimisers(NETWORK, seed=1), PROGRESS)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(InputError, match="No space left"):
        save_checkpoint(path, NETWORK, optimisers(NETWORK, seed=2), replace(PROGRESS, epoch=8))
    monkeypatch.undo()
    assert load(path)[1] == PROGRESS
    assert list(path.parent.iterdir()) == [path]


def test_a_checkpoint_of_another_network_is_refused(good: Path) -> None:
    renamed = (replace(NETWORK.populations[0], name="input"), *NETWORK.populations[1:])
    slower = (NETWORK.populations[0], replace(NETWORK.populations[1], tau_mem_ms=99.0), NETWORK.populations[2])
    dense = tuple(make_projection(p.source, p.target, p.weight, p.delay) for p in NETWORK.projections)
    others = [
        replace(NETWORK, dt_ms=0.5),
        replace(NETWORK, populations=slower),
        replace(NETWORK, projections=dense),
        replace(NETWORK, projections=NETWORK.projections[1:]),
        replace(NETWORK, projections=NETWORK.projections[::-1]),
        replace(NETWORK, populations=renamed, projections=()),
        random_network("two_layers", np.random.default_rng(0)),
    ]
    for other in others:
        assert "its network is not that of the recipe; start a new run" in outcome(load, good, other)


@pytest.mark.parametrize("added", [-1, 0, 1])
def test_a_checkpoint_with_other_synapses_is_refused(good: Path, added: int) -> None:
    """The mask of the first projection has one synapse less, as many elsewhere, or one more."""
    name = f"{NETWORK.projections[0].name}.mask"
    mask = load_arrays(good)[0][name]
    full, empty = np.argwhere(mask)[0], np.argwhere(mask == 0)[0]
    mask[tuple(full)] -= added <= 0
    mask[tuple(empty)] += added >= 0
    assert "synapses" in outcome(load, rewritten(good, {name: mask}))


@pytest.mark.parametrize("moment", ["adam.weight.first", "adam.delay.second"])
def test_moments_of_another_shape_or_type_are_refused(good: Path, moment: str) -> None:
    for array in (np.zeros(3, np.float32), np.zeros(0, np.float32), np.zeros((2, 2), np.float32)):
        message = outcome(load, rewritten(good, {moment: array}))
        assert f"{moment} is float32{array.shape}, must be float32(" in message
    for dtype in (np.float64, np.float16, np.int32):
        array = load_arrays(good)[0][moment].astype(dtype)
        assert f"{moment} is {np.dtype(dtype)}" in outcome(load, rewritten(good, {moment: array}))


@pytest.mark.parametrize("field", ["weight", "delay", "mask"])
@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int32, np.int8])
def test_arrays_of_another_type_are_refused(good: Path, field: str, dtype: type[np.generic]) -> None:
    name = f"{NETWORK.projections[0].name}.{field}"
    path = rewritten(good, {name: load_arrays(good)[0][name].astype(dtype)})
    assert name in outcome(load, path)
    assert name in outcome(load_network, path)


@pytest.mark.parametrize("field", ["weight", "delay", "mask"])
def test_arrays_of_another_shape_are_refused(good: Path, field: str) -> None:
    """Not even where NumPy would stretch them to fit."""
    name = f"{NETWORK.projections[0].name}.{field}"
    array = load_arrays(good)[0][name]
    for other in (array.T, array.ravel(), array[:-1], array[:1], array[:, :1], array[0], array[None]):
        assert outcome(load_network, rewritten(good, {name: other})), other.shape


@pytest.mark.parametrize(("field", "value"), [("weight", np.nan), ("weight", np.inf), ("delay", -1), ("delay", np.nan)])
def test_values_that_no_network_has_are_refused(good: Path, field: str, value: float) -> None:
    projection = NETWORK.projections[0]
    assert projection.mask is not None
    name = f"{projection.name}.{field}"
    array = load_arrays(good)[0][name]
    array[tuple(np.argwhere(projection.mask)[0])] = value
    assert field in outcome(load_network, rewritten(good, {name: array}))


def test_a_checkpoint_without_one_of_its_arrays_or_keys_is_refused(good: Path) -> None:
    arrays, header = load_arrays(good)
    for name in arrays:
        assert outcome(load, rewritten(good, {name: GONE})), name
    for key in header:
        assert outcome(load, rewritten(good, header={key: GONE})), key
    for key in asdict(PROGRESS):
        left = {k: v for k, v in asdict(PROGRESS).items() if k != key}
        assert outcome(load, rewritten(good, header={"progress": left})), key


@pytest.mark.parametrize("value", [FORMAT + 1, 0, "1", None, [1], True], ids=repr)
def test_another_format_is_refused(good: Path, value: Any) -> None:
    message = outcome(load, rewritten(good, header={"format": value}))
    assert f"format {value!r}, this version reads 1 and {FORMAT}" in message


def test_a_checkpoint_of_the_first_format_is_deployed_but_not_gone_on_with(good: Path) -> None:
    """It held neither the state of the schedule nor that of early stopping."""
    progress = {k: v for k, v in asdict(PROGRESS).items() if k not in ("plateau", "early_stop")}
    old = rewritten(good, header={"format": 1, "progress": progress})
    assert parameters(load_network(old)) == parameters(NETWORK)
    assert "format 1 lacks what resuming needs since format 2; its network can be deployed" in outcome(load, old)


WRONG: dict[str, list[Any]] = {
    "epoch": ["7", 7.5, None, -1, True, [7]],
    "best_epoch": ["7", 7.5, None, -1, True, [7]],
    "best_accuracy": ["0.5", None, [0.5], {}],
    "best_loss": ["0.5", None, [0.5], {}],
    "line": ["x", 1, None, [1]],
    "plateau": [None, 1, [], {}, {"factor": 1.0}, {"factor": "1", "loss": {}}, {"factor": 2, "loss": {}}],
    "early_stop": [None, 1, [], {"best": "1"}, {"waited": -1}, {"waited": 1.5}, {"waited": True}, {"other": 1}],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in WRONG.items() for value in values])
def test_progress_that_no_run_can_have_is_refused(good: Path, key: str, value: Any) -> None:
    assert outcome(load, rewritten(good, header={"progress": {**asdict(PROGRESS), key: value}}))


@pytest.mark.parametrize("value", [-1, "3", 2.5, None, float("inf"), float("nan"), True, [1]], ids=repr)
def test_a_number_of_optimiser_steps_is_a_whole_number(good: Path, value: Any) -> None:
    assert outcome(load, rewritten(good, header={"adam_steps": {"weight": value, "delay": 1}}))


@given(st.lists(st.integers(0, 7), max_size=5), JSON)
@settings(deadline=None, max_examples=120)
@example([3, 0], 10**400)
@example([0, 1], 10**400)
@example([1, 0], 10**400)
def test_a_damaged_header_is_a_checkpoint_error_or_a_checkpoint(good: Path, path: list[int], new: Any) -> None:
    arrays, header = load_arrays(good)
    damaged = good.with_name("damaged")
    save_arrays(damaged, arrays, {"": replaced(header, path, new)} if not path else replaced(header, path, new))
    outcome(load, damaged)
    outcome(load_network, damaged)


def test_a_checkpoint_cut_at_any_length_is_refused(good: Path) -> None:
    content, path = good.read_bytes(), good.with_name("cut")
    for length in range(len(content)):
        path.write_bytes(content[:length])
        assert outcome(load, path), f"cut to {length} of {len(content)} bytes"


def test_a_changed_byte_anywhere_is_refused_or_harmless(good: Path) -> None:
    """Every byte once by a random amount, and every byte of a mask in the bit that adds or removes a synapse."""
    content, path = good.read_bytes(), good.with_name("changed")
    random = np.random.default_rng(0)
    changes = [(at, int(random.integers(1, 256))) for at in range(len(content))]
    changes += [(at, 1) for at in range(len(content)) if content[at] <= 1]
    for at, change in changes:
        path.write_bytes(content[:at] + bytes([content[at] ^ change]) + content[at + 1 :])
        outcome(load, path)


RECIPE: dict[str, Any] = {
    "name": "run",
    "dataset": {"task": "sequence"},
    "network": {
        "populations": {"in": {"kind": "spike_source"}, "out": {"kind": "leaky_readout"}},
        "projections": [{"from": "in", "to": "out", "weight": 1}],
    },
    "training": {"seed": 11},
}


@pytest.fixture
def recipe() -> Recipe:
    return parse_recipe(RECIPE, "R")


def test_run_folders_are_numbered_and_hold_recipe_and_environment(tmp_path: Path, recipe: Recipe) -> None:
    (tmp_path / "runs" / "run-2").mkdir(parents=True)
    (tmp_path / "runs" / "run-4").write_text("in the way")
    runs = [create_run_folder(tmp_path / "runs", recipe) for _ in range(3)]
    assert [r.path.name for r in runs] == ["run-1", "run-3", "run-5"]
    for run in runs:
        assert run.recipe() == recipe
        environment = json.loads((run.path / "environment.json").read_text(encoding="utf-8"))
        assert environment["seed"] == 11
        assert environment["packages"]["numpy"] == np.__version__
        assert run.metrics() == []


def test_a_place_for_runs_that_cannot_be_made_is_refused(tmp_path: Path, recipe: Recipe) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot make a run folder under"):
        create_run_folder(tmp_path / "file" / "runs", recipe)


def test_a_folder_without_a_recipe_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no recipe\.yaml in it"):
        RunFolder(tmp_path).recipe()


def test_metrics_cut_at_any_length_are_the_lines_that_are_whole(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    lines: list[dict[str, Any]] = [{"epoch": n, "loss": 0.5 / n, "silent": {"ä\u2028": n}} for n in (1, 2, 3)]
    run.write_metrics(lines)
    content = run.metrics_file.read_bytes()
    ends = [i for i in range(len(content)) if content[i : i + 1] == b"\n"]
    for length in range(len(content) + 1):
        run.metrics_file.write_bytes(content[:length])
        assert run.metrics() == lines[: sum(end <= length for end in ends)]
