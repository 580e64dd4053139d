"""Deploying delays beyond the chip's slots: relays do the same, are not the user's populations, and come back."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from hardware_targets.loihi.quantised import LoihiQuantised
from tests.conftest import MODELS
from tests.deployment.fakes import FaultyVendor, silent
from tests.validation.bundles import validated
from toolchain.deployment.bundle import MANIFEST, NETWORK, read_bundle
from toolchain.deployment.deploy import Options, deploy, prepare
from toolchain.deployment.target import Quantised, Traces
from toolchain.errors import BundleError, InputError, RecipeError, TargetLimitError
from toolchain.recipe import Recipe, read_recipe
from toolchain.spikes import SpikeTrains
from toolchain.storage import load_arrays, save_arrays
from toolchain.training.chip import complete_recipe
from toolchain.training.run_folder import RunFolder, create_run_folder
from toolchain.training.trainer import prepare as prepare_training
from toolchain.training.trainer import train

pytestmark = pytest.mark.usefixtures("without_pictures")

EXTEND = Options(extend_delays=True)


def long_recipe(*more: str) -> Recipe:
    """Digits with delays up to slot 150 onto a recurrent hidden population."""
    projections = (
        "{from: input, to: hidden, weight: {normal: {mean: 0.3, sd: 0.4}}, delay: {uniform: {low: 0, high: 150}}, "
        "learn_delay: true}, "
        "{from: hidden, to: hidden, weight: {normal: {sd: 0.3}}, delay: {uniform: {low: 0, high: 90}}, density: 0.5}, "
        "{from: hidden, to: output, weight: {normal: {sd: 2}}}"
    )
    return read_recipe(
        MODELS / "digits.yaml",
        [
            "dataset.options={late: 30, steps: 220}",
            "network.populations.hidden.size=12",
            f"network.projections=[{projections}]",
            "training.epochs=1",
            "training.max_slot=150",
            "deployment.max_loss_points=100",
            "deployment.calibration_samples=20",
            *more,
        ],
    )


@pytest.fixture(scope="module")
def long_run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    run = create_run_folder(tmp_path_factory.mktemp("long"), long_recipe())
    train(run, prepare_training(run.recipe()))
    return run


@pytest.fixture
def run(tmp_path: Path, long_run: RunFolder) -> RunFolder:
    """A copy that a test may change."""
    return RunFolder(shutil.copytree(long_run.path, tmp_path / "run"))


def loihi(quantised: Quantised) -> LoihiQuantised:
    assert isinstance(quantised, LoihiQuantised)
    return quantised


def test_relays_pass_and_stay_out_of_the_pictures(run: RunFolder) -> None:
    folder, report = deploy(run, FaultyVendor(), EXTEND, silent)
    assert (report.verdict, report.reasons) == ("pass", [])
    accuracy = {r.rung: r.accuracy for r in report.ladder}
    assert accuracy["rounded_delays"] == accuracy["float"]
    used = {r.name: r.used for r in report.placement.resources}
    on_cores = [c for c in report.placement.cores if "+" in c.population]
    assert used["relay_cores"] == len(on_cores) > 0
    assert used["relay_neurons"] == sum(c.last - c.first + 1 for c in on_cores)
    assert [p.delays_clipped for p in report.projections] == [0, 0, 0]
    assert report.projections[0].delays_extended > 100
    assert set(report.overflows) == {"hidden", "output"}
    page = (folder / "report.html").read_text()
    spikes = re.search(r"Spikes of this sample, by engine.*?</table>", page, flags=re.DOTALL)
    assert spikes is not None
    assert "hidden" in spikes[0]
    assert "+" not in re.sub(r"<[^>]*>", "", spikes[0])
    assert "An extended one is beyond the slots of a synapse" in page
    assert validated(folder, "emulator").ladder[0].accuracy == accuracy["emulator"]


class ChangedByRelays(FaultyVendor):
    """A target whose relays change what is computed: without them a spike more."""

    def emulate_unextended(self, quantised: Quantised, spikes: SpikeTrains) -> Traces | None:
        """The emulator's traces with a fault in them."""
        traces = super().emulate_unextended(quantised, spikes)
        if traces is not None:
            np.asarray(traces.spikes["hidden"])[1, 30, 4] ^= True
        return traces


