"""A network before training: its sizes without its data, and the slots that training can reach."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.conftest import MODELS
from toolchain.datasets import load_dataset, task_sizes
from toolchain.deployment.plan import plan_network
from toolchain.errors import RecipeError
from toolchain.network_builder import build_network
from toolchain.recipe import Recipe, read_recipe

SHIPPED = sorted(MODELS.glob("*.yaml"))
WITHOUT_FILES = ("yin_yang", "sequence", "digits", "waveform", "synthetic_braille")


def digits(*overrides: str) -> Recipe:
    return read_recipe(MODELS / "digits.yaml", overrides)


@pytest.mark.parametrize("task", WITHOUT_FILES)
def test_a_task_says_the_sizes_that_its_data_have(task: str) -> None:
    options = {"repeats": 10, "units_per_channel": 5} if task == "synthetic_braille" else {}
    sizes, dataset = task_sizes(task, options), load_dataset(task, options)
    assert sizes is not None
    assert (sizes.n_inputs, sizes.n_classes, sizes.fixed) == (dataset.n_inputs, dataset.n_classes, True)
    assert sizes.n_traces == (None if dataset.targets is None else dataset.targets.shape[1])


@pytest.mark.parametrize(
    ("task", "options", "expected"),
    [
        ("shd", {}, (700, 20, False)),
        ("ssc", {"units_per_channel": 3}, (234, 35, False)),
        ("fsdd", {"units_per_channel": 5}, (140, 10, True)),
        ("braille", {}, (24, 27, True)),
        ("spoken_digits", {"units_per_channel": 10}, (70, 20, True)),
    ],
)
def test_a_task_of_files_says_the_published_sizes(
    task: str, options: dict[str, int], expected: tuple[int, int, bool]
) -> None:
    sizes = task_sizes(task, options)
    assert sizes is not None
    assert (sizes.n_inputs, sizes.n_classes, sizes.fixed) == expected


def test_options_are_checked_as_for_loading() -> None:
    with pytest.raises(RecipeError, match=r"unknown key 'dataset\.options\.stpes'; did you mean 'steps'"):
        task_sizes("shd", {"stpes": 3})
    with pytest.raises(RecipeError, match="'shdd' does not exist; did you mean 'shd'"):
        task_sizes("shdd", {})
    assert task_sizes("spikes", {"train": "a.h5", "test": "b.h5"}) is None


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_plan_is_the_network_that_training_starts_from(path: Path) -> None:
    recipe = read_recipe(path, ["network.projections.0.density=0.5"])
    plan = plan_network(recipe, 62)
    sizes = {p.name: p.size for p in plan.populations}
    outputs = sizes[recipe.network.output]
    network = build_network(
        recipe, n_inputs=plan.populations[0].size, n_classes=outputs,
        n_traces=outputs if recipe.training.readout == "trace" else None,
    )  # fmt: skip
    assert {p.name: p.size for p in network.populations} == sizes
    assert plan.dt_ms == network.dt_ms
    for planned, built in zip(plan.projections, network.projections, strict=True):
        assert planned.name == built.name
        assert built.slots().max() <= planned.largest_slot
        if built.mask is None:
            assert planned.mask is None
        else:
            assert planned.mask is not None
            assert np.array_equal(planned.mask, built.mask)


def test_slots_are_those_that_training_can_reach() -> None:
    delay = "network.projections.{}.delay={}"
    recipe = digits("network.projections.0.learn_delay=false", delay.format(0, "{uniform: {high: 17.6}}"))
    assert [p.largest_slot for p in plan_network(recipe, 62).projections] == [18, 0]
    recipe = digits("network.projections.0.learn_delay=false", delay.format(0, 2.5), delay.format(1, 3.5))
    assert [p.largest_slot for p in plan_network(recipe, 62).projections] == [2, 4]
    learned = digits("network.projections.0.learn_delay=true")
    assert plan_network(learned, 62).projections[0].largest_slot == learned.training.largest_slot
    data = yaml.safe_load((MODELS / "digits.yaml").read_text())
    del data["training"]["max_slot"]
    open_end = Recipe.model_validate(data)
    assert plan_network(open_end, 40).projections[0].largest_slot == 40


def test_time_constants_that_learn_or_are_drawn_are_one_a_neuron() -> None:
    hidden = "network.populations.hidden."
    assert not plan_network(digits(), 62).populations[1].heterogeneous
    assert plan_network(digits(f"{hidden}learn_tau_mem=true"), 62).populations[1].heterogeneous
    drawn = plan_network(digits(f"{hidden}tau_syn_ms={{uniform: {{low: 3, high: 9}}}}"), 62).populations[1]
    assert drawn.heterogeneous
    assert isinstance(drawn.tau_mem_ms, float)


def test_files_of_other_sizes_than_published_are_possible() -> None:
    """A set in the layout of SHD may have other channels: where the recipe says so, that is taken."""
    shd = MODELS / "shd_loihi.yaml"
    assert plan_network(read_recipe(shd), 62).populations[0].size == 700
    plan = plan_network(read_recipe(shd, ["network.populations.input.size=70"]), 62)
    assert plan.populations[0].size == 70
    assert "70 channels and 20 classes; the files of task shd may have others" in plan.assumptions
    with pytest.raises(RecipeError, match=r"input\.size: 63, but the dataset has 64 channels"):
        plan_network(digits("network.populations.input.size=63"), 62)


def test_a_network_too_large_to_hold_is_refused_before_its_mask_is_drawn() -> None:
    size = "network.populations.hidden.size=1000000"
    with pytest.raises(RecipeError, match="hidden->hidden has 1000000000000 pairs of neurons"):
        plan_network(read_recipe(MODELS / "shd_loihi.yaml", [size, "network.projections.1.density=0.5"]), 62)
