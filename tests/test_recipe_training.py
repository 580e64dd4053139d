"""What a recipe says of training: choices that complete their own keys and refuse those of others."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.test_recipe import FULL, changed, refusal
from toolchain.network_builder import build_network
from toolchain.recipe import parse_recipe

UNIFORM = {"uniform": {"low": 3, "high": 10}}
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


def learning(population: str, training: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """A recipe in which a population has these fields, and training these keys and no quantisation."""
    kind = FULL["network"]["populations"][population]["kind"]
    size = {"size": 3} if kind == "lif" else {}
    data = changed(("network", "populations", population), {"kind": kind, **size, **fields})
    return changed(("training",), training or {}, data)


def test_time_constants_learn_where_they_are_told_to() -> None:
    data = learning("hid", learn_tau_syn=True, tau_mem_ms=0.5)
    data = changed(("network", "populations", "out"), {"kind": "leaky_readout", "learn_tau_mem": True}, data)
    recipe = parse_recipe(data, "R")
    learned = {name: p.learned for name, p in recipe.network.populations.items()}
    assert learned == {"in": (), "hid": ("tau_syn_ms",), "out": ("tau_mem_ms",)}
    assert parse_recipe(yaml.safe_load(recipe.dump()), "R") == recipe


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (learning("in", learn_tau_mem=True), "populations.in: learn_tau_mem: a spike_source has no time constants"),
        (learning("in", learn_tau_syn=True), "populations.in: learn_tau_syn: a spike_source has no time constants"),
        (
            learning("out", {"epochs": 2, "quantise": {"from_epoch": 1}}, learn_tau_syn=True),
            "network.populations.out.learn_tau_syn: training.quantise is for a chip, which holds one time constant for",
        ),
        (
            learning("hid", learn_tau_mem=True, tau_mem_ms=0.5),
            "network.populations.hid.tau_mem_ms: learns and starts at 0.5 ms, outside training.tau_range_ms [1, 1000]",
        ),
        (
            learning("hid", {"tau_range_ms": [2, 9]}, learn_tau_syn=True, tau_syn_ms=UNIFORM),
            "network.populations.hid.tau_syn_ms: learns and starts at 10 ms, outside training.tau_range_ms [2, 9]",
        ),
        (learning("hid", {"adam_betas": [0.9, 0.3]}), "training.adam_betas: the second, 0.3, makes steps of any size"),
        (learning("hid", {"adam_betas": [1.0, 0.9]}), "training.adam_betas.0"),
        (learning("hid", {"adam_betas": [0.9]}), "training.adam_betas"),
        (learning("hid", {"tau_range_ms": [9, 9]}), "training.tau_range_ms: 9 to 9 ms is no range"),
        (learning("hid", {"tau_range_ms": [0, 9]}), "training.tau_range_ms.0"),
        (learning("hid", {"tau_range_ms": [1]}), "training.tau_range_ms"),
        (learning("hid", {"tau_rate": 1.5}), "training.tau_rate"),
        (learning("hid", learn_tau=True), "did you mean 'learn_tau_"),
    ],
)
def test_time_constants_that_cannot_learn_are_refused_by_name(data: dict[str, Any], message: str) -> None:
    assert message in refusal(data)
