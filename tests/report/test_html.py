"""The page says what the report says, in every variant, and carries everything in itself."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest

from tests.report.example import make_figures, make_report, some_spikes, without
from tests.report.page import Page, svgs
from toolchain.deployment.target import ConstantError, CoreUse, Placement, ProjectionError, Resource
from toolchain.report.content import Divergence, Figures, Report, Rung
from toolchain.report.html import render_html

HOSTILE = "<script>alert(1)</script>&\"'$x^2$"


def render(report: Report | None = None, figures: Figures | None = None) -> tuple[str, Page]:
    html = render_html(report or make_report(), figures or make_figures())
    return html, Page(html)


@pytest.fixture(scope="module")
def usual() -> tuple[str, Page]:
    return render()


def test_verdict_is_first_and_one_sentence_says_why(usual: tuple[str, Page]) -> None:
    _, page = usual
    assert page.headings[0] == "shd on loihi2"
    start = page.text[: page.text.index("Accuracy, step by step")]
    assert "Pass" in start
    assert "from 93.50% in float to 93.15% in the emulator: 0.35 points lost on 2,000 samples." in start
    assert "Every spike, u and v is equal to Lava on 16 samples." in start


def test_ladder_losses_have_the_sign_of_a_loss(usual: tuple[str, Page]) -> None:
    _, page = usual
    expected = {
        "float": ("93.50%", "–"),
        "rounded delays": ("93.45%", "0.05"),
        "quantised weights": ("93.05%", "0.40"),
        "quantised constants": ("93.20%", "−0.15"),
        "emulator": ("93.15%", "0.05"),
        "vendor (Lava)": ("93.75%", "–"),
    }
    for name, (accuracy, loss) in expected.items():
        row = page.row("Accuracy ladder", name)
        assert (row[1], row[3]) == (accuracy, loss), name
    assert len(page.tables["Accuracy ladder"]) == 1 + len(expected)


def test_no_loss_is_computed_against_another_number_of_samples(usual: tuple[str, Page]) -> None:
    _, page = usual
    name, _, samples, loss = page.row("Accuracy ladder", "vendor (Lava)")
    assert (samples, loss) == ("15 of 16", "–")
    assert "16 samples only, so no loss against 2,000 samples" in name
    same = [Rung("emulator", 0.75, 16), Rung("vendor", 0.5, 16)]
    _, page = render(make_report(ladder=same))
    assert page.row("Accuracy ladder", "vendor (Lava)")[3] == "25.00"


def test_a_gain_is_called_a_gain() -> None:
    _, page = render(make_report(ladder=[Rung("float", 0.9, 1000), Rung("emulator", 0.912, 1000)]))
    assert "90.00% in float to 91.20% in the emulator: 1.20 points gained on 1,000 samples" in page.text
    assert "points lost" not in page.text
    assert page.row("Accuracy ladder", "emulator")[3] == "−1.20"
    _, page = render(make_report(ladder=[Rung("float", 0.9, 1000), Rung("emulator", 0.9, 1000)]))
    assert "90.00% in the emulator: no loss on 1,000 samples" in page.text


def test_first_divergence_is_named() -> None:
    report = make_report(
        verdict="fail",
        reasons=["the emulator and Lava differ", "lost 3.10 points, limit 1.00"],
        vendor_equal=False,
        first_divergence=Divergence(3, "hidden", 117, 42, "v", 16383, -8388607),
    )
    _, page = render(report)
    start = page.text[: page.text.index("Accuracy, step by step")]
    assert "Fail" in start
    assert "the emulator and Lava differ" in start
    assert "lost 3.10 points, limit 1.00" in start
    assert (
        "The emulator and Lava first differ in sample 3 at step 42: v of neuron 117 in hidden is 16,383 in "
        "the emulator, −8,388,607 in Lava."
    ) in start
    assert "equal to Lava on" not in page.text


def test_without_vendor_the_page_says_so() -> None:
    ladder = [rung for rung in make_report().ladder if rung.rung != "vendor"]
    figures = make_figures()
    rasters = {engine: figures.rasters[engine] for engine in ("float", "emulator")}
    report = make_report(
        verdict="fail", reasons=["Lava is not installed"], ladder=ladder, vendor_equal=False, vendor_samples=0
    )
    _, page = render(report, replace(figures, rasters=rasters))
    assert "It was not compared with Lava." in page.text
    assert "vendor (Lava)" not in page.text
    assert page.tables["Spikes of this sample, by engine"][0] == [
        *("Population", "float", "emulator", "In all", "Float only", "Not in float")
    ]
    assert "emulator and Lava" not in page.text


def test_unequal_without_a_place_is_not_called_equal() -> None:
    _, page = render(make_report(verdict="fail", vendor_equal=False))
    assert "Not equal to Lava on 16 samples." in page.text
    assert "Every spike, u and v is equal" not in page.text


def test_spikes_that_differ_are_counted(usual: tuple[str, Page]) -> None:
    _, page = usual
    table = page.tables["Spikes of this sample, by engine"]
    assert table[0] == [
        *("Population", "float", "emulator", "Lava", "In all", "Float only", "Not in float", "Disagreed on"),
    ]
    assert page.row("Spikes of this sample, by engine", "input") == ["input", *["1,500"] * 4, "0", "0", "0"]
    assert page.row("Spikes of this sample, by engine", "hidden") == [
        "hidden",
        "400",
        "397",
        "397",
        "395",
        "5",
        "2",
        "0",
    ]
    assert "Test sample 17 of class 4, 100 steps." in page.text
    assert "All spikes of input are the same in every engine." in page.text
    assert "In hidden, 7 of 402 spikes (1.7%) differ: 5 in float only; 2 in emulator and Lava" in page.text
    assert "1 of those in float only appears one step earlier or later." in page.text


def test_engines_that_should_be_equal_and_are_not_stand_out() -> None:
    figures = make_figures()
    rasters = dict(figures.rasters)
    rasters["Lava"] = {**rasters["Lava"], "hidden": without(rasters["Lava"]["hidden"], 0)}
    _, page = render(figures=replace(figures, rasters=rasters))
    assert page.row("Spikes of this sample, by engine", "hidden")[-1] == "1"


def test_resources_and_what_quantisation_did(usual: tuple[str, Page]) -> None:
    html, page = usual
    caption = "Resources used against the limits of the chip"
    assert page.row(caption, "cores") == ["coresLoihi 2, 128 neuron cores", "4 cores", "128", " 3.1%"]
    assert page.row(caption, "synaptic memory per core")[1:] == ["736,512 bits", "1,048,576", " 70%"]
    assert page.row(caption, "spikes per step")[1:] == ["311.4 spikes", "no public figure", "–"]
    assert "width:70.2%" in html
    caption = "Weights and delays, by projection"
    assert page.row(caption, "input → hidden")[1:6] == ["179,200", "−3", "1,204 0.7%", "17 <0.1%", "0.71%"]
    caption = "Neuron constants"
    assert page.row(caption, "hidden voltage decay")[1:] == ["0.951229", "0.951172", "3,896", "−0.0060%"]
    assert page.row(caption, "readout threshold")[1:] == ["∞", "∞", "8,388,607", "–"]
    cores = page.tables["Neurons and use of each core"]
    assert cores[0][-2:] == ["Neurons", "Synaptic memory"]
    assert cores[-1] == ["3", "readout", "0 … 19", "20", "81,920"]
    watched = "current wrapped, voltage clipped, readout spiked"
    assert f"None on 2,000 samples. Watched in the emulator: {watched}." in page.text


def test_chips_and_synapse_formats_are_columns_where_there_are_any() -> None:
    usual = make_report().placement
    one, *others = usual.cores
    formats = {"input->hidden": "dense, 8 weight + 6 delay bits", "hidden->hidden": "indexed, 7 index bits"}
    cores = (replace(one, formats=formats), *(replace(core, chip=1) for core in others))
    _, page = render(make_report(placement=replace(usual, cores=cores)))
    heading, first, *_, last = page.tables["Neurons and use of each core"]
    assert heading[:3] == ["Chip", "Core", "Population"]
    assert heading[-1] == "Synapses from"
    assert first[:3] == ["0", "0", "hidden"]
    assert "input → hidden: dense, 8 weight + 6 delay bits" in first[-1]
    assert "hidden → hidden: indexed, 7 index bits" in first[-1]
    assert (last[0], last[-1]) == ("1", "–")
    assert "cores on 2 chips" in page.text


def test_overflows_are_listed() -> None:
    _, page = render(make_report(overflows={"hidden": {"current wrapped": 12, "voltage clipped": 0}}))
    assert "12 overflows on 2,000 samples in the emulator." in page.text
    assert page.row("Integers that left their range", "hidden current wrapped")[1] == "12"


def test_provenance_keeps_its_nesting_and_text(usual: tuple[str, Page]) -> None:
    html, page = usual
    assert "9f86d081884c7d659a2feaa0c55ad0159f86d081884c7d659a2feaa0c55ad015" in page.text
    assert "<dt>packages</dt><dd><dl><div><dt>numpy</dt><dd>1.26.4</dd>" in html
    assert "<pre>name: shd\ndataset:\n  task: shd\n</pre>" in html
    assert "<dt>seed</dt><dd>1234</dd>" in html


def test_what_a_user_typed_is_escaped_everywhere() -> None:
    figures = make_figures()
    rasters = {engine: {HOSTILE: of["hidden"]} for engine, of in figures.rasters.items()}
    rasters[HOSTILE] = rasters.pop("Lava")
    projection = f"{HOSTILE}->{HOSTILE}"
    report = make_report(
        **dict.fromkeys(("name", "target", "vendor", "verdict"), HOSTILE),
        reasons=[HOSTILE],
        ladder=[Rung("float", 0.9, 10), Rung(HOSTILE, 0.8, 10)],
        first_divergence=Divergence(0, HOSTILE, 0, 0, HOSTILE, 0, 1),
        placement=Placement(
            (CoreUse(0, HOSTILE, 0, 1, {HOSTILE: 1.0}, 1, {projection: HOSTILE}),),
            (Resource(HOSTILE, 1, 2, HOSTILE, HOSTILE),),
        ),
        projections=[ProjectionError(projection, 10, 0, 0, 0, 0.1, 1, 1)],
        constants=[ConstantError(HOSTILE, HOSTILE, 1.0, 1.0, 1)],
        overflows={HOSTILE: {HOSTILE: 1}},
        provenance={HOSTILE: [HOSTILE, {HOSTILE: f"{HOSTILE}\n{HOSTILE}"}]},
    )
    html, page = render(
        report,
        replace(
            figures,
            rasters=rasters,
            sizes={HOSTILE: 256},
            delays={projection: next(iter(figures.delays.values()))},
            metrics=[{"epoch": 1, "valid_accuracy": HOSTILE, "train_accuracy": 0.5}],
        ),
    )
    assert "<script" not in html.lower()
    assert not any(name.startswith("on") for _, name, _ in page.attributes)
    assert page.text.count(HOSTILE) > 20
    assert any(HOSTILE in "".join(svg.itertext()) for svg in svgs(html))


def test_control_characters_do_not_break_the_charts() -> None:
    figures = make_figures()
    rasters = {engine: {"hid\x00den\ud800": of["hidden"]} for engine, of in figures.rasters.items()}
    html, _ = render(make_report(name="\x1b[31m"), replace(figures, rasters=rasters, sizes={}))
    html.encode("utf-8")
    assert "\x00" not in html


def test_nothing_is_fetched(usual: tuple[str, Page]) -> None:
    html, page = usual
    assert set(re.findall(r"https?://[^\"' ]*", html)) <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"@import|url\((?!#)|<link|<script|<iframe|<object|<base", html)
    for _, name, value in page.attributes:
        if name in ("src", "href", "xlink:href"):
            assert value is not None
            assert value.startswith(("#", "data:image/png;base64,"))


def test_charts_are_well_formed_and_can_be_read_aloud(usual: tuple[str, Page]) -> None:
    html, page = usual
    charts = [svg for svg in svgs(html) if svg.get("aria-hidden") != "true"]
    names = [svg.get("aria-labelledby") for svg in charts]
    assert names == [
        *(f"chart-{name}-title chart-{name}-desc" for name in ("ladder", "raster-wide", "raster-narrow")),
        *(f"chart-{name}-title chart-{name}-desc" for name in ("delay-0", "delay-1", "accuracy", "loss")),
    ]
    space = "{http://www.w3.org/2000/svg}"
    for svg in charts:
        assert svg.get("role") == "img"
        assert [child.tag for child in svg[:2]] == [f"{space}title", f"{space}desc"]
        assert re.search(r"\d", svg[1].text or "")
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    referred = {value[1:] for _, name, value in page.attributes if name == "href" and value and value[0] == "#"}
    assert referred | set(re.findall(r"url\(#([^)]+)\)", html)) <= set(ids)


def test_descriptions_have_the_numbers(usual: tuple[str, Page]) -> None:
    described = {str(svg[0].text): str(svg[1].text) for svg in svgs(usual[0]) if len(svg) > 1}
    assert "float 93.50% on 2,000 samples" in described["Accuracy on each rung"]
    assert "vendor (Lava) 93.75% on 16 samples" in described["Accuracy on each rung"]
    assert (
        "hidden, 256 neurons: spikes float 400, emulator 397, Lava 397; 395 shared"
        in described["Spikes of input, hidden"]
    )
    delays = described["Delays of input → hidden, trained and on the chip"]
    assert "179,200 synapses" in delays
    assert "On the chip from 0 to 62" in delays
    assert "2,913 clipped" in delays
    # Highest validation accuracy of the fixture: 0.94 - 0.9 exp(-7.5) in epoch 60.
    assert "best validation 93.95% in epoch 60" in described["Accuracy by epoch"]


def test_a_page_is_heading_and_table_structure(usual: tuple[str, Page]) -> None:
    html, page = usual
    assert page.headings[1:] == [
        *(
            "Accuracy, step by step",
            "Spikes of one sample",
            "Delays",
            "What quantisation changed",
            "Overflows",
        ),
        *("Cores and resources", "Learning curve", "Provenance"),
    ]
    assert html.count("<table") == html.count("<caption>") == len(page.tables)
    scopes = [value for tag, name, value in page.attributes if tag == "th" and name == "scope"]
    assert len(scopes) == html.count("<th ")
    assert html.count("<h1") == 1


def test_sections_without_data_are_absent() -> None:
    report = make_report(
        projections=[], constants=[], overflows={}, provenance={}, placement=Placement((), ()), ladder=[]
    )
    html, page = render(report, make_figures(rasters={}, metrics=[], delays={}))
    assert page.headings == ["shd on loihi2"]
    assert svgs(html) == []
    assert "was not measured" in page.text


def test_not_a_number_is_never_printed() -> None:
    nan = math.nan
    report = make_report(
        ladder=[Rung("float", nan, 0), Rung("emulator", 0.5, 10)],
        placement=Placement(
            (CoreUse(0, "hidden", 0, 1, {"x": nan}),), (Resource("r", nan, nan), Resource("q", nan, 3.0))
        ),
        projections=[ProjectionError("input->hidden", 0, 0, 0, 0, nan, 0, 0)],
        constants=[
            ConstantError("hidden", "alpha", nan, nan, 0),
            ConstantError("hidden", "bias", 0.0, 0.5, 3),
        ],
        provenance={"x": nan, "y": None, "z": [math.inf, -math.inf]},
    )
    metrics = [
        {"epoch": 1, "train_loss": nan, "valid_loss": 1.0, "train_accuracy": None, "valid_accuracy": nan},
        {"epoch": 2, "train_loss": 1.0, "valid_loss": nan, "valid_accuracy": 0.5},
    ]
    html, page = render(report, make_figures(metrics=metrics))
    words = re.findall(r"[A-Za-z]+", page.text.lower())
    assert not {"nan", "inf"} & set(words)
    assert not re.search(r"[ \">](nan|inf)\b", html.lower())


@pytest.mark.parametrize(
    "metrics",
    [
        [{"epoch": 1, "train_loss": 1.0, "valid_loss": 1.0, "train_accuracy": 0.5, "valid_accuracy": 0.5}],
        [{"epoch": 1}],
    ],
)
def test_short_trainings_have_a_page(metrics: list[dict[str, float]]) -> None:
    _, page = render(figures=make_figures(metrics=metrics))
    assert ("Learning curve" in page.headings) == (len(metrics[0]) > 1)


def test_a_population_without_spikes_is_in_the_table_only() -> None:
    none = (np.zeros(0, np.int64), np.zeros(0, np.int64))
    html, page = render(figures=make_figures(rasters={"float": {"hidden": none}, "emulator": {"hidden": none}}))
    assert page.row("Spikes of this sample, by engine", "hidden") == ["hidden", *["0"] * 5]
    assert "chart-raster" not in html
    assert "No neuron spikes in any engine." in page.text
    assert "where the picture ends" not in page.text


def test_two_renders_are_equal(usual: tuple[str, Page]) -> None:
    assert render_html(make_report(), make_figures()) == usual[0]


def test_many_spikes_fit_into_a_small_page() -> None:
    """Input as pixels, hidden as marks that all differ: the largest variant of 700-256-20."""
    figures = make_figures(n_input=8000)
    rng = np.random.default_rng(5)
    rasters = {
        engine: {"input": of["input"], "hidden": some_spikes(rng, 256, 100, 3000)}
        for engine, of in figures.rasters.items()
    }
    html, page = render(figures=replace(figures, rasters=rasters))
    assert len(html.encode()) < 1_500_000
    assert page.row("Spikes of this sample, by engine", "input")[1] == "8,000"
    assert "data:image/png;base64," in html
