"""Adam on the device takes the steps that the host takes; without GeNN, by `tests.oracles.genn_machine`."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from tests.networks import random_network, random_spikes
from tests.oracles.genn_code import UpdateCode
from tests.oracles.genn_machine import Machine
from tests.training.genn.test_described import LABELS, STEPS, assert_same
from toolchain.errors import InputError, RecipeError
from toolchain.event_graph import flatten
from toolchain.objective import Objective
from toolchain.recipe import Recipe, parse_recipe
from toolchain.training.backends import Engine, GennOptions, LearningEngine, RateTarget
from toolchain.training.backends.genn.backend import device_adam
from toolchain.training.backends.genn.engine import GennEngine
from toolchain.training.backends.genn.gpu import Gpu
from toolchain.training.backends.genn.installation import Installation
from toolchain.training.backends.genn.optimiser_code import adam
from toolchain.training.engines import genn_options, learning_populations
from toolchain.training.optimiser import Adam

BETAS = (0.9, 0.98)
BATCHES = [np.array([0, 1, 2]), np.array([4, 3]), np.array([1, 0, 3])]
FACTORS = [(1.0, 0.5), (0.7, 1.0), (0.3, 0.2)]


def optimisers(rate: np.ndarray[Any, Any]) -> dict[str, Adam]:
    return {"weight": Adam(rate, *BETAS), "delay": Adam((20 * rate).astype(np.float32), *BETAS)}


@pytest.mark.parametrize("with_delays", [False, True])
def test_code_parses_and_every_name_is_used(with_delays: bool) -> None:
    for slot in ("uint8_t", "uint16_t"):
        model = adam(with_delays=with_delays, slot=slot)
        UpdateCode(model)
        declared = {v.name for v in model.variables}
        declared |= {name for name, _ in (*model.params, *model.dynamic, *model.references)}
        assert declared <= set(re.findall(r"\w+", model.code))
        assert ("Delay" in declared) == with_delays


@pytest.mark.parametrize("shape", ["recurrent", "recurrent_masked"])
@pytest.mark.parametrize("rates", [None, {"a": RateTarget(4.0, 0.05)}])
@pytest.mark.parametrize("batch", [1, 2])
def test_steps_are_those_of_the_host(shape: str, rates: Any, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over several batches and two epochs, with tapes that grow between two samples of a batch; some rates are 0."""
    monkeypatch.setattr("toolchain.training.backends.genn.session.FIRST_ROOM", 1)
    random = np.random.default_rng(3)
    network = random_network(shape, random)
    spikes = random_spikes(random, 5, 5, STEPS, 0.2)
    settings: dict[str, Any] = {"max_slot": 9, "objective": Objective(), "rates": rates}
    ours, theirs = (
        GennEngine(network, STEPS, load=Machine, batch=batch, adam_betas=betas, **settings) for betas in (None, BETAS)
    )
    assert not ours.learns
    assert theirs.learns
    rate = np.where(random.random(ours.graph.n_synapses) < 0.8, 0.05, 0).astype(np.float32)
    hosts, devices = optimisers(rate), optimisers(rate)
    weights, delays = flatten(network, "weight"), flatten(network, "delay")
    there, after = weights.copy(), delays.copy()
    first = weights.copy()
    for _ in range(2):
        theirs.begin(there, after, devices)
        clipped = 0
        for chosen, factors in zip(BATCHES, FACTORS, strict=True):
            ours.set_parameters(weights, delays)
            gradient = ours.gradients(spikes, LABELS, chosen)
            hosts["weight"].step(weights, gradient.weight, factors[0])
            hosts["delay"].step(delays, gradient.delay, factors[1])
            clipped += int(np.count_nonzero((delays < 0) | (delays > 9)))
            np.clip(delays, 0, 9, out=delays)
            learned = theirs.learn(spikes, LABELS, chosen, factors)
            assert learned.loss == pytest.approx(gradient.loss, rel=1e-5)
            np.testing.assert_array_equal(learned.neuron_spikes, gradient.neuron_spikes)
        assert theirs.finish(there, after, devices) == clipped
        np.testing.assert_allclose(there, weights, atol=2e-4)
        np.testing.assert_allclose(after, delays, atol=2e-3)
        for kind, host in hosts.items():
            assert devices[kind].steps == host.steps
            np.testing.assert_allclose(devices[kind].first, host.first, rtol=1e-2, atol=1e-6)
            np.testing.assert_allclose(devices[kind].second, host.second, rtol=1e-2, atol=1e-9)
    assert clipped > 0
    assert np.abs(weights - first).max() > 0.1
    assert (weights == first)[rate == 0].all()
    # Its own parameters are those that it has learned.
    ours.set_parameters(there, after)
    np.testing.assert_allclose(theirs.respond(spikes, LABELS).loss, ours.respond(spikes, LABELS).loss, rtol=1e-6)
    assert_same(ours.gradients(spikes, LABELS, np.arange(5)), theirs.gradients(spikes, LABELS, np.arange(5)))


