"""Training in a chip's numbers: what is validated, kept and deployed is what the chip holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as numpy_arrays

from tests.conftest import MODELS
from tests.training.test_trainer import KillAt, Killed, assert_same_end
from toolchain.deployment.deploy import Options
from toolchain.deployment.deploy import prepare as prepare_deployment
from toolchain.deployment.target import TrainingFormat, find_target
from toolchain.errors import CheckpointError, RecipeError, TargetLimitError
from toolchain.event_graph import flatten
from toolchain.network import Network, NeuronConstants, Population, make_projection
from toolchain.recipe import Recipe, read_recipe
from toolchain.training.checkpoints import load_best, load_network
from toolchain.training.chip import complete_recipe
from toolchain.training.run_folder import RunFolder, create_run_folder
from toolchain.training.straight_through import StraightThrough
from toolchain.training.trainer import TrainingResult, prepare, train
from toolchain.validation.ladder import accuracy, float_predictions, predict

NETWORK = Network(
    1.0,
    (Population("in", "spike_source", 3), Population("out", "leaky_readout", 2)),
    (make_projection("in", "out", np.ones((3, 2))),),
)
FORMAT = TrainingFormat(
    "loihi2",
    {"in->out": 0.125},
    -128,
    127,
    {"out": NeuronConstants(0.9, 0.8, 0.05, np.inf)},
    {"scales": {"out": 100.0}},
)


def small(*overrides: str) -> Recipe:
    return read_recipe(
        MODELS / "digits.yaml",
        [
            "training.epochs=4",
            "network.populations.hidden.size=16",
            "training.quantise={from_epoch: 2, calibration_samples: 20}",
            *overrides,
        ],
    )


@pytest.fixture(scope="module")
def quantised(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, TrainingResult]:
    recipe = small()
    run = create_run_folder(tmp_path_factory.mktemp("quantised"), recipe)
    return run, train(run, prepare(recipe))


@settings(deadline=None)
@given(numpy_arrays(np.float32, 6, elements=st.floats(-40, 40, width=32)))
def test_weights_are_the_nearest_multiples_in_range(weights: Any) -> None:
    rounded, clipped = StraightThrough.over(NETWORK, FORMAT).round(weights)
    multiples = rounded / 0.125
    assert np.array_equal(multiples, np.rint(multiples))
    assert multiples.min() >= -128
    assert multiples.max() <= 127
    inside = (weights >= -16.0625) & (weights <= 15.9375)
    assert np.abs(rounded - weights)[inside].max(initial=0) <= 0.0625
    assert clipped == np.count_nonzero(~inside)


def test_format_survives_a_checkpoint() -> None:
    grid = StraightThrough.over(NETWORK, FORMAT)
    again = StraightThrough.restore(NETWORK, json.loads(json.dumps(grid.header(), allow_nan=False)))
    assert again.format == grid.format
    assert np.array_equal(again.unit, grid.unit)


@pytest.mark.parametrize(
    "damage",
    [
        {"unit": {"in->out": 0.0}},
        {"unit": {}},
        {"constants": {"out": {"alpha": 1}}},
        {"constants": 3},
        {"low": "x"},
        {"hint": None},
    ],
)
def test_damaged_format_is_refused(damage: dict[str, Any]) -> None:
    header = {**StraightThrough.over(NETWORK, FORMAT).header(), **damage}
    with pytest.raises(CheckpointError, match="damaged"):
        StraightThrough.restore(NETWORK, header)


def test_what_was_tested_is_what_the_chip_holds(quantised: tuple[RunFolder, TrainingResult]) -> None:
    """No weight is rounded again by deployment, and the rung with the chip's constants repeats the test accuracy."""
    run, result = quantised
    assert result.best_epoch > 2
    ready = prepare_deployment(run, find_target("loihi2"), Options(vendor_samples=0), lambda text: None)
    assert max(p.rms_error for p in ready.quantised.projection_errors) < 1e-6
    assert sum(p.clipped for p in ready.quantised.projection_errors) == 0
    test = ready.dataset.test
    found = dict(float_predictions(ready.recipe, ready.trained, ready.quantised, test))
    rungs = {name: accuracy(prediction, test.labels) for name, prediction in found.items()}
    assert rungs["quantised_constants"] == result.test_accuracy


def test_fine_weights_go_on_learning(quantised: tuple[RunFolder, TrainingResult]) -> None:
    """The last checkpoint has weights between the grid points, the best one has none."""
    run, _ = quantised
    best, number_format = load_best(run.checkpoint("best"))
    assert number_format is not None
    grid = StraightThrough.restore(best, number_format)
    weights = flatten(best, "weight")
    assert np.allclose(grid.round(weights)[0], weights, rtol=1e-6)
    last = flatten(load_network(run.checkpoint("last")), "weight")
    assert np.mean(np.abs(grid.round(last)[0] - last) > 1e-5) > 0.5


@pytest.mark.parametrize("batches", [1, 160, 280])
def test_quantised_run_resumes_to_the_bit(
    tmp_path: Path, quantised: tuple[RunFolder, TrainingResult], batches: int
) -> None:
    """75 batches an epoch: killed in fine numbers, in the first and in the second epoch of the chip's."""
    whole, _ = quantised
    cut = create_run_folder(tmp_path, whole.recipe())
    with pytest.raises(Killed):
        train(cut, prepare(cut.recipe()), listener=KillAt(batches))
    train(cut, prepare(cut.recipe()), resume=True)
    assert_same_end(whole, cut)


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, TrainingResult]:
    recipe = small("training.quantise.forward=emulator")
    run = create_run_folder(tmp_path_factory.mktemp("emulated"), recipe)
    return run, train(run, prepare(recipe))


