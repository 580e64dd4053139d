"""The histogram counts what it was given, and the report says it: JSON, page and pictures."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.attribution.cases import LoihiCase
from tests.attribution.test_attribution import HEAVY, SLOTS, TIMES, WEIGHTS
from tests.deployment.fakes import FaultyVendor
from tests.report.example import make_report
from tests.report.page import Page, svgs
from toolchain.attribution.causes import Causes
from toolchain.attribution.distances import spike_distances
from toolchain.attribution.divergence import Attribution
from toolchain.attribution.explainer import explain_spikes, explained_samples
from toolchain.attribution.typical import Typical
from toolchain.deployment.deploy import deploy, prepare
from toolchain.deployment.options import Options
from toolchain.network import Network, Population
from toolchain.report.causes import causes_section
from toolchain.spikes import SpikeTrains
from toolchain.training.run_folder import RunFolder
from toolchain.validation.ladder import float_engine, predict


@pytest.fixture(scope="module")
def shown() -> Attribution:
    """A real one, with traces: light weights that were rounded down."""
    case = LoihiCase(WEIGHTS, SLOTS, 1859)
    ((found, _),) = case.explain(case.trained(weight=dict.fromkeys(range(HEAVY, 44), 7.5)), TIMES)
    return found


@pytest.fixture
def causes(shown: Attribution) -> Causes:
    plain = replace(shown, synapses=(), window=None)
    clipped: dict[str, Any] = {"cause": "clipped_weight", "decisive": ("clipped_weight", "rounded_weight")}
    return Causes(
        20,
        50,
        [
            shown,
            replace(plain, sample=3, step=40, knife_edge=True, outcome="lost", off_by_one=None),
            replace(plain, sample=4, step=60, **clipped),
            replace(plain, sample=9, population="second", step=10, outcome="gained", **clipped),
            replace(plain, sample=11, step=20, outcome="lost", float_margin=-0.5),
        ],
        (2, 1),
        [Typical("h", "rounded_weight", 9, 0.01, 0.05), Typical("h", "clipped_delay", 9, 0.255, 0.5)],
        (7, 9),
    )


def test_the_histogram_counts_samples_by_population_and_cause(causes: Causes, shown: Attribution) -> None:
    assert (causes.diverging, causes.by_population) == (5, {"h": 4, "second": 1})
    assert list(causes.by_cause.items()) == [("rounded_weight", 3), ("clipped_weight", 2)]
    assert causes.mean_step == pytest.approx((shown.step + 40 + 60 + 10 + 20) / 5)
    rows = {(r.population, r.cause): r for r in causes.rows()}
    assert list(rows) == [("h", "rounded_weight"), ("h", "clipped_weight"), ("second", "clipped_weight")]
    first = rows["h", "rounded_weight"]
    assert (first.samples, first.knife_edge, first.off_by_one, first.lost, first.gained) == (3, 1, 2, 2, 0)
    assert first.mean_step == pytest.approx((shown.step + 40 + 20) / 3)
    assert first.mean_margin == pytest.approx((2 * abs(shown.float_margin) + 0.5) / 3)
    assert rows["second", "clipped_weight"].gained == 1


def test_the_sentence_says_how_many_where_when_and_why(causes: Causes) -> None:
    sentence = causes.sentence()
    assert sentence.startswith("In 5 of 20 samples the chip's spikes differ from those of the float network: first in ")
    assert "h (4), second (1)" in sentence
    assert "most often because of rounded weights (60%)" in sentence
    assert "The right class is lost on the chip in 2 of them and gained in 1." in sentence
    assert sentence.endswith(
        "V of h is moved most by clipped delays (26% of the threshold, root mean square), and the chip's neuron "
        "reaches its threshold at 7 of 9 of them."
    )
    assert Causes(7, 7, []).sentence() == (
        "In all of 7 samples the chip has every spike of the float network and no other."
    )


def test_json_has_all_of_it_and_is_json(causes: Causes, shown: Attribution) -> None:
    found = json.loads(json.dumps(causes.to_json(), allow_nan=False))
    assert found["by_cause"] == {"rounded_weight": 3, "clipped_weight": 2}
    assert found["equal_spikes"] == {"lost": 2, "gained": 1}
    first, second, *_ = found["attributions"]
    assert len(first["window"]["float_v"]) == len(first["window"]["chip_v"]) == 31
    assert [c["name"] for c in first["contributions"]] == [c.name for c in shown.contributions]
    assert "window" not in second
    assert "because of rounded weights" in second["sentence"]


def test_the_page_says_why_and_draws_it(causes: Causes, shown: Attribution) -> None:
    spikes = {"h": (np.array([3, 9]), np.array([0, 1]))}
    fewer = {"h": (np.array([3]), np.array([0]))}
    distances = spike_distances({"h": 2}, [spikes], [fewer], 1.0, present=False)
    html = causes_section(causes, distances)
    page = Page(html)
    assert causes.sentence() in page.text
    assert "These are the first 20 of 50 test samples. All spikes are the same in 15" in page.text
    table = "Causes of the first spike that differs, by population"
    assert page.row(table, "h rounded weights")[1:3] == ["3 60%", f"{(shown.step + 60) / 3:.0f}"]
    typical = "What each change does to V at spikes of the float network, given its input"
    assert page.row(typical, "h clipped delays")[1:] == ["9", "25.5%", "50%"]
    assert page.row("Spike trains, by population: distances and mean rates", "h")[1:] == [
        "2", "1 50%", "–", "–", "1", "0.5", "−0.5",
    ]  # fmt: skip
    assert "pip install 'delayline[distances]'" in page.text
    drawn = {element.get("aria-labelledby"): element for element in svgs(html)}
    for key in ("chart-cause-0", "chart-trace-0"):
        title, description = list(drawn[f"{key}-title {key}-desc"])[:2]
        assert title.text
        assert description.text
    waterfall = drawn["chart-cause-0-title chart-cause-0-desc"]
    assert f"float margin +{100 * shown.float_margin:.2f}" in str(list(waterfall)[1].text)


def test_a_report_without_a_diagnosis_has_no_such_section() -> None:
    assert causes_section(None, None) == ""
    assert make_report().to_json()["causes"] is None


def test_large_networks_have_fewer_samples_looked_at() -> None:
    def trains(samples: int, steps: int) -> SpikeTrains:
        none = np.zeros(0, dtype=np.int32)
        return SpikeTrains(none, none, np.zeros(samples + 1, dtype=np.int64), 3, steps)

    def network(size: int) -> Network:
        return Network(1.0, (Population("in", "spike_source", 3), Population("h", "lif", size)), ())

    assert explained_samples(network(256), trains(2000, 1000)) == 200
    assert explained_samples(network(256), trains(30, 1000)) == 30
    assert explained_samples(network(20_000), trains(2000, 1000)) == 10
    assert explained_samples(network(2_000_000), trains(2000, 1000)) == 1


def test_a_deployed_run_is_diagnosed_sample_by_sample(trained_run: RunFolder) -> None:
    """Every sample is there once, and what becomes of classes is the difference of the two accuracies."""
    target = FaultyVendor()
    prepared = prepare(trained_run, target, Options(), lambda text: None)
    test = prepared.dataset.test
    causes, distances = explain_spikes(prepared.recipe, prepared.trained, target, prepared.quantised, test, 60)
    assert causes is not None
    assert (causes.samples, causes.of, distances.samples) == (60, 300, 60)
    chosen = test.spikes.select(range(60))
    engine = float_engine(prepared.recipe, prepared.trained, chosen.n_steps)
    floating = engine.respond(chosen, test.labels[:60]).prediction == test.labels[:60]
    emulated = target.emulate(prepared.quantised, chosen)
    chip = predict(prepared.recipe.training.readout, emulated.readout_v, emulated.first_spikes) == test.labels[:60]
    lost = sum(a.outcome == "lost" for a in causes.attributions) + causes.outcomes_equal[0]
    gained = sum(a.outcome == "gained" for a in causes.attributions) + causes.outcomes_equal[1]
    assert (lost, gained) == (np.count_nonzero(floating & ~chip), np.count_nonzero(chip & ~floating))
    rasters = target.emulate_traces(prepared.quantised, chosen).spikes["hidden"]
    differing = [s for s in range(60) if _raster(engine.trace(chosen, s).spikes, rasters[s].shape) != _set(rasters[s])]
    assert [a.sample for a in causes.attributions] == differing
    assert all(a.cause != "unexplained" for a in causes.attributions)
    assert [a.window is not None for a in causes.attributions].count(True) in (1, 2)
    # Four spikes of each sample, 200 / 60 rounded up.
    assert causes.kept[1] == 4 * 60
    assert {t.spikes for t in causes.typical} == {240}
    assert causes.kept[0] > 120
    assert sum(p.differing for p in distances.populations) >= len(differing)


def _set(raster: np.ndarray) -> set[tuple[int, int]]:  # type: ignore[type-arg]
    return {(int(t), int(j)) for t, j in np.argwhere(raster)}


def _raster(spikes: Mapping[str, Any], shape: tuple[int, ...]) -> set[tuple[int, int]]:
    raster = np.zeros(shape, dtype=np.bool_)
    raster[spikes["hidden"]] = True
    return _set(raster)


def test_the_report_of_a_deployment_has_it(trained_run: RunFolder, tmp_path: Path) -> None:
    run = RunFolder(shutil.copytree(trained_run.path, tmp_path / "run"))
    folder, report = deploy(run, FaultyVendor(), Options(vendor_samples=0), lambda text: None)
    assert report.causes is not None
    content = json.loads((folder / "report.json").read_text())
    assert content["causes"]["samples"] == 200
    page = Page((folder / "report.html").read_text())
    assert "Why spikes differ" in page.headings
    assert content["causes"]["sentence"] in page.text
    assert content["spike_distances"]["populations"][0]["trains"] == 200 * 24
