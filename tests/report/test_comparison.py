"""Two bundles beside each other: intervals, the paired test and what the page says, against counts made here."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.report.full_example import full_report
from tests.report.page import Page
from toolchain.cli.report_command import run
from toolchain.errors import BundleError, InputError
from toolchain.report.comparison import ERRORS, TRAINED, compare_bundles, newcombe, paired, sign_test
from toolchain.report.comparison_page import comparison_page, comparison_text
from toolchain.validation.flips import find_flips
from toolchain.validation.statistics import climb, interval, tally

CLASSES = 3
CLASS = st.integers(0, CLASSES - 1)
READ = st.integers(-1, CLASSES - 1)


def content(floating: list[int], chip: list[int], labels: list[int], **provenance: Any) -> dict[str, Any]:
    """A report.json of these predictions, through JSON as a file would be."""
    true = np.array(labels, np.int64)
    predictions = [("float", np.array(floating, np.int64)), ("emulator", np.array(chip, np.int64))]
    report = full_report(
        ladder=climb(predictions, true, CLASSES),
        flips=find_flips(predictions, true, CLASSES),
        provenance={"data": "d", "binning": "b", "sha256": {TRAINED: "f00"}, **provenance},
    )
    found: dict[str, Any] = json.loads(json.dumps(report.to_json()))
    return found


def write(folder: Path, of: dict[str, Any]) -> Path:
    folder.mkdir()
    (folder / "report.json").write_text(json.dumps(of))
    return folder


@settings(deadline=None, max_examples=30)  # SciPy computes the intervals of each
@given(st.lists(st.tuples(CLASS, READ, READ, READ), min_size=1, max_size=30))
def test_two_chips_of_one_network_are_compared_sample_by_sample(samples: list[tuple[int, int, int, int]]) -> None:
    labels, floating, one, two = ([sample[i] for sample in samples] for i in range(4))
    found = paired(content(floating, one, labels), content(floating, two, labels))
    assert found is not None
    right = [[read == label for read, label in zip(chip, labels, strict=True)] for chip in (one, two)]
    assert found["only_a"] == [i for i in range(len(labels)) if right[0][i] and not right[1][i]]
    assert found["only_b"] == [i for i in range(len(labels)) if right[1][i] and not right[0][i]]
    against = tally(np.array(two), np.array(labels), CLASSES, ("a", np.array(one))).against
    assert against is not None
    # By SciPy's binomial test there, by whole numbers here.
    assert found["p_value"] == pytest.approx(against.p_value)


def test_other_data_or_another_network_cannot_be_paired() -> None:
    usual = content([0, 1], [0, 2], [0, 1])
    assert paired(usual, usual) is not None
    changes: list[dict[str, Any]] = [{"data": "e"}, {"binning": "c"}, {"sha256": {TRAINED: "bad"}}, {"sha256": {}}]
    for changed in changes:
        assert paired(usual, content([0, 1], [0, 2], [0, 1], **changed)) is None
    assert paired({**usual, "flips": None}, usual) is None


def test_the_sign_test_holds_for_many_samples() -> None:
    assert sign_test(0, 0) == 1.0
    assert sign_test(0, 5) == pytest.approx(2 * 0.5**5)
    assert sign_test(3, 3) == 1.0
    # 2^3000 is beyond a float; the normal approximation of the binomial says 0.069 here.
    assert sign_test(1450, 1550) == pytest.approx(math.erfc(99 / math.sqrt(3000) / math.sqrt(2)), rel=0.01)


def test_the_interval_of_a_difference_is_the_published_one() -> None:
    """Newcombe 1998, table II, method 10: 56/70 - 48/80 from 0.0524 to 0.3339, 9/10 - 3/10 from 0.1705 to 0.8090."""
    for one, two, expected in (((56, 70), (48, 80), (0.0524, 0.3339)), ((9, 10), (3, 10), (0.1705, 0.8090))):
        found = newcombe((one[0] / one[1], *interval(*one)), (two[0] / two[1], *interval(*two)))
        assert found == pytest.approx(expected, abs=5e-5)


def test_differences_are_b_less_a_and_unknown_rungs_stay_empty(tmp_path: Path) -> None:
    labels = [0, 1, 2, 0]
    a = write(tmp_path / "a", content(labels, [0, 1, 1, 1], labels))
    b = write(tmp_path / "b", content(labels, [0, 1, 2, 1], labels))
    found = compare_bundles(a, b)
    rows = {row["rung"]: row for row in found["ladder"]}
    assert rows["emulator"]["difference_points"] == pytest.approx(25)
    assert (rows["emulator"]["a"]["loss_points"], rows["emulator"]["b"]["loss_points"]) == (50, 25)
    assert found["paired"]["only_b"] == [2]
    page = Page(comparison_page(found))
    assert page.row("Accuracy ladders", "emulator")[2] == "50.00"
    assert (
        "In the emulator, B is 25.00 points better than A. Of 4 samples A alone reads 0 right and B alone 1"
        in page.text
    )
    assert "B is 25.00 points better than A" in comparison_text(found)
    b_only = json.loads((b / "report.json").read_text())
    b_only["ladder"].insert(1, {"rung": "pruned", "accuracy": 0.5, "samples": 4})
    (b / "report.json").write_text(json.dumps(b_only))
    row = next(r for r in compare_bundles(a, b)["ladder"] if r["rung"] == "pruned")
    assert (row["a"], row["difference_points"]) == (None, None)


def test_names_of_others_stay_text(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>"
    of = content([0], [0], [0], data=hostile)
    of.update(name=hostile, target=hostile, reasons=[hostile], verdict="fail", vendor=hostile)
    a, b = write(tmp_path / "a", of), write(tmp_path / "b", of)
    html = comparison_page(compare_bundles(a, b))
    assert "<script" not in html
    assert Page(html).text.count(hostile) >= 6


def test_damaged_reports_are_named(tmp_path: Path) -> None:
    good = content([0], [0], [0])
    a = write(tmp_path / "a", good)
    with pytest.raises(BundleError, match=r"no report\.json"):
        compare_bundles(a, tmp_path / "absent")
    damages: list[dict[str, Any]] = [
        {"ladder": 3},
        {"resources": [3]},
        {"flips": {"against": 3}},
        {"projections": None},
    ]
    for number, change in enumerate(damages):
        b = write(tmp_path / f"b{number}", {**good, **change})
        with pytest.raises(BundleError, match="damaged"):
            compare_bundles(a, b)


def test_the_page_is_written_where_it_was_asked_for(tmp_path: Path) -> None:
    a = write(tmp_path / "a", content([0], [0], [0]))
    file = tmp_path / "out" / "two.html"
    found = run(a, a, file, False, True)
    assert json.loads(json.dumps(found))["same_network"] is True
    assert Page(file.read_text(encoding="utf-8")).headings[0] == "shd on loihi2 and shd on loihi2"
    with pytest.raises(InputError, match="give a second bundle"):
        run(a, None, file, False, False)
    with pytest.raises(InputError, match="is a folder"):
        run(a, a, tmp_path, False, False)
    with pytest.raises(InputError, match="--html FILE"):
        run(a, a, None, True, False)


@pytest.mark.parametrize(
    "change",
    [
        {"projections": [{"projection": 3, **dict.fromkeys(ERRORS, 0)}]},
        {"projections": [{"projection": "a->b", **dict.fromkeys(ERRORS, "x")}]},
        {"resources": [{"name": "cores", "used": 10**400, "limit": None, "unit": "cores"}]},
        {"reasons": 3},
        {"cost": {"estimates": {"latency": {"low": "x", "value": 1, "high": 2, "unit": "s"}}}},
    ],
)
def test_what_is_damaged_in_a_report_is_said_in_one_line_wherever_it_is_drawn(
    change: dict[str, Any], tmp_path: Path
) -> None:
    good = content([0], [0], [0])
    a, b = write(tmp_path / "a", good), write(tmp_path / "b", {**good, **change})
    for html in (None, tmp_path / "page.html"):
        with pytest.raises(BundleError, match=r"report\.json is damaged .*; deploy again"):
            run(a, b, html, False, False)
    assert not (tmp_path / "page.html").exists()


def test_a_report_without_an_end_is_damaged(tmp_path: Path) -> None:
    a = write(tmp_path / "a", content([0], [0], [0]))
    (a / "report.json").write_text("[" * 100_000)
    with pytest.raises(BundleError, match="damaged"):
        run(a, None, None, False, False)


def test_an_estimate_that_nobody_can_make_is_unknown_and_not_left_out(tmp_path: Path) -> None:
    name, why = "energy_dynamic_by_keras_spiking", "no power is public"
    known = {"label": "estimate", "low": 1e-3, "value": 1e-3, "high": 1e-3, "unit": "J", "note": ""}
    unknown = {**known, "low": None, "value": None, "high": None, "note": why}
    of = content([0], [0], [0])
    a = write(tmp_path / "a", {**of, "cost": {"estimates": {"energy_total": unknown, name: known}}})
    b = write(tmp_path / "b", {**of, "cost": {"estimates": {"energy_total": known}}})
    found = compare_bundles(a, b)
    assert [row["label"] for row in found["cost"]] == ["estimate", "estimate"]
    page = Page(comparison_page(found))
    assert page.row("Estimates", "energy, in all")[1:] == [f"unknown{why}", "1 mJ"]
    lines = [line for line in comparison_text(found).splitlines() if line.startswith("energy, ")]
    assert ["unknown" in line for line in lines] == [True, False]
    # The longest name leaves the columns where they are.
    assert lines[0].index("unknown") + len("unknown") == lines[1].index("1 mJ") + len("1 mJ")
