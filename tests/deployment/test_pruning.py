"""Deploying a pruned network, and any sparse one: no synapse comes back at any stage, and the report says what went."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import yaml

from hardware_targets.loihi.emulator_tables import build_tables
from hardware_targets.loihi.integer_network import IntegerNetwork
from hardware_targets.loihi.limits import read_limits
from hardware_targets.loihi.quantised import LoihiQuantised
from tests.conftest import MODELS
from tests.deployment.fakes import FaultyVendor, silent
from toolchain.deployment.bundle import read_bundle
from toolchain.deployment.deploy import Options, deploy, prepare
from toolchain.deployment.target import Quantised, find_target
from toolchain.errors import InputError, TargetLimitError
from toolchain.network import Network
from toolchain.network_builder import build_network
from toolchain.recipe import read_recipe
from toolchain.training.checkpoints import load_network
from toolchain.training.run_folder import RunFolder, create_run_folder
from toolchain.training.trainer import prepare as prepare_training
from toolchain.training.trainer import train

pytestmark = pytest.mark.usefixtures("without_pictures")

PROJECTIONS = (
    "{from: input, to: hidden, weight: {normal: {mean: 0.6, sd: 0.4}}, delay: {uniform: {low: 0, high: 100}}, "
    "learn_delay: true, density: 0.4}, "
    "{from: hidden, to: hidden, weight: {normal: {sd: 0.3}}, delay: {uniform: {low: 0, high: 90}}, learn_delay: true, "
    "density: 0.3}, "
    "{from: hidden, to: output, weight: {normal: {sd: 2}}, density: 0.6}"
)
SPARSE = (
    "dataset.options={late: 30, steps: 180}",
    "network.populations.hidden.size=16",
    f"network.projections=[{PROJECTIONS}]",
    "training.epochs=3",
    "training.max_slot=100",
    "training.revive=0.05",
    "training.quantise={from_epoch: 2, calibration_samples: 20}",
    "deployment.max_loss_points=100",
    "deployment.calibration_samples=20",
    "deployment.extend_delays=true",
)


@pytest.fixture(scope="module")
def sparse_run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    run = create_run_folder(tmp_path_factory.mktemp("sparse"), read_recipe(MODELS / "digits.yaml", list(SPARSE)))
    train(run, prepare_training(run.recipe()))
    return run


@pytest.fixture
def run(tmp_path: Path, trained_run: RunFolder) -> RunFolder:
    """A copy of the dense trained run that a test may change."""
    return RunFolder(shutil.copytree(trained_run.path, tmp_path / "run"))


def loihi(quantised: Quantised) -> LoihiQuantised:
    assert isinstance(quantised, LoihiQuantised)
    return quantised


def masks(network: Network | IntegerNetwork) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    """Projection -> its mask; every projection has one."""
    found = {}
    for projection in network.projections:
        assert projection.mask is not None, projection.name
        assert not projection.weight[~projection.mask].any()
        found[projection.name] = projection.mask
    return found


def assert_same(one: Mapping[str, object], other: Mapping[str, object]) -> None:
    assert list(one) == list(other)
    for name in one:
        assert np.array_equal(one[name], other[name]), name  # type: ignore[arg-type]


def assert_sparse_to_the_end(quantised: LoihiQuantised, expected: dict[str, np.ndarray], folder: Path) -> None:  # type: ignore[type-arg]
    """Quantised, extended, placed, emulated, exported and read back: the synapses of the masks, and no other."""
    for network in (quantised.trained, quantised.integers, quantised.rounded, quantised.weighted):
        assert_same(masks(network), expected)
    n_synapses = sum(int(mask.sum()) for mask in expected.values())
    extended = quantised.extended
    assert extended is not None
    on_chip = extended.network
    relays, used = extended.n_relays, masks(on_chip)
    # Each synapse starts at its source or a relay of it; one whose weight became 0 and whose delay is long at neither.
    dropped = sum(
        int(np.count_nonzero(p.exists & (p.weight == 0) & (p.slots > 62))) for p in quantised.integers.projections
    )
    here = sum(int(mask.sum()) for mask in used.values())
    assert n_synapses + relays - dropped <= here <= n_synapses + relays
    # What the mapper counts is no more than one axon for each source and core, with an index for each synapse.
    placement = find_target("loihi2").place(quantised)
    for core in placement.cores:
        bits = axons = 0
        for p in on_chip.projections:
            if p.target == core.population:
                fan_out = used[p.name][:, core.first : core.last + 1].sum(axis=1)
                # At most 8 weight, 6 delay and 12 index bits a synapse, in blocks of 64 with 10 more, in words of 64.
                bits += sum(64 * (1 - (-(int(n) * 26 + 10 * -(-int(n) // 64)) // 64)) for n in fan_out if n)
                axons += int(np.count_nonzero(fan_out))
        assert core.use["synaptic_memory_per_core"] <= bits
        assert core.use["axons_in_per_core"] == axons
    nonzero = sum(int(np.count_nonzero(p.addend)) for p in on_chip.projections)
    assert build_tables(on_chip).synapse.size == nonzero
    # In the script for Lava every projection is a sparse one, and its arrays have one entry for each synapse.
    script = (folder / "lava" / "network.py").read_text()
    assert not re.search(r"= (Delay)?Dense\(", script)
    assert len(re.findall(r"= (?:Delay)?Sparse\(", script)) == len(on_chip.projections)
    with np.load(folder / "lava" / "arrays.npz") as arrays:
        assert sum(arrays[name].size for name in arrays if name.endswith("_weights")) == here
        assert sum(arrays[name].size for name in arrays if name.endswith("_pre")) == here
    back = loihi(read_bundle(folder).quantised)
    assert_same(masks(back.trained), expected)
    assert_same(masks(back.on_chip), used)
    for one, other in zip(back.integers.projections, quantised.integers.projections, strict=True):
        assert np.array_equal(one.weight, other.weight)


def test_a_sparse_network_is_sparse_at_every_stage(sparse_run: RunFolder) -> None:
    recipe = sparse_run.recipe()
    started = masks(build_network(recipe, n_inputs=64, n_classes=10))
    trained = load_network(sparse_run.checkpoint("best"))
    assert_same(masks(trained), started)
    prepared = prepare(sparse_run, FaultyVendor(), Options(), silent)
    folder, report = deploy(sparse_run, FaultyVendor(), Options(), silent)
    assert {p.projection: p.synapses for p in report.projections} == {k: int(m.sum()) for k, m in started.items()}
    assert_sparse_to_the_end(loihi(prepared.quantised), started, folder)


def test_a_pruned_network_is_sparse_at_every_stage(sparse_run: RunFolder) -> None:
    """Pruned from a network that was sparse before: what it keeps is part of what there was."""
    options = Options(prune=0.5)
    prepared = prepare(sparse_run, FaultyVendor(), options, silent)
    before, after = masks(prepared.trained), masks(prepared.deployed)
    assert all(not (after[name] & ~before[name]).any() for name in before)
    total = sum(int(m.sum()) for m in before.values())
    assert sum(int(m.sum()) for m in after.values()) == total - round(0.5 * total)
    folder, _ = deploy(sparse_run, FaultyVendor(), options, silent)
    assert_sparse_to_the_end(loihi(prepared.quantised), after, folder)


def test_the_report_says_what_went_and_what_that_cost(run: RunFolder) -> None:
    folder, report = deploy(run, FaultyVendor(), Options(prune=0.6), silent)
    rungs = [r.rung for r in report.ladder]
    assert rungs[:3] == ["float", "pruned", "rounded_delays"]
    found = json.loads((folder / "report.json").read_text())["pruning"]
    assert [p["projection"] for p in found["projections"]] == ["input->hidden", "hidden->output"]
    total = 64 * 24 + 24 * 10
    assert sum(p["synapses"] for p in found["projections"]) == total
    assert sum(p["removed"] for p in found["projections"]) == round(0.6 * total)
    left = {p["projection"]: p["synapses"] - p["removed"] for p in found["projections"]}
    assert {p.projection: p.synapses for p in report.projections} == left
    saved = {s["name"]: s for s in found["savings"]}
    bits = sum(c.use["synaptic_memory_per_core"] for c in report.placement.cores)
    assert saved["synaptic_memory"]["after"] == bits < saved["synaptic_memory"]["before"]
    page = (folder / "report.html").read_text()
    assert "What pruning removed" in page
    assert f"{round(0.6 * total):,} synapses of {total:,} removed" in page
    # Pruning is part of the loss that the verdict is about.
    accuracy = {r.rung: r.accuracy for r in report.ladder}
    lost = 100 * (accuracy["float"] - accuracy["emulator"])
    assert (report.verdict == "pass") == (lost <= 5)


def test_without_pruning_there_is_no_rung_and_no_section(run: RunFolder) -> None:
    folder, report = deploy(run, FaultyVendor(), Options(), silent)
    assert "pruned" not in [r.rung for r in report.ladder]
    assert json.loads((folder / "report.json").read_text())["pruning"] is None
    assert "What pruning removed" not in (folder / "report.html").read_text()


def test_a_loss_by_pruning_fails_the_verdict(run: RunFolder) -> None:
    _, report = deploy(run, FaultyVendor(), Options(prune=0.97), silent)
    assert report.verdict == "fail"
    assert re.match(r"the emulator loses \d\d\.\d\d points of accuracy, the recipe allows 5", report.reasons[0])
    accuracy = {r.rung: r.accuracy for r in report.ladder}
    assert accuracy["pruned"] < accuracy["float"] - 0.05


def test_the_recipe_can_ask_for_it(run: RunFolder) -> None:
    recipe = yaml.safe_load(run.recipe_file.read_text())
    recipe["deployment"]["prune"] = 0.3
    run.recipe_file.write_text(yaml.safe_dump(recipe))
    pruned = prepare(run, FaultyVendor(), Options(), silent).pruned
    assert pruned is not None
    assert pruned.removed == round(0.3 * (64 * 24 + 24 * 10))
    assert prepare(run, FaultyVendor(), Options(prune=0), silent).pruned is None


def test_a_share_or_a_budget_that_makes_no_sense_is_refused() -> None:
    for share in (1.0, -0.1):
        with pytest.raises(InputError, match=f"--prune {share:g}: must be a share of the synapses"):
            Options(prune=share)
    with pytest.raises(InputError, match="--cores 0: must be 1 or more"):
        Options(cores=0)


def test_cores_that_the_integers_do_not_keep_to_are_refused(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last word is the mapper's on the network that is deployed, whatever pruning counted before."""
    target = FaultyVendor()
    pruned = target.prune(
        load_network(run.checkpoint("best")),
        prepare(run, target, Options(), silent).dataset.train.spikes.select(range(20)),
        fraction=0.1,
        cores=None,
        clip_delays=False,
        extend_delays=False,
    )
    monkeypatch.setattr(target, "prune", lambda *a, **k: pruned)
    with pytest.raises(TargetLimitError, match="network: takes 2 cores in the target's integers, 1 were asked for"):
        prepare(run, target, Options(cores=1), silent)


@pytest.mark.lava
def test_a_pruned_network_with_delays_equals_lava(tmp_path: Path, sparse_run: RunFolder) -> None:
    run = RunFolder(shutil.copytree(sparse_run.path, tmp_path / "run"))
    _, report = deploy(run, find_target("loihi2"), Options(vendor_samples=2, prune=0.4), silent)
    assert report.vendor_equal is True, report.first_divergence
    assert report.pruned is not None
    assert report.pruned.removed > 0
    assert read_limits("loihi2")["slot_max"] >= max(p.slots.max() for p in _on_chip(run).projections) > 0


def _on_chip(run: RunFolder) -> IntegerNetwork:
    return loihi(read_bundle(run.path / "loihi2").quantised).on_chip
