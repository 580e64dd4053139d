"""From a bundle and a run of Lava that differs to words, data and the page."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hardware_targets.loihi import Loihi2Target
from hardware_targets.loihi.lava_export import write_lava_folder
from hardware_targets.loihi.lava_runner import run_lava
from tests.devices.chips import WEIGHT
from tests.diagnosis.planted import changed_projection, diagnose_integers, run_loihi
from tests.loihi.random_networks import random_network
from tests.report.example import make_figures, make_report
from tests.report.page import Page, svgs
from tests.validation.bundles import CHIPS, validated
from toolchain.deployment.deploy import Options, deploy
from toolchain.deployment.target import Quantised, Traces, find_target
from toolchain.diagnosis.diagnose import diagnose
from toolchain.diagnosis.findings import Diagnosis, Window
from toolchain.diagnosis.window import window, with_arrivals
from toolchain.errors import InputError
from toolchain.report.diagnosis import diagnosis_section
from toolchain.report.html import render_html
from toolchain.spikes import SpikeTrains
from toolchain.training.run_folder import RunFolder
from toolchain.validation.divergence import first_divergence


class Faulty(Loihi2Target):
    """Loihi 2 whose vendor's code has one weight that is another."""

    def __init__(self) -> None:
        super().__init__("loihi2", "for tests")
        self.planted: tuple[int, int, int] | None = None

    def emulate_traces(self, quantised: Quantised, spikes: SpikeTrains) -> Traces:
        """As it must be; the run of the vendor's code is made of the same."""
        emulated = super().emulate_traces(quantised, spikes)
        if self.planted is not None:
            return emulated
        ours: Any = quantised
        projection = ours.integers.projections[0]
        # Of all inputs the one that spikes most.
        pre = int(np.bincount(spikes.units, minlength=spikes.n_units).argmax())
        post = int(np.flatnonzero(projection.exists[pre])[0])
        weight = projection.weight.copy()
        weight[pre, post] ^= 8
        self.planted = pre, post, int(weight[pre, post])
        wrong = replace(ours, integers=changed_projection(ours.integers, projection.name, weight=weight))
        self.faulty = super().emulate_traces(wrong, spikes)
        return emulated

    def run_vendor(self, exported: Path, *, samples: int, timeout_s: float) -> Traces:
        """Return what the faulty network does."""
        parts = (
            {k: a[:samples] for k, a in part.items()} for part in (self.faulty.u, self.faulty.v, self.faulty.spikes)
        )
        return Traces(*parts)  # type: ignore[arg-type]


