"""What a recipe says of training: choices that complete their own keys and refuse those of others."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.test_recipe import changed, refusal
from toolchain.network_builder import build_network
from toolchain.recipe import parse_recipe

SPIKING = changed(("network", "populations", "out"), {"kind": "lif"})


@pytest.mark.parametrize(
    ("choice", "there"),
    [
        ({"loss": "cross_entropy"}, {"temperature_ms": 1.0, "late_penalty_ms": 0.01}),
        ({"loss": "relative_mse", "margin_ms": 3.0}, {"margin_ms": 3.0}),
    ],
)
def test_keys_of_a_loss_are_completed_where_it_uses_them(choice: dict[str, Any], there: dict[str, float]) -> None:
    recipe = parse_recipe(changed(("training",), {"readout": "first_spike", **choice}, SPIKING), "R")
    dumped = yaml.safe_load(recipe.dump())["training"]
    assert {k: dumped.get(k) for k in ("temperature_ms", "late_penalty_ms", "margin_ms") if k in dumped} == there
    assert parse_recipe(yaml.safe_load(recipe.dump()), "R") == recipe
    objective = recipe.training.objective()
    assert (objective.reading, objective.loss) == ("first_spike", choice["loss"])
    assert {k: getattr(objective, k) for k in there} == there


@pytest.mark.parametrize("decay", ["exponential", "constant", "cosine", "plateau"])
def test_keys_of_a_decay_are_completed_where_it_uses_them(decay: str) -> None:
    recipe = parse_recipe(changed(("training", "schedule"), {"decay": decay}), "R")
    used = {"cosine": {"final"}, "plateau": {"factor", "patience"}}.get(decay, set())
    assert set(yaml.safe_load(recipe.dump())["training"]["schedule"]) == {"decay", *used}
    assert parse_recipe(yaml.safe_load(recipe.dump()), "R") == recipe


def test_a_lif_output_needs_no_size_and_no_voltage_is_read_from_it() -> None:
    recipe = parse_recipe(changed(("training",), {"readout": "first_spike"}, SPIKING), "R")
    assert (recipe.network.output, recipe.network.hidden) == ("out", ["hid"])
    assert build_network(recipe, n_inputs=2, n_classes=7).readout.size == 7
    message = refusal(SPIKING)
    assert "reads a leaky_readout population, but the output out is of kind lif" in message


def test_one_speaker_may_be_given_without_brackets() -> None:
    recipe = parse_recipe(changed(("training", "validation"), {"speaker": 4}), "R")
    assert recipe == parse_recipe(changed(("training", "validation"), {"speaker": [4]}), "R")