def test_a_difference_made_by_relays_fails_and_is_named(run: RunFolder) -> None:
    _, report = deploy(run, ChangedByRelays(), EXTEND, silent)
    assert report.verdict == "fail"
    assert report.vendor_equal
    (reason,) = report.reasons
    assert "delay extension changes what the emulator computes" in reason
    assert "sample 1, layer hidden, neuron 4, step 30: spikes is " in reason
    _, report = deploy(run, ChangedByRelays(), Options(clip_delays=True), silent)
    assert report.verdict == "pass"


def test_the_recipe_can_ask_for_it_and_a_cut_overrides_it(run: RunFolder) -> None:
    with pytest.raises(TargetLimitError, match="--extend-delays"):
        prepare(run, FaultyVendor(), Options(), silent)
    recipe = yaml.safe_load(run.recipe_file.read_text())
    recipe["deployment"]["extend_delays"] = True
    run.recipe_file.write_text(yaml.safe_dump(recipe))
    extended = loihi(prepare(run, FaultyVendor(), Options(), silent).quantised)
    assert extended.extended is not None
    assert max(p.slots.max() for p in extended.integers.projections) > 62
    cut = loihi(prepare(run, FaultyVendor(), Options(clip_delays=True), silent).quantised)
    assert cut.extended is None
    assert max(p.slots.max() for p in cut.integers.projections) == 62
    with pytest.raises(InputError, match="give one of the two"):
        replace(EXTEND, clip_delays=True)


def test_a_bundle_gives_the_same_relays_back(run: RunFolder) -> None:
    folder, _ = deploy(run, FaultyVendor(), EXTEND, silent)
    made = loihi(prepare(run, FaultyVendor(), EXTEND, silent).quantised)
    read = loihi(read_bundle(folder).quantised)
    assert read.on_chip.populations == made.on_chip.populations
    for ours, theirs in zip(read.on_chip.projections, made.on_chip.projections, strict=True):
        assert (ours.name, ours.exponent) == (theirs.name, theirs.exponent)
        np.testing.assert_array_equal(ours.weight, theirs.weight)
        np.testing.assert_array_equal(ours.slots, theirs.slots)
        np.testing.assert_array_equal(ours.exists, theirs.exists)
    assert [e.delays_extended for e in read.projection_errors] == [e.delays_extended for e in made.projection_errors]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a, h: h.update({"extended": False}), "exceeds 62"),
        (lambda a, h: h.update({"extended": "yes"}), "exceeds 62"),
        (lambda a, h: a["integer.input->hidden.slots"].__iadd__(10**12), "exceeds 65534"),
        (lambda a, h: a["integer.input->hidden.slots"].__iadd__(60_000), "need .* relays, which take"),
        (lambda a, h: a["integer.input->hidden.slots"].__isub__(200), "below 0 slots"),
    ],
)
def test_slots_of_a_bundle_that_was_tampered_with_are_refused(
    run: RunFolder, change: Callable[[dict[str, Any], dict[str, Any]], None], message: str
) -> None:
    folder, _ = deploy(run, FaultyVendor(), EXTEND, silent)
    arrays, header = load_arrays(folder / NETWORK)
    arrays = {name: np.array(array) for name, array in arrays.items()}
    change(arrays, header)
    save_arrays(folder / NETWORK, arrays, header)
    manifest = yaml.safe_load((folder / MANIFEST).read_text())
    manifest["files"][NETWORK] = hashlib.sha256((folder / NETWORK).read_bytes()).hexdigest()
    (folder / MANIFEST).write_text(yaml.safe_dump(manifest))
    with pytest.raises(BundleError, match=message):
        read_bundle(folder)


@pytest.mark.parametrize("forward", ["rounded", "emulator"])
def test_long_delays_are_trained_in_the_numbers_of_the_chip(tmp_path: Path, forward: str) -> None:
    quantise = f"training.quantise={{from_epoch: 0, calibration_samples: 10, forward: {forward}}}"
    with pytest.raises(RecipeError, match=r"150, but training\.quantise is for loihi2.*extend_delays: true"):
        complete_recipe(long_recipe(quantise))
    run = create_run_folder(tmp_path, long_recipe(quantise, "deployment.extend_delays=true"))
    result = train(run, prepare_training(run.recipe()))
    _, report = deploy(run, FaultyVendor(), Options(), silent)
    assert report.verdict == "pass"
    accuracy = {r.rung: r.accuracy for r in report.ladder}
    assert accuracy["emulator" if forward == "emulator" else "quantised_constants"] == result.test_accuracy