def test_deploy_and_validate_name_the_cause(
    trained_run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunFolder(shutil.copytree(trained_run.path, tmp_path / "run"))
    target = Faulty()
    folder, report = deploy(run, target, Options(vendor_samples=4), lambda _: None)
    assert report.verdict == "fail"
    assert report.diagnosis is not None
    assert target.planted is not None
    pre, post, wrong = target.planted
    (finding,) = report.diagnosis.findings
    assert (finding.cause, finding.synapse, finding.low, finding.high) == ("weight", (pre, post), wrong, wrong)
    assert any(f"synapse {pre}->{post} has weight {wrong}, must be" in reason for reason in report.reasons)
    stored = json.loads((folder / "report.json").read_text())["diagnosis"]
    assert stored["findings"][0]["synapse"] == [pre, post]
    assert stored["sentence"] == report.diagnosis.sentence
    page = (folder / "report.html").read_text()
    assert "Why lava differs" in page
    assert f"synapse {pre}-&gt;{post} has weight {wrong}" in page
    monkeypatch.setenv(WEIGHT, f"{pre} {post} {wrong}")
    result = validated(folder, f"{CHIPS}:miswired", samples=4)
    (again,) = result.of("miswired").causes
    assert f"synapse {pre}->{post} has weight {wrong}, must be" in again
    stored = json.loads((folder / "validation" / "test.json").read_text())["devices"][0]["diagnosis"]
    assert stored["findings"][0]["synapse"] == [pre, post]


def test_the_window_holds_the_traces_around_the_first_difference() -> None:
    network, spikes = random_network(4)
    projection = next(p for p in network.projections if p.source == "in")
    weight = projection.weight.copy()
    weight[0, 0] ^= 16
    ours = run_loihi(network, spikes)
    theirs = run_loihi(changed_projection(network, projection.name, weight=weight), spikes)
    at = first_divergence(ours, theirs, list(ours.v))
    assert at is not None
    assert at.layer == "h0"
    seen = window(ours, theirs, at, before=3, after=200)
    assert seen.steps == tuple(range(max(0, at.step - 3), spikes.n_steps))
    for q in ("u", "v", "spikes"):
        there = slice(seen.steps[0], None)
        assert list(seen.ours[q]) == getattr(ours, q)["h0"][0, there, at.neuron].tolist()
        assert list(seen.theirs[q]) == getattr(theirs, q)["h0"][0, there, at.neuron].tolist()
    from hardware_targets.loihi.fault_model import make_chip

    full = with_arrivals(seen, make_chip(network), spikes, theirs, ours)
    assert full.threshold == 64 * network["h0"].vth
    here = [(s, n, k, w) for t, s, n, k, w in full.arrivals if t == at.step]
    sent = [
        (p.source, pre, int(p.slots[pre, at.neuron]), int(p.weight[pre, at.neuron]))
        for p in network.projections
        if p.target == "h0"
        for pre in range(p.weight.shape[0])
        if p.weight[pre, at.neuron]
        and at.step - 1 - p.slots[pre, at.neuron] >= 0
        and (theirs.spikes[p.source][0].T if p.source != "in" else spikes.dense(0))[
            pre, at.step - 1 - p.slots[pre, at.neuron]
        ]
    ]
    assert sorted(here) == sorted(sent)
    assert ("in", 0) in {(source, neuron) for source, neuron, _, _ in here}, "the synapse that is wrong arrives there"
    assert json.loads(json.dumps(full.to_json()))["at"] == at.step


def the_diagnosis() -> Diagnosis:
    network, spikes = random_network(4)
    projection = next(p for p in network.projections if p.source == "in")
    weight = projection.weight.copy()
    weight[0, 0] ^= 16
    theirs = run_loihi(changed_projection(network, projection.name, weight=weight), spikes)
    found = diagnose_integers(network, spikes, theirs)
    seen = Window(
        0, "h0", 0, 5, (4, 5, 6), {"u": (1, 2, 3), "v": (4, 5, 6), "spikes": (0, 0, 1)},
        {"u": (1, 9, 3), "v": (4, 8, 7), "spikes": (0, 1, 0)}, 7, ((5, "in", 0, 3, -12),),
    )  # fmt: skip
    return replace(found, window=seen, not_available=("population <b>: nothing was reported",))


def test_the_page_says_what_was_found_and_what_was_not_tested() -> None:
    found = the_diagnosis()
    html = render_html(make_report(diagnosis=found), make_figures())
    page = Page(html)
    assert "Why Lava differs" in page.headings
    assert found.sentence in page.text
    (finding,) = found.findings
    assert finding.text in page.text
    (row,) = page.tables["What was found"][1:]
    assert row[0] == "weight"
    assert row[4] == f"{finding.explained} of {finding.total}"
    assert page.tables["What must arrive at step 5, of the spikes reported"][1:] == [["in", "0", "3", "−12"]]
    assert "population <b>: nothing was reported" in page.text, "escaped, and said"
    (drawing,) = (s for s in svgs(html) if "chart-window" in s.get("aria-labelledby", ""))
    (words,) = (e.text for e in drawing if e.tag.endswith("desc"))
    assert words == (
        "At step 5 u is 2 in the emulator and 9 in Lava; v is 5 in the emulator and 8 in Lava; spikes of the emulator: "
        "6; spikes of Lava: 5. The threshold is 7."
    )


def test_a_device_that_did_not_differ_when_run_again_is_said_to_be_another_each_time() -> None:
    network, spikes = random_network(4)
    again = diagnose_integers(network, spikes, run_loihi(network, spikes))
    words = "Run again, the samples that differed did not: Lava does not do the same each time."
    assert words in diagnosis_section(again, "Lava")
    assert words not in diagnosis_section(replace(the_diagnosis(), window=None), "Lava")


def test_a_page_without_a_diagnosis_has_no_such_section() -> None:
    assert "differs" not in " ".join(Page(render_html(make_report(), make_figures())).headings)


def test_traces_that_are_not_of_the_network_are_refused() -> None:
    network, spikes = random_network(1)
    traces = run_loihi(network, spikes)
    with pytest.raises(InputError, match=r"traces: u of 'x', which the network does not have"):
        diagnose_integers(network, spikes, replace(traces, u={"x": traces.u["h0"]}))
    with pytest.raises(InputError, match=r"traces: v of h0 is of shape \(1, 5, 5\), must be \(1, 59, 5\)"):
        diagnose_integers(network, spikes, replace(traces, v={"h0": traces.v["h0"][:, :5]}))


def test_a_target_that_cannot_be_replayed_is_named() -> None:
    class Other:
        name = "other"

    _, spikes = random_network(1)
    refused: Any = Other()
    with pytest.raises(InputError, match="target other: its step cannot be replayed here"):
        diagnose(refused, refused, spikes, Traces({}, {}, {}))


def test_our_targets_can_be_replayed() -> None:
    from toolchain.deployment.abilities import DiagnosableTarget

    for name in ("loihi1", "loihi2", "spinnaker1"):
        assert isinstance(find_target(name), DiagnosableTarget)


@pytest.mark.lava
def test_a_weight_that_was_changed_in_an_exported_folder_is_found_in_lavas_own_run(tmp_path: Path) -> None:
    network, spikes = random_network(4)
    projection = next(p for p in network.projections if p.source == "in")
    weight = projection.weight.copy()
    weight[3, 2] ^= 32
    write_lava_folder(changed_projection(network, projection.name, weight=weight), spikes, None, tmp_path / "lava")
    lava = run_lava(tmp_path / "lava", samples=spikes.n_samples, timeout_s=300)
    device = Traces(
        {k: a.astype(np.int64) for k, a in lava.u.items()},
        {k: a.astype(np.int64) for k, a in lava.v.items()},
        lava.spikes,
    )
    (finding,) = diagnose_integers(network, spikes, device).findings
    assert (finding.cause, finding.projection, finding.synapse) == ("weight", projection.name, (3, 2))
    assert (finding.low, finding.high) == (int(weight[3, 2]), int(weight[3, 2]))
