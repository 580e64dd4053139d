"""Limit files: each figure has a unit and a source, and a file that is not right is refused by name."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import pytest
import yaml

from hardware_targets.loihi import LoihiTarget, loihi1, loihi2
from hardware_targets.loihi.limits import parse_limits, read_limits
from toolchain.deployment.target import GROUP, find_target
from toolchain.errors import InputError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CHIPS = ("loihi1", "loihi2")
TEXT = resources.files("hardware_targets.loihi").joinpath("loihi1.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("chip", CHIPS)
def test_every_limit_has_unit_and_source(chip: str) -> None:
    limits = read_limits(chip)
    assert limits.chip == chip
    for limit in limits.table.values():
        assert limit.unit
        assert limit.source
        assert limit.value is not None or "no public figure" in limit.source
    for choice in limits.choices.values():
        assert choice.unit
        assert choice.source


def test_figures_that_public_code_of_loihi_1_states() -> None:
    """facts/lava.md section 5."""
    limits = read_limits("loihi1")
    figures = {
        "cores": 128,
        "neurons_per_core": 1024,
        "synaptic_memory_per_core": 16384 * 64,
        "axons_in_per_core": 4096,
        "axons_out_per_core": 4096,
        "slot_max": 62,
        "decay_configurations_per_core": 32,
        "synapse_formats_per_core": 16,
        "delay_cells_per_core": 64 * 128,
    }
    assert {name: limits[name] for name in figures} == figures
    assert limits.choices["weight_bits"].value == (0, 1, 2, 3, 4, 5, 6, 8)
    assert limits.table["delay_cells_per_core"].assumed


def test_what_is_not_public_for_loihi_2_is_assumed_or_unknown() -> None:
    limits = read_limits("loihi2")
    for name in ("axons_in_per_core", "axons_out_per_core", "delay_cells_per_core", "mesh_columns"):
        assert limits.table[name].assumed, name
        assert limits.table[name].note.startswith("assumed: ")
    assert limits.value("synapse_formats_per_core") is None
    with pytest.raises(KeyError, match="no public figure"):
        limits["synapse_formats_per_core"]


@pytest.mark.parametrize("target", [loihi1, loihi2], ids=CHIPS)
def test_a_target_prints_all_of_its_limits(target: LoihiTarget) -> None:
    described = {entry["name"]: entry for entry in target.limits()}
    limits = read_limits(target.name)
    assert set(described) == {*limits.table, *limits.choices}
    for entry in described.values():
        assert set(entry) == {"name", "value", "unit", "source", "assumed"}
    assert described["delay_depths"]["value"] == [8, 16, 32, 64]
    assert target.largest_slot() == 62


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.pop("chip"), "exactly chip, limits and choices"),
        (lambda d: d.update(chip=3), "chip 3 is no name"),
        (lambda d: d["limits"].pop("cores"), r"missing \['cores'\]"),
        (lambda d: d["limits"].update(neurons=d["limits"]["cores"]), r"unknown \['neurons'\]"),
        (lambda d: d.update(limits=[]), "missing"),
        (lambda d: d["limits"].update(cores=128), "limits.cores: must have value, unit and source"),
        (lambda d: d["limits"]["cores"].update(sorce="x"), "limits.cores: must have value, unit and source"),
        (lambda d: d["limits"]["cores"].update(source=" "), "limits.cores: source ' ' is no text"),
        (lambda d: d["limits"]["cores"].update(unit=None), "limits.cores: unit None is no text"),
        (lambda d: d["limits"]["cores"].update(assumed="yes"), "limits.cores: assumed 'yes' must be true or false"),
        (lambda d: d["limits"]["cores"].update(value=None), "limits.cores: value None is no whole number"),
        (lambda d: d["limits"]["cores"].update(value=1.5), "limits.cores: value 1.5 is no whole number"),
        (lambda d: d["limits"]["cores"].update(value=True), "limits.cores: value True is no whole number"),
        (lambda d: d["limits"]["cores"].update(value=0), "limits.cores: value 0 leaves no room"),
        (lambda d: d["limits"]["axons_in_per_core"].update(value=-1), "axons_in_per_core: value -1 is below 0"),
        (lambda d: d["choices"]["delay_bits"].update(value=[]), "delay_bits: value .* is no list"),
        (lambda d: d["choices"]["delay_bits"].update(value=[0, "1"]), "delay_bits: value .* is no list"),
        (lambda d: d["choices"]["delay_depths"].update(value=[64, 8]), "delay_depths: value .* does not rise"),
        (lambda d: d["limits"]["slot_max"].update(value=63), "slot_max 63 is above 62"),
        (lambda d: d["limits"]["mesh_rows"].update(value=3), "mesh of 4 x 8 x 3 holds 96 cores"),
    ],
)
def test_a_file_that_is_not_right_is_refused_by_name(change: Change, words: str) -> None:
    data = yaml.safe_load(TEXT)
    change(data)
    with pytest.raises(InputError, match=words) as error:
        parse_limits(yaml.safe_dump(data), "mine.yaml")
    assert "mine.yaml" in str(error.value)


def test_text_that_is_no_yaml_is_refused() -> None:
    with pytest.raises(InputError, match=r"limits mine\.yaml: no YAML"):
        parse_limits("chip: [", "mine.yaml")


def test_entry_points_lead_to_the_targets() -> None:
    """Those of pyproject.toml exist under their names; where they are installed, they are found."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    announced = project["entry-points"][GROUP]
    loaded = {
        name: metadata.EntryPoint(name=name, value=value, group=GROUP).load() for name, value in announced.items()
    }
    assert set(loaded) >= set(CHIPS)
    assert {name: target.name for name, target in loaded.items()} == {name: name for name in loaded}
    missing = set(announced) - {entry.name for entry in metadata.entry_points(group=GROUP)}
    if missing:
        pytest.skip(f"the installed package is older than pyproject.toml and lacks {missing}; install it again")
    assert find_target("loihi1") is loihi1
