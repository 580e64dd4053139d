"""Gradients at the spikes of another machine: against the float64 reference with the same spikes imposed on it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.networks import SHAPES, random_network, random_spikes, raster
from tests.oracles.reference import State, gradients, simulate
from tests.oracles.reference_losses import push
from tests.training.test_engine import OBJECTIVES, STEPS, random_targets
from toolchain.errors import InputError
from toolchain.event_graph import split_flat
from toolchain.network import Network
from toolchain.objective import Objective
from toolchain.observed import Observed
from toolchain.spikes import SpikeTrains, beside, bin_events
from toolchain.training.backends import RateTarget, make_engine

every_objective = pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: f"{o.reading}-{o.loss}")


def other_machine(network: Network, random: np.random.Generator) -> Network:
    """The network as a chip might hold it: weights and thresholds a few percent off, one neuron dead."""
    arrays = {
        p.name: ((p.weight * random.normal(1, 0.05, p.weight.shape)).astype(np.float32), p.delay)
        for p in network.projections
    }
    populations = tuple(replace(p, threshold=p.threshold * 0.97) if p.kind == "lif" else p for p in network.populations)
    return replace(network.with_arrays(arrays), populations=populations)


def observe(states: list[State], network: Network, voltage: NDArray[np.float32] | None = None) -> Observed:
    spikes: dict[str, SpikeTrains] = {}
    for population in network.of_kind("lif"):
        rasters = [state.spikes[population.name] for state in states]
        events = [(np.nonzero(raster)[0], np.nonzero(raster)[1]) for raster in rasters]
        spikes[population.name] = bin_events(events, population.size, STEPS)[0]
    return Observed(spikes, voltage)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(4))
@every_objective
def test_gradients_are_those_at_the_spikes_of_the_other_machine(shape: str, seed: int, objective: Objective) -> None:
    random = np.random.default_rng([SHAPES.index(shape), seed, 7])
    network = random_network(shape, random, spiking_output=objective.spiking)
    spikes = random_spikes(random, 2, 5, STEPS, 0.06)
    labels = random.integers(0, 3, 2)
    targets = random_targets(random) if objective.reading == "trace" else None
    chip = other_machine(network, random)
    floor = 0.05
    engine = make_engine("cpu", network, STEPS, max_slot=9, objective=objective, targets=targets, min_slope=floor)
    changed = 0
    for sample in range(2):
        inputs = {"in": raster(spikes, sample)}
        imposed = {n: s for n, s in simulate(chip, inputs).spikes.items() if n != "in"}
        state = simulate(network, inputs, imposed=imposed)
        own = simulate(network, inputs)
        changed += sum(int((own.spikes[n] != imposed[n]).sum()) for n in imposed)
        small = sum(int((state.slope[p.name][state.spikes[p.name]] < floor).sum()) for p in network.of_kind("lif"))
        for name in state.slope:
            # A spike that the voltage gives no reason for has no slope of its own: the floor is used.
            state.slope[name] = np.maximum(state.slope[name], floor)
        observed = observe([state], network)
        found = engine.gradients(spikes.select([sample]), labels[[sample]], np.array([0]), observed)
        assert found.guarded == small
        label = int(labels[sample])
        target = None if targets is None else targets[label].astype(np.float64)
        loss = push(objective, state.voltage["out"], state.spikes["out"], label, network.dt_ms, target).loss
        assert found.loss == pytest.approx(loss, rel=1e-5, abs=1e-7)
        expected = gradients(network, state, label, objective, target=target)
        for ours, field in ((found.weight, 0), (found.delay, 1)):
            for name, part in split_flat(network, ours).items():
                theirs = expected[name][field]
                assert np.abs(part - theirs).max() <= 2e-3 * np.abs(theirs).max() + 1e-9, name
        responses = engine.respond(spikes.select([sample]), labels[[sample]], observed)
        assert responses.loss[0] == pytest.approx(found.loss)
        assert responses.neuron_spikes.tolist() == found.neuron_spikes.tolist()
    assert changed > 0 or seed > 0


@pytest.mark.parametrize("shape", SHAPES)
def test_spikes_of_the_engine_itself_give_its_own_gradient(shape: str) -> None:
    """On every sample of a batch, in any order, with the rate regulariser, on any number of threads."""
    random = np.random.default_rng([SHAPES.index(shape), 3])
    network = random_network(shape, random)
    spikes = random_spikes(random, 11, 5, STEPS, 0.08)
    labels = random.integers(0, 3, 11)
    rates = {p.name: RateTarget(4.0, 0.01) for p in network.of_kind("lif")}
    which = random.permutation(11)[:9]
    found = []
    for threads in (1, 3):
        engine = make_engine("cpu", network, STEPS, max_slot=9, rates=rates, threads=threads)
        own = engine.gradients(spikes, labels, which)
        observed = Observed(
            {
                p.name: bin_events([engine.trace(spikes, int(s)).spikes[p.name] for s in which], p.size, STEPS)[0]
                for p in network.of_kind("lif")
            }
        )
        found.append(engine.gradients(spikes, labels, which, observed))
        assert found[-1].loss == pytest.approx(own.loss, rel=1e-5)
        assert found[-1].neuron_spikes.tolist() == own.neuron_spikes.tolist()
        assert found[-1].correct == own.correct
        for ours, theirs in ((found[-1].weight, own.weight), (found[-1].delay, own.delay)):
            assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max()
    assert np.array_equal(found[0].weight, found[1].weight)
    assert np.array_equal(found[0].delay, found[1].delay)


def test_the_voltage_that_a_machine_reports_decides_loss_and_class() -> None:
    random = np.random.default_rng(0)
    network = random_network("feedforward", random)
    spikes = random_spikes(random, 3, 5, STEPS, 0.08)
    labels = np.array([0, 1, 2])
    engine = make_engine("cpu", network, STEPS, max_slot=9, objective=Objective("sum"))
    states = [simulate(network, {"in": raster(spikes, s)}) for s in range(3)]
    voltage = np.zeros((3, 3, STEPS), dtype=np.float32)
    voltage[np.arange(3), [2, 1, 0], -1] = 5.0
    responses = engine.respond(spikes, labels, observe(states, network, voltage))
    assert responses.prediction.tolist() == [2, 1, 0]
    assert responses.loss[1] == pytest.approx(np.log(1 + 2 * np.exp(-5)), rel=1e-4)
    assert responses.loss[0] == pytest.approx(5 + np.log(1 + 2 * np.exp(-5)), rel=1e-4)


def test_reports_that_do_not_fit_are_refused() -> None:
    random = np.random.default_rng(0)
    network = random_network("feedforward", random)
    spikes = random_spikes(random, 2, 5, STEPS, 0.08)
    labels = np.array([0, 1])
    engine = make_engine("cpu", network, STEPS, max_slot=9)
    states = [simulate(network, {"in": raster(spikes, s)}) for s in range(2)]
    good = observe(states, network)
    with pytest.raises(InputError, match=r"of populations \[\], must be of"):
        engine.respond(spikes, labels, Observed({}))
    with pytest.raises(InputError, match=r"\(samples, neurons, steps\) \(1, .* observe the samples that are given"):
        engine.respond(spikes, labels, observe(states[:1], network))
    with pytest.raises(InputError, match=r"observed readout_v: has shape \(2, 60, 3\)"):
        engine.respond(spikes, labels, Observed(good.spikes, np.zeros((2, STEPS, 3), dtype=np.float32)))


def test_sources_beside_each_other_are_one_source() -> None:
    random = np.random.default_rng(4)
    parts = [random_spikes(random, 6, n, 20, 0.2) for n in (3, 1, 4)]
    together = beside(parts)
    for sample in range(6):
        assert np.array_equal(together.dense(sample), np.concatenate([p.dense(sample) for p in parts]))
    with pytest.raises(InputError, match="do not lie beside each other"):
        beside([parts[0], replace(parts[1], n_steps=21)])
