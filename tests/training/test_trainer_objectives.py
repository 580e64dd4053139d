"""From a recipe to the engine: spiking outputs, traces, rates and time constants of each neuron are really trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.networks import SHAPES, random_network, random_spikes, raster
from tests.oracles.reference import gradients, simulate
from tests.training.test_trainer import KillAt, Killed, arrays, assert_same_end, small
from tests.training.test_trainer_choices import FEW, trained
from toolchain.event_graph import flatten, split_flat
from toolchain.network import Network, Population
from toolchain.recipe import Recipe
from toolchain.training.backends import RateTarget, make_engine
from toolchain.training.checkpoints import load_network
from toolchain.training.engines import rate_targets, training_engine
from toolchain.training.run_folder import create_run_folder
from toolchain.training.trainer import Task, prepare, train

STEPS = 60
SPIKING = ("network.populations.output={kind: lif}", "network.projections.1.weight={normal: {mean: 1, sd: 1}}")


@pytest.mark.parametrize("loss", ["cross_entropy", "relative_mse"])
def test_a_spiking_output_learns_from_its_first_spikes(tmp_path: Path, loss: str) -> None:
    """The mean training loss of the last of eight epochs is well below that of the first."""
    choice = ("training.readout=first_spike", f"training.loss={loss}", "training.revive=0.1", *SPIKING)
    run, result = trained(tmp_path, small(*FEW, *choice, "training.epochs=8", "training.weight_rate=0.03"))
    losses = [line["train_loss"] for line in run.metrics()]
    assert losses[-1] < 0.8 * losses[0]
    assert set(run.metrics()[-1]["spikes_per_neuron"]) == {"hidden", "output"}
    assert result.network.readout.kind == "lif"


def test_traces_of_the_task_are_what_the_voltage_learns(tmp_path: Path) -> None:
    recipe = small("training={readout: trace, loss: mse, epochs: 6, batch_size: 50, weight_rate: 0.03}", FEW[0])
    task = prepare_with_targets(recipe)
    run = create_run_folder(tmp_path, recipe)
    train(run, task)
    losses = [line["train_loss"] for line in run.metrics()]
    assert task.network.readout.size == 2
    assert losses[-1] < 0.7 * losses[0]


def prepare_with_targets(recipe: Recipe) -> Task:
    """Yin-Yang with two outputs that are to rise to other heights for each class."""
    from toolchain.datasets import load_dataset

    data = load_dataset("yin_yang", recipe.dataset.options)
    ramp = np.linspace(0, 1, data.n_steps, dtype=np.float32)
    heights = np.array([[1, 0], [0, 1], [1, 1]], dtype=np.float32)
    return prepare(recipe, replace(data, targets=heights[:, :, None] * ramp))


def test_rates_of_the_recipe_reach_the_engine() -> None:
    recipe = small("training.rates={target_spikes: 3, strength: 1e-3}")
    assert rate_targets(recipe) == {"hidden": RateTarget(3.0, 1e-3)}
    other = small("training.rates={target_spikes: 3, strength: 1e-3, strength_of: {hidden: 2e-3}}")
    assert rate_targets(other) == {"hidden": RateTarget(3.0, 2e-3)}
    assert rate_targets(small("training.rates={strength: 1e-3, strength_of: {hidden: 0}}")) == {}
    found = []
    for one in (small(), recipe, other):
        task = prepare(one)
        engine = training_engine(one, task.dataset, task.network, 1)
        samples = task.dataset.train
        found.append(engine.gradients(samples.spikes, samples.labels, np.arange(20)).weight.astype(np.float64))
    # The regulariser adds to the gradient in proportion to its strength.
    pulled, twice = found[1] - found[0], found[2] - found[0]
    assert np.abs(pulled).max() > 1e-4
    assert twice == pytest.approx(2 * pulled, abs=1e-3 * np.abs(twice).max())


@pytest.mark.parametrize("target", [0, 6])
def test_hidden_neurons_are_drawn_to_their_rate(tmp_path: Path, target: int) -> None:
    """With the rate alone to learn from, for the loss counts next to nothing against it."""
    rates = f"training.rates={{target_spikes: {target}, strength: 1000}}"
    run, _ = trained(tmp_path, small(*FEW, rates, "training.epochs=6", "training.weight_rate=0.05"))
    spikes = [line["spikes_per_neuron"]["hidden"] for line in run.metrics()]
    assert abs(spikes[-1] - target) < 0.7 * abs(spikes[0] - target)


def mixed(network: Network, random: np.random.Generator) -> Network:
    """The network with time constants of each neuron, of either kind or both."""

    def change(population: Population, choice: int) -> Population:
        n = population.size
        mem, syn = tuple(15 + 10 * random.random(n)), tuple(3 + 4 * random.random(n))
        return replace(
            population,
            tau_mem_ms=mem if choice != 1 else population.tau_mem_ms,
            tau_syn_ms=syn if choice != 2 else population.tau_syn_ms,
        )

    simulated = enumerate(network.populations)
    return replace(network, populations=tuple(change(p, i % 3) if i else p for i, p in simulated))


@pytest.mark.parametrize("shape", SHAPES)
def test_time_constants_of_each_neuron_are_computed_as_in_the_reference(shape: str) -> None:
    random = np.random.default_rng(SHAPES.index(shape))
    network = mixed(random_network(shape, random), random)
    assert network.readout.heterogeneous
    spikes = random_spikes(random, 1, 5, STEPS, 0.06)
    engine = make_engine("cpu", network, STEPS, max_slot=9, min_slope=1e-9)
    state = simulate(network, {"in": raster(spikes, 0)})
    trace = engine.trace(spikes, 0)
    assert np.abs(trace.readout_v.T - state.voltage["out"]).max() < 2e-5
    found = engine.gradients(spikes, np.array([1]), np.array([0]))
    parts = (split_flat(network, found.weight), split_flat(network, found.delay))
    for name, both in gradients(network, state, 1).items():
        for ours, theirs in zip((parts[0][name], parts[1][name]), both, strict=True):
            assert np.abs(ours - theirs).max() <= 2e-3 * np.abs(theirs).max() + 1e-9, name


def test_a_run_with_time_constants_of_each_neuron_resumes_to_the_bit(tmp_path: Path) -> None:
    drawn = {"tau_mem_ms": "{normal: {mean: 20, sd: 8}}", "tau_syn_ms": "{uniform: {low: 3, high: 8}}"}
    taus = [f"network.populations.hidden.{key}={value}" for key, value in drawn.items()]
    recipe = small(*FEW, *taus, "training.epochs=2")
    whole, result = trained(tmp_path, recipe)
    assert len(set(np.atleast_1d(np.array(result.network["hidden"].tau_mem_ms)))) == 12
    cut = create_run_folder(tmp_path, recipe)
    with pytest.raises(Killed):
        train(cut, prepare(recipe), listener=KillAt(13))
    train(cut, prepare(cut.recipe()), resume=True)
    assert_same_end(whole, cut)
    assert load_network(cut.checkpoint("last")).populations == prepare(recipe).network.populations
    assert arrays(cut, "last").keys() == arrays(whole, "last").keys()
    assert flatten(result.network, "weight").size > 0
