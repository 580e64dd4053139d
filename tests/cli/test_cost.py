"""`delayline cost`: bundles beside each other, from what their reports hold; and the same figures on the page."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from hardware_targets.loihi import loihi2
from hardware_targets.spinnaker import spinnaker1
from tests.cli.runner import run_cli
from tests.report.page import Page
from toolchain.datasets import load_dataset
from toolchain.deployment.abilities import CostedTarget
from toolchain.deployment.bundle import read_bundle
from toolchain.deployment.deploy import Options, deploy
from toolchain.deployment.target import Target
from toolchain.training.run_folder import RunFolder


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory, trained_run: RunFolder) -> list[Path]:
    run = RunFolder(shutil.copytree(trained_run.path, tmp_path_factory.mktemp("deployed") / "run"))
    targets: list[Target] = [loihi2, spinnaker1]
    return [deploy(run, target, Options(vendor_samples=0), lambda text: None)[0] for target in targets]


def test_both_targets_say_what_an_inference_costs() -> None:
    assert isinstance(loihi2, CostedTarget)
    assert isinstance(spinnaker1, CostedTarget)


def test_counts_in_a_report_are_those_of_the_emulated_traces(bundles: list[Path]) -> None:
    """All test samples, traced step by step: spikes and updates, counted here."""
    for path in bundles:
        bundle = read_bundle(path)
        test = load_dataset(bundle.recipe.dataset.task, bundle.recipe.dataset.options).test
        spikes = bundle.target.emulate_traces(bundle.quantised, test.spikes).spikes
        cost = json.loads((path / "report.json").read_text())["cost"]
        rows = {row["name"]: row for row in cost["counts"]}
        assert cost["samples"] == test.labels.size
        fired = np.sum([raster.sum(axis=(1, 2)) for raster in spikes.values()], axis=0)
        assert rows["spikes_out"]["mean"] == pytest.approx(fired.mean())
        assert (rows["spikes_out"]["least"], rows["spikes_out"]["most"]) == (fired.min(), fired.max())
        neurons = sum(raster.shape[2] for raster in spikes.values())
        assert rows["neuron_updates"]["mean"] == neurons * test.spikes.n_steps


def test_bundles_stand_side_by_side(
    bundles: list[Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    finished = run_cli(capsys, monkeypatch, "cost", *map(str, bundles))
    assert finished.code == 0
    head = finished.out.splitlines()[0]
    name = read_bundle(bundles[0]).recipe.name
    assert head.index(f"{name} on loihi2") < head.index(f"{name} on spinnaker1")
    (latency,) = [line for line in finished.out.splitlines() if line.startswith("latency (estimate)")]
    cost = json.loads((bundles[1] / "report.json").read_text())["cost"]
    assert latency.endswith(f"{1e3 * cost['estimates']['latency']['value']:.3g} ms")
    assert "nothing was measured on a chip" in finished.out
    (static,) = [line for line in finished.out.splitlines() if line.startswith("energy, static (estimate)")]
    assert "unknown" in static
    found = json.loads(run_cli(capsys, monkeypatch, "cost", *map(str, bundles), "--json").out)
    assert [c["target"] for c in found] == ["loihi2", "spinnaker1"]
    assert all(e["label"] == "estimate" for c in found for e in c["estimates"].values())


def test_the_page_begins_with_a_sentence_and_names_constants_and_their_sources(bundles: list[Path]) -> None:
    page = Page((bundles[1] / "report.html").read_text(encoding="utf-8"))
    assert "Cost of an inference" in page.headings
    assert "is estimated to take" in page.text
    assert "nothing was measured on a chip" in page.text
    estimates = page.tables["Estimates for one inference"]
    assert estimates[0] == ["Estimate", "Low", "Central", "High"]
    updates = page.row("Counts of one inference", "neuron updates")
    assert updates[1] == updates[3] == updates[4]
    assert updates[2] == "0"
    assert page.row("Constants behind the estimates", "idle chip power")[1] == "0.35 W"
    assert any("Loihi 2" in row[0] for row in page.tables["Published figures, for comparison"])


@pytest.mark.parametrize("spoil", ["no report", "no cost", "no JSON", "no estimates"])
def test_what_holds_no_cost_is_refused_with_one_line(
    spoil: str,
    bundles: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report = json.loads((bundles[0] / "report.json").read_text())
    if spoil == "no cost":
        report["cost"] = None
    if spoil == "no estimates":
        del report["cost"]["estimates"]
    text = "{" if spoil == "no JSON" else json.dumps(report)
    if spoil != "no report":
        (tmp_path / "report.json").write_text(text)
    finished = run_cli(capsys, monkeypatch, "cost", str(tmp_path))
    assert (finished.code, finished.out) == (2, "")
    (line,) = finished.err.splitlines()
    assert "bundle" in line
    assert "deploy" in line
