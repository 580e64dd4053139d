"""Runs whose time constants learn: they find what they should, stay in range, resume to the bit and come back whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.networks import random_network, random_spikes
from tests.training.test_trainer import KillAt, Killed, arrays, assert_same_end, small
from tests.training.test_trainer_choices import FEW, trained
from toolchain.deployment.deploy import Options
from toolchain.deployment.deploy import prepare as prepare_deployment
from toolchain.deployment.target import find_target
from toolchain.errors import CheckpointError, TargetLimitError
from toolchain.network import Network, NeuronConstants
from toolchain.objective import Objective
from toolchain.recipe import Recipe
from toolchain.storage import load_arrays
from toolchain.training.backends import make_engine
from toolchain.training.checkpoints import load_checkpoint, load_network
from toolchain.training.optimiser import Adam
from toolchain.training.run_folder import RunFolder, create_run_folder
from toolchain.training.trainer import prepare, train

LEARN = (
    "network.populations.hidden.learn_tau_mem=true",
    "network.populations.hidden.learn_tau_syn=true",
    "network.populations.output.learn_tau_mem=true",
    "training.tau_rate=0.05",
)
NARROW = "training.tau_range_ms=[4.8, 21]"


def learning(*overrides: str) -> Recipe:
    return small(*FEW, *LEARN, *overrides)


def taus(network: Network) -> dict[str, tuple[Any, Any]]:
    return {p.name: (p.tau_mem_ms, p.tau_syn_ms) for p in network.populations}


def stored(run: RunFolder, which: str) -> dict[str, tuple[Any, Any]]:
    return taus(load_network(run.checkpoint(which)))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Three epochs of 10 batches in which weights, delays and time constants learn, without an interruption."""
    return trained(tmp_path_factory.mktemp("whole"), learning(NARROW))[0]


def test_time_constants_of_a_teacher_are_found_again() -> None:
    """Three readouts learn theirs from what their voltages should be; all else is as the teacher has it."""
    random = np.random.default_rng(3)
    network = random_network("feedforward", random)
    spikes = random_spikes(random, 8, 5, 100, 0.05)
    out = network["out"]
    true = replace(out, tau_mem_ms=(12.0, 20.0, 33.0), tau_syn_ms=(6.0, 3.0, 4.5))
    teacher = make_engine("cpu", replace(network, populations=(*network.populations[:-1], true)), 100, max_slot=9)
    # Every sample is a class of its own, with the trace that the teacher gives it.
    targets = np.stack([teacher.trace(spikes, s).readout_v for s in range(8)])
    engine = make_engine(
        "cpu", network, 100, max_slot=9, objective=Objective("trace", "mse"), targets=targets, learn_tau=["out"]
    )
    adam, values, losses = Adam(np.full(6, 0.03, dtype=np.float32)), np.array([[20.0] * 3, [5.0] * 3]), []
    for _ in range(400):
        mem, syn = (tuple(row) for row in values.tolist())
        pupil = replace(out, tau_mem_ms=mem, tau_syn_ms=syn)
        engine.set_constants({"out": NeuronConstants.of(pupil, network.dt_ms)})
        found = engine.gradients(spikes, np.arange(8), np.arange(8))
        losses.append(found.loss)
        change = np.zeros(6, dtype=np.float32)
        adam.step(change, np.concatenate([found.tau_mem[-3:], found.tau_syn[-3:]]), 0.99 ** len(losses))
        values = values * np.exp(change.reshape(2, 3))
    assert losses[-1] < 1e-2 * losses[0]
    assert np.abs(values / [true.tau_mem_ms, true.tau_syn_ms] - 1).max() < 0.2


def test_time_constants_alone_reduce_the_loss(tmp_path: Path) -> None:
    frozen = ("training.weight_rate=0", "training.delay_rate=0", "training.epochs=15")
    run, _ = trained(tmp_path, learning(*frozen, "training.tau_range_ms=[1, 500]"))
    before, after = prepare(run.recipe()).network, load_network(run.checkpoint("last"))
    for one, other in zip(before.projections, after.projections, strict=True):
        assert np.array_equal(one.weight, other.weight)
        assert np.array_equal(one.delay, other.delay)
    losses = [line["train_loss"] for line in run.metrics()]
    assert losses[-1] < 0.9 * losses[0]


