"""The limit file: each figure has a unit and a source, boards are as sPyNNaker's virtual ones, mistakes are named."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from importlib import resources
from typing import Any

import pytest
import yaml

from hardware_targets.spinnaker.limits import parse_limits, read_limits
from tests.oracles.spynnaker_board import installed
from toolchain.errors import InputError

TEXT = resources.files("hardware_targets.spinnaker").joinpath("spinnaker1.yaml").read_text(encoding="utf-8")
LIMITS = read_limits()


def test_every_limit_has_unit_and_source() -> None:
    assert LIMITS.chip == "spinnaker1"
    for limit in LIMITS.table.values():
        assert limit.unit
        assert limit.source
        assert limit.value is not None or "no public figure" in limit.source
    assert [entry["name"] for entry in LIMITS.describe()] == list(LIMITS.table)


def test_boards_have_the_cores_that_are_known_of_them() -> None:
    """A virtual board of version 5 has 856 cores on 48 chips; system cores are counted in the golden placements."""
    assert (LIMITS.board(5).n_chips, sum(LIMITS.board(5).cores.values())) == (48, 856)
    assert LIMITS.board(5).n_usable(LIMITS) == 856 - 2 * 48 - 1
    assert LIMITS.board(3).n_usable(LIMITS) == 4 * 18 - 2 * 4 - 1


@pytest.mark.skipif(not installed(), reason="sPyNNaker is not installed; pip install -e .[spinnaker]")
def test_figures_are_those_of_the_installed_spynnaker() -> None:
    version: Any = importlib.import_module("spinn_machine.version.version_5")
    for number, module in ((5, version), (3, importlib.import_module("spinn_machine.version.version_3"))):
        assert dict(LIMITS.board(number).cores) == module.CHIPS_PER_BOARD
        assert list(LIMITS.board(number).cores) == list(module.CHIPS_PER_BOARD)
    spin1: Any = version.Version5
    # What the constructor is given cannot be asked for without a configuration.
    assert f"max_sdram_per_chip={LIMITS['sdram_bytes']}" in inspect.getsource(version.VersionSpin1.__init__)
    assert f"max_cores_per_chip={LIMITS['cores_per_chip']}" in inspect.getsource(version.VersionSpin1.__init__)
    constants: Any = importlib.import_module("spynnaker.pyNN.utilities.constants")
    delays: Any = importlib.import_module("spynnaker.pyNN.models.utility_models.delays.delay_extension_vertex")
    expected = {
        "dtcm_bytes": spin1.dtcm_bytes.fget(None),
        "router_entries": spin1.n_router_entries.fget(None),
        "key_bits": importlib.import_module("pacman.utilities.constants").BITS_IN_KEY,
        "row_length": constants.POP_TABLE_MAX_ROW_LENGTH,
        "ring_buffer_bits": constants.MAX_RING_BUFFER_BITS,
        "delay_stages": delays.DelayExtensionVertex.MAX_SLOTS,
        "delay_counters_bytes": delays.DelayExtensionVertex.MAX_DTCM_AVAILABLE,
    }
    assert {name: LIMITS[name] for name in expected} == expected


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.pop("boards"), "exactly chip, limits and boards"),
        (lambda d: d["limits"].pop("dtcm_bytes"), r"missing \['dtcm_bytes'\]"),
        (lambda d: d["limits"]["dtcm_bytes"].update(value=None), "dtcm_bytes: value None is no whole number"),
        (lambda d: d["limits"]["row_length"].update(value=0), "row_length: value 0 leaves no room"),
        (lambda d: d["boards"].pop(5), "boards: version 5 is missing"),
        (
            lambda d: d["boards"][3].pop("source"),
            "boards.3: must be a version number with columns, down, source, wraps",
        ),
        (lambda d: d["boards"][3].update(source=""), "boards.3: source '' is no text"),
        (lambda d: d["boards"][3].update(wraps="yes"), "boards.3: wraps 'yes' must be true or false"),
        (lambda d: d["boards"][3].update(down=[[0, 1]]), "boards.3: down .* is no list of x, y and link"),
        (lambda d: d["boards"][3].update(columns=[]), "boards.3: columns .* is no list of columns"),
        (lambda d: d["boards"][3]["columns"].append({}), "boards.3: column 2 must have lowest and a list of cores"),
        (lambda d: d["boards"][3]["columns"][1]["cores"].append(19), "column 1 has a chip of 19 cores; give 3 to 18"),
    ],
)
def test_a_file_that_is_not_right_is_refused_by_name(change: Change, words: str) -> None:
    data = yaml.safe_load(TEXT)
    change(data)
    with pytest.raises(InputError, match=words) as error:
        parse_limits(yaml.safe_dump(data), "mine.yaml")
    assert "mine.yaml" in str(error.value)
