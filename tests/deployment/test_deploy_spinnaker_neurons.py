"""Trained networks whose neurons differ from each other, or spike once a sample, from recipe to bundle on SpiNNaker."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from hardware_targets.spinnaker.emulator import emulate
from hardware_targets.spinnaker.integer_network import ONE, IntegerNetwork
from hardware_targets.spinnaker.quantised import SpinnakerQuantised
from tests.conftest import MODELS
from tests.no_pictures import no_pictures
from tests.oracles.arm import needs_arm
from tests.oracles.spynnaker_board import installed
from tests.spinnaker.test_network_arm import assert_equals_arm
from tests.validation.bundles import validated
from toolchain.datasets import Samples, load_dataset
from toolchain.deployment.bundle import read_bundle
from toolchain.deployment.deploy import Options, deploy
from toolchain.deployment.target import find_target
from toolchain.recipe import read_recipe
from toolchain.report.content import Report
from toolchain.training.run_folder import create_run_folder
from toolchain.training.trainer import prepare, train

UNEVEN = (
    "digits",
    "network.populations.hidden={kind: lif, size: 20, tau_mem_ms: {uniform: {low: 8, high: 40}}, "
    "tau_syn_ms: {normal: {mean: 5, sd: 1}}, learn_tau_mem: true, learn_tau_syn: true}",
    "network.populations.output={kind: leaky_readout, tau_mem_ms: {uniform: {low: 10, high: 30}}, tau_syn_ms: 5}",
    "training.epochs=2",
)
ONCE = (
    "yin_yang_first_spike",
    "dataset.options={early: 2, late: 40, steps: 100}",
    "network.dt_ms=0.5",
    "network.populations.hidden.size=20",
    "training.epochs=3",
    "training.max_slot=60",
    "training.delay_rate=0.5",
)
KINDS = {"uneven": UNEVEN, "once": ONCE}


@dataclass(frozen=True)
class Deployed:
    """A bundle, what is in it, its report, and samples that it was not calibrated on."""

    bundle: Path
    quantised: SpinnakerQuantised
    report: Report
    test: Samples

    @property
    def integers(self) -> IntegerNetwork:
        return self.quantised.integers


@pytest.fixture(scope="module", params=list(KINDS))
def deployed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    name, *overrides = KINDS[request.param]
    recipe = read_recipe(MODELS / f"{name}.yaml", overrides)
    run = create_run_folder(tmp_path_factory.mktemp(request.param), recipe)
    train(run, prepare(recipe), threads=1)
    with no_pictures():
        folder, report = deploy(run, find_target("spinnaker1"), Options(vendor_samples=0), lambda text: None)
    quantised = read_bundle(folder).quantised
    assert isinstance(quantised, SpinnakerQuantised)
    return Deployed(folder, quantised, report, load_dataset(recipe.dataset.task, recipe.dataset.options).test)


def test_they_do_on_the_chip_what_was_trained(deployed: Deployed) -> None:
    rungs = {rung.rung: rung.accuracy for rung in deployed.report.ladder}
    assert rungs["float"] > 0.6, "two classes or ten, it has learned something"
    assert abs(rungs["float"] - rungs["emulator"]) <= 0.02
    assert not any(count for events in deployed.report.overflows.values() for count in events.values())
    assert validated(deployed.bundle, "emulator").ladder[0].accuracy == rungs["emulator"]


def test_every_neuron_has_the_constants_that_it_was_trained_with(deployed: Deployed) -> None:
    for trained in deployed.quantised.trained.populations:
        parameters = deployed.integers[trained.name].parameters
        if parameters is None:
            continue
        assert (parameters.cm == parameters.tau_m).all()
        for name, held in (("tau_mem_ms", parameters.tau_m), ("tau_syn_ms", parameters.tau_syn_e)):
            wanted = np.broadcast_to(getattr(trained, name), trained.size)
            assert np.abs(held / ONE - wanted).max() <= 0.5 / ONE
        assert (parameters.tau_refrac > 0).all() == trained.single_spike
    uneven = [p.name for p in deployed.quantised.trained.populations if p.heterogeneous]
    assert bool(uneven) == (deployed.report.name == "digits")
    with np.load(deployed.bundle / "spynnaker" / "arrays.npz") as arrays:
        assert sum(name.endswith(".tau_m") for name in arrays.files) == len(uneven)


def test_neurons_that_spike_once_spike_once(deployed: Deployed) -> None:
    counts = emulate(deployed.integers, deployed.test.spikes).neuron_counts
    for population in deployed.quantised.trained.populations:
        if population.kind == "lif":
            assert (counts[population.name].max() == 1) == population.single_spike


@needs_arm
def test_the_arm_code_does_the_same_at_every_tick(deployed: Deployed) -> None:
    spikes = 0
    for sample in range(2):
        fired, _ = assert_equals_arm(deployed.integers, deployed.test.spikes.select([sample]))
        spikes += fired
    assert spikes > 10


@pytest.mark.slow
@pytest.mark.skipif(not installed(), reason="sPyNNaker is not installed; pip install -e .[spinnaker]")
def test_spynnaker_makes_the_same_tables(deployed: Deployed) -> None:
    found = validated(deployed.bundle, "spynnaker").of("spynnaker")
    assert found.equal, found.tables
    assert found.tables is not None
    assert found.tables.synapses == sum(p.n_synapses for p in deployed.integers.projections)
