"""report.json holds every number of the page: each one in a table is found there, or follows from two that are."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.report.full_example import full_figures, full_report
from tests.report.page import Page
from toolchain.report.figures_json import figures_json
from toolchain.report.html import render_html

NUMBER = re.compile(r"[−-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?%?")
SMALL = re.compile(r"<(\d+(?:\.\d+)?)%")


def numbers_in(value: Any) -> Iterator[float]:
    """All numbers of JSON data, those inside its texts too."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from numbers_in(key)
            yield from numbers_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from numbers_in(inner)
    elif isinstance(value, str):
        yield from (float(t.strip("%").replace(",", "").replace("−", "-")) for t in NUMBER.findall(value))
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        yield float(value)


def derived(content: dict[str, Any]) -> Iterator[float]:
    """What the page computes: losses of rungs, accuracy of classes, changes of the matrix, relative errors, shares."""
    for before, after in itertools.pairwise(content["ladder"]):
        yield before["accuracy"] - after["accuracy"]
    by_name = {rung["rung"]: rung["tally"]["confusion"] for rung in content["ladder"]}
    for confusion in by_name.values():
        for label, row in enumerate(confusion):
            yield sum(row)
            yield row[label] / max(1, sum(row))
    for ours, theirs in zip(by_name["emulator"], by_name["float"], strict=True):
        yield from (a - b for a, b in zip(ours, theirs, strict=True))
    for rung in content["ladder"]:
        for key in ("lost", "gained", "moved"):
            yield len(((rung["tally"]["against"] or {}).get(key)) or [])
    yield from (len(content["flips"]["against"][key]) for key in ("lost", "gained", "moved"))
    for c in content["constants"]:
        if c["trained"] and math.isfinite(c["trained"]):
            yield (c["quantised"] - c["trained"]) / abs(c["trained"])
    yield from (r["used"] / r["limit"] for r in content["resources"] if r["limit"])
    for p in content["projections"]:
        yield from (p[key] / p["synapses"] for key in ("zeroed", "clipped", "delays_moved", "delays_clipped"))


@pytest.fixture(scope="module")
def page_and_known() -> tuple[Page, set[float]]:
    report, figures = full_report(), full_figures()
    content = json.loads(json.dumps({**report.to_json(), "figures": figures_json(figures)}))
    page = Page(render_html(report, figures))
    return page, {*numbers_in(content), *derived(content)}


def is_known(token: str, known: set[float]) -> bool:
    """Whether some number, or a hundred times it where the token is a percentage, rounds to the token."""
    text = token.strip("%").replace(",", "").replace("−", "-")
    value, decimals = float(text), len(text.partition(".")[2].partition("e")[0])
    factor = 100 if token.endswith("%") else 1
    if not decimals and factor == 1:
        return any(round(n) == value for n in known if abs(n - value) < 1 and (n == value or n > 1))
    slack = 0.5 * 10.0**-decimals * (1 + 1e-9) if "e" not in text else abs(value) * 1e-3
    # Losses are in points without a percent sign.
    return any(abs(scale * n - value) <= slack for n in known for scale in {factor, 100})


def test_every_number_in_a_table_is_in_the_json(page_and_known: tuple[Page, set[float]]) -> None:
    page, known = page_and_known
    tokens = [
        (caption, cell, token)
        for caption, rows in page.tables.items()
        for row in rows[1:]
        for cell in row
        for token in NUMBER.findall(SMALL.sub("", cell))
    ]
    assert len(tokens) > 700
    unknown = [t for t in tokens if not is_known(t[2], known)]
    assert unknown == []


def test_a_number_that_is_not_there_is_noticed(page_and_known: tuple[Page, set[float]]) -> None:
    _, known = page_and_known
    assert is_known("179,200", known)
    for absent in ("179,201", "63,999", "47.13%", "0.123457"):
        assert not is_known(absent, known), absent
