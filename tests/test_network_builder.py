"""From recipe to network: sizes, distributions, and random streams that do not disturb one another."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from toolchain.errors import RecipeError
from toolchain.network import Network, Projection
from toolchain.network_builder import build_network, generator
from toolchain.recipe import parse_recipe

BASE: dict[str, Any] = {
    "name": "base",
    "dataset": {"task": "sequence"},
    "network": {
        "dt_ms": 0.5,
        "populations": {
            "in": {"kind": "spike_source"},
            "hid": {"kind": "lif", "size": 60, "tau_mem_ms": 15, "tau_syn_ms": 4, "threshold": 0.7},
            "out": {"kind": "leaky_readout", "tau_mem_ms": 12},
        },
        "projections": [
            {
                "from": "in",
                "to": "hid",
                "weight": {"normal": {"mean": 2, "sd": 0.5}},
                "delay": {"uniform": {"high": 20}},
            },
            {"from": "hid", "to": "hid", "weight": {"uniform": {"low": -3, "high": -1}}, "density": 0.3, "delay": 4},
            {"from": "hid", "to": "out", "weight": 1.25},
        ],
    },
}


def built(change: dict[str, Any] | None = None, n_inputs: int = 40, n_classes: int = 3, seed: int = 7) -> Network:
    """BASE with `change` merged into its network."""
    data = copy.deepcopy(BASE)
    data["training"] = {"seed": seed}
    for key, value in (change or {}).items():
        section = data["network"][key]
        data["network"][key] = {**section, **value} if isinstance(section, dict) else value
    return build_network(parse_recipe(data, "R"), n_inputs=n_inputs, n_classes=n_classes)


def projection(network: Network, name: str) -> Projection:
    return next(p for p in network.projections if p.name == name)


def same(a: Projection, b: Projection) -> bool:
    """Whether weight, delay and mask are equal bit for bit."""
    pairs = ((a.weight, b.weight), (a.delay, b.delay), (np.array(a.mask), np.array(b.mask)))
    return all(np.array_equal(one, other) for one, other in pairs)


def test_sizes_come_from_the_dataset_and_the_rest_from_the_recipe() -> None:
    network = built()
    assert [(p.name, p.kind, p.size) for p in network.populations] == [
        ("in", "spike_source", 40),
        ("hid", "lif", 60),
        ("out", "leaky_readout", 3),
    ]
    assert network.dt_ms == 0.5
    assert (network["hid"].tau_mem_ms, network["hid"].tau_syn_ms, network["hid"].threshold) == (15, 4, 0.7)
    assert (network["out"].tau_mem_ms, network["out"].tau_syn_ms) == (12, 5)
    assert [p.name for p in network.projections] == ["in->hid", "hid->hid", "hid->out"]


@pytest.mark.parametrize(
    ("population", "kind", "there", "what"),
    [("in", "spike_source", 40, "channels"), ("out", "leaky_readout", 3, "classes")],
)
def test_a_size_that_contradicts_the_dataset_is_refused(population: str, kind: str, there: int, what: str) -> None:
    assert built({"populations": {population: {"kind": kind, "size": there}}})[population].size == there
    with pytest.raises(
        RecipeError, match=rf"populations.{population}.size: {there + 1}, but the dataset has {there} {what}"
    ):
        built({"populations": {population: {"kind": kind, "size": there + 1}}})


def test_arrays_follow_the_distributions_of_the_recipe() -> None:
    """Means and spreads within five standard errors of what was asked for; bounds exactly."""
    network = built()
    normal, n = projection(network, "in->hid"), 40 * 60
    assert normal.weight.mean() == pytest.approx(2, abs=5 * 0.5 / n**0.5)
    assert normal.weight.std() == pytest.approx(0.5, abs=5 * 0.5 / (2 * n) ** 0.5)
    assert 0 <= normal.delay.min() < 0.2
    assert 19.8 < normal.delay.max() <= 20
    assert normal.delay.mean() == pytest.approx(10, abs=5 * 20 / 12**0.5 / n**0.5)
    assert normal.mask is None
    masked = projection(network, "hid->hid")
    assert masked.mask is not None
    n = 60 * 60
    assert masked.mask.mean() == pytest.approx(0.3, abs=5 * (0.3 * 0.7 / n) ** 0.5)
    assert masked.weight[masked.mask].min() >= -3
    assert masked.weight[masked.mask].max() <= -1
    assert not masked.weight[~masked.mask].any()
    assert (masked.delay == np.where(masked.mask, 4, 0)).all()
    constant = projection(network, "hid->out")
    assert (constant.weight == 1.25).all()
    assert (constant.delay == 0).all()


def test_weights_and_delays_of_one_projection_are_drawn_independently() -> None:
    uniform = {"uniform": {"low": 0, "high": 20}}
    entries = [{"from": "in", "to": "hid", "weight": uniform, "delay": uniform}, *BASE["network"]["projections"][1:]]
    drawn = projection(built({"projections": entries}), "in->hid")
    correlation = np.corrcoef(drawn.weight.ravel(), drawn.delay.ravel())[0, 1]
    assert abs(correlation) < 5 / drawn.weight.size**0.5


def test_the_same_seed_gives_the_same_network_and_another_seed_another() -> None:
    one, again, other = built(seed=3), built(seed=3), built(seed=4)
    assert all(same(a, b) for a, b in zip(one.projections, again.projections, strict=True))
    for name in ("in->hid", "hid->hid"):
        assert not np.array_equal(projection(one, name).weight, projection(other, name).weight)


def test_adding_or_moving_projections_does_not_change_the_others() -> None:
    more = {
        "populations": {"extra": {"kind": "lif", "size": 5}},
        "projections": [
            {"from": "in", "to": "extra", "weight": {"normal": {}}},
            *reversed(BASE["network"]["projections"]),
            {"from": "extra", "to": "out", "weight": {"normal": {}}},
        ],
    }
    before, after = built(), built(more)
    for old in before.projections:
        assert same(old, projection(after, old.name)), old.name


def test_density_only_removes_synapses() -> None:
    """What is left has the weight that it would have in the dense network."""
    dense = copy.deepcopy(BASE["network"]["projections"])
    dense[1]["density"] = 1
    sparse, full = projection(built(), "hid->hid"), projection(built({"projections": dense}), "hid->hid")
    assert full.mask is None
    assert sparse.mask is not None
    assert np.array_equal(sparse.weight, np.where(sparse.mask, full.weight, 0))


def test_each_name_and_seed_has_a_random_stream_of_its_own() -> None:
    streams = {
        tuple(generator(seed, *names).random(4))
        for seed in (0, 1, 2**40)
        for names in (("a",), ("b",), ("a", "b"), ("b", "a"), ("order", 1), ("order", 2))
    }
    assert len(streams) == 18
    assert generator(5, "order", 1).random() == generator(5, "order", 1).random()


@pytest.mark.parametrize("tau", [{"normal": {"mean": 1, "sd": 2}}, {"uniform": {"low": 5, "high": 30}}])
def test_time_constants_are_drawn_for_each_neuron_and_stay_positive(tau: dict[str, Any]) -> None:
    def taus(seed: int) -> NDArray[np.float64]:
        entry = {"kind": "lif", "size": 2000, "tau_mem_ms": tau, "tau_syn_ms": 4}
        population = built({"populations": {"hid": entry}}, seed=seed)["hid"]
        assert population.tau_syn_ms == 4
        return np.array(population.tau_mem_ms)

    drawn = taus(1)
    assert drawn.shape == (2000,)
    assert np.array_equal(drawn, taus(1))
    assert not np.array_equal(drawn, taus(2))
    if "normal" in tau:
        # Cut at 0.1, so the mean moves up by sd phi(z) / Phi(-z), z = (0.1 - 1) / 2.
        z = -0.45
        density, above = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi), 0.5 * (1 + math.erf(-z / np.sqrt(2)))
        assert drawn.min() >= 0.1
        assert drawn.mean() == pytest.approx(1 + 2 * density / above, abs=5 * 2 / 2000**0.5)
    else:
        assert 5 <= drawn.min() < 5.2
        assert 29.8 < drawn.max() <= 30


def test_outputs_are_as_many_as_target_traces() -> None:
    recipe = parse_recipe({**BASE, "training": {"readout": "trace", "loss": "mse"}}, "R")
    assert build_network(recipe, n_inputs=40, n_classes=3, n_traces=5)["out"].size == 5