def test_each_neuron_learns_its_own_and_what_does_not_learn_stays(whole: RunFolder) -> None:
    """Within the range; what would have left it is counted."""
    found = stored(whole, "last")
    for values in (*found["hidden"], found["output"][0]):
        assert len(set(values)) > 1
        assert min(values) >= 4.8
        assert max(values) <= 21
    assert found["output"][1] == 5.0
    assert found["input"] == (20.0, 5.0)
    assert sum(line["taus_clipped"] for line in whole.metrics()) > 0
    assert {4.8, 21.0} <= {value for values in (*found["hidden"], found["output"][0]) for value in values}


@pytest.mark.parametrize("batches", [1, 14, 30])
def test_a_run_resumes_to_the_bit(tmp_path: Path, whole: RunFolder, batches: int) -> None:
    """10 batches an epoch: within, and at the end of one."""
    cut = create_run_folder(tmp_path, whole.recipe())
    for at in (batches, 7):
        with pytest.raises(Killed):
            train(cut, prepare(cut.recipe()), resume=True, listener=KillAt(at))
    train(cut, prepare(cut.recipe()), resume=True)
    assert_same_end(whole, cut)
    for which in ("last", "best"):
        assert stored(cut, which) == stored(whole, which)


def test_result_does_not_depend_on_threads(tmp_path: Path, whole: RunFolder) -> None:
    for threads in (1, 5):
        run = create_run_folder(tmp_path, whole.recipe())
        train(run, prepare(run.recipe()), threads=threads)
        assert_same_end(whole, run)
        assert stored(run, "last") == stored(whole, "last")


def test_what_is_tested_is_the_network_that_is_stored(tmp_path: Path) -> None:
    """With its own time constants, not those of the last epoch or of the recipe."""
    run, result = trained(tmp_path, learning())
    task = prepare(run.recipe())
    best = load_network(run.checkpoint("best"))
    assert taus(best) == taus(result.network) != taus(task.network)
    engine = make_engine("cpu", best, task.dataset.n_steps, max_slot=62)
    for samples, accuracy in (
        (task.dataset.test, result.test_accuracy),
        (task.dataset.valid, result.valid_accuracy),
    ):
        prediction = engine.respond(samples.spikes, samples.labels).prediction
        assert np.mean(prediction == samples.labels) == accuracy


def test_a_run_that_does_not_learn_them_keeps_nothing_of_them(tmp_path: Path) -> None:
    """Nor does a step size for them change it."""
    runs = [trained(tmp_path / name, small(*FEW, *more))[0] for name, more in (("a", ()), ("b", LEARN[3:]))]
    assert_same_end(*runs)
    assert not [name for name in arrays(runs[0], "last") if "tau" in name]
    assert set(load_arrays(runs[0].checkpoint("last"))[1]["adam_steps"]) == {"weight", "delay"}
    assert taus(load_network(runs[0].checkpoint("last"))) == taus(prepare(runs[0].recipe()).network)
    assert [line["taus_clipped"] for line in runs[0].metrics()] == [0, 0, 0]


def test_a_checkpoint_may_differ_in_what_learns_only(whole: RunFolder) -> None:
    network, last = load_network(whole.checkpoint("last")), whole.checkpoint("last")
    learned = {"hidden": ("tau_mem_ms", "tau_syn_ms"), "output": ("tau_mem_ms",)}
    fresh = prepare(whole.recipe()).network
    assert taus(load_checkpoint(last, fresh, {}, learned)[0]) == taus(network) != taus(fresh)
    source, hidden, output = fresh.populations
    for others in ((replace(hidden, threshold=7.0), output), (hidden, replace(output, tau_syn_ms=7.0))):
        with pytest.raises(CheckpointError, match="its network is not that of the recipe"):
            load_checkpoint(last, replace(fresh, populations=(source, *others)), {}, learned)
    for less in ({}, {"hidden": ("tau_mem_ms",), "output": ("tau_mem_ms",)}):
        with pytest.raises(CheckpointError, match="its network is not that of the recipe"):
            load_checkpoint(last, fresh, {}, less)


def test_a_run_without_the_moments_of_its_time_constants_is_not_gone_on_with(tmp_path: Path) -> None:
    """The checkpoint of a recipe in which they did not learn yet."""
    run, _ = trained(tmp_path, small(*FEW))
    with pytest.raises(CheckpointError, match=r"adam\.tau\.first"):
        train(run, prepare(learning()), resume=True)


def test_deployment_on_loihi_says_what_is_in_the_way(whole: RunFolder) -> None:
    with pytest.raises(TargetLimitError, match=r"hidden.*time constant"):
        prepare_deployment(whole, find_target("loihi2"), Options(), lambda text: None)
