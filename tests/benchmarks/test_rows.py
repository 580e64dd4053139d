"""The table of benchmarks: its columns, its file, and what a failing benchmark costs the others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmarks.rows import Row, collect, smaller_is_better, table, write


def row(name: str) -> Row:
    return smaller_is_better(name, 2.0, 5.0, "ms a sample", "someone else")


def test_a_ratio_above_one_says_that_ours_is_better() -> None:
    assert row("train")["ratio"] == 2.5


def test_the_table_has_a_line_for_each_row_under_a_heading() -> None:
    heading, *lines = table([row("one"), row("two")]).splitlines()
    assert heading.split() == ["name", "ours", "peer", "unit", "ratio", "peer"]
    assert [line.split() for line in lines] == [
        [name, "2", "5", "ms", "a", "sample", "2.5", "someone", "else"] for name in ("one", "two")
    ]


def test_the_file_holds_the_rows(tmp_path: Path) -> None:
    path = tmp_path / "build" / "bench.json"
    write([row("one")], path)
    fields = {"name": "one", "ours": 2.0, "peer": 5.0, "peer_name": "someone else", "unit": "ms a sample", "ratio": 2.5}
    assert json.loads(path.read_text()) == [fields]


def test_a_benchmark_that_fails_is_named_and_costs_nobody_elses_rows(capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> list[Row]:
        raise AssertionError("the results differ")

    rows, failed = collect({"first": lambda: [row("one")], "second": broken, "third": lambda: [row("two")]})
    assert [r["name"] for r in rows] == ["one", "two"]
    assert failed == ["second"]
    assert "second: FAILED, AssertionError: the results differ" in capsys.readouterr().out
