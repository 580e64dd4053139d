"""Classes, flipped samples, weights and cores on the page, against counts made here."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from tests.report.example import make_figures, make_report
from tests.report.full_example import CORES_A_CHIP, full_figures, full_report
from tests.report.page import Page
from toolchain.deployment.target import CoreUse, Placement, Resource
from toolchain.report.confusion import FLIPS_SHOWN, confusion_section
from toolchain.report.content import Report, WeightErrors
from toolchain.report.core_map import core_map
from toolchain.report.figures_json import figures_json
from toolchain.report.html import render_html
from toolchain.report.raster import drawn_steps
from toolchain.report.spike_comparison import compare
from toolchain.report.weights import weight_summary
from toolchain.validation.flips import find_flips
from toolchain.validation.statistics import climb

MATRIX = "Classes read in the emulator, by true class, changes against float raised"
FLIPPED = "Samples that float and emulator read differently"
LABELS = np.array([0, 0, 0, 1, 1, 2])
FLOAT = np.array([0, 0, 1, 1, 1, 0])
CHIP = np.array([0, 1, 0, 1, -1, 1])


def small_report(chip: NDArray[np.int64] = CHIP) -> Report:
    predictions = [("float", FLOAT), ("emulator", chip)]
    return make_report(ladder=climb(predictions, LABELS, 3), flips=find_flips(predictions, LABELS, 3))


def test_the_matrix_has_counts_changes_and_the_column_of_none() -> None:
    page = Page(confusion_section(small_report()))
    assert page.tables[MATRIX] == [
        ["True class", "0", "1", "2", "none", "Right"],
        ["0", "2", "1", "0", "0", "66.7%"],
        ["1", "0", "1−1", "0", "1+1", "50.0%"],
        ["2", "0−1", "1+1", "0", "0", "0.0%"],
    ]
    assert page.tables["Classes read in float, by true class"][3] == ["2", "1", "0", "0", "0.0%"]
    assert page.row("Samples of each class that are read right, by rung", "1")[1:] == ["100.0%", "50.0%", "2"]


def test_flipped_samples_are_named_with_both_classes() -> None:
    page = Page(confusion_section(small_report()))
    assert page.tables[FLIPPED][1:] == [
        ["1", "0", "0", "1", "lost"],
        ["2", "0", "1", "0", "gained"],
        ["4", "1", "1", "none", "lost"],
        ["5", "2", "0", "1", "wrong in both"],
    ]
    assert (
        "Of 6 samples, 2 right in float are wrong in the emulator, 1 the reverse, 1 wrong in both as another class. "
        # Three discordant samples split 2 to 1: every split of three is as uneven.
        "McNemar's exact test gives p = 1.00; chance alone can split them like that"
    ) in page.text


def test_without_a_flip_the_page_says_so() -> None:
    page = Page(confusion_section(small_report(FLOAT)))
    assert "Float and emulator read the same class of each of 6 samples." in page.text
    assert FLIPPED not in page.tables


def test_an_uneven_split_is_called_real() -> None:
    labels = np.zeros(40, np.int64)
    chip = np.where(np.arange(40) < 12, 1, 0)
    predictions = [("float", labels), ("emulator", chip)]
    report = make_report(ladder=climb(predictions, labels, 2), flips=find_flips(predictions, labels, 2))
    # 2 / 2^12 = 0.0005
    assert "p = less than 0.001; so uneven a split would be rare by chance" in Page(confusion_section(report)).text


def test_many_flips_are_cut_on_the_page_and_whole_in_the_json() -> None:
    labels = np.zeros(500, np.int64)
    predictions = [("float", labels), ("emulator", labels + 1)]
    report = make_report(ladder=climb(predictions, labels, 2), flips=find_flips(predictions, labels, 2))
    page = Page(confusion_section(report))
    assert len(page.tables[FLIPPED]) == 1 + FLIPS_SHOWN
    assert f"The first {FLIPS_SHOWN} are listed" in page.text
    assert len(json.loads(json.dumps(report.to_json()))["flips"]["samples"]) == 500


def test_many_classes_have_no_matrix() -> None:
    labels = np.arange(60)
    predictions = [("float", labels), ("emulator", np.roll(labels, 1))]
    report = make_report(ladder=climb(predictions, labels, 60), flips=find_flips(predictions, labels, 60))
    page = Page(confusion_section(report))
    assert MATRIX not in page.tables
    assert "The emulator reads 60 samples wrong. Most often: 0 as 59 (1), 1 as 0 (1) and 2 as 1 (1)." in page.text


def test_ladder_has_intervals_and_the_paired_test_only_where_samples_were_counted() -> None:
    bare = make_figures(rasters={}, metrics=[], delays={})
    tallied = Page(render_html(full_report(), bare))
    assert tallied.tables["Accuracy ladder"][0][4:] == ["95% interval", "Samples lost, gained", "p"]
    # Wilson's interval of 4 of 6: (4 + 1.92) / 9.84 -+ 1.96 / 9.84 * sqrt(4 * 2 / 6 + 0.96).
    page = Page(render_html(small_report(FLOAT), bare))
    assert page.row("Accuracy ladder", "emulator")[1:] == ["66.67%", "4 of 6", "0.00", "30.0 … 90.3%", "0, 0", "1.00"]
    assert len(Page(render_html(make_report(), bare)).tables["Accuracy ladder"][0]) == 4


STEPS = st.floats(1e-3, 10)


@given(
    arrays.arrays(np.float64, st.integers(1, 60), elements=st.floats(-100, 100)),
    STEPS,
    STEPS,
)
def test_rounding_to_nearest_stays_within_half_a_step(
    trained: NDArray[np.float64], negative: float, positive: float
) -> None:
    step = np.where(trained < 0, negative, positive)
    errors = WeightErrors(trained, np.rint(trained / step) * step, (negative, positive))
    found = weight_summary(errors)
    assert found["beyond_half"] == 0
    assert sum(found["counts"]) == found["synapses"] == trained.size
    assert found["reach"] == pytest.approx(0.5, abs=1e-6)


def test_a_clipped_weight_is_beyond_half_a_step() -> None:
    errors = WeightErrors(np.array([0.1, 1.0, -3.0]), np.array([0.0, 1.0, -2.0]), (0.5, 0.25))
    # -0.1 / 0.25, 0, and 1 / 0.5, by the step of the weight's own sign.
    assert errors.in_steps == pytest.approx([-0.4, 0.0, 2.0])
    found = weight_summary(errors)
    assert (found["beyond_half"], found["max"], found["reach"]) == (1, 2.0, 2.0)
    figures = make_figures(rasters={}, metrics=[], delays={}, weights={"input->hidden": errors})
    report = make_report()
    html = render_html(report, figures)
    text = " ".join(Page(html).text.split())
    assert "input → hidden 3 synapses, a step is 0.25, 0.5 of negative weights; RMS error 1.18 steps" in text
    assert "1 (33%) beyond half a step" in text
    assert 'id="chart-weight-0-title"' in html


LIMITS = (Resource("memory", 9, 10.0), Resource("axons", 4, 4.0), Resource("formats", 1, None))


def test_a_core_is_as_full_as_its_tightest_limit() -> None:
    cores = (
        CoreUse(0, "a", 0, 9, {"memory": 5.0, "axons": 1.0, "formats": 3.0}),
        CoreUse(1, "b", 0, 4, {"memory": 1.0, "axons": 3.0}),
        CoreUse(0, "b", 5, 9, {"memory": 11.0}, chip=1),
    )
    html = core_map(Placement(cores, LIMITS))
    assert re.findall(r"--level:([\d.]+)%", html) == ["50.0", "75.0", "100.0"]
    assert html.count('class="core over"') == 1
    assert "The fullest is core 0 of chip 1, with b: 110% of the limit of memory." in Page(html).text
    labels = re.findall(r'class="core[ \w]*" href="#([\w-]+)"[^>]*aria-label="([^"]+)"', html)
    assert labels[0] == (
        "core-0-0-0",
        "50%. Chip 0, core 0: a, neurons 0 to 9. memory 5 of 10 (50%); axons 1 of 4 (25%); formats 3",
    )
    assert [key for key, _ in labels] == ["core-0-0-0", "core-0-1-0", "core-1-0-5"]


def test_a_map_without_a_limit_is_left_out() -> None:
    assert core_map(Placement((CoreUse(0, "a", 0, 9, {"formats": 3.0}),), LIMITS)) == ""


def test_many_cores_on_several_chips_keep_their_place_and_can_be_skipped() -> None:
    report = full_report()
    html = core_map(report.placement)
    assert html.count('<li class="die">') == 3
    assert html.count('class="core"') == 3 * CORES_A_CHIP
    assert 'class="skip" href="#after-map"' in html
    few = replace(report.placement, cores=report.placement.cores[:3])
    assert "skip" not in core_map(few)


def test_a_hundred_and_fifty_cores_take_few_bytes_each() -> None:
    cores = tuple(CoreUse(i % 16, "hidden", i, i, {"memory": 5.0, "axons": 1.0}, i // 16) for i in range(150))
    html = core_map(Placement(cores, LIMITS))
    assert len(html) < 150 * 700


def test_the_axis_of_spikes_ends_with_them_only_where_much_is_quiet() -> None:
    def last_at(step: int) -> int:
        events = {"h": (np.array([0, step]), np.array([0, 1]))}
        return drawn_steps(compare({"float": events}, {"h": 2}), 1000)

    assert last_at(600) == 615
    assert last_at(900) == 1000
    assert drawn_steps([], 1000) <= 1000


def test_further_samples_are_drawn_with_ids_of_their_own() -> None:
    html = render_html(full_report(), full_figures())
    keys = re.findall(r'aria-labelledby="(chart-raster[\w-]*)-title', html)
    assert len(keys) == len(set(keys)) == 6
    assert "Sample 31, class 3: right in float, wrong on the chip" in Page(html).text


def test_json_has_the_numbers_behind_the_pictures() -> None:
    figures = full_figures()
    found = json.loads(json.dumps(figures_json(figures)))
    assert [s["sample"] for s in found["spikes"]] == [17, 31, 207]
    hidden = next(p for p in found["spikes"][0]["populations"] if p["population"] == "hidden")
    # As the fixture is made: five spikes less, one of them a step later, and one more.
    assert (hidden["float"], hidden["chip"], hidden["shifted"], hidden["engines"]["Lava"]) == (5, 2, 1, 397)
    delays = found["delays"]["input->hidden"]
    assert sum(delays["trained_counts"]) == sum(delays["chip_counts"]) == delays["synapses"] == 179200
    assert sum(found["weights"]["hidden->readout"]["counts"]) == 5120
    assert len(found["learning"]) == 60