@pytest.mark.parametrize("slot", [STEPS - 2, STEPS, 2 * STEPS])
def test_delays_beyond_the_end_of_a_sample_learn_on(slot: int) -> None:
    """They may grow to `max_slot` and shrink again, though buffers are no longer than a sample; moments move them."""
    network = random_network("feedforward", np.random.default_rng(3))
    spikes = random_spikes(np.random.default_rng(4), 5, 5, STEPS, 0.2)
    engine = GennEngine(
        network, STEPS, load=Machine, batch=1, max_slot=2 * STEPS, objective=Objective(), adam_betas=BETAS
    )
    size = engine.graph.n_synapses
    weights, delays = flatten(network, "weight"), np.full(size, slot, dtype=np.float32)
    devices = {kind: Adam(np.ones(size, dtype=np.float32), *BETAS) for kind in ("weight", "delay")}
    moves = np.where(np.arange(size) % 2, 1, -1).astype(np.float32)
    devices["delay"].first[:], devices["delay"].second[:] = moves, 1
    devices["weight"].second[:] = 1
    engine.begin(weights, delays, devices)
    engine.learn(spikes, LABELS, np.arange(5), (0.0, 0.5))
    # Buffers have no slot beyond their last, which takes all of these past the end.
    engine.respond(spikes, LABELS)
    clipped = engine.finish(weights, delays, devices)
    # With gradients of nearly 0 against moments of 1, a first step of 0.9 sqrt(0.02 / 0.98) / 0.1 halves.
    expected = slot - 0.5 * moves * 0.9 / 0.1 * np.sqrt(0.02 / 0.98)
    np.testing.assert_allclose(delays, np.clip(expected, 0, 2 * STEPS), atol=0.2)
    assert clipped == np.count_nonzero(expected > 2 * STEPS)


def test_only_an_engine_with_an_optimiser_learns() -> None:
    network = random_network("feedforward", np.random.default_rng(0))
    engine: Engine = GennEngine(network, STEPS, load=Machine, batch=1, max_slot=9, objective=Objective())
    assert isinstance(engine, LearningEngine)
    assert not engine.learns


GPU = Installation("5.4.0", "cuda", Gpu("G", 2**34))
CPU = Installation("5.4.0", "cpu")


def test_auto_is_on_gpus() -> None:
    def chosen(adam: Any, found: Installation, ranks: int = 1, betas: tuple[float, float] | None = BETAS) -> Any:
        return device_adam(GennOptions(adam=adam, adam_betas=betas), found, ranks)

    assert chosen("auto", GPU) == chosen("device", GPU) == chosen("device", CPU) == BETAS
    assert chosen("auto", CPU) is None
    assert chosen("host", GPU) is None
    assert chosen("auto", GPU, ranks=2) is None
    assert chosen("auto", GPU, betas=None) is None
    with pytest.raises(InputError, match="2 processes add up their gradients on the host"):
        chosen("device", GPU, ranks=2)


def recipe(**training: Any) -> Recipe:
    hidden: dict[str, Any] = {"kind": "lif", "size": 3}
    if training.pop("tau", False):
        hidden["learn_tau_mem"] = True
    populations = {"in": {"kind": "spike_source"}, "hid": hidden, "out": {"kind": "leaky_readout"}}
    projections = [{"from": "in", "to": "hid", "weight": 1.0}, {"from": "hid", "to": "out", "weight": 1.0}]
    network = {"dt_ms": 1.0, "populations": populations, "projections": projections}
    data: dict[str, Any] = {"name": "n", "dataset": {"task": "sequence"}, "network": network, "training": training}
    return parse_recipe({**data, "deployment": {"target": "loihi2"}}, "R")


@pytest.mark.parametrize(
    ("settings", "why"),
    [({"tau": True}, "time constants learn"), ({"quantise": {"from_epoch": 0}}, "rounds the weights")],
)
def test_what_needs_the_host_stays_there_and_cannot_be_on_the_device(settings: dict[str, Any], why: str) -> None:
    """Said when the recipe is read; the backend `cpu` has no use for the key and lets it be."""
    assert genn_options(recipe(**settings)).adam_betas is None
    with pytest.raises(RecipeError, match=f"training.genn.adam: device needs the host, as .*{why}"):
        recipe(**settings, backend="genn", genn={"adam": "device"})
    assert genn_options(recipe(**settings, genn={"adam": "device"})).adam_betas is None
    assert genn_options(recipe(genn={"adam": "device"})).adam_betas == (0.9, 0.999)
    assert learning_populations(recipe(tau=True)) == ["hid"]
