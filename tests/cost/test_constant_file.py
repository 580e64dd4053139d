"""Constants have a range, a source and a word on how well they are established; a file that has not is refused."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from importlib import resources
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware_targets.constant_file import parse_constants, parse_published, published_costs
from hardware_targets.loihi import cost as loihi
from hardware_targets.spinnaker import cost as spinnaker
from toolchain.cost.constants import BASES, Constant, describe
from toolchain.errors import InputError

FILES: dict[str, tuple[dict[str, Constant], dict[str, str]]] = {
    "loihi1": (loihi.read_constants("loihi1"), loihi.UNITS),
    "loihi2": (loihi.read_constants("loihi2"), loihi.UNITS),
    "spinnaker1": (spinnaker.read_constants("spinnaker1"), spinnaker.UNITS),
}
TEXT = resources.files("hardware_targets.loihi").joinpath("loihi1.energy.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("chip", FILES)
def test_every_constant_says_where_it_is_from_and_how_sure_it_is(chip: str) -> None:
    constants, units = FILES[chip]
    assert set(constants) == set(units)
    for constant in describe(constants):
        assert constant["basis"] in BASES
        assert len(constant["source"]) > 10
        assert (constant["value"] is None) == (constant["basis"] == "unknown")
        if constant["value"] is not None:
            assert 0 <= constant["low"] <= constant["value"] <= constant["high"]


def test_no_figure_of_an_event_on_loihi_2_is_passed_off_as_its_own() -> None:
    for constant in FILES["loihi2"][0].values():
        assert constant.basis in ("assumed", "unknown"), constant.name
        assert constant.basis == "unknown" or constant.source.startswith("Loihi 1"), constant.name
        if constant.known:
            assert constant.interval == FILES["loihi1"][0][constant.name].interval


def test_what_is_unknown_cannot_be_reckoned_with() -> None:
    with pytest.raises(KeyError, match="static_power has no public figure"):
        _ = FILES["loihi2"][0]["static_power"].interval


def test_published_figures_that_are_not_measured_in_a_paper_that_was_read_say_so() -> None:
    found = published_costs()
    assert {p.established for p in found} <= set(BASES)
    for p in found:
        if p.energy_j is not None and "Loihi 2" in p.device:
            assert p.established == "derived"


def spoiled(change: Callable[[dict[str, Any]], object]) -> str:
    data = yaml.safe_load(TEXT)
    change(data)
    return yaml.safe_dump(data)


def entry(name: str, **fields: Any) -> Callable[[dict[str, Any]], object]:
    return lambda data: data["constants"][name].update(fields)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.pop("chip"), "must hold exactly chip and constants"),
        (lambda d: d["constants"].pop("spike_energy"), r"missing \['spike_energy'\], unknown none"),
        (lambda d: d["constants"].update(mine={}), r"unknown \['mine'\]"),
        (lambda d: d["constants"]["spike_energy"].pop("note"), "spike_energy: must have basis, high, low, note"),
        (entry("spike_energy", low=70), r"\[70, 69.3, 69.3\] must be numbers that rise from 0 on"),
        (entry("spike_energy", value=True), "must be numbers that rise"),
        (entry("spike_energy", high=float("nan")), "must be numbers that rise"),
        (entry("spike_energy", value=None), "must be numbers that rise"),
        (entry("spike_energy", unit="nJ"), "unit 'nJ' must be 'pJ'"),
        (entry("spike_energy", source=" "), "source ' ' is no text"),
        (entry("spike_energy", basis="measured"), "basis 'measured' must be one of published, public code"),
        (entry("spike_energy", basis="unknown"), "of what is unknown; leave them null"),
    ],
)
def test_a_file_that_is_not_right_is_refused_by_name(change: Callable[[dict[str, Any]], object], words: str) -> None:
    with pytest.raises(InputError, match=words) as refused:
        parse_constants(spoiled(change), "mine.yaml", loihi.UNITS)
    assert "mine.yaml" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_published_figures_are_checked_too() -> None:
    with pytest.raises(InputError, match="is no list of published figures"):
        parse_published("a: 1", "mine.yaml")
    with pytest.raises(InputError, match="entry 0: must have comparable, device"):
        parse_published("- {device: x}", "mine.yaml")
    good = {**dict.fromkeys(("device", "task", "figure", "comparable", "source"), "x"), "established": "derived"}
    for wrong in (0, -1, "5", True):
        with pytest.raises(InputError, match=r"energy_j .* is no number above 0"):
            parse_published(yaml.safe_dump([{**good, "energy_j": wrong, "latency_s": None}]), "mine.yaml")


@given(st.text(max_size=60) | st.integers(0, len(TEXT) - 1).map(lambda i: TEXT[:i] + TEXT[i + 1 :]))
@settings(max_examples=25, deadline=None)
def test_no_text_leads_to_anything_but_constants_or_an_error_of_ours(text: str) -> None:
    with contextlib.suppress(InputError):
        assert set(parse_constants(text, "mine.yaml", loihi.UNITS)) == set(loihi.UNITS)
