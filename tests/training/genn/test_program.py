"""What goes to a device and comes back from it, by `tests.oracles.genn_device`: no copy is forgotten.

Without PyGeNN, and with memory of the device's own, which GeNN's code for processors has not.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.networks import random_network, random_spikes
from tests.oracles.genn_device import Device
from tests.training.genn.test_described import LABELS, STEPS, assert_same
from toolchain.event_graph import flatten
from toolchain.network import NeuronConstants
from toolchain.objective import Objective
from toolchain.observed import Observed
from toolchain.spikes import bin_events
from toolchain.training.backends import RateTarget, make_engine
from toolchain.training.backends.genn import program as module
from toolchain.training.backends.genn.engine import GennEngine
from toolchain.training.backends.genn.installation import Installation
from toolchain.training.optimiser import Adam


@pytest.fixture(autouse=True)
def device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tapes start short, so that models are also closed and loaded anew on the way."""
    monkeypatch.setattr(module, "to_pygenn", lambda description, installation: Device(description))
    monkeypatch.setattr(module, "build_and_load", lambda *given: None)
    monkeypatch.setattr("toolchain.training.backends.genn.session.FIRST_ROOM", 1)


def load(description: Any) -> module.Program:
    return module.Program(description, Installation("5.4.0", "cuda"), Path("nowhere"))


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize(("shape", "spiking"), [("recurrent_masked", False), ("skip", True)])
def test_gradients_are_those_of_the_cpu_backend(shape: str, spiking: bool, batch: int) -> None:
    random = np.random.default_rng(3)
    network = random_network(shape, random, spiking_output=spiking)
    spikes = random_spikes(random, 3, 5, STEPS, 0.2)
    settings: dict[str, Any] = {
        "max_slot": 9,
        "objective": Objective("first_spike") if spiking else Objective(),
        "rates": {"a": RateTarget(4.0, 0.05)},
        "learn_tau": ["a"],
    }
    ours = make_engine("cpu", network, STEPS, **settings)
    theirs = GennEngine(network, STEPS, load=load, batch=batch, **settings)
    for samples in (np.arange(3), np.array([2])):
        assert_same(ours.gradients(spikes, LABELS, samples), theirs.gradients(spikes, LABELS, samples))
    heard, answered = (engine.respond(spikes, LABELS[:3]) for engine in (ours, theirs))
    np.testing.assert_allclose(answered.loss, heard.loss, rtol=1e-5)
    np.testing.assert_array_equal(answered.prediction, heard.prediction)


def test_spikes_that_a_machine_reported_get_there() -> None:
    random = np.random.default_rng(4)
    network = random_network("two_coupled", random)
    spikes = random_spikes(random, 3, 5, STEPS, 0.2)
    chip = replace(network, populations=tuple(replace(p, threshold=0.9 * p.threshold) for p in network.populations))
    machine = make_engine("cpu", chip, STEPS, max_slot=9)
    traces = [machine.trace(spikes, sample).spikes for sample in range(3)]
    seen = Observed({name: bin_events([t[name] for t in traces], network[name].size, STEPS)[0] for name in ("a", "b")})
    settings: dict[str, Any] = {"max_slot": 9, "objective": Objective(), "rates": {"a": RateTarget(4.0, 0.05)}}
    ours = make_engine("cpu", network, STEPS, **settings)
    theirs = GennEngine(network, STEPS, load=load, batch=2, **settings)
    for observed in (seen, None):
        expected = ours.gradients(spikes, LABELS, np.arange(3), observed)
        assert_same(expected, theirs.gradients(spikes, LABELS, np.arange(3), observed))


@pytest.mark.parametrize("batch", [1, 2])
def test_what_the_device_learns_comes_back(batch: int) -> None:
    random = np.random.default_rng(3)
    network = random_network("recurrent_masked", random)
    spikes = random_spikes(random, 5, 5, STEPS, 0.2)
    beta = np.linspace(0.6, 0.9, network["a"].size)
    settings: dict[str, Any] = {"max_slot": 9, "constants": {"a": NeuronConstants(0.95, beta, 0.1, 0.6)}}
    ours = make_engine("cpu", network, STEPS, **settings)
    theirs = GennEngine(
        network, STEPS, load=load, batch=batch, objective=Objective(), adam_betas=(0.9, 0.98), **settings
    )
    rate = np.full(flatten(network, "weight").size, 0.02, dtype=np.float32)
    hosts, devices = ({kind: Adam(rate, 0.9, 0.98) for kind in ("weight", "delay")} for _ in range(2))
    weights, delays = (
        np.concatenate([getattr(p, n)[p.mask] for p in network.projections]) for n in ("weight", "delay")
    )
    weights, delays = weights.astype(np.float32), delays.astype(np.float32)
    there, after = weights.copy(), delays.copy()
    for samples in (np.array([0, 1, 2]), np.array([4, 3])):
        theirs.begin(there, after, devices)
        ours.set_parameters(weights, delays)
        gradient = ours.gradients(spikes, LABELS, samples)
        hosts["weight"].step(weights, gradient.weight, 1.0)
        hosts["delay"].step(delays, gradient.delay, 0.5)
        np.clip(delays, 0, 9, out=delays)
        learned = theirs.learn(spikes, LABELS, samples, (1.0, 0.5))
        np.testing.assert_array_equal(learned.neuron_spikes, gradient.neuron_spikes)
        theirs.finish(there, after, devices)
        np.testing.assert_allclose(there, weights, atol=2e-4)
        np.testing.assert_allclose(after, delays, atol=2e-3)
        for kind, host in hosts.items():
            np.testing.assert_allclose(devices[kind].first, host.first, rtol=1e-2, atol=1e-6)
