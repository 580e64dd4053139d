"""What the published implementation gets wrong and this one does not: one test for each flaw.

Flaws of mlGeNN 2.3.1, event_prop_compiler.py, and its issues (facts/training.md sections 1.4, 1.6 and 8).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import MODELS
from tests.networks import SHAPES, random_network, random_spikes, raster
from tests.oracles.reference import gradients, simulate
from toolchain.event_graph import flatten, split_flat, unflatten
from toolchain.network import Network, Population, make_projection
from toolchain.objective import Objective
from toolchain.recipe import read_recipe
from toolchain.spikes import SpikeTrains, bin_events
from toolchain.storage import load_arrays
from toolchain.training.backends import BatchGradient, make_engine
from toolchain.training.backends.cpu import CpuEngine
from toolchain.training.run_folder import create_run_folder
from toolchain.training.trainer import prepare, train

STEPS = 60
Expected = dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]


def assert_equal_to_reference(network: Network, found: BatchGradient, expected: Expected) -> None:
    parts = (split_flat(network, found.weight), split_flat(network, found.delay))
    for name, both in expected.items():
        for ours, theirs in zip((parts[0][name], parts[1][name]), both, strict=True):
            assert np.abs(ours - theirs).max() <= 2e-3 * np.abs(theirs).max() + 1e-9, name


Batch = tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]


def watch(monkeypatch: pytest.MonkeyPatch) -> list[Batch]:
    """Of every batch from now on: the weights in force, the samples and the gradient of the weights."""
    found: list[Batch] = []
    held: list[NDArray[np.float32]] = []
    set_parameters, gradients_of = CpuEngine.set_parameters, CpuEngine.gradients

    def setting(self: CpuEngine, weights: NDArray[np.float32], delays: NDArray[np.float32]) -> None:
        held[:] = [weights.copy()]
        set_parameters(self, weights, delays)

    def taking(
        self: CpuEngine, spikes: SpikeTrains, labels: NDArray[np.int64], samples: NDArray[np.int64], observed: None
    ) -> BatchGradient:
        gradient = gradients_of(self, spikes, labels, samples, observed)
        found.append((held[0], samples.copy(), gradient.weight.copy()))
        return gradient

    monkeypatch.setattr(CpuEngine, "set_parameters", setting)
    monkeypatch.setattr(CpuEngine, "gradients", taking)
    return found


@pytest.mark.parametrize("size", [1999, 5000])
def test_no_batch_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Flaw: the backward pass of a batch runs inside the forward pass of the next, so an epoch loses its last one.

    The weights after an epoch are those that Adam, written down again, makes of the gradients of all batches. The last
    of them is short, or the only one. Each gradient was taken where the steps before it had led.
    """
    batches = watch(monkeypatch)
    overrides = ["training.epochs=1", f"training.batch_size={size}", "network.projections.1.weight_rate_factor=1"]
    recipe = read_recipe(MODELS / "yin_yang.yaml", ["network.populations.hidden.size=12", *overrides])
    run = create_run_folder(tmp_path, recipe)
    task = prepare(recipe)
    train(run, task)
    assert np.array_equal(np.sort(np.concatenate([samples for _, samples, _ in batches])), np.arange(5000))
    assert [samples.size for _, samples, _ in batches] == ([5000] if size == 5000 else [1999, 1999, 1002])

    weights = flatten(task.network, "weight").astype(np.float64)
    first, second = np.zeros(weights.size), np.zeros(weights.size)
    for n, (at, _, gradient) in enumerate(batches, start=1):
        assert np.abs(at - weights).max() < 1e-5
        assert np.abs(gradient).max() > 0
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient.astype(np.float64) ** 2
        step = recipe.training.weight_rate * first / (1 - 0.9**n)
        weights = weights - step / (np.sqrt(second / (1 - 0.999**n)) + 1e-8)
    arrays = load_arrays(run.checkpoint("last"))[0]
    trained = flatten(
        task.network.with_arrays(
            {p.name: (arrays[f"{p.name}.weight"], arrays[f"{p.name}.delay"]) for p in task.network.projections}
        ),
        "weight",
    )
    assert np.abs(trained - weights).max() < 1e-5
    assert np.abs(trained - batches[-1][0]).max() > 1e-3, "the last batch moved them"