def test_emulated_training_scores_what_the_deployed_emulator_does(emulated: tuple[RunFolder, TrainingResult]) -> None:
    """Sample by sample: the same integers, so the accuracy of training is that of the bundle, validation and test."""
    run, result = emulated
    assert result.best_epoch > 2
    target = find_target("loihi2")
    ready = prepare_deployment(run, target, Options(vendor_samples=0), lambda text: None)
    dataset = prepare(run.recipe()).dataset
    for samples, expected in ((dataset.test, result.test_accuracy), (dataset.valid, result.valid_accuracy)):
        found = target.emulate(ready.quantised, samples.spikes)
        prediction = predict(run.recipe().training.readout, found.readout_v, found.first_spikes)
        assert float(np.mean(prediction == samples.labels)) == expected


def test_what_is_observed_is_what_the_emulator_holds(emulated: tuple[RunFolder, TrainingResult]) -> None:
    run, _ = emulated
    target = find_target("loihi2")
    ready = prepare_deployment(run, target, Options(vendor_samples=0), lambda text: None)
    best, number_format = load_best(run.checkpoint("best"))
    assert number_format is not None
    spikes = ready.dataset.test.spikes.select(range(5))
    observed = target.observe(best, number_format["hint"], spikes)
    traces = target.emulate_traces(ready.quantised, spikes)
    for sample in range(5):
        assert np.array_equal(observed.spikes["hidden"].dense(sample).T, traces.spikes["hidden"][sample])
    scale = number_format["hint"]["scales"]["output"]
    assert observed.readout_v is not None
    assert np.allclose(observed.readout_v * 64 * scale, traces.v["output"].transpose(0, 2, 1), rtol=1e-6)


def test_emulated_training_resumes_to_the_bit(tmp_path: Path, emulated: tuple[RunFolder, TrainingResult]) -> None:
    whole, _ = emulated
    cut = create_run_folder(tmp_path, whole.recipe())
    with pytest.raises(Killed):
        train(cut, prepare(cut.recipe()), listener=KillAt(280))
    train(cut, prepare(cut.recipe()), resume=True, threads=2)
    assert_same_end(whole, cut)


def test_emulated_training_follows_first_spikes(tmp_path: Path) -> None:
    """A network whose outputs spike has no voltage to report; its loss rests on the chip's spikes alone."""
    recipe = read_recipe(
        MODELS / "yin_yang_first_spike.yaml",
        [
            "network.dt_ms=0.5",
            "dataset.options={early: 3, late: 40, steps: 80}",
            "training.rates.strength=0",
            "training.delay_rate=0.5",
            "training.epochs=3",
            "training.max_slot=62",
            "training.quantise={from_epoch: 1, calibration_samples: 20, forward: emulator}",
            "network.populations.hidden.single_spike=false",
            "network.populations.output.single_spike=false",
        ],
    )
    run = create_run_folder(tmp_path, recipe)
    result = train(run, prepare(recipe))
    assert result.best_epoch > 1
    assert run.metrics()[2]["train_loss"] < run.metrics()[0]["train_loss"]


def test_weights_that_outgrow_the_format_are_counted_and_get_another(tmp_path: Path) -> None:
    recipe = small("training.quantise={from_epoch: 1, calibration_samples: 20}", "training.weight_rate=0.3")
    run = create_run_folder(tmp_path, recipe)
    train(run, prepare(recipe))
    clipped = [line["weights_clipped"] for line in run.metrics()]
    assert clipped[0] == 0
    assert max(clipped[1:]) > 0


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("network.populations.hidden.tau_mem_ms={uniform: {low: 10, high: 30}}", "have time constants of their own"),
        ("network.populations.hidden.single_spike=true", "spike once a sample"),
    ],
)
def test_what_the_chip_cannot_hold_is_refused_before_training(tmp_path: Path, override: str, message: str) -> None:
    recipe = small(override)
    run = create_run_folder(tmp_path, recipe)
    with pytest.raises(TargetLimitError, match=message):
        train(run, prepare(recipe))
    assert not run.metrics()


def test_largest_slot_comes_from_the_target() -> None:
    recipe = read_recipe(MODELS / "yin_yang.yaml", ["training.max_slot=null"])
    assert complete_recipe(recipe).training.max_slot == 62
    assert complete_recipe(complete_recipe(recipe)) == complete_recipe(recipe)
    with pytest.raises(RecipeError, match=r"starts at up to slot 70, above training\.max_slot 62"):
        complete_recipe(
            read_recipe(MODELS / "yin_yang.yaml", ["training.max_slot=null", "network.projections.0.delay=70"])
        )
    with pytest.raises(RecipeError, match=r"63, but training\.quantise is for loihi2, whose largest slot is 62"):
        complete_recipe(small("training.max_slot=63"))
    with pytest.raises(RecipeError, match=r"quantise\.from_epoch: 4 leaves none of 4 epochs"):
        small("training.quantise.from_epoch=4")