def test_a_gradient_belongs_to_the_parameters_of_its_own_forward_pass() -> None:
    """Flaw: a trial is replayed with weights and delays that the optimiser has changed since its forward pass."""
    random = np.random.default_rng(5)
    before = random_network("two_coupled", random)
    weights, delays = flatten(before, "weight") * np.float32(1.3), flatten(before, "delay")[::-1].copy()
    after = unflatten(before, weights, delays)
    spikes = random_spikes(random, 1, 5, STEPS, 0.08)
    labels = random.integers(0, 3, 1)
    expected = gradients(after, simulate(after, {"in": raster(spikes, 0)}), int(labels[0]))
    other = gradients(before, simulate(before, {"in": raster(spikes, 0)}), int(labels[0]))
    assert np.abs(expected["in->a"][0] - other["in->a"][0]).max() > 0.1 * np.abs(expected["in->a"][0]).max()
    engine = make_engine("cpu", before, STEPS, max_slot=9, min_slope=1e-9)
    assert_equal_to_reference(before, engine.gradients(spikes, labels, np.array([0])), other)
    engine.set_parameters(weights, delays)
    assert_equal_to_reference(after, engine.gradients(spikes, labels, np.array([0])), expected)


def test_nothing_pending_at_the_end_leaks_into_the_next_sample() -> None:
    """Flaw: what spikes of the last two steps deliver stays in currents and buffers, and reaches the next sample."""
    random = np.random.default_rng(6)
    network = random_network("recurrent", random)
    late = np.array([(t, unit) for t in range(STEPS - 9, STEPS) for unit in range(5)])
    early = np.array([(t, unit) for t in (3, 8, 20) for unit in range(5)])
    spikes, _ = bin_events([(late[:, 0], late[:, 1]), (early[:, 0], early[:, 1])], 5, STEPS)
    labels = np.array([0, 1])
    pending = simulate(network, {"in": raster(spikes, 0)})
    assert np.abs(pending.arrivals["a"][STEPS:]).max() > 1
    clean = simulate(network, {"in": raster(spikes, 1)})
    leaking = simulate(network, {"in": raster(spikes, 1)}, before=pending)
    assert not np.array_equal(clean.spikes["a"], leaking.spikes["a"]), "a leak would show"

    engine = make_engine("cpu", network, STEPS, max_slot=9, min_slope=1e-9, threads=1)
    alone = engine.gradients(spikes, labels, np.array([1]))
    assert_equal_to_reference(network, alone, gradients(network, clean, 1))
    loss = make_engine("cpu", network, STEPS, max_slot=9).respond(spikes, labels).loss
    full = engine.gradients(spikes, labels, np.array([0]))
    after = engine.gradients(spikes, labels, np.array([1]))
    assert np.array_equal(after.weight, alone.weight)
    assert np.array_equal(after.delay, alone.delay)
    assert after.loss == pytest.approx(float(loss[1]), abs=1e-12)
    # In one batch, more samples than run side by side: some follow the full one.
    samples = np.array([0, 1] * 20)
    mixed = engine.gradients(spikes, labels, samples)
    mean = (full.weight.astype(np.float64) + alone.weight) / 2
    assert np.abs(mixed.weight - mean).max() < 1e-4 * np.abs(mean).max()


def test_input_spike_in_the_last_step_does_not_block_its_gradients() -> None:
    """Flaw: an event in the first reverse step is dropped with what waits behind it. It can change nothing here."""
    random = np.random.default_rng(7)
    network = random_network("two_layers", random)
    events = np.array([(t, unit) for t in (2, 9, 15, 30) for unit in range(5)])
    last = np.vstack([events, [(STEPS - 1, unit) for unit in range(5)]])
    spikes, _ = bin_events([(events[:, 0], events[:, 1]), (last[:, 0], last[:, 1])], 5, STEPS)
    engine = make_engine("cpu", network, STEPS, max_slot=9)
    without, with_last = (engine.gradients(spikes, np.array([1, 1]), np.array([s])) for s in (0, 1))
    assert np.all(np.abs(split_flat(network, without.weight)["in->a"]).max(axis=1) > 0)
    assert np.array_equal(without.weight, with_last.weight)
    assert np.array_equal(without.delay, with_last.delay)


@pytest.mark.parametrize("shape", SHAPES)
def test_hidden_spike_in_the_last_step_does_not_block_its_neuron(shape: str) -> None:
    """Flaw: as above. Nothing follows such a spike, so the gradient is the one without it, and not zero."""
    met = 0
    for seed in range(40):
        random = np.random.default_rng([SHAPES.index(shape), seed])
        network = random_network(shape, random)
        spikes = random_spikes(random, 1, 5, STEPS, 0.1)
        state = simulate(network, {"in": raster(spikes, 0)})
        fired = state.spikes["a"]
        if not (fired[-1] & fired[:-10].any(axis=0)).any():
            continue
        met += 1
        unit = int(np.flatnonzero(fired[-1] & fired[:-10].any(axis=0))[0])
        erased = fired.copy()
        erased[-1] = False
        expected = gradients(network, replace(state, spikes={**state.spikes, "a": erased}), 1)
        assert np.abs(expected["in->a"][0][:, unit]).max() > 0
        found = make_engine("cpu", network, STEPS, max_slot=9, min_slope=1e-9).gradients(
            spikes, np.array([1]), np.array([0])
        )
        assert_equal_to_reference(network, found, expected)
        if met == 3:
            break
    assert met > 0


@pytest.mark.parametrize("loss", ["cross_entropy", "relative_mse"])
def test_first_spike_in_the_last_step_counts_as_a_spike(loss: str) -> None:
    """Flaw: as above, for an output. It gets the gradient of its spike, which is not the nudge of a silent output."""
    objective = Objective("first_spike", loss)  # type: ignore[arg-type]
    network = Network(
        1.0,
        (Population("in", "spike_source", 1), Population("out", "lif", 2, threshold=0.5)),
        (make_projection("in", "out", np.array([[8.0, 8.0]]), np.array([[2.0, 0.0]])),),
    )
    one, _ = bin_events([(np.array([5]), np.array([0]))], 1, STEPS)
    first = int(simulate(network, {"in": raster(one, 0)}).spikes["out"][:, 0].argmax())
    # The same, cut off right after the spike of the slower, correct output.
    spikes, _ = bin_events([(np.array([5]), np.array([0]))], 1, first + 1)
    state = simulate(network, {"in": raster(spikes, 0)})
    assert state.spikes["out"][-1, 0]
    assert state.spikes["out"][:, 0].sum() == 1
    expected = gradients(network, state, 0, objective)
    silent = replace(state, spikes={**state.spikes, "out": state.spikes["out"] & (np.arange(2) == 1)})
    nudged = gradients(network, silent, 0, objective)
    assert abs(nudged["in->out"][0][0, 0] / expected["in->out"][0][0, 0] - 1) > 0.1, "they differ"
    engine = make_engine("cpu", network, first + 1, max_slot=2, objective=objective, min_slope=1e-9)
    assert_equal_to_reference(network, engine.gradients(spikes, np.array([0]), np.array([0])), expected)


@pytest.mark.parametrize("reading", ["average", "first_spike"])
def test_vanishing_slope_is_guarded_and_counted(reading: str) -> None:
    """Flaw: the adjoint is divided by the slope of the membrane at a spike, whatever it is, and grows without limit.

    A spike that only just happens: its slope is raised to the floor, in R, theta lambda_V and the loss alike.
    """
    spiking = reading == "first_spike"
    objective = Objective("first_spike", temperature_ms=5.0) if spiking else Objective("average")
    last = Population("out", "lif" if spiking else "leaky_readout", 2)
    weight = np.array([[6.25, 10.0]])
    spikes, _ = bin_events([(np.array([0]), np.array([0]))], 1, STEPS)

    def network(scale: float) -> Network:
        if spiking:
            incoming = (make_projection("in", "out", weight * scale),)
            return Network(1.0, (Population("in", "spike_source", 1), last), incoming)
        hidden = Population("hid", "lif", 2)
        onwards = make_projection("hid", "out", np.array([[1.0, -1.0], [0.5, 2.0]]))
        incoming = (make_projection("in", "hid", weight * scale),)
        return Network(1.0, (Population("in", "spike_source", 1), hidden, last), (*incoming, onwards))

    name = "out" if spiking else "hid"
    # The peak of the response grows with the weight: put it a hair above threshold.
    peak = simulate(network(0.5), {"in": raster(spikes, 0)}).voltage[name][:, 0].max()
    grazing = network(0.5 / float(peak) * 1.0005)
    state = simulate(grazing, {"in": raster(spikes, 0)})
    grazes, others = (state.slope[name][state.spikes[name][:, i], i] for i in (0, 1))
    assert grazes.size == 1
    floor = 0.9 * float(others.min())
    assert floor > 2.5 * grazes[0]
    free, held = (
        make_engine("cpu", grazing, STEPS, max_slot=0, objective=objective, min_slope=least).gradients(
            spikes, np.array([0]), np.array([0])
        )
        for least in (1e-9, floor)
    )
    assert (free.guarded, held.guarded) == (0, 1)
    raised = replace(state, slope={n: np.maximum(s, floor) for n, s in state.slope.items()})
    assert_equal_to_reference(grazing, held, gradients(grazing, raised, 0, objective))
    assert 0 < abs(held.weight[0]) < 0.5 * abs(free.weight[0])
    assert held.weight[1] == free.weight[1], "the other neuron is left alone"
